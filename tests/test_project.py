"""The project's files agree with each other."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from shd_helpers.paths import NOTEBOOKS, ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {"torch": "pytorch"}


def split(requirement):
    """Take a name and its version range apart."""
    name, limits = re.fullmatch(r"([\w.-]+)(.*)", requirement).groups()
    return CONDA_NAMES.get(name, name), limits


def test_conda_environment_is_the_same_list():
    conda = YAML(typ="safe", pure=True).load(ROOT / "environment.yml")
    assert conda["channels"] == ["conda-forge"]
    *packages, pip = conda["dependencies"]
    wanted = [f"python{PROJECT['requires-python']}", *PROJECT["dependencies"]]
    wanted += [*PROJECT["optional-dependencies"]["test"], "pip"]
    projects = {"-e .", "-e ./circuit"}
    assert projects <= {*pip["pip"]}
    only_pip = [name for name in pip["pip"] if name not in projects]
    assert dict(map(split, packages + only_pip)) == dict(map(split, wanted))


def test_locked_versions_are_in_range_and_on_pypi():
    pairs = [line.split("==") for line in (ROOT / "constraints.txt").read_text().split()]
    locked = {canonicalize_name(name): version for name, version in pairs}
    assert not any("+" in version for version in locked.values())  # PyPI has no local versions
    extras = PROJECT["optional-dependencies"]
    for requirement in map(Requirement, [*PROJECT["dependencies"], *extras["test"]]):
        version = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), (requirement, version)


PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
PAGES += [ROOT / folder / "README.md" for folder in ("circuit", "sweeps", "results")]
PAGES += [ROOT / f"{name}.md" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY")]


def test_readme_names_every_notebook_and_every_page():
    readme = (ROOT / "README.md").read_text()
    for path in [*NOTEBOOKS.glob("*.ipynb"), *PAGES[1:]]:
        assert f"]({path.relative_to(ROOT).as_posix()})" in readme


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


def test_glossary_is_sorted_and_each_term_is_linked():
    glossary = (ROOT / "docs/glossary.md").read_text()
    terms = re.findall(r"^## (.*)$", glossary, re.M)
    assert terms == sorted(terms, key=str.lower)
    texts = [path.read_text() for path in (*PAGES, *NOTEBOOKS.glob("*.ipynb"))]
    linked = {anchor for text in texts for anchor in re.findall(r"glossary\.md#([\w-]+)", text)}
    assert linked == headings(glossary) - {"glossary"}


def test_make_targets_in_prose_and_help_and_ci_exist():
    makefile, readme = ((ROOT / name).read_text() for name in ("Makefile", "README.md"))
    callers = [*PAGES, ROOT / ".ci/run", *(ROOT / ".github/workflows").glob("*.yml")]
    pattern = re.compile(r"(?:^|`|run: )make ([a-z-]+)", re.M)
    assert {"study", "test", "lab", "site"} <= {*pattern.findall(readme)}
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.M))
    assert {name for path in callers for name in pattern.findall(path.read_text())} <= targets
    assert set(re.findall(r'@echo "make ([a-z-]+)', makefile)) == targets - {"help"}


# Compiled kernels may be more complex than `make lint` allows: splitting one would cost speed.
EXEMPT_KERNELS = {
    "circuit/shd_circuit/integer.py": ["_run_layer"],
    "shd_helpers/cochlea/membrane.py": ["_fill_spectrum", "_read_grid"],
    "shd_helpers/cochlea/nerve.py": ["_draw"],
    "shd_helpers/network/kernels.py": ["add", "add_rows", "add_products"],
}


def test_only_these_kernels_are_exempt_from_the_limits_of_complexity():
    found = {}
    for folder in ("shd_helpers", "circuit", "scripts", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            exempt = re.findall(r"def (\w+)\(.*# noqa:.*(?:C901|PLR09)", path.read_text())
            if exempt:
                found[path.relative_to(ROOT).as_posix()] = exempt
    assert found == EXEMPT_KERNELS
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert {"C901", "PLR0912", "PLR0913", "PLR0914", "PLR0915"} <= {*ruff["select"]}
    assert ruff["mccabe"]["max-complexity"] == 10 and ruff["pylint"] == {"max-args": 7}
    ignored = [code for codes in ruff["per-file-ignores"].values() for code in codes]
    assert not any(code.startswith(("C9", "PLR")) for code in ignored)
