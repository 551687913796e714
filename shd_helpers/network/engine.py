"""The network's arithmetic compiled: event-driven, an utterance forward and backward in one go.

snntorch's loop passes over memory once for every operation of every step. Here a worker takes one
utterance through all steps, the loss and all steps back while its membranes stay in the cache, and
adds a row of weights only where there is an event; the loops are in `network.kernels`. The numbers
are snntorch's: the same operations in float32, rounded in the same order; only sums over inputs,
steps and utterances are added up in another order than a matrix product does.

There are as many threads as torch has: ``OMP_NUM_THREADS`` in the environment, or the caller's
`torch.set_num_threads`. Nothing is set here, and no bit of a result depends on their number.
"""

import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from types import ModuleType

import numpy as np
import torch
from snntorch import Leaky
from torch import nn

from shd_helpers.checks import check_choice
from shd_helpers.events.downsample import Events
from shd_helpers.network import convolutional, kernels, loop, surrogates
from shd_helpers.network.convolutional import ConvolutionalNetwork
from shd_helpers.network.kernels import BAND, BLOCK, LANES, N_IN, N_OUT, NEXT, READOUT, STATE, WIDTH
from shd_helpers.network.spiking import ChannelConv1d, LayerStates, SpikingNetwork, unfamiliar_part

ENGINES = ("fused", "snntorch")
Network = SpikingNetwork | ConvolutionalNetwork
WORTH_A_THREAD = 1_000_000  # neurons x steps x utterances; the start of a thread takes as long
GROUPS = 16  # partial sums of a gradient, so at most 16 threads work on a batch in training


def choose_engine(name: str, model: Network) -> ModuleType:
    """Return the module that runs the network, by `forward_backward` and `evaluate_batch`.

    ``"snntorch"`` is the readable loop, ``"fused"`` the same arithmetic compiled. What the compiled
    engine can't do is done by the loop, with a warning that says why. A network without spikes is
    run by torch, whatever the name. ValueError, if the name is unknown.
    """
    check_choice("engine", name, ENGINES)
    if isinstance(model, ConvolutionalNetwork):
        return convolutional
    if name == "snntorch":
        return loop
    if reason := unsupported_reason(model):
        warnings.warn(f"snntorch's loop runs, not the fused engine: {reason}", stacklevel=2)
        return loop
    return sys.modules[__name__]


def answers(scores: np.ndarray | torch.Tensor) -> np.ndarray:
    """Return the classes with the highest scores, the lowest of several with equally high ones.

    Of scores (..., classes), be they output spikes, mean membranes or any network's, int64 (...,).
    """
    return np.asarray(scores).argmax(-1)


def aligned(*shape: int) -> np.ndarray:
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

    Returns how many neurons are in a row, in whole vectors; the first of them, for every input;
    what window p sees with weight k, (p, k); and the column of that input's row in which place p
    begins, (p, k).
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


def pack(model: SpikingNetwork) -> tuple[np.ndarray, ...]:
    """Lay the parameters out: shape, surrogates' constants, parameters, lows, weights by row."""
    shape, constants = _places(model)
    last = shape[-1]
    params = aligned(last[BLOCK] + last[N_IN] * last[BAND] + 3 * last[WIDTH])
    matrices, lows = aligned(last[NEXT]), np.empty(0, np.int64)
    params[:] = matrices[:] = 0
    for i, ((fc, lif), layer) in enumerate(zip(model.layers, shape, strict=True)):
        weight, bias, n = fc.weight.detach().numpy(), fc.bias.detach().numpy(), layer[N_OUT]
        rows, neurons = kernels.weights_of(layer, params), kernels.neurons_of(layer, params)
        if isinstance(fc, ChannelConv1d):
            _, lows, inputs, columns = _bands(*fc.shape)
            kernels.spread(np.ascontiguousarray(weight.T), inputs, columns, rows)
            bias = np.tile(bias, len(inputs))
        else:
            rows[:, :n] = weight.T
        # padding: no current, no decay, threshold 1, hence no spike
        neurons[0, :n] = bias
        neurons[1, :n] = lif.beta.detach().clamp(0, 1).numpy()
        neurons[2] = 1
        neurons[2, :n] = lif.threshold.detach().numpy()
        if i:  # the way back through the weights needs them by row, in fives
            before = shape[i - 1]
            by_row = kernels.matrix(matrices, before[NEXT], n, before[WIDTH])
            by_row[:, : weight.shape[1]] = weight
    return shape, constants, params, lows, matrices


def _places(model: SpikingNetwork) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of `shape` and the surrogates' constants, a row for each layer."""
    shape: list[tuple[int, ...]] = []
    constants: list[tuple[float, float]] = []
    block_at = state_at = matrix_at = 0
    for i, (fc, lif) in enumerate(model.layers):
        n, n_in = fc.out_features, fc.in_features
        width = band = _whole(n)
        if isinstance(fc, ChannelConv1d):
            band = _bands(*fc.shape)[0]
        if i:
            matrix_at += -(-n // 5) * 5 * shape[-1][WIDTH]
        surrogate, slope = surrogates.named(lif.spike_grad.surrogate), lif.spike_grad.slope
        constants.append((surrogate.kernel_slope * slope, slope / 2))
        learn = lif.beta.requires_grad or lif.threshold.requires_grad
        kind = READOUT if model.is_readout(lif) else surrogate.kind
        assert kind is not None  # see `unsupported_reason`
        shape.append((n_in, n, width, block_at, band, state_at, matrix_at, kind, learn))
        block_at += n_in * band + 3 * width
        state_at += width
    return np.array(shape, np.int64), np.array(constants, np.float32)


def set_gradients(model: SpikingNetwork, shape: np.ndarray, total: np.ndarray) -> None:
    """Give the model's parameters their gradients, from where `pack` has the parameters."""
    for (fc, lif), layer in zip(model.layers, shape, strict=True):
        d = kernels.weights_of(layer, total)
        d_bias, d_beta, d_theta = kernels.neurons_of(layer, total)[:, : layer[N_OUT]]
        if isinstance(fc, ChannelConv1d):  # what a weight does at all places
            by_input = np.zeros(fc.weight.shape[::-1], np.float32)
            kernels.gather(d, *_bands(*fc.shape)[2:], by_input)
            d_weight = np.ascontiguousarray(by_input.T)
            d_bias = d_bias.reshape(-1, len(fc.bias)).sum(0)
        else:
            d_weight = torch.from_numpy(d[:, : layer[N_OUT]]).t().contiguous().numpy()
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


def unsupported_reason(model: SpikingNetwork) -> str | None:
    """Say what in a model this engine can't compute, the first reason found; None if there is none.

    What a model may have beyond the usual is per-neuron, learned or unequal betas and thresholds,
    and a surrogate and slope of its own in each layer.
    """
    if reason := unsupported_forward(model):
        return reason
    compiled = [name for name, each in surrogates.TABLE.items() if each.kind is not None]
    for i, (_, lif) in enumerate(model.layers, start=1):
        if getattr(lif.spike_grad, "surrogate", None) not in compiled:
            return f"the surrogate of lif{i} is not one of {', '.join(compiled)}"
    return None


def unsupported_forward(model: nn.Module) -> str | None:
    """Say what in a model isn't a layer of LIF neurons as the engine, or a circuit, computes them.

    The first reason found; None if there is none. The surrogate doesn't matter, because only the
    backward pass uses it.
    """
    if reason := unfamiliar_part(model):
        return reason
    assert isinstance(model, SpikingNetwork)
    for i, (fc, lif) in enumerate(model.layers, start=1):
        state = [fc.weight, fc.bias, lif.beta, lif.threshold]
        if not isinstance(fc.weight, nn.Parameter) or fc.bias is None:
            return f"fc{i} is not a plain Linear layer with biases"
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
            return f"lif{i} has inhibition, quantized states or hidden states"
        if lif.graded_spikes_factor.requires_grad or (lif.graded_spikes_factor != 1).any():
            return f"the spikes of lif{i} are graded"
    return None


def _call(model, events, index, train=False, keep=False):
    if reason := unsupported_reason(model):
        raise ValueError(f"the fused engine can't compute this network: {reason}")
    index, n_in = np.asarray(index, dtype=np.int64), model.layers[0][0].in_features
    if events.n_units * len(model.delays) != n_in:
        late = f", each with {len(model.delays)} delays," if len(model.delays) > 1 else ""
        raise ValueError(f"events of {events.n_units} units{late} for {n_in} inputs")
    if len(index) and not 0 <= index.min() <= index.max() < len(events):
        raise IndexError(f"index {index.min()}..{index.max()}: there are {len(events)} utterances")
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

    def work(worker):
        kernels.work(
            worker, n_workers, events.steps, events.units, events.offsets, index, labels,
            events.n_steps, delays, shape, constants, params, lows, matrices, states, grads,
            losses, scores, n_spikes,
        )  # fmt: skip

    with ThreadPoolExecutor(max(1, n_workers - 1)) as pool:  # starts threads only when needed
        others = [pool.submit(work, worker) for worker in range(1, n_workers)]
        work(0)
    for other in others:
        other.result()
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
    shape, scores, _, _, losses, grads = _call(model, events, index, train=True)
    set_gradients(model, shape, grads.sum(axis=0))  # numpy adds row after row
    return float(losses.mean()), torch.from_numpy(scores)


def evaluate_batch(
    model: SpikingNetwork, events: Events, index: Sequence[int] | np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a batch forward; raise as `forward_backward`.

    Returns class scores as in `SpikingNetwork.scores`, (batch, classes), and the numbers of spikes
    of all steps and neurons, (batch, layers), int64; the output layer is last.
    """
    _, scores, n_spikes, *_ = _call(model, events, index)
    return torch.from_numpy(scores), torch.from_numpy(n_spikes)


def record(model: SpikingNetwork, events: Events, index: Sequence[int] | np.ndarray) -> LayerStates:
    """Run a batch forward and keep the states: ``model(x, record_hidden=True)``.

    Spikes and membranes of all layers are (steps, batch, neurons) each.
    """
    shape, _, _, states, *_ = _call(model, events, index, keep=True)
    rows, spks, mems = events.n_steps + 2, [], []
    for (_, lif), layer in zip(model.layers, shape, strict=True):
        n, width, low = layer[N_OUT], layer[WIDTH], layer[STATE] * rows
        state = states[:, low : low + width * rows].reshape(-1, rows, width)
        mems.append(torch.from_numpy(state[:, 1:-1, :n]).transpose(0, 1).contiguous())
        spks.append((mems[-1] - lif.threshold > 0).float())
    return LayerStates(spks[-1], mems[-1], tuple(spks[:-1]), tuple(mems[:-1]))
