"""Lists of events, compiled: ``units[start[t]:start[t + 1]]`` are the units active at step t.

numba's cache of `engines.kernels` doesn't see a change of this file: save that one, too.
"""

from numba import njit

# numpy's error model: Python's checks every division for 0 and thereby keeps it out of vectors.
compiled = njit(cache=True, error_model="numpy", nogil=True)


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
def delayed(at, heard, n_units, delays, start, units):
    """List the events heard[at[t]:at[t + 1]] of the steps t once for every delay.

    The copy of unit u that is late by delays[k] is the input u + k n_units.
    """
    n_steps, found = len(start) - 1, 0
    if len(delays) == 1 and delays[0] == 0:  # a copy, which takes a fifth of the time below
        for t in range(n_steps + 1):
            start[t] = at[t]
        for i in range(at[n_steps]):
            units[i] = heard[i]
        return
    for t in range(n_steps):
        start[t] = found
        for k in range(len(delays)):
            s = t - delays[k]
            if s >= 0:
                for i in range(at[s], at[s + 1]):
                    units[found] = heard[i] + k * n_units
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
