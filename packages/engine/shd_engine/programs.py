"""Compute a module's forward with all steps at once, wherever no state is in between.

`Program.of` records the forward of a module (`recording`). A program then takes what torch computes
in each step, such as convolutions or dropout, for all steps at once: steps and utterances are one
axis. What is the same in all steps, such as the first product of a static image, is computed once.
Each layer of neurons goes through the steps by `scan`, or step by step if `scan` doesn't know it.
"""

import pickle
import random
from collections.abc import Callable
from operator import attrgetter
from typing import Any, NamedTuple

import numpy as np
import snntorch as snn
import torch
from torch import nn

from shd_engine.recording import (
    Merger,
    Node,
    NotCompilableError,
    Recording,
    Symbol,
    all_nodes,
    is_fed_back,
    leaves,
    mapped,
    name_of,
    own_states,
    record,
)
from shd_engine.scanning import REFUSAL, scan, unsupported

N_UTTERANCES = (3, 4)  # of the two recorded inputs
N_STEPS = (5, 7)


class Lifted(NamedTuple):
    """A tensor for each step."""

    value: torch.Tensor  # (steps x batch, ...), or (batch, ...) if all steps have the same
    is_static: bool


class Program(NamedTuple):
    """What a module's forward does."""

    out: Any  # a tree of nodes
    batch_axis: int
    step_axis: int | None
    n_steps: int | None  # None if that of the input
    nodes: tuple[Node, ...]  # in the order of the computation
    tied: tuple[list[str], ...]  # names of the same parameter

    @classmethod
    def of(cls, model: nn.Module, x: torch.Tensor) -> "Program":
        """Record a module's forward with inputs such as x; raise NotCompilableError."""
        batch_axis = _batch_axis(model, x)
        first = resized(x, batch_axis, N_UTTERANCES[0])
        _recorded(model, first)  # what it leaves behind mustn't matter
        one = _recorded(model, first)
        step_axis = _step_axis(model, first, batch_axis)
        other = resized(x, batch_axis, N_UTTERANCES[1])
        if step_axis is not None:
            one = _recorded(model, resized(first, step_axis, N_STEPS[0]))
            other = resized(other, step_axis, N_STEPS[1])
        merger = Merger(one, _recorded(model, other))
        out = merger.tree(one.out, merger.other.out)
        nodes = tuple(all_nodes(out))
        if not any(node.kind == "neuron" for node in nodes):
            raise NotCompilableError("its forward returns nothing that its neurons have computed")
        names: dict[nn.Parameter, list[str]] = {}
        for name, parameter in model.named_parameters(remove_duplicate=False):
            names.setdefault(parameter, []).append(name)
        tied = tuple(each for each in names.values() if len(each) > 1)
        n_steps = None if step_axis is not None else one.n_steps
        return cls(out, batch_axis, step_axis, n_steps, nodes, tied)

    def run(self, model: nn.Module, x: torch.Tensor) -> tuple[Any, "Run"]:
        """Return what the module's forward returns, and how it was computed."""
        for names in self.tied:
            if len({id(attrgetter(name)(model)) for name in names}) > 1:
                raise RuntimeError(f"{' and '.join(names)} aren't the same parameter any more")
        n_steps = self.n_steps or x.shape[self.step_axis or 0]
        run = Run(self, model, x, x.shape[self.batch_axis], n_steps)
        return run.result(), run

    def lines(self, model: nn.Module, x: torch.Tensor) -> list[str]:
        """Say what computes each part of the forward."""
        _, run = self.run(model, x)
        found = []
        for node in self.nodes:
            if node.kind in ("operation", "dropout"):
                name = name_of(node.function[0])
                is_once = not node.is_stepwise or run.lifted(node).is_static
                found.append(f"{name}: torch, {'once' if is_once else 'all steps at once'}")
            elif node.kind == "neuron":
                neuron = model.get_submodule(node.function)
                is_fast = is_scanned(neuron, run.unfolded(node.args[0]), self.wanted(node.function))
                way = "scan" if is_fast else "its own forward, step by step"
                found.append(f"{node.function} ({type(neuron).__name__}): {way}")
        return found

    def wanted(self, neurons: str) -> set[int]:
        """Return which states of some neurons are used: 0 is the spikes, -1 the membranes."""
        states = [each for each in self.nodes if each.kind == "state"]
        return {each.function for each in states if each.args[0].function == neurons}


class Run:
    """A program with an input."""

    def __init__(
        self, program: Program, model: nn.Module, x: torch.Tensor | None, batch: int, n_steps: int
    ) -> None:
        self.program = program
        self.model = model
        self.x = x
        self.batch = batch
        self.n_steps = n_steps
        self.wholes: dict[int, torch.Tensor] = {}
        self.all_steps: dict[int, Lifted] = {}
        self.states: dict[str, dict[int, torch.Tensor]] = {}  # of neurons, by index
        self.masks: dict[int, torch.Tensor] = {}

    def result(self) -> Any:
        """Return what the module's forward returns."""
        return mapped(
            self.program.out, lambda leaf: self.whole(leaf) if isinstance(leaf, Node) else leaf
        )

    def whole(self, node: Node) -> torch.Tensor:
        """Return the value of a node that has no steps."""
        if id(node) not in self.wholes:
            self.wholes[id(node)] = self._whole(node)
        return self.wholes[id(node)]

    def _whole(self, node: Node) -> torch.Tensor:
        if node.kind == "input":
            assert self.x is not None, "lists of events have no tensor"
            return self.x
        if node.kind == "attribute":
            return attrgetter(node.function)(self.model)
        if node.kind == "constant":
            return node.function
        if node.kind == "operation":
            return _called(node, self._filled((node.args, node.kwargs), self.whole, self.batch))
        states = self.unfolded(node.args[0])
        if node.kind == "member":
            return states[node.function]
        if node.kind == "total":
            start = node.args[2]
            total = states.sum(0)
            return total if start is None else self.whole(start) + total
        rest = node.args[1][1:]
        if name_of(node.function) == "stack" and not node.kwargs and rest in ((), (0,)):
            return states
        filled = self._filled((rest, node.kwargs), self.whole, self.batch)
        return node.function([*states.unbind(0)], *filled[0], **filled[1])

    def lifted(self, node: Node) -> Lifted:
        """Return the value of a node for each step."""
        if id(node) not in self.all_steps:
            self.all_steps[id(node)] = getattr(self, f"_{node.kind}")(node)
        return self.all_steps[id(node)]

    def unfolded(self, node: Node) -> torch.Tensor:
        """Return the value of a node, (steps, batch, ...)."""
        value, is_static = self.lifted(node) if node.is_stepwise else (self.whole(node), True)
        if is_static:
            return value.expand(self.n_steps, *value.shape)
        return value.unflatten(0, (self.n_steps, -1))

    def _slices(self, node: Node) -> Lifted:
        axis = node.function
        steps = self.whole(node.args[0]).narrow(axis, 0, self.n_steps)
        if steps.stride(axis) == 0:  # an expanded tensor
            return Lifted(steps.select(axis, 0), True)
        return Lifted(steps.movedim(axis, 0).flatten(0, 1), False)

    def _operation(self, node: Node) -> Lifted:
        tree = (node.args, node.kwargs)
        stepwise = [each for each in leaves(tree) if isinstance(each, Node) and each.is_stepwise]
        is_static = all(self.lifted(each).is_static for each in stepwise)

        def value(each: Node) -> torch.Tensor:
            of_one, is_same = self.lifted(each) if each.is_stepwise else (self.whole(each), True)
            if is_static or not is_same or not (each.is_stepwise or each.is_batched):
                return of_one
            return of_one.expand(self.n_steps, *of_one.shape).flatten(0, 1)

        n = self.batch if is_static else self.batch * self.n_steps
        out = _called(node, self._filled(tree, value, n))
        if out.dim() == 0 or len(out) != n:
            raise NotCompilableError(
                f"its forward computes something of several utterances together (by "
                f"{name_of(node.function[0])})"
            )
        return Lifted(out, is_static)

    def _dropout(self, node: Node) -> Lifted:
        if not self.masks:  # all of them, in the order of the loop
            dropouts = [each for each in self.program.nodes if each.kind == "dropout"]
            masks: dict[int, list[torch.Tensor]] = {id(each): [] for each in dropouts}
            for _ in range(self.n_steps):
                for each in dropouts:
                    shape = self._filled(each.shape, self.whole, self.batch)
                    rest = self._filled((each.args[1:], each.kwargs), self.whole, self.batch)
                    masks[id(each)].append(each.function[0](torch.ones(shape), *rest[0], **rest[1]))
            self.masks = {name: torch.stack(each) for name, each in masks.items()}
        return Lifted((self.unfolded(node.args[0]) * self.masks[id(node)]).flatten(0, 1), False)

    def _state(self, node: Node) -> Lifted:
        name, current = node.args[0].function, node.args[0].args[0]
        if name not in self.states:
            neuron = self.model.get_submodule(name)
            wanted = self.program.wanted(name)
            self.states[name] = states_of(neuron, self.unfolded(current), wanted)
        return Lifted(self.states[name][node.function].flatten(0, 1), False)

    def _filled(self, tree: Any, value: Callable[[Node], torch.Tensor], n: int) -> Any:
        """Return arguments with values in place of nodes and symbols."""

        def filled(leaf: Any) -> Any:
            if isinstance(leaf, Node):
                return value(leaf)
            if isinstance(leaf, Symbol):
                steps = self.n_steps**leaf.n_per_step
                return leaf.n * steps * n**leaf.n_per_utterance
            return leaf

        return mapped(tree, filled)


def _called(node: Node, filled: tuple) -> torch.Tensor:
    """Return what an operation computes."""
    function, item = node.function
    out = function(*filled[0], **filled[1])
    return out if item is None else out[item]


def is_scanned(neuron: nn.Module, currents: torch.Tensor, wanted: set[int]) -> bool:
    """Tell whether `scan` computes the states with these indices."""
    return wanted <= {0, -1} and unsupported(currents, neuron) is None


def states_of(
    neuron: nn.Module, currents: torch.Tensor, wanted: set[int]
) -> dict[int, torch.Tensor]:
    """Return spikes, 0, and membranes, -1, or other states of neurons, (steps, batch, ...)."""
    if is_scanned(neuron, currents, wanted):
        spk, mem = scan(currents, neuron)
        return {0: spk, -1: mem}
    state = neuron.reset_mem()  # type: ignore[operator]
    state = state if isinstance(state, tuple) else (state,)
    found: dict[int, list[torch.Tensor]] = {index: [] for index in wanted}
    for current in currents:
        if neuron.init_hidden:
            out = neuron(current)
            spk = out[0] if isinstance(out, tuple) else out
            states = own_states(neuron)
            out = states if is_fed_back(neuron) else (spk, *states)
        else:
            out = neuron(current, *state)
            state = out if is_fed_back(neuron) else out[1:]
        for index in wanted:
            found[index].append(out[index])
    return {index: torch.stack(states) for index, states in found.items()}


def _recorded(model: nn.Module, x: torch.Tensor) -> Recording:
    """Record a forward; its own errors are reasons, too."""
    drawn, versions = _random_states(), _versions(model)
    try:
        recording = record(model, x)
    except NotCompilableError:
        raise
    except Exception as error:
        first_line = (str(error).splitlines() or [""])[0]
        if first_line.startswith(REFUSAL):  # because the neurons have hooks here
            raise NotCompilableError(
                "its forward calls scan, which is compiled already. Call the module itself"
            ) from error
        raise ForwardError(
            f"its forward raised {type(error).__name__}: {first_line}. It was called with an input "
            f"of shape {tuple(x.shape)}, and nothing else"
        ) from error
    if _random_states() != drawn:
        raise NotCompilableError(
            "its forward draws random numbers of Python or numpy, which would stay the same in all "
            "calls. Draw them with torch"
        )
    for name, version in _versions(model).items():
        if versions.get(name, version) != version:
            raise NotCompilableError(
                f"its forward changes {name} in place. Compute this for all steps at once, between "
                "layers that `engine.scan` computes"
            )
    return recording


def _random_states() -> tuple:
    """Return the states of the generators of Python and of numpy."""
    return random.getstate(), pickle.dumps(np.random.get_state())  # noqa: NPY002


def _versions(model: nn.Module) -> dict[str, int]:
    """Return how often each buffer was changed in place, but those of neurons."""
    return {
        f"{owner}.{name}".strip("."): buffer._version
        for owner, module in model.named_modules()
        if not isinstance(module, snn.SpikingNeuron)
        for name, buffer in module.named_buffers(recurse=False)
    }


class ForwardError(NotCompilableError):
    """The forward itself doesn't take the input that was tried."""


def resized(x: torch.Tensor, axis: int, n: int) -> torch.Tensor:
    """Return an input of another length along an axis, some of its entries several times."""
    return x.detach().index_select(axis, torch.arange(n) % x.shape[axis])


def _batch_axis(model: nn.Module, x: torch.Tensor) -> int:
    """Return along which axis of the input the utterances lie."""
    for axis in range(min(2, x.dim())):
        batches = []
        for n in N_UTTERANCES:
            try:
                batches.append(_recorded(model, resized(x, axis, n)).batch)
            except ForwardError:
                if axis or x.dim() == 1:
                    _recorded(model, x)  # its message names the shape of the user's own input
                    raise
        if tuple(batches) == N_UTTERANCES:
            return axis
    raise NotCompilableError("its neurons get currents that don't begin with the axis of the batch")


def _step_axis(model: nn.Module, x: torch.Tensor, batch_axis: int) -> int | None:
    """Return along which axis of the input the steps lie; None if its loop has its own number."""
    for axis in range(min(2, x.dim())):
        if axis != batch_axis:
            try:
                found = [_recorded(model, resized(x, axis, n)).n_steps for n in N_STEPS]
            except ForwardError:
                continue
            if tuple(found) == N_STEPS:
                return axis
    return None
