"""A copied checkout doesn't work with the package of the first one."""

import os
import shutil
import subprocess
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from shd_helpers.paths import ROOT

PACKAGE = ROOT / "shd_helpers"


@pytest.fixture
def copied(tmp_path):
    """A checkout that was copied with its environment, whose package is the first one's."""
    made = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=made)
    shutil.copytree(ROOT / "packages" / "judge", tmp_path / "packages" / "judge", ignore=made)
    code = "import shd_judge; from shd_helpers.paths import ROOT; print(ROOT, shd_judge.__file__)"
    cells = [new_code_cell(code)]
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "notebooks").mkdir()
    nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks" / "a.ipynb")
    return tmp_path


def test_a_copied_checkout_s_kernels_have_its_own_package(copied):
    code = "from pathlib import Path; from shd_helpers.study.notebooks import execute_run"
    code += "; execute_run({Path('notebooks/a.ipynb').absolute(): {}}, Path('run').absolute())"
    inherited = {k: v for k, v in os.environ.items() if k[:3] not in ("PYT", "SHD")}
    subprocess.run([sys.executable, "-c", code], cwd=copied, env=inherited, check=True)
    (cell,) = nbformat.read(copied / "run" / "a.ipynb", 4).cells
    judge = copied / "packages" / "judge" / "shd_judge" / "__init__.py"
    assert cell.outputs[0].text == f"{copied} {judge}\n"


def test_a_copied_checkout_s_notebooks_are_refused_the_other_package(copied):
    """As a kernel that JupyterLab starts."""
    command = [
        sys.executable,
        "-c",
        "from shd_helpers.study.parameters import check_injected; check_injected()",
    ]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    ended = subprocess.run(
        command, cwd=copied / "notebooks", env=environment, capture_output=True, text=True
    )
    said = f"imports the package of {ROOT}, not that of {copied}. Run the command with make, or"
    assert said in ended.stderr.splitlines()[-1]


def test_a_copied_checkout_s_commands_are_refused_the_other_package_in_a_sentence(copied):
    code = "from shd_helpers.command import run; run(lambda: print('It ran.'))"
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=copied / "notebooks",
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    (said,) = ended.stderr.splitlines()
    assert said.startswith(f"This Python imports the package of {ROOT}, not that of {copied}.")
    assert (ended.returncode, ended.stdout) == (1, "")
