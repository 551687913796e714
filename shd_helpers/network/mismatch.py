"""Analogue parts differ from their design: weights, thresholds and leaks off by a random share."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from shd_helpers.network.engines import Network
from shd_helpers.network.spiking import SpikingNetwork

LEAST = 0.05  # of what was designed is always there, whatever is drawn
PARTS = ("weights", "thresholds", "leaks")

Place = tuple[Any, str, torch.Tensor]  # a module, the name of a tensor, and what it is to be


def with_mismatch(
    model: SpikingNetwork,
    deviation: float,
    draw: Callable[[Sequence[int]], torch.Tensor],
    parts: Sequence[str] = PARTS,
) -> list[Place]:
    """Return a network's numbers with mismatch; `put` puts them into it.

    Every weight, bias, threshold and leak (1 - beta) is multiplied by a factor of its own,
    normally distributed around 1. What adaptation takes from a current stays exact.

    Parameters
    ----------
    model : SpikingNetwork
        Not changed.
    deviation : float
        Standard deviation of the factors.
    draw : callable
        Takes a shape, returns standard normal numbers; called layer by layer, part by part.
    parts : sequence of str
        Which of `PARTS`; biases go with the weights.
    """

    def off(values: torch.Tensor) -> torch.Tensor:
        factors = (1 + deviation * draw(values.shape)).clamp(min=LEAST)
        return values.detach() * factors.to(values)

    places: list[Place] = []
    for fc, lif in model.layers:
        if "weights" in parts:
            places += [(fc, "weight", off(fc.weight)), (fc, "bias", off(fc.bias))]
        if "thresholds" in parts:
            places += [(lif, "threshold", off(lif.threshold.expand(fc.out_features)))]
        if "leaks" in parts:
            leak = 1 - lif.beta.detach().clamp(0, 1).expand(fc.out_features)
            places += [(lif, "beta", 1 - off(leak))]
    return places


def put(places: Sequence[Place]) -> None:
    """Put tensors into modules; where one is learned, the optimizer holds the parameter itself."""
    for module, name, values in places:
        if getattr(module, name).requires_grad:
            getattr(module, name).data = values
        else:
            setattr(module, name, values)


@contextmanager
def mismatched(model: Network, deviation: float, generator: torch.Generator) -> Iterator[None]:
    """Put a network with mismatch in the model's place for a while; its own numbers come back.

    Parameters
    ----------
    model : SpikingNetwork
        Changed while the context lasts.
    deviation : float
        See `with_mismatch`.
    generator : torch.Generator
        Draws.
    """
    assert isinstance(model, SpikingNetwork)
    places = with_mismatch(model, deviation, lambda shape: torch.randn(*shape, generator=generator))
    own = [(module, name, getattr(module, name)) for module, name, _ in places]
    own = [(module, name, x.data if x.requires_grad else x) for module, name, x in own]
    try:
        put(places)
        yield
    finally:
        put(own)
