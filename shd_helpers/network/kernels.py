"""The compiled loops of the fused engine: one utterance through all layers, and back.

A layer reads the list of the utterance's events, or of those that the layer before wrote, once for
every delay: ``units[start[t]:start[t + 1]]`` are the units active at step t. The copy of unit u
that is late by ``delays[k]`` is the input u + k n_units.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

from shd_helpers.compiled import compiled

BACK, ROWS = 4, 20  # steps whose products are taken together, with so many rows at a time
LANES = 16  # rows are padded to whole vectors of float32, and begin at a cache line
# READOUT: a membrane that never spikes
FAST_SIGMOID, ATAN, SIGMOID, READOUT = range(4)
# Columns of `shape`, one row a layer. Its parameters lie in one long array: for every input a row
# of weights, then biases, betas and thresholds. Gradients lie the same way. Where an input feeds
# few neurons, in the first layer, a row has these alone, BAND of them; `lows` has the first.
N_IN, N_OUT, WIDTH, BLOCK, BAND, STATE, NEXT, SURROGATE, LEARN = range(9)
zero, one, at_once = np.float32(0), np.float32(1), np.zeros(1, np.int64)


@compiled
def read_events(event_steps, event_units, first, end, n_units, start, units):
    """List an utterance's events by step; tell whether all are sound."""
    n_steps, e = len(start) - 1, first
    for t in range(n_steps):
        start[t], before = e - first, 0
        while e < end and event_steps[e] == t and before <= event_units[e] < n_units:
            before = units[e - first] = event_units[e]
            e += 1
    start[n_steps] = e - first
    return e == end


@compiled
def by_unit(start, units, n_units, begin, rows):
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


def _adder(n_vectors: int) -> Callable[..., Any]:
    """Return what adds LANES n_vectors columns of rows to one row, with the sums in registers.

    With n columns it is ``for k in range(first, last): out[r, at : at + n] += rows[index[k], low :
    low + n]``. As a loop in Python a sum goes to memory and back for every few rows, which takes
    twice the time: so it is written in LLVM's language.
    """

    @intrinsic
    def add(_, rows, index, first, last, low, out, r, at):
        place = types.intp
        signature = types.void(rows, index, place, place, place, out, place, place)

        def write(context, builder, signature, given):
            rows, index, out = (
                context.make_array(signature.args[i])(context, builder, given[i]) for i in (0, 1, 5)
            )
            first, last, low, r, at = (given[i] for i in (2, 3, 4, 6, 7))
            vector = ir.VectorType(ir.FloatType(), LANES)

            def vectors(array, row, column):
                begin = builder.mul(row, builder.extract_value(array.strides, 0))
                begin = builder.add(begin, builder.mul(column, low.type(4)))
                begin = cgutils.pointer_add(builder, array.data, begin)
                begin = builder.bitcast(begin, vector.as_pointer())
                return [builder.gep(begin, [low.type(i)]) for i in range(n_vectors)]

            sums = [cgutils.alloca_once(builder, vector) for _ in range(n_vectors)]
            for total, place in zip(sums, vectors(out, r, at), strict=True):
                builder.store(builder.load(place, align=4), total)
            with cgutils.for_range_slice(builder, first, last, low.type(1)) as (k, _):
                row = builder.zext(builder.load(builder.gep(index.data, [k])), low.type)
                for total, place in zip(sums, vectors(rows, row, low), strict=True):
                    added = builder.fadd(builder.load(total), builder.load(place, align=4))
                    builder.store(added, total)
            for total, place in zip(sums, vectors(out, r, at), strict=True):
                builder.store(builder.load(total), place, align=4)

        return signature, write

    return add


_add_eight, _add_four, _add_one = _adder(8), _adder(4), _adder(1)


@compiled
def add_rows(rows, index, first, last, low, out, r, at, n):
    """Add n columns, from `low` on, of rows[index[first:last]] to out[r], from `at` on, in order.

    n is whole LANES; an index is below 2^31.
    """
    j = 0 if first < last else n
    while j + 8 * LANES <= n:
        _add_eight(rows, index, first, last, low + j, out, r, at + j)
        j += 8 * LANES
    while j + 4 * LANES <= n:
        _add_four(rows, index, first, last, low + j, out, r, at + j)
        j += 4 * LANES
    while j < n:
        _add_one(rows, index, first, last, low + j, out, r, at + j)
        j += LANES


@compiled
def add_products(v, w, out, r, is_first):
    """Add v[r] w to out[r], and v[r + 1] w to out[r + 1]: two rows for each time that w is read.

    Five rows of w to a pass, as in `add_rows`; their number is divisible by 5. With `is_first`
    the first products replace what was there.
    """
    s = r + 1
    for k in range(0, len(w), 5):
        a0, a1, a2, a3, a4 = v[r, k], v[r, k + 1], v[r, k + 2], v[r, k + 3], v[r, k + 4]
        b0, b1, b2, b3, b4 = v[s, k], v[s, k + 1], v[s, k + 2], v[s, k + 3], v[s, k + 4]
        if k == 0 and is_first:
            for j in range(out.shape[1]):
                w0, w1, w2, w3, w4 = w[k, j], w[k + 1, j], w[k + 2, j], w[k + 3, j], w[k + 4, j]
                out[r, j] = (((a0 * w0 + a1 * w1) + a2 * w2) + a3 * w3) + a4 * w4
                out[s, j] = (((b0 * w0 + b1 * w1) + b2 * w2) + b3 * w3) + b4 * w4
        else:
            for j in range(out.shape[1]):
                w0, w1, w2, w3, w4 = w[k, j], w[k + 1, j], w[k + 2, j], w[k + 3, j], w[k + 4, j]
                out[r, j] = ((((out[r, j] + a0 * w0) + a1 * w1) + a2 * w2) + a3 * w3) + a4 * w4
                out[s, j] = ((((out[s, j] + b0 * w0) + b1 * w1) + b2 * w2) + b3 * w3) + b4 * w4


@compiled
def exp(x):
    """Return exp(x) to about one unit in the last place, by Cephes' expf; it runs in vectors."""
    n = np.floor(x * np.float32(1.44269504) + np.float32(0.5))
    r = (x - n * np.float32(0.693359375)) + n * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4) * r + np.float32(1.3981999507e-3)
    p = (p * r + np.float32(8.3334519073e-3)) * r + np.float32(4.1665795894e-2)
    p = (p * r + np.float32(1.6666665459e-1)) * r + np.float32(5.0000001201e-1)
    p = (p * (r * r) + r) + np.float32(1)
    return p * np.int32((np.int32(n) + 127) << 23).view(np.float32)  # p 2^n


@compiled
def matrix(flat, low, n, width):
    """Return n rows that lie in a long array from `low` on."""
    return flat[low : low + n * width].reshape(n, width)


@compiled
def weights_of(layer, flat):
    """Return a layer's weights, (inputs, BAND), or their gradients."""
    return matrix(flat, layer[BLOCK], layer[N_IN], layer[BAND])


@compiled
def neurons_of(layer, flat):
    """Return the rows of a layer's neurons, or their gradients: biases, betas and thresholds."""
    return matrix(flat, layer[BLOCK] + layer[N_IN] * layer[BAND], 3, layer[WIDTH])


@compiled
def add_events(layer, weights, lows, delays, start, units, mem):
    """Add to mem[t + 1] the rows of weights of step t's events, of those that come late, too."""
    n_steps, n_units = len(start) - 1, len(weights) // len(delays)
    is_banded, n_fours = layer[BAND] < layer[WIDTH], layer[BAND] // (4 * LANES) * (4 * LANES)
    for k in range(len(delays)):  # copy by copy, for a copy's weights are nearly in the L1 cache
        copy, late = weights[k * n_units : (k + 1) * n_units], delays[k] + 1
        for t in range(n_steps - delays[k]):
            if is_banded:
                for i in range(start[t], start[t + 1]):  # a call of `add_rows` would take as long
                    low = lows[units[i]]
                    for j in range(0, n_fours, 4 * LANES):
                        _add_four(copy, units, i, i + 1, j, mem, t + late, low + j)
                    for j in range(n_fours, layer[BAND], LANES):
                        _add_one(copy, units, i, i + 1, j, mem, t + late, low + j)
            else:
                add_rows(copy, units, start[t], start[t + 1], 0, mem, t + late, 0, layer[BAND])


@compiled
def layer_forward(layer, params, lows, delays, start, units, mem, flags, start_out, units_out):
    """Run one layer: the events units[start[t]:start[t + 1]] of step t in, its own events out.

    mem[t + 1] becomes the membrane of step t; mem[0] is the resting potential before the first.
    """
    weights, neurons = weights_of(layer, params), neurons_of(layer, params)
    n_steps, n, found = len(start) - 1, mem.shape[1], 0
    words = flags.view(np.uint64)
    mem[0] = zero
    for t in range(n_steps):
        for j in range(n):  # numba's assignment of slices is many times slower
            mem[t + 1, j] = neurons[0, j]
    add_events(layer, weights, lows, delays, start, units, mem)
    for t in range(n_steps):
        step_forward(neurons, mem, t, flags)
        start_out[t] = found
        for word in range(n // 8):
            if words[word]:  # few neurons spike: most groups of eight are passed over at once
                for j in range(8 * word, 8 * word + 8):
                    units_out[found] = j
                    found += flags[j]
    start_out[n_steps] = found


# What a step does, forward and back. Whole arrays and a row's number come in, and a loop writes one
# of them: else numba counts references to each row, or LLVM takes no vectors, which takes longer
# than the arithmetic.


@compiled
def step_forward(neurons, mem, t, flags):
    """Turn the currents mem[t + 1] into the membranes of step t; flags tell who spikes."""
    for j in range(mem.shape[1]):
        beta, theta = neurons[1, j], neurons[2, j]
        reset = theta if mem[t, j] - theta > zero else zero
        mem[t + 1, j] = (beta * mem[t, j] + mem[t + 1, j]) - reset
    for j in range(mem.shape[1]):
        flags[j] = mem[t + 1, j] - neurons[2, j] > zero


@compiled
def check_surrogate(kind):
    """Raise ValueError if `step_back` has no derivative for a number."""
    if kind != FAST_SIGMOID and kind != ATAN and kind != SIGMOID and kind != READOUT:
        raise ValueError("no surrogate has this number: see shd_helpers/network/surrogates.py")


@compiled
def step_back(kind, constants, neurons, mem, t, grads, row):
    """Let mem[t] = grad surrogate'(mem[t] - theta) + beta mem[t + 1], rounded as snntorch does.

    `check_surrogate` refuses a number that no surrogate has, once for all steps: with another
    branch, one that raises or not, every step back takes a tenth to a fifth longer.
    """
    n, k, half = mem.shape[1], constants[0], constants[1]
    if kind == FAST_SIGMOID:
        for j in range(n):
            d = k * abs(mem[t, j] - neurons[2, j]) + one
            mem[t, j] = grads[row, j] / (d * d) + neurons[1, j] * mem[t + 1, j]
    elif kind == ATAN:
        for j in range(n):
            d = k * (mem[t, j] - neurons[2, j])
            d = one / (d * d + one) * half
            mem[t, j] = d * grads[row, j] + neurons[1, j] * mem[t + 1, j]
    elif kind == READOUT:
        for j in range(n):
            mem[t, j] = grads[row, j] + neurons[1, j] * mem[t + 1, j]
    elif kind == SIGMOID:
        for j in range(n):
            # even: snntorch's exp(-k x) is NaN (inf / inf) at x < -89 / k, where many membranes are
            e = exp(max(-abs(k * (mem[t, j] - neurons[2, j])), np.float32(-87)))
            d = e + one
            mem[t, j] = grads[row, j] * k * e / (d * d) + neurons[1, j] * mem[t + 1, j]


@compiled
def learn_back(neurons, mem, t, d):
    """Add the gradients of beta and threshold in step t."""
    for j in range(mem.shape[1]):
        d[1, j] += mem[t, j] * mem[t - 1, j]
    for j in range(mem.shape[1]):
        d[2, j] -= mem[t, j] - neurons[1, j] * mem[t + 1, j]
    for j in range(mem.shape[1]):
        if_reset = mem[t, j]
        d[2, j] -= if_reset if mem[t - 1, j] - neurons[2, j] > zero else zero


@compiled
def layer_backward(layer, constants, neurons, mem, last, g_next, n_next, w, d):
    """Turn the membranes mem[t] into the gradients of the currents, in place.

    g[t] = dL/dspk[t] surrogate'(mem[t] - theta) + beta g[t + 1], for snntorch detaches the reset.
    dL/dspk[t] is g_next[t] w, through the next layer's weights, or `last` for the output layer.
    With LEARN, d gets the gradients of beta and threshold: what is subtracted at a reset is the
    threshold, and only the moment of the reset is detached.
    """
    check_surrogate(layer[SURROGATE])
    n_steps, n = len(mem) - 2, mem.shape[1]
    errors, grads = np.zeros((BACK, len(w)), np.float32), np.empty((BACK, n), np.float32)
    mem[n_steps + 1] = zero
    if not n_next:
        for r in range(BACK):
            grads[r] = last[:n]
    for t in range(n_steps, 0, -1):
        row = (n_steps - t) % BACK
        if n_next and row == 0:  # for this step and those before it
            for r in range(BACK):
                for j in range(n_next):
                    errors[r, j] = g_next[t - r, j] if t > r else zero
            for low in range(0, len(w), ROWS):  # which stay in the cache for all these steps
                for r in range(0, BACK, 2):
                    add_products(
                        errors[:, low : low + ROWS], w[low : low + ROWS], grads, r, low == 0
                    )
        step_back(layer[SURROGATE], constants, neurons, mem, t, grads, row)
        if layer[LEARN]:
            learn_back(neurons, mem, t, d)


@compiled
def loss(scores, label, batch, last):
    """Return the cross-entropy of the scores; `last` becomes its gradient over batch."""
    top, total = scores.max(), 0.0
    for c in range(len(scores)):
        total += np.exp(np.float64(scores[c] - top))
    last[:] = zero
    for c in range(len(scores)):
        p = np.exp(np.float64(scores[c] - top)) / total
        last[c] = (p - (1.0 if c == label else 0.0)) / batch
    return np.log(total) + top - scores[label]


@compiled
def membranes(shape, i, n_steps, state):
    """Return the membranes of layer i: a row before the first step, the steps, a row behind."""
    return matrix(state, shape[i, STATE] * (n_steps + 2), n_steps + 2, shape[i, WIDTH])


@compiled
def backward(
    shape, constants, params, lows, matrices, state, delays, start, units, last, begin, rows, grads,
):  # fmt: skip
    """Add the gradients of one utterance, from the last layer to the first."""
    n_layers, n_steps = len(shape), start.shape[1] - 1
    steps = np.arange(n_steps + 2, dtype=np.int32)
    for i in range(n_layers - 1, -1, -1):
        n_in, n_next, w = shape[i, N_IN], 0, matrices[:0].reshape(0, 0)
        mem = g_next = membranes(shape, i, n_steps, state)
        if i + 1 < n_layers:
            g_next, n_next = membranes(shape, i + 1, n_steps, state), shape[i + 1, N_OUT]
            w = matrix(matrices, shape[i, NEXT], (n_next + 4) // 5 * 5, shape[i, WIDTH])
        neurons, d = neurons_of(shape[i], params), neurons_of(shape[i], grads)
        layer_backward(shape[i], constants[i], neurons, mem, last, g_next, n_next, w, d)
        late = at_once if i else delays
        n_units = n_in // len(late)
        by_unit(start[i], units[i], n_units, begin, rows)
        d_weights, is_banded = weights_of(shape[i], grads), shape[i, BAND] < shape[i, WIDTH]
        for k in range(len(late)):
            copy, after = d_weights[k * n_units : (k + 1) * n_units], mem[late[k] :]
            for u in range(n_units):
                first, end = begin[u], begin[u + 1]
                while end > first and rows[end - 1] + late[k] > n_steps:
                    end -= 1  # this copy comes too late
                low = lows[u] if is_banded else 0
                add_rows(after, rows, first, end, low, copy, u, 0, shape[i, BAND])
        add_rows(mem, steps, 1, n_steps + 1, 0, d, 0, 0, shape[i, WIDTH])


@compiled
def work(
    worker, n_workers, event_steps, event_units, offsets, index, labels, n_steps, delays,
    shape, constants, params, lows, matrices, states, grads, losses, scores, n_spikes,
):  # fmt: skip
    """Take every n_workers-th group of utterances through all steps, and back with `labels`."""
    n_layers, n_groups, batch, n_inputs = len(shape), len(grads), len(index), shape[0, N_IN]
    widest, most = max(shape[:, N_IN].max(), shape[:, WIDTH].max()), n_steps * shape[:, WIDTH].max()
    for b in range(batch):
        most = max(most, offsets[index[b] + 1] - offsets[index[b]])
    # what goes into each layer, and what the last one fires
    start = np.empty((n_layers + 1, n_steps + 1), np.int32)
    units = np.empty((n_layers + 1, most + 8), np.int32)
    rows, begin = np.empty(most, np.int32), np.empty(widest + 2, np.int32)
    flags, last = np.empty(shape[:, WIDTH].max(), np.uint8), np.empty(widest, np.float32)
    for group in range(worker, n_groups, n_workers):
        grads[group] = zero
        for b in range(group * batch // n_groups, (group + 1) * batch // n_groups):
            first, end, n_units = offsets[index[b]], offsets[index[b] + 1], n_inputs // len(delays)
            sound = read_events(event_steps, event_units, first, end, n_units, start[0], units[0])
            state = states[b if len(states) == batch else worker]
            for i in range(n_layers):
                mem, late = membranes(shape, i, n_steps, state), at_once if i else delays
                layer_forward(
                    shape[i], params, lows, late, start[i], units[i], mem, flags, start[i + 1],
                    units[i + 1],
                )  # fmt: skip
                n_spikes[b, i] = start[i + 1, n_steps] if sound else -1
            for k in range(start[n_layers, n_steps]):
                scores[b, units[n_layers, k]] += one
            if shape[n_layers - 1, SURROGATE] == READOUT:
                scores[b] = mem[1 : n_steps + 1].sum(0)[: scores.shape[1]] / np.float32(n_steps)
            if len(labels):
                losses[b] = loss(scores[b], labels[b], batch, last)
                if shape[n_layers - 1, SURROGATE] == READOUT:
                    last /= np.float32(n_steps)
                backward(
                    shape, constants, params, lows, matrices, state, delays, start, units, last,
                    begin, rows, grads[group],
                )  # fmt: skip


@compiled
def spread(weights, inputs, neurons, rows):
    """Write weights, a row for each k, to where input [p, k] feeds the neurons from [p, k] on."""
    n = weights.shape[1]
    for p in range(inputs.shape[0]):
        for k in range(inputs.shape[1]):
            part = rows[inputs[p, k], neurons[p, k] : neurons[p, k] + n]
            for c in range(n):
                part[c] = weights[k, c]


@compiled
def gather(rows, inputs, neurons, weights):
    """Add up, place after place, what `spread` has written."""
    n = weights.shape[1]
    for p in range(inputs.shape[0]):
        for k in range(inputs.shape[1]):
            part = rows[inputs[p, k], neurons[p, k] : neurons[p, k] + n]
            for c in range(n):
                weights[k, c] += part[c]
