"""Which files a user's code consists of, against what Python imports, and the hash of them.

Objects of the user's own, named by a text such as ``mine.py:boxcar``.
"""

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
    UserCodeError,
    find_file,
    hash_of_files,
    identity_of,
    is_installed,
    is_reference,
    load_object,
    local_files,
    with_absolute_path,
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


CODE = """
def constant():
    return 7

def scaled(x, factor=2):
    return factor * x

NUMBER = 3
"""


@pytest.fixture
def mine(tmp_path):
    """A file of a user, in a folder whose name has a space."""
    path = tmp_path / "my folder" / "mine.py"
    path.parent.mkdir()
    path.write_text(CODE)
    return path


def test_a_setting_is_a_reference_if_it_names_a_python_file():
    assert is_reference("mine.py:boxcar")
    assert is_reference("a folder/mine.py:boxcar")
    assert is_reference("mine.py:")  # misspelled, which `load_object` says
    assert not is_reference("fast_sigmoid")
    assert not is_reference(2.0)


def test_a_relative_path_counts_from_the_working_directory_or_from_a_folder(mine, monkeypatch):
    monkeypatch.chdir(mine.parent)
    assert load_object("mine.py:constant")() == 7
    monkeypatch.chdir(mine.parents[2])
    assert find_file("my folder/mine.py:constant", mine.parents[1]) == mine
    with pytest.raises(UserCodeError, match=r"no file mine.py in .*Correct the path"):
        load_object("mine.py:constant")


def test_a_file_may_import_its_neighbors(mine):
    (mine.parent / "beside.py").write_text("NUMBER = 5\n")
    mine.write_text("import beside\n\ndef constant():\n    return beside.NUMBER\n")
    assert load_object(f"{mine}:constant")() == 5


def test_a_changed_file_is_imported_again(mine):
    assert load_object(f"{mine}:constant")() == 7
    mine.write_text(CODE.replace("return 7", "return 8"))
    assert load_object(f"{mine}:constant")() == 8


def test_the_same_content_is_imported_once(mine):
    mine.write_text(f"{CODE}\nclass Mine:\n    pass\n")
    assert load_object(f"{mine}:Mine") is load_object(f"{mine}:Mine")


@pytest.mark.parametrize(
    ("behind", "message"),
    [
        (":", "give a file and the name of a function or class in it"),
        (":const", "there is no const in it. It has: constant, scaled, NUMBER"),
        (
            ":scaled(factor=3)",
            "a function or class in it, without arguments, such as mine.py:boxcar",
        ),
        (":NUMBER", "NUMBER is a value of type int, which can't be called. Give the name of a"),
    ],
)
def test_a_wrong_reference_gets_a_sentence(mine, behind, message):
    with pytest.raises(UserCodeError, match=message):
        load_object(f"{mine}{behind}")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\nboom\n", "importing it raised NameError: name 'boom' is not defined in line 2"),
        ("def f(:\n", "importing it raised SyntaxError: invalid syntax in line 1"),
        ("import no_such_package\n", "importing it raised ModuleNotFoundError: .* in line 1"),
        ("import sys\nsys.exit(3)\n", "importing it raised SystemExit: 3 in line 2"),
    ],
)
def test_a_file_that_raises_is_named_with_the_line(mine, code, message):
    mine.write_text(code)
    with pytest.raises(UserCodeError, match=f"mine.py: {message}"):
        load_object(f"{mine}:constant")


def test_a_reference_with_an_absolute_path_means_the_same_elsewhere(mine, monkeypatch, tmp_path):
    absolute = with_absolute_path("mine.py:scaled", mine.parent)
    monkeypatch.chdir(tmp_path)
    assert load_object(absolute)(10) == 20
    assert absolute == f"{mine}:scaled"
