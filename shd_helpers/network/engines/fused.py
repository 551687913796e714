"""The network's arithmetic compiled: event-driven, an utterance forward and backward in one go.

snntorch's loop passes over memory once for every operation of every step. Here a worker takes one
utterance through all steps, the loss and all steps back while its membranes stay in the cache, and
adds a row of weights only where there is an event; the loops are in `engines.kernels`. The numbers
are snntorch's: the same operations in float32, rounded in the same order; only sums over inputs,
steps and utterances are added up in another order than a matrix product does.

There are as many threads as torch has: ``OMP_NUM_THREADS`` in the environment, or the caller's
`torch.set_num_threads`. Nothing is set here, and no bit of a result depends on their number.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from snntorch import Leaky
from torch import nn

from shd_helpers.events.downsample import Events
from shd_helpers.network.adaptation import Adaptation
from shd_helpers.network.engines import kernels
from shd_helpers.network.engines.kernels import N_OUT, STATE, WIDTH
from shd_helpers.network.engines.layout import KINDS, aligned, pack, set_gradients
from shd_helpers.network.spiking import (
    ChannelConv1d,
    LayerStates,
    SpikingNetwork,
    steps_run,
)  # fmt: skip

WORTH_A_THREAD = 1_000_000  # neurons x steps x utterances; the start of a thread takes as long
GROUPS = 16  # partial sums of a gradient, so at most 16 threads work on a batch in training


def unsupported_reason(model: SpikingNetwork) -> str | None:
    """Say what in a model this engine can't compute.

    Parameters
    ----------
    model : SpikingNetwork
        Any network; what it may have beyond the usual is per-neuron, learned or unequal betas and
        thresholds, adaptation, a surrogate and slope of its own in each layer.

    Returns
    -------
    str or None
        The first reason found, None if there is none.
    """
    if type(model).forward is not SpikingNetwork.forward:
        return "its forward is not SpikingNetwork's"
    for i, (fc, lif) in enumerate(model.layers, start=1):
        state = [fc.weight, fc.bias, lif.beta, lif.threshold]
        is_linear = type(fc) in (nn.Linear, ChannelConv1d) and isinstance(fc.weight, nn.Parameter)
        if not is_linear or fc.bias is None:
            return f"fc{i} is not a plain Linear layer with biases"
        if type(lif) is not Leaky:
            return f"lif{i} is {type(lif).__name__}, not Leaky"
        if any(module._forward_hooks or module._forward_pre_hooks for module in (fc, lif)):
            return f"layer {i} has forward hooks"
        if any(tensor.dtype != torch.float32 and tensor.dim() for tensor in state):
            return f"layer {i} is not in float32"
        if any(tensor.shape not in {(), (1,), (fc.out_features,)} for tensor in state[2:]):
            return f"the beta or threshold of lif{i} is neither one number nor one per neuron"
        # what Leaky does is settled when it is made; its attribute reset_mechanism may say other
        subtracts = lif.state_function.__func__ is Leaky._base_sub and lif.reset_delay
        if not subtracts and not (i == model.n_layers and model.is_readout(lif)):
            return f"the reset of lif{i} is no subtraction, late by a step"
        if lif.inhibition or lif.state_quant or lif.init_hidden:
            return f"lif{i} has inhibition, quantised states or hidden states"
        if lif.graded_spikes_factor.requires_grad or (lif.graded_spikes_factor != 1).any():
            return f"the spikes of lif{i} are graded"
        if getattr(lif.spike_grad, "surrogate", None) not in KINDS:
            return f"the surrogate of lif{i} is not one of {', '.join(KINDS)}"
        if type(model.adaptation(i - 1)) not in (type(None), Adaptation):
            return f"adaptation{i} is {type(model.adaptation(i - 1)).__name__}, not Adaptation"
    return None


def _in_threads(work: Callable[[int], None], n_workers: int) -> None:
    """Call work(0), ..., work(n_workers - 1), each in a thread; the first in the caller's."""
    with ThreadPoolExecutor(max(1, n_workers - 1)) as pool:  # starts threads only when needed
        others = [pool.submit(work, worker) for worker in range(1, n_workers)]
        work(0)
    for other in others:
        other.result()


def _checked(
    model: SpikingNetwork, events: Events, index: Sequence[int] | np.ndarray
) -> np.ndarray:
    """Return the index as an array; raise what `forward_backward` says it raises."""
    if reason := unsupported_reason(model):
        raise ValueError(f"the fused engine can't compute this network: {reason}")
    index, n_in = np.asarray(index, dtype=np.int64), model.layers[0][0].in_features
    if events.n_units * len(model.delays) != n_in:
        late = f", each with {len(model.delays)} delays," if len(model.delays) > 1 else ""
        raise ValueError(f"events of {events.n_units} units{late} for {n_in} inputs")
    if len(index) and not 0 <= index.min() <= index.max() < len(events):
        raise IndexError(f"index {index.min()}..{index.max()}: there are {len(events)} utterances")
    return index


def _call(model, events, index, train=False, keep=False):
    index = _checked(model, events, index)
    shape, constants, params, lows, matrices = pack(model)
    batch, n_classes = len(index), shape[-1, N_OUT]
    labels = events.labels[index] if train else np.empty(0, np.int64)
    if train and not (len(labels) and 0 <= labels.min() <= labels.max() < n_classes):
        raise ValueError(f"training needs utterances and labels of 0..{n_classes - 1}")
    n_groups = min(GROUPS, -(-batch // 4)) if train else batch
    n_states = (shape[-1, STATE] + shape[-1, WIDTH]) * (events.n_steps + 2)
    n_workers = max(1, min(n_groups, torch.get_num_threads(), batch * n_states // WORTH_A_THREAD))
    states = aligned(batch if keep else n_workers, n_states)
    n_grads = params.size if train else 0
    grads = aligned(n_groups, n_grads)
    losses, scores = np.zeros(batch), np.zeros((batch, n_classes), np.float32)
    delays, n_spikes = np.array(model.delays), np.empty((batch, len(shape)), np.int64)
    n_run = steps_run(model, events, index)
    if keep:
        states[:] = 0  # what comes after a word's end stays so

    def work(worker):
        kernels.work(
            worker, n_workers, events.steps, events.units, events.offsets, index, labels,
            events.n_steps, n_run, delays, shape, constants, params, lows, matrices, states, grads,
            losses, scores, n_spikes,
        )  # fmt: skip

    _in_threads(work, n_workers)
    if (n_spikes < 0).any():
        raise ValueError("events are out of order, or outside of the grid of steps and units")
    return shape, scores, n_spikes, states, losses, grads


def forward_backward(
    model: SpikingNetwork, events: Events, index: Sequence[int] | np.ndarray
) -> tuple[float, torch.Tensor]:
    """Take a batch forward and back: what zero_grad, the loop over steps and backward() do.

    Parameters
    ----------
    model : SpikingNetwork
        Its parameters' ``grad`` is replaced by the loss's gradient.
    events : Events
        Utterances.
    index : sequence of int
        Those in the batch, shape (batch,).

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
    shape, scores, _, _, losses, grads = _call(model, events, index, train=True)
    set_gradients(model, shape, grads.sum(axis=0))  # numpy adds row after row
    return float(losses.mean()), torch.from_numpy(scores)


def evaluate_batch(
    model: SpikingNetwork, events: Events, index: Sequence[int] | np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a batch forward; return class scores and numbers of spikes.

    Parameters
    ----------
    model, events, index
        As in `forward_backward`, which also says what is raised; labels are not read.

    Returns
    -------
    scores : Tensor
        Class scores as in `SpikingNetwork.scores`, shape (batch, classes), float32.
    n_spikes : Tensor
        Spikes of all steps and neurons, shape (batch, layers), int64; the output layer is last.
    """
    _, scores, n_spikes, *_ = _call(model, events, index)
    return torch.from_numpy(scores), torch.from_numpy(n_spikes)


def record(model: SpikingNetwork, events: Events, index: Sequence[int] | np.ndarray) -> LayerStates:
    """Run a batch forward and keep the states: ``model(x, record_hidden=True)``.

    Parameters
    ----------
    model, events, index
        As in `evaluate_batch`.

    Returns
    -------
    LayerStates
        Spikes and membranes of all layers, (steps, batch, neurons) each.
    """
    shape, _, _, states, *_ = _call(model, events, index, keep=True)
    rows, spks, mems = events.n_steps + 2, [], []
    n_run = torch.from_numpy(steps_run(model, events, index)) if model.stop else None
    for (_, lif), layer in zip(model.layers, shape, strict=True):
        n, width, low = layer[N_OUT], layer[WIDTH], layer[STATE] * rows
        state = states[:, low : low + width * rows].reshape(-1, rows, width)
        mems.append(torch.from_numpy(state[:, 1:-1, :n]).transpose(0, 1).contiguous())
        spks.append((mems[-1] - lif.threshold > 0).float())
        if n_run is not None:  # afterwards membranes are 0, which may be above a learned threshold
            spks[-1] *= (torch.arange(events.n_steps)[:, None] < n_run)[..., None]
    return LayerStates(spks[-1], mems[-1], tuple(spks[:-1]), tuple(mems[:-1]), n_run)
