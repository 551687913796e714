"""Dropout of hidden neurons: a network that can't rely on any one of them generalises better."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from shd_helpers.network.engines import Network
from shd_helpers.network.spiking import SpikingNetwork


@contextmanager
def hidden_dropout(model: Network, share: float, generator: torch.Generator) -> Iterator[None]:
    """Let nobody hear some hidden neurons for a batch; the model's own weights come back.

    The others' weights grow by 1 / (1 - share), so that the currents stay as large in the mean.
    Gradients that are left in the model are those of its own weights. All words of a batch miss
    the same neurons, at all steps; Srivastava et al. (2014), "Dropout", JMLR 15, draw by word.

    Parameters
    ----------
    model : SpikingNetwork
        Changed while the context lasts.
    share : float
        Probability that a neuron is left out, 0..1 without 1.
    generator : torch.Generator
        Draws them.
    """
    assert isinstance(model, SpikingNetwork)
    own = [(fc, fc.weight.data) for fc, _ in model.layers[1:]]
    factors = []
    for i, (_, weight) in enumerate(own, start=1):
        n_delays = len(model.layer_delays(i))
        kept = torch.rand(weight.shape[1] // n_delays, generator=generator) >= share
        factors.append((kept.float() / (1 - share)).repeat(n_delays).to(weight))
    try:
        for (fc, weight), factor in zip(own, factors, strict=True):
            fc.weight.data = weight * factor
        yield
    finally:
        for (fc, weight), factor in zip(own, factors, strict=True):
            fc.weight.data = weight
            if fc.weight.grad is not None:
                fc.weight.grad *= factor
