"""Count what a core does as an FPGA's cells: nets that change, memories that are read and written.

Yosys maps the core to the cells of Lattice's iCE40. Models of these cells, simulated without
delays, show how often each net changes from one clock cycle to the next.
"""

import json
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

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
from shd_corpus.filter_bank import to_samples
from shd_corpus.filter_bank.bank import RATE_HZ

# nets get names of their own, so that those inside of the cells' models aren't counted
TO_NETS = (
    "opt_clean -purge; splitnets; rename -hide w:*; "
    "rename -enumerate -pattern n% w:*; write_json cells.json; write_verilog -noattr cells.v"
)
TO_CXXRTL = (
    "read_verilog cells.v; read_verilog -defer +/ice40/cells_sim.v; hierarchy -top {top}; "
    "proc; flatten; opt; write_cxxrtl -O4 core.cpp"
)
N_QUIET = RATE_HZ // 2  # samples before a digit
QUIET = 20  # of the samples without speech, their standard deviation
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


def listener_activity(folder: Path, sources: str) -> dict[str, pd.Series]:
    """Count what a listener's cells do in a second without speech, and more with a digit.

    Its microphone has little noise, and then the demo page's digit.
    """
    (folder / "harness.cpp").write_text(source_text("rtl/microphone.cpp"), "utf-8")
    whole_sound = spoken_digit()
    sounds = {"without speech": whole_sound[:N_QUIET], "with a digit": whole_sound}
    texts = {name: " ".join(map(str, sound)) for name, sound in sounds.items()}
    start = f"read_verilog {sources} -chparam WAIT 16; "
    design = start + to_cells("synth_ice40 -dsp -spram", "listener")
    program = _meter(folder, design, "listener", "-DLISTENER")
    counted = {}
    for name, text in texts.items():
        counted[name], printed = _counted(folder, program, "listener", text)
        if len(printed.splitlines()) != (name == "with a digit"):
            raise ExportError(f"the listener's cells answered {printed!r} {name}")
    before, whole = counted.values()
    return {
        "second without speech": before * RATE_HZ / N_QUIET,
        "digit": whole - before * len(whole_sound) / N_QUIET,
    }


def spoken_digit() -> np.ndarray:
    """Return the samples of little noise, and in it the demo page's digit."""
    path = files("shd_circuit") / "sound" / "sample.flac"
    wave, rate = soundfile.read(str(path), dtype="float32")
    digit = to_samples(wave, rate)
    around = (N_QUIET, RATE_HZ // 4)
    sound = np.random.default_rng(0).normal(0, QUIET, sum(around) + len(digit))
    return (sound + np.pad(digit, around)).astype(np.int16)


def count_activity(
    folder: Path, design: str, top: str, text: str, define: str
) -> tuple[pd.Series, str]:
    """Simulate a design as cells of an iCE40, and count what they do."""
    return _counted(folder, _meter(folder, design, top, define), top, text)


def _meter(folder: Path, design: str, top: str, define: str) -> Path:
    """Compile a program that simulates a design as cells of an iCE40, and counts what they do."""
    (folder / "toggles.h").write_text(source_text("rtl/toggles.h"), "utf-8")
    run_yosys(folder, f"{design}; {TO_NETS}")
    runtime = run_yosys(folder, TO_CXXRTL.format(top=top))
    return compile_harness(folder, runtime, ("-DTOGGLES", define))


def _counted(folder: Path, program: Path, top: str, text: str) -> tuple[pd.Series, str]:
    """Run such a program, and return what was counted, and what it printed."""
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

    A memory that is wider or deeper than a block RAM is several RAMs, whose names are its own with
    two numbers. As a rule they are enabled together, so they count as one.
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
        memory = name.rsplit(".", 2)[0]
        of_memory[memory] = max(n_enabled, of_memory.get(memory, 0))
    return sum(of_memory.values())
