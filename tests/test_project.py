"""The project's files agree with each other."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

import shd_helpers
from shd_helpers.paths import ROOT
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
