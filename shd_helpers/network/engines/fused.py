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
from functools import lru_cache

import numpy as np
import torch
from snntorch import Leaky
from torch import nn

from shd_helpers.events.downsample import Events
from shd_helpers.network.engines import kernels
from shd_helpers.network.engines.kernels import (
    ATAN,
    FAST_SIGMOID,
    LANES,
    N_OUT,
    READOUT,
    SIGMOID,
    STATE,
    WIDTH,
)
from shd_helpers.network.spiking import (
    ChannelConv1d,
    LayerStates,
    SpikingNetwork,
    steps_run,
)  # fmt: skip

KINDS = {"fast_sigmoid": FAST_SIGMOID, "atan": ATAN, "sigmoid": SIGMOID}
WORTH_A_THREAD = 1_000_000  # neurons x steps x utterances; the start of a thread takes as long
GROUPS = 16  # partial sums of a gradient, so at most 16 threads work on a batch in training


def _aligned(*shape: int) -> np.ndarray:
    """Return float32 memory that begins at a cache line; a vector across two costs twice."""
    size = int(np.prod(shape))
    memory = np.empty(size + LANES, np.float32)
    first = -memory.ctypes.data % (4 * LANES) // 4
    return memory[first : first + size].reshape(shape)


@lru_cache(maxsize=16)
def _bands(
    n_units: int, n_delays: int, n_channels: int, kernel_size: int, stride: int
) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """Say where a `ChannelConv1d`'s weights lie if an input's row has but the neurons it may feed.

    Returns
    -------
    band : int
        How many neurons are in a row: whole vectors.
    lows : ndarray
        The first of them, for every input, int64.
    inputs : ndarray
        What window p sees with weight k, shape (p, k).
    columns : ndarray
        The column of that input's row in which place p begins, shape (p, k).
    """
    fc = ChannelConv1d(n_units, n_delays, n_channels, kernel_size, stride)
    inputs = fc.columns[:, 0].numpy()
    first, last = np.zeros((2, fc.in_features), np.int64)
    for p in range(len(inputs)):
        first[inputs[-1 - p]], last[inputs[p]] = len(inputs) - 1 - p, p
    width = _whole(fc.out_features)
    band = min(width, _whole(int((last - first + 1).max()) * n_channels))
    lows = np.minimum(first * n_channels, width - band)
    return band, lows, inputs, np.arange(len(inputs))[:, None] * n_channels - lows[inputs]


def _whole(n: int) -> int:
    """Return n neurons' places: whole vectors."""
    return -(-n // LANES) * LANES


def _pack(model: SpikingNetwork) -> tuple[np.ndarray, ...]:
    """Lay the parameters out: shape, surrogates' constants, parameters, lows, weights by row."""
    shape: list[tuple[int, ...]] = []
    constants: list[tuple[float, float]] = []
    blocks: list[np.ndarray] = []
    lows: list[np.ndarray] = []
    matrices: list[np.ndarray] = []
    block_at = low_at = state_at = matrix_at = 0
    for i, (fc, lif) in enumerate(model.layers):
        weight, bias = fc.weight.detach().numpy(), fc.bias.detach().numpy()
        n, n_in = fc.out_features, fc.in_features
        width = band = _whole(n)
        if isinstance(fc, ChannelConv1d):
            band, first, inputs, columns = _bands(*fc.shape)
            lows.append(first)
            rows = np.zeros((n_in, band), np.float32)
            kernels.spread(np.ascontiguousarray(weight.T), inputs, columns, rows)
            bias = np.tile(bias, len(inputs))
        else:
            rows = np.zeros((n_in, width), np.float32)
            rows[:, :n] = weight.T
        # padding: no current, no decay, threshold 1, hence no spike
        neurons = np.zeros((3, width), np.float32)
        neurons[0, :n] = bias
        neurons[1, :n] = lif.beta.detach().clamp(0, 1).numpy()
        neurons[2] = 1
        neurons[2, :n] = lif.threshold.detach().numpy()
        blocks += [rows.ravel(), neurons.ravel()]
        if i:  # the way back through the weights needs them by row, in fives, delay after delay
            n_delays = len(model.layer_delays(i))
            by_row = weight.reshape(n, n_delays, -1).swapaxes(0, 1).reshape(n * n_delays, -1)
            matrix = np.zeros((-(-len(by_row) // 5) * 5, shape[-1][WIDTH]), np.float32)
            matrix[: len(by_row), : by_row.shape[1]] = by_row
            matrices.append(matrix.ravel())
            matrix_at += matrix.size
        name, slope = lif.spike_grad.surrogate, lif.spike_grad.slope
        constants.append((np.pi / 2 * slope if name == "atan" else slope, slope / 2))
        learn = lif.beta.requires_grad or lif.threshold.requires_grad
        kind = READOUT if model.is_readout(lif) else KINDS[name]
        to_zero = lif.state_function.__func__ is Leaky._base_zero
        places_in = (block_at, band, low_at, state_at, matrix_at)
        shape.append((n_in, n, width, *places_in, kind, learn, to_zero))
        block_at, state_at = block_at + rows.size + neurons.size, state_at + width
        low_at = sum(map(len, lows))
    parts = []
    for arrays in (blocks, matrices):
        parts.append(_aligned(sum(map(len, arrays))))
        np.concatenate([*arrays, np.empty(0, np.float32)], out=parts[-1])
    params, by_row = parts
    first_neurons = np.concatenate([*lows, np.empty(0, np.int64)])
    return np.array(shape, np.int64), np.array(constants, np.float32), params, first_neurons, by_row


def unsupported_reason(model: SpikingNetwork, device: str = "cpu") -> str | None:
    """Say what in a model this engine can't compute.

    Parameters
    ----------
    model : SpikingNetwork
        Any network; what it may have beyond the usual is per-neuron, learned or unequal betas and
        thresholds, a surrogate and slope of its own in each layer.
    device : str
        Where the model has to be.

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
        if any(tensor.device.type != device for tensor in state):
            return f"layer {i} is not on {device}"
        if any(tensor.dtype != torch.float32 and tensor.dim() for tensor in state):
            return f"layer {i} is not in float32"
        if any(tensor.shape not in {(), (1,), (fc.out_features,)} for tensor in state[2:]):
            return f"the beta or threshold of lif{i} is neither one number nor one per neuron"
        # what Leaky does is settled when it is made; its attribute reset_mechanism may say other
        reset = lif.state_function.__func__
        is_late = reset in (Leaky._base_sub, Leaky._base_zero) and lif.reset_delay
        if not is_late and not (i == model.n_layers and model.is_readout(lif)):
            return f"the reset of lif{i} is not late by a step"
        if lif.inhibition or lif.state_quant or lif.init_hidden:
            return f"lif{i} has inhibition, quantised states or hidden states"
        if lif.graded_spikes_factor.requires_grad or (lif.graded_spikes_factor != 1).any():
            return f"the spikes of lif{i} are graded"
        if getattr(lif.spike_grad, "surrogate", None) not in KINDS:
            return f"the surrogate of lif{i} is not one of {', '.join(KINDS)}"
    return None


def _in_threads(work: Callable[[int], None], n_workers: int) -> None:
    """Call work(0), ..., work(n_workers - 1), each in a thread; the first in the caller's."""
    with ThreadPoolExecutor(max(1, n_workers - 1)) as pool:  # starts threads only when needed
        others = [pool.submit(work, worker) for worker in range(1, n_workers)]
        work(0)
    for other in others:
        other.result()


def checked_index(
    model: SpikingNetwork, events: Events, index: Sequence[int] | np.ndarray, reason: str | None
) -> np.ndarray:
    """Return the index as an array; raise what `forward_backward` says it raises.

    `reason` is from `unsupported_reason`.
    """
    if reason:
        raise ValueError(f"the fused engine can't compute this network: {reason}")
    index, n_in = np.asarray(index, dtype=np.int64), model.layers[0][0].in_features
    if events.n_units * len(model.delays) != n_in:
        late = f", each with {len(model.delays)} delays," if len(model.delays) > 1 else ""
        raise ValueError(f"events of {events.n_units} units{late} for {n_in} inputs")
    if len(index) and not 0 <= index.min() <= index.max() < len(events):
        raise IndexError(f"index {index.min()}..{index.max()}: there are {len(events)} utterances")
    return index


def _call(model, events, index, train=False, keep=False, l1_spikes=0.0):
    index = checked_index(model, events, index, unsupported_reason(model))
    shape, constants, params, lows, matrices = _pack(model)
    batch, n_classes = len(index), shape[-1, N_OUT]
    labels = events.labels[index] if train else np.empty(0, np.int64)
    if train and not (len(labels) and 0 <= labels.min() <= labels.max() < n_classes):
        raise ValueError(f"training needs utterances and labels of 0..{n_classes - 1}")
    n_groups = min(GROUPS, -(-batch // 4)) if train else batch
    n_states = (shape[-1, STATE] + shape[-1, WIDTH]) * (events.n_steps + 2)
    n_workers = max(1, min(n_groups, torch.get_num_threads(), batch * n_states // WORTH_A_THREAD))
    states = _aligned(batch if keep else n_workers, n_states)
    n_grads = params.size if train else 0
    grads = _aligned(n_groups, n_grads)
    losses, scores = np.zeros(batch), np.zeros((batch, n_classes), np.float32)
    delays, cost = np.array(model.delays), np.float32(l1_spikes / max(1, batch))
    n_spikes = np.empty((batch, len(shape)), np.int64)
    n_run = steps_run(model, events, index)
    if keep:
        states[:] = 0  # what comes after a word's end stays so

    def work(worker):
        kernels.work(
            worker, n_workers, events.steps, events.units, events.offsets, index, labels,
            events.n_steps, n_run, delays, cost, shape, constants, params, lows, matrices, states,
            grads, losses, scores, n_spikes,
        )  # fmt: skip

    _in_threads(work, n_workers)
    if (n_spikes < 0).any():
        raise ValueError("events are out of order, or outside of the grid of steps and units")
    losses += l1_spikes * n_spikes[:, :-1].sum(1)
    return shape, scores, n_spikes, states, losses, grads


def forward_backward(
    model: SpikingNetwork,
    events: Events,
    index: Sequence[int] | np.ndarray,
    l1_spikes: float = 0.0,
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
    l1_spikes : float
        What a hidden spike adds to its utterance's loss (nats).

    Returns
    -------
    loss : float
        Mean over the batch of the cross-entropy of the softmax over the class scores, and costs.
    scores : Tensor
        Class scores as in `SpikingNetwork.scores`, shape (batch, classes).

    Raises
    ------
    ValueError
        If the model is beyond this engine (see `unsupported_reason`), or the events don't fit it.
    IndexError
        If the index points at no utterance.
    """
    shape, scores, _, _, losses, grads = _call(
        model, events, index, train=True, l1_spikes=l1_spikes
    )
    total = grads.sum(axis=0)  # numpy adds row after row
    for (fc, lif), layer in zip(model.layers, shape, strict=True):
        d = kernels.weights_of(layer, total)
        d_bias, d_beta, d_theta = kernels.neurons_of(layer, total)[:, : layer[N_OUT]]
        if isinstance(fc, ChannelConv1d):  # what a weight does at all places
            by_input = np.zeros(fc.weight.shape[::-1], np.float32)
            kernels.gather(d, *_bands(*fc.shape)[2:], by_input)
            d_weight = np.ascontiguousarray(by_input.T)
            d_bias = d_bias.reshape(-1, len(fc.bias)).sum(0)
        else:
            d_weight = np.ascontiguousarray(d[:, : layer[N_OUT]].T)
        if fc.weight.requires_grad:
            fc.weight.grad = torch.from_numpy(d_weight)
        if fc.bias.requires_grad:
            fc.bias.grad = torch.tensor(d_bias)
        if lif.beta.requires_grad:  # the clamp to 0..1 lets no gradient through from outside
            beta = lif.beta.detach()
            inside = (beta >= 0) & (beta <= 1)
            lif.beta.grad = torch.from_numpy(d_beta).sum_to_size(beta.shape) * inside
        if lif.threshold.requires_grad:
            lif.threshold.grad = torch.from_numpy(d_theta).sum_to_size(lif.threshold.shape)
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
    for (_, lif), layer in zip(model.layers, shape, strict=True):
        n, width, low = layer[N_OUT], layer[WIDTH], layer[STATE] * rows
        state = states[:, low : low + width * rows].reshape(-1, rows, width)
        mems.append(torch.from_numpy(state[:, 1:-1, :n]).transpose(0, 1).contiguous())
        spks.append((mems[-1] - lif.threshold > 0).float())
    n_run = torch.from_numpy(steps_run(model, events, index)) if model.stop else None
    return LayerStates(spks[-1], mems[-1], tuple(spks[:-1]), tuple(mems[:-1]), n_run)
