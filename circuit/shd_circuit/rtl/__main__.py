"""Simulate a run's core, place and route its board, from the command line (``make rtl``)."""

import argparse
import os
import sys
from pathlib import Path

import pandas as pd

from shd_circuit import cost
from shd_circuit.cost import fifo_depth, last_step_cycles
from shd_circuit.export import add_arguments, export_from, out_folder
from shd_circuit.folder import ExportError, read_circuit, read_vectors
from shd_circuit.rtl import FAMILIES, place_and_route, simulate
from shd_circuit.rtl.toggles import toggles
from shd_circuit.sources import fits
from shd_helpers.command import run
from shd_helpers.data.shd_file import DatasetError
from shd_helpers.study.run_folder import RunError

CLOCKS = (1e6, 2e6, 4e6, 8e6, 12e6, 24e6)
LANES = (1, 2, 4, 8, 16)
ANSWER = "cycles to the answer"  # from in_end, where only the last step is left
COLUMNS = ["device", "build", "quantity", "value"]


def main() -> None:
    """Print cycles a word, cells and clock of each FPGA; export the run first if need be."""
    parser = argparse.ArgumentParser(prog="python -m shd_circuit.rtl", description=__doc__)
    add_arguments(parser)
    parser.add_argument("--table", type=Path, help="write what is found to this CSV file; rows of "
                        "other folders stay")  # fmt: skip
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
        print(f"{done.words} words, all scores as expected; {cycles:,} clock cycles a word")
        parts = [depths(folder), *(placed(folder, name) for name in FAMILIES), counted(folder)]
        table = pd.concat(parts)
    except (ExportError, RunError, DatasetError) as error:
        sys.exit(f"\nThe core was not built.\n{error}")
    if given.table:
        table.insert(0, "folder", folder.name)
        old = pd.read_csv(given.table) if given.table.exists() else table[:0]
        table = pd.concat([old[old.folder != folder.name], table])
        table.to_csv(given.table, index=False, float_format="%g")


def depths(folder: Path) -> pd.DataFrame:
    """Return, and print, what real time needs, by lanes: a FIFO's entries, cycles to the answer."""
    network, words = read_circuit(folder), read_vectors(folder)
    rows = []
    for n in (n for n in LANES if fits(network, n)):
        for clock in CLOCKS:
            depth = max(fifo_depth(network, word, clock, n) for word in words)
            rows.append(("core", f"lanes {n}", f"FIFO at {clock / 1e6:g} MHz", depth))
        last = max(last_step_cycles(network, word, n) for word in words)
        rows.append(("core", f"lanes {n}", ANSWER, last))
    table = pd.DataFrame(rows, columns=COLUMNS)
    print("The words in real time, entries of the FIFO (shd_top.v has 512), and the answer:")
    print(table.pivot_table("value", "quantity", "build", sort=False).astype(int).to_string())
    return table


def placed(folder: Path, family: str) -> pd.DataFrame:
    """Return, and print, what an FPGA needs, and its clock."""
    needed, path = place_and_route(folder, family)
    build = f"lanes {FAMILIES[family].build['LANES']}"
    print(f"Placed and routed on {family}, {build}:")
    print(*(f"{value:8,g}  {text}" for text, value in needed.items()), sep="\n")
    print("The slowest path, nanoseconds:", *path, sep="\n  ")
    return pd.DataFrame([(family, build, *row) for row in needed.items()], columns=COLUMNS)


def counted(folder: Path) -> pd.DataFrame:
    """Return, and print, what the core does in a word as cells of an UP5K, and the energy."""
    lanes = FAMILIES["UP5K"].build["LANES"]
    done = toggles(folder, lanes)
    print("In a word, as the UP5K's cells without its single-port RAMs; microjoules:")
    print(
        pd.DataFrame({"": done, "uJ": cost.energy(done)}).to_string(float_format="{:,.1f}".format)
    )
    rows = [
        ("UP5K's cells", f"lanes {lanes}", f"{what} per utterance", n) for what, n in done.items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


if __name__ == "__main__":
    run(main)
