"""Learned delays: the engine against autograd through the network's own loop."""

import re

import numpy as np
import pytest
import snntorch as snn
import torch
from torch import nn
from torch.nn import functional

import shd_engine as engine
from engine_tests.networks import random_utterances
from shd_engine import LayeredNetwork, LearnedDelays, compiled_engine

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
