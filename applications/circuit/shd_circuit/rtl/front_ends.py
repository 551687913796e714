"""Place and route the front end alone on each FPGA: ``python -m shd_circuit.rtl.front_ends``."""

import argparse
import tempfile
from pathlib import Path

import pandas as pd

from shd_circuit.front_end import WITH_MICROPHONE, write_front_end
from shd_circuit.rtl import FAMILIES, place_and_route_module
from shd_corpus.files import atomic
from shd_corpus.filter_bank import FilterBank
from shd_helpers.command import run

TOP = "sound_to_events"


def main() -> None:
    """Print, and write, what front ends need: cells, memories, multipliers and the clock."""
    parser = argparse.ArgumentParser(prog="python -m shd_circuit.rtl.front_ends")
    parser.add_argument("--channels", type=int, nargs="+", default=[77, 30])
    parser.add_argument("--devices", nargs="+", choices=FAMILIES, default=[*FAMILIES])
    parser.add_argument("--table", type=Path, help="write a CSV file")
    arguments = parser.parse_args()
    rows = []
    for family in arguments.devices:
        for n_channels in arguments.channels:
            needed = placed_front_end(FilterBank(n_channels), family)
            rows += [(family, n_channels, *quantity) for quantity in needed.items()]
    table = pd.DataFrame(rows, columns=["device", "channels", "quantity", "value"])
    print(table.pivot_table("value", "quantity", ["device", "channels"], sort=False).to_string())
    if arguments.table:
        with atomic(arguments.table) as unfinished:
            table.to_csv(unfinished, index=False)


def placed_front_end(bank: FilterBank, family: str) -> dict[str, float]:
    """Return what a front end with its microphone's port needs on an FPGA."""
    with tempfile.TemporaryDirectory() as name:
        write_front_end(Path(name), bank)
        sources = " ".join(WITH_MICROPHONE)
        needed, _ = place_and_route_module(Path(name), family, sources, TOP)
    return {"cycles per sample": 6 * (bank.n_channels + 1)} | needed


if __name__ == "__main__":
    run(main)
