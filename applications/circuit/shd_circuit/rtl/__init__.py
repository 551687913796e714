"""Simulate an exported core, prove its handshakes, and place and route it.

Yosys (Wolf, Glaser, Kepler 2013) turns the core into C++ (cxxrtl), into formulas of which Yices
(Dutertre 2014) finds whether they can fail, and designs into the cells of an FPGA;
nextpnr (Shah et al. 2019) places and routes them, and reports the clock.
"""

import json
import re
import tempfile
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shd_circuit.folder import ExportError, read_text
from shd_circuit.integer import OWN_FACTOR_BITS, IntegerLayer, IntegerNetwork
from shd_circuit.readme import TO_CXXRTL
from shd_circuit.rtl.tools import (
    check_has_core,
    compile_harness,
    copied_folder,
    find_tool,
    n_flip_flops,
    run_tool,
    run_yosys,
    to_cells,
)
from shd_circuit.sources import memories, source_text, verilog_files, verilog_parameters
from shd_corpus.shd_file import N_CHANNELS
from shd_helpers.events.downsampling import Downsampling

SEEDS = (1, 2, 3, 4, 5)  # of nextpnr: each leads to another placement, and to another clock


class Family(NamedTuple):
    """An FPGA."""

    # Yosys' command for its cells.
    synthesis: str
    # The program that places and routes, and its options.
    nextpnr: tuple[str, ...]
    # How the core is built for it, as `sources.BUILD`.
    build: dict[str, int | str]
    # What its cells are, by the names in nextpnr's report.
    cells: dict[str, str]


FAMILIES = {
    # weights and old events are in its single-port RAMs, which hold nothing at power-up
    "UP5K": Family(
        "synth_ice40 -dsp -spram",
        ("nextpnr-ice40", "--up5k", "--package", "sg48"),
        {"LANES": 4, "WRITABLE": 1, "INITIAL": 0, "RAM_STYLE": "huge"},
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
            "DP16KD": "block RAMs of 18 kbit",
            "MULT18X18D": "multipliers",
        },
    ),
}
# what yosys appends to a signal's name for the cells that it becomes
_OF_YOSYS = re.compile("_(?:SB_|TRELLIS|LUT4|PFUMX|L6MUX|CCU2)")


class Simulation(NamedTuple):
    """What a simulated core did."""

    # What it answered to the test vectors, as `reference.c` prints it.
    output: str
    # What it answered to the edge cases.
    edges: str
    # Of the test vectors.
    n_utterances: int
    # Clock cycles of the test vectors.
    cycles: int
    # What it printed on stderr for the test vectors, and for the edge cases.
    lines: tuple[str, str]


def simulate(folder: Path, *defines: str, lanes: int = 1) -> Simulation:
    """Run an exported folder's core on its test vectors and on its edge cases."""
    check_has_core(folder)
    # read before the core is compiled, which takes minutes
    texts = [read_text(folder / name) for name in ("vectors.txt", "edges.txt")]
    with copied_folder(folder, LANES=lanes) as copy:
        no_latch = "select -assert-none t:$dlatch*"  # it stops where there is one
        runtime = run_yosys(copy, TO_CXXRTL.replace("proc;", f"proc; {no_latch};"))
        program = compile_harness(copy, runtime, (*defines, f"-DLANES={lanes}"))
        vectors, edges = (run_tool([str(program)], copy, text) for text in texts)
        # "20 utterances, 14629480 cycles; from ..."
        n_utterances, _, cycles, *_ = vectors.stderr.split()
        return Simulation(
            vectors.stdout,
            edges.stdout,
            int(n_utterances),
            int(cycles),
            (vectors.stderr.strip(), edges.stderr.strip()),
        )


def counter(n_units: int = 2, n_steps: int = 1, pool_steps: int = 1) -> IntegerNetwork:
    """Return a tiny circuit for `prove`, whose classes count in how many steps a unit is active.

    There is a class for each of the last units. A unit is active in a step if it spiked in each of
    the step's bins.
    """
    first_unit = N_CHANNELS - n_units
    duration_s = n_steps * pool_steps / 1000
    grid = Downsampling(first_unit, duration_s, 1, pool_steps, pool_threshold=pool_steps)
    # All membranes leak half. A hidden neuron is at 2 if its unit spikes, and then spikes above its
    # threshold of 1. In the step after, half of 2 minus the threshold is 0.
    half = 1 << (OWN_FACTOR_BITS - 1)
    hidden = IntegerLayer(
        weight=np.full((2, 1), 2),  # two neurons at each window, and a window for each unit
        bias=np.zeros(2 * n_units, np.int64),
        threshold=np.full(2 * n_units, 1),
        factor=np.full(2 * n_units, half),
    )
    first_of_two = np.kron(np.eye(n_units, dtype=np.int64), [1, 0])
    classes = IntegerLayer(
        weight=first_of_two,  # of its unit's two hidden neurons a class takes the first
        bias=np.zeros(n_units, np.int64),
        threshold=np.full(n_units, 7),  # the highest membrane of four bits
        factor=np.full(n_units, half),
    )
    return IntegerNetwork(
        grid,
        delays=(0,),
        layers=(hidden, classes),
        mem_bits=4,
        leak_shift=0,
        kernel=1,
        stride=1,
        is_membrane=True,
    )


def prove(core: str, depth: int, network: IntegerNetwork) -> None:
    """Let a model checker try what can happen at a core's ports in some cycles from reset on.

    `core` has all modules of the core. What must hold, and under which assumptions, is in
    `handshake.v`.
    """
    texts = {
        "core.v": core,
        "network.vh": verilog_parameters(network, LANES=2),
        **memories(network, lanes=2),
        "handshake.v": source_text("rtl/handshake.v"),
        "handshake.sby": source_text("rtl/handshake.sby").replace("DEPTH", str(depth)),
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="utf-8")
        # sby hands these names to a shell, which would divide a path that has a space. The shell
        # finds them, because `run_tool` adds the folder of the tools to the search path.
        yosys, smtbmc = (Path(find_tool(tool)).name for tool in ("yosys", "yosys-smtbmc"))
        run_tool([find_tool("sby"), "--yosys", yosys, "--smtbmc", smtbmc, "handshake.sby"], folder)


def place_and_route(folder: Path, family: str) -> tuple[dict[str, float], list[str]]:
    """Put the core of an exported folder on an FPGA, in `placed.v`, once with each of `SEEDS`."""
    with copied_folder(folder, **FAMILIES[family].build) as copy:
        return place_and_route_module(copy, family, f"{verilog_files('core')} placed.v", "placed")


def place_and_route_module(
    folder: Path, family: str, sources: str, top: str, *options: str
) -> tuple[dict[str, float], list[str]]:
    """Put a module on an FPGA, once with each of `SEEDS`, and return what the slowest needs."""
    fpga = FAMILIES[family]
    program, *arguments = *fpga.nextpnr, *options
    arguments += ["--json", "top.json", "--report", "report.json", "--timing-allow-fail", "--quiet"]
    reports = []
    cells = to_cells(fpga.synthesis, top)
    run_yosys(folder, f"read_verilog {sources}; {cells}; write_json top.json")
    needed: dict[str, float] = {"flip-flops": n_flip_flops(folder / "top.json", top)}
    for seed in SEEDS:
        try:
            run_tool([find_tool(program), *arguments, "--seed", str(seed)], folder)
        except ExportError as error:
            lacking = re.search(r"no BELs remaining to implement cell type '(\w+)", str(error))
            if lacking is None:
                raise
            what = fpga.cells.get(lacking[1], lacking[1])
            raise ExportError(f"{top}: doesn't fit {family}, which has too few {what}") from error
        reports.append(json.loads((folder / "report.json").read_text("utf-8")))
    slowest = min(reports, key=_clock_mhz)
    needed |= {
        description: slowest["utilization"][cell]["used"]
        for cell, description in fpga.cells.items()
    }
    needed["MHz"] = round(_clock_mhz(slowest), 1)
    return needed, _slowest_path(slowest["critical_paths"])


def _clock_mhz(report: dict) -> float:
    """Return the fastest clock of a placement, which has one clock, as nextpnr reports it."""
    (clock,) = report["fmax"].values()
    return clock["achieved"]


def _slowest_path(critical_paths: list[dict]) -> list[str]:
    """Return the slowest path between registers of the clock: nanoseconds and signals, in order."""
    inside = [path["path"] for path in critical_paths if path["from"] == path["to"]]
    slowest = max(inside, key=_delay)
    # cells of the same signal follow one another
    by_signal = groupby(slowest, lambda hop: _OF_YOSYS.split(hop["to"]["cell"])[0])
    return [f"{_delay(hops):6.2f} {signal}" for signal, hops in by_signal]


def _delay(hops: Iterable[dict]) -> float:
    """Return the nanoseconds of a part of a path, as nextpnr reports it."""
    return sum(hop["delay"] for hop in hops)
