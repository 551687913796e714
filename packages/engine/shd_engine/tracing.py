"""Find out what a user's module computes: run its forward once, and look at every call.

Each weight layer and each layer of neurons reports its inputs and outputs (`watched`). From
these, `find_chain` tells which layers follow each other, and which of a few forms the returned
values have. While the module is traced, noise is added to all currents, so that all layers spike.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

import snntorch as snn
import torch
from torch import nn

from shd_engine import scanning
from shd_engine.adaptive import AdaptiveLeaky
from shd_engine.network import ChannelConv1d, Layers

WEIGHTS = (nn.Linear, ChannelConv1d)
NEURONS = (snn.Leaky, snn.RLeaky, AdaptiveLeaky)
N_STEPS = 5  # of the traced input, if the module doesn't have a number of its own
BATCH = 3
MANY_STEPS = 2000  # enough for a loop over a fixed number of steps
# What a module may return of the spikes or membranes of all steps, (steps, batch, neurons).
REDUCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "all steps": lambda states: states,
    "all steps, batch first": lambda states: states.transpose(0, 1),
    "sum": lambda states: states.sum(0),
    "mean": lambda states: states.mean(0),
    "last step": lambda states: states[-1],
    "maximum": lambda states: states.max(0).values,
}


class NotCompilableError(ValueError):
    """A module can't be compiled; the message is the reason."""


class Call(NamedTuple):
    """A call of a layer of weights or neurons."""

    module: nn.Module
    x: torch.Tensor
    before: tuple[torch.Tensor, ...]  # the states of neurons, the membrane last
    out: torch.Tensor  # currents, or spikes
    after: tuple[torch.Tensor, ...]


class Returned(NamedTuple):
    """Where a returned tensor comes from."""

    layer: int
    is_spk: bool  # else it is made of membranes
    reduction: str  # a key of REDUCTIONS

    def of(self, spk: Sequence[torch.Tensor], mem: Sequence[torch.Tensor]) -> torch.Tensor:
        """Return it, given the states of all layers."""
        states = spk[self.layer] if self.is_spk else mem[self.layer]
        return REDUCTIONS[self.reduction](states)


class Traced(NamedTuple):
    """What a module has done with one input."""

    spk: list[torch.Tensor]  # of each layer, (steps, batch, neurons)
    mem: list[torch.Tensor]
    layers: Layers
    out: Any


class Form(NamedTuple):
    """What a module expects and returns, beside its layers."""

    is_batch_first: bool
    n_steps: int | None  # None if it takes any number
    returned: tuple[Returned, ...]
    container: type | None  # tuple or list; None if it returns one tensor


@contextmanager
def watched(  # noqa: C901
    model: nn.Module, names: dict[nn.Module, str], noise: float
) -> Iterator[list[Call]]:
    """Collect the calls of layers while the block runs; refuse those of other modules."""
    calls: list[Call] = []
    states: dict[nn.Module, tuple[torch.Tensor, ...]] = {}

    def before(module: nn.Module, args: tuple, kwargs: dict) -> None:
        given = [value for value in (*args, *kwargs.values()) if value is not None]
        if isinstance(module, NEURONS):
            states[module] = tuple(given[1:]) or own_states(module)

    def after(module: nn.Module, args: tuple, kwargs: dict, out: Any) -> Any:
        x = (*args, *kwargs.values())[0]
        if isinstance(module, WEIGHTS):
            if noise:
                out = out + noise * torch.randn_like(out)
            calls.append(Call(module, x, (), out, ()))
            return out
        spk, *rest = out if isinstance(out, tuple) else (out,)
        left = own_states(module) if isinstance(module, snn.RLeaky) else (*rest[:-1], module.mem)
        calls.append(Call(module, x, states[module], spk, left))
        return None

    def own_states(module: nn.Module) -> tuple[torch.Tensor, ...]:
        names_of_states = ("spk", "mem") if isinstance(module, snn.RLeaky) else ("mem",)
        return tuple(module.get_buffer(name) for name in names_of_states)

    def refuse(module: nn.Module, *_: Any) -> None:
        raise NotCompilableError(
            f"its forward calls {names[module]}, a {type(module).__name__}. Only nn.Linear, "
            "snn.Leaky, snn.RLeaky and this package's layers can be compiled. "
            f"{_advice([module])}"
        )

    handles = []
    for module in names:
        if isinstance(module, (*WEIGHTS, *NEURONS)):
            handles.append(module.register_forward_pre_hook(before, with_kwargs=True))
            handles.append(module.register_forward_hook(after, with_kwargs=True))
        elif module is not model and (
            isinstance(module, snn.SpikingNeuron) or not any(True for _ in module.children())
        ):
            handles.append(module.register_forward_pre_hook(refuse))
    try:
        yield calls
    finally:
        for handle in handles:
            handle.remove()


def outside_neurons(model: nn.Module) -> dict[nn.Module, str]:
    """Return a module's submodules and their names, without recurrent weights within neurons."""
    inside = {
        each for lif in model.modules() if isinstance(lif, NEURONS) for each in lif.children()
    }
    return {module: name for name, module in model.named_modules() if module not in inside}


def trace(model: nn.Module, x: torch.Tensor, is_batch_first: bool, noise: float = 0.0) -> Traced:
    """Run a module's forward, and check that its layers form a chain over the steps of x."""
    names = outside_neurons(model)
    with watched(model, names, noise) as calls:
        out = model(x)
    by_module: dict[nn.Module, list[Call]] = {}
    for call in calls:
        by_module.setdefault(call.module, []).append(call)
    steps_first = x.transpose(0, 1) if is_batch_first else x
    layers = _pairs(by_module, names)
    previous, source = list(steps_first), "that step of the input"
    traced = Traced([], [], layers, out)
    for fc, lif in layers:
        currents = _currents(by_module[fc], previous, names[fc], source)
        _check_neurons(by_module[lif], currents, names[lif], names[fc])
        previous, source = [call.out for call in by_module[lif]], f"the spikes of {names[lif]}"
        traced.spk.append(torch.stack(previous))
        traced.mem.append(torch.stack([call.after[-1] for call in by_module[lif]]))
    return traced


def _pairs(by_module: dict[nn.Module, list[Call]], names: dict[nn.Module, str]) -> Layers:
    """Return the layers in the order of their calls: weights and the neurons after them."""
    called: list[Any] = [*by_module]
    is_weights = [isinstance(module, WEIGHTS) for module in called]
    if not called or is_weights != [True, False] * (len(called) // 2):
        listed = ", ".join(f"{names[module]} ({type(module).__name__})" for module in called)
        raise NotCompilableError(
            "its forward must call nn.Linear, snn.Leaky, nn.Linear, snn.Leaky and so on, but the "
            f"first calls are of {listed or 'none of these'}"
        )
    return [*zip(called[::2], called[1::2], strict=True)]


def _currents(
    calls: list[Call], inputs: list[torch.Tensor], name: str, source: str
) -> list[torch.Tensor]:
    """Return the currents of each step, after checking what the weights were applied to."""
    xs = [call.x for call in calls]
    outs = [call.out for call in calls]
    if len(calls) == 1 and len(inputs) != 1 and xs[0].dim() == 3:  # all steps at once
        axis = 0 if len(xs[0]) == len(inputs) else 1
        xs, outs = list(xs[0].unbind(axis)), list(outs[0].unbind(axis))
    if len(xs) != len(inputs):
        raise NotCompilableError(f"{name} is called {len(xs)} times for {len(inputs)} steps")
    for step, (x, wanted) in enumerate(zip(xs, inputs, strict=True)):
        if not torch.equal(x, wanted):
            raise NotCompilableError(f"the input of {name} in step {step} isn't {source}")
        if wanted.requires_grad and not x.requires_grad:
            raise NotCompilableError(f"the input of {name} is detached from {source}")
    return outs


def _check_neurons(calls: list[Call], currents: list[torch.Tensor], name: str, fc: str) -> None:
    """Check that neurons get the currents and their own states, from rest on."""
    if len(calls) != len(currents):
        raise NotCompilableError(f"{name} is called {len(calls)} times for {len(currents)} steps")
    for step, (call, wanted) in enumerate(zip(calls, currents, strict=True)):
        if not torch.equal(call.x, wanted):
            raise NotCompilableError(f"the input of {name} in step {step} isn't the output of {fc}")
        if wanted.requires_grad and not call.x.requires_grad:
            raise NotCompilableError(f"the input of {name} is detached from the output of {fc}")
        if step == 0:
            if any(state.shape == wanted.shape and state.any() for state in call.before):
                raise NotCompilableError(
                    f"{name} begins with the state that an earlier call has left, or with one that "
                    "isn't 0. Reset it at the start of forward, with reset_mem()"
                )
            continue
        for before, after in zip(call.before, calls[step - 1].after, strict=True):
            if not torch.equal(before, after):
                raise NotCompilableError(
                    f"the state of {name} in step {step} isn't what step {step - 1} has left"
                )
            if after.requires_grad and not before.requires_grad:
                raise NotCompilableError(f"the state of {name} is detached between steps")


def find_chain(model: nn.Module) -> tuple[Layers, Form]:
    """Return the layers of a module, and what it expects and returns."""
    weights = [module for module in outside_neurons(model) if isinstance(module, WEIGHTS)]
    neurons = [module for module in model.modules() if isinstance(module, NEURONS)]
    if not weights or not neurons:
        raise NotCompilableError(_what_is_missing(model))
    first = weights[0].weight
    if first.dtype != torch.float32 or first.device.type != "cpu":
        raise NotCompilableError(
            f"its parameters are {first.dtype} on {first.device}, not torch.float32 on the CPU"
        )
    n_units = weights[0].in_features
    noise = max([1.0, *(_largest_threshold(lif) for lif in neurons)])
    is_batch_first, n_steps = _layout(model, n_units)
    steps = n_steps or N_STEPS
    shape = (BATCH, steps) if is_batch_first else (steps, BATCH)
    x = torch.rand(*shape, n_units) + 0.5
    trace(model, x, is_batch_first, noise)  # what it leaves behind mustn't matter
    traced = trace(model, x, is_batch_first, noise)
    out = traced.out
    container = type(out) if isinstance(out, tuple | list) else None
    if container not in (None, tuple, list):
        raise NotCompilableError(f"its forward returns a {type(out).__name__}, not a tuple")
    values = [out] if container is None else out
    returned = tuple(_returned(value, traced) for value in values)
    if all(each.layer != len(traced.layers) - 1 for each in returned):
        raise NotCompilableError("its forward returns nothing of the last layer")
    return traced.layers, Form(is_batch_first, n_steps, returned, container)


def _what_is_missing(model: nn.Module) -> str:
    """Say which neurons a network has, if it has no weights or neurons that can be compiled."""
    found = [each for each in model.modules() if isinstance(each, snn.SpikingNeuron)]
    listed = ", ".join(sorted({type(each).__name__ for each in found})) or "no spiking neurons"
    return (
        "it must have nn.Linear, each followed by snn.Leaky, snn.RLeaky or AdaptiveLeaky. It "
        f"has {listed}. {_advice(found)}"
    )


def _advice(modules: Sequence[nn.Module]) -> str:
    """Say whether `scan` makes a network with modules that can't be compiled fast."""
    for module in modules:
        if isinstance(module, snn.SpikingNeuron) and type(module) not in scanning.NEURONS:
            return f"`engine.scan` doesn't compute {type(module).__name__} either"
    return "`engine.scan` computes one layer of neurons, between layers of any kind"


def _largest_threshold(lif: snn.Leaky) -> float:
    """Return the largest finite threshold of a layer, or 0."""
    return torch.nan_to_num(lif.threshold.detach().abs(), posinf=0).max().item()


def _layout(model: nn.Module, n_units: int) -> tuple[bool, int | None]:
    """Return whether a module's input has the batch first, and the number of steps of its loop."""
    shape = (N_STEPS, BATCH, n_units)
    try:
        n_calls, batch = _count_calls(model, shape)
        # a loop over a fixed number of steps may have as many as this input
        n_calls_for_more, _ = _count_calls(model, (N_STEPS + 2, BATCH + 1, n_units))
    except IndexError:  # its loop over a fixed number of steps is longer
        return _layout_of_a_long_loop(model, n_units)
    is_batch_first = batch == N_STEPS
    n_steps = BATCH if is_batch_first else N_STEPS
    if batch not in (BATCH, N_STEPS):
        raise NotCompilableError(
            f"its first neurons are called with a batch of {batch}, for an input of shape {shape}, "
            "which is (steps, batch, units) or (batch, steps, units)"
        )
    if n_calls > n_steps:
        raise NotCompilableError(
            f"its first neurons are called {n_calls} times for {n_steps} steps. Call each layer "
            "once in a step, and give each layer neurons of its own"
        )
    return is_batch_first, n_calls if n_calls == n_calls_for_more else None


def _layout_of_a_long_loop(model: nn.Module, n_units: int) -> tuple[bool, int]:
    """Return what `_layout` returns, for a loop over more steps than the input had."""
    for is_batch_first in (False, True):
        shape = (BATCH, MANY_STEPS) if is_batch_first else (MANY_STEPS, BATCH)
        with suppress(IndexError):
            return is_batch_first, _count_calls(model, (*shape, n_units))[0]
    raise NotCompilableError(
        f"its forward raised an IndexError with {N_STEPS} steps and with {MANY_STEPS}"
    )


def _count_calls(model: nn.Module, shape: tuple[int, int, int]) -> tuple[int, int]:
    """Return how often the neurons that are called first are called, and with which batch."""
    names = outside_neurons(model)
    try:
        with torch.no_grad(), watched(model, names, 0) as calls:
            model(torch.rand(*shape) + 0.5)
    except (IndexError, NotCompilableError):
        raise
    except Exception as error:
        first_line = (str(error).splitlines() or [""])[0]
        if first_line.startswith(scanning.REFUSAL):  # because `watched` adds hooks to the neurons
            raise NotCompilableError(
                "its forward calls scan, which is compiled already. Call the module itself"
            ) from error
        raise NotCompilableError(
            f"its forward raised {type(error).__name__}: {first_line}. It was called with an input "
            f"of shape {shape}, (steps, batch, units), and nothing else"
        ) from error
    of_neurons = [call for call in calls if isinstance(call.module, NEURONS)]
    if not of_neurons:
        raise NotCompilableError("its forward calls no snn.Leaky")
    currents = of_neurons[0].x
    if currents.dim() != 2:
        raise NotCompilableError(
            f"its neurons get currents of shape {tuple(currents.shape)} instead of (batch, "
            "neurons): its forward takes one step, or one image. Loop over x in forward, or type "
            "engine.scan(self.fc1(image).expand(25, -1, -1), self.lif1) for each layer"
        )
    return sum(call.module is of_neurons[0].module for call in of_neurons), len(currents)


def _returned(value: Any, traced: Traced) -> Returned:
    """Return where a value that a module has returned comes from."""
    n_layers = len(traced.layers)
    if isinstance(value, torch.Tensor):
        for layer in reversed(range(n_layers)):
            for is_spk in (True, False):
                for reduction in REDUCTIONS:
                    found = Returned(layer, is_spk, reduction)
                    wanted = found.of(traced.spk, traced.mem)
                    if wanted.shape == value.shape and torch.allclose(value, wanted, 1e-4, 1e-5):
                        return found
    what = f"a {type(value).__name__}"
    if isinstance(value, torch.Tensor):
        what = f"a tensor of shape {tuple(value.shape)}"
    raise NotCompilableError(
        f"its forward returns {what} that isn't spikes or membranes of one of its layers, nor "
        "their sum, mean, maximum or last step"
    )
