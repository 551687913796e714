"""The folder that an engineer gets: the circuit in C and Verilog, test vectors, and a README."""

import gzip
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shd_circuit.confidence import Confidence
from shd_circuit.hardware import hardware
from shd_circuit.integer import FACTOR_BITS, OWN_FACTOR_BITS, IntegerLayer, IntegerNetwork
from shd_circuit.readme import Description, is_readme, notice, readme
from shd_circuit.sources import (
    MEMORIES,
    MODULE_FILES,
    Utterance,
    Vectors,
    answers_text,
    c_header,
    events_text,
    memories,
    run_vectors,
    source_text,
    trace_text,
    verilog_parameters,
)
from shd_corpus.checks import check_whole
from shd_corpus.files import reading
from shd_corpus.shd_file import N_CHANNELS
from shd_helpers.events import Downsampling

SOURCES = (
    "LICENSE",
    "reference.c",
    "network.c",
    *(f"rtl/{name}" for name in MODULE_FILES),
    "rtl/bench.v",
    "rtl/harness.cpp",
    "rtl/placed.v",
    "rtl/waivers.vlt",
    "rtl/shd_circuit.core",
)
_REMEDY = "Write the folder anew with make export."
# the files of an export
_EXPORTED = {
    *(Path(name).name for name in SOURCES),
    "README.md",
    "NOTICE.md",
    "HARDWARE.md",
    "network.h",
    "confidence.h",
    "network.vh",
    "network.nir",
    "vectors.txt",
    "labels.txt",
    "classes.txt",
    "description.json",
    "expected.txt",
    "edges.txt",
    "edges_expected.txt",
    "trace.txt.gz",
    *(f"{name}.mem" for name in MEMORIES),
    "delay.mem",
}
# what the tools of the README's commands leave there
_MADE = {
    "reference",
    "traced",
    "simulation",
    "bench",
    "core.cpp",
    "build.log",
    "output.txt",
    "trace.txt",
    "count.txt",
    "top.json",
    "top.asc",
    "fusesoc.conf",
}
_MADE_FOLDERS = {"obj_dir", "build", "__pycache__"}
# lowest and highest value of the parameters in `network.vh` that a circuit is read from
_LIMITS = {
    "N_CHANNELS": (1, N_CHANNELS),
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
    "NUMBER_BITS": (2, 32),
    "MEM_LANES": (1, 65535),
}
# the parameters that whoever builds a core may change: they don't follow from the circuit
_FREE = ("WRITABLE", "INITIAL")


class ExportError(ValueError):
    """What can't be exported; the message names the file or the setting, and the remedy."""


class FolderOptions(NamedTuple):
    """How a folder is written: membranes in how many utterances' traces, and the core's lanes."""

    n_membranes: int = 1
    lanes: int = 1


DEFAULTS = FolderOptions()


def write_folder(
    folder: Path,
    network: IntegerNetwork,
    utterances: Sequence[Utterance],
    description: Description,
    options: FolderOptions = DEFAULTS,
    write_graph: Callable[[Path], None] | None = None,
    confidence: Confidence | None = None,
) -> None:
    """Write a circuit's folder, which needs nothing of this repository.

    It is written beside its final name and then moved there, so that no unfinished export has that
    name. An earlier export there is replaced.
    """
    check_folder(folder)
    lanes = options.lanes
    n_membranes = min(options.n_membranes, len(utterances))
    try:
        texts = _circuit_texts(network, lanes)
    except ValueError as error:
        raise ExportError(str(error)) from error
    vectors = run_vectors(network, utterances)
    texts |= _vector_texts(vectors)
    has_graph = write_graph is not None
    texts["README.md"] = readme(
        network, vectors, description, n_membranes, has_graph, confidence is not None, lanes
    )
    texts["classes.txt"] = classes_text(description.class_names)
    texts["description.json"] = f"{json.dumps(asdict(description), indent=1, ensure_ascii=False)}\n"
    texts["HARDWARE.md"] = hardware(network, lanes)
    if confidence is not None:
        texts["confidence.h"] = confidence.header()
    texts["NOTICE.md"] = notice(description)
    trace = trace_text(vectors.runs, n_membranes)

    def write_files(unfinished: Path) -> None:
        for name, text in texts.items():
            (unfinished / name).write_text(text, encoding="utf-8", newline="\n")
        # without the time of writing, so that the same circuit gives the same bytes
        (unfinished / "trace.txt.gz").write_bytes(gzip.compress(trace.encode(), mtime=0))
        if write_graph:
            write_graph(unfinished / "network.nir")

    _replace(folder, write_files)


def _circuit_texts(network: IntegerNetwork, lanes: int) -> dict[str, str]:
    """Return the files that define the circuit, by name; ValueError if C can't hold its sums."""
    texts = {"network.h": c_header(network), "network.vh": verilog_parameters(network, LANES=lanes)}
    texts |= memories(network, lanes)
    texts |= {Path(name).name: source_text(name) for name in SOURCES}
    return texts


def _vector_texts(vectors: Vectors) -> dict[str, str]:
    """Return the test vectors and what must be answered, by the files' names."""
    return {
        "vectors.txt": events_text(vectors.utterances),
        "expected.txt": answers_text(vectors.runs),
        "labels.txt": "".join(f"{utterance.label}\n" for utterance in vectors.utterances),
        "edges.txt": events_text([*vectors.edges.values()]),
        "edges_expected.txt": answers_text(vectors.edge_runs),
    }


def classes_text(class_names: Sequence[str]) -> str:
    """Write the names of the classes as `classes.txt` has them."""
    return "".join(f"{' '.join(name.split())}\n" for name in class_names)


def _replace(folder: Path, write_files: Callable[[Path], None]) -> None:
    """Let a function write files into a new folder, and move it to where `folder` is.

    Where this fails, what `folder` held before is still there.
    """
    unfinished = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    previous = folder.with_name(f".{folder.name}.{os.getpid()}.before")
    shutil.rmtree(unfinished, ignore_errors=True)
    shutil.rmtree(previous, ignore_errors=True)
    try:
        unfinished.mkdir(parents=True)
        write_files(unfinished)
        if folder.is_symlink():
            raise OSError("it is a link")
        # moved before it is removed: on NFS a file that is open elsewhere would stay in its folder
        if folder.exists():
            folder.rename(previous)
        unfinished.replace(folder)
    except OSError as error:
        raise ExportError(
            f"{folder}: can't be written ({error}). Choose another folder: OUT=..."
        ) from error
    finally:
        if previous.exists() and not folder.exists():
            previous.rename(folder)
        shutil.rmtree(previous, ignore_errors=True)
        shutil.rmtree(unfinished, ignore_errors=True)


def check_folder(folder: Path) -> None:
    """Check that an export may replace what is in a folder."""
    if folder.is_file():
        raise ExportError(f"{folder}: is a file. Choose another folder: OUT=...")
    path = folder / "README.md"
    is_export = path.is_file() and is_readme(path.read_bytes())
    for other in sorted(folder.iterdir()) if folder.exists() else []:
        is_made = other.is_dir() and other.name in _MADE_FOLDERS
        is_known = other.name in _EXPORTED | _MADE or other.name.startswith(".nfs")
        is_of_export = other.is_file() and is_known
        if not (is_export and (is_made or is_of_export)):
            raise ExportError(
                f"{other}: wasn't written by an export, and an export would delete it. Choose "
                "another folder: OUT=..."
            )


def read_vectors(folder: Path) -> list[Utterance]:
    """Read the test vectors of an exported folder.

    Parameters
    ----------
    folder : Path
        With ``vectors.txt`` and ``labels.txt``.

    Returns
    -------
    list of Utterance
        In order.

    Raises
    ------
    ExportError
        If these files can't be read or don't belong together.
    """
    spikes = read_spikes(folder / "vectors.txt")
    path = folder / "labels.txt"
    with reading(path, ExportError, _REMEDY):
        labels = [int(line) for line in path.read_text("utf-8").split()]
        return [
            Utterance(milliseconds, units, label)
            for (milliseconds, units), label in zip(spikes, labels, strict=True)
        ]


def read_description(folder: Path) -> Description:
    """Read what an export says of its network from ``description.json``."""
    path = folder / "description.json"
    with reading(path, ExportError, _REMEDY):
        return Description(**json.loads(path.read_text(encoding="utf-8")))


def read_spikes(path: Path) -> list[np.ndarray]:
    """Read a file such as ``vectors.txt``: milliseconds and units of each utterance.

    An empty line ends an utterance. The last one may end with the file. Lines are refused that
    `reference.c` refuses.
    """
    utterances = []
    spikes: list[tuple[int, int]] = []
    with reading(path, ExportError, _REMEDY):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            if line.strip():
                spikes.append(_spike(number, line, spikes[-1][0] if spikes else 0))
            else:
                utterances.append(spikes)
                spikes = []
    if spikes:
        utterances.append(spikes)
    return [np.array(spikes, np.int64).reshape(-1, 2).T for spikes in utterances]


def _spike(number: int, line: str, last_ms: int) -> tuple[int, int]:
    """Return a line's millisecond and unit; ValueError, if `reference.c` would refuse it."""
    texts = line.split()
    is_whole = all(text.isascii() and text.isdigit() for text in texts)
    if len(texts) != 2 or not is_whole:
        raise ValueError(f'line {number} is not "millisecond unit", two whole numbers from 0')
    millisecond, unit = map(int, texts)
    if unit >= N_CHANNELS:
        raise ValueError(f"line {number} has unit {unit}: the cochlea has 0 to {N_CHANNELS - 1}")
    if millisecond < last_ms:
        raise ValueError(f"line {number} is earlier than the line before: sort the spikes")
    return millisecond, unit


def read_text(path: Path) -> str:
    """Read a text file of an exported folder."""
    with reading(path, ExportError, _REMEDY):
        return path.read_text(encoding="utf-8")


def read_circuit(folder: Path) -> IntegerNetwork:
    """Read the circuit of an exported folder from ``network.vh`` and the ``.mem`` files.

    All numbers are checked, because no core notices that they are wrong.
    """
    path = folder / "network.vh"
    with reading(path, ExportError, _REMEDY):
        parameters = _parameters(path.read_text(encoding="utf-8"))
        _check_limits(path, parameters)
        network = _network(parameters, _memory_numbers(folder, parameters))
        # the circuit must lead to the very files that it was read from
        lanes = parameters["MEM_LANES"]
        _check_memories(folder, memories(network, lanes))
        written = _parameters(verilog_parameters(network, LANES=lanes))
        _check_parameters(path, parameters, written)
    return network


def _parameters(text: str) -> dict[str, int]:
    """Return the parameters of a text as `sources.verilog_parameters` writes it."""
    return {name: int(value) for name, value in re.findall(r"parameter (\w+) = (\d+)", text)}


def _check_limits(path: Path, parameters: dict[str, int]) -> None:
    """Raise an error if a parameter that a circuit is read from is missing or out of range."""
    for name, limits in _LIMITS.items():
        if name not in parameters:
            raise ExportError(f"{path}: {name} is missing. {_REMEDY}")
        check_whole(name, parameters[name], *limits)


def _mem_lines(path: Path) -> list[list[int]]:
    """Return the memory words of a ``.mem`` file, a list for each line."""
    lines = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not re.fullmatch(r"[0-9A-Fa-f\s]*", line):
            raise ExportError(f"{path}: line {number} has something else than hex. {_REMEDY}")
        lines.append([int(digits, 16) for digits in line.split()])
    return lines


def _memory_numbers(folder: Path, parameters: dict[str, int]) -> dict[str, np.ndarray]:
    """Return the numbers in a folder's ``.mem`` files, a row for each neuron."""
    both_layers = (parameters["N_HIDDEN"], parameters["N_CLASSES"])
    sizes = {"weight1": (parameters["NEURONS_PER_WINDOW"],), "weight2": both_layers[1:]}
    lanes = parameters["MEM_LANES"]
    numbers = {"delay": np.array(_mem_lines(folder / "delay.mem"))}
    for name in ("weight1", "weight2", "bias", "threshold", "leak"):
        path = folder / f"{name}.mem"
        bits = parameters[f"{name.upper()}_BITS" if name in sizes else "NUMBER_BITS"]
        with reading(path, ExportError, _REMEDY):
            lines = _mem_lines(path)
            rows: list[list[int]] = []
            for n_neurons in sizes.get(name, both_layers):
                n_groups = -(-n_neurons // lanes)
                rows += _unpacked(lines[:n_groups], bits, lanes)[:n_neurons]
                lines = lines[n_groups:]
            values = np.array(rows)
        if name in ("weight1", "weight2", "bias"):  # two's complement
            is_negative = values >> (bits - 1)
            values -= is_negative << bits
        numbers[name] = values
    return numbers


def _unpacked(groups: list[list[int]], bits: int, lanes: int) -> list[list[int]]:
    """Return the numbers of each neuron in the memory words of each group of neurons."""
    mask = (1 << bits) - 1
    return [
        [word >> lane * bits & mask for word in words] for words in groups for lane in range(lanes)
    ]


def _network(parameters: dict[str, int], numbers: dict[str, np.ndarray]) -> IntegerNetwork:
    """Return the circuit of these parameters and numbers."""
    n_hidden = parameters["N_HIDDEN"]
    has_own_leaks = not parameters["LEAK_SHIFT"] and not parameters["LEAK_FACTOR"]
    layers = []
    for i, neurons in enumerate((slice(n_hidden), slice(n_hidden, None)), start=1):
        layers.append(
            IntegerLayer(
                weight=numbers[f"weight{i}"],
                bias=numbers["bias"][neurons, 0],
                threshold=numbers["threshold"][neurons, 0],
                shift=parameters[f"SHIFT{i}"],
                factor=numbers["leak"][neurons, 0] if has_own_leaks else None,
            )
        )
    grid = Downsampling(
        first_unit=parameters["FIRST_UNIT"],
        duration_s=parameters["N_STEPS"] * parameters["POOL_STEPS"] / 1000,
        pool_units=parameters["POOL_UNITS"],
        pool_steps=parameters["POOL_STEPS"],
        pool_threshold=parameters["POOL_THRESHOLD"],
        n_channels=parameters["N_CHANNELS"],
    )
    if numbers["threshold"].min() < 1:
        raise ValueError("threshold.mem: a threshold below 1")
    # a number takes more bits in its memory than the core reads of it
    highest = (1 << (parameters["MEM_BITS"] - 1)) - 1
    if numbers["threshold"].max() > highest:
        raise ValueError(f"threshold.mem: a threshold above {highest}")
    if has_own_leaks and numbers["leak"].max() > 1 << OWN_FACTOR_BITS:
        raise ValueError(f"leak.mem: a factor above {1 << OWN_FACTOR_BITS}")
    # a window of all units stands for weights that aren't shared
    is_shared = parameters["KERNEL"] < parameters["N_UNITS"]
    return IntegerNetwork(
        grid=grid,
        delays=tuple(numbers["delay"][:, 0].tolist()),
        layers=tuple(layers),
        mem_bits=parameters["MEM_BITS"],
        leak_shift=parameters["LEAK_SHIFT"],
        leak_factor=parameters["LEAK_FACTOR"],
        kernel=parameters["KERNEL"] if is_shared else 0,
        stride=parameters["STRIDE"],
        is_membrane=parameters["IS_MEMBRANE"] > 0,
    )


def _check_parameters(path: Path, given: dict[str, int], wanted: dict[str, int]) -> None:
    """Raise ExportError if a file's number isn't the one that follows from the circuit."""
    for name, value in wanted.items():
        if name not in given:
            raise ExportError(f"{path}: {name} is missing. {_REMEDY}")
        if given[name] != value and name not in _FREE:
            raise ExportError(f"{path}: {name} is {given[name]}, not {value}. {_REMEDY}")


def _check_memories(folder: Path, wanted: dict[str, str]) -> None:
    """Raise ExportError if a ``.mem`` file has numbers that its memory can't hold."""
    for name, text in wanted.items():
        path = folder / name
        given_numbers = read_text(path).split()
        wanted_numbers = text.split()
        if len(given_numbers) != len(wanted_numbers):
            raise ExportError(
                f"{path}: {len(given_numbers)} numbers, not {len(wanted_numbers)}. {_REMEDY}"
            )
        for i, (given, want) in enumerate(zip(given_numbers, wanted_numbers, strict=True), start=1):
            if int(given, 16) != int(want, 16):
                raise ExportError(f"{path}: number {i} is {given}, not {want}. {_REMEDY}")


def build_folder(folder: Path, **build: int | str) -> None:
    """Write ``network.vh`` and the ``.mem`` files of a folder anew, for a core of another build."""
    network = read_circuit(folder)
    lanes = int(build.get("LANES", 1))
    try:
        texts = memories(network, lanes) | {"network.vh": verilog_parameters(network, **build)}
    except ValueError as error:
        raise ExportError(f"{folder}: {error}") from error
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
