"""What a run's network is made of, so that no other network passes as the study's own.

A run's hash says which network was trained by its parameters. That is true only of the network that
`build_network` builds from them. Another network, such as one with a subclass of snntorch's
`Leaky`, is described module by module, and the description counts in the run's hash.
"""

from collections.abc import Mapping

import torch
from snntorch import SpikingNeuron
from torch import nn

from shd_helpers.data.shd_file import LANGUAGES
from shd_helpers.network import Network, SpikingNetwork, build_network
from shd_helpers.network.spiking import class_name
from shd_helpers.study.recipe import Recipe

NAMED = 3  # differences that a message names; the others are counted


def own_network(recipe: Recipe, n_classes: int | None = None) -> Network:
    """Return the untrained network of a recipe, with as many classes as its language has words.

    `n_classes` gives another number of classes.
    """
    grid = recipe.input
    n_classes = n_classes or len(LANGUAGES[recipe.language])
    return build_network(recipe.network, grid.n_units, n_classes, grid.step_ms, torch.Generator())


def described(model: nn.Module) -> dict[str, str]:
    """Return what a network is made of, as texts by name, without the values of its weights.

    There is the class of each module, the shape of each tensor and the value of each constant, and
    what a neuron does when it spikes. The code of a class isn't described: two classes with one
    name are taken for the same.
    """
    found = {name or "the network": class_name(module) for name, module in model.named_modules()}
    if isinstance(model, SpikingNetwork):
        found["delays"] = str(list(model.delays))
        found["readout"] = model.readout
    for name, module in model.named_modules():
        if isinstance(module, SpikingNeuron):
            found[f"{name}.spike_grad"] = _surrogate_of(module)
            reset = getattr(module, "state_function", None)
            found[f"{name}.state_function"] = getattr(reset, "__name__", class_name(reset))
    learned = {name for name, _ in model.named_parameters()}
    for name, values in model.state_dict().items():
        text = " x ".join(map(str, values.shape)) or "one number"
        if name in learned:
            found[name] = f"learned, {text}"
        elif isinstance(model.get_submodule(name.rpartition(".")[0]), SpikingNeuron):
            found[name] = f"constant, {values.flatten().tolist()}"
        else:  # such as the means of batch normalization
            found[name] = f"counted, {text}"
    return found


def _surrogate_of(neuron: SpikingNeuron) -> str:
    """Return the name and slope of one of the package's surrogates, or another function's name."""
    step = neuron.spike_grad
    if hasattr(step, "surrogate"):
        return f"{step.surrogate}, slope {step.slope}"
    name = getattr(step, "__qualname__", type(step).__qualname__)
    return f"{getattr(step, '__module__', type(step).__module__)}.{name}"


def other_network(model: nn.Module, recipe: Recipe) -> dict[str, str] | None:
    """Return what a network is made of if it isn't the one that the recipe builds, else None."""
    found = described(model)
    return None if found == described(own_network(recipe)) else found


def differences(found: Mapping[str, str], recipe: Recipe) -> str:
    """Say in what a described network differs from the one that the recipe builds.

    Classes come first, because other shapes mostly follow from them.
    """
    own = described(own_network(recipe))
    names = [name for name in {**found, **own} if found.get(name) != own.get(name)]
    parts = [f"{x} is {found.get(x, 'missing')} instead of {own.get(x, 'absent')}" for x in names]
    more = f", and {len(parts) - NAMED} more" if len(parts) > NAMED else ""
    return f"{', '.join(parts[:NAMED])}{more}"
