"""Find the layers of a program, which the engine computes from lists of events."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from torch import nn

from shd_engine import compiled_engine
from shd_engine.network import Chain as Layers
from shd_engine.network import ChannelConv1d
from shd_engine.programs import Program
from shd_engine.recording import Node, NotCompilableError, leaves, name_of

_TRANSPOSING = ("transpose", "swapaxes", "swapdims", "permute", "movedim")


class Found(NamedTuple):
    """The layers of a program."""

    layers: Layers
    names: tuple[str, ...]  # of the neurons
    is_batch_first: bool
    n_steps: int | None  # None if any number
    needs_hidden: bool  # results depend on the hidden layers other than through the last one


def find_chain(model: nn.Module, program: Program) -> Found:
    """Return the layers of a program; NotCompilableError if they form no chain."""
    layers: list[Any] = []
    names: list[str] = []
    is_batch_first = False
    for node in (each for each in program.nodes if each.kind == "neuron"):
        name = node.function
        fc, source = _weights(model, node.args[0], name)
        if not names:
            axis = _axis_of_steps(source if source.kind == "slices" else node.args[0])
            if axis is None:
                raise NotCompilableError(f"the input of the weights before {name} isn't x[step]")
            is_batch_first = axis == 1
        elif source.kind != "state" or (source.args[0].function, source.function) != (names[-1], 0):
            raise NotCompilableError(
                f"the input of the weights before {name} isn't the spikes of {names[-1]}"
            )
        layers.append((fc, model.get_submodule(name)))
        names.append(name)
    results = [*_results(program.out)]
    states = [each for each in results if each.kind == "state"]
    used = {each.args[0].function for each in states}
    is_input_used = any(each.kind == "input" for each in results)
    if is_input_used or not {each.function for each in states} <= {0, -1}:
        raise NotCompilableError("its results are more than spikes and membranes")
    if names[-1] not in used:
        raise NotCompilableError("its forward returns nothing of the last layer")
    chain = Layers(tuple(layers), ((0,),) * len(layers), _readout(program.out, names[-1]))
    if reason := compiled_engine.unsupported(chain):
        raise NotCompilableError(reason)
    return Found(chain, tuple(names), is_batch_first, program.n_steps, used != {names[-1]})


def _weights(model: nn.Module, current: Node, name: str) -> tuple[nn.Module, Node]:
    """Return the weights that compute some currents, and what they are applied to."""
    product = current.args[0] if current.kind == "slices" else current
    function = product.function[0] if product.kind in ("operation", "dropout") else None
    if isinstance(function, ChannelConv1d):
        return function, product.args[0]
    if name_of(function) == "linear":
        source, weight, bias = (*product.args, None)[:3]
        owner = weight.function.rpartition(".")[0] if weight.kind == "attribute" else None
        fc = None if owner is None else model.get_submodule(owner)
        names = [each and each.function for each in (weight, bias)]
        own = [f"{owner}.{part}".strip(".") for part in ("weight", "bias")]
        if type(fc) is nn.Linear and names in (own, [own[0], None]):
            return fc, source
    what = "torch" if function is None else name_of(function)
    raise NotCompilableError(f"the currents of {name} are computed by {what}, not by a nn.Linear")


def _axis_of_steps(node: Node) -> int | None:
    """Return along which axis of the input the steps of a node lie; None if it is another node."""
    if node.kind != "slices":
        return None
    whole, axis = node.args[0], node.function
    if whole.kind == "operation" and name_of(whole.function[0]) == "linear":
        whole = whole.args[0]  # of all steps at once
    if whole.kind == "operation" and name_of(whole.function[0]) in _TRANSPOSING:
        whole, axis = whole.args[0], 1 - axis
    return axis if whole.kind == "input" else None


def _results(tree: Any) -> Iterator[Node]:
    """Yield the nodes of which results are computed, from the states of neurons on."""
    for leaf in leaves(tree):
        if isinstance(leaf, Node):
            yield leaf
            if leaf.kind != "state":
                yield from _results((leaf.args, leaf.kwargs))


def _readout(out: Any, last: str) -> str:
    """Return what the class scores are, from what a module returns; empty if neither."""
    found = set()
    for leaf in leaves(out):
        path, axes = [], []
        while isinstance(leaf, Node) and leaf.kind in ("operation", "stacked", "total"):
            name = name_of(leaf.function[0]) if leaf.kind == "operation" else leaf.kind
            if name not in _TRANSPOSING:
                path.append(name)
                given = leaf.args[1][1:] if name == "stacked" else leaf.args[1:]
                axes.append((*given, *leaf.kwargs.values(), 0)[0] if name != "total" else 0)
            leaf = leaf.args[0]
        if isinstance(leaf, Node) and leaf.kind == "state" and leaf.args[0].function == last:
            found.add((leaf.function, *path, len({*axes}) == 1))
    if any(of_one[1:] == ("stacked", True) for of_one in found):
        # of spikes and membranes, the spikes are counted
        return "spikes" if any(of_one[0] == 0 for of_one in found) else "membrane"
    if {(0, "total", True), (0, "sum", "stacked", True)} & found:
        return "spikes"
    return "membrane" if (-1, "mean", "stacked", True) in found else ""
