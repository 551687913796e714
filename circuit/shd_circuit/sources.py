"""A circuit and its test vectors as text: a C header, Verilog parameters, hex files, spikes.

`reference.c` and `rtl/core.v` are the same for every network; what this module writes makes them
this network, and says what they must do with which words.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from shd_circuit.integer import IntegerNetwork, IntegerRun
from shd_helpers.data.shd_file import N_CHANNELS

# the core's, in the order of `load_memory`
MEMORIES = ("weight1", "weight2", "bias", "threshold", "leak", "mask")
# how a core is built: neurons side by side, memories that can be written, and begin as .mem say
BUILD = {"LANES": 1, "WRITABLE": 0, "INITIAL": 1}


class Word(NamedTuple):
    """An utterance's spikes and its class."""

    milliseconds: np.ndarray  # (spikes,) int64, ascending
    units: np.ndarray  # (spikes,) int64, 0..699
    label: int


def c_header(network: IntegerNetwork) -> str:
    """Return `network.h`, for `reference.c`; ValueError, if sums need more than 32 bits."""
    product = 0 if network.leak_shift else network.mem_bits + network.factor_bits + 1
    wide = network.sum_bits(0), network.sum_bits(1), product, score_bits(network)
    if (bits := max(wide)) > 32:
        raise ValueError(f"sums of {bits} bits don't fit into 32: lower mem_bits or weight bits")
    first, second = network.layers
    size = max(map(_signed_bits, (first.weight, second.weight)))
    c_type = next(f"int{bits}_t" for bits in (8, 16, 32) if size <= bits)
    defines = _sizes(network) | {"MEM_HIGH": network.high, "MAX_DELAY": network.delays[-1]}
    lines = ["/* Sizes, update rule and integers of one network; reference.c includes it. */"]
    lines += [f"#define {name} {value}" for name, value in defines.items()]
    lines += ["#define N_INPUTS (N_DELAYS * N_UNITS)", "", f"typedef {c_type} weight_t;"]
    lines += [_c_array("int32_t delay[N_DELAYS]", np.array(network.delays))]
    sizes = ("N_DELAYS * KERNEL", "N_AT_PLACE", "N_HIDDEN"), ("N_HIDDEN", *["N_CLASSES"] * 2)
    for i, (layer, (n_in, n_out, n)) in enumerate(
        zip((first, second), sizes, strict=True), start=1
    ):
        lines += ["/* a row for each input: its weights to all neurons */"]
        lines += [_c_array(f"weight_t weight{i}[{n_in}][{n_out}]", layer.weight.T)]
        lines += [_c_array(f"int32_t bias{i}[{n}]", layer.bias)]
        lines += [_c_array(f"int32_t threshold{i}[{n}]", layer.threshold)]
        lines += [_c_array(f"int32_t leak{i}[{n}]", network.leaks(i - 1))]
    return "\n".join(lines) + "\n"


def verilog_parameters(network: IntegerNetwork) -> str:
    """Return `network.vh`, the parameter list of `core.v`."""
    values = _sizes(network) | {"N_SLOTS": network.delays[-1] + 1, "MEM_BITS": network.mem_bits}
    bits = memory_bits(network)
    values |= {f"{name.upper()}_BITS": n for name, n in bits.items() if name != "mask"}
    values |= {"SUM_BITS": max(network.sum_bits(0), network.sum_bits(1), network.mem_bits + 1)}
    values |= {"SCORE_BITS": score_bits(network), "LOAD_BITS": max(bits.values()), **BUILD}
    lines = [f"    parameter {name} = {value}" for name, value in values.items()]
    return "// sizes, widths in bits, and update rule of one network\n" + ",\n".join(lines) + "\n"


def memories(network: IntegerNetwork, lanes: int = 1) -> dict[str, str]:
    """Return the hex files by name, as `$readmemh` reads them; `delay.mem` in steps."""
    bits = memory_bits(network)
    words = memory_words(network, lanes)
    texts = {f"{name}.mem": _hex(w, lanes * bits[name]) for name, w in words.items()}
    delays = [[delay] for delay in network.delays]
    return texts | {"delay.mem": _hex(delays, network.grid.n_steps.bit_length())}


def fits(network: IntegerNetwork, lanes: int) -> bool:
    """Tell whether so many neurons side by side are of one place."""
    return len(network.columns) == 1 or len(network.layers[0].weight) % lanes == 0


def memory_words(network: IntegerNetwork, lanes: int = 1) -> dict[str, list[list[int]]]:
    """Return what lies in the core's memories, by their names in `MEMORIES`.

    A list for each group of neurons, hidden ones first: of weights a word for each input, else one
    word. A word has a number for each of the `lanes` neurons side by side, in two's complement, the
    first lowest; beyond a layer's last neuron they are 0: switched off. ValueError, if lanes don't
    divide the neurons of a place.
    """
    bits, layers = memory_bits(network), network.layers
    if not fits(network, lanes):
        n = len(layers[0].weight)
        raise ValueError(f"lanes {lanes}: must divide the {n} neurons of a place")
    parts: dict[str, list[np.ndarray]] = {
        "weight1": [layers[0].weight],
        "weight2": [layers[1].weight],
        "bias": [layer.bias[:, None] for layer in layers],
        "threshold": [layer.threshold[:, None] for layer in layers],
        "leak": [network.leaks(i)[:, None] for i in range(len(layers))],
        "mask": [np.ones((len(layer.bias), 1), np.int64) for layer in layers],
    }
    return {
        name: [group for rows in each for group in _packed(rows, lanes, bits[name])]
        for name, each in parts.items()
    }


def _packed(rows: np.ndarray, lanes: int, bits: int) -> list[list[int]]:
    groups = (rows[i : i + lanes].T.tolist() for i in range(0, len(rows), lanes))
    return [[sum(v % (1 << bits) << i * bits for i, v in enumerate(c)) for c in g] for g in groups]


def _sizes(network: IntegerNetwork) -> dict[str, int]:
    grid = network.grid
    return {
        "N_CHANNELS": N_CHANNELS,
        "FIRST_UNIT": grid.first_unit,
        "BIN_MS": 1,
        "POOL_UNITS": grid.pool_units,
        "POOL_STEPS": grid.pool_steps,
        "POOL_THRESHOLD": grid.pool_threshold,
        "N_UNITS": grid.n_units,
        "N_STEPS": grid.n_steps,
        "N_DELAYS": len(network.delays),
        "N_HIDDEN": len(network.layers[0].threshold),
        "N_CLASSES": len(network.layers[1].threshold),
        "LEAK_SHIFT": network.leak_shift,
        "LEAK_FACTOR": network.leak_factor,
        "FACTOR_BITS": network.factor_bits,
        "SHIFT1": network.layers[0].shift,
        "SHIFT2": network.layers[1].shift,
        "KERNEL": network.kernel or grid.n_units,
        "STRIDE": network.stride,
        "N_PLACES": len(network.columns),
        "N_AT_PLACE": len(network.layers[0].weight),
        "IS_MEMBRANE": int(network.is_membrane),
    }


def score_bits(network: IntegerNetwork) -> int:
    """Return the bits of a class's score, in two's complement."""
    return network.grid.n_steps.bit_length() + (network.mem_bits if network.is_membrane else 1)


def memory_bits(network: IntegerNetwork) -> dict[str, int]:
    """Return the bits of a number in each memory; thresholds are positive, one bit less.

    The leak is a shift or a factor, of each neuron; the mask is 0 where a neuron is switched off.
    """
    bits = {f"weight{i}": _signed_bits(p.weight) for i, p in enumerate(network.layers, start=1)}
    biases = np.concatenate([layer.bias for layer in network.layers])
    bits |= {"bias": _signed_bits(biases), "threshold": network.mem_bits - 1}
    shift = max(network.leak_shift.bit_length(), 4)
    leak = shift if network.leak_shift else network.factor_bits + 1
    return bits | {"leak": leak, "mask": 1}


def _signed_bits(values: np.ndarray) -> int:
    """Return the bits of the widest number in two's complement."""
    return 1 + max(int(values.max()), int(~values.min()), 1).bit_length()


def _c_array(declaration: str, values: np.ndarray) -> str:
    rows = [", ".join(map(str, row)) for row in np.atleast_2d(values).tolist()]
    if values.ndim == 1:
        return f"static const {declaration} = {{{rows[0]}}};"
    return f"static const {declaration} = {{\n" + ",\n".join(f"{{{r}}}" for r in rows) + "\n};"


def _hex(rows: list[list[int]], bits: int) -> str:
    return "".join(" ".join(f"{v:0{(bits + 3) // 4}x}" for v in row) + "\n" for row in rows)


def events_text(words: Sequence[Word]) -> str:
    """Return `vectors.txt`: a line a spike, an empty line after each word."""
    pairs = [np.stack(word[:2], 1).tolist() for word in words]
    return "".join("".join(f"{ms} {unit}\n" for ms, unit in pair) + "\n" for pair in pairs)


def answers_text(runs: Sequence[IntegerRun]) -> str:
    """Return `expected.txt`: a line a word, its class and the scores of all classes."""
    return "".join(f"{run.answer} {' '.join(map(str, run.scores))}\n" for run in runs)


def edge_words(network: IntegerNetwork, words: Sequence[Word]) -> dict[str, Word]:
    """Return words for rules that recordings don't meet, by what they have.

    Of the recordings the one of fewest spikes is changed, and one is broken off where two classes
    have equally many spikes, more than none. Where there is no such word, as with membranes, it is
    left out.
    """
    grid, shortest = network.grid, min(words, key=lambda word: len(word.units) or np.inf)
    end_ms = int(grid.n_steps * grid.step_ms)
    cells = np.arange(N_CHANNELS) - grid.first_unit
    outside = np.flatnonzero((cells < 0) | (cells >= grid.n_units * grid.pool_units))
    all_units = np.arange(N_CHANNELS)
    after = np.full(N_CHANNELS, shortest.milliseconds.max(initial=end_ms))
    ms = np.concatenate([np.zeros_like(outside), shortest.milliseconds, after])
    found = {
        "no spike": (ms[:0], ms[:0]),
        "the shortest word, each spike twice": (
            np.repeat(shortest.milliseconds, 2),
            np.repeat(shortest.units, 2),
        ),
        "the same with spikes outside of units and window": (
            ms,
            np.concatenate([outside, shortest.units, all_units]),
        ),
        "every unit in the first 9 ms": (np.repeat(range(9), N_CHANNELS), np.tile(all_units, 9)),
    }
    ends = range(50, end_ms * (not network.is_membrane), 10)
    parts = ((w[0][w[0] < end], w[1][w[0] < end]) for w in words for end in ends)
    for part in parts:
        scores = np.sort(network.run(*part).scores)
        if scores[-1] == scores[-2] > 0:
            found |= {"a tie between classes": part}
            break
    return {name: Word(ms, units, 0) for name, (ms, units) in found.items()}


def trace_text(runs: Sequence[IntegerRun], n_membranes: int) -> str:
    """Return what `reference.c` prints with ``-DTRACE=n_membranes``: membranes of so many runs."""
    lines = []
    for number, run in enumerate(runs):
        for step in range(len(run.start) - 1):
            rows = [("i", run.inputs[run.start[step] : run.start[step + 1]])]
            rows += [(k, np.flatnonzero(spk[step])) for k, spk in zip("ho", run.spk, strict=True)]
            if number < n_membranes:
                rows += [(k, mem[step]) for k, mem in zip("uv", run.mem, strict=True)]
            lines += [" ".join(map(str, (kind, step, *row.tolist()))) for kind, row in rows]
        lines.append(answers_text([run]).rstrip())
    return "\n".join(lines) + "\n"


def count_line(network: IntegerNetwork, words: Sequence[Word], runs: Sequence[IntegerRun]) -> str:
    """Return what `reference.c` prints with ``-DCOUNT``."""
    n_hidden, n_classes = network.sizes[1:]
    n_inputs = sum(len(network.pool(*word[:2])[0]) for word in words)
    met = sum(int(network.fan_out[0][run.inputs].sum()) for run in runs)
    hidden = sum(int(run.spk[0].sum()) for run in runs)
    return (
        f"{len(words)} words, {sum(len(word.units) for word in words)} spikes, "
        f"{n_inputs} events, {hidden} hidden spikes, "
        f"{met + hidden * n_classes} accumulates, "
        f"{sum(len(run.spk[0]) for run in runs) * (n_hidden + n_classes)} neuron updates"
    )
