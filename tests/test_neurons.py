"""Any snntorch neuron, any number of layers and delays, each against a loop written by hand.

The adaptive neuron against its equations, computed number by number.
"""

import copy
from dataclasses import replace

import numpy as np
import pytest
import snntorch as snn
import torch
from snntorch import surrogate as snn_surrogate
from torch import nn

from shd_engine.adaptive import AdaptiveLeaky
from shd_helpers.network import NetworkConfig, SpikingNetwork
from shd_helpers.study import evaluate, overfit
from shd_helpers.user_code import UserCodeError
from tests.builders.events import random_events

SIZES = (20, 12, 9, 4)
EVENTS = random_events(12, 40, 20, 4, 0.1)
KINDS = {
    "Leaky": lambda n, **kw: snn.Leaky(0.9, learn_beta=True, **kw),
    "Synaptic": lambda n, **kw: snn.Synaptic(0.8, 0.9, learn_alpha=True, **kw),
    "Alpha": lambda n, **kw: snn.Alpha(0.9, 0.8, **kw),
    "RLeaky": lambda n, **kw: snn.RLeaky(0.9, linear_features=n, **kw),
    "RSynaptic": lambda n, **kw: snn.RSynaptic(0.8, 0.9, linear_features=n, **kw),
    "Lapicque": lambda n, **kw: snn.Lapicque(R=5.0, C=1.0, **kw),
}
# What the tutorial of each neuron writes: the states' names, in the order of the call.
STATES = {
    "Leaky": ["mem"],
    "Synaptic": ["syn", "mem"],
    "Alpha": ["exc", "inh", "mem"],
    "RLeaky": ["spk", "mem"],
    "RSynaptic": ["spk", "syn", "mem"],
    "Lapicque": ["mem"],
}


def network(neuron, readout="spikes", **options):
    generator = torch.Generator().manual_seed(3)
    config = NetworkConfig(readout=readout)
    if "spike_grad" not in options:
        config = replace(config, surrogate="atan")
    model = SpikingNetwork(SIZES, config, generator, neuron=neuron, **options)
    with torch.no_grad():
        for fc, _ in model.layers:
            fc.weight *= 3
            fc.bias += 0.05
    return model


def by_hand(model, x, kind):
    """Run a network of one kind of neurons as snntorch's tutorials do; return spikes, membranes."""
    kept = [dict.fromkeys(STATES[kind], torch.zeros(0)) for _ in range(3)]
    spikes = [[], [], []]
    membranes = []
    for t in range(len(x)):
        spk = x[t]
        for i in range(3):
            fc = getattr(model, f"fc{i + 1}")
            lif = getattr(model, f"lif{i + 1}")
            state = kept[i]
            if kind in ("Leaky", "Lapicque"):
                spk, state["mem"] = lif(fc(spk), state["mem"])
            elif kind == "Synaptic":
                spk, state["syn"], state["mem"] = lif(fc(spk), state["syn"], state["mem"])
            elif kind == "Alpha":
                out = lif(fc(spk), state["exc"], state["inh"], state["mem"])
                spk, state["exc"], state["inh"], state["mem"] = out
            elif kind == "RLeaky":
                spk, state["mem"] = lif(fc(spk), state["spk"], state["mem"])
                state["spk"] = spk
            else:
                out = lif(fc(spk), state["spk"], state["syn"], state["mem"])
                spk, state["syn"], state["mem"] = out
                state["spk"] = spk
            spikes[i].append(spk)
        membranes.append(kept[2]["mem"])
    return [torch.stack(of_layer) for of_layer in spikes], torch.stack(membranes)


@pytest.mark.parametrize("readout", ["spikes", "membrane"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_network_of_any_snntorch_neuron_computes_what_a_loop_by_hand_does(kind, readout):
    model = network(KINDS[kind], readout)
    twin = copy.deepcopy(model)
    x = torch.from_numpy(EVENTS.to_frames(range(12)))
    spikes, membranes = by_hand(twin, x, kind)
    scores = spikes[-1].sum(0) if readout == "spikes" else membranes.mean(0)
    for layer, _ in enumerate(spikes[:-1]):
        assert 0 < spikes[layer].mean() < 1
    assert (spikes[-1].sum() > 0) == (readout == "spikes")

    recording = model.record(x)
    for found, wanted in zip((*recording.hidden_spk, recording.spk), spikes, strict=True):
        assert torch.equal(found, wanted)
    assert torch.equal(recording.mem, membranes)
    found = model(x)
    assert torch.equal(found, scores)
    weights = torch.linspace(-1, 1, scores.numel()).view_as(scores)
    (found * weights).sum().backward()
    (scores * weights).sum().backward()
    wanted = dict(twin.named_parameters())
    assert len(wanted) >= 6
    for name, parameter in model.named_parameters():
        if wanted[name].grad is None:  # the output membranes of a readout feed no recurrence
            assert parameter.grad is None
        else:
            assert wanted[name].grad.isfinite().all()
            assert torch.equal(parameter.grad, wanted[name].grad), name
    assert twin.fc1.weight.grad.any()


@pytest.mark.filterwarnings("ignore:.*runs in snntorch's loop")
@pytest.mark.parametrize("kind", KINDS)
def test_a_network_of_any_snntorch_neuron_learns_and_is_evaluated_anew_each_time(kind):
    model = network(KINDS[kind])
    losses = overfit(model, EVENTS, 12)
    assert min(losses[1:]) < losses[0]
    whole = evaluate(model, EVENTS)
    assert torch.equal(evaluate(model, EVENTS).class_scores, whole.class_scores)
    in_batches = evaluate(model, EVENTS, batch_size=5)
    torch.testing.assert_close(in_batches.class_scores, whole.class_scores)


@pytest.mark.parametrize("kind", KINDS)
def test_a_trained_network_can_be_copied(kind):
    """Neurons that kept their last states would keep the way to the gradients, too."""
    model = network(KINDS[kind])
    model(torch.from_numpy(EVENTS.to_frames([0, 1]))).sum().backward()
    twin = copy.deepcopy(model)
    x = torch.from_numpy(EVENTS.to_frames([2]))
    assert torch.equal(twin(x), model(x))


@pytest.mark.parametrize("kind", ["Leaky", "RLeaky"])
def test_snntorch_keeps_no_neuron_alive_and_no_random_number_is_drawn_elsewhere(kind):
    state = torch.get_rng_state()
    alive = len(snn.SpikingNeuron.instances)
    model = network(KINDS[kind])
    assert len(snn.SpikingNeuron.instances) == alive
    assert torch.equal(torch.get_rng_state(), state)
    again = network(KINDS[kind])
    for name, values in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], values), name


def test_any_surrogate_of_snntorch_trains_every_layer():
    model = network(None, spike_grad=snn_surrogate.triangular())
    x = torch.from_numpy(EVENTS.to_frames(range(12)))
    model(x)[:, 0].sum().backward()
    other = network(None)
    other(x)[:, 0].sum().backward()
    assert torch.equal(model(x), other(x))  # the forward pass doesn't depend on it
    assert model.fc1.weight.grad.any()
    assert not torch.allclose(model.fc1.weight.grad, other.fc1.weight.grad)


class Broken(nn.Module):
    """Follows the convention, unless a test changes it."""

    def __init__(self, n=3, **options):
        super().__init__()

    def reset_mem(self):
        return torch.zeros(1), torch.zeros(1)

    def forward(self, cur, slow, mem):
        slow = 0.9 * slow + cur
        mem = 0.9 * mem + slow
        return (mem > 1).float(), slow, mem


class SpikesOfAll(Broken):
    def forward(self, cur, slow, mem):
        spk, slow, mem = super().forward(cur, slow, mem)
        return spk.sum(1), slow, mem


class Divides(Broken):
    def forward(self, cur, slow, mem):
        spk, slow, mem = super().forward(cur, slow, mem)
        return spk, slow, mem / 0


BROKEN = {
    "spikes of all": (SpikesOfAll, r"returned spikes of shape \(2,\) for currents of shape"),
    "not finite": (Divides, "the membrane of Divides isn't a finite number"),
    "a hidden state": (
        lambda n, **kw: snn.Leaky(0.9, init_hidden=True, **kw),
        r"a step with Leaky and currents of shape \(2, 9\) raised TypeError: `mem` should not",
    ),
    "other units": (
        lambda n, **kw: snn.RLeaky(0.9, linear_features=5, **kw),
        r"a step with RLeaky and currents of shape \(2, 9\) raised RuntimeError",
    ),
    "options refused": (lambda n: snn.Leaky(0.9), "making a neuron of 9 units raised TypeError"),
    "an exception": (lambda n, **kw: 1 / 0, "making a neuron of 9 units raised ZeroDivision"),
    "no neuron": (lambda n, **kw: "neuron", "the function returned a str"),
}


@pytest.mark.parametrize(("neuron", "problem"), BROKEN.values(), ids=BROKEN.keys())
def test_a_neuron_that_breaks_the_convention_is_named(neuron, problem):
    with pytest.raises(UserCodeError, match=f"^lif1: .*{problem}") as error:
        SpikingNetwork((20, 9, 4), neuron=neuron)
    assert "\n" not in str(error.value)


def test_a_neuron_of_one_s_own_needs_no_base_class():
    model = network(Broken)
    assert model(torch.from_numpy(EVENTS.to_frames([0]))).shape == (1, 4)


def test_a_neuron_of_one_s_own_decides_what_it_learns():
    for setting in ("learn_beta", "learn_threshold"):
        with pytest.raises(ValueError, match=f"^{setting} True: a neuron of your own decides"):
            SpikingNetwork(SIZES, NetworkConfig(**{setting: True}), neuron=KINDS["Leaky"])


@pytest.mark.parametrize("sizes", [(5,), (), (5, 0, 3), (5, 2.0), (5, True), (5, -1, 2)])
def test_impossible_sizes(sizes):
    with pytest.raises(ValueError, match=r"^sizes "):
        SpikingNetwork(sizes)


# --- the adaptive neuron as a setting -----------------------------------------------------------


def test_hidden_neurons_adapt_and_output_neurons_do_not():
    config = NetworkConfig(neuron="adaptive", adapt_ms=50.0, learn_beta=True, beta=0.9)
    model = SpikingNetwork(SIZES, config, torch.Generator().manual_seed(0), step_ms=6.0)
    assert [type(lif) for _, lif in model.layers] == [AdaptiveLeaky, AdaptiveLeaky, snn.Leaky]
    assert model.lif1.beta.detach().tolist() == pytest.approx(12 * [0.81])
    taus_ms = -6.0 / model.lif1.left.log()
    assert 25 <= taus_ms.min() < taus_ms.max() <= 100
    again = SpikingNetwork(SIZES, config, torch.Generator().manual_seed(0), step_ms=6.0)
    assert torch.equal(again.lif2.from_spk, model.lif2.from_spk)
    other = SpikingNetwork(SIZES, config, torch.Generator().manual_seed(1), step_ms=6.0)
    assert not torch.equal(other.lif2.from_spk, model.lif2.from_spk)


# --- delays of hidden layers --------------------------------------------------------------------


def test_a_surrogate_that_the_neurons_do_not_get_is_refused():
    surrogate = snn_surrogate.triangular()

    def forgets(n, **options):
        return snn.Synaptic(alpha=0.8, beta=0.9)

    with pytest.raises(UserCodeError, match="lif1: its neurons don't use the surrogate"):
        SpikingNetwork(SIZES, spike_grad=surrogate, neuron=forgets)


def run(lif, currents):
    """Return spikes, adaptations and membranes of all steps, (steps, batch, neurons) each."""
    state = lif.reset_mem()
    steps = []
    for cur in currents:
        spk, *state = lif(cur, *state)
        steps.append((spk, *state))
    return [torch.stack(values) for values in zip(*steps, strict=True)]


@torch.no_grad()
def test_the_neuron_computes_its_equations():
    lif = AdaptiveLeaky(6, 0.9, adapt_ms=30.0, generator=torch.Generator().manual_seed(4))
    lif.from_spk[3] = -2.0  # counts as 0
    lif.from_mem[4] = -2.0
    currents = torch.tensor([0.2, 0.5, 0.9, 1.5, 3.0, -1.0]).expand(50, 1, 6)
    spk, adaptation, mem = run(lif, currents)
    for i in range(6):
        left = float(lif.left[i])
        from_mem = max(float(lif.from_mem[i]), 0)
        from_spk = max(float(lif.from_spk[i]), 0)
        u = 0.0
        a = 0.0
        s = 0.0
        for t in range(50):
            u = 0.9 * u + (float(currents[t, 0, i]) - a) - s
            s = float(u > 1)
            a = left * a + (1 - left) * (from_mem * u + from_spk * s)
            assert float(spk[t, 0, i]) == s
            assert float(mem[t, 0, i]) == pytest.approx(u, rel=1e-4, abs=1e-5)
            assert float(adaptation[t, 0, i]) == pytest.approx(a, rel=1e-4, abs=1e-5)
    assert spk.sum() > 20


@pytest.mark.parametrize("step_ms", [3.0, 10.0])
def test_time_constants_lie_between_the_half_and_the_double(step_ms):
    generator = torch.Generator().manual_seed(0)
    lif = AdaptiveLeaky(4000, 0.9, adapt_ms=200.0, step_ms=step_ms, generator=generator)
    tau_ms = -step_ms / torch.log(lif.left)
    assert 100 <= tau_ms.min() < 102
    assert 396 < tau_ms.max() <= 400.1
    assert float((tau_ms < 200).float().mean()) == pytest.approx(0.5, abs=0.03)
    assert not lif.left.requires_grad


def test_the_weights_are_trained_and_those_below_0_get_no_gradient():
    lif = AdaptiveLeaky(3, 0.9, generator=torch.Generator().manual_seed(0))
    lif.from_mem.data[0] = -0.5
    _, _, mem = run(lif, torch.ones(20, 2, 3))
    mem.sum().backward()
    assert lif.from_mem.grad[0] == 0
    assert (lif.from_mem.grad[1:] != 0).all()
    assert (lif.from_spk.grad != 0).all()


@pytest.mark.parametrize("name", ["adapt_ms", "step_ms"])
@pytest.mark.parametrize("value", [0.0, -1.0, np.nan])
def test_a_time_that_is_not_above_0_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} {value}: give a number of milliseconds above 0"):
        AdaptiveLeaky(3, 0.9, **{name: value})
