"""Samples of what users' own objects compute, by which a change in what they import is noticed."""

import sys

import numpy as np
import pytest
import torch

from shd_helpers.network.surrogates import SAMPLED
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


def test_a_networks_sample_has_its_own_seed_and_leaves_the_others(mine):
    torch.manual_seed(7)
    first = samples_of({"network": f"{mine}:Sum"}, 5)
    drawn = torch.rand(1)
    torch.manual_seed(7)
    torch.testing.assert_close(torch.rand(1), drawn)
    assert samples_of({"network": f"{mine}:Sum"}, 5) == first


@pytest.mark.parametrize(("setting", "name"), [("surrogate", "steep"), ("network", "Sum")])
def test_a_change_in_what_a_file_imports_is_noticed(mine, setting, name):
    before = samples_of({setting: f"{mine}:{name}"}, 5)
    check_same(before, before)
    fresh_process()
    (mine.parent / "amount.py").write_text("AMOUNT = 44.0\n")
    today = samples_of({setting: f"{mine}:{name}"}, 5)
    with pytest.raises(SampleError, match=rf"mine.py:{name} computes something else than before"):
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
