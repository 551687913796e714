"""The study's networks in the compiled engine, and in snntorch's loop."""

import csv

import numpy as np
import pytest
import snntorch as snn
import torch

from shd_circuit.quantize import unsupported_by_circuit
from shd_helpers.network import NetworkConfig, engine, module_engine
from shd_helpers.network.engine import COMPILED
from shd_helpers.network.spiking import SpikingNetwork
from tests import RESULTS
from tests.builders.events import random_events

SIZES = (20, 30, 17, 6)
SETTINGS = {
    "adaptive": {"neuron": "adaptive", "adapt_ms": 40.0},
    "delays": {"hidden_delays": "3,2"},
    "all": {
        "neuron": "adaptive",
        "n_delays": 2,
        "hidden_delays": "2,4",
        "readout": "membrane",
        "learn_beta": True,
        "learn_threshold": True,
    },
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_networks_of_settings_compute_what_snntorchs_loop_computes(settings):
    config = NetworkConfig(hidden="30,17", surrogate="atan", **settings)
    generator = torch.Generator().manual_seed(1)
    model = SpikingNetwork(SIZES, config, generator, step_ms=10.0)
    with torch.no_grad():
        for fc, _ in model.layers:
            fc.weight *= 3
            fc.bias += torch.linspace(-0.05, 0.1, len(fc.bias))
    events = random_events(9, 30, 20, 6, 0.2)
    index = np.array([4, 0, 1, 5, 3, 8])
    assert engine.choose_engine("compiled", model) is engine.COMPILED
    loss, scores = COMPILED.forward_backward(model, events, index)
    ours = {name: parameter.grad for name, parameter in model.named_parameters()}
    want_loss, want_scores = module_engine.forward_backward(model, events, index)
    assert loss == pytest.approx(want_loss, rel=1e-5)
    torch.testing.assert_close(scores, want_scores, rtol=1e-5, atol=1e-5)
    for name, parameter in model.named_parameters():
        size = torch.linalg.norm(parameter.grad)
        assert size > 0, name
        assert torch.linalg.norm(ours[name] - parameter.grad) < 1e-5 * size, name
    states = module_engine.record_spiking(model, events, index)
    spks = (*states.hidden_spk, states.spk)
    mems = (*states.hidden_mem, states.mem)
    recorded = COMPILED.record(model, events, index)
    for spk, wanted in zip((*recorded.hidden_spk, recorded.spk), spks, strict=True):
        assert torch.equal(spk, wanted)  # true for this seed
    for mem, wanted in zip((*recorded.hidden_mem, recorded.mem), mems, strict=True):
        torch.testing.assert_close(mem, wanted, rtol=1e-5, atol=1e-5)
    assert recorded.hidden_spk[0].sum() > 100


def test_circuits_refuse_what_the_engine_has_beyond_them():
    def reason(**settings):
        return unsupported_by_circuit(SpikingNetwork((20, 17, 6), NetworkConfig(**settings)))

    adaptive = "lif1 is a shd_engine.adaptive.AdaptiveLeaky, not snntorch's Leaky"
    assert reason(n_hidden=17) is None
    assert reason(n_hidden=17, neuron="adaptive") == adaptive
    late = "layer 2 gets copies of the spikes before it that are (0, 10) steps late"
    assert reason(n_hidden=17, hidden_delays="2") == late
    network = SpikingNetwork((20, 17, 6))
    network.fc1 = torch.nn.Linear(20, 17, bias=False)
    assert unsupported_by_circuit(network) == "fc1 has no biases"
    network.fc1 = torch.nn.Linear(20, 17)
    network.lif1 = snn.Leaky(beta=0.9, reset_mechanism="none")
    assert "lif1 doesn't subtract" in unsupported_by_circuit(network)


def test_the_slowdown_that_the_warning_names_is_the_committed_one():
    with (RESULTS / "bench.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["benchmark"] == "training step"]
    compiled = [row for row in rows if row["variant"] == "compiled"]
    ratios = {int(row["batch"]): float(row["ratio"]) for row in compiled}
    assert (round(ratios[128]), round(ratios[8])) == engine.SLOWDOWN
