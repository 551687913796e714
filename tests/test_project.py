"""The project's files agree with each other."""

import ast
import re
import sys
import tomllib
from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from shd_helpers.paths import NOTEBOOKS, ROOT

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
TOOLS = PYPROJECT["tool"]
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
    for extra in ("study", "cluster", "test"):  # those of make test
        wanted += PROJECT["optional-dependencies"][extra]
    projects = {"-e .", "-e ./circuit"}
    assert projects <= {*pip["pip"]}
    only_pip = [name for name in pip["pip"] if name not in projects]
    assert dict(map(split, packages + only_pip)) == dict(map(split, wanted))


def test_locked_versions_are_in_range_and_on_pypi():
    pairs = [line.split("==") for line in (ROOT / "constraints.txt").read_text().split()]
    locked = {canonicalize_name(name): version for name, version in pairs}
    assert not any("+" in version for version in locked.values())  # PyPI has no local versions
    required = [*PROJECT["dependencies"]]
    for extra in ("study", "cluster", "test"):
        required += PROJECT["optional-dependencies"][extra]
    for requirement in map(Requirement, required):
        version = locked[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), (requirement, version)


# Libraries that come with another one, in a version that fits
BROUGHT = {
    "IPython": "ipywidgets",
    "cloudpickle": "joblib",
    "filelock": "torch",
    "jupyter_client": "papermill",
    "llvmlite": "numba",
    "nbformat": "papermill",
    "platformdirs": "pooch",
    "requests": "pooch",
    "traitlets": "anywidget",
    "urllib3": "pooch",
}
# Modules whose library has another name
OTHER_NAMES = {"espeakng_loader": "espeakng-loader", "lazy_loader": "lazy-loader"}
OTHER_NAMES |= {"ruamel": "ruamel.yaml"}
OF_EXTRAS = {
    *("anywidget", "distributed", "ipywidgets", "papermill", "ruamel.yaml", "sounddevice"),
}


def imported_libraries():
    """Return the libraries that the package imports anywhere, but Python's own."""
    modules = set()
    for path in (ROOT / "shd_helpers").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                modules |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                modules.add(node.module.partition(".")[0])
    modules -= {*sys.stdlib_module_names, "shd_helpers", "shd_circuit"}
    return {BROUGHT.get(module, OTHER_NAMES.get(module, module)) for module in modules}


def test_the_core_has_few_dependencies_and_needs_each():
    """Scripts, notebooks and tests may import more; `test_shd_command` tries the core alone."""
    core = {Requirement(line).name for line in PROJECT["dependencies"]}
    assert len(core) <= 15
    assert imported_libraries() - OF_EXTRAS == core
    extras = [line for lines in PROJECT["optional-dependencies"].values() for line in lines]
    assert OF_EXTRAS <= {Requirement(line).name for line in extras}


def requirements_of(name):
    """Return what a library needs, and what that needs."""
    found = set()
    todo = [name]
    while todo:
        for line in requires(todo.pop()) or ():
            requirement = Requirement(line)
            is_optional = requirement.marker and not requirement.marker.evaluate({"extra": ""})
            if not is_optional and requirement.name not in found:
                found.add(requirement.name)
                todo.append(requirement.name)
    return {canonicalize_name(each) for each in found}


def test_a_library_that_isn_t_listed_comes_with_one_that_is():
    for module, library in BROUGHT.items():
        assert canonicalize_name(module) in requirements_of(library), module


def test_the_listed_packages_are_those_in_the_folder():
    """Setuptools finds no package by itself where one has its files elsewhere."""
    listed = set(TOOLS["setuptools"]["packages"])
    mapped = set(TOOLS["setuptools"]["package-dir"])
    folders = [path.parent for path in (ROOT / "shd_helpers").rglob("__init__.py")]
    assert listed - mapped == {".".join(path.relative_to(ROOT).parts) for path in folders}
    for name, folder in TOOLS["setuptools"]["package-dir"].items():
        assert name in listed and (ROOT / folder).is_dir()


PAGES = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
PAGES += [ROOT / folder / "README.md" for folder in ("circuit", "evidence", "sweeps", "results")]
PAGES += [ROOT / "results" / "networks" / "README.md"]
PAGES += [ROOT / f"{name}.md" for name in ("CHANGELOG", "CONTRIBUTING", "SECURITY")]


def test_the_index_names_every_notebook_and_every_page():
    docs = ROOT / "docs"
    index = docs / "README.md"
    links = re.findall(r"\]\(([^)#]*)\)", index.read_text())
    named = {(docs / link).resolve() for link in links}
    assert {path.resolve() for path in [*NOTEBOOKS.glob("*.ipynb"), *PAGES]} - {index} <= named
    assert "](docs/README.md)" in (ROOT / "README.md").read_text()


def test_the_sidebar_of_the_site_has_every_page():
    contents = (ROOT / "docs" / "contents.rst").read_text()
    for path in PAGES[1:]:
        assert f"\n   /{path.relative_to(ROOT).with_suffix('').as_posix()}\n" in contents, path


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
    "packages/corpus/shd_corpus/cochlea/membrane.py": ["_fill_spectrum", "_read_grid"],
    "packages/corpus/shd_corpus/cochlea/nerve.py": ["_draw"],
    "shd_helpers/network/kernels.py": ["add", "add_rows", "add_products"],
}


def test_only_these_kernels_are_exempt_from_the_limits_of_complexity():
    found = {}
    for folder in ("shd_helpers", "circuit", "evidence", "tests"):
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
