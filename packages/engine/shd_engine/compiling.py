"""Compile a user's module: check that the engine computes what its forward computes.

`compile` records what the module's forward does (`programs`), and finds out whether lists of events
suffice for it (`chains`). The first call compares spikes, returned values and gradients with those
of its own forward, on random inputs (`_verify`). The parameters stay the module's. They are read at
each call, and so are betas, thresholds and what is trained.
"""

import copy
import inspect
import random
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from statistics import median
from types import FunctionType
from typing import TYPE_CHECKING, Any

import numpy as np
import snntorch as snn
import torch
from torch import nn
from torch.nn import functional

from shd_engine import compiled_engine
from shd_engine.event_lists import EventLists, Index, ReadsAsEvents
from shd_engine.network import READOUTS, LayeredNetwork, LayerStates, NotCompilableError
from shd_engine.parameter_layout import Layered, trained

if TYPE_CHECKING:  # a `LayeredNetwork` needs none of what records and verifies a user's forward
    from shd_engine.chains import Found
    from shd_engine.programs import Program

# A membrane that is closer to its threshold may be on the other side after rounding.
TIE = 1e-5
N_STEPS = 23  # of the compared utterances, unless a module has its own number
MANY_STEPS = 2000  # enough for a loop over a fixed number of steps
N_UTTERANCES = 4
N_TRIES = 4  # until no membrane is at its threshold
_AT_A_TIE = "where a membrane is at its threshold"
# Module in training mode or not, share of entries that are events, and whether weights are drawn
# with which all layers spike, instead of the module's own.
COMPARISONS = ((True, 0.05, False), (True, 0.3, True), (False, 0.3, True))


class Watched:
    """What a module is made of, to notice later changes: submodules and attributes that are plain.

    It is read at every call, so it takes a few dozen microseconds.
    """

    def __init__(self, model: nn.Module) -> None:
        self.modules = dict(model.named_modules())
        self.classes = [type(module) for module in self.modules.values()]
        self.attributes = [
            {"forward": None}
            | {name: value for name, value in vars(module).items() if _is_plain(value)}
            for module in self.modules.values()
        ]
        for attributes in self.attributes:
            attributes.pop("training", None)
        # such as num_steps in snnTorch's tutorials, over which forward loops
        functions = [each for each in map(_forward_of, self.classes) if each is not None]
        self.globals = [
            (each.__globals__, name, each.__globals__[name])
            for each in functions
            for name in each.__code__.co_names
            if _is_plain(each.__globals__.get(name, ())) and name in each.__globals__
        ]

    def __deepcopy__(self, memo: dict) -> "Watched":
        """Copy what belongs to the module, but not the global variables of a whole file."""
        new = copy.copy(self)
        new.modules = copy.deepcopy(self.modules, memo)
        new.attributes = copy.deepcopy(self.attributes, memo)
        return new

    def changes(self, model: nn.Module) -> list[str]:
        """Return the names of what isn't as it was."""
        now = dict(model.named_modules())
        if now != self.modules or [type(module) for module in now.values()] != self.classes:
            changed = {*now.items()} ^ {*self.modules.items()}
            return sorted({name for name, _ in changed}) or ["a class"]
        found = [name for scope, name, value in self.globals if scope.get(name) != value]
        for (name, module), attributes in zip(now.items(), self.attributes, strict=True):
            values = vars(module)
            if compiled_engine.has_hooks(module):
                found.append(f"{name} has hooks".strip())
            found += [
                f"{name}.{attribute}".strip(".")
                for attribute, value in attributes.items()
                if values.get(attribute) != value
            ]
        return found

    def forget_changes(self) -> None:
        """Stop watching what the module itself has changed in the meantime, such as a counter."""
        for module, attributes in zip(self.modules.values(), self.attributes, strict=True):
            for name, value in [*attributes.items()]:
                if vars(module).get(name) != value:
                    del attributes[name]


def _forward_of(kind: type) -> FunctionType | None:
    """Return the forward of a user's class; None for those of torch and snnTorch."""
    is_own = kind.__module__.partition(".")[0] not in ("torch", "snntorch", "shd_engine")
    forward = getattr(kind, "forward", None)
    return forward if is_own and isinstance(forward, FunctionType) else None


def _is_plain(value: Any) -> bool:
    """Tell whether a value can be compared with a later one."""
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, int | float | str | None | FunctionType)


class CompiledNetwork(nn.Module):
    """A module whose steps the engine computes; made by `compile`.

    It has the module's parameters, submodules and attributes under the module's own names, so that
    ``state_dict`` is that of the module, and ``fast.fc1`` is ``module.fc1``. To set an attribute
    sets it in the module.

    Parameters
    ----------
    module : Module
        The module.
    watched : Watched
        What must not change.

    Attributes
    ----------
    module : Module
        The module that was compiled.
    readout : str or None
        What the module's class scores are: ``"spikes"``, the number of spikes of each output
        neuron, or ``"membrane"``, the mean over the steps of its membrane potential. None if the
        module returns something else. A module's own attribute of this name comes first.
    why_no_events : str
        Why it takes tensors alone; empty if it takes lists of events.
    """

    module: nn.Module
    readout: str | None
    why_no_events: str

    def __init__(self, module: nn.Module, watched: Watched) -> None:
        super().__init__()
        own = vars(self)
        own["module"] = module
        own["why_no_events"] = (
            "compile couldn't find out what input it takes. Give an example, compile(net, x)"
        )
        own["_readout"] = None
        own["_chain"] = None  # the layers that the engine computes from lists of events
        own["_is_compared"] = False  # its results with the module's own; True for `LayeredNetwork`
        own["_found"] = None  # how these were found; None for a `LayeredNetwork`
        own["_example"] = None  # an input for which there is a program
        own["_watched"] = watched
        own["_programs"] = {}
        own["_fallback"] = False  # or run the module itself if an input can't be compiled
        for name in ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"):
            own[name] = getattr(module, name)
        del own["training"]  # that of the module is found by `__getattr__`

    def take_events(self, chain: Layered, found: "Found | None") -> None:
        """Compute these layers from lists of events, once they have been compared."""
        vars(self).update(
            _chain=chain, _found=found, _readout=chain.readout or None, why_no_events=""
        )

    def take_no_events(self, reason: NotCompilableError) -> None:
        """Compute nothing from lists of events."""
        vars(self).update(_chain=None, _found=None, _readout=None, why_no_events=str(reason))

    def compare_events(self) -> None:
        """Compare what the module does with lists of events, before the first of them.

        Whoever gives other numbers never waits for its machine code.
        """
        if self._is_compared or self._found is None:
            return
        self.check_unchanged()
        vars(self)["_is_compared"] = True
        with _unchanged(self.module), torch.enable_grad():
            try:
                _verify_events(self)
            except NotCompilableError as reason:
                self.take_no_events(reason)

    def __getattr__(self, name: str) -> Any:
        """Return an attribute of the module."""
        module = vars(self).get("module")
        if name == "readout" and not hasattr(module, name):
            return self._readout
        return getattr(module, name) if module is not None else super().__getattr__(name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute of the module."""
        setattr(self.module, name, value)

    def __delattr__(self, name: str) -> None:
        """Delete an attribute of the module."""
        delattr(self.module, name)

    def forward(
        self, x: torch.Tensor | ReadsAsEvents, index: Index | None = None, **others: Any
    ) -> Any:
        """Return what the module returns, with gradients for any loss.

        Parameters
        ----------
        x : Tensor or EventLists
            The input as the module takes it, or lists of events, which are faster.
        index : sequence of int, optional
            With lists of events, the utterances of the batch; default: all.

        Returns
        -------
        Tensor, or tuple or list of Tensor
            As the module's forward.

        Raises
        ------
        RuntimeError
            If the module has been changed since it was compiled.
        TypeError
            If there are other arguments, which the module's own forward may have.
        ValueError
            If there is an index beside a tensor, or the events have other units or steps.
        """
        if others:
            raise TypeError(
                f"{', '.join(others)}: a compiled network takes its input alone. Call the module "
                "itself, which is its attribute `module`"
            )
        if isinstance(x, torch.Tensor):
            if index is not None:
                raise ValueError(
                    "index: is for lists of events. Give only this batch of a tensor. If it is "
                    "another argument of your module, call the module itself, which is the "
                    "attribute `module`"
                )
            events = self._events_or_none(x)
            if events is None:
                return self._run_program(x)
            x = events
        return self.results_of(x, index)[0]

    def results_of(
        self, events: ReadsAsEvents, index: Index | None = None
    ) -> tuple[Any, dict[str, dict[int, torch.Tensor]]]:
        """Return what the module returns for lists of events, and the states of its neurons."""
        found = self._found
        if found is None:
            states = self.record(events, index, hidden=False)
            return self.module.scores(states), {}  # type: ignore[operator]
        from shd_engine.programs import Run

        states = self.record(events, index, hidden=found.needs_hidden)
        program = self.program_for(self._example, is_run=False)
        run = Run(program, self.module, None, states.spk.shape[1], len(states.spk))
        spks, mems = (*states.hidden_spk, states.spk), (*states.hidden_mem, states.mem)
        names = found.names[-len(spks) :]
        for name, spk, mem in zip(names, spks, mems, strict=True):
            run.states[name] = {0: spk, -1: mem}
        return run.result(), run.states

    def record(
        self, events: ReadsAsEvents, index: Index | None = None, *, hidden: bool = True
    ) -> LayerStates:
        """Return the spikes and membranes of all layers and steps, with gradients.

        Parameters
        ----------
        events : EventLists
            The utterances.
        index : sequence of int, optional
            The utterances of the batch; default: all.
        hidden : bool
            Also return those of the hidden layers.

        Returns
        -------
        LayerStates
            `spk` and `mem` of the output layer, and `hidden_spk` and `hidden_mem`, a tuple each;
            (steps, batch, neurons).

        Raises
        ------
        RuntimeError
            If the module has been changed since it was compiled.
        """
        self.check_unchanged()
        chain = self._chain_for(events)
        return compiled_engine.record(chain, events, _all_or(index, events), hidden)

    def loss_and_gradients(
        self,
        events: ReadsAsEvents,
        labels: Any,
        index: Index | None = None,
        *,
        readout: str | None = None,
    ) -> tuple[float, torch.Tensor]:
        """Compute the cross-entropy of the class scores, and fill the parameters' gradients.

        It does what ``zero_grad``, the module's forward, `cross_entropy` and ``backward`` do.

        Parameters
        ----------
        events : EventLists
            The utterances.
        labels : (batch,) array or Tensor
            The class of each utterance of the batch.
        index : sequence of int, optional
            The utterances of the batch; default: all.
        readout : str, optional
            ``"spikes"`` or ``"membrane"``, see `CompiledNetwork`; default: the network's.

        Returns
        -------
        loss : float
            The mean over the batch.
        scores : Tensor
            The class scores, (batch, classes).

        Raises
        ------
        RuntimeError
            If the module has been changed since it was compiled.
        TypeError
            If the events are a tensor.
        ValueError
            If there is no such readout, or the labels don't fit.
        """
        self.check_unchanged()
        chain = self._chain_for(events)
        readout = self._checked_readout(readout)
        index = _all_or(index, events)
        self.module.zero_grad()  # also of parameters that its layers don't have
        return compiled_engine.forward_backward(chain, events, index, labels, readout)

    def evaluate(
        self, events: ReadsAsEvents, index: Index | None = None, *, readout: str | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return class scores and numbers of spikes, without gradients.

        Parameters
        ----------
        events, index, readout
            As in `loss_and_gradients`.

        Returns
        -------
        scores : Tensor
            The class scores, (batch, classes).
        n_spikes : Tensor
            The number of spikes in each layer, (batch, layers).
        """
        self.check_unchanged()
        chain = self._chain_for(events)
        readout = self._checked_readout(readout)
        return compiled_engine.evaluate_batch(chain, events, _all_or(index, events), readout)

    @property
    def chain(self) -> Layered:
        """The layers that the engine computes from lists of events; TypeError if it can't."""
        self.compare_events()
        if self._chain is None:
            raise TypeError(
                f"events: give a tensor, because the engine has no lists here: {self.why_no_events}"
            )
        return self._chain

    @property
    def takes_events(self) -> bool:
        """Whether the network can be computed from lists of events."""
        self.compare_events()
        return self._chain is not None

    def changes(self) -> list[str]:
        """Return what in the module was changed since it was compiled, such as a submodule.

        Returns
        -------
        list of str
            Names of submodules and of their attributes. Parameters, betas and thresholds aren't
            among them, because they are read at each call.
        """
        return self._watched.changes(self.module)

    def check_unchanged(self) -> None:
        """Raise RuntimeError if the module was changed since it was compiled."""
        compiled_engine.refuse_autocast()
        compiled_engine.refuse_transforms()
        if names := self.changes():
            raise RuntimeError(
                f"{type(self.module).__name__} was changed since it was compiled: "
                f"{', '.join(names)}. Call compile again"
            )

    @property
    def _is_batch_first(self) -> bool:
        return self._found is not None and self._found.is_batch_first

    def _events_or_none(self, x: torch.Tensor) -> EventLists | None:
        """Return a dense input as lists of events, if the engine can compute it from these."""
        if self._chain is None or x.requires_grad or x.dim() != 3 or x.device.type != "cpu":
            return None
        # The same in each step, which a program computes once; or numbers that are soon seen
        if 0 in x.stride() or bool((x[:1] % 1).any()):
            return None
        try:
            events = EventLists.of(x.transpose(0, 1) if self._is_batch_first else x)
        except ValueError:
            return None
        n_steps = self._found and self._found.n_steps
        if n_steps not in (None, events.n_steps):
            return None
        self.compare_events()
        return events if self._chain is not None else None

    def _run_program(self, x: torch.Tensor) -> Any:
        """Return what the module returns for any numbers, with all steps at once."""
        self.check_unchanged()
        try:
            program = self.program_for(x)
        except NotCompilableError as reason:
            if not self._fallback:
                raise
            _warn_of_fallback(self.module, reason)
            return self.module(x)
        return program.run(self.module, x)[0]

    def program_for(self, x: torch.Tensor, *, is_run: bool = True) -> "Program":
        """Return the program for inputs such as x.

        It is another one for each number of axes, and for training and evaluation. Before it is
        run for the first time, it is compared with the module's forward.
        """
        from shd_engine.programs import Program, resized

        key = (x.dim(), *(module.training for module in self.module.modules()))
        program, is_compared = self._programs.get(key, (None, False))
        if program is None or is_run > is_compared:
            with _unchanged(self.module), torch.enable_grad():
                program = program or Program.of(self.module, x)
                if is_run:
                    _verify_program(self.module, program, x)
                self._programs[key] = program, is_run
                if is_run and self._example is None:  # none was given to `compile`
                    vars(self)["_example"] = resized(x, program.batch_axis, N_UTTERANCES)
                    _find_events(self)
        return program

    def explain(self, x: torch.Tensor) -> None:
        """Print what computes each part of the module, and how long it takes both ways.

        Parameters
        ----------
        x : Tensor
            An input.
        """
        self.check_unchanged()
        if self._events_or_none(x) is not None:
            layers = [f"{type(fc).__name__}, {type(lif).__name__}" for fc, lif in self.chain.layers]
            lines = [f"layer {i} ({each}): events" for i, each in enumerate(layers, start=1)]
        else:
            lines = self.program_for(x).lines(self.module, x)
            if self.why_no_events:
                lines.insert(0, f"no lists of events: {self.why_no_events}")
        own_s, fast_s = _times(self.module, self, x)
        print(*lines, sep="\n")
        print(f"forward and backward: {fast_s * 1e3:.3g} ms, {own_s * 1e3:.3g} ms in the module's "
              f"own loop, so {own_s / fast_s:.2g} times as fast")  # fmt: skip

    def _chain_for(self, events: ReadsAsEvents) -> Layered:
        """Return the layers, after checking lists of events and their steps."""
        chain = self.chain
        if not hasattr(events, "offsets"):
            x = "x.transpose(0, 1)" if self._is_batch_first else "x"
            raise TypeError(
                f"events: must be lists of events, not a {type(events).__name__}. If it has whole "
                f"numbers alone, give EventLists.of({x})"
            )
        n_steps = self._found and self._found.n_steps
        if n_steps and events.n_steps != n_steps:
            raise ValueError(
                f"events: have {events.n_steps} steps, but {type(self.module).__name__} has a loop "
                f"over {n_steps}. Give as many"
            )
        return chain

    def _checked_readout(self, readout: str | None) -> str:
        """Return which class scores are asked for."""
        readout = readout or self._readout
        if readout not in READOUTS:
            raise ValueError(
                f"readout {readout!r}: must be 'spikes' or 'membrane'. The module's forward "
                "returns neither numbers of spikes nor mean membranes, so name one"
            )
        return readout


def _all_or(index: Index | None, events: ReadsAsEvents) -> Index:
    """Return the given utterances, by default all."""
    return np.arange(len(events.offsets) - 1) if index is None else index


def compile(
    model: nn.Module, x: torch.Tensor | None = None, *, fallback: bool = False
) -> CompiledNetwork:
    """Compile a network of snnTorch, so that it trains fast on a CPU.

    The module's own forward is run on small inputs, to find out what it does. If its first layer
    doesn't show what input it takes, this happens at the first call, unless there is an example. At
    the first call, spikes, membranes, returned values and gradients are compared with those of the
    engine, on small inputs. Lists of events, another mode, training or evaluation, and another
    number of axes are each compared when they first come. The module isn't changed.

    Parameters, betas, thresholds and ``requires_grad`` may change at any time. After any other
    change of what ``forward`` computes, compile again. The engine notices replaced submodules, and
    changed numbers, texts and functions among the attributes, and among the global variables that
    ``forward`` reads, but not lists, dictionaries, tensors or new attributes.

    Parameters
    ----------
    model : Module
        A `LayeredNetwork`, or any module whose ``forward`` takes a single tensor and loops over the
        steps, with layers of torch and neurons of snnTorch.
    x : Tensor, optional
        An example of the input.
    fallback : bool
        Return the module itself, with a warning, if it can't be compiled.

    Returns
    -------
    CompiledNetwork
        The compiled network.

    Raises
    ------
    NotCompilableError
        If the module can't be compiled. The message is the reason.
    TypeError
        If it is no module, but for example a class.
    """
    if isinstance(model, CompiledNetwork):
        return model
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"model: must be a network, such as SNN(), but is {model}. Give an instance"
        )
    try:
        network = _compiled(model, x)
    except NotCompilableError as reason:
        if not fallback:
            raise
        _warn_of_fallback(model, reason)
        return model  # type: ignore[return-value]
    vars(network)["_fallback"] = fallback
    return network


def _warn_of_fallback(model: nn.Module, reason: NotCompilableError) -> None:
    """Warn that a module isn't compiled."""
    warnings.warn(
        f"{type(model).__name__} isn't compiled, and runs by its own forward: {reason}",
        stacklevel=3,
    )


def _compiled(model: nn.Module, x: torch.Tensor | None) -> CompiledNetwork:
    """Return a compiled module, or raise NotCompilableError."""
    if not isinstance(x, torch.Tensor | None):
        raise NotCompilableError(f"its input is a {type(x).__name__}, but must be a single tensor")
    network = CompiledNetwork(model, Watched(model))
    if isinstance(model, LayeredNetwork) and compiled_engine.unsupported(model) is None:
        network.take_events(model, None)
        return network
    for name, module in model.named_modules():
        if problem := compiled_engine.added_to_call(module):
            raise NotCompilableError(f"{name} {problem}".strip())
    _refuse_unusual(model)
    with _unchanged(model), torch.enable_grad():
        _try_inputs(network, x)
        network._watched.forget_changes()
        if network._example is not None:
            _find_events(network)
            if network._chain is None:
                network.program_for(network._example)
    return network


def _refuse_unusual(model: nn.Module) -> None:
    """Raise NotCompilableError for networks without neurons, other formats or several inputs."""
    if not any(isinstance(each, snn.SpikingNeuron) for each in model.modules()):
        raise NotCompilableError(
            "it has no spiking neurons of snnTorch, such as snn.Leaky. Those of other frameworks "
            "can't be compiled"
        )
    for each in model.parameters():
        if each.dtype != torch.float32 or each.device.type != "cpu":
            raise NotCompilableError(
                f"its parameters are {each.dtype} on {each.device}, not torch.float32 on the CPU"
            )
    parameters = inspect.signature(model.forward).parameters.values()
    needed = [
        each.name
        for each in parameters
        if each.default is each.empty and each.kind is each.POSITIONAL_OR_KEYWORD
    ]
    if len(needed) != 1:
        raise NotCompilableError(
            f"its forward takes {len(needed)} inputs, but must take a single tensor"
        )


def _try_inputs(network: CompiledNetwork, x: torch.Tensor | None) -> None:
    """Compile a module for an example, or for what its first layer seems to take."""
    from shd_engine.programs import ForwardError

    if x is None:
        x = network._example
    first = next((each for each in network.module.modules() if hasattr(each, "weight")), None)
    n = getattr(first, "in_features", 0)
    steps, batch, many = N_STEPS, N_UTTERANCES, MANY_STEPS
    shapes = [(steps, batch, n), (many, batch, n), (batch, many, n), (batch, n)]
    for tried in [torch.rand(shape) for shape in shapes * bool(n)] if x is None else [x]:
        try:
            network.program_for(tried, is_run=False)
        except ForwardError as reason:  # it takes another shape: the first call will show it
            if x is not None:
                raise
            vars(network)["why_no_events"] = f"{reason}. Give an example, compile(net, x)"
            continue
        vars(network)["_example"] = tried
        return


def _find_events(network: CompiledNetwork) -> None:
    """Let a network take lists of events, if its layers are a chain."""
    from shd_engine.chains import find_chain

    model = network.module
    try:
        model.train()
        found = find_chain(model, network.program_for(network._example, is_run=False))
        network.take_events(found.layers, found)
    except NotCompilableError as reason:
        network.take_no_events(reason)


def _verify_events(network: CompiledNetwork) -> None:
    """Compare what a network computes from lists of events with its module's own forward."""
    model = network.module
    for is_training, density, is_drawn in COMPARISONS:
        model.train(is_training)
        _verify(model, partial(_of_events, network), is_drawn, _draw_events(network, density))
        if is_training:
            _verify_loss(network, is_drawn, density)


def _draw_events(network: CompiledNetwork, density: float) -> Callable[[], torch.Tensor]:
    """Return a function that draws inputs of zeros and ones."""
    n_steps, n_units = network._found.n_steps or N_STEPS, network.chain.layers[0][0].in_features

    def draw() -> torch.Tensor:
        x = (torch.rand(n_steps, N_UTTERANCES, n_units) < density).float()
        return x.transpose(0, 1) if network._is_batch_first else x

    return draw


def _of_events(network: CompiledNetwork, x: torch.Tensor) -> tuple[Any, dict]:
    """Return what a network computes from lists of events."""
    return network.results_of(EventLists.of(x.transpose(0, 1) if network._is_batch_first else x))


def _verify_loss(network: CompiledNetwork, is_drawn: bool, density: float) -> None:
    """Compare `loss_and_gradients` with cross-entropy by the module's own forward."""
    model, chain = network.module, network.chain
    x = _draw_events(network, density)()
    events = EventLists.of(x.transpose(0, 1) if network._is_batch_first else x)
    labels = torch.arange(N_UTTERANCES) % chain.layers[-1][0].out_features
    is_silent = LayeredNetwork.accumulates_only(chain.layers[-1][1])
    with _large_weights(model) if is_drawn else nullcontext():
        with _spikes_and_membranes(model) as recorded:
            model(x)
        spks, mems = zip(*recorded[network._found.names[-1]], strict=True)
        for readout in READOUTS[is_silent:]:
            scores = sum(spks) if readout == "spikes" else sum(mems) / len(mems)
            if not scores.requires_grad or not compiled_engine.kernels_know_the_loss(
                chain, readout
            ):
                continue
            its_loss = functional.cross_entropy(scores, labels)
            its = torch.autograd.grad(
                its_loss, trained(chain), allow_unused=True, retain_graph=True
            )
            loss, _, mine = compiled_engine.loss_scores_and_gradients(
                chain, events, np.arange(N_UTTERANCES), labels.numpy(), readout
            )
            is_a_tie = abs(loss - its_loss.item()) > 1e-4 * (1 + abs(loss))
            if not is_a_tie and _differs(its, mine) is not None:
                raise NotCompilableError(f"with the readout {readout!r}, gradients differ")


def _verify_program(model: nn.Module, program: "Program", x: torch.Tensor) -> None:
    """Compare a program with the module's own forward, on inputs such as x."""
    from shd_engine.programs import resized

    probe = resized(x, program.batch_axis, N_UTTERANCES)
    if program.step_axis is not None:
        probe = resized(probe, program.step_axis, N_STEPS)

    def compute(x: torch.Tensor) -> tuple[Any, dict]:
        out, run = program.run(model, x)
        return out, run.states

    for is_drawn in (False, True):
        _verify(model, compute, is_drawn, partial(torch.rand_like, probe))


def _verify(
    model: nn.Module,
    compute: Callable[[torch.Tensor], tuple[Any, dict]],
    is_drawn: bool,
    draw: Callable[[], torch.Tensor],
) -> None:
    """Compare what a function returns with what the module's own forward does."""
    for seed in range(N_TRIES):
        torch.manual_seed(seed)
        x = draw()
        with _large_weights(model) if is_drawn else nullcontext():
            problem = _difference(model, compute, x)
        if problem is None:
            return
        if _AT_A_TIE not in problem:
            break
    raise NotCompilableError(problem)


def _difference(
    model: nn.Module, compute: Callable[[torch.Tensor], tuple[Any, dict]], x: torch.Tensor
) -> str | None:
    """Say in what a function differs from the module's own forward; None if in nothing."""
    from shd_engine.recording import leaves

    seed = int(torch.randint(2**31, ()))
    torch.manual_seed(seed)  # of dropout
    with _spikes_and_membranes(model) as recorded:
        its_out = leaves(model(x))
    torch.manual_seed(seed)
    out, states = compute(x)
    if problem := _different_spikes(model, recorded, states):
        return problem
    its_loss = loss = torch.zeros(())
    for number, (its, mine) in enumerate(zip(its_out, leaves(out), strict=True), start=1):
        if not isinstance(its, torch.Tensor):
            continue
        if its.shape != mine.shape or not torch.allclose(its, mine, 1e-4, TIE):
            return f"returned value {number} differs from that of its own forward"
        weights = torch.randn_like(its)
        its_loss = its_loss + (its * weights).sum()
        loss = loss + (mine * weights).sum()
    named = {name: each for name, each in model.named_parameters() if each.requires_grad}
    if not named or not (its_loss.requires_grad or loss.requires_grad):
        return None
    if its_loss.requires_grad != loss.requires_grad:
        return "the results have gradients in only one of both ways"
    tensors = [*named.values()]
    both = [torch.autograd.grad(each, tensors, allow_unused=True) for each in (its_loss, loss)]
    found = _differs(*both)
    if found is None:
        return None
    return f"the gradient of {[*named][found]} differs from that by its own forward"


def _differs(its: Sequence[torch.Tensor | None], mine: Sequence[torch.Tensor | None]) -> int | None:
    """Return the number of the first gradient that differs by more than rounding.

    Of many terms that cancel, rounding is large beside their sum. So a gradient is also compared
    with the largest one.
    """
    sizes = [0.0 if each is None else float(torch.linalg.vector_norm(each)) for each in its]
    for number, (one, other) in enumerate(zip(its, mine, strict=True)):
        if one is None or other is None:
            off = sum(float(each.abs().sum()) for each in (one, other) if each is not None)
        else:
            off = float(torch.linalg.vector_norm(one - other))
        if off > 1e-3 * sizes[number] + 1e-4 * max(sizes):  # false for NaN
            return number
    return None


def _different_spikes(
    model: nn.Module,
    recorded: dict[str, list[tuple[torch.Tensor, torch.Tensor]]],
    states: dict[str, dict[int, torch.Tensor]],
) -> str | None:
    """Say in which spikes two ways differ."""
    for name, calls in recorded.items():
        found = states.get(name, {}).get(0)
        if found is None:
            continue
        spk, mem = (torch.stack(each) for each in zip(*calls, strict=True))
        differs = spk != found
        if differs.any():
            step = int(differs.flatten(1).any(1).nonzero()[0])
            threshold: Any = model.get_submodule(name).threshold
            distance = (mem - threshold)[step][differs[step]].abs().max()
            where = _AT_A_TIE if distance < 10 * TIE else f"in step {step}"
            return f"the spikes of {name} differ from those of its own forward {where}"
    return None


@contextmanager
def _spikes_and_membranes(
    model: nn.Module,
) -> Iterator[dict[str, list[tuple[torch.Tensor, torch.Tensor]]]]:
    """Collect what the neurons of a module do while the block runs."""
    found: dict[str, list[tuple[torch.Tensor, torch.Tensor]]] = {}
    handles = []
    for name, lif in model.named_modules():
        if isinstance(lif, snn.SpikingNeuron):

            def collect(lif: Any, _: Any, out: Any, name: str = name) -> None:
                spk = out[0] if isinstance(out, tuple) else out
                mem = out[-1] if isinstance(out, tuple) else lif.mem
                found.setdefault(name, []).append((spk, mem))

            handles.append(lif.register_forward_hook(collect))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def _large_weights(model: nn.Module) -> Iterator[None]:
    """Draw weights with which most layers spike; give the module its own back after the block."""
    weights = [each for each in model.parameters() if each.dim() > 1]
    saved = [each.detach().clone() for each in weights]
    for each in weights:
        each.data.normal_(0, 2 / max(1, each[0].numel()) ** 0.5)
    try:
        yield
    finally:
        for each, its_own in zip(weights, saved, strict=True):
            each.data.copy_(its_own)


def _times(module: nn.Module, fast: nn.Module, x: torch.Tensor) -> list[float]:
    """Return how long forward and backward take in both ways, in seconds."""
    from shd_engine.recording import leaves

    parameters = [each for each in module.parameters() if each.requires_grad]
    seconds: list[list[float]] = [[], []]
    for _ in range(4):  # the first counts for nothing
        for which, run in enumerate((module, fast)):
            start = time.perf_counter()
            outs = [each for each in leaves(run(x)) if getattr(each, "requires_grad", False)]
            if outs:
                total = sum(each.sum() for each in outs)
                torch.autograd.grad(total, parameters, allow_unused=True)
            seconds[which].append(time.perf_counter() - start)
    return [median(each[1:]) for each in seconds]


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """Bring back a module's attributes, buffers and gradients, and the states of generators.

    In the block, snnTorch's ``utils.reset`` resets this module's neurons alone. Without it, it
    resets all neurons that the process has made. Those of other networks would lose their states,
    and a neuron whose making has failed would raise an error.
    """
    attributes = {module: dict(vars(module)) for module in model.modules()}
    buffers = {module: dict(module._buffers) for module in model.modules()}
    values = {buffer: buffer.detach().clone() for buffer in model.buffers()}
    gradients = {parameter: parameter.grad for parameter in model.parameters()}
    python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    all_neurons = snn.SpikingNeuron.instances
    snn.SpikingNeuron.instances = [
        each for each in model.modules() if isinstance(each, snn.SpikingNeuron)
    ]
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            yield
    finally:
        snn.SpikingNeuron.instances = all_neurons
        random.setstate(python)
        np.random.set_state(of_numpy)  # noqa: NPY002
        for parameter, gradient in gradients.items():
            parameter.grad = gradient
        for buffer, value in values.items():
            buffer.data.copy_(value)
        for module, its_attributes in attributes.items():
            vars(module).clear()
            vars(module).update(its_attributes)
            module._buffers.clear()
            module._buffers.update(buffers[module])
