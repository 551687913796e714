"""Compile a user's module: check that the engine computes what its forward computes.

`compile` traces the module (`tracing`), and then compares spikes, membranes, returned values and
gradients with those of its own forward, on random utterances (`_verify`). The parameters stay the
module's. They are read at each call, and so are betas, thresholds and what is trained.
"""

import random
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from types import FunctionType
from typing import Any, Literal, overload

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from shd_engine import compiled_engine
from shd_engine.event_lists import EventLists, Index, ReadsAsEvents
from shd_engine.network import READOUTS, Chain, LayeredNetwork, LayerStates
from shd_engine.parameter_layout import Layered, trained
from shd_engine.tracing import Form, NotCompilableError, Traced, find_chain, trace

# A membrane that is closer to its threshold may be on the other side after rounding.
TIE = 1e-5
N_STEPS = 23  # of the compared utterances, unless a module has its own number
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

    def changes(self, model: nn.Module) -> list[str]:
        """Return the names of what isn't as it was."""
        now = dict(model.named_modules())
        if now != self.modules or [type(module) for module in now.values()] != self.classes:
            changed = {*now.items()} ^ {*self.modules.items()}
            return sorted({name for name, _ in changed}) or ["a class"]
        found = []
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
    chain : LayeredNetwork or Chain
        Its layers.
    form : Form or None
        What its forward expects and returns; None for a `LayeredNetwork`.
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
    """

    module: nn.Module
    readout: str | None

    def __init__(
        self, module: nn.Module, chain: Layered, form: Form | None, watched: Watched
    ) -> None:
        super().__init__()
        own = vars(self)
        own["module"] = module
        own["_readout"] = chain.readout or None
        own["_chain"] = chain
        own["_form"] = form
        own["_watched"] = watched
        own["_reasons_warned_of"] = set()
        for name in ("_parameters", "_buffers", "_modules", "_non_persistent_buffers_set"):
            own[name] = getattr(module, name)
        del own["training"]  # that of the module is found by `__getattr__`

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

    def forward(self, x: torch.Tensor | ReadsAsEvents, index: Index | None = None) -> Any:
        """Return what the module returns, with gradients for any loss.

        Parameters
        ----------
        x : Tensor or EventLists
            The input as the module takes it, or lists of events, which are faster. If a tensor has
            numbers that aren't whole, or needs a gradient, the module's own forward runs.
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
        ValueError
            If there is an index beside a tensor, or the events have other units or steps.
        """
        if isinstance(x, torch.Tensor):
            if index is not None:
                raise ValueError("index: is for lists of events. Give only this batch of a tensor")
            events, problem = self._events_or_problem(x)
            if events is None:
                self._warn_of_own_forward(problem)
                return self.module(x)
            x = events
        states = self.record(x, index, hidden=self._needs_hidden)
        if self._form is None:
            return self.module.scores(states)  # type: ignore[operator]
        spk = (*states.hidden_spk, states.spk)
        mem = (*states.hidden_mem, states.mem)
        last = len(self.chain.layers) - 1
        found = [
            each._replace(layer=each.layer - last - 1).of(spk, mem) for each in self._form.returned
        ]
        return found[0] if self._form.container is None else self._form.container(found)

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
        self._check_events(events)
        return compiled_engine.record(self.chain, events, _all_or(index, events), hidden)

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
        self._check_events(events)
        readout = self._checked_readout(readout)
        index = _all_or(index, events)
        self.module.zero_grad()  # also of parameters that its layers don't have
        return compiled_engine.forward_backward(self.chain, events, index, labels, readout)

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
        self._check_events(events)
        readout = self._checked_readout(readout)
        return compiled_engine.evaluate_batch(self.chain, events, _all_or(index, events), readout)

    @property
    def chain(self) -> Layered:
        """The layers that the engine computes."""
        return self._chain

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
        return self._form is not None and self._form.is_batch_first

    @property
    def _needs_hidden(self) -> bool:
        last = len(self.chain.layers) - 1
        return self._form is not None and any(each.layer < last for each in self._form.returned)

    def _events_or_problem(self, x: torch.Tensor) -> tuple[EventLists | None, str]:
        """Return a dense input as lists of events, or None and why it can't be one."""
        if x.requires_grad:
            return None, "needs a gradient"
        if x.dim() != 3 or x.device.type != "cpu":
            return None, f"has the shape {tuple(x.shape)} and is on {x.device}"
        try:
            events = EventLists.of(x.transpose(0, 1) if self._is_batch_first else x)
        except ValueError:
            return None, "has numbers that are negative or not whole"
        n_steps = self._form and self._form.n_steps
        if n_steps not in (None, events.n_steps):
            return None, f"has {events.n_steps} steps, but its loop is over {n_steps}"
        return events, ""

    def _warn_of_own_forward(self, problem: str) -> None:
        """Warn once of each reason that the module's own forward runs."""
        if problem not in self._reasons_warned_of:
            self._reasons_warned_of.add(problem)
            shape = "(batch, steps, units)" if self._is_batch_first else "(steps, batch, units)"
            warnings.warn(
                f"{type(self.module).__name__} runs by its own forward, because its input "
                f"{problem}. The engine takes events, zeros and ones or counts, {shape}",
                stacklevel=5,
            )

    def _check_events(self, events: ReadsAsEvents) -> None:
        """Raise an error if these aren't lists of events, or have other steps than its loop."""
        if not hasattr(events, "offsets"):
            x = "x.transpose(0, 1)" if self._is_batch_first else "x"
            raise TypeError(
                f"events: must be lists of events, not a {type(events).__name__}. Give "
                f"EventLists.of({x})"
            )
        n_steps = self._form and self._form.n_steps
        if n_steps and events.n_steps != n_steps:
            raise ValueError(
                f"events: have {events.n_steps} steps, but {type(self.module).__name__} has a loop "
                f"over {n_steps}. Give as many"
            )

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


@overload
def compile(model: nn.Module, *, strict: Literal[True]) -> CompiledNetwork: ...


@overload
def compile(model: nn.Module, *, strict: bool = False) -> nn.Module: ...


def compile(model: nn.Module, *, strict: bool = False) -> nn.Module:
    """Compile a network of `nn.Linear` and `snn.Leaky`, so that it trains fast on a CPU.

    The module's own forward is run on random input, to find out in which order it calls its layers
    and what it returns. Then spikes, membranes, returned values and gradients are compared with
    those of the engine, in training and in evaluation mode. The module isn't changed.

    Parameters, betas, thresholds and ``requires_grad`` may change at any time. After any other
    change of what ``forward`` computes, compile again. The engine notices replaced submodules, and
    changed numbers, texts and functions among the attributes, but not lists, dictionaries, tensors,
    new attributes or global variables.

    Parameters
    ----------
    model : Module
        A `LayeredNetwork`, or any module with layers of `nn.Linear`, each followed by `snn.Leaky`.
        Its ``forward`` takes a single tensor, (steps, batch, units) or (batch, steps, units), loops
        over the steps, and returns spikes or membranes of all steps, or their sum, mean, maximum or
        last step.
    strict : bool
        Raise an error if the module can't be compiled, instead of a warning.

    Returns
    -------
    CompiledNetwork or Module
        The compiled network, or the module itself if it can't be compiled.

    Raises
    ------
    NotCompilableError
        With `strict`, if the module can't be compiled. The message is the reason.
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
        return _compiled(model)
    except NotCompilableError as reason:
        if strict:
            raise
        warnings.warn(
            f"{type(model).__name__} isn't compiled, and runs by its own forward: {reason}",
            stacklevel=2,
        )
        return model


def _compiled(model: nn.Module) -> CompiledNetwork:
    """Return a compiled module, or raise NotCompilableError."""
    watched = Watched(model)
    if isinstance(model, LayeredNetwork) and compiled_engine.unsupported(model) is None:
        return CompiledNetwork(model, model, None, watched)
    for name, module in model.named_modules():
        if problem := compiled_engine.added_to_call(module):
            raise NotCompilableError(f"{name} {problem}".strip())
    with _unchanged(model), torch.enable_grad():
        return _compiled_module(model, watched)


def _compiled_module(model: nn.Module, watched: Watched) -> CompiledNetwork:
    """Return a compiled module of any class, after comparing it with its own forward."""
    model.train()
    try:
        layers, form = find_chain(model)
        watched.forget_changes()
        chain = Chain(tuple(layers), ((0,),) * len(layers), _readout(form, len(layers)))
        if reason := compiled_engine.unsupported(chain):
            raise NotCompilableError(reason)
        parameters = trained(chain)
        if len({id(parameter) for parameter in parameters}) < len(parameters):
            raise NotCompilableError("two of its layers share a parameter")
        network = CompiledNetwork(model, chain, form, watched)
        for is_training, density, is_drawn in COMPARISONS:
            model.train(is_training)
            _verify(network, density, is_drawn)
    except NotCompilableError:
        raise
    except Exception as error:
        first_line = (str(error).splitlines() or [""])[0]
        raise NotCompilableError(
            f"trying it out raised {type(error).__name__}: {first_line}"
        ) from error
    return network


def _readout(form: Form, n_layers: int) -> str:
    """Return what the class scores of a module are, from what it returns; empty if neither."""
    last = [each for each in form.returned if each.layer == n_layers - 1]
    for each in last:
        if each.reduction in ("all steps", "all steps, batch first"):
            # Of spikes and membranes, the spikes are counted.
            return "spikes" if any(other.is_spk for other in last) else "membrane"
        if (each.is_spk, each.reduction) == (True, "sum"):
            return "spikes"
        if (each.is_spk, each.reduction) == (False, "mean"):
            return "membrane"
    return ""


def _verify(network: CompiledNetwork, density: float, is_drawn: bool) -> None:
    """Compare a compiled module with its own forward on random utterances."""
    for _ in range(N_TRIES):
        with _spiking_weights(network.chain) if is_drawn else nullcontext():
            problem = _difference(network, density)
        if problem is None:
            return
        if _AT_A_TIE not in problem:
            break
    raise NotCompilableError(problem)


def _difference(network: CompiledNetwork, density: float) -> str | None:
    """Say in what a compiled module differs from its own forward; None if in nothing."""
    form = network._form
    assert form is not None
    n_units = network.chain.layers[0][0].in_features
    x = (torch.rand(form.n_steps or N_STEPS, N_UTTERANCES, n_units) < density).float()
    events = EventLists.of(x)
    wanted = trace(
        network.module, x.transpose(0, 1) if form.is_batch_first else x, form.is_batch_first
    )
    found = network.record(events)
    if problem := _different_states(network.chain, wanted, found):
        return problem
    its_returned, returned = wanted.out, network(events)
    if form.container is None:
        its_returned, returned = [its_returned], [returned]
    its_loss = loss = torch.zeros(())
    for number, (its, mine) in enumerate(zip(its_returned, returned, strict=True), start=1):
        if its.shape != mine.shape or not torch.allclose(its, mine, 1e-4, TIE):
            return f"returned value {number} differs from that of its own forward"
        weights = torch.randn_like(its)
        its_loss = its_loss + (its * weights).sum()
        loss = loss + (mine * weights).sum()
    if not network.module.training:
        return None
    if problem := _different_gradients(network, its_loss, loss):
        return problem
    return _different_loss(network, events, wanted)


def _different_states(chain: Layered, wanted: Traced, found: LayerStates) -> str | None:
    """Say in which spikes or membranes two recordings differ."""
    spks = (*found.hidden_spk, found.spk)
    mems = (*found.hidden_mem, found.mem)
    for i, (_, lif) in enumerate(chain.layers):
        differs = wanted.spk[i] != spks[i]
        if differs.any():
            step = int(differs.flatten(1).any(1).nonzero()[0])
            distance = (wanted.mem[i] - lif.threshold)[step][differs[step]].abs().max()
            where = _AT_A_TIE if distance < TIE else f"in step {step}"
            return f"the spikes of layer {i + 1} differ from those of its own forward {where}"
        if not torch.allclose(wanted.mem[i], mems[i], 1e-4, TIE):
            return f"the membranes of layer {i + 1} differ from those of its own forward"
    return None


def _different_gradients(
    network: CompiledNetwork, its_loss: torch.Tensor, loss: torch.Tensor
) -> str | None:
    """Say which parameter has another gradient than by the module's own forward."""
    learned = [each for each in network.module.parameters() if each.requires_grad]
    if not learned:
        return None
    its = torch.autograd.grad(its_loss, learned, allow_unused=True, retain_graph=True)
    mine = torch.autograd.grad(loss, learned, allow_unused=True)
    name = _first_difference(network, learned, its, mine)
    return name and f"the gradient of {name} differs from that by its own forward"


def _different_loss(network: CompiledNetwork, events: EventLists, wanted: Traced) -> str | None:
    """Say whether `loss_and_gradients` differs from cross-entropy by the module's own forward."""
    labels = torch.arange(N_UTTERANCES) % wanted.spk[-1].shape[2]
    learned = trained(network.chain)
    never_spikes = LayeredNetwork.accumulates_only(network.chain.layers[-1][1])
    for readout in ("membrane",) if never_spikes else READOUTS:
        scores = wanted.spk[-1].sum(0) if readout == "spikes" else wanted.mem[-1].mean(0)
        if not scores.requires_grad or not compiled_engine.kernels_know_the_loss(
            network.chain, readout
        ):
            continue
        its_loss = functional.cross_entropy(scores, labels)
        its = torch.autograd.grad(its_loss, learned, allow_unused=True, retain_graph=True)
        _, _, mine = compiled_engine.loss_scores_and_gradients(
            network.chain, events, np.arange(N_UTTERANCES), labels.numpy(), readout
        )
        name = _first_difference(network, learned, its, mine)
        if name:
            return f"with the readout {readout!r}, the gradient of {name} differs from autograd's"
    return None


def _first_difference(
    network: CompiledNetwork,
    parameters: Sequence[torch.Tensor],
    its: Sequence[torch.Tensor | None],
    mine: Sequence[torch.Tensor | None],
) -> str | None:
    """Return the name of a parameter whose gradients differ by more than rounding.

    Of many terms that cancel, rounding is large beside their sum. So a gradient is also compared
    with all those of its layer. snntorch's sigmoid is NaN far from the threshold, where the
    engine's isn't.
    """
    zeros = [torch.zeros_like(parameter) for parameter in parameters]
    wanted = [zero if each is None else each for each, zero in zip(its, zeros, strict=True)]
    found = [zero if each is None else each for each, zero in zip(mine, zeros, strict=True)]
    layer_of = {
        parameter: i
        for i, layer in enumerate(network.chain.layers)
        for module in layer
        for parameter in module.parameters()
    }
    squares: dict[int, float] = {}
    for parameter, gradient in zip(parameters, wanted, strict=True):
        layer = layer_of.get(parameter, -1)
        squares[layer] = squares.get(layer, 0.0) + float(gradient.square().sum())
    for parameter, gradient, its_own in zip(parameters, found, wanted, strict=True):
        off = torch.linalg.vector_norm(its_own - gradient)
        of_layer = squares[layer_of.get(parameter, -1)] ** 0.5
        if off > 1e-4 * torch.linalg.vector_norm(its_own) + 3e-5 * of_layer:  # false for NaN
            named = network.module.named_parameters()
            return next(name for name, each in named if each is parameter)
    return None


@contextmanager
def _spiking_weights(chain: Layered) -> Iterator[None]:
    """Draw weights with which all layers spike; give the layers their own back after the block."""
    saved = [fc.weight.detach().clone() for fc, _ in chain.layers]
    for fc, lif in chain.layers:
        threshold = torch.nan_to_num(lif.threshold.detach(), posinf=1.0).abs().mean()
        n_inputs = fc.weight.shape[1]
        fc.weight.data.normal_(0, 2 * float(threshold) / n_inputs**0.5)
    try:
        yield
    finally:
        for (fc, _), weight in zip(chain.layers, saved, strict=True):
            fc.weight.data.copy_(weight)


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    """Bring back a module's attributes, buffers and gradients, and the states of generators."""
    attributes = {module: dict(vars(module)) for module in model.modules()}
    buffers = {module: dict(module._buffers) for module in model.modules()}
    values = {buffer: buffer.detach().clone() for buffer in model.buffers()}
    gradients = {parameter: parameter.grad for parameter in model.parameters()}
    python, of_numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            yield
    finally:
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
