"""The compiled loops of the fused engine: one utterance through all layers, and back.

A layer reads the list of the utterance's events, or of those that the layer before wrote, once for
every delay: ``units[start[t]:start[t + 1]]`` are the units active at step t.
"""

import numpy as np

from shd_helpers.compiled import compiled

BACK, ROWS = 4, 20  # steps whose products are taken together, with so many rows at a time
LANES = 16  # rows are padded to whole vectors of float32, and begin at a cache line
# READOUT: a membrane that never spikes
FAST_SIGMOID, ATAN, SIGMOID, READOUT = range(4)
# Columns of `shape`, one row a layer. Its parameters lie in one long array: for every input a row
# of weights, then biases, betas and thresholds, and with ADAPTS what `layer_forward` reads besides.
# Gradients lie the same way. Where an input feeds few neurons, in the first layer, a row has these
# alone, BAND of them; `lows` has the first.
N_IN, N_OUT, WIDTH, BLOCK, BAND, STATE, NEXT, SURROGATE, LEARN, ADAPTS = range(10)
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
def delayed(at, units_in, n_units, delays, start, units):
    """List the events units_in[at[t]:at[t + 1]] of the steps t once for every delay.

    The copy of unit u that is late by delays[k] is the input u + k n_units.
    """
    n_steps, found = len(start) - 1, 0
    if len(delays) == 1 and delays[0] == 0:  # a copy, which takes a fifth of the time below
        for t in range(n_steps + 1):
            start[t] = at[t]
        for i in range(at[n_steps]):
            units[i] = units_in[i]
        return
    for t in range(n_steps):
        start[t] = found
        for k in range(len(delays)):
            s = t - delays[k]
            if s >= 0:
                for i in range(at[s], at[s + 1]):
                    units[found] = units_in[i] + k * n_units
                    found += 1
    start[n_steps] = found


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


@compiled
def add_rows(rows, index, first, last, out, r):
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
def add_part(row, out):
    """Let out = out + row; both are short."""
    for j in range(len(out)):
        out[j] += row[j]


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
    """Return the rows of a layer's neurons, or their gradients: biases, betas and thresholds.

    With ADAPTS three more: what is left of the adaptation, and what membrane and spikes add to it.
    """
    n_rows = 6 if layer[ADAPTS] else 3
    return matrix(flat, layer[BLOCK] + layer[N_IN] * layer[BAND], n_rows, layer[WIDTH])


@compiled
def layer_forward(layer, params, lows, start, units, mem, flags, start_out, units_out):
    """Run one layer: the events units[start[t]:start[t + 1]] of step t in, its own events out.

    mem[t + 1] becomes the membrane of step t; mem[0] is the resting potential before the first.
    With ADAPTS every current loses what is left of the membranes and spikes before.
    """
    weights, neurons = weights_of(layer, params), neurons_of(layer, params)
    bias, beta, theta = neurons[0], neurons[1], neurons[2]
    n_steps, n, found = len(start) - 1, mem.shape[1], 0
    adapts, words = layer[ADAPTS], flags.view(np.uint64)
    mem[0] = zero
    adaptation = np.zeros(n if adapts else 0, np.float32)
    for t in range(n_steps):
        for j in range(n):  # numba's assignment of slices is many times slower
            mem[t + 1, j] = bias[j]
        if layer[BAND] < n:
            for u in units[start[t] : start[t + 1]]:
                add_part(weights[u], mem[t + 1, lows[u] : lows[u] + layer[BAND]])
        else:
            add_rows(weights, units, start[t], start[t + 1], mem, t + 1)
        if adapts:
            for j in range(n):
                mem[t + 1, j] -= adaptation[j]
        for j in range(n):
            reset = theta[j] if mem[t, j] - theta[j] > zero else zero
            mem[t + 1, j] = (beta[j] * mem[t, j] + mem[t + 1, j]) - reset
            flags[j] = mem[t + 1, j] - theta[j] > zero
        if adapts:
            left, of_mem, of_spk = neurons[3], neurons[4], neurons[5]
            for j in range(n):
                fed = of_mem[j] * mem[t + 1, j] + of_spk[j] * np.float32(flags[j])
                adaptation[j] = left[j] * adaptation[j] + (one - left[j]) * fed
        start_out[t] = found
        for word in range(n // 8):
            if words[word]:  # few neurons spike: most groups of eight are passed over at once
                for j in range(8 * word, 8 * word + 8):
                    units_out[found] = j
                    found += flags[j]
    start_out[n_steps] = found


@compiled
def step_back(kind, constants, mem, later, theta, beta, grad):
    """Let mem = grad surrogate'(mem - theta) + beta later, rounded as snntorch does."""
    n, k, half = len(mem), constants[0], constants[1]
    if kind == FAST_SIGMOID:
        for j in range(n):
            d = k * abs(mem[j] - theta[j]) + one
            mem[j] = grad[j] / (d * d) + beta[j] * later[j]
    elif kind == ATAN:
        for j in range(n):
            d = k * (mem[j] - theta[j])
            mem[j] = (one / (d * d + one) * half) * grad[j] + beta[j] * later[j]
    elif kind == READOUT:
        for j in range(n):
            mem[j] = grad[j] + beta[j] * later[j]
    else:
        for j in range(n):
            # even: snntorch's exp(-k x) is NaN (inf / inf) at x < -89 / k, where many membranes are
            e = exp(max(-abs(k * (mem[j] - theta[j])), np.float32(-87)))
            d = e + one
            mem[j] = grad[j] * k * e / (d * d) + beta[j] * later[j]


@compiled
def layer_backward(layer, constants, neurons, mem, last, g_next, n_next, w, d):
    """Turn the membranes mem[t] into the gradients of the currents, in place.

    g[t] = dL/dspk[t] surrogate'(mem[t] - theta) + beta g[t + 1], for snntorch detaches the reset.
    dL/dspk[t] is g_next[t] w, through the next layer's weights, or `last` for the output layer.
    With LEARN, d gets the gradients of beta and threshold: what is subtracted at a reset is the
    threshold, and only the moment of the reset is detached. With ADAPTS the gradient of the
    adaptation, h[t] = left h[t + 1] - g[t + 1], goes on to the membrane and the spike that have
    fed it.
    """
    n_steps, adapts, beta, theta = len(mem) - 2, layer[ADAPTS], neurons[1], neurons[2]
    errors, grads = np.zeros((BACK, len(w)), np.float32), np.empty((BACK, len(beta)), np.float32)
    h, by_mem = np.zeros_like(beta), np.zeros_like(beta)
    mem[n_steps + 1] = zero
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
        grad = grads[row] if n_next else last
        if adapts:
            left, of_mem, of_spk = neurons[3], neurons[4], neurons[5]
            for j in range(len(h)):
                h[j] = left[j] * h[j] - mem[t + 1, j]
                fed = (one - left[j]) * h[j]
                d[4, j] += fed * mem[t, j]
                d[5, j] += fed if mem[t, j] - theta[j] > zero else zero
                by_mem[j] = fed * of_mem[j]
                grad[j] += fed * of_spk[j]
        step_back(layer[SURROGATE], constants, mem[t], mem[t + 1], theta, beta, grad)
        if adapts:
            for j in range(len(h)):
                mem[t, j] += by_mem[j]
                d[2, j] += by_mem[j]  # for below: the threshold has no part in it
        if layer[LEARN]:
            for j in range(len(beta)):
                g, before = mem[t, j], mem[t - 1, j]
                d[1, j] += g * before
                d[2, j] -= g - beta[j] * mem[t + 1, j]
                d[2, j] -= g if before - theta[j] > zero else zero


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
    shape, constants, params, lows, matrices, state, n_run, start, units, last, begin, rows, grads,
):  # fmt: skip
    """Add the gradients of one utterance of `n_run` steps, from the last layer to the first."""
    n_layers, n_steps, steps = len(shape), start.shape[1] - 1, np.arange(n_run + 2)
    for i in range(n_layers - 1, -1, -1):
        n_in, n_next, w = shape[i, N_IN], 0, matrices[:0].reshape(0, 0)
        mem = g_next = membranes(shape, i, n_steps, state)[: n_run + 2]
        if i + 1 < n_layers:
            g_next, n_next = membranes(shape, i + 1, n_steps, state), shape[i + 1, N_OUT]
            w = matrix(matrices, shape[i, NEXT], (n_next + 4) // 5 * 5, shape[i, WIDTH])
        neurons, d = neurons_of(shape[i], params), neurons_of(shape[i], grads)
        layer_backward(shape[i], constants[i], neurons, mem, last, g_next, n_next, w, d)
        by_unit(start[i, : n_run + 1], units[i], n_in, begin, rows)
        d_weights, is_banded = weights_of(shape[i], grads), shape[i, BAND] < shape[i, WIDTH]
        for u in range(n_in):
            if is_banded:
                for t in rows[begin[u] : begin[u + 1]]:
                    add_part(mem[t, lows[u] : lows[u] + shape[i, BAND]], d_weights[u])
            else:
                add_rows(mem, rows, begin[u], begin[u + 1], d_weights, u)
        add_rows(mem, steps, 1, n_run + 1, d, 0)


@compiled
def work(
    worker, n_workers, event_steps, event_units, offsets, index, labels, n_steps, n_run, delays,
    shape, constants, params, lows, matrices, states, grads, losses, scores, n_spikes,
):  # fmt: skip
    """Take every n_workers-th group of utterances through n_run steps, and back with `labels`."""
    n_layers, n_groups, batch, n_inputs = len(shape), len(grads), len(index), shape[0, N_IN]
    widest, most = max(shape[:, N_IN].max(), shape[:, WIDTH].max()), n_steps * shape[:, WIDTH].max()
    for b in range(batch):
        most = max(most, offsets[index[b] + 1] - offsets[index[b]])
    at, fired = np.empty(n_steps + 1, np.int64), np.empty(most + 8, np.int32)
    start = np.empty((n_layers, n_steps + 1), np.int32)
    units = np.empty((n_layers, len(delays) * most), np.int32)
    rows, begin = np.empty(len(delays) * most, np.int32), np.empty(widest + 2, np.int32)
    flags, last = np.empty(shape[:, WIDTH].max(), np.uint8), np.empty(widest, np.float32)
    for group in range(worker, n_groups, n_workers):
        grads[group] = zero
        for b in range(group * batch // n_groups, (group + 1) * batch // n_groups):
            first, end, n_units = offsets[index[b]], offsets[index[b] + 1], n_inputs // len(delays)
            sound = read_events(event_steps, event_units, first, end, n_units, at, fired)
            state, n = states[b if len(states) == batch else worker], n_run[b]
            for i in range(n_layers):
                late = at_once if i else delays
                delayed(at, fired, shape[i, N_IN] // len(late), late, start[i, : n + 1], units[i])
                mem, begins = membranes(shape, i, n_steps, state), start[i, : n + 1]
                layer_forward(shape[i], params, lows, begins, units[i], mem, flags, at, fired)
                n_spikes[b, i] = at[n] if sound else -1
            for k in range(at[n]):
                scores[b, fired[k]] += one
            if shape[n_layers - 1, SURROGATE] == READOUT:
                scores[b] = mem[1 : n + 1].sum(0)[: scores.shape[1]] / np.float32(n)
            if len(labels):
                losses[b] = loss(scores[b], labels[b], batch, last)
                if shape[n_layers - 1, SURROGATE] == READOUT:
                    last /= np.float32(n)
                backward(
                    shape, constants, params, lows, matrices, state, n, start, units, last, begin,
                    rows, grads[group],
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
