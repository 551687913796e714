"""What the circuit holds and does: bytes, operations, and the core's clock cycles."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from shd_circuit.integer import IntegerNetwork
from shd_circuit.sources import Word, memory_bits, score_bits
from shd_helpers.events.downsampling import Events
from shd_helpers.network.costs import accumulates

# picojoules of an iCE40 UP5K at 1.2 V; circuit/README.md says where they come from
ENERGY_PJ = {"cycles": 53.0, "clocked": 0.0144, "changes": 0.39, "reads": 10.0, "writes": 10.0}


def energy(counted: pd.Series) -> pd.Series:
    """Return the microjoules of what `rtl.toggles` counts, each; without what is always drawn."""
    return counted * pd.Series(ENERGY_PJ)[counted.index] / 1e6


def memory(network: IntegerNetwork) -> pd.DataFrame:
    """Return what the circuit of two layers stores, a row for each kind of number.

    `numbers`, `bits` of each, `bytes`. Delays are the events of the last steps, a bit each; pooling
    is a bit a cell of the blocks.
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
        "leaks": (neurons, bits["leak"]),
        "scores": (network.sizes[2], score_bits(network)),
    }
    table = pd.DataFrame(rows, index=["numbers", "bits"]).T
    return table.assign(bytes=table.numbers * table.bits / 8)


def operations(network: IntegerNetwork, events: Events) -> pd.Series:
    """Return what a downsized utterance takes, means over utterances.

    `input_spikes`, `hidden_spikes`, `output_spikes`; `accumulates`, the spikes times the neurons
    they go to; `effective_accumulates`, those whose weight isn't 0, hidden spikes taken with their
    neurons' mean; `neuron_updates` (neurons x steps).
    """
    runs = [(*(spk.sum() for spk in run.spk), len(run.spk[0])) for run in network.runs(events)]
    *n_spikes, n_steps = np.array(runs).T
    every, effective = (
        accumulates(synapses, network.delays, events, np.stack(n_spikes, 1)).mean()
        for synapses in (network.fan_out, network.synapses)
    )
    spikes = len(events.steps) / len(events), *np.mean(n_spikes, 1)
    counted = (*spikes, every, effective, n_steps.mean() * sum(network.sizes[1:]))
    names = "input_spikes hidden_spikes output_spikes accumulates effective_accumulates"
    return pd.Series(counted, [*names.split(), "neuron_updates"])


def step_cycles(network: IntegerNetwork, word: Word, lanes: int = 1) -> tuple[np.ndarray, ...]:
    """Return the clock cycles of each step of a word, (steps,) each: of intake, and of computing.

    A spike takes two cycles; then each bin is closed in one, events are gathered, and all neurons
    computed, `lanes` of them side by side. A group's second hidden spike and further ones take one.
    A neuron of a place meets inputs near its window alone.
    """
    grid, run = network.grid, network.run(*word[:2])
    arriving, hidden = np.diff(run.start), run.spk[0].sum(1)
    together = np.add.reduceat(
        run.spk[0], np.arange(0, run.spk[0].shape[1], lanes), axis=1, dtype=int
    )
    computed = grid.pool_steps + arriving + len(network.delays) + 2
    computed += np.maximum(together - 1, 0).sum(1)
    computed += _groups(network, lanes, run.inputs, run.start)
    computed += -(-network.sizes[2] // lanes) * (4 + hidden)
    computed = np.maximum(computed, grid.pool_steps + grid.n_units)  # blocks are cleared meanwhile
    inside = word.milliseconds[word.milliseconds < grid.n_steps * int(grid.step_ms)]
    return 2 * np.bincount(inside // int(grid.step_ms), minlength=len(computed)), computed


def bin_size(network: IntegerNetwork) -> int:
    """Return the blocks between one place and the next, whose inputs the core keeps together."""
    return network.stride if len(network.columns) > 1 else network.grid.n_units


def _groups(
    network: IntegerNetwork, lanes: int, inputs: np.ndarray, start: np.ndarray
) -> np.ndarray:
    """Return the cycles of the hidden groups in each step: four, and one for each input they meet.

    A place's neurons meet the inputs of all bins that their window reaches into.
    """
    n_units, n_places, bin_units = network.grid.n_units, len(network.columns), bin_size(network)
    first = bin_units * np.arange(n_places)
    window = -(-(network.kernel or n_units) // bin_units) * bin_units
    last = np.minimum(first + window, n_units)
    step = np.repeat(np.arange(len(start) - 1), np.diff(start))
    blocks = np.zeros((len(start) - 1, n_units + 1), np.int64)
    np.add.at(blocks, (step, inputs % n_units + 1), 1)
    before = blocks.cumsum(1)
    met = (before[:, last] - before[:, first]).sum(1)
    return -(-network.sizes[1] // n_places // lanes) * (4 * n_places + met)


def word_cycles(network: IntegerNetwork, words: Sequence[Word], lanes: int = 1) -> int:
    """Return the clock cycles of words that are sent, and whose scores are fetched, at once.

    They come one after the other, after a reset of one cycle, as `harness.cpp` sends them; `lanes`
    as for `step_cycles`.
    """
    n_results = 2 * network.sizes[2]  # scores are looked up, then given
    taken = sum(2 * len(word.units) + 2 + n_results for word in words)
    computed = sum(int(step_cycles(network, word, lanes)[1].sum()) for word in words)
    return network.grid.n_units + taken + computed  # blocks are cleared at the beginning


def answer_cycles(network: IntegerNetwork, word: Word, lanes: int = 1) -> int:
    """Return the clock cycles from `in_end`, straight after the last spike, to `out_valid`.

    The last spike is still in the input register when `in_end` is offered.
    """
    grid, n_spikes = network.grid, len(word.milliseconds)
    last_ms = int(word.milliseconds[-2]) if n_spikes > 1 else 0
    step, closed = divmod(min(last_ms, grid.n_steps * grid.pool_steps), grid.pool_steps)
    left = int(step_cycles(network, word, lanes)[1][step:].sum()) - closed
    return 3 + (n_spikes > 0) + left


def last_step_cycles(network: IntegerNetwork, word: Word, lanes: int = 1) -> int:
    """Return the same, if ticks have closed all steps but the last; see `answer_cycles`."""
    return 3 + int(step_cycles(network, word, lanes)[1][-1])


def core_line(network: IntegerNetwork, words: Sequence[Word], lanes: int = 1) -> str:
    """Return what `harness.cpp` prints on stderr of words, whose scores it fetches at once."""
    answers = [answer_cycles(network, word, lanes) for word in words]
    return (
        f"{len(words)} words, {word_cycles(network, words, lanes)} cycles; "
        f"from in_end to out_valid {min(answers)} to {max(answers)}"
    )


def fifo_depth(network: IntegerNetwork, word: Word, clock_hz: float, lanes: int = 1) -> int:
    """Return how many entries of a buffer before the core a word in real time needs.

    Its spikes come at the beginning of their milliseconds, after a tick each millisecond.
    """
    grid, computed = network.grid, step_cycles(network, word, lanes)[1]
    end_ms = len(computed) * int(grid.step_ms)
    inside = word.milliseconds[word.milliseconds < end_ms]
    at = np.sort(np.concatenate([np.arange(1, end_ms + 1), inside]))  # of ticks and spikes
    costs = np.full(len(at), 2.0)
    ends = np.searchsorted(at, int(grid.step_ms) * np.arange(1, len(computed) + 1))
    costs[ends] += computed  # by the first entry of the next step
    arrives, work = at * clock_hz / 1000, np.concatenate([[0], np.cumsum(costs)])
    # an entry is taken when those before are done: work + the latest start of an idle time
    starts = np.maximum.accumulate(arrives - work[:-1]) + work[:-1]
    last = np.searchsorted(at, at, side="right")  # that came with it
    return int((last - np.searchsorted(starts, arrives, side="right")).max())
