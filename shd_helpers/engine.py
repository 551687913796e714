"""The network's arithmetic compiled: event-driven, an utterance forward and backward in one go.

snntorch's loop passes over memory once for every operation of every step. Here a worker takes one
utterance through all steps, the loss and all steps back while its membranes stay in the cache, and
adds a row of weights only where there is an event. The numbers are snntorch's: the same
operations in float32, rounded in the same order; only sums over inputs, steps and utterances are
added up in another order than a matrix product does.

Threads are numba's: ``NUMBA_NUM_THREADS`` in the environment, or `numba.set_num_threads` by the
caller. Nothing is set here, and no bit of the result depends on their number.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numba import njit
from snntorch import Leaky
from torch import nn

from shd_helpers.model import Recording, SpikingNetwork
from shd_helpers.preprocessing import Events
from shd_helpers.surrogates import SURROGATES

LANES = 16  # rows are padded to whole vectors of float32, and begin at a cache line
GROUPS = 16  # partial sums of a gradient, so at most 16 threads work on a batch in training
FAST_SIGMOID, ATAN = SURROGATES.index("fast_sigmoid"), SURROGATES.index("atan")
# Columns of `shape`, one row a layer. Its parameters are the rows of a block in one long array:
# a row of weights for every input, then biases, betas, thresholds. Gradients lie the same way.
N_IN, N_OUT, WIDTH, BLOCK, STATE, NEXT, SURROGATE, LEARN_BETA = range(8)
zero, one = np.float32(0), np.float32(1)
# numpy's error model: Python's checks every division for 0 and thereby keeps it out of vectors.
compiled = njit(cache=True, error_model="numpy", nogil=True)


@compiled
def _add_rows(rows, index, first, last, out, r):
    """Add rows[index[first]], ..., rows[index[last - 1]] to out[r], in this order."""
    k = first
    while k + 4 <= last:  # four to a pass: out[r] is read and written less often
        a, b, c, d = index[k], index[k + 1], index[k + 2], index[k + 3]
        for j in range(out.shape[1]):
            out[r, j] = (((out[r, j] + rows[a, j]) + rows[b, j]) + rows[c, j]) + rows[d, j]
        k += 4
    while k < last:
        a = index[k]
        for j in range(out.shape[1]):
            out[r, j] += rows[a, j]
        k += 1


@compiled
def _vector_matrix(v, n, w, out):
    """Let out = v[:n] w, up to five rows of w to a pass, as in `_add_rows`."""
    c = n % 5
    if c == 0:
        c = 5
        v0, v1, v2, v3, v4 = v[0], v[1], v[2], v[3], v[4]
        for j in range(len(out)):
            s = (v0 * w[0, j] + v1 * w[1, j]) + v2 * w[2, j]
            out[j] = (s + v3 * w[3, j]) + v4 * w[4, j]
    else:
        for j in range(len(out)):
            out[j] = v[0] * w[0, j]
        for k in range(1, c):
            for j in range(len(out)):
                out[j] += v[k] * w[k, j]
    while c < n:
        v0, v1, v2, v3, v4 = v[c], v[c + 1], v[c + 2], v[c + 3], v[c + 4]
        for j in range(len(out)):
            s = ((out[j] + v0 * w[c, j]) + v1 * w[c + 1, j]) + v2 * w[c + 2, j]
            out[j] = (s + v3 * w[c + 3, j]) + v4 * w[c + 4, j]
        c += 5


@compiled
def _layer_forward(block, n_in, start, units, mem, flags, start_out, units_out):
    """Run one layer: the events units[start[t]:start[t + 1]] of step t in, its own events out.

    mem[t + 1] becomes the membrane of step t; mem[0] is the resting potential before the first.
    """
    bias, beta, theta = block[n_in], block[n_in + 1], block[n_in + 2]
    n_steps, n = len(start) - 1, mem.shape[1]
    words = flags.view(np.uint64)
    mem[0] = zero
    found = 0
    for t in range(n_steps):
        for j in range(n):  # numba's assignment of slices is many times slower
            mem[t + 1, j] = bias[j]
        _add_rows(block, units, start[t], start[t + 1], mem, t + 1)
        for j in range(n):
            before = mem[t, j]
            reset = theta[j] if before - theta[j] > zero else zero
            now = (beta[j] * before + mem[t + 1, j]) - reset
            mem[t + 1, j] = now
            flags[j] = now - theta[j] > zero
        start_out[t] = found
        for word in range(n // 8):
            if words[word]:  # few neurons spike: most groups of eight are passed over at once
                for j in range(8 * word, 8 * word + 8):
                    units_out[found] = j
                    found += flags[j]
    start_out[n_steps] = found


@compiled
def _exp(x):
    """Return exp(x) to about one unit in the last place; unlike libm's it runs in vectors."""
    n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    r = (x - n * np.float32(0.693359375)) + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)  # polynomial of Cephes' expf
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = (p * (r * r) + r) + one
    return p * np.int32((np.int32(n) + 127) << 23).view(np.float32)  # p 2^n


@compiled
def _through_surrogate(kind, k, half, mem, theta, grad):
    """Multiply `grad` by the surrogate's derivative at mem - theta, rounded as snntorch does."""
    if kind == FAST_SIGMOID:
        for j in range(len(grad)):
            d = k * abs(mem[j] - theta[j]) + one
            grad[j] = grad[j] / (d * d)
    elif kind == ATAN:
        for j in range(len(grad)):
            d = k * (mem[j] - theta[j])
            grad[j] = (one / (d * d + one) * half) * grad[j]
    else:
        for j in range(len(grad)):
            # An even function: with exp(-k x), as snntorch has it, it would be NaN (inf / inf)
            # below x = -89 / k, where inhibited membranes often are.
            e = _exp(max(-abs(k * (mem[j] - theta[j])), np.float32(-87)))
            d = e + one
            grad[j] = grad[j] * k * e / (d * d)


@compiled
def _layer_backward(kind, k, half, block, n_in, mem, last, g_next, n_next, w, learn_beta, d_beta):
    """Turn the membranes mem[t] into the gradients of the currents, in place.

    g[t] = dL/dspk[t] surrogate'(mem[t] - theta) + beta g[t + 1], for snntorch detaches the reset.
    dL/dspk[t] is g_next[t] w, through the next layer's weights, or `last` for the output layer.
    """
    beta, theta = block[n_in + 1], block[n_in + 2]
    grad = np.empty_like(beta)
    n_steps = len(mem) - 2
    mem[n_steps + 1] = zero
    for t in range(n_steps, 0, -1):
        if n_next:
            _vector_matrix(g_next[t], n_next, w, grad)
        else:
            for j in range(len(grad)):
                grad[j] = last[j]
        _through_surrogate(kind, k, half, mem[t], theta, grad)
        for j in range(len(grad)):
            mem[t, j] = grad[j] + beta[j] * mem[t + 1, j]
        if learn_beta:
            for j in range(len(grad)):
                d_beta[j] += mem[t, j] * mem[t - 1, j]


@compiled
def _by_unit(start, units, n_units, begin, rows):
    """Sort events by unit: unit u has its events in the rows[begin[u]:begin[u + 1]] of mem."""
    n_steps = len(start) - 1
    begin[: n_units + 2] = 0
    for k in range(start[n_steps]):
        begin[units[k] + 2] += 1
    for u in range(2, n_units + 2):
        begin[u] += begin[u - 1]
    for t in range(n_steps):
        for k in range(start[t], start[t + 1]):
            rows[begin[units[k] + 1]] = t + 1
            begin[units[k] + 1] += 1


@compiled
def _loss(counts, label, batch, last):
    """Return the cross-entropy of the summed spikes; `last` becomes its gradient over batch."""
    top = counts.max()
    total = 0.0
    for c in range(len(counts)):
        total += np.exp(np.float64(counts[c] - top))
    last[:] = zero
    for c in range(len(counts)):
        p = np.exp(np.float64(counts[c] - top)) / total
        last[c] = (p - (1.0 if c == label else 0.0)) / batch
    return np.log(total) + top - counts[label]


@compiled
def _block(shape, i, flat):
    """Return the parameters of layer i, or their gradients, from the long array."""
    low, rows, width = shape[i, BLOCK], shape[i, N_IN] + 3, shape[i, WIDTH]
    return flat[low : low + rows * width].reshape(rows, width)


@compiled
def _mem(shape, i, n_steps, state):
    """Return the membranes of layer i: a row before the first step, the steps, a row behind."""
    low, rows, width = shape[i, STATE] * (n_steps + 2), n_steps + 2, shape[i, WIDTH]
    return state[low : low + rows * width].reshape(rows, width)


@compiled
def _backward(shape, constants, params, matrices, state, start, units, last, begin, rows, grads):
    """Add the gradients of one utterance to `grads`, from the last layer to the first."""
    n_layers, n_steps = len(shape), start.shape[1] - 1
    steps = np.arange(n_steps + 2)
    for i in range(n_layers - 1, -1, -1):
        n_in, width, n_next, w = shape[i, N_IN], shape[i, WIDTH], 0, matrices[:0].reshape(0, 0)
        mem = g_next = _mem(shape, i, n_steps, state)
        if i + 1 < n_layers:
            g_next, n_next = _mem(shape, i + 1, n_steps, state), shape[i + 1, N_OUT]
            w = matrices[shape[i, NEXT] : shape[i, NEXT] + n_next * width].reshape(n_next, width)
        d = _block(shape, i, grads)
        _layer_backward(
            shape[i, SURROGATE], constants[i, 0], constants[i, 1], _block(shape, i, params), n_in,
            mem, last, g_next, n_next, w, shape[i, LEARN_BETA], d[n_in + 1],
        )  # fmt: skip
        _by_unit(start[i], units[i], n_in, begin, rows)
        for u in range(n_in):
            _add_rows(mem, rows, begin[u], begin[u + 1], d, u)
        _add_rows(mem, steps, 1, n_steps + 1, d, n_in)


@compiled
def _work(
    worker, n_workers, event_steps, event_units, offsets, index, labels, n_steps,
    shape, constants, params, matrices, states, grads, losses, counts, n_spikes,
):  # fmt: skip
    """Take every n_workers-th group of utterances through the network, and back with `labels`."""
    n_layers, n_groups, batch = len(shape), len(grads), len(index)
    widest = max(shape[0, N_IN], shape[:, WIDTH].max())
    start = np.empty((n_layers + 1, n_steps + 1), np.int32)
    units = np.empty((n_layers + 1, n_steps * widest + 8), np.int32)
    rows, begin = np.empty(n_steps * widest, np.int32), np.empty(widest + 2, np.int32)
    flags, last = np.empty(widest + 8, np.uint8), np.empty(widest, np.float32)
    for group in range(worker, n_groups, n_workers):
        grads[group] = zero
        for b in range(group * batch // n_groups, (group + 1) * batch // n_groups):
            first, end = offsets[index[b]], offsets[index[b] + 1]
            e = first
            for t in range(n_steps):
                start[0, t] = e - first
                while e < end and event_steps[e] == t and event_units[e] < shape[0, N_IN]:
                    units[0, e - first] = event_units[e]
                    e += 1
            start[0, n_steps] = e - first
            state = states[b if len(states) == batch else worker]
            for i in range(n_layers):
                _layer_forward(
                    _block(shape, i, params), shape[i, N_IN], start[i], units[i],
                    _mem(shape, i, n_steps, state), flags[: shape[i, WIDTH]],
                    start[i + 1], units[i + 1],
                )  # fmt: skip
                n_spikes[b, i] = start[i + 1, n_steps] if e == end else -1
            for k in range(start[n_layers, n_steps]):
                counts[b, units[n_layers, k]] += one
            if len(labels):
                losses[b] = _loss(counts[b], labels[b], batch, last)
                _backward(
                    shape, constants, params, matrices, state, start, units, last, begin, rows,
                    grads[group],
                )  # fmt: skip


def _aligned(*shape: int) -> np.ndarray:
    """Return float32 memory that begins at a cache line; a vector across two costs twice."""
    size = int(np.prod(shape))
    memory = np.empty(size + LANES, np.float32)
    first = -memory.ctypes.data % (4 * LANES) // 4
    return memory[first : first + size].reshape(shape)


def _pack(model: SpikingNetwork) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Lay the parameters out for `_run`: shape, surrogates' constants, blocks, weights by row."""
    shape, constants, blocks, matrices = [], [], [], []
    block_at = state_at = matrix_at = 0
    for i, (fc, lif) in enumerate(model.layers):
        n, n_in = fc.weight.shape
        width = -(-n // LANES) * LANES
        weight = fc.weight.detach().numpy()
        # padding: no current, no decay, threshold 1, hence no spike
        block = np.zeros((n_in + 3, width), np.float32)
        block[:n_in, :n] = weight.T
        block[n_in, :n] = fc.bias.detach().numpy()
        block[n_in + 1, :n] = lif.beta.detach().clamp(0, 1).numpy()
        block[n_in + 2] = 1
        block[n_in + 2, :n] = lif.threshold.numpy()
        blocks.append(block.ravel())
        if i:  # the way back through the weights needs them by row
            matrix = np.zeros((n, shape[-1][WIDTH]), np.float32)
            matrix[:, :n_in] = weight
            matrices.append(matrix.ravel())
            matrix_at += matrix.size
        name, slope = lif.spike_grad.surrogate, lif.spike_grad.slope
        constants.append((np.pi / 2 * slope if name == "atan" else slope, slope / 2))
        kind, learn = SURROGATES.index(name), lif.beta.requires_grad
        shape.append((n_in, n, width, block_at, state_at, matrix_at, kind, learn))
        block_at, state_at = block_at + block.size, state_at + width
    parts = []
    for arrays in (blocks, matrices):
        parts.append(_aligned(sum(map(len, arrays))))
        np.concatenate([*arrays, np.empty(0, np.float32)], out=parts[-1])
    return np.array(shape, np.int64), np.array(constants, np.float32), *parts


def why_not(model: SpikingNetwork) -> str | None:
    """Say what in a model this engine can't compute.

    Parameters
    ----------
    model : SpikingNetwork
        Any network; what it may have beyond the usual is per-neuron, learned or unequal betas,
        other fixed thresholds, a surrogate and slope of its own in each layer.

    Returns
    -------
    str or None
        The first reason found, None if there is none.
    """
    if type(model).forward is not SpikingNetwork.forward:
        return "its forward is not SpikingNetwork's"
    for i, (fc, lif) in enumerate(model.layers, start=1):
        state = [fc.weight, fc.bias, lif.beta, lif.threshold]
        if type(fc) is not nn.Linear or not isinstance(fc.weight, nn.Parameter) or fc.bias is None:
            return f"fc{i} is not a plain Linear layer with biases"
        if type(lif) is not Leaky:
            return f"lif{i} is {type(lif).__name__}, not Leaky"
        if any(module._forward_hooks or module._forward_pre_hooks for module in (fc, lif)):
            return f"layer {i} has forward hooks"
        if any(tensor.device.type != "cpu" for tensor in state):
            return f"layer {i} is not on the CPU"
        if any(tensor.dtype != torch.float32 and tensor.dim() for tensor in state):
            return f"layer {i} is not in float32"
        if any(tensor.shape not in {(), (1,), (fc.out_features,)} for tensor in state[2:]):
            return f"the beta or threshold of lif{i} is neither one number nor one per neuron"
        # what Leaky does is settled when it is made; its attribute reset_mechanism may say other
        if lif.state_function.__func__ is not Leaky._base_sub or not lif.reset_delay:
            return f"the reset of lif{i} is not a delayed subtraction"
        if lif.inhibition or lif.state_quant or lif.init_hidden:
            return f"lif{i} has inhibition, quantised states or hidden states"
        if lif.threshold.requires_grad:
            return f"the threshold of lif{i} is learned"
        if lif.graded_spikes_factor.requires_grad or (lif.graded_spikes_factor != 1).any():
            return f"the spikes of lif{i} are graded"
        if getattr(lif.spike_grad, "surrogate", None) not in SURROGATES:
            return f"the surrogate of lif{i} is not one of {', '.join(SURROGATES)}"
    return None


def _in_threads(work: Callable[[int], None], n_workers: int) -> None:
    """Call work(0), ..., work(n_workers - 1), each in a thread; the first in the caller's."""
    with ThreadPoolExecutor(max(1, n_workers - 1)) as pool:  # starts threads only when needed
        others = [pool.submit(work, worker) for worker in range(1, n_workers)]
        work(0)
    for other in others:
        other.result()


def _call(model, events, index, train=False, keep=False):
    reason = why_not(model)
    if reason:
        raise ValueError(f"the fused engine can't compute this network: {reason}")
    index = np.asarray(index, dtype=np.int64)
    shape, constants, params, matrices = _pack(model)
    if events.n_units != shape[0, N_IN]:
        raise ValueError(f"events of {events.n_units} units for {shape[0, N_IN]} inputs")
    if len(index) and not 0 <= index.min() <= index.max() < len(events):
        raise IndexError(f"index {index.min()}..{index.max()}: there are {len(events)} utterances")
    batch, n_classes = len(index), shape[-1, N_OUT]
    labels = events.labels[index] if train else np.empty(0, np.int64)
    if train and not (len(labels) and 0 <= labels.min() <= labels.max() < n_classes):
        raise ValueError(f"training needs utterances and labels of 0..{n_classes - 1}")
    n_groups = min(GROUPS, -(-batch // 4)) if train else batch
    n_workers = max(1, min(n_groups, torch.get_num_threads()))
    n_states = (shape[-1, STATE] + shape[-1, WIDTH]) * (events.n_steps + 2)
    states = _aligned(batch if keep else n_workers, n_states)
    n_grads = params.size if train else 0
    grads = _aligned(n_groups, n_grads)
    losses, counts = np.zeros(batch), np.zeros((batch, n_classes), np.float32)
    n_spikes = np.empty((batch, len(shape)), np.int64)

    def work(worker):
        _work(
            worker, n_workers, events.steps, events.units, events.offsets, index, labels,
            events.n_steps, shape, constants, params, matrices, states, grads, losses, counts,
            n_spikes,
        )  # fmt: skip

    _in_threads(work, n_workers)
    if (n_spikes < 0).any():
        raise ValueError("events are out of order or outside of the grid of steps and units")
    return shape, counts, n_spikes, states, losses, grads


def step(
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
        Mean over the batch of the cross-entropy of the softmax over the summed output spikes.
    counts : Tensor
        Output spikes summed over the steps, shape (batch, classes).

    Raises
    ------
    ValueError
        If the model is beyond this engine (see `why_not`), or the events don't fit it.
    IndexError
        If the index points at no utterance.
    """
    shape, counts, _, _, losses, grads = _call(model, events, index, train=True)
    total = grads.sum(axis=0)  # numpy adds row after row
    for (fc, lif), layer in zip(model.layers, shape, strict=True):
        n_in, n, width, low = layer[:4]
        d = total[low : low + (n_in + 3) * width].reshape(-1, width)[:, :n]
        if fc.weight.requires_grad:
            fc.weight.grad = torch.from_numpy(np.ascontiguousarray(d[:n_in].T))
        if fc.bias.requires_grad:
            fc.bias.grad = torch.from_numpy(d[n_in].copy())
        if lif.beta.requires_grad:  # the clamp to 0..1 lets no gradient through from outside
            beta = lif.beta.detach()
            inside = (beta >= 0) & (beta <= 1)
            lif.beta.grad = torch.from_numpy(d[n_in + 1]).sum_to_size(beta.shape) * inside
    return float(losses.mean()), torch.from_numpy(counts)


def count_spikes(
    model: SpikingNetwork, events: Events, index: Sequence[int] | np.ndarray
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run a batch forward and count.

    Parameters
    ----------
    model, events, index
        As in `step`, which also says what is raised; labels are not read.

    Returns
    -------
    counts : Tensor
        Output spikes summed over the steps, shape (batch, classes), float32.
    n_spikes : Tensor
        Spikes of all steps and neurons, shape (batch, layers), int64; the output layer is last.
    """
    _, counts, n_spikes, *_ = _call(model, events, index)
    return torch.from_numpy(counts), torch.from_numpy(n_spikes)


def record(model: SpikingNetwork, events: Events, index: Sequence[int] | np.ndarray) -> Recording:
    """Run a batch forward and keep the states: ``model(x, record_hidden=True)``.

    Parameters
    ----------
    model, events, index
        As in `count_spikes`.

    Returns
    -------
    Recording
        Spikes and membranes of all layers, (steps, batch, neurons) each.
    """
    shape, _, _, states, *_ = _call(model, events, index, keep=True)
    rows, spks, mems = events.n_steps + 2, [], []
    for (_, lif), layer in zip(model.layers, shape, strict=True):
        n, width, low = layer[N_OUT], layer[WIDTH], layer[STATE] * rows
        state = states[:, low : low + width * rows].reshape(-1, rows, width)
        mems.append(torch.from_numpy(state[:, 1:-1, :n]).transpose(0, 1).contiguous())
        spks.append((mems[-1] - lif.threshold > 0).float())
    return Recording(spks[-1], mems[-1], tuple(spks[:-1]), tuple(mems[:-1]))
