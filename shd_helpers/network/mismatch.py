"""Analogue parts differ from their design: weights, thresholds and leaks off by a random share."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from shd_helpers.network.engines import Network
from shd_helpers.network.spiking import SpikingNetwork

LEAST = 0.05  # of what was designed is always there, whatever is drawn


@contextmanager
def mismatched(model: Network, deviation: float, generator: torch.Generator) -> Iterator[None]:
    """Put a network with mismatch in the model's place for a while; its own numbers come back.

    Every weight, bias, threshold and leak (1 - beta) is multiplied by a factor of its own,
    normally distributed around 1.

    Parameters
    ----------
    model : SpikingNetwork
        Changed while the context lasts. What adaptation takes from a current stays exact.
    deviation : float
        Standard deviation of the factors.
    generator : torch.Generator
        Draws them.
    """
    assert isinstance(model, SpikingNetwork)

    def off(values: torch.Tensor) -> torch.Tensor:
        drawn = torch.randn(values.shape, generator=generator).to(values)
        return values.detach() * (1 + deviation * drawn).clamp(min=LEAST)

    places = []
    for fc, lif in model.layers:
        n = fc.out_features
        beta, threshold = lif.beta.detach().clamp(0, 1).expand(n), lif.threshold.expand(n)
        places += [(fc, "weight", off(fc.weight)), (fc, "bias", off(fc.bias))]
        places += [(lif, "threshold", off(threshold)), (lif, "beta", 1 - off(1 - beta))]
    own = [(module, name, getattr(module, name)) for module, name, _ in places]
    own = [(module, name, x.data if x.requires_grad else x) for module, name, x in own]
    try:
        _put(places)
        yield
    finally:
        _put(own)


def _put(places: list) -> None:
    for module, name, values in places:
        if getattr(module, name).requires_grad:  # the optimizer holds the parameter itself
            getattr(module, name).data = values
        else:
            setattr(module, name, values)
