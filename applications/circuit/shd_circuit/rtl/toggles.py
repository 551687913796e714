"""Count what a core does as an FPGA's cells: nets that change, memories that are read and written.

Yosys maps the core to the cells of Lattice's iCE40. Models of these cells, simulated without
delays, show how often each net changes from one clock cycle to the next.
"""

import json
from pathlib import Path

import pandas as pd

from shd_circuit.folder import ExportError, read_text, read_vectors
from shd_circuit.rtl.tools import (
    compile_harness,
    copied_folder,
    n_flip_flops,
    run_tool,
    run_yosys,
    to_cells,
)
from shd_circuit.sources import events_text, source_text, verilog_files

# nets get names of their own, so that those inside of the cells' models aren't counted
TO_NETS = (
    "opt_clean -purge; splitnets; rename -hide w:*; "
    "rename -enumerate -pattern n% w:*; write_json cells.json; write_verilog -noattr cells.v"
)
TO_CXXRTL = (
    "read_verilog cells.v; read_verilog -defer +/ice40/cells_sim.v; hierarchy -top {top}; "
    "proc; flatten; opt; write_cxxrtl -O4 core.cpp"
)
# the pins of a RAM by which it is enabled: one is a net of the design, the other is always 1
READ_PINS = ("RE", "RCLKE")
WRITE_PINS = ("WE", "WCLKE")


def toggles(folder: Path, lanes: int = 1, n_utterances: int = 2) -> pd.Series:
    """Count what an exported folder's core does with an utterance, as cells of an iCE40."""
    utterances = read_vectors(folder)[:n_utterances]
    expected = read_text(folder / "expected.txt").splitlines()[: len(utterances)]
    with copied_folder(folder, LANES=lanes) as copy:
        design = f"read_verilog {verilog_files('core')}; " + to_cells("synth_ice40 -dsp", "core")
        text = events_text(utterances)
        counted, output = count_activity(copy, design, "core", text, f"-DLANES={lanes}")
    if output.splitlines() != expected:
        raise ExportError(f"{folder}: the core's cells don't print expected.txt. Export it again.")
    return counted / len(utterances)


def count_activity(
    folder: Path, design: str, top: str, text: str, define: str
) -> tuple[pd.Series, str]:
    """Simulate a design as cells of an iCE40, and count what they do."""
    (folder / "toggles.h").write_text(source_text("rtl/toggles.h"), "utf-8")
    run_yosys(folder, f"{design}; {TO_NETS}")
    runtime = run_yosys(folder, TO_CXXRTL.format(top=top))
    program = compile_harness(folder, runtime, ("-DTOGGLES", define))
    output = run_tool([str(program)], folder, text).stdout
    cycles, changes, high = _read_toggles(folder / "toggles.txt")
    module = json.loads((folder / "cells.json").read_text("utf-8"))["modules"][top]
    counted = {
        "cycles": cycles,
        "clocked": n_flip_flops(folder / "cells.json", top) * cycles,
        "changes": changes,
        "reads": _n_enabled(module, high, cycles, READ_PINS),
        "writes": _n_enabled(module, high, cycles, WRITE_PINS),
    }
    return pd.Series(counted), output


def _read_toggles(path: Path) -> tuple[int, int, dict[str, int]]:
    """Read what `toggles.h` wrote.

    Returns the clock cycles, how often any net changed, and in how many cycles each net, by its
    name, was high.
    """
    # the first line, "cycles", has 0 changes
    n_changes = 0
    high = {}
    for line in path.read_text("utf-8").splitlines():
        name, changes, n_high = line.split()
        n_changes += int(changes)
        high[name] = int(n_high)
    cycles = high.pop("cycles")
    return cycles, n_changes, high


def _n_enabled(module: dict, high: dict[str, int], cycles: int, pins: tuple[str, ...]) -> int:
    """Return how many words the memories of a netlist read, or write.

    A memory that is wider or deeper than a block RAM is several RAMs, whose names begin with its
    own. As a rule they are enabled together, so they count as one.
    """
    high_of_bit = {
        net["bits"][0]: high[name] for name, net in module["netnames"].items() if name in high
    }
    of_memory: dict[str, int] = {}
    for name, cell in module["cells"].items():
        if not cell["type"].startswith("SB_RAM40"):
            continue
        bits = [cell["connections"][pin][0] for pin in pins]
        n_enabled = min(high_of_bit.get(bit, cycles) for bit in bits)
        memory = name.split(".")[0]
        of_memory[memory] = max(n_enabled, of_memory.get(memory, 0))
    return sum(of_memory.values())
