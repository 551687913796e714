"""Build a network from its settings: spiking, or the user's own."""

import warnings

import torch
from torch import nn

from shd_helpers.network.config import NetworkConfig
from shd_helpers.network.neurons import with_seed
from shd_helpers.network.spiking import SpikingNetwork
from shd_helpers.user_code import UserCodeError, is_reference, load_object


def build_network(
    config: NetworkConfig, n_units: int, n_classes: int, step_ms: float, generator: torch.Generator
) -> nn.Module:
    """Return an untrained network with the given settings."""
    if is_reference(config.network):
        model = _foreign_network(config.network, n_units, n_classes, generator)
        warn_of_other_steps(model, step_ms, f"network {config.network}")
        return model
    sizes = (n_units, *config.hidden_sizes, n_classes)
    return SpikingNetwork(sizes, config, generator, step_ms)


def _foreign_network(
    reference: str, n_units: int, n_classes: int, generator: torch.Generator
) -> nn.Module:
    """Return the network that a user's function makes; UserCodeError if it makes none."""
    make = load_object(reference)
    form = "A network is given by a function or a class: (n_units, n_classes) -> torch.nn.Module."
    if isinstance(make, nn.Module):
        raise UserCodeError(f"network {reference}: is a network already. {form}")
    try:
        model = with_seed(generator, lambda: make(n_units, n_classes))
    except Exception as error:
        raise UserCodeError(
            f"network {reference}: making it for {n_units} units and {n_classes} classes raised "
            f"{type(error).__name__}: {error}. {form}"
        ) from error
    if not isinstance(model, nn.Module):
        raise UserCodeError(f"network {reference}: returned a {type(model).__name__}. {form}")
    return model


def warn_of_other_steps(model: nn.Module, step_ms: float, name: str) -> None:
    """Warn if a spiking network was made for steps of another length than its input has.

    A user's function makes a network from the numbers of units and classes, so it doesn't learn how
    long a step is, and a `SpikingNetwork` takes 3 ms if it isn't told.
    """
    for module in model.modules():
        if isinstance(module, SpikingNetwork) and module.step_ms != step_ms:
            warnings.warn(
                f"{name}: its SpikingNetwork was made for steps of {module.step_ms:g} ms, but "
                f"those of the input last {step_ms:g} ms. So its delays and time constants are "
                f"wrong. Give it the length of a step: SpikingNetwork(..., step_ms={step_ms:g})",
                stacklevel=3,
            )
            return
