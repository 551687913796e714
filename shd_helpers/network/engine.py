"""Engines, which run a network on a batch: how one is chosen, and the compiled one.

snntorch's loop passes over memory once for every operation of every step. The compiled engine takes
one utterance through all steps, the loss and all steps back while its membranes stay in the cache,
and adds a row of weights only where there is an event. Its loops are in `network.kernels`, whose
docstring describes them, and `network.parameter_layout` says where parameters lie in memory. The
results are snntorch's: the same operations in float32, rounded in the same order. Only sums over
inputs, steps and utterances are added up in another order than a matrix product does.

There are as many threads as torch has: ``OMP_NUM_THREADS`` in the environment, or the caller's
`torch.set_num_threads`. Nothing is set here, and no bit of a result depends on their number.
"""

import inspect
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from snntorch import Leaky
from torch import nn

from shd_helpers.checks import check_choice
from shd_helpers.events.event_lists import Events, checked_utterances
from shd_helpers.network import kernels, loop, module_engine, surrogates
from shd_helpers.network.adaptive import AdaptiveLeaky
from shd_helpers.network.ensemble import Ensemble
from shd_helpers.network.parameter_layout import ParameterLayout, aligned
from shd_helpers.network.spiking import LayerStates, SpikingNetwork, unfamiliar_component

Network = nn.Module  # any network: see `network.module_engine`
Index = Sequence[int] | np.ndarray
# Neurons x steps x utterances that are worth another thread: starting one takes as long.
WORTH_A_THREAD = 1_000_000
# Most partial sums of a gradient, so that no more threads work on a batch in training. With more,
# adding them up would take longer.
MOST_GROUPS = 16
SMALLEST_GROUP = 4  # utterances
# How many times as long as the compiled engine snntorch's loop takes for a training step of the
# study's network, in batches of 128 and of 8 utterances: see results/bench.csv.
SLOWDOWN = (38, 91)
NEURONS = (Leaky, AdaptiveLeaky)  # those that the compiled engine knows; no subclasses


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


def answers(scores: np.ndarray | torch.Tensor) -> np.ndarray:
    """Return the classes with the highest scores, the lowest of several with equally high ones.

    Parameters
    ----------
    scores : ndarray or Tensor
        Class scores, (..., classes): numbers of output spikes, mean membrane potentials, or those
        of any network.

    Returns
    -------
    ndarray
        Classes, int64 (...,).
    """
    return np.asarray(scores).argmax(-1)


def unsupported_reason(model: nn.Module) -> str | None:
    """Say why the compiled engine can't compute a network.

    It computes layers of `Leaky` or `AdaptiveLeaky` neurons with per-neuron, learned or unequal
    betas and thresholds. Each layer may have delays, a surrogate and a slope of its own.

    Parameters
    ----------
    model : Module
        Any network.

    Returns
    -------
    str or None
        The first reason found, as a clause without a full stop; None if there is none.
    """
    device = module_engine.device_of(model)
    if device.type != "cpu":
        return f"its parameters are on the device {device}"
    if reason := _unsupported_layers(model, NEURONS):
        return reason
    assert isinstance(model, SpikingNetwork)
    compiled = [name for name, each in surrogates.TABLE.items() if each.kind is not None]
    for i, (_, lif) in enumerate(model.layers, start=1):
        name = getattr(lif.spike_grad, "surrogate", None)
        if name not in compiled:
            known = ", ".join(compiled)
            return f"the surrogate of lif{i} is {_surrogate_name(lif)}, not one of {known}"
    return None


def unsupported_forward(model: nn.Module) -> str | None:
    """Say why a circuit can't compute a network.

    Circuits have layers of `Leaky` neurons that are reset by subtraction, delays of the input
    alone, and the readouts "spikes" and "membrane". The surrogate doesn't matter, because only the
    backward pass uses it.

    Parameters
    ----------
    model : Module
        Any network.

    Returns
    -------
    str or None
        The first reason found; None if there is none.
    """
    if reason := _unsupported_layers(model, (Leaky,)):
        return reason
    assert isinstance(model, SpikingNetwork)
    if model.readout == "softmax":
        return "its readout takes the softmax of the membrane potentials in each step"
    for i, delays in enumerate(model.layer_delays[1:], start=2):
        if delays != (0,):
            return f"layer {i} gets copies of the spikes before it that are {delays} steps late"
    return None


def _unsupported_layers(model: nn.Module, neurons: tuple[type, ...]) -> str | None:
    """Say what in a network's layers is unknown to a program that knows some classes of neurons."""
    if reason := unfamiliar_component(model, neurons):
        return reason
    assert isinstance(model, SpikingNetwork)
    for i, (fc, lif) in enumerate(model.layers, start=1):
        is_last = i == model.n_layers
        if reason := _unsupported_weights(i, fc, lif) or _unsupported_neurons(i, lif, is_last):
            return reason
    return None


def _surrogate_name(lif: Leaky) -> str:
    """Return how a message calls the surrogate of a layer, such as boxcar."""
    step = lif.spike_grad
    name = getattr(step, "surrogate", getattr(step, "__qualname__", type(step).__name__))
    return str(name).partition(".<locals>")[0]  # snntorch's are functions within functions


def _unsupported_weights(i: int, fc: nn.Linear, lif: Leaky) -> str | None:
    """Say what is unusual about the tensors of layer i, or about how it is called."""
    if not isinstance(fc.weight, nn.Parameter) or fc.bias is None:
        return f"fc{i} is not a plain Linear layer with biases"
    if any(module._forward_hooks or module._forward_pre_hooks for module in (fc, lif)):
        return f"layer {i} has forward hooks"
    tensors = [fc.weight, fc.bias, lif.beta, lif.threshold]
    if isinstance(lif, AdaptiveLeaky):
        per_neuron = [lif.left, lif.from_mem, lif.from_spk]
        if any(tensor.shape != (fc.out_features,) for tensor in per_neuron):
            return f"the adaptation of lif{i} isn't one of {fc.out_features} neurons"
        tensors += per_neuron
    if any(tensor.dtype != torch.float32 and tensor.dim() for tensor in tensors):
        return f"layer {i} is not in float32"
    shapes = {(), (1,), (fc.out_features,)}
    if lif.beta.shape not in shapes or lif.threshold.shape not in shapes:
        return f"the beta or threshold of lif{i} is neither one number nor one per neuron"
    return None


def _unsupported_neurons(i: int, lif: Leaky, is_last: bool) -> str | None:
    """Say which option of snntorch's neurons in layer i the kernels don't have."""
    # Leaky's attribute reset_mechanism can be changed later, but that changes nothing in it.
    is_reset_by_subtraction = lif.state_function.__func__ is Leaky._base_sub and lif.reset_delay
    is_readout = is_last and SpikingNetwork.accumulates_only(lif)
    if not is_reset_by_subtraction and not is_readout:
        return f"lif{i} doesn't subtract its threshold one step after a spike"
    if lif.inhibition or lif.state_quant or lif.init_hidden:
        return f"lif{i} has inhibition, quantized states or hidden states"
    if lif.graded_spikes_factor.requires_grad or (lif.graded_spikes_factor != 1).any():
        return f"the spikes of lif{i} are graded"
    return None


def forward_backward(
    model: SpikingNetwork, events: Events, index: Index
) -> tuple[float, torch.Tensor]:
    """Take a batch forward and back: what zero_grad, the loop over steps and backward() do.

    Parameters
    ----------
    model : SpikingNetwork
        Its parameters' ``grad`` is replaced by the loss's gradient.
    events : Events
        A data set.
    index : sequence of int
        The utterances in the batch, shape (batch,).

    Returns
    -------
    loss : float
        Mean over the batch of the cross-entropy of the softmax over the class scores.
    scores : Tensor
        Class scores as in `SpikingNetwork.scores`, shape (batch, classes).

    Raises
    ------
    ValueError
        If the model is beyond this engine (see `unsupported_reason`), or the events don't fit it.
    IndexError
        If the index points at no utterance.
    """
    index = checked_index(model, events, index)
    layout = ParameterLayout.of(model)
    labels = labels_to_train_with(events, index, layout.layers[-1].n_neurons)
    batch = batch_of(events, index, labels)
    n_groups = min(MOST_GROUPS, -(-len(index) // SMALLEST_GROUP))
    n_workers = workers_for(batch, layout, n_groups)
    results = new_results(batch, layout, n_groups, n_workers, layout.n_parameters)
    compute(batch, layout.pack(model), results, n_workers)
    layout.set_gradients(model, results.gradients.sum(axis=0))  # numpy adds row after row
    return float(results.losses.mean()), torch.from_numpy(results.scores)


def evaluate_batch(
    model: SpikingNetwork, events: Events, index: Index
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a batch forward; count spikes.

    Parameters
    ----------
    model : SpikingNetwork
        The network.
    events : Events
        A data set.
    index : sequence of int
        The utterances in the batch, shape (batch,).

    Returns
    -------
    scores : Tensor
        Class scores as in `SpikingNetwork.scores`, (batch, classes).
    n_spikes : Tensor
        Spikes of all steps and neurons, (batch, layers), int64; the output layer is last.

    Raises
    ------
    ValueError, IndexError
        As `forward_backward` does.
    """
    index = checked_index(model, events, index)
    layout = ParameterLayout.of(model)
    batch = batch_of(events, index)
    n_workers = workers_for(batch, layout, n_groups=len(index))
    results = new_results(batch, layout, len(index), n_workers)
    compute(batch, layout.pack(model), results, n_workers)
    return torch.from_numpy(results.scores), torch.from_numpy(results.n_spikes)


def record(model: SpikingNetwork, events: Events, index: Index) -> LayerStates:
    """Run a batch forward and keep the states, as `SpikingNetwork.record` does.

    Parameters
    ----------
    model : SpikingNetwork
        The network.
    events : Events
        A data set.
    index : sequence of int
        The utterances in the batch, shape (batch,).

    Returns
    -------
    LayerStates
        Spikes and membranes of all layers, (steps, batch, neurons) each.

    Raises
    ------
    ValueError, IndexError
        As `forward_backward` does.
    """
    index = checked_index(model, events, index)
    layout = ParameterLayout.of(model)
    batch = batch_of(events, index)
    n_workers = workers_for(batch, layout, n_groups=len(index))
    results = new_results(batch, layout, len(index), n_workers, keep_states=True)
    compute(batch, layout.pack(model), results, n_workers)
    spks = []
    mems = []
    for i, (_, lif) in enumerate(model.layers):
        utterances_first = torch.from_numpy(layout.membranes(i, results.states, events.n_steps))
        mem = utterances_first.transpose(0, 1).contiguous()
        mems.append(mem)
        spks.append((mem - lif.threshold > 0).float())
    return LayerStates(spks[-1], mems[-1], tuple(spks[:-1]), tuple(mems[:-1]))


def checked_index(model: SpikingNetwork, events: Events, index: Index) -> np.ndarray:
    """Return the indices of a batch as an array, after checking that the engine can compute it.

    Parameters
    ----------
    model : SpikingNetwork
        The network.
    events : Events
        A data set.
    index : sequence of int
        The utterances in the batch, shape (batch,).

    Returns
    -------
    ndarray
        `index`, int64 (batch,).

    Raises
    ------
    ValueError, IndexError
        As `forward_backward` does.
    """
    if reason := unsupported_reason(model):
        raise ValueError(
            f"the fused engine can't compute this network: {reason}. Use the engine 'snntorch'"
        )
    n_inputs = model.layers[0][0].in_features
    n_delays = len(model.delays)
    if events.n_units * n_delays != n_inputs:
        raise ValueError(
            f"events: have {events.n_units} units, but the network was built for "
            f"{n_inputs // n_delays}. Downsample the data as for its training, or build it anew"
        )
    return checked_utterances(index, len(events))


def labels_to_train_with(events: Events, index: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the labels of a batch's utterances.

    Parameters
    ----------
    events : Events
        A data set.
    index : ndarray
        The utterances in the batch, shape (batch,).
    n_classes : int
        The network's classes.

    Returns
    -------
    ndarray
        Classes, int64 (batch,).

    Raises
    ------
    ValueError
        If the batch is empty, or a label isn't one of the network's classes.
    """
    labels = events.labels[index]
    if not (len(labels) and 0 <= labels.min() <= labels.max() < n_classes):
        problem = "the batch has no utterances"
        if len(labels):
            problem = f"the labels are from {labels.min()} to {labels.max()}"
        raise ValueError(
            f"events: {problem}. Training needs utterances with labels from 0 to {n_classes - 1}, "
            "because the network has as many classes"
        )
    return labels


def batch_of(events: Events, index: np.ndarray, labels: np.ndarray | None = None) -> kernels.Batch:
    """Return a batch as the kernels read it, with labels if there is a backward pass.

    Parameters
    ----------
    events : Events
        A data set.
    index : ndarray
        The utterances in the batch, shape (batch,).
    labels : ndarray, optional
        Their classes, shape (batch,).

    Returns
    -------
    kernels.Batch
        The arrays of `events` themselves, not copies.
    """
    if labels is None:
        labels = np.empty(0, np.int64)
    return kernels.Batch(
        steps=events.steps,
        units=events.units,
        offsets=events.offsets,
        utterances=index,
        labels=labels,
        n_steps=events.n_steps,
    )


def workers_for(batch: kernels.Batch, layout: ParameterLayout, n_groups: int) -> int:
    """Return how many threads shall compute a batch: more for more work.

    Parameters
    ----------
    batch : kernels.Batch
        The utterances.
    layout : ParameterLayout
        The network's sizes.
    n_groups : int
        Groups of utterances, each of which one thread works on.

    Returns
    -------
    int
        At least 1, at most torch's number of threads.
    """
    n_states = len(batch.utterances) * layout.n_states(batch.n_steps)
    return max(1, min(n_groups, torch.get_num_threads(), n_states // WORTH_A_THREAD))


def new_results(
    batch: kernels.Batch,
    layout: ParameterLayout,
    n_groups: int,
    n_workers: int,
    n_parameters: int = 0,
    keep_states: bool = False,
) -> kernels.Results:
    """Return memory for the results of a batch.

    Parameters
    ----------
    batch : kernels.Batch
        The utterances.
    layout : ParameterLayout
        The network's sizes.
    n_groups : int
        Groups of utterances, each of which has partial sums of gradients.
    n_workers : int
        Threads, each of which computes one utterance at a time.
    n_parameters : int
        Parameters that get gradients; 0 if there is no backward pass.
    keep_states : bool
        Keep the membranes of all utterances, not only of those that are being computed.

    Returns
    -------
    kernels.Results
        Scores and losses are zero, the rest is uninitialized.
    """
    n_utterances = len(batch.utterances)
    n_kept = n_utterances if keep_states else n_workers
    return kernels.Results(
        states=aligned(n_kept, layout.n_states(batch.n_steps)),
        gradients=aligned(n_groups, n_parameters),
        losses=np.zeros(n_utterances),
        scores=np.zeros((n_utterances, layout.layers[-1].n_neurons), np.float32),
        n_spikes=np.empty((n_utterances, len(layout.layers)), np.int64),
    )


def compute(
    batch: kernels.Batch, network: kernels.Network, results: kernels.Results, n_workers: int
) -> None:
    """Compute a batch, with several threads if it is worth them, and write the results.

    Parameters
    ----------
    batch : kernels.Batch
        The utterances.
    network : kernels.Network
        The network, from `ParameterLayout.pack`.
    results : kernels.Results
        Memory for the results, from `new_results`.
    n_workers : int
        How many threads there are.

    Raises
    ------
    ValueError
        If an utterance's events are out of order or outside of the grid.
    """
    with ThreadPoolExecutor(max(1, n_workers - 1)) as pool:  # starts threads only when needed
        others = [
            pool.submit(kernels.work, worker, n_workers, batch, network, results)
            for worker in range(1, n_workers)
        ]
        kernels.work(0, n_workers, batch, network, results)
    for other in others:
        other.result()  # raises what the thread has raised
    if (results.n_spikes < 0).any():
        raise ValueError(
            "events: some are out of order, or outside of the grid of steps and units. Sort each "
            "utterance's events by step, and check n_steps and n_units"
        )


COMPILED = Engine("fused", forward_backward, evaluate_batch, record)
SNNTORCH_LOOP = Engine("snntorch", loop.forward_backward, loop.evaluate_batch, loop.record)
MODULE = Engine(
    "module",
    module_engine.forward_backward,
    module_engine.evaluate_batch,
    module_engine.record,
)
ENGINES = (COMPILED.name, SNNTORCH_LOOP.name)  # those that can be chosen


def _engine_of_members(name: str, ensemble: Ensemble) -> Engine:
    """Return the engine of an ensemble, which evaluates each member with an engine of its own."""
    engines = [choose_engine(name, member) for member in ensemble.members]

    def evaluate_members(
        model: Ensemble, events: Events, index: Index
    ) -> tuple[torch.Tensor, torch.Tensor]:
        scores = []
        n_spikes = torch.zeros(len(index), 2, dtype=torch.int64)  # of hidden and output layers
        for engine, member in zip(engines, model.members, strict=True):
            of_member, spikes = engine.evaluate_batch(member, events, index)
            scores.append(of_member)
            n_spikes[:, 0] += spikes[:, :-1].sum(1).long()
            n_spikes[:, 1] += spikes[:, -1].long()
        return torch.stack(scores).mean(0), n_spikes

    # snntorch's loop takes one thread, and so does an ensemble that needs it
    runs_loop = any(engine.name == SNNTORCH_LOOP.name for engine in engines)
    return Engine(
        SNNTORCH_LOOP.name if runs_loop else "ensemble",
        module_engine.forward_backward,
        evaluate_members,
        module_engine.record,
    )


def runs_in_loop(model: nn.Module) -> bool:
    """Tell whether a network is a `SpikingNetwork` whose ``forward`` is that of this class.

    Parameters
    ----------
    model : Module
        The network.

    Returns
    -------
    bool
        True if snnTorch's loop computes it, False if its own ``forward`` must be called.
    """
    if not isinstance(model, SpikingNetwork):
        return False
    return inspect.getattr_static(model, "forward") is SpikingNetwork.forward


def choose_engine(name: str, model: Network) -> Engine:
    """Return the engine that runs a network.

    Parameters
    ----------
    name : str
        ``"snntorch"`` is the readable loop, ``"fused"`` the same arithmetic compiled. What the
        compiled engine can't do is done by the loop. A warning says once why, and how much slower
        the loop is.
    model : Module
        The network. One that isn't a `SpikingNetwork`, or has a ``forward`` of its own, is run by
        that, whatever the name: see `network.module_engine`.

    Returns
    -------
    Engine
        Its functions take the network.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If the network is no module.
    """
    check_choice("engine", name, ENGINES)
    if not isinstance(model, nn.Module):
        raise TypeError(
            f"a network must be a torch.nn.Module, not an object of type {type(model).__name__}"
        )
    if isinstance(model, Ensemble):
        return _engine_of_members(name, model)
    if not isinstance(model, SpikingNetwork):
        return MODULE
    engine = SNNTORCH_LOOP if runs_in_loop(model) else MODULE
    if name == SNNTORCH_LOOP.name:
        return engine
    reason = unsupported_reason(model)
    if reason is None:
        return COMPILED
    what = "snntorch's loop" if engine is SNNTORCH_LOOP else "the network's own forward"
    fewest, most = SLOWDOWN
    warn_once(
        f"{what} runs, not the fused engine: {reason}. For the study's network, snntorch's loop "
        f"takes {fewest} to {most} times as long (docs/speed.md)."
    )
    return engine


@cache
def warn_once(message: str) -> None:
    """Warn, but only at the first time that a message comes up in this process.

    An engine is chosen for each epoch. Python's own filters forget what they have shown when any
    package changes a filter.

    Parameters
    ----------
    message : str
        The warning.
    """
    warnings.warn(message, stacklevel=3)
