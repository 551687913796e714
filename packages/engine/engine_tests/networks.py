"""Networks and events for the tests."""

from typing import NamedTuple

import numpy as np
import snntorch as snn
import torch
from snntorch import surrogate
from torch import nn

from shd_engine import ChannelConv1d, EventLists, LayeredNetwork

SURROGATES = {
    "fast_sigmoid": surrogate.fast_sigmoid,
    "atan": surrogate.atan,
    "sigmoid": surrogate.sigmoid,
}


class Utterances(NamedTuple):
    """Lists of events with labels and a dense copy."""

    events: EventLists
    labels: np.ndarray
    frames: torch.Tensor  # (steps, utterances, units)

    def batch(self, index):
        """Return the frames and the labels of some utterances, for a module's own forward."""
        index = np.asarray(index)
        return self.frames[:, index], torch.from_numpy(self.labels[index])


def utterances(cells, n_classes, seed=0):
    """Return a boolean array (utterances, steps, units) as utterances, with random labels."""
    frames = torch.from_numpy(np.asarray(cells, bool)).transpose(0, 1).float()
    labels = np.random.default_rng(seed).integers(0, n_classes, len(cells))
    return Utterances(EventLists.of(frames), labels, frames)


def random_utterances(n, n_steps, n_units, n_classes, density, seed=0):
    """Return n utterances in which an entry is an event with the probability `density`."""
    rng = np.random.default_rng(seed)
    return utterances(rng.random((n, n_steps, n_units)) < density, n_classes, seed)


def layered(sizes, beta, spike_grad, generator, **options):
    """Return layers of Leaky neurons, with the options of `settings_of`."""
    given = settings_of(**options)
    delays = (given["delays"], *[(0,)] * (len(sizes) - 2))
    layers = []
    n_before = sizes[0]
    for i, n in enumerate(sizes[1:]):
        is_silent = i == len(sizes) - 2 and given["readout"] == "membrane"
        fc = _weights(n_before, n, delays[i], given if i == 0 else {}, generator)
        per_neuron = torch.ones(fc.out_features)
        threshold = torch.inf if is_silent else 1.0
        learns_threshold = given["learn_threshold"] and not is_silent
        lif = snn.Leaky(
            beta=beta * per_neuron if given["learn_beta"] else beta,
            learn_beta=given["learn_beta"],
            threshold=threshold * per_neuron if learns_threshold else threshold,
            learn_threshold=learns_threshold,
            spike_grad=spike_grad,
            reset_mechanism="none" if is_silent else "subtract",
        )
        layers.append((fc, lif))
        n_before = fc.out_features
    return LayeredNetwork(layers, delays, given["readout"])


def settings_of(**options):
    """Return the options of a network, with defaults."""
    usual = {"readout": "spikes", "learn_beta": False, "learn_threshold": False}
    return usual | {"delays": (0,), "kernel_size": 0, "stride": 1} | options


def _weights(n_before, n, delays, given, generator):
    """Return the weights of a layer, drawn by a generator."""
    if given.get("kernel_size"):
        fc = ChannelConv1d(n_before, len(delays), n, given["kernel_size"], given["stride"])
    else:
        fc = nn.Linear(n_before * len(delays), n)
    nn.init.xavier_uniform_(fc.weight, generator=generator)
    nn.init.zeros_(fc.bias)
    return fc
