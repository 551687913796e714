"""Which files a user's code consists of, against what Python imports, and the hash of them."""

import functools
import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import shd_corpus
import shd_engine.scanning
import shd_judge
from shd_helpers import user_code
from shd_helpers.user_code import (
    UnidentifiedError,
    hash_of_files,
    identity_of,
    is_installed,
    local_files,
)

FILES = {
    "mine.py": "import math\nimport beside\nfrom nets import deep\nfrom nets.wide import make\n",
    "beside.py": "def late():\n    import only_in_a_function\n",
    "only_in_a_function.py": "import mine\n",
    "unused.py": "",
    "nets/__init__.py": "",
    "nets/deep.py": "from . import shared\nfrom .inner.neuron import Neuron\n",
    "nets/shared.py": "",
    "nets/wide.py": "from nets.inner import neuron\n\ndef make():\n    pass\n",
    "nets/unused.py": "",
    "nets/inner/__init__.py": "",
    "nets/inner/neuron.py": "from ..shared import *\n\nNeuron = 1\n",
}
UNUSED = {"unused.py", "nets/unused.py"}
LIST = """
import json, sys
import {}
files = [getattr(each, "__file__", None) for each in sys.modules.values()]
print(json.dumps([each for each in files if each]))
"""


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        path = tmp_path / "project" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "project"


def names(files, folder):
    return {file.relative_to(folder).as_posix() for file in files}


def test_modules_beside_a_file_are_found_recursively(folder):
    assert names(local_files(folder / "mine.py"), folder) == set(FILES) - UNUSED


@pytest.mark.parametrize("name", ["mine", "nets.wide", "nets.inner.neuron"])
def test_all_files_that_python_imports_from_the_project_are_found(folder, name):
    """Python itself lists what it has imported. `nets.wide` imports from the folder above it."""
    ended = subprocess.run(
        [sys.executable, "-S", "-c", LIST.format(name)],
        cwd=folder,
        env={"PYTHONPATH": str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {Path(file) for file in json.loads(ended.stdout)}
    here = {file for file in imported if file.is_relative_to(folder)}
    found = set(local_files(folder / f"{name.replace('.', '/')}.py"))
    assert here and here <= found


def test_installed_packages_and_this_one_are_not_followed(folder):
    path = folder / "mine.py"
    path.write_text("import numpy, shd_helpers, shd_engine, pathlib\n")
    assert local_files(path) == [path]
    for module in (json, pytest, user_code, shd_engine.scanning, shd_judge, shd_corpus):
        assert is_installed(Path(module.__file__))
    assert not is_installed(path)


@pytest.mark.parametrize("text", ["def broken(:\n", "\0", "import mine\n", "import beside.b.c\n"])
def test_a_file_that_cannot_be_parsed_or_imports_itself_is_listed(folder, text):
    (folder / "mine.py").write_text(text)
    assert folder / "mine.py" in local_files(folder / "mine.py")


def test_the_hash_depends_on_names_and_bytes_alone(folder):
    files = local_files(folder / "mine.py")
    before = hash_of_files(files)
    assert hash_of_files(reversed(files)) == before
    moved = folder.rename(folder.with_name("moved"))
    assert hash_of_files(local_files(moved / "mine.py")) == before
    (moved / "nets" / "unused.py").write_text("# changed")
    assert hash_of_files(local_files(moved / "mine.py")) == before
    (moved / "nets" / "shared.py").write_text("# changed")
    assert hash_of_files(local_files(moved / "mine.py")) != before


@pytest.fixture
def module(folder, monkeypatch):
    """A module of the project, whose files are older than this program."""
    for file in folder.rglob("*.py"):
        os.utime(file, (0, 0))
    monkeypatch.syspath_prepend(folder)
    for name in [name for name in sys.modules if name.split(".")[0] in ("nets", "beside", "mine")]:
        monkeypatch.delitem(sys.modules, name)
    return importlib.import_module("mine")


def test_a_function_is_identified_by_its_name_and_its_files(module, folder):
    first = identity_of(module.make)
    assert first == identity_of(module.make)
    neuron = folder / "nets" / "inner" / "neuron.py"  # which nets/wide.py imports
    neuron.write_text(f"{neuron.read_text()}# a comment\n")
    os.utime(neuron, (0, 0))
    assert identity_of(module.make) != first


@pytest.mark.parametrize(
    ("thing", "why"),
    [
        (lambda: 0, "at the top level"),
        (functools.partial(len), "at the top level"),
        (3, "at the top level"),
    ],
)
def test_what_is_not_at_the_top_level_of_a_file_is_not_identified(thing, why):
    with pytest.raises(UnidentifiedError, match=why):
        identity_of(thing)


def test_a_file_that_changed_after_the_program_started_identifies_nothing(module, folder):
    (folder / "nets" / "inner" / "neuron.py").write_text("Neuron = 2\n")  # its time is now
    with pytest.raises(UnidentifiedError, match="changed since this program started"):
        identity_of(module.make)


def test_installed_things_are_identified_by_their_names():
    assert identity_of(torch.nn.functional.cross_entropy) == "torch.nn.functional.cross_entropy"
    assert identity_of(shd_judge.compare) == "shd_judge.comparison.compare"
