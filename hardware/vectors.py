"""Test vectors: words as the circuit reads them, and all that it does with them, as text."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from hardware.integer import IntegerNetwork, IntegerRun
from shd_helpers.source.shd_file import N_CHANNELS


class Word(NamedTuple):
    """An utterance's raw events and its class."""

    milliseconds: np.ndarray  # (events,) int64, ascending
    units: np.ndarray  # (events,) int64, 0..699
    label: int


def events_text(words: Sequence[Word]) -> str:
    """Return `vectors.txt`: a line an event, an empty line after each word."""
    pairs = [np.stack(word[:2], 1).tolist() for word in words]
    return "".join("".join(f"{ms} {unit}\n" for ms, unit in pair) + "\n" for pair in pairs)


def counts_text(runs: Sequence[IntegerRun]) -> str:
    """Return `expected.txt`: a line a word, its class and the spike counts of all classes."""
    return "".join(f"{run.answer} {' '.join(map(str, run.counts))}\n" for run in runs)


def edge_words(network: IntegerNetwork, words: Sequence[Word]) -> dict[str, Word]:
    """Return words for rules that recordings don't meet, by what they have.

    Parameters
    ----------
    network : IntegerNetwork
        The circuit.
    words : sequence of Word
        Recordings: the one of fewest events is changed, and one is broken off where two classes
        have equally many spikes, more than none. Where there is no such word, it is left out.
    """
    grid, shortest = network.grid, min(words, key=lambda word: len(word.units))
    end_ms = int(grid.n_steps * grid.step_ms)
    cells = np.arange(N_CHANNELS) - grid.first_unit
    outside = np.flatnonzero((cells < 0) | (cells >= grid.n_units * grid.pool_units))
    all_units = np.arange(N_CHANNELS)
    ms = np.concatenate(
        [np.zeros_like(outside), shortest.milliseconds, np.full(N_CHANNELS, end_ms)]
    )
    found = {
        "no event": (ms[:0], ms[:0]),
        "the shortest word, each event twice": (
            np.repeat(shortest.milliseconds, 2),
            np.repeat(shortest.units, 2),
        ),
        "the same with events outside of units and window": (
            ms,
            np.concatenate([outside, shortest.units, all_units]),
        ),
        "every unit in the first 9 ms": (np.repeat(range(9), N_CHANNELS), np.tile(all_units, 9)),
    }
    ends = range(50, end_ms, 10)
    parts = ((w[0][w[0] < end], w[1][w[0] < end]) for w in words for end in ends)
    for part in parts:
        counts = np.sort(network.run(*part).counts)
        if counts[-1] == counts[-2] > 0:
            found |= {"a tie between classes": part}
            break
    return {name: Word(ms, units, 0) for name, (ms, units) in found.items()}


def trace_text(
    network: IntegerNetwork, words: Sequence[Word], runs: Sequence[IntegerRun], n_membranes: int
) -> str:
    """Return what `reference.c` prints with ``-DTRACE=n_membranes``.

    Parameters
    ----------
    network : IntegerNetwork
        The circuit.
    words : sequence of Word
        What it hears.
    runs : sequence of IntegerRun
        What it did with each word.
    n_membranes : int
        Words whose membranes are printed: of those before.
    """
    lines = []
    for number, (word, run) in enumerate(zip(words, runs, strict=True)):
        arriving = _arriving(network, word)
        for step in range(network.grid.n_steps):
            rows = [("i", arriving[step])]
            rows += [(k, np.flatnonzero(spk[step])) for k, spk in zip("ho", run.spk, strict=True)]
            if number < n_membranes:
                rows += [(k, mem[step]) for k, mem in zip("uv", run.mem, strict=True)]
            lines += [" ".join(map(str, (kind, step, *row.tolist()))) for kind, row in rows]
        lines.append(counts_text([run]).rstrip())
    return "\n".join(lines) + "\n"


def _arriving(network: IntegerNetwork, word: Word) -> list[np.ndarray]:
    """Return the inputs that spike at each step, a delay after the other."""
    steps, units = network.pool(word.milliseconds, word.units)
    n_steps, n_units = network.grid.n_steps, network.grid.n_units
    late = np.concatenate([steps + delay for delay in network.delays])
    inputs = np.concatenate([units + k * n_units for k in range(len(network.delays))])
    order = np.lexsort((inputs, late))
    late, inputs = late[order], inputs[order]
    return np.split(inputs, np.searchsorted(late, range(1, n_steps + 1)))[:n_steps]
