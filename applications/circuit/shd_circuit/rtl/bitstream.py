"""Write a bitstream of the listener for an iCEBreaker: ``python -m shd_circuit.rtl.bitstream``."""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

import pandas as pd

from shd_circuit.confidence import confidence_of
from shd_circuit.export import quantization_of
from shd_circuit.folder import ExportError
from shd_circuit.front_end import write_listener
from shd_circuit.quantize import circuit_of
from shd_circuit.rtl import place_and_route_module
from shd_circuit.rtl.tools import find_tool, run_tool
from shd_corpus.filter_bank import FilterBank
from shd_helpers.command import run
from shd_helpers.study.run_folder import RunError
from shd_helpers.study.trained_network import load_pretrained

# yosys finds the modules in files of their names
SOURCES = "listener.v; hierarchy -top listener -libdir ."


def main() -> None:
    """Write the bitstream, and print what the listener needs; the clock is the slowest of five."""
    parser = argparse.ArgumentParser(prog="python -m shd_circuit.rtl.bitstream")
    parser.add_argument("network", nargs="?", default="small_listener", help="a pretrained network")
    parser.add_argument("--out", type=Path, default=Path("build/listener.bin"))
    parser.add_argument("--table", type=Path, help="also write what it needs to this CSV file")
    arguments = parser.parse_args()
    try:
        needed = write_bitstream(arguments.network, arguments.out)
    except (ExportError, RunError, ValueError) as error:
        sys.exit(f"\nThe bitstream was not written.\n{error}")
    for quantity, value in needed.items():
        print(f"{value:8,g}  {quantity}")
    if arguments.table:
        pd.Series(needed, name="value").to_csv(arguments.table, index_label="quantity")
    print(f"Program the board with: iceprog {arguments.out}")


def write_bitstream(name: str, out: Path) -> dict[str, float]:
    """Write the bitstream of a pretrained network's listener, and return what it needs.

    If the network has the digits of two languages, it answers the English ones.
    """
    trained = load_pretrained(name).speaking("english")
    if trained.about["parameters"].get("encoder") != "filter_bank":
        raise ExportError(f"{name}: not trained on the filter bank's events. Try small_listener.")
    grid = trained.grid
    bits = quantization_of(trained)
    circuit = circuit_of(trained, bits)
    bank = FilterBank(grid.n_channels, round(grid.step_ms))
    with tempfile.TemporaryDirectory() as folder_name:
        folder = Path(folder_name)
        write_listener(folder, circuit, bank, confidence_of(trained, bits, circuit))
        pins = ("--pcf", "listener.pcf", "--asc", "top.asc")
        needed, _ = place_and_route_module(folder, "UP5K", SOURCES, "listener", *pins)
        run_tool([find_tool("icepack"), "top.asc", "top.bin"], folder)
        out.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "top.bin", out)
    return needed


if __name__ == "__main__":
    run(main)
