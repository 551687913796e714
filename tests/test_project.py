"""The project's files agree with each other."""

import re
import tomllib

import pytest
import yaml

from shd_helpers.paths import NOTEBOOKS, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"torch": "pytorch"}


def split(requirement):
    """Take a name and its version range apart."""
    name, limits = re.fullmatch(r"([\w.-]+)(.*)", requirement).groups()
    return CONDA_NAMES.get(name, name), limits


def test_conda_environment_is_the_same_list():
    conda = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert conda["channels"] == ["conda-forge"]
    *packages, pip = conda["dependencies"]
    wanted = [f"python{PROJECT['requires-python']}", *PROJECT["dependencies"]]
    wanted += [*PROJECT["optional-dependencies"]["test"], "pip"]
    only_pip = [name for name in pip["pip"] if name != "-e ."]
    assert "-e ." in pip["pip"]
    assert dict(map(split, packages + only_pip)) == dict(map(split, wanted))


@pytest.mark.parametrize("extra", [None, *PROJECT["optional-dependencies"]])
def test_dependencies_have_major_minor_ranges(extra):
    requirements = PROJECT["optional-dependencies"][extra] if extra else PROJECT["dependencies"]
    for requirement in requirements:
        assert re.fullmatch(r"[\w.-]+>=\d+\.\d+,<\d+(\.\d+)?", requirement), requirement


def test_readme_names_every_notebook_and_only_files_that_exist():
    readme = (ROOT / "README.md").read_text()
    for path in NOTEBOOKS.glob("*.ipynb"):
        assert f"notebooks/{path.name}" in readme
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", readme):
        assert (ROOT / target).exists(), target


def test_make_targets_in_readme_exist():
    makefile = (ROOT / "Makefile").read_text()
    readme = (ROOT / "README.md").read_text()
    named = set(re.findall(r"(?:^|`)make ([a-z]+)", readme, re.M))
    assert {"study", "test", "lab"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, re.M), target


def test_citation_and_licence():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert citation["license"] == PROJECT["license"] == "MIT"
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")


def test_ci_calls_make_only():
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    steps = workflow["jobs"]["test"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == ["make test", "make browser"]
