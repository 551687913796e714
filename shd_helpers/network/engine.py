"""Engines, which run a network on a batch, and how one is chosen.

The *compiled engine*, the package `shd_engine`, trains the study's networks, and modules that
`shd_engine.compile` can compile. *snntorch's loop* is the readable engine with the same arithmetic
for a `SpikingNetwork`. Any other module is run by its own ``forward``. The last two are in
`network.module_engine`.

Threads are set here, too: see `one_thread`.
"""

import inspect
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache, lru_cache
from typing import Any, NamedTuple

import torch
from snntorch import Leaky
from torch import nn

from shd_corpus.checks import check_choice
from shd_engine import CompiledNetwork, LayeredNetwork, LayerStates, NotCompilableError, compile
from shd_engine.event_lists import Index
from shd_helpers.events.event_lists import Events
from shd_helpers.network import module_engine


class Engine(NamedTuple):
    """The functions that run a network on batches; they are the same in each engine.

    Each takes a network, events, and the indices of the utterances in the batch.
    """

    name: str
    # Returns the loss and the class scores; leaves the gradients in the parameters' ``grad``.
    forward_backward: Callable[[Any, Events, Index], tuple[float, torch.Tensor]]
    # Returns class scores (batch, classes) and numbers of spikes (batch, layers).
    evaluate_batch: Callable[[Any, Events, Index], tuple[torch.Tensor, torch.Tensor]]
    # Returns spikes and membranes of all layers and steps.
    record: Callable[[Any, Events, Index], LayerStates]
    # Returns class scores (batch, classes) with gradients, for any loss.
    class_scores: Callable[[Any, Events, Index], torch.Tensor] = module_engine.class_scores


@lru_cache(maxsize=8)  # a module is compiled once, though an engine is chosen for every epoch
def _compiled(model: nn.Module) -> CompiledNetwork:
    """Return a compiled module; NotCompilableError, which isn't cached, if it can't be compiled."""
    network = compile(model)
    if not network.takes_events:
        raise NotCompilableError(network.why_no_events)
    if network.readout is None:
        raise NotCompilableError("its forward returns neither numbers of spikes nor mean membranes")
    return network


def _forward_backward(model: nn.Module, events: Events, index: Index) -> tuple[float, torch.Tensor]:
    return _compiled(model).loss_and_gradients(events, events.labels[index], index)


def _evaluate_batch(
    model: nn.Module, events: Events, index: Index
) -> tuple[torch.Tensor, torch.Tensor]:
    return _compiled(model).evaluate(events, index)


def _record(model: nn.Module, events: Events, index: Index) -> LayerStates:
    with torch.no_grad():
        return _compiled(model).record(events, index)


def _class_scores(model: nn.Module, events: Events, index: Index) -> torch.Tensor:
    network = _compiled(model)
    states = network.record(events, index, hidden=False)
    return states.mem.mean(0) if network.readout == "membrane" else states.spk.sum(0)


COMPILED = Engine("compiled", _forward_backward, _evaluate_batch, _record, _class_scores)
SNNTORCH_LOOP = Engine(
    "snntorch",
    module_engine.forward_backward,
    module_engine.evaluate_spiking_batch,
    module_engine.record,
)
MODULE = Engine(
    "module",
    module_engine.forward_backward,
    module_engine.evaluate_batch,
    module_engine.record,
)
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
