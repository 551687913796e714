"""The folder that an engineer gets: the circuit in C and Verilog, test vectors, and a README."""

import gzip
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd

from hardware import budget
from hardware.cycles import answer_cycles, core_line, step_cycles
from hardware.integer import IntegerNetwork, IntegerRun
from hardware.kernels import FACTOR_BITS
from hardware.sources import c_header, memories, memory_bits, verilog_parameters
from hardware.vectors import Word, counts_text, edge_words, events_text, trace_text
from shd_helpers.files import reading
from shd_helpers.source.shd_file import N_CHANNELS

SOURCES = ("reference.c", "rtl/core.v", "rtl/harness.cpp")
TO_CXXRTL = "read_verilog core.v; hierarchy -top core; proc; write_cxxrtl core.cpp"
_REMEDY = "Write the folder anew with make export."
_NAMES = {
    *(Path(name).name for name in SOURCES),
    *("README.md", "network.h", "network.vh", "network.nir", "vectors.txt", "labels.txt"),
    *("expected.txt", "edges.txt", "edges_expected.txt", "trace.txt.gz"),
    *(f"{name}.mem" for name in ("weight1", "weight2", "bias", "threshold", "delay")),
}
# what yosys, the compilers and the README's commands leave there
_MADE = {"reference", "traced", "simulation", "core.cpp", "output.txt", "trace.txt", "count.txt"}


class ExportError(ValueError):
    """What can't be exported; the message names the file or the setting, and the remedy."""


@dataclass(frozen=True)
class Description:
    """What the README tells besides the circuit."""

    name: str
    origin: str  # a sentence or two: where the network comes from
    class_names: tuple[str, ...]
    data: str  # of the vectors and the accuracies
    scored: str  # a sentence: over what the accuracies are
    accuracies: dict[str, tuple[int, int]]  # of each network: correct utterances, and of how many
    operations: pd.Series  # from `budget.operations`
    is_tuned: bool = False  # it was trained with few bits


def write_folder(
    folder: Path,
    network: IntegerNetwork,
    words: Sequence[Word],
    described: Description,
    n_membranes: int = 1,
    write_graph: Callable[[Path], None] | None = None,
) -> None:
    """Write the folder beside and move it into place; an earlier export there is replaced.

    Parameters
    ----------
    folder : Path
        Its name is new, or an earlier export's.
    network : IntegerNetwork
        Of two layers.
    words : sequence of Word
        The test vectors.
    described : Description
        For the README.
    n_membranes : int
        Words whose membranes are kept too, of those before: they are most of the bytes.
    write_graph : callable, optional
        Writes ``network.nir`` to the path that it gets.

    Raises
    ------
    ExportError
        If the circuit can't be written in C and Verilog, or other files lie in the folder.
    """
    check_place(folder)
    runs = [network.run(*word[:2]) for word in words]
    try:
        texts = {"network.h": c_header(network), "network.vh": verilog_parameters(network)}
    except ValueError as error:
        raise ExportError(str(error)) from error
    texts |= memories(network)
    texts |= {"vectors.txt": events_text(words), "expected.txt": counts_text(runs)}
    texts |= {"labels.txt": "".join(f"{word.label}\n" for word in words)}
    edges = edge_words(network, words)
    edge_runs = [network.run(*word[:2]) for word in edges.values()]
    texts |= {"edges.txt": events_text([*edges.values()])}
    texts |= {"edges_expected.txt": counts_text(edge_runs)}
    texts |= {Path(name).name: source_text(name) for name in SOURCES}
    n_membranes = min(n_membranes, len(words))
    has_graph = write_graph is not None
    texts["README.md"] = readme(
        network, words, runs, described,
        n_membranes=n_membranes, edges=edges, has_graph=has_graph,
    )  # fmt: skip
    trace = trace_text(network, words, runs, n_membranes)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    shutil.rmtree(beside, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        for name, text in texts.items():
            (beside / name).write_text(text, encoding="utf-8", newline="\n")
        (beside / "trace.txt.gz").write_bytes(gzip.compress(trace.encode(), mtime=0))
        if write_graph:
            write_graph(beside / "network.nir")
        if folder.exists():
            shutil.rmtree(folder)
        beside.replace(folder)
    except OSError as error:
        raise ExportError(f"{folder}: can't be written ({error}). Take another OUT.") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def check_place(folder: Path) -> None:
    """Raise ExportError if a folder holds what no export wrote; an export is told by its README."""
    if folder.is_file():
        raise ExportError(f"{folder}: is a file. Take another OUT.")
    there = sorted(folder.iterdir()) if folder.exists() else []
    mark, readme = source_text("folder.md").partition("\n")[0].encode(), folder / "README.md"
    is_export = readme.is_file() and readme.read_bytes().partition(b"\n")[0].endswith(
        mark.removeprefix(b"# {name}")
    )
    for path in there:
        if not (is_export and path.is_file() and path.name in _NAMES | _MADE):
            raise ExportError(f"{path}: is no export's. Take another OUT.")


def read_vectors(folder: Path) -> list[Word]:
    """Return the words of an exported folder.

    Parameters
    ----------
    folder : Path
        Has `vectors.txt` and `labels.txt`.

    Raises
    ------
    ExportError
        If they can't be read, or don't belong together.
    """
    with reading(folder / "vectors.txt", ExportError, _REMEDY):
        texts = (folder / "vectors.txt").read_text(encoding="utf-8").split("\n\n")[:-1]
        pairs = [np.array(text.split(), np.int64).reshape(-1, 2).T for text in texts]
    with reading(folder / "labels.txt", ExportError, _REMEDY):
        labels = [int(line) for line in (folder / "labels.txt").read_text().split()]
        return [Word(pair[0], pair[1], k) for pair, k in zip(pairs, labels, strict=True)]


def source_text(name: str) -> str:
    """Return a file of `SOURCES`."""
    return files("hardware").joinpath(name).read_text(encoding="utf-8")


def readme(
    network: IntegerNetwork,
    words: Sequence[Word],
    runs: Sequence[IntegerRun],
    described: Description,
    *,
    n_membranes: int,
    edges: dict[str, Word],
    has_graph: bool,
) -> str:
    """Return the folder's README; see `write_folder`."""
    grid, counted = network.grid, described.operations
    n_hidden, n_classes = (len(layer.threshold) for layer in network.layers)
    stored, lists = budget.memory(network), _list_bytes(network)
    first = "word" if n_membranes == 1 else f"{n_membranes} words"
    state = "none of its numbers is rounded"
    if described.is_tuned:
        state = "its weights already have few bits, biases, thresholds and membranes not"
    updates = grid.n_steps * (n_hidden + n_classes)
    n_correct = sum(run.answer == word.label for word, run in zip(words, runs, strict=True))
    values = {
        **vars(grid), **vars(described), **_rule(network),
        "n_units": grid.n_units, "n_steps": grid.n_steps, "n_channels": N_CHANNELS,
        "step_ms": int(grid.step_ms),
        "end_unit": grid.first_unit + grid.n_units * grid.pool_units,
        "window_ms": int(grid.n_steps * grid.step_ms),
        "n_hidden": n_hidden, "n_classes": n_classes,
        "class_names": ", ".join(f"{i} {word}" for i, word in enumerate(described.class_names)),
        "n_words": len(words), "n_correct": n_correct, "n_membranes": n_membranes,
        "edges": "; ".join(edges),
        "membranes": f"; in the first {first} also `u` and `v`: the step, and all hidden "
        "and output membranes after point 4" * bool(n_membranes),
        "nir_row": "| `network.nir` | the network in floats, as a NIR graph, with its step, "
        f"reset and units in the metadata; {state} |\n" * has_graph,
        **_integers(network), **_cycles(network, words, [*edges.values()]),
        "memory_rows": "\n".join(
            f"| {name} | {row.numbers:,.0f} | {row.bits:.0f} | {row.bytes:,.0f} |"
            for name, row in stored.iterrows()
        ),
        "all_bytes": f"{stored.bytes.sum():,.0f}",
        "list_bytes": f"{lists:,.0f}", "all_with_lists": f"{stored.bytes.sum() + lists:,.0f}",
        "neuron_updates": f"{updates:,}", "updates_a_step": n_hidden + n_classes,
        "accumulates": f"{counted.accumulates:,.0f}",
        "accumulates_a_step": f"{counted.accumulates / grid.n_steps:,.0f}",
        "effective": f"{counted.effective_accumulates / max(counted.accumulates, 1):.0%}",
        "n_scored": max(n for _, n in described.accuracies.values()),
        "accuracy_rows": "\n".join(
            f"| {name} | {n} | {correct / n:.1%} |"
            for name, (correct, n) in described.accuracies.items()
        ),
        "count_line": count_line(network, words, runs),
        "to_cxxrtl": TO_CXXRTL,
    }  # fmt: skip
    return source_text("folder.md").format_map(values)


def _rule(network: IntegerNetwork) -> dict[str, object]:
    """Return the words of the update rule, as far as they depend on the network."""
    rule, by_shift = network, f"U - (U >> {network.leak_shift})"
    by_product = f"(U x {network.leak_factor}) >> {FACTOR_BITS}"
    shifts = [layer.shift for layer in rule.layers]
    late = ", ".join(map(str, rule.delays))
    return {
        "leak": f"U becomes {by_shift if network.leak_shift else by_product}.",
        "shifts": f" (shifted left by {shifts[0]} bits in the first layer, by {shifts[1]} in the "
        "second)" * any(shifts),
        "delays": "Every input spike arrives at once."
        if rule.delays == (0,)
        else f"Every input spike arrives {len(rule.delays)} times, {late} steps late, each time "
        f"at weights of its own: input k x {rule.grid.n_units} + block for delay number k.",
        "mem_bits": rule.mem_bits,
        "low": -rule.high - 1,
        "high": rule.high,
        "sum_bits": max(rule.sum_bits(0), rule.sum_bits(1)),
    }


def _integers(network: IntegerNetwork) -> dict[str, object]:
    """Return what the README says of the `.mem` files."""
    bits, grid, n_delays = memory_bits(network), network.grid, len(network.delays)
    n_hidden, n_inputs = network.layers[0].weight.shape
    return {f"{name}_bits": n for name, n in bits.items()} | {
        "last_in_block": grid.pool_units - 1,
        "last_input": n_inputs - 1,
        "last_hidden": n_hidden - 1,
        "input_order": ", one delay after the other" if n_delays > 1 else ", input b for block b",
        "late_memory": ", late input spikes" if n_delays > 1 else "",
        "minus_one": f"{2 ** bits['weight1'] - 1:x}",
    }


def _list_bytes(network: IntegerNetwork) -> float:
    """Return the size of the core's lists of spikes."""
    n_units, longest = network.grid.n_units, max(network.layers[0].weight.shape)
    index_bits, unit_bits = (longest + 1).bit_length(), n_units.bit_length()
    old = (network.delays[-1] + 1) * 2**unit_bits * unit_bits
    return (2 * 2**index_bits * index_bits + old) / 8


def _cycles(
    network: IntegerNetwork, words: Sequence[Word], edges: Sequence[Word]
) -> dict[str, object]:
    """Return what the README says of the core's clock cycles."""
    last = [1 + int(step_cycles(network, word)[1][-1]) for word in words]
    return {
        "core_line": core_line(network, words),
        "core_edge_line": core_line(network, edges),
        "answer_cycles": f"{np.mean([answer_cycles(network, word) for word in words]):,.0f}",
        "tick_unit": 0 if network.grid.first_unit else (1 << 10) - 1,  # no block has it
        "last_low": f"{min(last):,}",
        "last_high": f"{max(last):,}",
    }


def count_line(network: IntegerNetwork, words: Sequence[Word], runs: Sequence[IntegerRun]) -> str:
    """Return what `reference.c` prints with ``-DCOUNT``."""
    n_hidden, n_classes = (len(layer.threshold) for layer in network.layers)
    n_steps = network.grid.n_steps
    steps = [network.pool(*word[:2])[0] for word in words]
    arrivals = sum(int((part + late < n_steps).sum()) for part in steps for late in network.delays)
    hidden = sum(int(run.spk[0].sum()) for run in runs)
    return (
        f"{len(words)} words, {sum(len(word.units) for word in words)} events, "
        f"{sum(map(len, steps))} input spikes, {hidden} hidden spikes, "
        f"{arrivals * n_hidden + hidden * n_classes} accumulates, "
        f"{len(words) * n_steps * (n_hidden + n_classes)} neuron updates"
    )
