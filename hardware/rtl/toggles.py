"""Count what a core does as an FPGA's cells: nets that change, memories that are read and written.

Yosys maps it to the cells of Lattice's iCE40. Their models, simulated without delays, tell how
often each net changes from one clock cycle to the next.
"""

import json
import tempfile
from pathlib import Path

import pandas as pd

from hardware.folder import source_text
from hardware.rtl import _compile, _copied, _run, _yosys

# nets get names of their own, so that those inside of the cells' models aren't counted
TO_CELLS = (
    "synth_ice40 -dsp -top {top}; opt_clean -purge; splitnets; rename -hide w:*; "
    "rename -enumerate -pattern n% w:*; write_json cells.json; write_verilog -noattr cells.v"
)
TO_CXXRTL = (
    "read_verilog cells.v +/ice40/cells_sim.v; hierarchy -top {top}; proc; flatten; opt; "
    "write_cxxrtl -O4 core.cpp"
)
METER = """
#define CXXRTL_ASSERT(x)
#include "core.cpp"
#include "toggles.h"
int main() {
    static cxxrtl_design::p_TOP top;
    for (int i = 0; i < CYCLES; i++) {
        top.p_clk.set<bool>(false); top.step();
        top.p_clk.set<bool>(true); top.step();
        count_toggles(top);
    }
    write_toggles();
}
"""


def toggles(folder: Path, lanes: int = 1) -> pd.Series:
    """Return what an exported folder's core does in a word, as cells of an iCE40.

    Parameters
    ----------
    folder : Path
        Written by `folder.write_folder`; nothing is written there.
    lanes : int
        Neurons that are summed side by side.

    Returns
    -------
    Series
        Means over the folder's words: `clock cycles`; `changes` of nets; `reads` and `writes` of
        block RAMs of 4 kbit, 16 bits each.

    Raises
    ------
    ExportError
        If a tool is missing or fails, or the folder is no export.
    """
    given = (folder / "vectors.txt").read_text(encoding="utf-8")
    with _copied(folder, LANES=lanes) as place:
        counted, said = _count(place, "core.v", "core", given, f"-DLANES={lanes}")
    words, _, cycles, *_ = said.split()
    counted["clock cycles"] = int(cycles)
    return counted / int(words)


def toggles_of_design(verilog: str, top: str, cycles: int) -> pd.Series:
    """Return what a circuit does in a clock cycle that has no inputs but `clk`; as `toggles`.

    Parameters
    ----------
    verilog : str
        Its text.
    top : str
        The module.
    cycles : int
        Over which is averaged.
    """
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        (place / "design.v").write_text(verilog)
        (place / "toggles.h").write_text(source_text("rtl/toggles.h"))
        (place / "harness.cpp").write_text(METER.replace("TOP", top))
        return _count(place, "design.v", top, "", f"-DCYCLES={cycles}")[0] / cycles


def _count(place: Path, source: str, top: str, given: str, define: str) -> tuple[pd.Series, str]:
    (place / "toggles.h").write_text(source_text("rtl/toggles.h"))
    _yosys(place, f"read_verilog {source}; {TO_CELLS.format(top=top)}")
    runtime = _yosys(place, TO_CXXRTL.format(top=top))
    program = _compile(place, runtime, ("-DTOGGLES", define))
    said = _run([str(program)], place, given).stderr
    lines = (line.split() for line in (place / "toggles.txt").read_text().splitlines())
    nets = {name: (int(changes), int(high)) for name, changes, high in lines}
    module = json.loads((place / "cells.json").read_text())["modules"][top]
    bits = {name: net["bits"][0] for name, net in module["netnames"].items()}
    high = {bits[name]: n_high for name, (_, n_high) in nets.items()}
    cells = module["cells"].values()
    rams = [cell["connections"] for cell in cells if cell["type"].startswith("SB_RAM40")]
    # a port is enabled by one net; the other enable is 1
    ports = {"reads": ("RE", "RCLKE"), "writes": ("WE", "WCLKE")}
    found = {
        what: sum(min(high.get(ram[pin][0], float("inf")) for pin in pins) for ram in rams)
        for what, pins in ports.items()
    }
    found["flip-flops"] = sum(cell["type"].startswith("SB_DFF") for cell in cells)
    return pd.Series({"changes": sum(changes for changes, _ in nets.values()), **found}), said
