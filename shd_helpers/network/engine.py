"""Engines, which run a network on a batch, and how one is chosen.

The *compiled engine*, the package `shd_engine`, trains the study's networks, and modules that
`shd_engine.compile` can compile. *snntorch's loop* is the readable engine with the same arithmetic
for a `SpikingNetwork`, and counts the spikes of all layers, too. Any other module is run by its own
``forward``.

Such a network is any `torch.nn.Module` whose ``forward`` takes frames, zeros and ones of shape
(steps, batch, units), and returns class scores of shape (batch, classes), or the output layer's
spikes and membranes of all steps, of which the spikes are counted. Frames are moved to the device
that the network's parameters are on.

Threads are set here, too: see `one_thread`.
"""

import inspect
import itertools
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from snntorch import Leaky
from torch import nn
from torch.nn import functional

from shd_corpus.checks import check_choice
from shd_engine import CompiledNetwork, LayeredNetwork, LayerStates, NotCompilableError, compile
from shd_engine.event_lists import Index
from shd_helpers.events.downsampling import Events

LossOf = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]  # takes class scores and labels


class Engine(NamedTuple):
    """The functions that run a network on batches; they are the same in each engine.

    Each takes a network, events, and the indices of the utterances in the batch.
    """

    name: str
    # Returns the loss and the class scores; leaves the gradients in the parameters' ``grad``. A
    # fourth argument replaces the cross-entropy as the loss.
    forward_backward: Callable[..., tuple[float, torch.Tensor]]
    # Returns class scores (batch, classes) and numbers of spikes (batch, layers).
    evaluate_batch: Callable[[Any, Events, Index], tuple[torch.Tensor, torch.Tensor]]
    # Returns spikes and membranes of all layers and steps.
    record: Callable[[Any, Events, Index], LayerStates]


@lru_cache(maxsize=8)  # a module is compiled once, though an engine is chosen for every epoch
def _compiled(model: nn.Module) -> CompiledNetwork:
    """Return a compiled module; NotCompilableError, which isn't cached, if it can't be compiled."""
    network = compile(model)
    if not network.takes_events:
        raise NotCompilableError(network.why_no_events)
    if network.readout is None:
        raise NotCompilableError("its forward returns neither numbers of spikes nor mean membranes")
    return network


def _compiled_forward_backward(
    model: nn.Module, events: Events, index: Index, loss_of: LossOf | None = None
) -> tuple[float, torch.Tensor]:
    network = _compiled(model)
    if loss_of is None:
        return network.loss_and_gradients(events, events.labels[index], index)
    model.train()
    states = network.record(events, index, hidden=False)
    scores = states.mem.mean(0) if network.readout == "membrane" else states.spk.sum(0)
    return _backward(model, scores, events.labels[index], loss_of)


def _compiled_evaluate_batch(
    model: nn.Module, events: Events, index: Index
) -> tuple[torch.Tensor, torch.Tensor]:
    return _compiled(model).evaluate(events, index)


def _compiled_record(model: nn.Module, events: Events, index: Index) -> LayerStates:
    with torch.no_grad():
        return _compiled(model).record(events, index)


def _forward_backward(
    model: nn.Module, events: Events, index: Index, loss_of: LossOf | None = None
) -> tuple[float, torch.Tensor]:
    """Run a batch forward and backward; leave the gradients in the parameters' ``grad``."""
    model.train()
    scores = _class_scores(model, events, index)
    if not scores.requires_grad:
        raise TypeError(
            f"{_forward(model)} returned class scores without a gradient, so it can't be trained. "
            "It must compute them from its parameters, without argmax, .detach() or torch.no_grad()"
        )
    return _backward(model, scores, events.labels[index], loss_of or functional.cross_entropy)


def _backward(
    model: nn.Module, scores: torch.Tensor, labels: np.ndarray, loss_of: LossOf
) -> tuple[float, torch.Tensor]:
    """Run a batch backward, and return its loss and its class scores."""
    model.zero_grad()
    loss = loss_of(scores, torch.from_numpy(labels).to(scores.device))
    loss.backward()
    return loss.item(), scores.detach().cpu()


@torch.no_grad()
def _evaluate_batch(
    model: nn.Module, events: Events, index: Index
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a batch forward."""
    model.eval()
    scores = _class_scores(model, events, index)
    return scores.cpu(), torch.zeros(len(index), 2, dtype=torch.int64)


def _record(model: nn.Module, events: Events, index: Index) -> LayerStates:
    """Return what a network's own method ``record`` returns for a batch."""
    name = type(model).__name__
    if not can_record(model):
        raise ValueError(
            f"{name} has no method record(frames), so there are no spikes and no membranes to "
            "show. Give it one that returns LayerStates, or leave this figure out"
        )
    model.eval()
    recording = model.record(_frames_for(model, events, index))  # type: ignore[operator]
    if not isinstance(recording, LayerStates):
        raise TypeError(f"{name}.record returned {_described(recording)} instead of LayerStates")
    wanted = (events.n_steps, len(index), len(events.class_names))
    for field in ("spk", "mem"):
        shape = tuple(getattr(recording, field).shape)
        if shape != wanted:
            raise TypeError(
                f"{name}.record returned {field} of shape {shape}. Its shape must be {wanted}, "
                "which are (steps, batch, classes)"
            )
    return recording


@torch.no_grad()
def _evaluate_spiking_batch(
    model: LayeredNetwork, events: Events, index: Index
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a batch forward; count spikes."""
    recording = model.record(_frames_for(model, events, index))
    layers = [*recording.hidden_spk, recording.spk]
    n_spikes = torch.stack([spk.sum((0, 2)) for spk in layers], dim=1)
    return model.scores(recording).cpu(), n_spikes.cpu()


def can_record(model: nn.Module) -> bool:
    """Tell whether a network has a method that returns its spikes and membranes."""
    return callable(getattr(model, "record", None))


def _frames_for(model: nn.Module, events: Events, index: Index) -> torch.Tensor:
    """Return the frames of a batch on the device of a network."""
    tensors = itertools.chain(model.parameters(), model.buffers())
    frames = torch.from_numpy(events.to_frames(index))
    return frames.to(next(tensors, frames).device)


def _class_scores(model: nn.Module, events: Events, index: Index) -> torch.Tensor:
    """Run a batch forward, check what the network returns, and return it."""
    frames = _frames_for(model, events, index)
    module = model.module if isinstance(model, CompiledNetwork) else model
    scores = module(frames)
    if type(scores) is tuple and [getattr(each, "ndim", 0) for each in scores] == [3, 3]:
        scores = scores[0].sum(0)  # of spikes and membranes, the spikes are counted
    wanted = (len(index), len(events.class_names))
    problem = _problem(scores, wanted, tuple(frames.shape))
    if problem:
        raise TypeError(
            f"{_forward(model)} returned {problem}. From frames of shape {tuple(frames.shape)}, "
            f"which are (steps, batch, units), it must compute class scores of shape {wanted}, "
            "which are (batch, classes)"
        )
    if scores.isnan().any():
        n_utterances = int(scores.isnan().any(1).sum())
        raise ValueError(
            f"{_forward(model)} returned NaN as class scores of {n_utterances} of {len(index)} "
            "utterances. Most likely it divides by 0, or takes a logarithm of 0, or, after some "
            "updates, lr is too large"
        )
    return scores


def _forward(model: nn.Module) -> str:
    """Return how messages call a network's method."""
    return f"{type(model).__name__}.forward"


def _problem(scores: object, wanted: tuple[int, int], frames_shape: tuple) -> str | None:
    """Say what a network returned if that can't be class scores of the wanted shape."""
    if scores is None:
        return "None (is a `return` missing?)"
    if not isinstance(scores, torch.Tensor):
        return _described(scores)
    shape = tuple(scores.shape)
    if shape == (frames_shape[0], *wanted):
        return f"a tensor of shape {shape} (take the sum or mean over the steps)"
    if shape != wanted:
        return f"a tensor of shape {shape}"
    if not scores.is_floating_point():
        return f"a tensor of {scores.dtype}, which are no floats"
    return None


def _described(thing: object) -> str:
    """Return what a wrong result is, as part of a sentence."""
    if isinstance(thing, tuple | list):
        return f"a {type(thing).__name__} of {len(thing)}"
    return f"an object of type {type(thing).__name__}"


COMPILED = Engine(
    "compiled", _compiled_forward_backward, _compiled_evaluate_batch, _compiled_record
)
SNNTORCH_LOOP = Engine("snntorch", _forward_backward, _evaluate_spiking_batch, _record)
MODULE = Engine("module", _forward_backward, _evaluate_batch, _record)
ENGINES = (COMPILED.name, SNNTORCH_LOOP.name)  # the values of the setting `engine`


def runs_in_loop(model: nn.Module) -> bool:
    """Tell whether a network is a `LayeredNetwork` whose ``forward`` is that of this class."""
    if not isinstance(model, LayeredNetwork):
        return False
    return inspect.getattr_static(model, "forward") is LayeredNetwork.forward


def choose_engine(name: str, model: nn.Module) -> Engine:
    """Return the engine that runs a network."""
    check_choice("engine", name, ENGINES)
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"a network must be a torch.nn.Module, not an object of type {type(model).__name__}"
        )
    engine = SNNTORCH_LOOP if runs_in_loop(model) else MODULE
    is_spiking = any(isinstance(module, Leaky) for module in model.modules())
    if name == SNNTORCH_LOOP.name or not is_spiking:
        return engine
    try:
        if _compiled(model).changes():
            _compiled.cache_clear()
        if vars(_compiled(model))["_readout"]:
            return COMPILED
        raise NotCompilableError("its forward returns no class scores that the engine knows")
    except NotCompilableError as error:
        reason = error
    what = "snntorch's loop" if engine is SNNTORCH_LOOP else "the network's own forward"
    warn_once(
        f"The network runs in {what} instead of the compiled engine: {reason}. This takes many "
        "times as long (docs/speed.md)."
    )
    return engine


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch use one thread while the block runs.

    snnTorch's loop and Adam work on matrices of a few ten thousand weights. Torch splits each of
    these operations between its threads, and every thread spins until all are done. So one thread
    that has to wait for a core stops all others. We measured updates of the study's network with 8
    utterances on two cores that other programs used, too (load average 9). One update took 0.6 s
    with one thread and 12 s with two.

    The compiled engine doesn't need this: each of its own threads takes whole utterances, and it
    starts as many as torch has.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def threads_for(engine: Engine) -> AbstractContextManager[None]:
    """Return the number of threads that an engine needs, as a context."""
    return one_thread() if engine.name == SNNTORCH_LOOP.name else nullcontext()


@cache
def warn_once(message: str) -> None:
    """Warn, but only at the first time that a message comes up in this process.

    An engine is chosen for each epoch. Python's own filters forget what they have shown when any
    package changes a filter.
    """
    warnings.warn(message, stacklevel=3)
