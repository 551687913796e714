"""Describe networks that aren't the study's own, so that their runs have a hash of their own.

A run's hash contains its parameters, and `build_network` builds the study's network from these. A
user may train another network, such as one with a subclass of snntorch's `Leaky`. Its run then gets
another hash: the network is described module by module, and the description counts (rule 8 in
`identity`).
"""

import hashlib
from collections.abc import Mapping

import torch
from snntorch import SpikingNeuron
from torch import nn

from shd_corpus.checks import listed
from shd_helpers.network import Network, SpikingNetwork, build_network
from shd_helpers.network.adaptive import AdaptiveLeaky
from shd_helpers.network.surrogates import SAMPLED, autograd_derivative
from shd_helpers.objects import class_name, object_identity
from shd_helpers.study.recipe import Recipe

IN_NO_FILE = "(in no file)"
N_DIGITS = 16
_PACKAGES = ("torch", "snntorch", "shd_helpers", "shd_circuit")  # their names are enough


def own_network(recipe: Recipe, n_classes: int) -> Network:
    """Build the untrained network of a recipe."""
    grid = recipe.input
    # Some neurons draw constants. A run builds its network with this generator, before all else.
    generator = torch.Generator().manual_seed(recipe.seed)
    return build_network(recipe.network, grid.n_units, n_classes, grid.step_ms, generator)


def described(model: nn.Module) -> dict[str, str]:
    """Describe a network by its modules and tensors, without the values of its weights.

    A class or a surrogate that is in no installed package is described by the content of its file,
    too. One that is in no file, because it was defined in a notebook, can't be recognized: see
    `is_recognizable`.
    """
    description = {}
    for name, module in model.named_modules():
        description[name or "the network"] = class_name(module) + _origin(type(module))
    if isinstance(model, SpikingNetwork):
        description["delays"] = str(list(model.delays))
        description["readout"] = model.readout
        if any(delays != (0,) for delays in model.layer_delays[1:]):
            description["hidden delays"] = str([list(each) for each in model.layer_delays[1:]])
    for name, module in model.named_modules():
        if isinstance(module, SpikingNeuron):
            reset = getattr(module, "state_function", None)
            description[f"{name}.spike_grad"] = _surrogate_of(module)
            description[f"{name}.state_function"] = getattr(reset, "__name__", class_name(reset))
    learned = {name for name, _ in model.named_parameters()}
    for name, values in model.state_dict().items():
        shape = " x ".join(map(str, values.shape)) or "one number"
        module = model.get_submodule(name.rpartition(".")[0])
        if name in learned:
            description[name] = f"learned, {shape}"
        elif isinstance(module, AdaptiveLeaky) and name.endswith("left"):
            description[name] = f"drawn, {shape}, for {module.adapt_ms:g} ms"
        elif isinstance(module, SpikingNeuron):
            description[name] = f"constant, {values.flatten().tolist()}"
        else:  # such as the means of batch normalization
            description[name] = f"counted, {shape}"
    return description


def _surrogate_of(neuron: SpikingNeuron) -> str:
    """Return the name and slope of one of the package's surrogates, or another function's name."""
    function = neuron.spike_grad
    if hasattr(function, "surrogate"):
        return f"{function.surrogate}, slope {function.slope}"
    name = getattr(function, "__qualname__", type(function).__qualname__)
    full_name = f"{getattr(function, '__module__', type(function).__module__)}.{name}"
    # The text of the code isn't enough: fast_sigmoid(2) and fast_sigmoid(25) have the same.
    slopes = autograd_derivative(function, SAMPLED)
    digits = " ".join(f"{slope:.4g}" for slope in slopes)
    sample = hashlib.sha256(digits.encode()).hexdigest()[:N_DIGITS]
    return f"{full_name}{_origin(function)}, gradient sample {sample}"


def _origin(thing: object) -> str:
    """Return which file of a user's defines a class or function; "" for installed packages."""
    owner = getattr(thing, "__self__", thing)  # of `Function.apply`, the user's class
    package = str(getattr(owner, "__module__", "") or "").partition(".")[0]
    if package in _PACKAGES:
        return ""
    identity = object_identity(owner)
    if identity is None:
        return f" {IN_NO_FILE}"
    return f" of {identity['object']} with SHA-256 {identity['sha256']}"


def is_recognizable(description: Mapping[str, str]) -> bool:
    """Tell whether all that a description names is in files, so that it identifies the network."""
    return not any(IN_NO_FILE in text for text in description.values())


def other_network(model: nn.Module, recipe: Recipe, n_classes: int) -> dict[str, str] | None:
    """Describe a network if it isn't the one that a recipe builds."""
    description = described(model)
    if description == described(own_network(recipe, n_classes)):
        return None
    return description


def differences(description: Mapping[str, str], recipe: Recipe, n_classes: int) -> str:
    """Say in what a network differs from the one that a recipe builds."""
    own = described(own_network(recipe, n_classes))
    texts = []
    for name in {**description, **own}:
        if description.get(name) != own.get(name):
            given = description.get(name, "missing")
            wanted = own.get(name, "absent")
            texts.append(f"{name} is {given} instead of {wanted}")
    return listed(texts)
