"""The spiking network, its surrogates and costs, and the convolutional network beside it."""

import torch

from shd_helpers.network.config import NetworkConfig
from shd_helpers.network.convolutional import ConvolutionalNetwork
from shd_helpers.network.costs import costs, uncounted_reason
from shd_helpers.network.engine import Network, answers, choose_engine
from shd_helpers.network.ensemble import build_ensemble
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
    "uncounted_reason",
]


def build_network(
    config: NetworkConfig, n_units: int, n_classes: int, step_ms: float, generator: torch.Generator
) -> Network:
    """Return an untrained network with the given settings.

    Parameters
    ----------
    config : NetworkConfig
        The settings; they also say whether the network is spiking, convolutional or an ensemble.
    n_units : int
        Units of the downsampled input.
    n_classes : int
        Classes.
    step_ms : float
        Length of a time step, in milliseconds.
    generator : torch.Generator
        Draws the weights.

    Returns
    -------
    SpikingNetwork or ConvolutionalNetwork
        The network.
    """
    if config.network == "convolutional":
        return ConvolutionalNetwork(n_classes, generator)
    sizes = (n_units, config.n_hidden, n_classes)
    if config.ensemble_size > 1:
        return build_ensemble(sizes, config, generator, step_ms)
    return SpikingNetwork(sizes, config, generator, step_ms)
