"""Runs of adaptive, deep, combined and foreign networks are written, read back and counted."""

import warnings

import numpy as np
import pytest
import torch

from evidence.networks import save_pretrained
from shd_circuit.nir_file import unwritable_reasons
from shd_circuit.quantize import integer_network
from shd_helpers.events import Subsets
from shd_helpers.network import (
    Quantization,
    build_network,
    costs,
)
from shd_helpers.study import (
    evaluate,
    load_network,
    load_pretrained,
)
from shd_helpers.study.recipe import Recipe
from shd_helpers.user_code import UserCodeError
from tests.builders.events import random_events
from tests.builders.run_folders import trained_run

SMALL = {"n_hidden": 12, "pool_steps": 10, "pool_units": 20, "epochs": 1, "score_test": False}
GRID = Recipe.from_flat(SMALL).input
EVENTS = random_events(20, GRID.n_steps, GRID.n_units, 10, 0.15)
DATA = {"name": "hand", "train_sha256": "1", "test_sha256": "2"}
MINE = """
import snntorch as snn
import torch
from torch import nn

from shd_helpers.network import SpikingNetwork


class Boxcar(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        return gradient * (x.abs() < 0.5)


def boxcar(x):
    return Boxcar.apply(x)


def synaptic(n, **options):
    return snn.RSynaptic(0.8, 0.9, linear_features=n, **options)


def two_layers(n_units, n_classes):
    return SpikingNetwork((n_units, 8, 6, n_classes), spike_grad=boxcar, neuron=synaptic)


class Means(nn.Module):
    def __init__(self, n_units, n_classes):
        super().__init__()
        self.fc = nn.Linear(n_units, n_classes)

    def forward(self, frames):
        return self.fc(frames.mean(0))


def nothing(n_units, n_classes):
    return None


def fails(n_units, n_classes):
    return 1 / 0


NUMBER = 3
"""
KINDS = {
    "adaptive": {"neuron": "adaptive", "adapt_ms": 60.0, "learn_beta": True},
    "adaptive, membrane": {"neuron": "adaptive", "readout": "membrane", "learn_threshold": True},
    "two hidden layers": {"hidden": "9,7"},
    "shared weights": {"kernel_size": 10, "stride": 5, "surrogate": "atan", "slope": 3.0},
    "hidden delays": {"hidden": "9,7", "hidden_delays": "3,2", "n_delays": 2},
    "own surrogate": {"surrogate": "mine.py:boxcar"},
    "own neuron": {"neuron": "mine.py:synaptic"},
    "own network": {"network": "mine.py:two_layers"},
    "own module": {"network": "mine.py:Means"},
}


@pytest.fixture(autouse=True)
def mine(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "mine.py"


def trained(folder, changes):
    """Train a network by its settings, and read its run folder."""
    recipe = Recipe.from_flat(SMALL | changes)
    parts = Subsets(EVENTS.take(range(12)), EVENTS.take(range(12, 20)), None)
    return trained_run(recipe, folder, parts, DATA, gain=3)


@pytest.mark.filterwarnings("ignore:.*instead of the compiled engine")
@pytest.mark.parametrize("changes", KINDS.values(), ids=KINDS.keys())
def test_a_run_of_any_network_is_read_back(tmp_path, changes):
    model, run = trained(tmp_path / "run", changes)
    assert "other_network" not in run.info
    found = load_network(run, trust=True)
    wanted = evaluate(model, EVENTS).class_scores
    assert wanted.any() and torch.equal(evaluate(found.network, EVENTS).class_scores, wanted)
    save_pretrained(run, tmp_path / "pretrained.npz")
    again = load_pretrained(tmp_path / "pretrained.npz", trust=True)
    assert torch.equal(evaluate(again.network, EVENTS).class_scores, wanted)
    assert len(run.epochs) == 1 and len(run.predictions) == 8


def test_the_classes_of_a_module_cannot_be_selected(tmp_path):
    _, run = trained(tmp_path / "module", KINDS["own module"])
    with pytest.raises(ValueError, match="the tensors of a Means don't say to which class"):
        load_network(run, trust=True).speaking("english")


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ({"network": "mine.py:nothing"}, "network mine.py:nothing: returned a NoneType. A network"),
        ({"network": "mine.py:fails"}, r"making it for 27 units and 10 classes raised ZeroDivis"),
        ({"network": "mine.py:NUMBER"}, "mine.py: NUMBER is a value of type int, which can.t be"),
        ({"network": "mine.py:absent"}, "there is no absent in it. It has: "),
        ({"neuron": "mine.py:NUMBER"}, "mine.py: NUMBER is a value of type int, which can.t be"),
        ({"neuron": "mine.py:boxcar"}, "lif1: making a neuron of 12 units raised TypeError"),
        ({"surrogate": "mine.py:synaptic"}, "mine.py:synaptic"),
        ({"surrogate": "other.py:boxcar"}, "there is no file other.py"),
    ],
)
def test_an_object_that_cannot_be_used_is_named(setting, problem):
    config = Recipe.from_flat(SMALL | setting).network
    with pytest.raises(UserCodeError, match=problem) as error:
        build_network(config, GRID.n_units, 10, GRID.step_ms, torch.Generator())
    assert "\n" not in str(error.value)


def test_a_spiking_network_of_one_s_own_for_steps_of_another_length_is_told():
    config = Recipe.from_flat(SMALL | KINDS["own network"]).network
    message = "network mine.py:two_layers: its SpikingNetwork was made for steps of 3 ms.*10 ms"
    with pytest.warns(UserWarning, match=message):
        build_network(config, 20, 10, 10.0, torch.Generator())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build_network(config, 20, 10, 3.0, torch.Generator())


def test_foreign_networks_get_their_first_weights_from_the_run_s_seed():
    config = Recipe.from_flat(SMALL | KINDS["own module"]).network
    state = torch.get_rng_state()
    weights = []
    for seed in (0, 0, 1):
        generator = torch.Generator().manual_seed(seed)
        weights.append(build_network(config, 20, 10, 3.0, generator).fc.weight)
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.get_rng_state(), state)


# --- costs --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["adaptive", "hidden delays", "two hidden layers"])
def test_costs_are_those_that_are_counted_one_by_one(kind):
    config = Recipe.from_flat(SMALL | KINDS[kind]).network
    generator = torch.Generator().manual_seed(0)
    model = build_network(config, GRID.n_units, 10, GRID.step_ms, generator)
    with torch.no_grad():
        for fc, _ in model.layers:
            fc.weight *= 4
            fc.weight[:, ::3] = 0
    evaluation = evaluate(model, EVENTS, batch_size=7)
    predictions = evaluation.predictions()
    found = costs(model, predictions, GRID.n_steps)
    states = model.record(torch.from_numpy(EVENTS.to_frames(range(len(EVENTS)))))
    met = np.zeros(len(EVENTS))
    inputs = [torch.from_numpy(EVENTS.to_frames(range(len(EVENTS)))), *states.hidden_spk]
    for spk, delays, (fc, _) in zip(inputs, model.layer_delays, model.layers, strict=True):
        n = spk.shape[2]
        for k, delay in enumerate(delays):
            fan = (fc.weight[:, k * n : (k + 1) * n] != 0).sum(0).numpy()
            if spk is not inputs[0]:
                fan = np.full(n, fan.mean())  # which neuron has spiked isn't kept
            arriving = spk.detach()[: max(0, GRID.n_steps - delay)].sum(0).numpy()
            met += arriving @ fan
    assert states.hidden_spk[0].any()
    assert predictions.effective_acs.tolist() == pytest.approx(met.tolist())
    n_neurons = sum(config.hidden_sizes) + 10
    n_states = n_neurons + (12 if kind == "adaptive" else 0)
    assert found["neuron_updates"] == GRID.n_steps * n_states
    spikes = predictions.hidden_spikes.mean() + predictions.output_spikes.mean()
    assert found["activation_sparsity"] == pytest.approx(1 - spikes / GRID.n_steps / n_neurons)
    assert found["unrolled_synapses"] == sum(int((fc.weight != 0).sum()) for fc, _ in model.layers)


# --- circuits -----------------------------------------------------------------------------------

WITHOUT_CIRCUIT = {
    "adaptive": ("neuron 'adaptive': a circuit has leaky", "AdaptiveLeaky"),
    "two hidden layers": ("hidden '9,7': a circuit has one hidden", " one hidden layer"),
    "hidden delays": ("hidden_delays '3,2': a circuit delays its", "layer 2 gets copies of the"),
    "own neuron": ("neuron 'mine.py:synaptic': a circuit has leaky", "RSynaptic"),
    "own network": ("network 'mine.py:two_layers': a circuit needs", "RSynaptic"),
    "own module": ("network 'mine.py:Means': a circuit needs", "Means"),
}


@pytest.mark.parametrize("kind", WITHOUT_CIRCUIT)
def test_what_a_circuit_and_nir_cannot_express_is_named(kind):
    by_settings, by_network = WITHOUT_CIRCUIT[kind]
    bits = Quantization.named("4-8-12 product")
    config = Recipe.from_flat(SMALL | KINDS[kind]).network
    model = build_network(config, GRID.n_units, 10, GRID.step_ms, torch.Generator())
    with pytest.raises(ValueError, match=by_settings):
        integer_network(model, config, GRID, bits)
    with pytest.raises(ValueError, match=by_settings):
        Recipe.from_flat(SMALL | KINDS[kind] | {"circuit": "4-8-12 product"})
    plain = Recipe.from_flat(SMALL).network
    with pytest.raises(ValueError, match=by_network):
        integer_network(model, plain, GRID, bits)
    assert by_network in "; ".join(unwritable_reasons(model))
