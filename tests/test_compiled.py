"""Compiled code is never older than the source it is made of."""

import ast
import inspect
import re
from importlib import import_module

import pytest
from numba.core.dispatcher import Dispatcher

from shd_corpus.compiled import compiled
from tests import found

FOLDERS = {
    path.parent.name: path.parents[1]
    for base in (".", "applications/circuit", "packages/corpus", "packages/engine")
    for path in found(f"{base}/*/__init__.py")
}
PACKAGES = sorted(FOLDERS)
MODULES = sorted(
    ".".join(path.relative_to(FOLDERS[package]).with_suffix("").parts)
    for package in PACKAGES
    for path in found("**/*.py", folder=FOLDERS[package] / package)
    if re.search(r"^\s*@(numba\.)?(compiled|njit|jit|vectorize)\b", path.read_text(), re.MULTILINE)
)


def imported_from_here(tree):
    """Return the names that a module imports from a package of this repository."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            is_own = node.level or (node.module or "").partition(".")[0] in PACKAGES
            found |= {alias.asname or alias.name for alias in node.names if is_own}
        elif isinstance(node, ast.Import):
            own = [alias for alias in node.names if alias.name.partition(".")[0] in PACKAGES]
            found |= {alias.asname or alias.name.partition(".")[0] for alias in own}
    return found


@pytest.mark.parametrize("name", MODULES)
def test_a_compiled_function_uses_nothing_of_another_file_of_the_package(name):
    """For numba's cache watches the function's own file alone."""
    module = import_module(name)
    elsewhere = imported_from_here(ast.parse(inspect.getsource(module)))
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
