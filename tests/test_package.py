"""A built wheel holds the whole package and works away from the repository."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from shd_helpers.paths import ROOT

PACKAGE = ROOT / "shd_helpers"
BUILD = "import sys, setuptools.build_meta as b; print(b.build_wheel(sys.argv[1]))"
IMPORT = "import importlib, sys; [print(importlib.import_module(n).__file__) for n in sys.argv[1:]]"


def run(*command, cwd, **environment):
    inherited = {k: v for k, v in os.environ.items() if k[:3] not in ("PYT", "SHD")}
    ended = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=inherited | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return ended.stdout.splitlines()


def package_files():
    """Return the path of every file of the package, relative to the repository."""
    files = [path for path in PACKAGE.rglob("*") if path.is_file()]
    return {path.relative_to(ROOT).as_posix() for path in files if path.parent.name[:2] != "__"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Build from a copy, for a build leaves folders behind."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "a copy"
    shutil.copytree(PACKAGE, source / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    return folder / run(sys.executable, "-c", BUILD, folder, cwd=source)[-1]


def test_wheel_holds_every_file_of_the_package_and_nothing_else(wheel):
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert names == package_files()


@pytest.fixture(scope="module")
def site(wheel):
    """Unpack the wheel, as an installer does with one of pure Python."""
    zipfile.ZipFile(wheel).extractall(wheel.parent / "site")
    return str(wheel.parent / "site")


def test_every_module_imports(site, tmp_path):
    names = [name.removesuffix(".py") for name in sorted(package_files()) if name.endswith(".py")]
    modules = [name.replace("/", ".").removesuffix(".__init__") for name in names]
    files = run(sys.executable, "-c", IMPORT, *modules, cwd=tmp_path, PYTHONPATH=site)
    assert len(files) == len(modules)
    assert all(Path(file).is_relative_to(site) for file in files)


@pytest.fixture
def copied(tmp_path):
    """A checkout that was copied with its environment, whose package is the first one's."""
    shutil.copytree(PACKAGE, tmp_path / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__"))
    cells = [new_code_cell("from shd_helpers.paths import ROOT; print(ROOT)")]
    (tmp_path / "notebooks").mkdir()
    nbformat.write(new_notebook(cells=cells), tmp_path / "notebooks" / "a.ipynb")
    return tmp_path


def test_a_copied_checkout_s_kernels_have_its_own_package(copied):
    code = "from pathlib import Path; from shd_helpers.study.notebooks import execute_run"
    code += "; execute_run({Path('notebooks/a.ipynb').absolute(): {}}, Path('run').absolute())"
    run(sys.executable, "-c", code, cwd=copied)
    (cell,) = nbformat.read(copied / "run" / "a.ipynb", 4).cells
    assert cell.outputs[0].text == f"{copied}\n"


def test_a_copied_checkout_s_notebooks_are_refused_the_other_package(copied):
    """As a kernel that JupyterLab starts."""
    command = [sys.executable, "-c", "import shd_helpers.paths"]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    ended = subprocess.run(
        command, cwd=copied / "notebooks", env=environment, capture_output=True, text=True
    )
    said = f"imports the package of {ROOT}, not of {copied}. Start it by make, or install"
    assert said in ended.stderr.splitlines()[-1]


def test_folders_are_where_one_works(site, tmp_path):
    code = "from shd_helpers import paths as p; print(p.data_dir(), p.runs_dir(), sep='\\n')"
    found = run(sys.executable, "-c", code, cwd=tmp_path, PYTHONPATH=site)
    assert found == [str(tmp_path / "data"), str(tmp_path / "runs")]
