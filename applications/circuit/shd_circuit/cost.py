"""What the circuit holds and does: bytes, operations, and the core's clock cycles."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from shd_circuit.integer import IntegerNetwork, IntegerRun
from shd_circuit.sources import Utterance, memory_bits, score_bits
from shd_helpers.events.downsampling import Events
from shd_helpers.network.operation_counts import accumulates

# of an iCE40 UP5K at 1.2 V; docs/verification.md says where these energies come from
STATIC_MW = 92.1e-3 * 1.219  # milliamperes with the clock halted, times the volts of its supply
ENERGY_PJ = {"cycles": 53.0, "clocked": 0.0144, "changes": 0.39}
WORD_BLOCKS = 8  # of a memory word of delays.v
GROUP_CYCLES = 7  # of a group, and one for each entry of the list; see control.v
ANSWER_CYCLES = 5  # from in_end to out_valid, and those of the steps that are left
MEMORY_PJ = (10, 100)  # of a word that is read or written; assumed: the lowest and the highest


def energy(counted: pd.Series, memory_pj: float = MEMORY_PJ[0]) -> pd.Series:
    """Estimate the microjoules that the core takes on an iCE40 UP5K, without what is always drawn.

    `counted` is from `rtl.toggles.toggles`, and `memory_pj` is the assumed energy of a memory word.
    """
    picojoules = ENERGY_PJ | {"reads": memory_pj, "writes": memory_pj}
    return counted * pd.Series(picojoules)[counted.index] / 1e6


def fpga_core_energy(
    counted: pd.Series, clock_hz: float, memory_pj: float = MEMORY_PJ[0]
) -> pd.Series:
    """Estimate the millijoules of an iCE40 UP5K's core supply in the second of an utterance.

    Nothing else on a board is included: no pins, oscillator, USB chip, flash memory or regulator.
    """
    mj = energy(counted, memory_pj) / 1000
    n_flip_flops = counted.clocked / counted.cycles
    return pd.Series(
        {
            "always": STATIC_MW,
            "clock": clock_hz * ENERGY_PJ["cycles"] / 1e9,
            "flip-flops": n_flip_flops * clock_hz * ENERGY_PJ["clocked"] / 1e9,
            "nets": mj.changes,
            "memories": mj.reads + mj.writes,
        }
    )


def memory(network: IntegerNetwork) -> pd.DataFrame:
    """List what a circuit of two layers stores, with the bits of each number and bytes of all."""
    grid = network.grid
    bits = memory_bits(network)
    n_neurons = sum(len(layer.threshold) for layer in network.layers)
    n_cells = grid.n_units * grid.pool_units * grid.pool_steps
    first, second = network.layers
    rows = {
        "weights, layer 1": (first.weight.size, bits["weight1"]),
        "weights, layer 2": (second.weight.size, bits["weight2"]),
        "biases": (n_neurons, bits["bias"]),
        "thresholds": (n_neurons, bits["threshold"]),
        "membranes": (n_neurons, network.mem_bits),
        "delays": (grid.n_units * network.delays[-1], 1),
        "pooling": (n_cells, 1),
        "leaks": (n_neurons, bits["leak"]),
        "scores": (network.sizes[2], score_bits(network)),
    }
    table = pd.DataFrame(rows, index=["numbers", "bits"]).T
    return table.assign(bytes=table.numbers * table.bits / 8)


def list_bits(network: IntegerNetwork) -> int:
    """Return the bits of the core's list of active inputs and neurons, `active_list.v`."""
    n_inputs = len(network.delays) * (network.kernel or network.grid.n_units)
    n_hidden = network.sizes[1]
    n_entries = 2 ** (n_inputs + n_hidden - 1).bit_length()
    return n_entries * (max(n_inputs, n_hidden) - 1).bit_length()


def _divided_up(dividend: int, divisor: int) -> int:
    """Return a quotient, rounded up."""
    return -(-dividend // divisor)


def operations(network: IntegerNetwork, events: Events) -> pd.Series:
    """Count the operations that an utterance takes."""
    _, n_spikes = network.evaluate(events)
    every = accumulates(network.fan_out, network.delays, events, n_spikes)
    effective = accumulates(network.synapses, network.delays, events, n_spikes)
    hidden_spikes, output_spikes = n_spikes.mean(0)
    n_neurons = sum(network.sizes[1:])
    return pd.Series(
        {
            "input_spikes": len(events.steps) / len(events),
            "hidden_spikes": hidden_spikes,
            "output_spikes": output_spikes,
            "accumulates": every.mean(),
            "effective_accumulates": effective.mean(),
            "neuron_updates": float(network.grid.n_steps * n_neurons),
        }
    )


def step_cycles(
    network: IntegerNetwork, utterance: Utterance, lanes: int = 1, run: IntegerRun | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the core's clock cycles in each step of an utterance.

    A spike takes two cycles. At the end of a step all neurons are computed, `lanes` of them in
    parallel. For each window its active inputs are listed before. If several hidden neurons of a
    group spike, all but the first take one cycle more. At last the next row of events is cleared.

    Parameters
    ----------
    network : IntegerNetwork
        The circuit.
    utterance : Utterance
        What it is given.
    lanes : int
        Neurons that are summed in parallel.
    run : IntegerRun, optional
        What the circuit does with the utterance; it is computed if it isn't given.

    Returns
    -------
    intake : ndarray
        Cycles in which spikes are taken: shape (steps,), int64.
    computing : ndarray
        Cycles from the one in which a step's end is accepted to the one in which the next event may
        be: shape (steps,), int64.
    """
    grid = network.grid
    if run is None:
        run = network.run(*utterance.spikes)
    hidden_spikes = run.spk[0]
    n_hidden = hidden_spikes.shape[1]
    first_of_group = np.arange(0, n_hidden, lanes)
    spikes_of_group = np.add.reduceat(hidden_spikes, first_of_group, axis=1, dtype=int)
    computing = 1 + np.maximum(spikes_of_group - 1, 0).sum(1)
    computing += _hidden_cycles(network, lanes, run.inputs, run.start)
    # the scores of a group of classes take a cycle for each lane, and one more
    n_class_groups = _divided_up(network.sizes[2], lanes)
    computing += n_class_groups * (GROUP_CYCLES + lanes + 1 + hidden_spikes.sum(1))
    computing += _divided_up(grid.n_units, WORD_BLOCKS)
    step_ms = int(grid.step_ms)
    in_window = utterance.milliseconds[utterance.milliseconds < grid.n_steps * step_ms]
    intake = 2 * np.bincount(in_window // step_ms, minlength=grid.n_steps)
    return intake, computing


def _hidden_cycles(
    network: IntegerNetwork, lanes: int, inputs: np.ndarray, start: np.ndarray
) -> np.ndarray:
    """Return the cycles that windows and their groups take in each step.

    Of each delay a window reads the memory words into which it reaches: one cycle for each of its
    events, or one if it has none, and one more in all. A group takes one for each input that is
    listed. `inputs` and `start` are an `IntegerRun`'s.
    """
    n_units = network.grid.n_units
    n_delays = len(network.delays)
    kernel = network.kernel or n_units
    n_words = _divided_up(n_units, WORD_BLOCKS)
    step_of_input = np.repeat(np.arange(len(start) - 1), np.diff(start))
    has_input = np.zeros((len(start) - 1, n_delays, n_words * WORD_BLOCKS), np.int64)
    has_input[step_of_input, inputs // n_units, inputs % n_units] = 1
    in_word = has_input.reshape(len(start) - 1, n_delays, n_words, WORD_BLOCKS).sum(3)
    word_cycles = np.maximum(in_word, 1).sum(1)
    groups_of_window = _divided_up(network.sizes[1] // len(network.window_inputs), lanes)
    cycles = np.zeros(len(start) - 1, np.int64)
    for first in network.window_inputs[:, 0]:
        words = slice(first // WORD_BLOCKS, (first + kernel - 1) // WORD_BLOCKS + 1)
        n_listed = has_input[:, :, first : first + kernel].sum((1, 2))
        cycles += 1 + word_cycles[:, words].sum(1) + groups_of_window * (GROUP_CYCLES + n_listed)
    return cycles


def _before_next(network: IntegerNetwork, computing: np.ndarray) -> np.ndarray:
    """Return the cycles from a step's last bin to the next spike, if a spike ends the step.

    Bins are closed; meanwhile the neurons are computed, pooling is cleared, a block in a cycle.
    """
    return network.grid.pool_steps + np.maximum(computing, network.grid.n_units + 1)


def _closed(network: IntegerNetwork, milliseconds: np.ndarray) -> tuple[int, int]:
    """Return which step is the current one after some spikes, and how many of its bins are over."""
    grid = network.grid
    last_ms = int(milliseconds[-1]) if len(milliseconds) else 0
    return divmod(min(last_ms, grid.n_steps * grid.pool_steps), grid.pool_steps)


def total_cycles(
    network: IntegerNetwork,
    utterances: Sequence[Utterance],
    lanes: int = 1,
    runs: Sequence[IntegerRun] | None = None,
) -> int:
    """Return the clock cycles of utterances as `harness.cpp` sends them to the core.

    After a reset of one cycle, which doesn't count, they come one after the other. Spikes are sent
    and scores are fetched as soon as the core is ready.

    Parameters
    ----------
    network : IntegerNetwork
        The circuit.
    utterances : sequence of Utterance
        What it is given.
    lanes : int
        Neurons that are summed in parallel.
    runs : sequence of IntegerRun, optional
        What the circuit does with each utterance; these are computed if they aren't given.

    Returns
    -------
    int
        Cycles of all utterances together.
    """
    n_units = network.grid.n_units
    cycles = n_units  # blocks are cleared at the beginning
    left = 0  # cycles in which they are cleared after an utterance
    n_classes = network.sizes[2]
    if runs is None:
        runs = [network.run(*utterance.spikes) for utterance in utterances]
    for utterance, run in zip(utterances, runs, strict=True):
        _, computing = step_cycles(network, utterance, lanes, run)
        step, n_bins = _closed(network, utterance.milliseconds)
        cycles += max(left, 0) + 2 * len(utterance.units) + n_bins
        cycles += int(_before_next(network, computing[:step]).sum())
        # a score is looked up in one cycle and given in another
        after_end = int(computing[step:].sum()) + 1 + 2 * n_classes
        cycles += 3 + after_end
        left = n_units - 1 - after_end
    return cycles


def answer_cycles(
    network: IntegerNetwork, utterance: Utterance, lanes: int = 1, run: IntegerRun | None = None
) -> int:
    """Return the clock cycles from `in_end`, straight after the last spike, to `out_valid`.

    Parameters
    ----------
    network : IntegerNetwork
        The circuit.
    utterance : Utterance
        What it is given.
    lanes : int
        Neurons that are summed in parallel.
    run : IntegerRun, optional
        What the circuit does with the utterance; it is computed if it isn't given.

    Returns
    -------
    int
        Cycles in which the steps that are left are computed.
    """
    _, computing = step_cycles(network, utterance, lanes, run)
    step, n_bins = _closed(network, utterance.milliseconds)
    # the last spike is still in the input register, so the one before tells which bins are closed
    step_before, n_bins_before = _closed(network, utterance.milliseconds[:-1])
    ended = int(_before_next(network, computing[step_before:step]).sum())
    waits = len(utterance.milliseconds) > 0
    return ANSWER_CYCLES + waits + ended + n_bins - n_bins_before + int(computing[step:].sum())


def last_step_cycles(
    network: IntegerNetwork, utterance: Utterance, lanes: int = 1, run: IntegerRun | None = None
) -> int:
    """Return the clock cycles from `in_end` to `out_valid` if only the last step is left.

    That is so in real time, where ticks have closed all steps before.
    """
    _, computing = step_cycles(network, utterance, lanes, run)
    return ANSWER_CYCLES + int(computing[-1])


def core_line(
    network: IntegerNetwork,
    utterances: Sequence[Utterance],
    lanes: int = 1,
    runs: Sequence[IntegerRun] | None = None,
) -> str:
    """Write the line that `harness.cpp` prints on stderr."""
    if runs is None:
        runs = [network.run(*utterance.spikes) for utterance in utterances]
    answers = [
        answer_cycles(network, utterance, lanes, run)
        for utterance, run in zip(utterances, runs, strict=True)
    ]
    return (
        f"{len(utterances)} utterances, {total_cycles(network, utterances, lanes, runs)} cycles; "
        f"from in_end to out_valid {min(answers)} to {max(answers)}"
    )
