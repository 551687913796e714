"""Count what a core does as an FPGA's cells: nets that change, memories that are read and written.

Yosys maps it to the cells of Lattice's iCE40. Their models, simulated without delays, tell how
often each net changes from one clock cycle to the next.
"""

import json
from pathlib import Path

import pandas as pd

from shd_circuit.folder import ExportError, read_vectors, source_text
from shd_circuit.rtl import _compile, _copied, _run, _yosys, to_cells
from shd_circuit.sources import events_text

# nets get names of their own, so that those inside of the cells' models aren't counted
TO_NETS = (
    "opt_clean -purge; splitnets; rename -hide w:*; "
    "rename -enumerate -pattern n% w:*; write_json cells.json; write_verilog -noattr cells.v"
)
TO_CXXRTL = (
    "read_verilog cells.v; read_verilog -defer +/ice40/cells_sim.v; hierarchy -top {top}; "
    "proc; flatten; opt; write_cxxrtl -O4 core.cpp"
)


def toggles(folder: Path, lanes: int = 1, n_words: int = 2) -> pd.Series:
    """Return what an exported folder's core does in a word, as cells of an iCE40.

    Parameters
    ----------
    folder : Path
        Written by `folder.write_folder`; nothing is written there.
    lanes : int
        Neurons that are summed side by side.
    n_words : int
        Of the folder's words the first ones are heard.

    Returns
    -------
    Series
        Means over these words: `cycles` of the clock; `clocked`, the flip-flops times these;
        `changes` of nets; `reads` and `writes` of memories' words.

    Raises
    ------
    ExportError
        If a tool is missing or fails, the folder is no export, or the cells answer otherwise.
    """
    words = read_vectors(folder)[:n_words]
    with _copied(folder, LANES=lanes) as place:
        cells = "read_verilog core.v; " + to_cells("synth_ice40 -dsp", "core")
        counted, found = _count(place, cells, "core", events_text(words), f"-DLANES={lanes}")
        expected = (place / "expected.txt").read_text("utf-8")
    if found.splitlines() != expected.splitlines()[: len(words)]:
        raise ExportError(f"{folder}: the core's cells don't print expected.txt. Export it again.")
    return counted / len(words)


def _count(place: Path, design: str, top: str, given: str, define: str) -> tuple[pd.Series, str]:
    (place / "toggles.h").write_text(source_text("rtl/toggles.h"), "utf-8")
    _yosys(place, f"{design}; {TO_NETS}")
    runtime = _yosys(place, TO_CXXRTL.format(top=top))
    program = _compile(place, runtime, ("-DTOGGLES", define))
    printed = _run([str(program)], place, given).stdout
    lines = (line.split() for line in (place / "toggles.txt").read_text("utf-8").splitlines())
    nets = {name: (int(changes), int(high)) for name, changes, high in lines}
    changes, cycles = sum(changes for changes, _ in nets.values()), nets.pop("cycles")[1]
    module = json.loads((place / "cells.json").read_text("utf-8"))["modules"][top]
    named = module["netnames"].items()
    high = {net["bits"][0]: nets[name][1] for name, net in named if name in nets}
    cells = module["cells"].items()
    n_flip_flops = sum(cell["type"].startswith("SB_DFF") for _, cell in cells)
    found = {"cycles": cycles, "clocked": n_flip_flops * cycles, "changes": changes}
    for what, pins in (("reads", ("RE", "RCLKE")), ("writes", ("WE", "WCLKE"))):
        of_memory: dict[str, int] = {}  # which lies in several RAMs, as a rule enabled together
        for name, cell in cells:
            if cell["type"].startswith("SB_RAM40"):  # one net enables it; the other enable is 1
                n = min(high.get(cell["connections"][pin][0], cycles) for pin in pins)
                memory = name.split(".")[0]
                of_memory[memory] = max(n, of_memory.get(memory, 0))
        found[what] = sum(of_memory.values())
    return pd.Series(found), printed
