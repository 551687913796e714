"""Docstrings of the API document every parameter and what comes back, and refer to what exists.

Other docstrings may be plain sentences. Those that have sections must have all of them. numpydoc's
checks: PR01 (a parameter isn't documented), PR02 (a documented parameter doesn't exist)
and RT01 (nothing is said about what is returned).
"""

import ast
import dataclasses
import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterator

import pytest
from numpydoc.validate import validate

import shd_circuit
import shd_helpers
from shd_helpers.events import augmentation, downsampling, event_lists
from shd_helpers.network import config
from shd_helpers.study import evaluation, judgement, recipe, training
from shd_helpers.sweeps import workers

# numpydoc looks at every attribute of a widget, deprecated ones included
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

CHECKS = {"PR01", "PR02", "RT01"}


def modules(package) -> Iterator[str]:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if not module.name.endswith("__main__"):
            yield module.name


NAMES = [*modules(shd_helpers), *modules(shd_circuit)]


def public_names(module_name: str) -> Iterator[str]:
    """Yield the functions and classes that a module defines, and the methods of its classes."""
    module = importlib.import_module(module_name)
    for name, value in vars(module).items():
        function = getattr(value, "py_func", value)  # of a compiled one
        if name.startswith("_") or getattr(function, "__module__", None) != module_name:
            continue
        if inspect.isfunction(function):
            yield f"{module_name}.{name}"
        elif inspect.isclass(value):
            if not has_commented_fields(value):
                yield f"{module_name}.{name}"
            yield from (f"{module_name}.{name}.{method}" for method in public_methods(value))


def has_commented_fields(kind: type) -> bool:
    """Return whether a class lists its parameters as fields, with comments instead of a section."""
    has_fields = dataclasses.is_dataclass(kind) or hasattr(kind, "_fields")
    return has_fields and "Parameters\n" not in (kind.__doc__ or "")


def public_methods(kind: type) -> Iterator[str]:
    for name, value in vars(kind).items():
        function = getattr(value, "__func__", value)  # of a class method
        if not name.startswith("_") and inspect.isfunction(function):
            yield name


def complaints(name: str) -> list[str]:
    return [f"{code}: {text}" for code, text in validate(name)["errors"] if code in CHECKS]


PUBLIC = {getattr(shd_helpers, name) for name in shd_helpers.__all__}
API = {f"{thing.__module__}.{thing.__qualname__}" for thing in PUBLIC if callable(thing)}


def needs_sections(name: str, docstring: str) -> bool:
    """Return whether a docstring has sections, or belongs to the API and should have them."""
    is_api = name in API or name.rpartition(".")[0] in API
    return is_api or re.search(r"^ *-{4,}$", docstring, re.MULTILINE) is not None


def docstring_of(name: str) -> str:
    """Return the docstring of a function or class by its full name, or of a method."""
    return pkgutil.resolve_name(name).__doc__ or ""


@pytest.mark.parametrize("module", NAMES)
def test_every_parameter_and_return_value_is_documented(module):
    names = [name for name in public_names(module) if needs_sections(name, docstring_of(name))]
    wrong = {name: said for name in names if (said := complaints(name))}
    assert wrong == {}


def test_the_api_needs_sections_and_other_docstrings_do_not():
    assert needs_sections("shd_helpers.study.judgement.judge", "")
    assert not needs_sections(f"{__name__}.undocumented", undocumented.__doc__)
    assert needs_sections(f"{__name__}.undocumented", "Return.\n\n    Returns\n    -------\n")


@pytest.mark.parametrize(
    "kind",
    [
        augmentation.Augmentation, judgement.JudgeOptions, training.TrainOptions,
        event_lists.Events, judgement.Judgement,
        evaluation.Evaluation, downsampling.Downsampling, config.NetworkConfig,
        recipe.TrainConfig, workers.Shard, workers.Workers,
    ],
)  # fmt: skip
def test_fields_of_classes_on_the_api_pages_are_parameters_of_the_docstring(kind):
    """The pages show docstrings, but no comments."""
    assert not has_commented_fields(kind)
    assert complaints(f"{kind.__module__}.{kind.__name__}") == []


def undocumented(first: int) -> int:
    """Return a number."""
    return first


def test_the_check_finds_what_is_missing():
    found = complaints(f"{__name__}.undocumented")
    assert [text[:4] for text in found] == ["PR01", "RT01"]


REFERENCE = re.compile(r"[Ss]ee\s+`(\w+)\.(\w+)`")  # such as: see `training.fit`
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef)


def references(source: str) -> set[tuple[str, str]]:
    """Return what docstrings refer the reader to: modules or classes, and names in them."""
    nodes = [node for node in ast.walk(ast.parse(source)) if isinstance(node, DOCUMENTED)]
    docstrings = [ast.get_docstring(node) or "" for node in nodes]
    return {found for text in docstrings for found in REFERENCE.findall(text)}


def exists(owner: str, name: str) -> bool:
    """Return whether a module or a class of this name, anywhere in the packages, has the name."""
    found = []
    for module_name in ["shd_helpers", "shd_circuit", *NAMES]:
        module = importlib.import_module(module_name)
        if module_name.rpartition(".")[2] == owner:
            found.append(module)
        if inspect.isclass(vars(module).get(owner)):
            found.append(vars(module)[owner])
    return any(hasattr(thing, name) for thing in found)


@pytest.mark.parametrize("module", NAMES)
def test_what_a_docstring_refers_to_exists(module):
    source = inspect.getsource(importlib.import_module(module))
    assert [found for found in references(source) if not exists(*found)] == []


def test_the_check_finds_a_module_that_is_not_there():
    code = 'def f():\n    """See `costs.check_counted`, and\n    see `training.fit`."""'
    found = references(code)
    assert found == {("costs", "check_counted"), ("training", "fit")}
    assert not exists("costs", "check_counted") and exists("training", "fit")
