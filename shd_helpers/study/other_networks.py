"""Notice networks that a run's settings don't build.

A run's hash contains its settings, and `build_network` builds the study's network from these. A
user may train another network, such as one with a subclass of snntorch's `Leaky`. Its run then has
a description of the network in ``run.json``, and another hash than the settings alone. So no sweep
takes its result for that of the study's network, and nothing builds the wrong network for it.
"""

import torch
from snntorch import SpikingNeuron
from torch import nn

from shd_engine.adaptive import AdaptiveLeaky
from shd_helpers.events import Events
from shd_helpers.network import SpikingNetwork, build_network
from shd_helpers.network.engine import one_thread
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.run_folder import RunError
from shd_helpers.user_code import class_name


def own_network(recipe: Recipe, n_classes: int) -> nn.Module:
    """Build the untrained network of a recipe."""
    grid = recipe.input
    # Some neurons draw constants. A run builds its network with this generator, before all else.
    generator = torch.Generator().manual_seed(recipe.seed)
    return build_network(recipe.network, grid.n_units, n_classes, grid.step_ms, generator)


def with_layers_of(module: nn.Module, recipe: Recipe, events: Events) -> SpikingNetwork:
    """Return the study's network that consists of a module's own layers.

    The module has the layers `fc1`, `lif1`, `fc2` and `lif2`, and returns output spikes and
    membranes. The two share their weights, so whoever trains the module trains the network. A run
    folder can keep the network, and other notebooks can draw its spikes. Some of the utterances go
    through both: RunError, if the class scores differ.
    """
    network = own_network(recipe, len(events.class_names))
    assert isinstance(network, SpikingNetwork)
    for name in ("fc1", "lif1", "fc2", "lif2"):
        setattr(network, name, getattr(module, name))
    frames = torch.from_numpy(events.to_frames(range(min(4, len(events)))))
    with torch.no_grad(), one_thread():
        spikes, _ = module(frames)
        is_same = torch.equal(spikes.sum(0), network(frames))
    if not is_same:
        raise RunError(
            "Your network has other class scores than the study's network with the same layers. "
            "Only the latter has a run folder: train yours with `study.fit`, or with "
            "`judge`, as docs/compare.md describes."
        )
    return network


def described(model: nn.Module) -> dict[str, str]:
    """Describe a network by its modules and tensors, without the values of its weights."""
    description = {
        name or "the network": class_name(module) for name, module in model.named_modules()
    }
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
    return f"{getattr(function, '__module__', type(function).__module__)}.{name}"


def other_network(model: nn.Module, recipe: Recipe, n_classes: int) -> dict[str, str] | None:
    """Describe a network if it isn't the one that a recipe builds."""
    description = described(model)
    if description == described(own_network(recipe, n_classes)):
        return None
    return description
