"""A few of the random attacks; an hour of them is a command of its own, see docs/attacks.md."""

import subprocess
import sys

import pytest

from shd_helpers.paths import ROOT


def attacked(*arguments):
    command = [sys.executable, "-m", "tests.random_attacks", *map(str, arguments)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:]
    return ended.stdout


@pytest.mark.slow
def test_minutes_of_attacks():
    assert "attacks 100 to " in attacked("--minutes", 2, "--seed", 100)


@pytest.mark.slow
def test_many_kills():
    attacked("--count", 50, "--seed", 500, "--kinds", "kills")
