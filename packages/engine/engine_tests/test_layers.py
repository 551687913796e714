"""Adaptive layers, and delays for each layer, in the compiled engine.

The oracle is a loop over steps in float64 that has the equations in it, and shares no code with the
network or its neurons (`test_scan.equations`). Autograd takes it back.

Learned delays: the engine against autograd through the network's own loop.
"""

import copy
import re

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn
from torch.nn import functional
from torch.nn import functional as F

import shd_engine as engine
from engine_tests.networks import SURROGATES, layered, random_utterances
from engine_tests.test_compiled_engine import forward_backward, layers_of, one_unit_a_step, record
from engine_tests.test_scan import check_states, equations, loop
from shd_engine import AdaptiveLeaky, LayeredNetwork, LearnedDelays, compiled_engine
from shd_engine.network import weight_and_bias

SIZES = (20, 30, 17, 6)


def make_model(
    adaptive=(), hidden_delays=((0,), (0,)), surrogate="atan", slope=2.0, seed=3, **options
):
    """Return a network of three layers, of which some adapt and some get delayed copies.

    Parameters are spread so that no two neurons are alike.
    """
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = layered(SIZES, 0.9, SURROGATES[surrogate](slope), generator, **options)
    model.layer_delays = (tuple(model.delays), *hidden_delays)
    with torch.no_grad():
        for i, (fc, lif) in enumerate(model.layers, start=1):
            if i > 1:
                fc = nn.Linear(len(model.layer_delays[i - 1]) * fc.in_features, fc.out_features)
                nn.init.xavier_uniform_(fc.weight, generator=generator)
                nn.init.zeros_(fc.bias)
                setattr(model, f"fc{i}", fc)
            fc.weight *= 3
            fc.bias += torch.from_numpy(rng.uniform(-0.1, 0.2, len(fc.bias))).float()
            if i in adaptive:
                setattr(model, f"lif{i}", adaptive_like(lif, fc.out_features, generator))
                lif = getattr(model, f"lif{i}")
                lif.from_mem[:2] = -0.5  # counts as 0
                lif.from_spk[1:3] = -0.5
            if lif.threshold.requires_grad:
                lif.threshold *= torch.from_numpy(rng.uniform(0.5, 1.5, fc.out_features)).float()
            if lif.beta.requires_grad:
                lif.beta *= torch.from_numpy(rng.uniform(0.5, 1.2, fc.out_features)).float()
    return model


def adaptive_like(lif, n, generator):
    """Return adaptive neurons with the betas, thresholds, surrogate and reset of others."""
    is_readout = bool(torch.isinf(lif.threshold).all())
    return AdaptiveLeaky(
        n,
        lif.beta.detach().clone(),
        adapt_ms=30.0,
        generator=generator,
        threshold=lif.threshold.detach().clone(),
        learn_beta=lif.beta.requires_grad,
        learn_threshold=lif.threshold.requires_grad,
        reset_mechanism="none" if is_readout else "subtract",
        spike_grad=lif.spike_grad,
    )


def layer_after_layer(model, x, states):
    """Compute a network from its equations, with the spikes and resets that are given."""
    found = []
    for (fc, lif), delays, given in zip(model.layers, model.layer_delays, states, strict=True):
        late = [torch.cat([x.new_zeros(delay, *x.shape[1:]), x])[: len(x)] for delay in delays]
        weight, bias = weight_and_bias(fc)
        cur = torch.cat(late, dim=2) @ weight.T + bias
        x, mem = equations(cur, lif, *given)
        found.append((x, mem))
    return found


LAYERS = {
    "neither adaptation nor hidden delays": {},
    "first layer adapts": {"adaptive": (1,)},
    "second layer adapts": {"adaptive": (2,)},
    "output layer adapts": {"adaptive": (3,)},
    "all layers adapt": {"adaptive": (1, 2, 3)},
    "delays of the first hidden layer": {"hidden_delays": ((0, 3, 7), (0,))},
    "delays of the last hidden layer": {"hidden_delays": ((0,), (0, 5))},
    "one late copy": {"hidden_delays": ((4,), (0,))},
    "a copy that is too late": {"hidden_delays": ((0, 29, 30, 45), (2, 8))},
    "delays and adaptation": {"adaptive": (1, 2), "hidden_delays": ((0, 3), (0, 1, 6))},
}
OPTIONS = {
    "plain": {},
    "learned": {"learn_beta": True, "learn_threshold": True},
    "membrane, delays, windows, learned": {
        "readout": "membrane",
        "learn_beta": True,
        "learn_threshold": True,
        "delays": (1, 4),
        "kernel_size": 7,
        "stride": 6,
    },
}


@pytest.mark.parametrize("surrogate, slope", [("fast_sigmoid", 5), ("atan", 2), ("sigmoid", 1)])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS.keys())
def test_layers_compute_what_a_loop_over_their_equations_computes(  # noqa: PLR0914
    layers, options, surrogate, slope
):
    model = make_model(**layers, **options, surrogate=surrogate, slope=slope)
    assert compiled_engine.unsupported(model) is None
    events = random_utterances(9, 30, 20, 6, 0.2)
    index = np.array([4, 0, 1, 5, 3, 8])
    loss, scores = forward_backward(model, events, index)
    ours = {name: parameter.grad for name, parameter in model.named_parameters()}
    oracle = copy.deepcopy(model).double()
    states = layers_of(record(model, events, index))
    found = layer_after_layer(oracle, events.batch(index)[0].double(), states)
    for (spk, mem), (_, exact_mem), (_, lif) in zip(states, found, oracle.layers, strict=True):
        check_states(spk, mem, exact_mem, lif)
    assert states[0][0].sum() > 100 and states[1][0].sum() > 50
    spk, mem = found[-1]
    want_scores = spk.sum(0) if model.readout == "spikes" else mem.mean(0)
    torch.testing.assert_close(scores, want_scores.float(), rtol=1e-5, atol=1e-5)
    evaluated, n_spikes = compiled_engine.evaluate_batch(model, events.events, index)
    assert torch.equal(evaluated, scores)
    assert torch.equal(n_spikes, torch.stack([spk.sum((0, 2)) for spk, _ in states], 1).long())
    oracle.zero_grad()
    want_loss = F.cross_entropy(want_scores, events.batch(index)[1])
    want_loss.backward()
    assert loss == pytest.approx(want_loss.item(), rel=1e-5)
    for name, parameter in oracle.named_parameters():
        size = torch.linalg.norm(parameter.grad)
        off = torch.linalg.norm(ours[name] - parameter.grad)
        assert off <= 1e-5 * size, name  # 0 where neurons get no gradient


def test_adaptive_neurons_have_the_loops_bits_for_the_same_currents():
    rng = np.random.default_rng(0)
    cur = rng.normal(0.5, 0.8, (40, 5, 33)).astype(np.float32)
    model, events = one_unit_a_step(cur)
    generator = torch.Generator().manual_seed(0)
    spike_grad = SURROGATES["atan"](2.0)
    model.lif1 = AdaptiveLeaky(33, 0.93, 20.0, generator=generator, spike_grad=spike_grad)
    found = record(model, events, np.arange(5))
    with torch.no_grad():
        spk, mem = loop(torch.from_numpy(cur), model.lif1)
    assert torch.equal(found.mem, mem) and torch.equal(found.spk, spk)
    assert 0.1 < spk.mean() < 0.9


N_UNITS, N_HIDDEN, N_CLASSES, N_DELAYS, N_STEPS = 6, 9, 3, 5, 20
DATA = random_utterances(8, N_STEPS, N_UNITS, N_CLASSES, 0.3)
INDEX = np.arange(8)


def make_network():
    torch.manual_seed(4)
    delayed = LearnedDelays(N_UNITS, N_HIDDEN, N_DELAYS, width=1.0)
    with torch.no_grad():
        delayed.strength *= 4
    between = LearnedDelays(N_HIDDEN, N_CLASSES, 2)
    with torch.no_grad():
        between.strength *= 6
    layers = [(delayed, snn.Leaky(0.9)), (between, snn.Leaky(0.9))]
    return LayeredNetwork(layers, layer_delays=[range(N_DELAYS), range(2)])


def gradients(network):
    return {name: parameter.grad.clone() for name, parameter in network.named_parameters()}


@pytest.mark.parametrize("way", ["any loss", "loss_and_gradients", "by the engine's function"])
def test_positions_and_widths_have_the_gradients_of_autograd(way):
    network = make_network()
    frames, labels = DATA.batch(INDEX)
    own = network.record(frames)
    assert own.spk.any()
    functional.cross_entropy(own.spk.sum(0), labels).backward()
    wanted = gradients(network)
    assert all(gradient.any() for gradient in wanted.values())
    if way == "any loss":
        network.zero_grad()
        found = compiled_engine.record(network, DATA.events, INDEX)
        assert torch.equal(found.spk, own.spk)
        functional.cross_entropy(found.spk.sum(0), labels).backward()
    elif way == "loss_and_gradients":  # it replaces the gradients that are there
        fast = engine.compile(network)
        fast.loss_and_gradients(DATA.events, labels, INDEX)
    else:
        with torch.no_grad():
            compiled_engine.forward_backward(network, DATA.events, INDEX, labels)
    for name, gradient in gradients(network).items():
        torch.testing.assert_close(gradient, wanted[name], rtol=1e-4, atol=1e-6)


WRONG = {
    "layer_delays: layer 1 has LearnedDelays, so its entry must be range(5)": {},
    "layer_delays: has 1 entries for 2 layers": {"layer_delays": [range(5)]},
    "layer 2 has weights from 9 inputs, but gets 2 x 9": {"layer_delays": [range(5), (0, 1)]},
    "readout 'membranes': must be 'spikes' or": {
        "layer_delays": [range(5), (0,)],
        "readout": "membranes",
    },
}


@pytest.mark.parametrize("message", WRONG)
def test_layers_that_do_not_fit_together_are_refused(message):
    delayed = LearnedDelays(N_UNITS, N_HIDDEN, N_DELAYS)
    layers = [(delayed, snn.Leaky(0.9)), (nn.Linear(N_HIDDEN, N_CLASSES), snn.Leaky(0.9))]
    with pytest.raises(ValueError, match=re.escape(message)):
        LayeredNetwork(layers, **WRONG[message])


def test_a_frozen_position_gets_no_gradient():
    network = make_network()
    network.fc1.position.requires_grad_(False)
    compiled_engine.forward_backward(network, DATA.events, INDEX, DATA.labels)
    assert network.fc1.position.grad is None
    assert network.fc1.width.grad is not None


def test_after_rounding_each_weight_is_on_one_copy():
    delayed = LearnedDelays(N_UNITS, N_HIDDEN, N_DELAYS)
    with torch.no_grad():
        delayed.position[0, 0] = 7.3  # outside, so the last copy
    nearest = delayed.position.detach().clamp(0, N_DELAYS - 1).round().long()
    delayed.round()
    wanted = torch.zeros(N_HIDDEN, N_DELAYS, N_UNITS)
    for neuron in range(N_HIDDEN):
        for unit in range(N_UNITS):
            wanted[neuron, nearest[neuron, unit], unit] = delayed.strength[neuron, unit]
    assert torch.equal(delayed.weight, wanted.flatten(1))
