"""Write down what a module's forward does: each operation of torch, and each call of neurons.

A network of snnTorch has a loop over the steps, which does the same in each of them. So `Recorder`
gives the operations of one kind, one in each step, a single `Node`. Two recordings, with other
numbers of steps and utterances, show which numbers in the code follow from these (`Merger`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import snntorch as snn
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from shd_engine.network import ChannelConv1d, NotCompilableError

STATES = ("spk", "syn_exc", "syn_inh", "syn", "mem")  # in which neurons keep their states
_SELECTIONS = ("__getitem__", "unbind", "select", "split", "chunk")
_ADDITIONS = ("add", "add_", "__add__", "__radd__", "__iadd__")
_STACKING = ("stack", "cat", "concat", "concatenate", "vstack")
_READING = (
    "item", "tolist", "numpy", "__bool__", "__int__", "__float__", "__index__", "__array__",
    "nonzero",
)  # fmt: skip
_DRAWING = (
    "rand", "randn", "randint", "rand_like", "randn_like", "randint_like", "randperm", "normal",
    "bernoulli", "poisson", "multinomial", "rrelu", "gumbel_softmax",
)  # fmt: skip
_DROPOUTS = (
    "dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout",
)  # fmt: skip


@dataclass(eq=False)
class Node:
    """A tensor of a forward, or one for each step."""

    # input, attribute, constant, operation, dropout, slices, neuron, state, stacked, total, member
    kind: str
    function: Any = None  # of operations; else a name or a number
    args: Any = ()  # a tree of nodes and other values
    kwargs: Any = field(default_factory=dict)
    is_stepwise: bool = False
    shape: tuple = ()  # of one step
    is_batched: bool = False  # the first axis is that of the batch
    steps: set[int] = field(default_factory=set)


class At(NamedTuple):
    """A tensor that a forward has made: a node, at a step if it has one for each."""

    node: Node
    step: int | None = None


class Total(NamedTuple):
    """The sum of a node over the first steps, and of what was there before."""

    node: Node
    n_steps: int
    start: Node | None


class Symbol(NamedTuple):
    """A whole number that follows from the sizes of the input."""

    n_per_utterance: int
    n_per_step: int
    n: int


def mapped(tree: Any, function: Callable[[Any], Any]) -> Any:
    """Return a tree of tuples, lists, dictionaries and slices with its leaves replaced."""
    if isinstance(tree, tuple | list) and type(tree) not in (At, Total, Symbol):
        values = [mapped(each, function) for each in tree]
        if hasattr(tree, "_fields"):
            return type(tree)(*values)
        return values if isinstance(tree, list) else tuple(values)
    if isinstance(tree, dict):
        return {key: mapped(value, function) for key, value in tree.items()}
    if isinstance(tree, slice):
        return slice(*(mapped(each, function) for each in (tree.start, tree.stop, tree.step)))
    return function(tree)


def name_of(function: Any) -> str:
    """Return the name of a function, or of the class of a module."""
    return getattr(function, "__name__", type(function).__name__)


def leaves(tree: Any) -> list[Any]:
    """Return the leaves of a tree."""
    found: list[Any] = []
    mapped(tree, found.append)
    return found


def _key(tree: Any) -> Any:
    """Return what identifies a tree of nodes and other values."""
    if isinstance(tree, tuple | list):
        return (type(tree), *map(_key, tree))
    if isinstance(tree, dict):
        return tuple((name, _key(value)) for name, value in tree.items())
    if isinstance(tree, slice):
        return (slice, _key((tree.start, tree.stop, tree.step)))
    return (type(tree), tree) if tree.__hash__ else id(tree)


class Recorder(TorchFunctionMode):
    """The operations of a forward while the block runs."""

    def __init__(self, model: nn.Module, x: torch.Tensor) -> None:
        super().__init__()
        self.names = {module: name for name, module in model.named_modules()}
        self.values: dict[int, At | Total] = {}
        self.kept: list[Any] = []  # or another tensor would get the same id
        self.nodes: dict[Any, Node] = {}
        self.wholes: list[tuple[Node, torch.Tensor]] = []
        self.selected: dict[int, tuple] = {}
        self.calls: dict[nn.Module, int] = {}
        self.neurons: dict[nn.Module, Node] = {}
        self.left: dict[nn.Module, tuple] = {}
        self.before: tuple = ()
        self.depth = 0
        self.batch = 0
        for name, tensor in (*model.named_buffers(), *model.named_parameters()):
            self.keep(tensor, At(self.node("attribute", name)))
        self.see(x, self.node("input"))

    @property
    def n_steps(self) -> int:
        """How often the neurons were called."""
        return max(self.calls.values(), default=0)

    def node(
        self, kind: str, function: Any = None, args: Any = (), kwargs: Any = None, **more: Any
    ) -> Node:
        """Return the node of this kind, a new one if there is none."""
        key = _key((kind, function, args, kwargs or {}))
        if key not in self.nodes:
            self.nodes[key] = Node(kind, function, args, kwargs or {}, **more)
        return self.nodes[key]

    def keep(self, tensor: torch.Tensor, value: At | Total) -> None:
        """Say what a tensor is."""
        self.values[id(tensor)] = value
        self.kept.append(tensor)

    def see(self, tensor: torch.Tensor, node: Node) -> None:
        """Say that a tensor is a node that has no steps; its slices may be those of the steps."""
        node.shape = tuple(tensor.shape)
        self.keep(tensor, At(node))
        self.wholes.append((node, tensor))

    def value_of(self, leaf: Any) -> Any:
        """Return what a tensor is; other values stay as they are."""
        if not isinstance(leaf, torch.Tensor):
            return leaf
        if id(leaf) not in self.values:
            self._find(leaf)
        return self.values[id(leaf)]

    def _find(self, tensor: torch.Tensor) -> None:
        """Find out which slice of an earlier tensor this is, or take it for a constant."""
        for node, whole in self.wholes:
            is_part = whole.untyped_storage().data_ptr() == tensor.untyped_storage().data_ptr()
            if not is_part or whole.numel() == 0:
                continue
            for axis in range(min(2, whole.dim())):
                of_one = whole.select(axis, 0)
                if (of_one.shape, of_one.stride()) == (tensor.shape, tensor.stride()):
                    first = tensor.storage_offset() - whole.storage_offset()
                    step, rest = divmod(int(first), int(whole.stride(axis)) or 1)
                    if rest == 0 and 0 <= step < whole.shape[axis]:
                        found = self.node("slices", axis, (node,), is_stepwise=True)
                        found.steps.add(step)
                        found.shape = tuple(tensor.shape)
                        return self.keep(tensor, At(found, step))
        if id(tensor) in self.selected:
            return self._write(*self.selected[id(tensor)])
        return self.see(tensor, self.node("constant", tensor))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        """Compute an operation of torch, and write it down."""
        kwargs = kwargs or {}
        if self.depth:
            return func(*args, **kwargs)
        self.depth += 1
        try:
            found = mapped((args, kwargs), self.value_of)
            out = func(*args, **kwargs)
            self._note(func, found, (args, kwargs), out)
        finally:
            self.depth -= 1
        return out

    def _note(self, function: Any, found: tuple, given: tuple, out: Any) -> None:
        """Write down an operation, unless it only selects a part of a tensor."""
        name = name_of(function)
        if name in _READING:
            raise NotCompilableError(
                f"its forward reads numbers out of tensors (by {name}), so that what it does may "
                "depend on them"
            )
        outs = [each for each in leaves(out) if isinstance(each, torch.Tensor)]
        if not outs:
            if name == "__setitem__":
                raise NotCompilableError(
                    "its forward writes into a tensor by its index. Append to a list, and use "
                    "torch.stack"
                )
            return
        is_same = any(out is leaf for leaf in leaves(given) if isinstance(leaf, torch.Tensor))
        if is_same and not (_is_in_place(name, found[1]) or _draws(name, *found)):
            return  # such as contiguous()
        first = next(iter(leaves(found)), None)
        is_whole = isinstance(first, At) and first.step is None
        index = given[0][1] if name == "__getitem__" else None
        is_last = isinstance(index, int) and index == -1  # after the loop
        if name in _SELECTIONS and is_whole and not is_last:
            source = given[0][0].untyped_storage().data_ptr()
            if all(each.untyped_storage().data_ptr() == source for each in outs):
                for each in outs:
                    self.selected[id(each)] = (function, found, out)
                self.kept.append(outs)
                return
        self._write(function, found, out)

    def _write(self, function: Any, found: tuple, out: Any) -> None:
        """Write down an operation with these arguments, `At` or `Total` where a tensor is."""
        name = name_of(function)
        args, kwargs = found
        if isinstance(out, torch.Tensor) and name in _ADDITIONS:
            if total := _sum(args, kwargs):
                return self.keep(out, total)
        steps = [leaf for leaf in leaves(found) if isinstance(leaf, At) and leaf.step is not None]
        stacked = args[0] if args and isinstance(args[0], list | tuple) else ()
        if name in _STACKING and steps and all(isinstance(each, At) for each in stacked):
            nodes = {id(each.node) for each in stacked}
            if [each.step for each in stacked] == [*range(len(stacked))] and len(nodes) == 1:
                rest = (len(stacked), *args[1:])
                node = self.node("stacked", function, (stacked[0].node, rest), kwargs)
                return self.see(out, node)
        numbers = {at.step for at in steps if at.step is not None}
        if len(numbers) > 1:
            raise NotCompilableError(
                f"its forward combines values of steps {min(numbers)} and {max(numbers)} (by "
                f"{name}). Between steps, only the neurons may keep a state"
            )
        function, kwargs = _not_in_place(function, args, kwargs)
        args, kwargs = mapped((args, kwargs), self._node_of)
        step = next(iter(numbers), None)
        is_drawn = _draws(name, args, kwargs)
        kind = "dropout" if is_drawn and name in _DROPOUTS and steps else "operation"
        if is_drawn and kind == "operation":  # each draws other numbers
            self.nodes.pop(_key((kind, (function, None), args, kwargs)), None)
        several = list(out) if isinstance(out, tuple | list) else [out]
        for number, each in enumerate(several):
            if not isinstance(each, torch.Tensor):
                continue
            item = None if each is out else number
            node = self.node(kind, (function, item), args, kwargs, is_stepwise=step is not None)
            if step is None:
                self.see(each, node)
            else:
                node.steps.add(step)
                node.shape = tuple(each.shape)
                self.keep(each, At(node, step))
        return None

    def _node_of(self, leaf: Any) -> Any:
        """Return the node of a value."""
        if isinstance(leaf, Total):
            return self.node("total", None, (leaf.node, leaf.n_steps, leaf.start))
        return leaf.node if isinstance(leaf, At) else leaf

    def enter(self, *_: Any) -> None:
        """Stop writing down operations, those within a module, as a hook."""
        self.depth += 1

    def leave(self, module: nn.Module, args: tuple, out: Any) -> None:
        """Write down the call of a module as one operation, as a hook."""
        self._write(module, (mapped(args, self.value_of), {}), out)
        self.depth -= 1

    # --- neurons --------------------------------------------------------------------------------

    def begin(self, lif: nn.Module, args: tuple, kwargs: dict) -> None:
        """Remember the states with which neurons are called, as a hook."""
        self.depth += 1
        given = [value for value in (*args, *kwargs.values()) if value is not None]
        self.before = tuple(given[1:]) or own_states(lif)

    def end(self, lif: nn.Module, args: tuple, kwargs: dict, out: Any) -> None:
        """Write down a call of neurons, as a hook."""
        name = self.names[lif]
        step = self.calls.get(lif, 0)
        self.calls[lif] = step + 1
        x = (*args, *kwargs.values())[0]
        at = self.value_of(x)
        if not isinstance(at, At) or at.step not in (None, step):
            raise NotCompilableError(
                f"the input of {name} in step {step} isn't of this step. Call each layer once in a "
                "step, and give each layer neurons of its own"
            )
        node = self.node("neuron", name, (at.node,), is_stepwise=True)
        if self.neurons.setdefault(lif, node) is not node:
            raise NotCompilableError(
                f"the input of {name} in step {step} is computed otherwise than in the steps "
                "before. Call each layer once in a step, and give each layer neurons of its own"
            )
        self.batch = len(x)
        self._check_states(lif, step, x)
        node.steps.add(step)
        outs = tuple(out) if isinstance(out, tuple) else (out,)
        own = own_states(lif)
        named = [*enumerate(own, -len(own)), *enumerate(outs[1:], 1 - len(outs)), (0, outs[0])]
        for index, state in named:
            of_state = self.node("state", index, (node,), is_stepwise=True)
            of_state.steps.add(step)
            of_state.shape = tuple(state.shape)
            self.keep(state, At(of_state, step))
        n = len(self.before)
        self.left[lif] = outs[-n:] if len(outs) >= n + (not is_fed_back(lif)) else own[-n:]
        self.depth -= 1

    def _check_states(self, lif: nn.Module, step: int, x: torch.Tensor) -> None:
        """Check that neurons go on where they were after the step before."""
        name = self.names[lif]
        if step == 0:
            if any(state.shape == x.shape and state.any() for state in self.before):
                raise NotCompilableError(
                    f"{name} begins with the state that an earlier call has left, or with one that "
                    "isn't 0. Reset it at the start of forward, with reset_mem(), or, if forward "
                    "takes a single step, use `engine.unroll`"
                )
            return
        for before, after in zip(self.before, self.left[lif], strict=True):
            if before is not after or self._node_of(self.value_of(before)).kind != "state":
                raise NotCompilableError(
                    f"the state of {name} in step {step} isn't what step {step - 1} has left"
                )

    # --- results --------------------------------------------------------------------------------

    def result(self, out: Any) -> Any:
        """Return what a forward returns as a tree of nodes, after checking all steps."""
        uneven = {self.names[lif]: n for lif, n in self.calls.items() if n != self.n_steps}
        if uneven or not self.calls:
            raise NotCompilableError(
                f"its neurons aren't called once in each of {self.n_steps} steps, but so often: "
                f"{uneven or 'never'}"
            )
        for leaf in leaves(out):
            if not isinstance(leaf, torch.Tensor | int | float | str | None):
                raise NotCompilableError(f"its forward returns a {type(leaf).__name__}")
        found = mapped(mapped(out, self.value_of), self.final)
        for node in all_nodes(found):
            n = {"total": node.args[1:2], "stacked": node.args[1:]}.get(node.kind)
            if n and leaves(n)[0] != self.n_steps:
                raise NotCompilableError("its forward collects the values of some steps alone")
        return found

    def final(self, leaf: Any) -> Any:
        """Return a value as a node without steps."""
        if not isinstance(leaf, At) or leaf.step is None:
            return self._node_of(leaf)
        node, step = leaf
        if node.steps == {*range(self.n_steps)}:
            if step not in (0, self.n_steps - 1):
                raise NotCompilableError(
                    f"its forward uses step {step} alone. It may use the first, the last, or all"
                )
            return self.node("member", 0 if step == 0 else -1, (node,))
        if node.kind == "slices" and step in (0, self.n_steps - 1):
            select = (torch.select, None)
            args = (node.args[0], node.function, 0 if step == 0 else -1)
            return self.node("operation", select, args)
        if node.kind != "operation":
            raise NotCompilableError("its loop leaves out some steps")

        def of_step(each: Any) -> Any:
            is_stepwise = isinstance(each, Node) and each.is_stepwise
            return self.final(At(each, step)) if is_stepwise else each

        return self.node("operation", node.function, *mapped((node.args, node.kwargs), of_step))


def own_states(lif: nn.Module) -> tuple[torch.Tensor, ...]:
    """Return the states that neurons keep themselves, the membrane last."""
    return tuple(lif._buffers[name] for name in STATES if name in lif._buffers)  # type: ignore[misc]


def is_fed_back(lif: nn.Module) -> bool:
    """Tell whether the spikes of neurons are one of their states."""
    return isinstance(lif, snn.RLeaky | snn.RSynaptic) or hasattr(lif, "recurrent")


def _draws(name: str, args: Any, kwargs: dict) -> bool:
    """Tell whether an operation draws random numbers: dropout does in training alone."""
    share = kwargs.get("p", args[1] if len(args) > 1 else 0.5)
    is_training = kwargs.get("training", args[2] if len(args) > 2 else True)
    return name in _DRAWING or (name in _DROPOUTS and bool(is_training) and share != 0)


def _is_in_place(name: str, kwargs: dict) -> bool:
    """Tell whether an operation changes its first argument."""
    if name.startswith("__"):
        return name.startswith("__i") and name != "__invert__"
    return name.endswith("_") or bool(kwargs.get("inplace"))


def _sum(args: tuple, kwargs: dict) -> At | Total | None:
    """Return what an addition adds up over the steps, if it does."""
    if len(args) != 2 or kwargs:
        return None
    for one, other in (args, args[::-1]):
        if not isinstance(other, At) or other.step is None:
            continue
        if isinstance(one, int | float) and one == 0:
            return other
        if isinstance(one, Total) and one.node is other.node and one.n_steps == other.step:
            return one._replace(n_steps=other.step + 1)
        if isinstance(one, At) and (one.step, other.step) == (0, 1):
            if one.node is other.node:
                return Total(other.node, 2, None)
            start = [each for each in one.node.args if each is not other.node]
            if one.node.kind == "operation" and len(start) == 1 and len(one.node.args) == 2:
                if name_of(one.node.function[0]) in _ADDITIONS and isinstance(start[0], Node):
                    return Total(other.node, 2, start[0])
    return None


def _not_in_place(function: Any, args: tuple, kwargs: dict) -> tuple[Any, dict]:
    """Return a function that computes the same as one that changes its first argument."""
    name = name_of(function)
    if not _is_in_place(name, kwargs):
        return function, kwargs
    if "inplace" in kwargs:
        return function, kwargs | {"inplace": False}
    target = args[0]
    if isinstance(target, At) and target.step is None and target.node.kind != "operation":
        raise NotCompilableError(
            f"its forward changes {target.node.function or 'its input'} in place (by {name}). "
            "Change parameters after the optimizer's step instead. Batch normalization in training "
            "changes its buffers in each step by itself. Compute it for all steps at once, between "
            "layers that `engine.scan` computes"
        )
    plain = f"__{name[3:]}" if name.startswith("__") else name[:-1]
    return getattr(torch.Tensor, plain, function), kwargs


@dataclass
class Recording:
    """A forward of a module with one input."""

    out: Any  # a tree of nodes
    shape: tuple  # of the input
    n_steps: int
    batch: int


def record(model: nn.Module, x: torch.Tensor) -> Recording:
    """Run a module's forward, and write down what it does."""
    recorder = Recorder(model, x)
    handles = []
    for module in model.modules():
        if isinstance(module, snn.SpikingNeuron):
            handles.append(module.register_forward_pre_hook(recorder.begin, with_kwargs=True))
            handles.append(module.register_forward_hook(recorder.end, with_kwargs=True))
        elif isinstance(module, ChannelConv1d):
            handles.append(module.register_forward_pre_hook(recorder.enter))
            handles.append(module.register_forward_hook(recorder.leave))
    try:
        with recorder:
            out = model(x)
        return Recording(recorder.result(out), tuple(x.shape), recorder.n_steps, recorder.batch)
    finally:
        for handle in handles:
            handle.remove()


class Merger:
    """Two recordings as one tree, in which sizes are symbols."""

    def __init__(self, one: Recording, other: Recording) -> None:
        self.one, self.other = one, other
        self.merged: dict[int, Node] = {}

    def tree(self, one: Any, other: Any) -> Any:
        """Return what two trees have in common."""
        if isinstance(one, Node) and isinstance(other, Node):
            if id(one) not in self.merged:
                self.merged[id(one)] = self._node(one, other)
            return self.merged[id(one)]
        if isinstance(one, tuple | list | dict | slice) and type(one) is type(other):
            parts, others = self._parts(one), self._parts(other)
            if len(parts) == len(others):
                both = iter([self.tree(a, b) for a, b in zip(parts, others, strict=True)])
                if isinstance(one, dict):
                    return dict(zip(one, both, strict=True))
                if isinstance(one, slice):
                    return slice(*both)
                return type(one)(*both) if hasattr(one, "_fields") else type(one)(both)
        elif type(one) is type(other) and (one is other or _is_same(one, other)):
            return one
        elif isinstance(one, int) and isinstance(other, int):
            return self._symbol(one, other)
        raise NotCompilableError(
            "its forward does something else for another number of steps or utterances, "
            f"{_short(one)} and {_short(other)}"
        )

    @staticmethod
    def _parts(tree: Any) -> list:
        if isinstance(tree, slice):
            return [tree.start, tree.stop, tree.step]
        return [*tree.values()] if isinstance(tree, dict) else [*tree]

    def _symbol(self, one: int, other: int) -> Symbol:
        """Return a number that is a multiple of the steps, the utterances or their product."""
        for per_utterance, per_step in ((1, 0), (0, 1), (1, 1)):
            unit = self.one.batch**per_utterance * self.one.n_steps**per_step
            other_unit = self.other.batch**per_utterance * self.other.n_steps**per_step
            n, rest = divmod(one, unit)
            if rest == 0 and n * other_unit == other:
                return Symbol(per_utterance, per_step, n)
        raise NotCompilableError(
            f"its forward has the number {one} for {self.one.batch} utterances of "
            f"{self.one.n_steps} steps, and {other} for {self.other.batch} of {self.other.n_steps}"
        )

    def _node(self, one: Node, other: Node) -> Node:
        """Return what two nodes have in common."""
        for node, recording in ((one, self.one), (other, self.other)):
            if node.is_stepwise and node.steps != {*range(recording.n_steps)}:
                raise NotCompilableError(
                    f"its forward does something in {len(node.steps)} of {recording.n_steps} steps"
                )
        if one.kind == other.kind == "constant" and one.function is not other.function:
            raise NotCompilableError(
                "its forward makes a tensor by other means than torch's own operations, such as "
                "NumPy or a torch.autograd.Function"
            )
        if (one.kind, one.is_stepwise) != (other.kind, other.is_stepwise):
            raise NotCompilableError("its forward does something else for another input")
        return Node(
            one.kind,
            self.tree(one.function, other.function),
            self.tree(one.args, other.args),
            self.tree(one.kwargs, other.kwargs),
            one.is_stepwise,
            self.tree(one.shape, other.shape) if one.kind == "dropout" else (),
            one.kind != "attribute" and one.shape[:1] != other.shape[:1],
        )


def _is_same(one: Any, other: Any) -> bool:
    """Tell whether two values, such as numbers and functions, are the same."""
    return not isinstance(one, torch.Tensor) and bool(one == other)


def _short(value: Any) -> str:
    return value.kind if isinstance(value, Node) else str(value)[:40]


def all_nodes(tree: Any) -> Iterator[Node]:
    """Yield each node of a tree once, in the order of the computation."""
    seen: set[int] = set()

    def visit(part: Any) -> Iterator[Node]:
        for leaf in leaves(part):
            if isinstance(leaf, Node) and id(leaf) not in seen:
                seen.add(id(leaf))
                yield from visit((leaf.args, leaf.kwargs))
                yield leaf

    return visit(tree)
