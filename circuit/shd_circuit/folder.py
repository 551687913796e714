"""The folder that an engineer gets: the circuit in C and Verilog, test vectors, and a README."""

import gzip
import itertools
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd

from shd_circuit import cost
from shd_circuit.integer import FACTOR_BITS, IntegerLayer, IntegerNetwork
from shd_circuit.sources import (
    MEMORIES,
    Word,
    answers_text,
    c_header,
    count_line,
    edge_words,
    events_text,
    memories,
    memory_bits,
    trace_text,
    verilog_parameters,
)
from shd_helpers.checks import check_whole, quoted
from shd_helpers.data.shd_file import N_CHANNELS
from shd_helpers.events import Downsampling
from shd_helpers.files import reading

SOURCES = ("reference.c", "rtl/core.v", "rtl/shd_top.v", "rtl/harness.cpp")
TO_CXXRTL = "read_verilog core.v; hierarchy -top core; proc; write_cxxrtl core.cpp"
_REMEDY = "Write the folder anew with make export."
_NAMES = {
    *(Path(name).name for name in SOURCES),
    *("README.md", "network.h", "network.vh", "network.nir", "vectors.txt", "labels.txt"),
    *("expected.txt", "edges.txt", "edges_expected.txt", "trace.txt.gz"),
    *(f"{name}.mem" for name in (*MEMORIES, "delay")),
}
# of the parameters in `network.vh` that a circuit is read from
_LIMITS = {
    "FIRST_UNIT": (0, N_CHANNELS - 1),
    "POOL_UNITS": (1, N_CHANNELS),
    "POOL_STEPS": (1, 65535),
    "POOL_THRESHOLD": (1, 65535),
    "N_UNITS": (1, N_CHANNELS),
    "N_STEPS": (1, 65535),
    "N_HIDDEN": (1, 65535),
    "N_CLASSES": (1, 65535),
    "LEAK_SHIFT": (0, 31),
    "LEAK_FACTOR": (0, 1 << FACTOR_BITS),
    "SHIFT1": (0, 31),
    "SHIFT2": (0, 31),
    "KERNEL": (1, N_CHANNELS),
    "STRIDE": (1, N_CHANNELS),
    "IS_MEMBRANE": (0, 1),
    "MEM_BITS": (2, 32),
}
# how a core is built from the same files
_FREE = ("WRITABLE", "INITIAL")
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
    operations: pd.Series  # from `cost.operations`
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
    runs, n_membranes = [network.run(*word[:2]) for word in words], min(n_membranes, len(words))
    edges = [*edge_words(network, words).values()]
    edge_runs = [network.run(*word[:2]) for word in edges]
    try:
        texts = {"network.h": c_header(network), "network.vh": verilog_parameters(network)}
    except ValueError as error:
        raise ExportError(str(error)) from error
    texts |= memories(network)
    texts |= {"vectors.txt": events_text(words), "expected.txt": answers_text(runs)}
    texts |= {"labels.txt": "".join(f"{word.label}\n" for word in words)}
    texts |= {"edges.txt": events_text(edges), "edges_expected.txt": answers_text(edge_runs)}
    texts |= {Path(name).name: source_text(name) for name in SOURCES}
    has_graph = write_graph is not None
    texts["README.md"] = readme(network, words, described, n_membranes, has_graph)
    trace = trace_text(runs, n_membranes)
    beside = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    before = folder.with_name(f".{folder.name}.{os.getpid()}.before")
    shutil.rmtree(beside, ignore_errors=True)
    shutil.rmtree(before, ignore_errors=True)
    try:
        beside.mkdir(parents=True)
        for name, text in texts.items():
            (beside / name).write_text(text, encoding="utf-8", newline="\n")
        (beside / "trace.txt.gz").write_bytes(gzip.compress(trace.encode(), mtime=0))
        if write_graph:
            write_graph(beside / "network.nir")
        if folder.is_symlink():
            raise OSError("it is a link")
        if folder.exists():  # moved first: of what another process has open, NFS leaves files
            folder.rename(before)
        beside.replace(folder)
    except OSError as error:
        raise ExportError(f"{folder}: can't be written ({error}). Take another OUT.") from error
    finally:
        if before.exists() and not folder.exists():
            before.rename(folder)
        shutil.rmtree(before, ignore_errors=True)
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
        is_made = path.name in _NAMES | _MADE or path.name.startswith(".nfs")
        if not (is_export and path.is_file() and is_made):
            raise ExportError(f"{path}: is no export's. Take another OUT.")
    if is_export and (line := own_line(readme.read_text(encoding="utf-8", errors="replace"))):
        raise ExportError(
            f"{readme}: has a line that this version's export doesn't write ({quoted(line)}), and "
            "would be replaced. Move your notes to another folder, or take another OUT."
        )


_ROWS = ("{nir_row}", "{memory_rows}", "{accuracy_rows}")  # any number of a table's rows


def own_line(text: str) -> str:
    """Return the first line of an exported README that its template doesn't have; "" if none."""
    lines = text.splitlines()
    # `nir_row` brings an end of line of its own
    template = source_text("folder.md").replace("{nir_row}", "{nir_row}\n").splitlines()
    at = 0
    for wanted, following in itertools.pairwise([*template, ""]):
        if wanted in _ROWS:
            while (
                at < len(lines) and lines[at].startswith("| ") and not _fits(lines[at], following)
            ):
                at += 1
        elif at == len(lines):
            return "(its end is missing)"
        elif not _fits(lines[at], wanted):
            return lines[at] or "(an empty line)"
        else:
            at += 1
    return next((line for line in lines[at:] if line.strip()), "")


def _fits(line: str, wanted: str) -> bool:
    """Tell whether a line is one of the template, with any text in the place of each name."""
    pieces = re.split(r"\{\w+\}", wanted)
    first, *others = [piece.replace("{{", "{").replace("}}", "}") for piece in pieces]
    if not others:
        return line == first
    if not line.startswith(first) or not line.endswith(others[-1]):
        return False
    at = len(first)
    for piece in others[:-1]:
        at = line.find(piece, at) + len(piece)
        if at < len(piece):
            return False
    return at <= len(line) - len(others[-1])


def read_vectors(folder: Path) -> list[Word]:
    """Return the words of an exported folder.

    ExportError, if its `vectors.txt` and `labels.txt` can't be read or don't belong together.
    """
    pairs = read_spikes(folder / "vectors.txt")
    with reading(folder / "labels.txt", ExportError, _REMEDY):
        labels = [int(line) for line in (folder / "labels.txt").read_text("utf-8").split()]
        return [Word(pair[0], pair[1], k) for pair, k in zip(pairs, labels, strict=True)]


def read_spikes(path: Path) -> list[np.ndarray]:
    """Return milliseconds and units of each word of a file like `vectors.txt`, (2, spikes) int64.

    ExportError, if it can't be read.
    """
    with reading(path, ExportError, _REMEDY):
        texts = re.split("^\n", path.read_text(encoding="utf-8"), flags=re.MULTILINE)[:-1]
        return [np.array(text.split(), np.int64).reshape(-1, 2).T for text in texts]


def read_circuit(folder: Path) -> IntegerNetwork:
    """Return the circuit of an exported folder.

    ExportError, if a file can't be read, or its numbers aren't those of a circuit: a board would be
    loaded with them, and no core is told that they are wrong.
    """
    with reading(folder / "network.vh", ExportError, _REMEDY):
        text = (folder / "network.vh").read_text(encoding="utf-8")
        p = _parameters(text)
        for name, limits in _LIMITS.items():
            if name not in p:
                raise ExportError(f"{folder / 'network.vh'}: {name} is missing. {_REMEDY}")
            check_whole(name, p[name], *limits)
        found = {}
        for name in ("weight1", "weight2", "bias", "threshold", "leak", "delay"):
            lines = (folder / f"{name}.mem").read_text(encoding="utf-8").splitlines()
            found[name] = np.array([[int(v, 16) for v in line.split()] for line in lines])
            if name[:6] in ("weight", "bias"):  # two's complement
                bits = p[f"{name.upper()}_BITS"]
                found[name] -= (found[name] >> (bits - 1)) << bits
        halves = slice(p["N_HIDDEN"]), slice(p["N_HIDDEN"], None)
        has_factors = not p["LEAK_SHIFT"] and not p["LEAK_FACTOR"]
        layers = tuple(
            IntegerLayer(
                found[f"weight{i}"], found["bias"][half, 0], found["threshold"][half, 0],
                p[f"SHIFT{i}"], found["leak"][half, 0] if has_factors else None,
            )
            for i, half in enumerate(halves, start=1)
        )  # fmt: skip
        kernel = p["KERNEL"] if p["KERNEL"] < p["N_UNITS"] else 0
        window: tuple = kernel, p["STRIDE"], p["IS_MEMBRANE"] > 0
        pool = p["POOL_UNITS"], p["POOL_STEPS"], p["POOL_THRESHOLD"]
        grid = Downsampling(p["FIRST_UNIT"], p["N_STEPS"] * p["POOL_STEPS"] / 1000, *pool)
        leak, delays = (p["LEAK_SHIFT"], p["LEAK_FACTOR"]), tuple(found["delay"][:, 0].tolist())
        if found["threshold"].min() < 1:
            raise ValueError("threshold.mem: a threshold below 1")
        network = IntegerNetwork(grid, delays, layers, p["MEM_BITS"], *leak, *window)
        _check_memories(folder, memories(network))
        _check_parameters(folder / "network.vh", p, _parameters(verilog_parameters(network)))
    return network


def _parameters(text: str) -> dict[str, int]:
    """Return the parameters of a text as `sources.verilog_parameters` writes it."""
    return {name: int(n) for name, n in re.findall(r"parameter (\w+) = (\d+)", text)}


def _defines(text: str) -> dict[str, int]:
    """Return the numbers of a text as `sources.c_header` writes it."""
    return {name: int(n) for name, n in re.findall(r"#define (\w+) (-?\d+)\n", text)}


def _check_parameters(path: Path, found: dict[str, int], wanted: dict[str, int]) -> None:
    """Raise ExportError if a file's number isn't the one that follows from the circuit."""
    for name, value in wanted.items():
        if name not in found:
            raise ExportError(f"{path}: {name} is missing. {_REMEDY}")
        if found[name] != value and name not in _FREE:
            raise ExportError(f"{path}: {name} is {found[name]}, not {value}. {_REMEDY}")


def _check_memories(folder: Path, wanted: dict[str, str]) -> None:
    """Raise ExportError if a ``.mem`` file has numbers that its memory can't hold.

    In `mask.mem` whoever builds the core may switch neurons off.
    """
    for name, text in wanted.items():
        if name == "mask.mem":
            continue
        path = folder / name
        found, numbers = path.read_text(encoding="utf-8").split(), text.split()
        if len(found) != len(numbers):
            raise ExportError(f"{path}: {len(found)} numbers, not {len(numbers)}. {_REMEDY}")
        for i, (have, want) in enumerate(zip(found, numbers, strict=True), start=1):
            if int(have, 16) != int(want, 16):
                raise ExportError(f"{path}: number {i} is {have}, not {want}. {_REMEDY}")


def check_header(folder: Path) -> None:
    """Raise ExportError if `network.h` isn't of the same circuit as the folder's other files."""
    path = folder / "network.h"
    with reading(path, ExportError, _REMEDY):
        found = path.read_text(encoding="utf-8")
        wanted = c_header(read_circuit(folder))
    _check_parameters(path, _defines(found), _defines(wanted))
    if _without_comments(found) != _without_comments(wanted):
        raise ExportError(f"{path}: its arrays aren't those of the .mem files. {_REMEDY}")


def _without_comments(text: str) -> list[str]:
    return re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL).split()


def build_folder(folder: Path, **build: int) -> None:
    """Write `network.vh` and the `.mem` files of a folder anew, for another `sources.BUILD`.

    ExportError, if lanes don't fit, or as `read_circuit`.
    """
    try:
        texts = memories(read_circuit(folder), build.get("LANES", 1))
    except ValueError as error:
        raise ExportError(f"{folder}: {error}") from error
    texts["network.vh"] = (folder / "network.vh").read_text(encoding="utf-8")
    for name, value in build.items():
        texts["network.vh"] = re.sub(f"({name} =) \\d+", rf"\1 {value}", texts["network.vh"])
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def source_text(name: str) -> str:
    """Return a file of `SOURCES`, or the README's text."""
    return files("shd_circuit").joinpath(name).read_text(encoding="utf-8")


def readme(
    network: IntegerNetwork,
    words: Sequence[Word],
    described: Description,
    n_membranes: int = 1,
    has_graph: bool = True,
) -> str:
    """Return the folder's README; see `write_folder`."""
    grid, layers, delays = network.grid, network.layers, network.delays
    runs, edges = [network.run(*word[:2]) for word in words], edge_words(network, words)
    _, n_hidden, n_classes = network.sizes
    bits, stored = memory_bits(network), cost.memory(network)
    # what spikes now, as places in a window, and how many inputs each bin has
    size, window = cost.bin_size(network), network.kernel or grid.n_units
    n_places, unit_bits = (len(delays) - 1) * window + grid.n_units, grid.n_units.bit_length()
    n_bins, in_bin = -(-grid.n_units // size), size * len(delays)
    lists = 2 ** (n_bins * in_bin + n_hidden - 1).bit_length()
    lists *= (max(n_places, n_hidden) - 1).bit_length() + unit_bits * (window % size > 0)
    lists += n_bins * (in_bin.bit_length() + 1)
    lists += (delays[-1] + 1) * (2**unit_bits + 1) * unit_bits  # events of old steps, their number
    last = [cost.last_step_cycles(network, word) for word in words]
    answer_cycles = np.mean([cost.answer_cycles(network, word) for word in words])
    counted = described.operations
    n_updates = float(counted.get("neuron_updates", grid.n_steps * (n_hidden + n_classes)))
    by_shift = f"U - (U >> {network.leak_shift})"
    by_product = f"(U x {network.leak_factor or 'F'}) >> {network.factor_bits}"
    by_product += ", F its own factor in `leak.mem`" * (layers[0].factor is not None)
    first = "word" if n_membranes == 1 else f"{n_membranes} words"
    rounded = "none of its numbers is rounded"
    if described.is_tuned:
        rounded = "its weights already have few bits, biases, thresholds and membranes not"
    values = {
        **vars(grid), **vars(described), **{f"{name}_bits": n for name, n in bits.items()},
        "n_units": grid.n_units, "n_steps": grid.n_steps, "step_ms": int(grid.step_ms),
        "n_channels": N_CHANNELS, "n_hidden": n_hidden, "n_classes": n_classes,
        **_words(network),
        "class_names": ", ".join(f"{i} {word}" for i, word in enumerate(described.class_names)),
        "end_unit": grid.first_unit + grid.n_units * grid.pool_units,
        "window_ms": int(grid.n_steps * grid.step_ms),
        "last_in_block": grid.pool_units - 1,
        "last_hidden": n_hidden - 1,
        "late_memory": ", late events" * bool(delays[1:]),
        "minus_one": f"{2 ** bits['weight1'] - 1:x}",
        "n_words": len(words), "n_membranes": n_membranes, "edges": "; ".join(edges),
        "n_correct": sum(run.answer == word.label for word, run in zip(words, runs, strict=True)),
        "membranes": f"; in the first {first} also `u` and `v`: the step, and all hidden "
        "and output membranes after point 4" * bool(n_membranes),
        "nir_row": "| `network.nir` | the network in floats, as a NIR graph, with its step, "
        f"reset and units in the metadata; {rounded} |\n" * has_graph,
        "leak": f"U becomes {by_shift if network.leak_shift else by_product}.",
        "shifts": f" (shifted left by {layers[0].shift} bits in the first layer, by "
        f"{layers[1].shift} in the second)" * any(layer.shift for layer in layers),
        "delays": "Every event arrives at once." if delays == (0,)
        else f"Every event arrives {len(delays)} times, {', '.join(map(str, delays))} steps "
        f"late, each time at weights of its own: input k x {grid.n_units} + block for delay "
        "number k.",
        "mem_bits": network.mem_bits, "low": -network.high - 1, "high": network.high,
        "sum_bits": max(network.sum_bits(0), network.sum_bits(1)),
        "memory_rows": "\n".join(
            f"| {name} | {row.numbers:,.0f} | {row.bits:.0f} | {row.bytes:,.0f} |"
            for name, row in stored.iterrows()
        ),
        "leak_kind": "shift" if network.leak_shift else "factor",
        "all_bytes": f"{stored.bytes.sum():,.0f}", "list_bytes": f"{lists / 8:,.0f}",
        "all_with_lists": f"{stored.bytes.drop('delays').sum() + lists / 8:,.0f}",
        "neuron_updates": f"{n_updates:,.0f}", "updates_a_step": n_hidden + n_classes,
        "accumulates": f"{counted.accumulates:,.0f}",
        "accumulates_a_step": f"{counted.accumulates / n_updates * (n_hidden + n_classes):,.0f}",
        "effective": f"{counted.effective_accumulates / max(counted.accumulates, 1):.0%}",
        "n_scored": max(n for _, n in described.accuracies.values()),
        "accuracy_rows": "\n".join(
            f"| {name} | {n} | {correct / n:.1%} |"
            for name, (correct, n) in described.accuracies.items()
        ),
        "count_line": count_line(network, words, runs), "to_cxxrtl": TO_CXXRTL,
        "core_line": cost.core_line(network, words),
        "core_edge_line": cost.core_line(network, [*edges.values()]),
        "answer_cycles": f"{answer_cycles:,.0f}",
        "tick_unit": 0 if grid.first_unit else (1 << 10) - 1,  # no block has it
        "last_low": f"{min(last):,}", "last_high": f"{max(last):,}",
    }  # fmt: skip
    return source_text("folder.md").format_map(values)


def _words(network: IntegerNetwork) -> dict[str, str]:
    """Return what the README says of windows and of the readout."""
    (n_places, n_weights), n_at_place = network.columns.shape, len(network.layers[0].weight)
    n_units, stride, last_input = network.grid.n_units, network.stride, network.sizes[0] - 1
    order = ", one delay after the other" if network.delays[1:] else ", input b for block b"
    by_spikes = "the output neuron with most spikes over all steps; of several with equally many"
    by_membrane = (
        "classes never spike, for no membrane is above their thresholds. A class's score is the "
        "sum of its membranes after point 4; taken is the highest; of several equally high ones"
    )
    said = {
        "places": "",
        "decision": f"{by_membrane if network.is_membrane else by_spikes}, the lowest.",
        "windows": "",
        "weight1_line": f"a hidden neuron | its weights of inputs 0 to {last_input}{order}",
    }
    if network.kernel:
        said["places"] = f", {n_at_place} at each of {n_places} places"
        said["windows"] = (
            f" Weights are shared: hidden neuron {n_at_place} p + c has line c of `weight1.mem`, "
            f"and sees of each delay k the {network.kernel} blocks from {stride} p on. Number "
            f"{network.kernel} k + j of the line is for input {n_units} k + {stride} p + j. All "
            "other inputs are passed over."
        )
        said["weight1_line"] = f"one of {n_at_place} channels | its {n_weights} weights{order}"
    return said
