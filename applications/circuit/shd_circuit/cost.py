"""What the circuit holds and does: bytes, operations, and the core's clock cycles."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from shd_circuit.integer import IntegerNetwork, IntegerRun
from shd_circuit.sources import Utterance, memory_bits, score_bits
from shd_helpers.events.event_lists import Events
from shd_helpers.network.operation_counts import accumulates

# of an iCE40 UP5K at 1.2 V; docs/verification.md says where these energies come from
STATIC_MW = 92.1e-3 * 1.219  # milliamperes with the clock halted, times the volts of its supply
ENERGY_PJ = {"cycles": 53.0, "clocked": 0.0144, "changes": 0.39}
MEMORY_PJ = (10, 100)  # of a word that is read or written; assumed: the lowest and the highest


def energy(counted: pd.Series, memory_pj: float = MEMORY_PJ[0]) -> pd.Series:
    """Estimate the microjoules that the core takes on an iCE40 UP5K, without what is always drawn.

    `counted` is from `rtl.toggles.toggles`, and `memory_pj` is the assumed energy of a memory word.
    """
    picojoules = ENERGY_PJ | {"reads": memory_pj, "writes": memory_pj}
    return counted * pd.Series(picojoules)[counted.index] / 1e6


def fpga_core_energy(
    counted: pd.Series, n_flip_flops: float, clock_hz: float, memory_pj: float = MEMORY_PJ[0]
) -> pd.Series:
    """Estimate the millijoules of an iCE40 UP5K's core supply in the second of an utterance.

    Nothing else on a board is included: no pins, oscillator, USB chip, flash memory or regulator.
    """
    mj = energy(counted, memory_pj) / 1000
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
    """Return the bits of the lists that `core.v` keeps instead of the delayed events' bits.

    These are its memories `list`, `n_in_bucket`, `has_input`, `history` and `n_history`.
    """
    grid = network.grid
    n_delays = len(network.delays)
    n_hidden = network.sizes[1]
    kernel = network.kernel or grid.n_units
    unit_bits = grid.n_units.bit_length()
    n_bucket_blocks = bucket_blocks(network)
    n_buckets = _divided_up(grid.n_units, n_bucket_blocks)
    n_bucket_inputs = n_bucket_blocks * n_delays
    # list: inputs in their buckets, and hidden neurons; an entry is the address of an input's
    # weights or a neuron, and, if windows end within a bucket, also the input's block
    n_entries = 2 ** (n_buckets * n_bucket_inputs + n_hidden - 1).bit_length()
    n_addresses = (n_delays - 1) * kernel + grid.n_units
    entry_bits = (max(n_addresses, n_hidden) - 1).bit_length()
    if kernel % n_bucket_blocks > 0:
        entry_bits += unit_bits
    # n_in_bucket and has_input
    counter_bits = n_buckets * (n_bucket_inputs.bit_length() + 1)
    # history and n_history: in each slot for a step, a power of 2 of blocks, and their number
    n_slots = network.delays[-1] + 1
    history_bits = n_slots * (2**unit_bits + 1) * unit_bits
    return n_entries * entry_bits + counter_bits + history_bits


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

    A spike takes two cycles. At the end of a step each bin is closed in one cycle, then events are
    gathered, then all neurons are computed, `lanes` of them in parallel. If several hidden neurons
    of such a group spike, all but the first take one cycle more. With shared weights a neuron meets
    only the inputs near its window.

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
        Cycles in which no spike is taken: shape (steps,), int64.
    """
    grid = network.grid
    if run is None:
        run = network.run(*utterance.spikes)
    n_inputs = np.diff(run.start)
    hidden_spikes = run.spk[0]
    n_hidden = hidden_spikes.shape[1]
    first_of_group = np.arange(0, n_hidden, lanes)
    spikes_of_group = np.add.reduceat(hidden_spikes, first_of_group, axis=1, dtype=int)
    # bins are closed; inputs gathered: one cycle for each input and each delay, and two more
    computing = grid.pool_steps + n_inputs + len(network.delays) + 2
    computing += np.maximum(spikes_of_group - 1, 0).sum(1)
    computing += _hidden_cycles(network, lanes, run.inputs, run.start)
    n_class_groups = _divided_up(network.sizes[2], lanes)
    computing += n_class_groups * (4 + hidden_spikes.sum(1))
    # blocks are cleared meanwhile, one in a cycle
    computing = np.maximum(computing, grid.pool_steps + grid.n_units)
    step_ms = int(grid.step_ms)
    in_window = utterance.milliseconds[utterance.milliseconds < grid.n_steps * step_ms]
    intake = 2 * np.bincount(in_window // step_ms, minlength=grid.n_steps)
    return intake, computing


def bucket_blocks(network: IntegerNetwork) -> int:
    """Return how many blocks' inputs the core keeps together: in a bucket of its list."""
    return network.stride if len(network.window_inputs) > 1 else network.grid.n_units


def _hidden_cycles(
    network: IntegerNetwork, lanes: int, inputs: np.ndarray, start: np.ndarray
) -> np.ndarray:
    """Return the cycles that the hidden groups take in each step.

    A group takes four, and one for each input that it meets: those of all buckets that its window
    reaches into. `inputs` and `start` are an `IntegerRun`'s.
    """
    n_units = network.grid.n_units
    n_windows = len(network.window_inputs)
    n_steps = len(start) - 1
    n_bucket_blocks = bucket_blocks(network)
    reach = _divided_up(network.kernel or n_units, n_bucket_blocks) * n_bucket_blocks
    first = n_bucket_blocks * np.arange(n_windows)
    end = np.minimum(first + reach, n_units)
    # how many inputs each block has in a step, and then how many the blocks below have
    step_of_input = np.repeat(np.arange(n_steps), np.diff(start))
    in_block = np.zeros((n_steps, n_units + 1), np.int64)
    np.add.at(in_block, (step_of_input, inputs % n_units + 1), 1)
    below = in_block.cumsum(1)
    met = (below[:, end] - below[:, first]).sum(1)
    groups_of_window = _divided_up(network.sizes[1] // n_windows, lanes)
    return groups_of_window * (4 * n_windows + met)


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
    cycles = network.grid.n_units  # blocks are cleared at the beginning
    n_classes = network.sizes[2]
    if runs is None:
        runs = [network.run(*utterance.spikes) for utterance in utterances]
    for utterance, run in zip(utterances, runs, strict=True):
        _, computing = step_cycles(network, utterance, lanes, run)
        n_sent = len(utterance.units) + 1  # the end, too
        # a score is looked up in one cycle and given in another
        cycles += 2 * n_sent + int(computing.sum()) + 2 * n_classes
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
    grid = network.grid
    n_spikes = len(utterance.milliseconds)
    # the last spike is still in the input register, so the one before tells which bins are closed
    current_ms = int(utterance.milliseconds[-2]) if n_spikes > 1 else 0
    window_ms = grid.n_steps * grid.pool_steps
    step, n_closed_bins = divmod(min(current_ms, window_ms), grid.pool_steps)
    _, computing = step_cycles(network, utterance, lanes, run)
    left = int(computing[step:].sum()) - n_closed_bins
    return 3 + (n_spikes > 0) + left


def last_step_cycles(
    network: IntegerNetwork, utterance: Utterance, lanes: int = 1, run: IntegerRun | None = None
) -> int:
    """Return the clock cycles from `in_end` to `out_valid` if only the last step is left.

    That is so in real time, where ticks have closed all steps before.
    """
    _, computing = step_cycles(network, utterance, lanes, run)
    return 3 + int(computing[-1])


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


def fifo_depth(
    network: IntegerNetwork, utterance: Utterance, clock_hz: float, lanes: int = 1
) -> int:
    """Return how many entries of a buffer before the core an utterance in real time needs.

    Its spikes come at the beginning of their milliseconds, after a tick each millisecond.
    """
    step_ms = int(network.grid.step_ms)
    _, computing = step_cycles(network, utterance, lanes)
    n_steps = len(computing)
    end_ms = n_steps * step_ms
    in_window = utterance.milliseconds[utterance.milliseconds < end_ms]
    ticks = np.arange(1, end_ms + 1)
    entry_ms = np.sort(np.concatenate([ticks, in_window]))
    # an entry takes two cycles, and the first one of a step also those of the step before
    entry_cycles = np.full(len(entry_ms), 2.0)
    first_of_next_step = np.searchsorted(entry_ms, step_ms * np.arange(1, n_steps + 1))
    entry_cycles[first_of_next_step] += computing
    arrival = entry_ms * clock_hz / 1000  # in cycles
    work_before = np.concatenate([[0], np.cumsum(entry_cycles)])[:-1]
    # an entry is taken when all before it are done: their work, after the last time without work
    taken = np.maximum.accumulate(arrival - work_before) + work_before
    n_arrived = np.searchsorted(entry_ms, entry_ms, side="right")  # with those of the same time
    n_taken = np.searchsorted(taken, arrival, side="right")
    return int((n_arrived - n_taken).max())
