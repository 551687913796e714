"""The spiking network, its surrogates and costs, and the convolutional network beside it."""

import torch

from shd_helpers.network.config import NetworkConfig
from shd_helpers.network.convolutional import ConvolutionalNetwork
from shd_helpers.network.costs import costs
from shd_helpers.network.engine import Network, answers, choose_engine
from shd_helpers.network.quantization import Quantization
from shd_helpers.network.spiking import SpikingNetwork

__all__ = [
    "Network",
    "NetworkConfig",
    "Quantization",
    "SpikingNetwork",
    "answers",
    "build_network",
    "choose_engine",
    "costs",
]


def build_network(
    config: NetworkConfig, n_units: int, n_classes: int, step_ms: float, generator: torch.Generator
) -> Network:
    """Return a network for steps of `step_ms` milliseconds; the generator draws its weights."""
    if config.network == "convolutional":
        return ConvolutionalNetwork(n_classes, generator)
    sizes = n_units, config.n_hidden, n_classes
    apart = [SpikingNetwork(sizes, config, generator, step_ms) for _ in range(config.ensemble_size)]
    if len(apart) == 1:
        return apart[0]
    sizes = n_units, config.n_hidden * config.ensemble_size, n_classes
    model = SpikingNetwork(sizes, config, generator, step_ms)
    model.members = tuple(apart)
    model.join()
    return model
