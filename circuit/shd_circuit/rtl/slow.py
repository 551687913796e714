"""Simulate the board whose clock stops, in real time, and count how long its clock runs."""

from pathlib import Path

import pandas as pd

from shd_circuit.folder import ExportError, read_text, read_vectors
from shd_circuit.rtl.tools import copied_folder, find_tool, run_tool
from shd_circuit.sources import source_text

SLOW_HZ = 2_000_000  # a sixth of the iCEBreaker's clock, as `slow_bench.v` has it
BUILD = "--binary --timing -O3 -Wno-fatal -Wno-lint -Wno-style --quiet --top-module slow_bench"
FILES = ("slow_bench.v", "slow_top.v", "shd_top.v", "core.v")


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
        If Verilator is missing or fails, the folder is no export, or the board answers differently.
    """
    utterances = read_vectors(folder)[:n_utterances]
    expected = read_text(folder / "expected.txt").splitlines()[: len(utterances)]
    with copied_folder(folder, LANES=lanes) as copy:
        (copy / "slow_bench.v").write_text(source_text("rtl/slow_bench.v"), "utf-8")
        run_tool([find_tool("verilator"), *BUILD.split(), *FILES], copy)
        ended = run_tool(["./obj_dir/Vslow_bench", f"+utterances={len(utterances)}"], copy)
    lines = [line for line in ended.stdout.splitlines() if not line.startswith("-")]
    *answers, counts = lines
    if "flags" in answers:
        raise ExportError(f"{folder}: in real time slow_top sets a flag: spikes come too late")
    if answers != expected:
        raise ExportError(f"{folder}: slow_top doesn't print expected.txt. Export it again.")
    _, cycles, n_awake = counts.split()
    return pd.Series({"cycles": int(cycles), "awake": int(n_awake)}) / len(utterances)
