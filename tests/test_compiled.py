"""Compiled code is never older than the source it is made of."""

import ast
import inspect
import os
import shutil
import subprocess
import sys
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
KERNELS = "shd_helpers.network.kernels"
CHANGE = "fadd(", "fsub("  # of one function
# prints a number that another function makes with it
SCRIPT = f"""
import numpy as np, {KERNELS} as module
globals().update(vars(module))
shape, one = np.zeros(11, np.int64), np.ones(1, np.int32)
shape[[N_IN, N_OUT, WIDTH, BAND]] = 1, 16, 16, 16
params, mem = np.ones(64, np.float32), np.empty((2, 16), np.float32)
start, flags = np.array([0, 1], np.int32), np.empty(16, np.uint8)
out = np.empty(2, np.int32), np.empty(24, np.int32)
layer_forward(shape, params, at_once, at_once, start, 0 * one, mem, flags, *out)
print(mem[1, 0])
"""


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


def test_a_change_is_seen_although_all_is_compiled_already(tmp_path):
    shutil.copytree(
        ROOT / "shd_helpers", tmp_path / "shd_helpers", ignore=shutil.ignore_patterns("__pycache__")
    )

    def run():
        environment = os.environ | {"PYTHONPATH": str(tmp_path)}
        return subprocess.check_output(
            [sys.executable, "-c", SCRIPT], cwd=tmp_path, env=environment, text=True
        )

    first, path = run(), tmp_path / (KERNELS.replace(".", "/") + ".py")
    assert any(path.with_name("__pycache__").glob("*.nbi"))  # machine code is kept
    source = path.read_text()
    assert source.count(CHANGE[0]) == 1
    path.write_text(source.replace(*CHANGE))
    assert run() != first


def test_a_function_runs_where_its_code_cannot_be_kept_and_the_remedy_is_named():
    """numba finds no place for code without a file, as for a file where nothing can be written."""
    there: dict = {}
    exec("def double(x):\n    return 2 * x", there)
    with pytest.warns(UserWarning, match="set NUMBA_CACHE_DIR to a folder"):
        double = compiled(there["double"])
    assert double(3) == 6
