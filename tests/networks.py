"""Networks for the tests, by the numbers that they vary."""

from collections.abc import Sequence

import torch

from shd_helpers.network.config import NetworkConfig
from shd_helpers.network.spiking import SpikingNetwork


def spiking_network(
    sizes: Sequence[int],
    beta: float,
    surrogate: str,
    slope: float,
    generator: torch.Generator,
    delays: Sequence[int] = (0,),
    **options: object,
) -> SpikingNetwork:
    """Return a network with steps of 3 ms, so that beta holds for one step."""
    config = NetworkConfig(beta=beta, surrogate=surrogate, slope=slope, **options)
    return SpikingNetwork(sizes, config, generator, delays=delays)
