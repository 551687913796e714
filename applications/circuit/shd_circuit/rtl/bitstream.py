"""Write a bitstream of the listener for a board: ``python -m shd_circuit.rtl.bitstream``."""

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from shd_circuit.confidence import confidence_of
from shd_circuit.export import quantization_of
from shd_circuit.folder import ExportError
from shd_circuit.front_end import write_listener
from shd_circuit.quantize import circuit_of
from shd_circuit.rtl import FAMILIES, place_and_route_module
from shd_circuit.rtl.toggles import listener_activity
from shd_circuit.rtl.tools import find_tool, run_tool, run_yosys
from shd_circuit.say import NETWORK, load
from shd_corpus.class_names import LANGUAGES
from shd_corpus.encoders import FILTER_BANK
from shd_corpus.files import atomic
from shd_corpus.filter_bank import FilterBank
from shd_helpers.command import run
from shd_helpers.study.run_folder import RunError


class Board(NamedTuple):
    """A board for the listener."""

    # A name in `FAMILIES`.
    family: str
    # The module with its pins.
    top: str
    # Options of nextpnr: these pins, and the file that it writes, `top.config`.
    pins: tuple[str, ...]
    # What makes a bitstream of that file.
    pack: tuple[str, ...]
    # The program that loads a bitstream into the board.
    loader: str


BOARDS = {
    "icebreaker": Board(
        "UP5K",
        "listener",
        ("--pcf", "listener.pcf", "--freq", "12", "--asc", "top.config"),
        ("icepack",),
        "iceprog",
    ),
    # an LFE5U-12F is an LFE5U-25F with another number, which the board compares
    "ulx3s": Board(
        "ECP5-25F",
        "ulx3s",
        ("--lpf", "ulx3s.lpf", "--freq", "25", "--textcfg", "top.config"),
        ("ecppack", "--idcode", "0x21111043"),
        "openFPGALoader -b ulx3s",
    ),
}
# what a module is counted in, and yosys' names of these cells of an iCE40
CELLS = {
    "look-up tables": ("SB_LUT4",),
    "flip-flops": ("SB_DFF",),
    "block RAMs of 4 kbit": ("SB_RAM40",),
    "multipliers": ("SB_MAC16",),
}
COLUMNS = ["device", "part", "quantity", "value"]


def main() -> None:
    """Write the bitstream, and print what the listener needs; the clock is the slowest of five."""
    parser = argparse.ArgumentParser(prog="python -m shd_circuit.rtl.bitstream")
    text = "a run's name or folder, or a pretrained network (default: %(default)s)"
    parser.add_argument("network", nargs="?", default=NETWORK, help=text)
    parser.add_argument("--board", choices=BOARDS, default="icebreaker")
    parser.add_argument("--language", choices=LANGUAGES, default="english", help="of the digits")
    parser.add_argument("--out", type=Path, default=Path("build/listener.bin"))
    text = "also write what the listener and its modules need of both boards, and what they do"
    parser.add_argument("--table", type=Path, help=text)
    given = parser.parse_args()
    try:
        needed = write_bitstream(given.network, given.language, given.board, given.out)
        for quantity, value in needed.items():
            print(f"{value:8,g}  {quantity}")
        if given.table:
            write_table(given.network, given.language, given.table)
    except (ExportError, RunError, ValueError) as error:
        sys.exit(f"\nThe bitstream was not written.\n{error}")
    print(f"Program the board with: {BOARDS[given.board].loader} {given.out}")


def write_sources(folder: Path, name: str, language: str) -> None:
    """Write the Verilog of a network's listener into a folder."""
    trained = load(name, language)
    if trained.encoder != FILTER_BANK:
        raise ExportError(f"{name}: not trained on the filter bank's events. Try {NETWORK}.")
    grid = trained.grid
    bits = quantization_of(trained)
    circuit = circuit_of(trained, bits)
    bank = FilterBank(grid.n_channels, round(grid.step_ms))
    write_listener(folder, circuit, bank, confidence_of(trained, bits, circuit))


def sources_of(top: str) -> str:
    """Return what yosys reads of a module; it finds the modules in it in files of their names."""
    return f"{top}.v; hierarchy -top {top} -libdir ."


def write_bitstream(name: str, language: str, board_name: str, out: Path) -> dict[str, float]:
    """Write the bitstream of a network's listener for a board, and return what it needs."""
    board = BOARDS[board_name]
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        write_sources(folder, name, language)
        sources = sources_of(board.top)
        needed, _ = place_and_route_module(folder, board.family, sources, board.top, *board.pins)
        if needed["MHz"] < float(board.pins[board.pins.index("--freq") + 1]):
            raise ExportError(
                f"{name}: the slowest of five placements reaches {needed['MHz']:g} MHz only, which "
                f"is below the clock of the {board_name}. Train a smaller network."
            )
        program, *options = board.pack
        run_tool([find_tool(program), *options, "top.config", "top.bin"], folder)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "top.bin", out)
    return needed


def write_table(name: str, language: str, path: Path) -> None:
    """Write what a listener needs of both boards, its modules' cells, and what its cells do."""
    rows = []
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        for board_name, board in BOARDS.items():
            needed = write_bitstream(name, language, board_name, folder / "listener.bin")
            rows += [(board.family, board_name, *quantity) for quantity in needed.items()]
        write_sources(folder, name, language)
        rows += module_cells(folder)
        for part, counted in listener_activity(folder, sources_of("listener")).items():
            rows += [("UP5K's cells", part, *quantity) for quantity in counted.items()]
    with atomic(path) as unfinished:
        pd.DataFrame(rows, columns=COLUMNS).to_csv(unfinished, index=False, float_format="%.10g")


def module_cells(folder: Path) -> list[tuple[str, str, str, float]]:
    """Count the cells of an UP5K in each module of the listener, each synthesized on its own."""
    synthesis = f"{FAMILIES['UP5K'].synthesis} -noflatten -top listener"
    read = f"read_verilog {sources_of('listener')}"
    run_yosys(folder, f"{read}; {synthesis}; tee -q -o stat.json stat -json")
    modules = json.loads((folder / "stat.json").read_text("utf-8"))["modules"]
    rows = []
    for name, module in modules.items():
        # such as \listener, $paramod$1f0a\lane or $paramod\i2s_receiver\CYCLES_PER_BIT=12
        part = name.split("\\")[1]
        of_type = module.get("num_cells_by_type", {})
        for quantity, kinds in CELLS.items():
            n = sum(n for kind, n in of_type.items() if kind.startswith(kinds))
            rows.append(("UP5K", part, quantity, n))
    return rows


if __name__ == "__main__":
    run(main)
