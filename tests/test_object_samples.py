"""Samples of what users' own objects compute, by which a change in what they import is noticed."""

import sys

import numpy as np
import pytest
import torch

from shd_helpers.network.surrogates import SAMPLED
from shd_helpers.objects import ObjectError
from shd_helpers.study.object_samples import (
    SampleError,
    check_same,
    read_samples,
    samples_of,
    write_samples,
)

CODE = """
import snntorch as snn
import torch
from snntorch import surrogate
from amount import AMOUNT

steep = surrogate.fast_sigmoid(slope=AMOUNT)

def slow(n, **options):
    return snn.Synaptic(alpha=0.8, beta=0.9, **options)

def recurrent(n, **options):
    return snn.RLeaky(beta=0.9, linear_features=n, **options)

class Sum(torch.nn.Module):
    def __init__(self, n_units, n_classes):
        super().__init__()
        self.fc = torch.nn.Linear(n_units, n_classes)

    def forward(self, frames):
        return AMOUNT * self.fc(frames.sum(0))
"""


@pytest.fixture
def mine(tmp_path):
    """A user's file that imports a number from a file beside it."""
    (tmp_path / "amount.py").write_text("AMOUNT = 3.0\n")
    (tmp_path / "mine.py").write_text(CODE)
    yield tmp_path / "mine.py"
    sys.modules.pop("amount", None)


def fresh_process():
    """Forget what was imported from the user's files, as a new process has."""
    for name in list(sys.modules):
        if name == "amount" or name.startswith("shd_object_"):
            del sys.modules[name]


def test_a_surrogates_sample_is_its_gradient(mine):
    (sample,) = samples_of({"surrogate": f"{mine}:steep"}, 5).values()
    np.testing.assert_allclose(sample, 1 / (1 + 3 * np.abs(SAMPLED)) ** 2)


def test_a_neurons_sample_is_its_response_to_a_constant_current(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import snntorch as snn\ndef leaky(n, **kw):\n    return snn.Leaky(beta=0.9, **kw)\n"
    )
    (sample,) = samples_of({"neuron": f"{path}:leaky"}, 5).values()
    spk_and_mem = np.array(sample).reshape(20, 2, 4)
    potential = np.zeros(4)
    for spk, mem in spk_and_mem:  # U[t] = 0.9 U[t-1] + I - (U[t-1] > 1)
        potential = 0.9 * potential + np.linspace(0.1, 0.7, 4) - (potential > 1)
        np.testing.assert_allclose(mem, potential, atol=1e-5)
        np.testing.assert_array_equal(spk, potential > 1)


TWO_STATES = """
import torch

class Leaky(torch.nn.Module):
    def __init__(self, n, spike_grad):
        super().__init__()
        self.n = n

    def reset_mem(self):
        return {kind}((torch.zeros(1, self.n), torch.zeros(1, self.n)))

    def forward(self, cur, syn, mem):
        syn = 0.5 * syn + cur
        mem = 0.9 * mem + syn
        spk = (mem > 1).float()
        return spk, syn, mem - spk
"""


@pytest.mark.parametrize("kind", ["tuple", "list"])
def test_a_neuron_may_return_its_states_as_a_list(tmp_path, kind):
    path = tmp_path / "mine.py"
    path.write_text(TWO_STATES.format(kind=kind))
    (sample,) = samples_of({"neuron": f"{path}:Leaky"}, 5).values()
    spk_and_mem = np.array(sample).reshape(20, 2, 4)
    syn = np.zeros(4)
    potential = np.zeros(4)
    for spk, mem in spk_and_mem:
        syn = 0.5 * syn + np.linspace(0.1, 0.7, 4)
        potential = 0.9 * potential + syn
        np.testing.assert_array_equal(spk, potential > 1)
        potential -= potential > 1
        np.testing.assert_allclose(mem, potential, atol=1e-5)


FAULTY = """
import snntorch as snn
import torch

class OfOneUnit(snn.Leaky):
    def __init__(self, n, **options):
        super().__init__(beta=0.9, **options)

    def forward(self, cur, mem):
        spk, mem = super().forward(cur, mem)
        return spk[:, :1], mem

class Late(snn.Leaky):
    def __init__(self, n, **options):
        super().__init__(beta=0.9, **options)

    def forward(self, cur, mem):
        raise KeyError("late")

def no_neuron(n, **options):
    return torch.nn.Linear(n, n)

def raising(n, *args, **options):
    raise OSError("no such file")

class Names(torch.nn.Module):
    def __init__(self, n_units, n_classes):
        super().__init__()

    def forward(self, frames):
        return ["zero", "one"]

class Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        if x.dtype == torch.float64:
            raise TypeError("only float32")
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, grad):
        return grad

single = Step.apply
"""


@pytest.mark.parametrize(
    ("setting", "name", "message"),
    [
        ("neuron", "OfOneUnit", r"neuron mine.py:OfOneUnit: .* spikes of shape \(1, 1\)"),
        ("neuron", "Late", "neuron mine.py:Late: computing .* raised KeyError: 'late'"),
        ("neuron", "no_neuron", "neuron mine.py:no_neuron: .* raised AttributeError: .*reset_mem"),
        ("neuron", "raising", "neuron mine.py:raising: .* raised OSError: no such file"),
        ("network", "raising", "network mine.py:raising: .* raised OSError: no such file"),
        ("network", "Names", "network mine.py:Names: .* raised AttributeError"),
        ("surrogate", "single", "surrogate mine.py:single: .* raised TypeError: only float32"),
    ],
)
def test_an_object_that_raises_an_exception_is_named(tmp_path, setting, name, message):
    path = tmp_path / "mine.py"
    path.write_text(FAULTY)
    with pytest.raises(ObjectError, match=message):
        samples_of({setting: f"{path}:{name}"}, 5)


@pytest.mark.parametrize(("setting", "name"), [("network", "Sum"), ("neuron", "recurrent")])
def test_a_sample_has_its_own_seed_and_leaves_the_others(mine, setting, name):
    torch.manual_seed(7)
    first = samples_of({setting: f"{mine}:{name}"}, 5)
    drawn = torch.rand(1)
    torch.manual_seed(7)
    torch.testing.assert_close(torch.rand(1), drawn)
    assert samples_of({setting: f"{mine}:{name}"}, 5) == first


def test_networks_for_two_inputs_are_compared_each_with_itself(mine, tmp_path):
    path = tmp_path / "table_objects.json"
    for n_units in (5, 9):
        samples = samples_of({"network": f"{mine}:Sum"}, n_units)
        check_same(samples, read_samples(path))
        write_samples(path, samples)
    assert len(read_samples(path)) == 2


@pytest.mark.parametrize(("setting", "name"), [("surrogate", "steep"), ("network", "Sum")])
def test_a_change_in_what_a_file_imports_is_noticed(mine, setting, name):
    before = samples_of({setting: f"{mine}:{name}"}, 5)
    check_same(before, before)
    fresh_process()
    (mine.parent / "amount.py").write_text("AMOUNT = 44.0\n")
    today = samples_of({setting: f"{mine}:{name}"}, 5)
    with pytest.raises(SampleError, match=rf"mine.py:{name} returns different values than before"):
        check_same(today, before)


def test_rounding_is_no_change(mine):
    before = samples_of({"surrogate": f"{mine}:steep"}, 5)
    check_same({name: [1.00001 * x for x in sample] for name, sample in before.items()}, before)


def test_samples_of_an_earlier_object_stay_in_the_file(tmp_path):
    path = tmp_path / "table_objects.json"
    assert read_samples(path) == {}
    write_samples(path, {"a.py:f 12": [1.0]})
    write_samples(path, {"b.py:f 34": [2.0], "a.py:f 12": [9.0]})
    assert read_samples(path) == {"a.py:f 12": [1.0], "b.py:f 34": [2.0]}


def test_settings_without_references_have_no_samples():
    assert samples_of({"surrogate": "fast_sigmoid", "network": "spiking"}, 5) == {}


def test_the_object_that_has_changed_is_named_with_all_its_arguments(tmp_path):
    path = tmp_path / "my file.py"
    path.write_text("from snntorch import surrogate\n\nslow = surrogate.fast_sigmoid\n")
    samples = samples_of({"surrogate": f"{path}:slow(slope=3.0)"}, 5)
    (name,) = samples
    with pytest.raises(SampleError, match=r"^my file\.py:slow\(slope=3\.0\) returns"):
        check_same({name: [0.0]}, samples)
