"""Simulate a run's core, place and route it, from the command line (``make rtl``)."""

import argparse
import os
import sys
from pathlib import Path

import pandas as pd

from shd_circuit import cost
from shd_circuit.cost import last_step_cycles
from shd_circuit.export import add_arguments, changes_export, export_from, out_folder
from shd_circuit.folder import ExportError, read_circuit, read_text, read_vectors
from shd_circuit.rtl import FAMILIES, SEEDS, place_and_route, simulate
from shd_circuit.rtl.toggles import toggles
from shd_circuit.sources import fits
from shd_corpus.checks import DatasetError
from shd_corpus.files import atomic
from shd_helpers.command import run
from shd_helpers.study.run_folder import RunError

LANES = (1, 2, 4, 8, 16)
ANSWER = "cycles to the answer"  # from in_end, where only the last step is left
PER_UTTERANCE = " per utterance"  # what is counted
COLUMNS = ["device", "build", "quantity", "value"]


def main() -> None:
    """Print an utterance's cycles, and cells and clock of each FPGA; export first if need be."""
    parser = argparse.ArgumentParser(prog="python -m shd_circuit.rtl", description=__doc__)
    add_arguments(parser, takes_folder=True)
    parser.add_argument(
        "--table",
        type=Path,
        help="write what is found to this CSV file; rows of other folders stay",
    )
    arguments = parser.parse_args()
    try:
        folder = out_folder(arguments)
        if changes_export(arguments) or not (folder / "core.v").is_file():
            export_from(arguments)
        check_core(folder)
        tables = measure(folder)
    except (ExportError, RunError, DatasetError) as error:
        sys.exit(f"\nThe core was not built.\n{error}")
    if arguments.table:
        try:
            write_table(arguments.table, folder.name, pd.concat(tables))
        except OSError as error:
            sys.exit(f"\nThe table was not written.\n{arguments.table}: {error}. Free the disk.")


def measure(folder: Path) -> list[pd.DataFrame]:
    """Measure all that the command measures, and print it."""
    tables = [answer_cycles(folder)]
    print(tables[-1][["build", "quantity", "value"]].to_string(index=False, header=False))
    for family in FAMILIES:
        table, path = placed_core(folder, family)
        print_placed_core(table, path)
        tables.append(table)
    tables.append(core_activity(folder))
    print_core_activity(tables[-1])
    return tables


def check_core(folder: Path) -> None:
    """Simulate a folder's core, and print how many clock cycles it takes."""
    print(f"Simulating {os.path.relpath(folder)} ...", flush=True)
    # read before the core is compiled, which takes minutes
    expected = {name: read_text(folder / name) for name in ("expected.txt", "edges_expected.txt")}
    done = simulate(folder)
    for output, name in zip((done.output, done.edges), expected, strict=True):
        if output != expected[name]:
            sys.exit(f"{folder}: the core doesn't print {name}. Export the run again.")
    cycles = done.cycles // done.n_utterances
    print(
        f"{done.n_utterances} utterances, all scores as expected; {cycles:,} clock cycles for each"
    )


def answer_cycles(folder: Path) -> pd.DataFrame:
    """Compute by lanes the most cycles from the end of an utterance to the answer."""
    network = read_circuit(folder)
    utterances = read_vectors(folder)
    rows = []
    for lanes in LANES:
        if not fits(network, lanes):
            continue
        cycles = [last_step_cycles(network, each, lanes) for each in utterances]
        rows.append(("core", f"lanes {lanes}", ANSWER, max(cycles)))
    return pd.DataFrame(rows, columns=COLUMNS)


def placed_core(folder: Path, family: str) -> tuple[pd.DataFrame, list[str]]:
    """Place and route a core on an FPGA."""
    needed, path = place_and_route(folder, family)
    build = f"lanes {FAMILIES[family].build['LANES']}"
    rows = [(family, build, quantity, value) for quantity, value in needed.items()]
    return pd.DataFrame(rows, columns=COLUMNS), path


def print_placed_core(table: pd.DataFrame, path: list[str]) -> None:
    """Print what an FPGA needs, its clock, and its slowest path."""
    print(
        f"Placed and routed on {table.device[0]}, in placed.v, {table.build[0]}; the clock is the "
        f"slowest of {len(SEEDS)} placements:"
    )
    for quantity, value in zip(table.quantity, table.value, strict=True):
        print(f"{value:8,g}  {quantity}")
    print("The slowest path, nanoseconds:", *path, sep="\n  ")


def core_activity(folder: Path) -> pd.DataFrame:
    """Count what the core does with an utterance as cells of an UP5K."""
    lanes = int(FAMILIES["UP5K"].build["LANES"])
    rows = [
        ("UP5K's cells", f"lanes {lanes}", f"{quantity}{PER_UTTERANCE}", value)
        for quantity, value in toggles(folder, lanes).items()
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def print_core_activity(table: pd.DataFrame) -> None:
    """Print what the core does with an utterance, and the energy."""
    activity = table.set_index("quantity").value
    activity = activity.rename(lambda quantity: quantity.removesuffix(PER_UTTERANCE))
    print(
        "For an utterance, as the UP5K's cells without its single-port RAMs; microjoules of the "
        "core alone, where a memory word is assumed to take {} to {} pJ:".format(*cost.MEMORY_PJ)
    )
    columns = {f"{pj:g} pJ": cost.energy(activity, pj) for pj in cost.MEMORY_PJ}
    shown = pd.DataFrame({"": activity} | columns)
    print(shown.to_string(float_format="{:,.1f}".format))


def write_table(path: Path, folder_name: str, table: pd.DataFrame) -> None:
    """Replace a folder's rows in a CSV file."""
    new = table.assign(folder=folder_name)[["folder", *COLUMNS]]
    if path.exists():
        old = pd.read_csv(path)
        new = pd.concat([old[old.folder != folder_name], new])
    with atomic(path) as unfinished:
        new.to_csv(unfinished, index=False, float_format="%.10g")


if __name__ == "__main__":
    run(main)
