"""The package by itself: its README, what it needs, and an environment that has nothing else."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import shd_corpus

CODE = Path(shd_corpus.__file__).parent
PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parents[1]
WITHOUT_OTHERS = """
import importlib.abc
import sys


class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("torch", "snntorch", "shd_helpers", "shd_judge"):
            raise ModuleNotFoundError(f"{name} isn't installed here", name=name)


sys.meta_path.insert(0, Block())
"""
# The cochlea's spikes are drawn, so another processor may add or remove one.
NUMBER_OF_SPIKES = r"\d+(?= spikes)"


def check_readme(python, folder, environment):
    """Run the README's lines where the study's other packages and torch can't be imported."""
    page = (PACKAGE / "README.md").read_text(encoding="utf-8")
    code, printed = re.findall(r"```(?:python)?\n(.*?)```", page, re.S)
    command = [python, "-c", WITHOUT_OTHERS + code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.sub(NUMBER_OF_SPIKES, "", done.stdout) == re.sub(NUMBER_OF_SPIKES, "", printed)
    said, found = (int(re.search(NUMBER_OF_SPIKES, text)[0]) for text in (printed, done.stdout))
    assert abs(said - found) <= 5


def test_the_readme_s_lines_turn_a_folder_of_wavs_into_files_and_read_them(tmp_path):
    check_readme(sys.executable, tmp_path, {"PYTHONPATH": str(PACKAGE), "HOME": str(Path.home())})


def project(folder):
    """Return the table `project` of a pyproject.toml."""
    return tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def imported_packages():
    """Return the packages that the modules import, without Python's own and this one."""
    found = set()
    for path in CODE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(node.module.partition(".")[0])
    return found - {*sys.stdlib_module_names, "shd_corpus"}


def test_it_needs_exactly_what_it_imports_in_the_study_s_versions():
    needed = project(PACKAGE)["dependencies"]
    names = {re.match(r"[\w-]+", each)[0].replace("-", "_") for each in needed}
    assert names == imported_packages()
    # torch brings filelock to the study, and pooch requests
    assert {each for each in needed if not each.startswith(("filelock", "requests"))} <= {
        *project(ROOT)["dependencies"]
    }
