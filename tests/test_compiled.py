"""Compiled code is never older than the source it is made of."""

import ast
import inspect
from importlib import import_module

import pytest
from numba.core.dispatcher import Dispatcher

from shd_helpers.compiled import compiled
from shd_helpers.paths import ROOT

MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts)
    for path in (ROOT / "shd_helpers").rglob("*.py")
    if "\n@compiled\n" in path.read_text()
)


@pytest.mark.parametrize("name", MODULES)
def test_a_compiled_function_uses_nothing_of_another_file_of_the_package(name):
    """For numba's cache watches the function's own file alone."""
    module = import_module(name)
    elsewhere = {
        alias.asname or alias.name
        for node in ast.walk(ast.parse(inspect.getsource(module)))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("shd_helpers")
        for alias in node.names
    }
    functions = [f.py_func for f in vars(module).values() if isinstance(f, Dispatcher)]
    own = [f for f in functions if f.__module__ == name]
    assert own
    for function in own:
        assert not elsewhere & {*function.__code__.co_names}, function.__name__


def test_a_function_runs_where_its_code_cannot_be_kept_and_the_remedy_is_named():
    """numba finds no place for code without a file, as for a file where nothing can be written."""
    there: dict = {}
    exec("def double(x):\n    return 2 * x", there)
    with pytest.warns(UserWarning, match="set NUMBA_CACHE_DIR to a folder"):
        double = compiled(there["double"])
    assert double(3) == 6
