"""A copied checkout's notebooks don't work with the package of the first one."""

import os
import subprocess
import sys

from shd_helpers.paths import ROOT


def test_a_copied_checkout_s_notebooks_are_refused_the_other_package(tmp_path):
    """As a kernel that JupyterLab starts."""
    (tmp_path / "pyproject.toml").touch()
    for name in ("notebooks", "shd_helpers"):
        (tmp_path / name).mkdir()
    code = "from shd_helpers.study.parameters import check_injected; check_injected()"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path / "notebooks",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    said = f"imports the package of {ROOT}, not that of {tmp_path}. Run the command with make, or"
    assert said in ended.stderr.splitlines()[-1]
