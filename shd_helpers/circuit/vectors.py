"""Test vectors: words as the circuit reads them, and all that it does with them, as text."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from shd_helpers.circuit.integer import IntegerNetwork, IntegerRun


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
