"""Simulate a run's core, place and route its board, from the command line (``make rtl``)."""

import argparse
import os
import sys
from pathlib import Path

import pandas as pd

from hardware.cost import fifo_depth
from hardware.export import add_arguments, export_from, out_folder
from hardware.folder import ExportError, read_circuit, read_vectors
from hardware.rtl import FAMILIES, place_and_route, simulate
from shd_helpers.source.shd_file import DatasetError
from shd_helpers.study.run_folder import RunError

CLOCKS = (1e6, 2e6, 4e6, 8e6, 12e6, 24e6)
LANES = (1, 2, 4, 8, 16)


def main() -> None:
    """Print cycles a word, cells and clock of each FPGA; export the run first if need be."""
    parser = argparse.ArgumentParser(prog="python -m hardware.rtl", description=__doc__)
    add_arguments(parser)
    parser.add_argument("--table", type=Path, help="write what is found to this CSV file")
    given = parser.parse_args()
    otherwise = (
        given.circuit or given.dataset or given.utterances != parser.get_default("utterances")
    )
    try:
        folder = out_folder(given)
        if otherwise or not (folder / "core.v").is_file():
            export_from(given)
        print(f"Simulating {os.path.relpath(folder)} ...", flush=True)
        done = simulate(folder)
        for found, name in ((done.output, "expected.txt"), (done.edges, "edges_expected.txt")):
            if found != (folder / name).read_text(encoding="utf-8"):
                sys.exit(f"{folder}: the core doesn't print {name}. Export the run again.")
        cycles = done.cycles // done.words
        print(f"{done.words} words, all counts as expected; {cycles:,} clock cycles a word")
        table = pd.concat([depths(folder), *(placed(folder, name) for name in FAMILIES)])
    except (ExportError, RunError, DatasetError) as error:
        sys.exit(f"\nThe core was not built.\n{error}")
    if given.table:
        table.to_csv(given.table, index=False)


def depths(folder: Path) -> pd.DataFrame:
    """Return, and print, the FIFO's entries that real time needs, by clock and lanes."""
    network, words = read_circuit(folder), read_vectors(folder)
    rows = [
        ("core", f"lanes {n}", f"FIFO at {clock / 1e6:g} MHz", max(
            fifo_depth(network, word, clock, n) for word in words
        ))
        for n in LANES
        for clock in CLOCKS
    ]  # fmt: skip
    table = pd.DataFrame(rows, columns=["device", "build", "quantity", "value"])
    print("Entries of a FIFO before the core, for the words in real time:")
    print(table.pivot(index="quantity", columns="build", values="value").to_string())
    return table


def placed(folder: Path, name: str) -> pd.DataFrame:
    """Return, and print, what an FPGA needs, and its clock."""
    family = FAMILIES[name]
    build = f"lanes {family.build['LANES']}"
    print(f"Placing and routing on {name}, {build} ...", flush=True)
    found = place_and_route(folder, name)
    rows = [(name, build, text, found.used.get(cell, (0, 0))[0])
            for cell, text in family.cells.items()]  # fmt: skip
    rows += [(name, build, "MHz", round(found.fmax_hz / 1e6, 1))]
    table = pd.DataFrame(rows, columns=["device", "build", "quantity", "value"])
    for text, value in table[["quantity", "value"]].itertuples(index=False):
        print(f"{value:10,g}  {text}")
    print("The slowest path, nanoseconds:", *found.path, sep="\n  ")
    return table


if __name__ == "__main__":
    main()
