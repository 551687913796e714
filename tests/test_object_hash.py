"""Hashes of users' objects: what changes them, and that other processes compute the same."""

import functools
import importlib
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from shd_helpers.study.object_hash import UnstableObjectError, hash_of_object

NETS = """
import logging, threading
import functools
from torch import nn
import layers

LOCK = threading.Lock()  # nothing can read it, but the file says what it is
MOMENTUM = 0.1
NAMES = {"one", "two", "three", "four"}

class Net(nn.Module):
    momentum = 0.1

    def __init__(self, n_units, n_classes):
        super().__init__()
        self.norm = nn.BatchNorm1d(n_units, momentum=MOMENTUM)
        self.first = layers.make(n_units, n_classes)

    @property
    def size(self):
        return len(NAMES)

    @staticmethod
    def of(n_units):
        return Net(n_units, 2)

@functools.lru_cache
def cached(n_units, n_classes):
    return Net(n_units, n_classes)

def imports_late(n_units, n_classes):
    import late
    return late.make(n_units, n_classes)
"""
LAYERS = "from torch import nn\n\ndef make(n_units, n_classes):\n    return nn.Linear(n_units, 3)\n"
CELL = """
import numpy as np, torch, nets
from nets import Net, cached, imports_late

SCALE = 2.0
SHAPES = {"a", "b", "c", (1, 2), frozenset({"d", "e"})}
VALUES = np.arange(3.0), torch.ones(2, dtype=torch.bfloat16), [1, {"x": None}]

class InCell(Net):
    def forward(self, frames):
        return super().forward(frames) * SCALE

def cell(n_units, n_classes, *, unused=lambda: SHAPES):
    return InCell(n_units, n_classes), VALUES, nets.layers.make
"""
NAMES = ("cell", "InCell", "Net", "cached", "imports_late", "nets")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "nets.py").write_text(NETS)
    for name in ("layers", "late"):
        (tmp_path / f"{name}.py").write_text(LAYERS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # its time has no fractions of a second
    yield tmp_path
    for name in ("nets", "layers", "late"):
        sys.modules.pop(name, None)


def run_cell(code=CELL):
    """Run code as a notebook does, in a module without a file."""
    namespace = {"__name__": "a_notebook"}
    exec(compile(code, "/tmp/ipykernel_1/1.py", "exec"), namespace)
    return namespace


def test_other_processes_compute_the_same_hashes(folder):
    namespace = run_cell()
    here = [hash_of_object(namespace[name]) for name in NAMES]
    code = (
        f"{CELL}\nfrom shd_helpers.study.object_hash import hash_of_object\n"
        f"print(*[hash_of_object(each) for each in ({', '.join(NAMES)})])"
    )
    path = os.pathsep.join([str(folder), *sys.path[1:], str(Path(__file__).parents[1])])
    ended = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": "1"},
        cwd=folder.parent,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ended.stdout.split() == here
    assert len(set(here)) == len(NAMES)


CHANGES = {
    "a constant": ("SCALE = 2.0", "SCALE = 3.0"),
    "a set": ('"b", "c"', '"b", "C"'),
    "values of numpy's": ("arange(3.0)", "arange(4.0)"),
    "values of torch's": ("torch.ones(2,", "2 * torch.ones(2,"),
    "a method of a global class": ("* SCALE", "+ SCALE"),
    "a default": ("lambda: SHAPES", "lambda: VALUES"),
    "a base class": ("(Net)", "(nets.nn.Module)"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_a_function_in_a_notebook_uses_counts(folder, change):
    before = hash_of_object(run_cell()["cell"])
    assert hash_of_object(run_cell()["cell"]) == before
    assert hash_of_object(run_cell(CELL.replace(*change))["cell"]) != before


@pytest.mark.parametrize("file", ["nets.py", "layers.py", "late.py"])
@pytest.mark.parametrize("name", ["Net", "imports_late", "cell"])
def test_a_comment_in_a_file_or_one_that_it_imports_counts(folder, name, file):
    before = hash_of_object(run_cell()[name])
    (folder / "unused.py").write_text("")
    assert hash_of_object(run_cell()[name]) == before
    (folder / file).write_text(f"# changed\n{(folder / file).read_text()}")
    assert hash_of_object(run_cell()[name]) != before


@pytest.mark.parametrize("name", ["Net", "cached", "cell"])
def test_code_that_was_loaded_counts_beside_the_file(folder, name):
    """A file that was edited and not imported again runs as it was before."""
    hashes = [hash_of_object(run_cell()[name])]
    (folder / "layers.py").write_text(LAYERS.replace("3", "n_classes"))
    hashes.append(hash_of_object(run_cell()[name]))
    importlib.reload(sys.modules["layers"])
    hashes.append(hash_of_object(run_cell()[name]))
    assert len(set(hashes)) == 3
    (folder / "layers.py").write_text(LAYERS)
    importlib.reload(sys.modules["layers"])
    assert hash_of_object(run_cell()[name]) == hashes[0]


@pytest.mark.parametrize("name", ["Net", "cached", "cell", "nets"])
def test_values_that_are_set_from_outside_count(folder, name, monkeypatch):
    thing = run_cell()[name]
    hashes = {hash_of_object(thing)}
    nets = sys.modules["nets"]
    monkeypatch.setattr(nets, "MOMENTUM", 0.9)
    hashes.add(hash_of_object(thing))
    monkeypatch.setattr(nets.Net, "momentum", 0.9)
    hashes.add(hash_of_object(thing))
    assert len(hashes) == 3


class Maker:
    """Makes networks when it is called."""

    def __init__(self, width):
        self.width = width

    def __call__(self, n_units, n_classes):
        return nn.Linear(n_units, self.width)

    def make(self, n_units, n_classes):
        return self(n_units, n_classes)


def made(value, how):
    """Return a function that differs in a value alone, of which there are many kinds."""

    def closure(n_units, n_classes):
        return value

    def default(n_units, n_classes, value=value):
        return value

    def keyword(n_units, n_classes, *, value=value):
        return value

    def attribute(n_units, n_classes):
        return attribute.value

    attribute.value = value
    return {
        "closure": closure,
        "default": default,
        "keyword": keyword,
        "attribute": attribute,
        "partial": functools.partial(Maker, width=value),
        "positional": functools.partial(Maker, value),
        "instance": Maker(value),
        "method": Maker(value).make,
        "lambda": lambda n_units, n_classes: value,
        "class": type("Made", (nn.Module,), {"value": value}),
    }[how]


HOWS = [
    "closure",
    "default",
    "keyword",
    "attribute",
    "partial",
    "positional",
    "instance",
    "method",
    "lambda",
    "class",
]


@pytest.mark.parametrize("how", HOWS)
def test_a_value_counts_wherever_it_is_kept(how):
    values = [1, 2, True, 1.0, "1", (1,), [1], {1}, {"x": 1}, Maker(1), Maker(2), Path("1"), len]
    values += [np.float64(1), np.arange(2), torch.ones(1), torch.ones(1, 1), torch.relu, torch.int8]
    values += [nn.Dropout(0.1), nn.Dropout(0.2), torch.nn, type(None), max]
    hashes = [hash_of_object(made(value, how)) for value in values]
    assert len(set(hashes)) == len(values)
    assert hashes[9:12] == [
        hash_of_object(made(value, how)) for value in (Maker(1), Maker(2), Path("1"))
    ]


def test_objects_that_contain_each_other_have_a_hash():
    pair = [1, []]
    pair[1].append(pair)
    other = [2, []]
    other[1].append(other)
    assert hash_of_object(pair) != hash_of_object(other)


@pytest.mark.parametrize("value", [threading.Lock(), (i for i in "ab"), nn.LazyLinear(2)])
def test_what_cannot_be_read_has_no_hash(value):
    with pytest.raises(UnstableObjectError, match=r"^it uses an object of type .*whose content"):
        hash_of_object(made(value, "closure"))
