"""A circuit and its test vectors as text: a C header, Verilog parameters, hex files, spikes.

`reference.c` and `rtl/core.v` are the same for every network. What this module writes turns them
into one network, and says what they must print for which utterances.

*Word* means a memory word here, as everywhere in the circuit: what a memory holds at one address.
"""

from collections.abc import Sequence
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from shd_circuit.integer import IntegerLayer, IntegerNetwork, IntegerRun

# how a core is built: how many neurons are summed in parallel (lanes), whether its memories can be
# written, whether they begin with the content of the .mem files, for how many lanes these are
# packed, where tools find them, and of which kind the second layer's memory is
BUILD: dict[str, int | str] = {
    "LANES": 1,
    "WRITABLE": 0,
    "INITIAL": 1,
    "MEM_LANES": 1,
    "MEM_PATH": "./",
    "RAM_STYLE": "auto",
}
# a module contains ones of the files before it
MODULE_FILES = (
    "delays.v",
    "active_list.v",
    "lane.v",
    "parameters.v",
    "scores.v",
    "control.v",
    "spiking_network.v",
    "pool.v",
    "core.v",
)
# what the port `load_memory` selects, in order
MEMORIES = ("weight1", "weight2", "threshold", "leak", "bias")
OWNER = "SPDX-FileCopyrightText: 2026 The SHD downsizing study authors"


class Utterance(NamedTuple):
    """The spikes of one utterance, and its class."""

    # When each spike comes, shape (spikes,), int64, ascending.
    milliseconds: np.ndarray
    # The cochlea's channel of each spike, 0 to 699, shape (spikes,), int64.
    units: np.ndarray
    # The class.
    label: int

    @property
    def spikes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return milliseconds and units: the arguments of `IntegerNetwork.run`."""
        return self.milliseconds, self.units


class Vectors(NamedTuple):
    """The test vectors of a circuit, and what it did with them."""

    # Recordings.
    utterances: list[Utterance]
    # What the circuit did with each of them.
    runs: list[IntegerRun]
    # From `edge_cases`.
    edges: dict[str, Utterance]
    # What the circuit did with each of these, in their order.
    edge_runs: list[IntegerRun]


def source_text(name: str) -> str:
    """Return the text of a file of this package, such as ``rtl/core.v``."""
    return files("shd_circuit").joinpath(name).read_text(encoding="utf-8")


def verilog_files(module: str) -> str:
    """List the files of a Verilog module, with those of the modules in it."""
    return " ".join(MODULE_FILES[: MODULE_FILES.index(f"{module}.v") + 1])


def c_header(network: IntegerNetwork) -> str:
    """Write `network.h`, which `reference.c` includes."""
    _check_sums_fit(network)
    defines = _sizes(network) | {"MEM_HIGH": network.high, "MAX_DELAY": network.delays[-1]}
    weight_bits = max(_signed_bits(layer.weight) for layer in network.layers)
    c_type = next(f"int{bits}_t" for bits in (8, 16, 32) if weight_bits <= bits)
    lines = [
        f"/* {OWNER}",
        "   SPDX-License-Identifier: MIT",
        "   Sizes, update rule and integers of one network; reference.c includes it. NOTICE.md",
        "   says what the integers were trained on. */",
    ]
    lines += [f"#define {name} {value}" for name, value in defines.items()]
    lines += ["#define N_INPUTS (N_DELAYS * N_UNITS)", "", f"typedef {c_type} weight_t;"]
    lines += [_c_array("int32_t delay[N_DELAYS]", np.array(network.delays))]
    first, second = network.layers
    lines += _c_layer(
        1,
        first,
        network.leaks(0),
        ("N_DELAYS * KERNEL", "NEURONS_PER_WINDOW"),
        n_neurons="N_HIDDEN",
    )
    lines += _c_layer(2, second, network.leaks(1), ("N_HIDDEN", "N_CLASSES"), n_neurons="N_CLASSES")
    return "\n".join(lines) + "\n"


def _check_sums_fit(network: IntegerNetwork) -> None:
    """Raise ValueError if a sum, a leak's product or a score needs more than 32 bits."""
    product = 0 if network.leak_shift else network.mem_bits + network.factor_bits + 1
    bits = max(network.sum_bits(0), network.sum_bits(1), product, score_bits(network))
    if bits > 32:
        raise ValueError(f"sums of {bits} bits don't fit into 32: lower mem_bits or weight bits")


def _c_layer(
    number: int,
    layer: IntegerLayer,
    leaks: np.ndarray,
    weight_shape: tuple[str, str],
    n_neurons: str,
) -> list[str]:
    """Return the C arrays of a layer; sizes are given as C expressions."""
    rows, columns = weight_shape
    return [
        "/* a row for each input: its weights to all neurons */",
        _c_array(f"weight_t weight{number}[{rows}][{columns}]", layer.weight.T),
        _c_array(f"int32_t bias{number}[{n_neurons}]", layer.bias),
        _c_array(f"int32_t threshold{number}[{n_neurons}]", layer.threshold),
        _c_array(f"int32_t leak{number}[{n_neurons}]", leaks),
    ]


def _c_array(declaration: str, values: np.ndarray) -> str:
    """Return the definition of a C array of one or two dimensions."""
    rows = [", ".join(map(str, row)) for row in np.atleast_2d(values).tolist()]
    if values.ndim == 1:
        return f"static const {declaration} = {{{rows[0]}}};"
    return f"static const {declaration} = {{\n" + ",\n".join(f"{{{r}}}" for r in rows) + "\n};"


def verilog_parameters(network: IntegerNetwork, **build: int | str) -> str:
    """Write `network.vh`, the parameter list of `core.v`; `build` is as `BUILD`."""
    values = verilog_values(network, **build)
    lines = [f"    parameter {name} = {value}" for name, value in values.items()]
    head = [
        f"// {OWNER}",
        "// SPDX-License-Identifier: MIT",
        "// Sizes, widths in bits, and update rule of one network; then how its core is built.",
    ]
    return "\n".join(head) + "\n" + ",\n".join(lines) + "\n"


def verilog_values(network: IntegerNetwork, **build: int | str) -> dict[str, int | str]:
    """Return the parameters of `core.v`, as `network.vh` has them."""
    bits = memory_bits(network)
    values: dict[str, int | str] = {**_sizes(network)}
    values |= {"N_SLOTS": network.delays[-1] + 1, "MEM_BITS": network.mem_bits}
    values |= {f"{name.upper()}_BITS": n for name, n in bits.items()}
    stored = stored_bits(network)
    values["NUMBER_BITS"] = stored["bias"]
    values["SUM_BITS"] = max(network.sum_bits(0), network.sum_bits(1), network.mem_bits + 1)
    values["SCORE_BITS"] = score_bits(network)
    values["LOAD_BITS"] = max(stored.values())
    built = BUILD | build
    for name, value in (built | {"MEM_LANES": built["LANES"]}).items():
        values[name] = f'"{value}"' if isinstance(value, str) else value
    return values


def _sizes(network: IntegerNetwork) -> dict[str, int]:
    """Return the numbers that C and Verilog share, by the names that they have there.

    A window has the blocks that a group of hidden neurons sees; windows share their weights.
    Without shared weights there is one window.
    """
    grid = network.grid
    first, second = network.layers
    return {
        "N_CHANNELS": grid.n_channels,
        "FIRST_UNIT": grid.first_unit,
        "BIN_MS": 1,
        "POOL_UNITS": grid.pool_units,
        "POOL_STEPS": grid.pool_steps,
        "POOL_THRESHOLD": grid.pool_threshold,
        "N_UNITS": grid.n_units,
        "N_STEPS": grid.n_steps,
        "N_DELAYS": len(network.delays),
        "N_HIDDEN": len(first.threshold),
        "N_CLASSES": len(second.threshold),
        "LEAK_SHIFT": network.leak_shift,
        "LEAK_FACTOR": network.leak_factor,
        "FACTOR_BITS": network.factor_bits,
        "SHIFT1": first.shift,
        "SHIFT2": second.shift,
        "KERNEL": network.kernel or grid.n_units,
        "STRIDE": network.stride,
        "N_WINDOWS": len(network.window_inputs),
        "NEURONS_PER_WINDOW": len(first.weight),
        "IS_MEMBRANE": int(network.is_membrane),
    }


def score_bits(network: IntegerNetwork) -> int:
    """Return the bits of a class's score, in two's complement."""
    return network.grid.n_steps.bit_length() + (network.mem_bits if network.is_membrane else 1)


def memory_bits(network: IntegerNetwork) -> dict[str, int]:
    """Return the bits of a number in each of the core's memories."""
    first, second = network.layers
    if network.leak_shift:
        leak_bits = max(network.leak_shift.bit_length(), 4)
    else:
        leak_bits = network.factor_bits + 1  # a factor may be 2^factor_bits: no leak
    return {
        "weight1": _signed_bits(first.weight),
        "weight2": _signed_bits(second.weight),
        "bias": _signed_bits(np.concatenate([first.bias, second.bias])),
        "threshold": network.mem_bits - 1,
        "leak": leak_bits,
    }


def stored_bits(network: IntegerNetwork) -> dict[str, int]:
    """Return the bits that a number takes in each of the core's memories.

    Thresholds, leaks, biases and membranes are in one memory, so they are equally wide there.
    """
    bits = memory_bits(network)
    widest = max(network.mem_bits, bits["bias"], bits["threshold"], bits["leak"])
    return bits | {"threshold": widest, "leak": widest, "bias": widest}


def _signed_bits(values: np.ndarray) -> int:
    """Return the bits of the widest number in two's complement."""
    # ~v is -v - 1: the lowest number of n bits, -2^(n - 1), needs no bit more than the highest
    return 1 + max(int(values.max()), int(~values.min()), 1).bit_length()


def fits(network: IntegerNetwork, lanes: int) -> bool:
    """Check that a core can sum this number of neurons of a network in parallel."""
    has_one_window = len(network.window_inputs) == 1
    n_channels = len(network.layers[0].weight)
    return has_one_window or n_channels % lanes == 0


def memory_words(network: IntegerNetwork, lanes: int = 1) -> dict[str, list[list[int]]]:
    """Return the content of the core's memories.

    The core computes its neurons in groups of `lanes`, hidden neurons first. A memory word has a
    number for each neuron of a group, in two's complement, the group's first neuron in the lowest
    bits. Beyond a layer's last neuron the numbers are 0, and the threshold is one that no membrane
    exceeds.
    """
    first, second = network.layers
    if lanes < 1 or not fits(network, lanes):
        raise ValueError(f"lanes {lanes}: must divide the {len(first.weight)} neurons of a window")
    # of each memory a table for each layer, with a row for each neuron
    tables: dict[str, list[np.ndarray]] = {
        "weight1": [first.weight],
        "weight2": [second.weight],
        "threshold": [layer.threshold[:, None] for layer in network.layers],
        "leak": [network.leaks(i)[:, None] for i in range(len(network.layers))],
        "bias": [layer.bias[:, None] for layer in network.layers],
    }
    bits = stored_bits(network)
    words: dict[str, list[list[int]]] = {}
    for name, of_layers in tables.items():
        words[name] = []
        for table in of_layers:
            # two's complement, also of a negative number
            numbers = table & ((1 << bits[name]) - 1)
            n_missing = -len(numbers) % lanes
            beyond = np.full((n_missing, numbers.shape[1]), network.high * (name == "threshold"))
            words[name] += _packed([*numbers.tolist(), *beyond.tolist()], bits[name], lanes)
    return words


def _packed(neurons: list[list[int]], bits: int, lanes: int) -> list[list[int]]:
    """Return the memory words of each group of neurons, its first number in the lowest bits."""
    return [
        [
            sum(number << lane * bits for lane, number in enumerate(numbers))
            for numbers in zip(*neurons[first : first + lanes], strict=True)
        ]
        for first in range(0, len(neurons), lanes)
    ]


def _hex_text(groups: list[list[int]], bits: int) -> str:
    """Write memory words as ``$readmemh`` reads them, a line for each group."""
    n_digits = (bits + 3) // 4
    return "".join(f"{' '.join(f'{word:0{n_digits}x}' for word in words)}\n" for words in groups)


def memories(network: IntegerNetwork, lanes: int = 1) -> dict[str, str]:
    """Write the core's memories as hex files, which ``$readmemh`` reads."""
    bits = stored_bits(network)
    words = memory_words(network, lanes)
    texts = {f"{name}.mem": _hex_text(groups, lanes * bits[name]) for name, groups in words.items()}
    delays = [[delay] for delay in network.delays]
    texts["delay.mem"] = _hex_text(delays, (network.delays[-1] + 1).bit_length())
    return texts


def events_text(utterances: Sequence[Utterance]) -> str:
    """Write utterances as `vectors.txt` has them."""
    text = ""
    for utterance in utterances:
        pairs = np.stack(utterance.spikes, axis=1).tolist()
        text += "".join(f"{ms} {unit}\n" for ms, unit in pairs) + "\n"
    return text


def answers_text(runs: Sequence[IntegerRun]) -> str:
    """Write what the circuit answers, as `reference.c` prints it."""
    return "".join(f"{run.answer} {' '.join(map(str, run.scores))}\n" for run in runs)


def edge_cases(network: IntegerNetwork, utterances: Sequence[Utterance]) -> dict[str, Utterance]:
    """Make utterances for rules of the circuit that recordings don't meet.

    The recording with the fewest spikes is changed. Another one is cut where two classes have the
    same highest number of spikes, above 0. If there is no such recording, as with membranes as
    scores, this case is left out.
    """
    shortest = min(utterances, key=lambda utterance: len(utterance.units) or np.inf)
    nothing = np.zeros(0, np.int64)
    n_channels = network.grid.n_channels
    cases = {
        "no spike": Utterance(nothing, nothing, 0),
        "the shortest utterance, each spike twice": Utterance(
            np.repeat(shortest.milliseconds, 2), np.repeat(shortest.units, 2), 0
        ),
        "the same with spikes outside of units and window": _with_spikes_outside(network, shortest),
        "every unit in the first 9 ms": Utterance(
            np.repeat(np.arange(9), n_channels), np.tile(np.arange(n_channels), 9), 0
        ),
    }
    tie = None if network.is_membrane else _first_tie(network, utterances)
    if tie is not None:
        cases["a tie between classes"] = tie
    return cases


def _with_spikes_outside(network: IntegerNetwork, utterance: Utterance) -> Utterance:
    """Add spikes that the circuit must drop: of units in no block, and after the last step."""
    grid = network.grid
    all_units = np.arange(grid.n_channels)
    n_used = grid.n_units * grid.pool_units
    above_first = all_units - grid.first_unit
    outside = np.flatnonzero((above_first < 0) | (above_first >= n_used))
    end_ms = int(grid.n_steps * grid.step_ms)
    late = np.full(grid.n_channels, utterance.milliseconds.max(initial=end_ms))
    return Utterance(
        np.concatenate([np.zeros_like(outside), utterance.milliseconds, late]),
        np.concatenate([outside, utterance.units, all_units]),
        0,
    )


def _first_tie(network: IntegerNetwork, utterances: Sequence[Utterance]) -> Utterance | None:
    """Cut utterances after 50 ms, 60 ms, ..., until two classes share a highest score above 0."""
    end_ms = int(network.grid.n_steps * network.grid.step_ms)
    for milliseconds, units, _ in utterances:
        for cut_ms in range(50, end_ms, 10):
            is_before = milliseconds < cut_ms
            cut = Utterance(milliseconds[is_before], units[is_before], 0)
            scores = np.sort(network.run(*cut.spikes).scores)
            if scores[-1] == scores[-2] > 0:
                return cut
    return None


def run_vectors(network: IntegerNetwork, utterances: Sequence[Utterance]) -> Vectors:
    """Run recordings, and the edge cases that are made of them."""
    edges = edge_cases(network, utterances)
    return Vectors(
        list(utterances),
        [network.run(*utterance.spikes) for utterance in utterances],
        edges,
        [network.run(*utterance.spikes) for utterance in edges.values()],
    )


def trace_text(runs: Sequence[IntegerRun], n_membranes: int) -> str:
    """Write what `reference.c` prints with ``-DTRACE=n_membranes``: all steps of all utterances."""
    lines = []
    for number, run in enumerate(runs):
        for step in range(len(run.start) - 1):
            rows = [("i", run.inputs[run.start[step] : run.start[step + 1]])]
            for letter, spikes in zip("ho", run.spk, strict=True):
                rows.append((letter, np.flatnonzero(spikes[step])))
            if number < n_membranes:
                for letter, membranes in zip("uv", run.mem, strict=True):
                    rows.append((letter, membranes[step]))
            for letter, numbers in rows:
                lines.append(" ".join(map(str, [letter, step, *numbers.tolist()])))
        lines.append(answers_text([run]).rstrip())
    return "\n".join(lines) + "\n"


def count_line(
    network: IntegerNetwork, utterances: Sequence[Utterance], runs: Sequence[IntegerRun]
) -> str:
    """Write the line that `reference.c` prints with ``-DCOUNT``: what all utterances took."""
    n_hidden, n_classes = network.sizes[1:]
    n_spikes = sum(len(utterance.units) for utterance in utterances)
    n_events = sum(len(network.pool(*utterance.spikes)[0]) for utterance in utterances)
    n_hidden_spikes = sum(int(run.spk[0].sum()) for run in runs)
    n_accumulates = sum(int(network.fan_out[0][run.inputs].sum()) for run in runs)
    n_accumulates += n_hidden_spikes * n_classes
    n_updates = sum(len(run.spk[0]) for run in runs) * (n_hidden + n_classes)
    return (
        f"{len(utterances)} utterances, {n_spikes} spikes, {n_events} events, "
        f"{n_hidden_spikes} hidden spikes, {n_accumulates} accumulates, "
        f"{n_updates} neuron updates"
    )
