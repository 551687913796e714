"""What the circuit holds and does: bytes, operations, and the core's clock cycles."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from hardware.integer import IntegerNetwork
from hardware.sources import Word, memory_bits
from shd_helpers.events.downsample import Events
from shd_helpers.network.costs import accumulates
from shd_helpers.source.shd_file import N_CHANNELS


def memory(network: IntegerNetwork) -> pd.DataFrame:
    """Return what the circuit stores.

    Parameters
    ----------
    network : IntegerNetwork
        Of two layers.

    Returns
    -------
    DataFrame
        A row for each kind of number (index): `numbers`, `bits` of each, `bytes`. Delays are the
        events of the last steps, a bit each; pooling is a bit a cell of the blocks.
    """
    grid, bits = network.grid, memory_bits(network)
    neurons = sum(len(layer.threshold) for layer in network.layers)
    cells = grid.n_units * grid.pool_units * grid.pool_steps
    rows = {
        f"weights, layer {i}": (layer.weight.size, bits[f"weight{i}"])
        for i, layer in enumerate(network.layers, start=1)
    }
    rows |= {
        "biases": (neurons, bits["bias"]),
        "thresholds": (neurons, bits["threshold"]),
        "membranes": (neurons, network.mem_bits),
        "delays": (grid.n_units * network.delays[-1], 1),
        "pooling": (cells, 1),
        "counts": (len(network.layers[-1].threshold), grid.n_steps.bit_length()),
    }
    table = pd.DataFrame(rows, index=["numbers", "bits"]).T
    return table.assign(bytes=table.numbers * table.bits / 8)


def operations(network: IntegerNetwork, events: Events) -> pd.Series:
    """Return what an utterance takes, means over utterances.

    Parameters
    ----------
    network : IntegerNetwork
        Of two layers.
    events : Events
        Downsized utterances.

    Returns
    -------
    Series
        `input_spikes`, `hidden_spikes`, `output_spikes`; `accumulates`, the spikes times the
        neurons they go to; `effective_accumulates`, those whose weight isn't 0, hidden spikes
        taken with their neurons' mean; `neuron_updates` (neurons x steps).
    """
    _, n_spikes = network.count(events)
    n_neurons = [len(layer.threshold) for layer in network.layers]
    all_weights = [np.full(layer.weight.shape[1], len(layer.weight)) for layer in network.layers]
    every, effective = (
        accumulates(synapses, network.delays, events, n_spikes).mean()
        for synapses in (all_weights, network.synapses)
    )
    spikes = len(events.steps) / len(events), *n_spikes.mean(0)
    counted = (*spikes, every, effective, events.n_steps * sum(n_neurons))
    names = "input_spikes hidden_spikes output_spikes accumulates effective_accumulates"
    return pd.Series(counted, [*names.split(), "neuron_updates"])


def step_cycles(network: IntegerNetwork, word: Word) -> tuple[np.ndarray, np.ndarray]:
    """Return the core's clock cycles in each step of a word.

    Parameters
    ----------
    network : IntegerNetwork
        Of two layers.
    word : Word
        What it hears.

    Returns
    -------
    intake, computed : ndarray
        Both (steps,) int64: a spike takes two cycles, one if its unit is dropped; then each bin
        is closed in one, events are gathered, and all neurons computed.
    """
    grid, run = network.grid, network.run(*word[:2])
    arriving = np.diff(run.start)
    computed = grid.pool_steps + arriving + len(network.delays) + 1
    for active, spk in zip((arriving, run.spk[0].sum(1)), run.spk, strict=True):
        resets = np.concatenate([[0], spk[:-1].sum(1)])
        computed += np.where(active, spk.shape[1] * (4 + active), 3 * spk.shape[1] + resets)
    computed = np.maximum(computed, grid.pool_steps + grid.n_units)  # blocks are cleared meanwhile
    inside = word.milliseconds < grid.n_steps * int(grid.step_ms)
    at = word.milliseconds[inside] // int(grid.step_ms)
    cost = 1 + _is_used(network, word.units[inside])
    return np.bincount(at, cost, grid.n_steps).astype(np.int64), computed


def word_cycles(network: IntegerNetwork, words: Sequence[Word]) -> int:
    """Return the clock cycles of words that are sent, and whose counts are fetched, at once.

    Parameters
    ----------
    network : IntegerNetwork
        As for `step_cycles`.
    words : sequence of Word
        One after the other, after a reset of one cycle.
    """
    grid, n_classes = network.grid, len(network.layers[1].bias)
    end_ms = grid.n_steps * int(grid.step_ms)
    late = sum(int((word.milliseconds >= end_ms).sum()) for word in words)
    steps = sum(int(part.sum()) for word in words for part in step_cycles(network, word))
    return grid.n_units + steps + late + len(words) * (1 + n_classes)


def answer_cycles(network: IntegerNetwork, word: Word) -> int:
    """Return the clock cycles from `in_end`, straight after the last spike, to `out_valid`.

    Parameters
    ----------
    network : IntegerNetwork
        As for `step_cycles`.
    word : Word
        What it hears.
    """
    grid, last_ms = network.grid, int(max(word.milliseconds, default=0))
    bins = min(last_ms, grid.n_steps * grid.pool_steps)  # that are closed
    step, closed = divmod(bins, grid.pool_steps)
    closed -= step < grid.n_steps and bool(_is_used(network, word.units[-1:]).any())  # is taken in
    return 1 - closed + int(step_cycles(network, word)[1][step:].sum())


def core_line(network: IntegerNetwork, words: Sequence[Word]) -> str:
    """Return what `harness.cpp` prints on stderr of words, whose counts it fetches at once."""
    answers = [answer_cycles(network, word) for word in words]
    return (
        f"{len(words)} words, {word_cycles(network, words)} cycles; "
        f"from in_end to out_valid {min(answers)} to {max(answers)}"
    )


def worst_cycles(network: IntegerNetwork) -> int:
    """Return the clock cycles of a step in which all inputs, hidden neurons and classes spike.

    Every channel has a spike in each millisecond.

    Parameters
    ----------
    network : IntegerNetwork
        As for `step_cycles`.
    """
    grid, n_inputs = network.grid, network.layers[0].weight.shape[1]
    n_hidden, n_classes = (len(layer.bias) for layer in network.layers)
    events = int(grid.step_ms) * int((1 + _is_used(network, np.arange(N_CHANNELS))).sum())
    gathered = grid.pool_steps + n_inputs + len(network.delays) + 1
    neurons = n_hidden * (4 + n_inputs) + n_classes * (4 + n_hidden)
    return events + max(gathered + neurons, grid.pool_steps + grid.n_units)


def _is_used(network: IntegerNetwork, units: np.ndarray) -> np.ndarray:
    above = units - network.grid.first_unit
    return (above >= 0) & (above < network.grid.n_units * network.grid.pool_units)
