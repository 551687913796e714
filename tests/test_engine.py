"""The study's networks in the compiled engine, and in snntorch's loop."""

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn

from shd_engine import compile
from shd_helpers.network import NetworkConfig, engine
from shd_helpers.network.engine import COMPILED
from shd_helpers.network.spiking import SpikingNetwork
from shd_helpers.study.training import TrainConfig, TrainOptions, fit
from tests.builders.events import random_events
from tests.builders.networks import Plain

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
    want_loss, want_scores = engine.SNNTORCH_LOOP.forward_backward(model, events, index)
    assert loss == pytest.approx(want_loss, rel=1e-5)
    torch.testing.assert_close(scores, want_scores, rtol=1e-5, atol=1e-5)
    for name, parameter in model.named_parameters():
        size = torch.linalg.norm(parameter.grad)
        assert size > 0, name
        assert torch.linalg.norm(ours[name] - parameter.grad) < 1e-5 * size, name
    states = engine.SNNTORCH_LOOP.record(model, events, index)
    spks = (*states.hidden_spk, states.spk)
    mems = (*states.hidden_mem, states.mem)
    recorded = COMPILED.record(model, events, index)
    for spk, wanted in zip((*recorded.hidden_spk, recorded.spk), spks, strict=True):
        assert torch.equal(spk, wanted)  # true for this seed
    for mem, wanted in zip((*recorded.hidden_mem, recorded.mem), mems, strict=True):
        torch.testing.assert_close(mem, wanted, rtol=1e-5, atol=1e-5)
    assert recorded.hidden_spk[0].sum() > 100


class OwnModule(Plain):
    """A user's module of a size, with weights large enough to spike."""

    def __init__(self):
        super().__init__((20, 17, 6), beta=0.9)
        generator = torch.Generator().manual_seed(0)
        for fc in (self.fc1, self.fc2):
            nn.init.xavier_uniform_(fc.weight, gain=2, generator=generator)
            nn.init.zeros_(fc.bias)


def fitted(network, name):
    """Return the loss of each epoch."""
    events = random_events(40, 30, 20, 6, 0.2)
    options = TrainOptions(engine=name, print_epochs=False)
    generator = torch.Generator().manual_seed(0)
    config = TrainConfig(epochs=3, batch_size=8)
    history = fit(network, events, events, config, generator, options=options)
    return [[each["train_loss"], each["validation_loss"]] for each in history]


def test_fit_trains_a_users_module_alike_by_its_own_loop_and_compiled():
    """Compiled by `fit`, or before: both fill the gradients of the module's parameters."""
    module = OwnModule()
    assert engine.choose_engine("compiled", module) is COMPILED
    assert engine.choose_engine("snntorch", module) is engine.MODULE
    wanted = fitted(OwnModule(), "snntorch")
    assert wanted[-1][0] < wanted[0][0]
    np.testing.assert_allclose(fitted(module, "compiled"), wanted, rtol=1e-4)
    np.testing.assert_allclose(fitted(compile(OwnModule()), "compiled"), wanted, rtol=1e-4)
    np.testing.assert_allclose(fitted(compile(OwnModule()), "snntorch"), wanted, rtol=1e-4)


def test_a_module_that_was_changed_is_compiled_again():
    module = OwnModule()
    events = random_events(4, 30, 20, 6, 0.2)
    for beta in (0.9, 0.2):
        module.lif1 = snn.Leaky(beta=beta)
        run = engine.choose_engine("compiled", module)
        scores, n_spikes = run.evaluate_batch(module, events, [0, 3])
        spk, _ = module(torch.from_numpy(events.to_frames([0, 3])))
        assert torch.equal(scores, spk.sum(0))
        assert torch.equal(n_spikes[:, 1], spk.sum((0, 2)).long())


class WithDropout(OwnModule):
    """A module that can't be compiled."""

    def __init__(self):
        super().__init__()
        self.fc1 = nn.Sequential(self.fc1, nn.Dropout(0.1))


class OtherScores(OwnModule):
    """A module whose class scores are others than those that the engine makes."""

    def forward(self, x):
        return super().forward(x)[1].max(0).values


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (WithDropout, "the currents of lif1 are computed by dropout, not by a nn.Linear"),
        (OtherScores, "returns neither numbers of spikes nor mean membranes"),
    ],
)
def test_a_module_that_cannot_be_compiled_is_trained_by_its_own_forward_loudly(make, reason):
    engine.warn_once.cache_clear()
    with pytest.warns(UserWarning, match=f"own forward instead of the compiled engine: .*{reason}"):
        assert engine.choose_engine("compiled", make()) is engine.MODULE
    with pytest.raises(ValueError, match=reason):
        COMPILED.evaluate_batch(make(), random_events(4, 30, 20, 6, 0.2), [0])
