"""The circuit is a project of its own, which needs the study and isn't needed by it."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import nbformat
import pytest
from packaging.requirements import Requirement

import shd_circuit
from shd_helpers.paths import NOTEBOOKS, ROOT

CIRCUIT = ROOT / "circuit"
PACKAGE = CIRCUIT / "shd_circuit"
PROJECT = tomllib.loads((CIRCUIT / "pyproject.toml").read_text())["project"]
STUDY = "shd-downsizing-study"
# packages whose distribution has another name
DISTRIBUTIONS = {"lazy_loader": "lazy-loader", "shd_helpers": STUDY}
MADE = shutil.ignore_patterns("__pycache__", "build", "*.egg-info")


def sources(pattern):
    """Return the package's files that were written, without what Python and numba keep there."""
    return [path for path in PACKAGE.rglob(pattern) if "__pycache__" not in path.parts]


# --- wheels ---------------------------------------------------------------------------------------


def built_wheel(project, folder):
    """Build a project's wheel in a copy, for a build leaves files there; return it, opened."""
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation"]
    subprocess.run([*command, "-w", str(folder), str(project)], check=True)
    (wheel,) = folder.glob("*.whl")
    return zipfile.ZipFile(wheel)


def requirements(wheel):
    """Return the requirements that a wheel's metadata list."""
    (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
    lines = wheel.read(name).decode().partition("\n\n")[0].splitlines()
    fields = [line.partition(": ") for line in lines]
    return [Requirement(value) for field, _, value in fields if field == "Requires-Dist"]


@pytest.mark.slow
def test_the_circuit_s_wheel_has_all_its_files_and_requires_the_study(tmp_path):
    copy = shutil.copytree(CIRCUIT, tmp_path / "circuit", ignore=MADE)
    with built_wheel(copy, tmp_path / "wheel") as wheel:
        files = {name for name in wheel.namelist() if ".dist-info/" not in name}
        licenses = [name for name in wheel.namelist() if name.endswith("licenses/LICENSE")]
        needed = {requirement.name for requirement in requirements(wheel)}
    own = {path.relative_to(CIRCUIT).as_posix() for path in sources("*") if path.is_file()}
    assert files == own
    suffixes = {Path(name).suffix for name in files}
    assert suffixes == {*".py .c .core .cpp .flac .h .html .js .md .pcf .sby .v .vlt".split(), ""}
    assert len(licenses) == 1  # beside the one that exported folders get
    assert STUDY in needed


@pytest.mark.slow
def test_the_study_s_wheel_has_nothing_of_the_circuit(tmp_path):
    copy = tmp_path / "study"
    shutil.copytree(ROOT / "shd_helpers", copy / "shd_helpers", ignore=MADE)
    shutil.copytree(ROOT / "results" / "networks", copy / "results" / "networks")
    shutil.copytree(CIRCUIT, copy / "circuit", ignore=MADE)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    with built_wheel(copy, tmp_path / "wheel") as wheel:
        folders = {name.partition("/")[0] for name in wheel.namelist()}
        needed = {requirement.name for requirement in requirements(wheel)}
    assert {name for name in folders if not name.endswith(".dist-info")} == {"shd_helpers"}
    assert PROJECT["name"] not in needed


# --- what it depends on ---------------------------------------------------------------------------


def imported_packages():
    """Return the packages that a module of the circuit imports anywhere, but Python's own."""
    names = set()
    for path in sources("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                names.add(node.module.partition(".")[0])
    # an exported board.py has configure.py beside it
    own = {"shd_circuit", "shd_corpus", "shd_judge", "configure"}  # the study brings its packages
    return names - sys.stdlib_module_names - own


def test_it_depends_on_the_packages_that_it_imports():
    imported = {DISTRIBUTIONS.get(name, name) for name in imported_packages()}
    assert {Requirement(line).name for line in PROJECT["dependencies"]} == imported


def test_each_shared_dependency_has_the_study_s_range():
    study = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    shared = [*study["dependencies"]]
    for lines in study["optional-dependencies"].values():
        shared += lines
    assert {*PROJECT["dependencies"]} - {STUDY} <= {*shared}


def test_extras_that_messages_and_commands_name_exist():
    texts = [path.read_text() for path in sources("*.py")]
    texts += [path.read_text() for path in (CIRCUIT / "tests").glob("*.py")]
    texts += [(ROOT / name).read_text() for name in ("Makefile", "circuit/README.md")]
    named = {name for text in texts for name in re.findall(r"\./circuit\[(\w+)\]", text)}
    assert named == set(PROJECT["optional-dependencies"])
    # the study has no extra for the circuit
    assert not any(re.search(r"'\.\[(?:circuit|fpga|say|demo)\]", text) for text in texts)


def test_notebook_3_needs_it_only_where_a_circuit_is_asked_for():
    """Every statement that names the package is below ``if recipe.circuit``."""
    notebook = nbformat.read(NOTEBOOKS / "03_model_training.ipynb", 4)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    module = ast.parse(code)
    conditional = [
        statement
        for node in ast.walk(module)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "recipe.circuit"
        for statement in node.body
    ]
    n_conditional = sum(ast.unparse(statement).count("shd_circuit") for statement in conditional)
    assert n_conditional == ast.unparse(module).count("shd_circuit") > 0
    assert "import shd_circuit" in map(ast.unparse, conditional)


def test_names_that_notebooks_and_scripts_take_from_it_exist():
    texts = [path.read_text() for path in NOTEBOOKS.glob("*.ipynb")]
    texts += [path.read_text() for path in (ROOT / "evidence").rglob("*.py")]
    taken = {name for text in texts for name in re.findall(r"\bshd_circuit\.(\w+)", text)}
    modules = {path.stem for path in sources("*.py")} | {"rtl"}
    assert {"integer_network", "circuit_scores", "circuit_predictions"} <= taken
    assert taken <= {*shd_circuit.__all__} | modules


# --- its tests ------------------------------------------------------------------------------------


@pytest.mark.slow
def test_its_tests_are_found_from_both_folders():
    """From the repository's root and from inside of the project, without the study's tests."""
    collected = []
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    for folder, tests in ((ROOT, "circuit/tests"), (CIRCUIT, "tests")):
        command = [sys.executable, "-m", "pytest", "--collect-only", "-m", "", tests]
        ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        ids = [line for line in ended.stdout.splitlines() if "::" in line]
        assert all("circuit/tests/test_" in each for each in ids)
        collected.append(sorted(ids))
    assert collected[0] == collected[1]
    assert len(collected[0]) > 100
