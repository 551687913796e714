"""What neither Windows nor macOS has isn't used there. Nothing was run on either of them."""

import subprocess
import sys

import pytest

from shd_helpers.paths import ROOT
from tests import found


@pytest.mark.slow
@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_the_packages_use_only_modules_and_names_that_python_has_on(system, tmp_path):
    """As mypy knows them, for each system."""
    packages = [path.parent for path in found("*/*/shd_*/__init__.py")]
    command = [sys.executable, "-m", "mypy", "--platform", system, "--cache-dir", str(tmp_path)]
    command += ["--no-error-summary", "shd_helpers", *packages]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.stdout == done.stderr == ""
