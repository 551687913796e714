"""How the compiled engine lays a network's parameters out in memory, and takes gradients back."""

from functools import lru_cache

import numpy as np
import torch

from shd_helpers.compiled import compiled
from shd_helpers.network.engines import kernels
from shd_helpers.network.engines.kernels import (
    ATAN,
    BAND,
    BLOCK,
    FAST_SIGMOID,
    LANES,
    N_IN,
    N_OUT,
    NEXT,
    READOUT,
    SIGMOID,
    WIDTH,
)
from shd_helpers.network.spiking import ChannelConv1d, SpikingNetwork

KINDS = {"fast_sigmoid": FAST_SIGMOID, "atan": ATAN, "sigmoid": SIGMOID}


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


@compiled
def _spread(weights, inputs, neurons, rows):
    """Write weights, a row for each k, to where input [p, k] feeds the neurons from [p, k] on."""
    n = weights.shape[1]
    for p in range(inputs.shape[0]):
        for k in range(inputs.shape[1]):
            part = rows[inputs[p, k], neurons[p, k] : neurons[p, k] + n]
            for c in range(n):
                part[c] = weights[k, c]


@compiled
def _gather(rows, inputs, neurons, weights):
    """Add up, place after place, what `_spread` has written."""
    n = weights.shape[1]
    for p in range(inputs.shape[0]):
        for k in range(inputs.shape[1]):
            part = rows[inputs[p, k], neurons[p, k] : neurons[p, k] + n]
            for c in range(n):
                weights[k, c] += part[c]


def pack(model: SpikingNetwork) -> tuple[np.ndarray, ...]:
    """Lay the parameters out: shape, surrogates' constants, parameters, lows, weights by row."""
    shape, constants = _places(model)
    last = shape[-1]
    params = aligned(last[BLOCK] + last[N_IN] * last[BAND] + 3 * last[WIDTH])  # it doesn't adapt
    matrices, lows = aligned(last[NEXT]), np.empty(0, np.int64)
    params[:] = matrices[:] = 0
    for i, ((fc, lif), layer) in enumerate(zip(model.layers, shape, strict=True)):
        weight, bias, n = fc.weight.detach().numpy(), fc.bias.detach().numpy(), layer[N_OUT]
        rows, neurons = kernels.weights_of(layer, params), kernels.neurons_of(layer, params)
        if isinstance(fc, ChannelConv1d):
            _, lows, inputs, columns = _bands(*fc.shape)
            _spread(np.ascontiguousarray(weight.T), inputs, columns, rows)
            bias = np.tile(bias, len(inputs))
        else:
            rows[:, :n] = weight.T
        # padding: no current, no decay, threshold 1, hence no spike
        neurons[0, :n] = bias
        neurons[1, :n] = lif.beta.detach().clamp(0, 1).numpy()
        neurons[2] = 1
        neurons[2, :n] = lif.threshold.detach().numpy()
        if adaptation := model.adaptation(i):
            neurons[3, :n] = adaptation.left.numpy()
            neurons[4, :n] = adaptation.from_mem.detach().clamp(min=0).numpy()
            neurons[5, :n] = adaptation.from_spk.detach().clamp(min=0).numpy()
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
        name, slope = lif.spike_grad.surrogate, lif.spike_grad.slope
        constants.append((np.pi / 2 * slope if name == "atan" else slope, slope / 2))
        learn = lif.beta.requires_grad or lif.threshold.requires_grad
        kind = READOUT if model.is_readout(lif) else KINDS[name]
        adapts, at = model.adaptation(i) is not None, (block_at, band, state_at, matrix_at)
        shape.append((n_in, n, width, *at, kind, learn, adapts))
        block_at += n_in * band + (6 if adapts else 3) * width
        state_at += width
    return np.array(shape, np.int64), np.array(constants, np.float32)


def set_gradients(model: SpikingNetwork, shape: np.ndarray, total: np.ndarray) -> None:
    """Give the model's parameters their gradients, from where `pack` has the parameters."""
    for i, ((fc, lif), layer) in enumerate(zip(model.layers, shape, strict=True)):
        d = kernels.weights_of(layer, total)
        d_bias, d_beta, d_theta, *d_more = kernels.neurons_of(layer, total)[:, : layer[N_OUT]]
        if isinstance(fc, ChannelConv1d):  # what a weight does at all places
            by_input = np.zeros(fc.weight.shape[::-1], np.float32)
            _gather(d, *_bands(*fc.shape)[2:], by_input)
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
        if adaptation := model.adaptation(i):
            weights = adaptation.from_mem, adaptation.from_spk
            for weight, d_fed in zip(weights, d_more[1:], strict=True):  # the clamp to 0 as above
                weight.grad = torch.from_numpy(d_fed) * (weight.detach() >= 0)
