"""A few of the random attacks; an hour of them is a command of its own, see SECURITY.md."""

import subprocess
import sys

import pytest

from shd_helpers.paths import ROOT


@pytest.mark.slow
def test_half_a_minute_of_attacks():
    command = [sys.executable, "-m", "tests.random_attacks", "--minutes", "0.5", "--seed", "100"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-8000:] + ended.stderr[-2000:]
    assert "attacks 100 to " in ended.stdout
