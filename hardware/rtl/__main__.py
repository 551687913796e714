"""Simulate a run's core and count what it needs, from the command line (``make rtl``)."""

import argparse
import os
import sys

from hardware.export import add_arguments, export_from, out_folder
from hardware.folder import ExportError
from hardware.rtl import CELLS, resources, simulate
from shd_helpers.source.shd_file import DatasetError
from shd_helpers.study.run_folder import RunError


def main() -> None:
    """Print cycles a word and resources; export the run first if that wasn't done."""
    parser = argparse.ArgumentParser(prog="python -m hardware.rtl", description=__doc__)
    add_arguments(parser)
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
        cells = resources(folder)
    except (ExportError, RunError, DatasetError) as error:
        sys.exit(f"\nThe core was not built.\n{error}")
    print("Cells of a Lattice ECP5, as yosys maps the core (not placed, not timed):")
    for name, text in CELLS.items():
        print(f"{cells.get(name, 0):8,}  {text}")


if __name__ == "__main__":
    main()
