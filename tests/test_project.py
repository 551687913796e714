"""The project's files agree with each other.

Pages that follow from the code: settings and commands.
"""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

import shd_helpers
from shd_helpers.__main__ import COMMANDS
from shd_helpers.paths import ROOT
from shd_helpers.study.recipe import SETTINGS
from tests import found

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
CONDA_NAMES = {"torch": "pytorch"}


def split(requirement):
    """Take a name and its version range apart."""
    name, limits = re.fullmatch(r"([\w.-]+)(.*)", requirement).groups()
    return CONDA_NAMES.get(name, name), limits


def test_conda_environment_is_the_same_list():
    conda = YAML(typ="safe", pure=True).load(ROOT / "environment.yml")
    assert conda["channels"] == ["conda-forge"]
    *packages, pip = conda["dependencies"]
    wanted = [f"python{PROJECT['requires-python']}", *PROJECT["dependencies"], "pip"]
    for extra in ("study", "circuit", "test"):  # those of make test
        wanted += PROJECT["optional-dependencies"][extra]
    projects = {"-e ."}
    assert projects <= {*pip["pip"]}
    only_pip = [name for name in pip["pip"] if name not in projects]
    assert dict(map(split, packages + only_pip)) == dict(map(split, wanted))


def test_each_file_names_the_same_version():
    version = shd_helpers.__version__
    for path in found("packages/*/pyproject.toml"):
        assert tomllib.loads(path.read_text(encoding="utf-8"))["project"]["version"] == version
    citation = YAML(typ="safe", pure=True).load(ROOT / "CITATION.cff")
    assert citation["version"] == version
    newest = re.search(r"^## (\S+) \((\S+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest.groups() == (version, citation["date-released"].isoformat())


def test_locked_versions_are_in_range_and_on_pypi():
    pairs = [line.split("==") for line in (ROOT / "constraints.txt").read_text().split()]
    locked = {canonicalize_name(name): version for name, version in pairs}
    assert not any("+" in version for version in locked.values())  # PyPI has no local versions
    required = [*PROJECT["dependencies"]]
    for extra in ("study", "circuit", "test"):
        required += PROJECT["optional-dependencies"][extra]
    for requirement in map(Requirement, required):
        version = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), (requirement, version)


INDEXED = found("*.md", "docs/*.md", ".github/[A-Z]*.md", "results/README.md")
INDEXED += found("packages/*/README.md", "applications/*/README.md")
INDEXED += found("evidence/README.md", "sweeps/README.md")
INDEXED += found("results/networks/README.md", "sweeps/clusters.md", "packages/corpus/cochlea.md")
PAGES = [*INDEXED, *found("evidence/*/*.md")]


def test_the_index_names_every_notebook_and_every_page():
    docs = ROOT / "docs"
    index = docs / "README.md"
    links = re.findall(r"\]\(([^)#]*)\)", index.read_text())
    named = {(docs / link).resolve() for link in links}
    assert {*found("notebooks/*.ipynb"), *INDEXED} - {index} <= named
    assert "](docs/README.md)" in (ROOT / "README.md").read_text()


def headings(text):
    """Return the anchors that GitHub gives to a page's headings."""
    found = re.findall(r"^#+ (.*)$", text, re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in found}


@pytest.mark.parametrize("page", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    for target, anchor in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]*))?\)", page.read_text()):
        path = page.parent / target if target else page
        assert path.exists(), target
        assert not anchor or anchor in headings(path.read_text()), anchor


COMMANDS_PAGE = (ROOT / "docs" / "tests.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def test_every_setting_is_described_once():
    template = (ROOT / "docs" / "templates" / "pages" / "docs" / "settings.md").read_text()
    assert sorted(re.findall(r'setting\("(\w+)"\)', template)) == sorted(SETTINGS)


def test_every_command_is_listed():
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.M)) - {"help"}
    assert targets == set(re.findall(r"`make ([a-z-]+)", COMMANDS_PAGE)) - {"help"}
    assert set(COMMANDS) == set(re.findall(r"^\| `shd ([a-z]+)", COMMANDS_PAGE, re.M))


def test_every_environment_variable_of_a_user_is_listed():
    modules = found("shd_helpers/**/*.py", "*/*/shd_*/**/*.py")
    sources = [MAKEFILE, *(path.read_text() for path in modules)]
    used = set(re.findall(r"\"(SHD_[A-Z_]+)\"", "\n".join(sources)))
    assert used == set(re.findall(r"`(SHD_[A-Z_]+)`", COMMANDS_PAGE))
