"""The compiled loops of the integer model, in int64."""

import numpy as np

from shd_helpers.compiled import compiled

FACTOR_BITS = 8  # of a leak by product: beta is about leak_factor / 2^8


@compiled
def run_pool(bins, units, n_steps, n_units, pool_steps, pool_units, threshold):
    """Cut and pool as a circuit does: a bit a unit, a counter a block, no list of cells."""
    is_active = np.zeros(n_units * pool_units, np.bool_)  # in this bin
    counters = np.zeros(n_units, np.int64)  # of active cells in this step
    steps_out, units_out = np.empty(len(bins), np.int64), np.empty(len(bins), np.int64)
    found, now, step = 0, 0, 0
    for e in range(len(bins) + 1):
        later = bins[e] if e < len(bins) else n_steps * pool_steps
        if later != now:
            is_active[:] = False
        if later // pool_steps != step:
            for u in range(n_units):
                if counters[u] >= threshold and step < n_steps:
                    steps_out[found], units_out[found] = step, u
                    found += 1
                counters[u] = 0
        now, step = later, later // pool_steps
        if e < len(bins) and 0 <= units[e] < len(is_active) and not is_active[units[e]]:
            is_active[units[e]] = True
            counters[units[e] // pool_units] += 1
    return steps_out[:found], units_out[:found]


@compiled
def run_layer(integers, start, inputs, mem):
    """Run a layer; mem[t + 1] becomes the membrane of step t. Return its spikes by step."""
    rows, bias, threshold, rule = integers
    high, leak_shift, leak_factor = rule
    n_steps, n = len(start) - 1, len(bias)
    start_out, spikes = np.empty(n_steps + 1, np.int32), np.empty(n_steps * n, np.int32)
    found = 0
    for t in range(n_steps):
        start_out[t] = found
        for j in range(n):
            u = mem[t, j]
            leaked = u - (u >> leak_shift) if leak_shift else (u * leak_factor) >> FACTOR_BITS
            mem[t + 1, j] = leaked + bias[j] - (threshold[j] if u > threshold[j] else 0)
        for k in range(start[t], start[t + 1]):
            row = rows[inputs[k]]
            for j in range(n):
                mem[t + 1, j] += row[j]
        for j in range(n):
            mem[t + 1, j] = min(max(mem[t + 1, j], -high - 1), high)
            if mem[t + 1, j] > threshold[j]:
                spikes[found] = j
                found += 1
    start_out[n_steps] = found
    return start_out, spikes[:found]
