"""The package by itself: its README, what it needs, and an environment that has nothing else."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import shd_engine

CODE = Path(shd_engine.__file__).parent
PACKAGE = Path(__file__).resolve().parents[1]
ROOT = PACKAGE.parents[1]
WITHOUT_OTHERS = """
import importlib.abc
import sys


class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("shd_corpus", "shd_helpers", "shd_judge"):
            raise ModuleNotFoundError(f"{name} isn't installed here", name=name)


sys.meta_path.insert(0, Block())
"""
SEED = """
import torch
torch.manual_seed(0)
"""
CHECKS = """
assert isinstance(fast, engine.CompiledNetwork) and net.fc1.weight.grad.any()
own_spk, own_mem = net(x)
found_spk, found_mem = fast(events)
assert torch.equal(own_spk, found_spk)
torch.testing.assert_close(own_mem, found_mem, rtol=1e-4, atol=1e-5)
print(engine.__file__)
"""
FEWER_UNITS = """
events = engine.EventLists.of(x[:, :, :183])
"""
SCAN = """
spk, mem = Recurrent()(x[:, :, :183])
assert spk.shape == mem.shape == (50, 8, 10)
spk.sum().backward()
"""
ONE_STEP = """
assert spk.shape == mem.shape == (50, 8, 10)
"""
DELAYED = """
fast.loss_and_gradients(events, labels)
assert hidden.position.grad.any()
"""


@pytest.mark.slow
def test_the_lines_of_the_readme_train_a_network(tmp_path):
    """They run where the study's other packages can't be imported."""
    pages = [(PACKAGE / name).read_text(encoding="utf-8") for name in ("README.md", "details.md")]
    blocks = re.findall(r"```python\n(.*?)```", "".join(pages), re.S)
    module, first, one_step, as_events, fastest, recurrent, delayed, *_ = blocks
    ways = SEED + module + first + one_step + ONE_STEP + as_events + fastest + CHECKS
    code = WITHOUT_OTHERS + ways + recurrent + SCAN + FEWER_UNITS + delayed + DELAYED
    (tmp_path / "readme.py").write_text(code, encoding="utf-8")
    command = [sys.executable, "-W", "error::UserWarning:__main__", "readme.py"]
    environment = {"PYTHONPATH": str(PACKAGE), "HOME": str(Path.home())}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()) == CODE / "__init__.py"


@pytest.mark.parametrize("name", ["recurrent_digits", "se_adlif"])
def test_the_page_quotes_the_examples(name):
    page = (PACKAGE / "details.md").read_text(encoding="utf-8")
    quoted = page.split(f"[{name}.py](engine_examples/{name}.py)")[1].split("```")[1]
    code = (PACKAGE / "engine_examples" / f"{name}.py").read_text(encoding="utf-8")
    lines = [line.strip() for line in code.splitlines()]
    assert {*quoted.removeprefix("python\n").splitlines()} <= {*lines}


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
    return found - {*sys.stdlib_module_names, "shd_engine"}


def test_it_needs_exactly_what_it_imports_in_the_study_s_versions():
    needed = project(PACKAGE)["dependencies"]
    names = {re.match(r"[\w-]+", each)[0] for each in needed}
    assert names == imported_packages() - {"llvmlite"}  # which numba brings
    assert {*needed} <= {*project(ROOT)["dependencies"]}


def test_lists_of_events_need_no_torch():
    code = "import sys, shd_engine.event_lists; assert 'torch' not in sys.modules"
    environment = os.environ | {"PYTHONPATH": str(PACKAGE)}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
