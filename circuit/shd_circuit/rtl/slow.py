"""Simulate the board whose clock stops, in real time, and count how long its clock runs."""

from pathlib import Path

import pandas as pd

from shd_circuit.folder import ExportError, read_vectors
from shd_circuit.rtl import _run, compiled
from shd_circuit.sources import events_text

SLOW_HZ = 2_000_000
BAUD = 115_200
TOP = f"slow_top -chparam CLOCK_HZ {2 * SLOW_HZ} -chparam DIVIDE 2"


def awake(folder: Path, lanes: int = 1, n_utterances: int = 2) -> pd.Series:
    """Count the cycles of an exported folder's `slow_top`, whose core begins with its weights.

    Parameters
    ----------
    folder : Path
        Written by `folder.write_folder`; nothing is written there.
    lanes : int
        Neurons that are summed in parallel.
    n_utterances : int
        How many of the folder's test vectors, from the first on, come in real time.

    Returns
    -------
    Series
        Means over these utterances, each from its beginning to the last byte of its answer:
        `cycles` of the slow clock, and `awake`, those in which the clock that stops has run.

    Raises
    ------
    ExportError
        If a tool is missing or fails, the folder is no export, or the board answers otherwise.
    """
    utterances = read_vectors(folder)[:n_utterances]
    expected = (folder / "expected.txt").read_text("utf-8").splitlines()[: len(utterances)]
    defines = [f"-DBIT={(SLOW_HZ + BAUD // 2) // BAUD}", f"-DMS={SLOW_HZ // 1000}"]
    harness = Path(__file__).with_name("slow.cpp")
    with compiled(folder, harness, TOP, defines, LANES=lanes) as program:
        ended = _run([str(program)], program.parent, events_text(utterances))
    if ended.stdout.splitlines() != expected:
        raise ExportError(f"{folder}: slow_top doesn't print expected.txt. Export it again.")
    *flags, counts = ended.stderr.splitlines()
    if flags:
        raise ExportError(f"{folder}: in real time slow_top sets {flags[0]}")
    cycles, n_awake = map(int, counts.split())
    return pd.Series({"cycles": cycles, "awake": n_awake}) / len(utterances)
