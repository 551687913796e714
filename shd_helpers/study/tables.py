"""Tables of runs in ``results/*.csv``, which sweeps write: see `sweeps.table_rows`."""

import csv
import math
import re
from collections import Counter
from pathlib import Path

import pandas as pd
from filelock import FileLock

from shd_corpus.files import reading
from shd_helpers.paths import results_dir

# The columns of a table, besides a run's parameters.
SCORES = (
    "train_accuracy",
    "validation_accuracy",
    "test_accuracy",
    "test_seen_accuracy",
    "test_unseen_accuracy",
)
# How often a circuit and its network answer the same. It is the only score that is no accuracy, so
# its column has the score's own name.
AGREEMENT = "integer_agreement"
INTEGER = (  # of a circuit, which computes in integers
    "integer_validation_accuracy",
    "integer_test_accuracy",
    "integer_test_seen_accuracy",
    "integer_test_unseen_accuracy",
    AGREEMENT,
)
COSTS = (
    "parameters",
    "footprint_bytes",
    "unrolled_synapses",
    "neuron_updates",
    "effective_acs",
    "macs",
    "input_events",
    "hidden_spikes",
    "late_spikes",
)
TIMES = ("training_s", "total_s")
MEASURED = (*SCORES, *INTEGER, *COSTS, *TIMES)
FRACTIONS = frozenset({*SCORES, *INTEGER})  # what was measured in 0..1
DATA = ("train_sha256", "test_sha256", "augmented_train_sha256", "augmented_test_sha256")
OBJECTS_SHA256 = "objects_sha256"  # of a user's own Python files; absent from most tables
# How it is known that a run trained on these augmented recordings: see results/README.md.
EVIDENCE = "augmented_evidence"
RECORDED = "hashed when the run trained"
# Where and with which code a run was made; rows that are older than these columns have none.
PROVENANCE = ("processor", "versions", "commit")
# All columns that a row adds to a run's parameters. An axis or a parameter of such a name would be
# lost.
COLUMNS = frozenset(
    {
        "configuration",
        *MEASURED,
        *DATA,
        OBJECTS_SHA256,
        EVIDENCE,
        *PROVENANCE,
        "hash",
        "status",
        "error",
    }
)
# Columns that are texts, even where they look like numbers, such as a hash of digits.
_TEXTS = (
    "configuration",
    "circuit",
    "validation_speakers",
    "hidden",
    "hidden_delays",
    "run_name",
    *DATA,
    OBJECTS_SHA256,
    EVIDENCE,
    *PROVENANCE,
    "hash",
    "status",
    "error",
)
# Numbers as Python writes them; a longer whole number than that can't be read.
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,999})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-]?[0-9]+)?")
# `git restore` refuses a file that a merge has left with conflict marks
RESTORE = "Restore it (git checkout HEAD -- results), or move it away and run the sweep again."


class TableError(ValueError):
    """A table is missing, damaged or incomplete; the message names the file and the remedy."""


def read_rows(path: Path) -> pd.DataFrame:
    """Read all rows of a table, those of runs that failed, too."""
    table = read_texts(path)
    for name in table.columns.difference(_TEXTS):
        table[name] = _as_values(table[name])
    with reading(path, TableError, RESTORE):
        _check_measured(table)
    return table


def _check_measured(table: pd.DataFrame) -> None:
    """Raise ValueError if a measured value is no number, impossible, or infinite.

    An accuracy is a fraction, and all else at least 0. NaN is a value that wasn't measured.
    """
    for name in table.columns.intersection(MEASURED):
        values = table[name].astype(float)
        highest = 1.0 if name in FRACTIONS else math.inf
        is_possible = values.isna() | ((values >= 0) & (values <= highest) & (values < math.inf))
        if not is_possible.all():
            row = int((~is_possible).to_numpy().argmax())
            limits = "0 to 1" if name in FRACTIONS else "0 or more, and finite"
            raise ValueError(f"row {1 + row}: {name} {values.iloc[row]:g} must be {limits}")


def read_texts(path: Path) -> pd.DataFrame:
    """Return a table's file as text, one row for each run; empty if there is no file."""
    if not path.exists():
        return pd.DataFrame({name: [] for name in _TEXTS}, dtype=str)
    with reading(path, TableError, RESTORE):
        _check_header(path)
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        is_right = table["status"].isin(["done", "failed"]) & ~table["run_name"].duplicated()
        if not {"configuration", "hash", "seed"} <= {*table} or not is_right.all():
            raise ValueError(
                f"row {1 + is_right.argmin()} is not of a run, or has the run_name of another row"
            )
    return table


def _check_header(path: Path) -> None:
    """Raise ValueError if a CSV file has two columns of one name, which pandas would rename."""
    with path.open(encoding="utf-8", newline="") as file:
        header = next(csv.reader(file), [])
    # counted once for all: a damaged file may have a million columns
    doubled = sorted(name for name, count in Counter(header).items() if count > 1)
    if doubled:
        raise ValueError(f"column {', '.join(doubled)} appears twice")


def _as_values(texts: pd.Series) -> pd.Series:
    """Convert a column of texts to truth values or numbers, if all of them are such.

    An empty text is a missing number. Other texts must be written as Python writes numbers: names
    of values such as "128_64", "01" and "nan" stay texts.
    """
    if set(texts) <= {"True", "False"}:
        return texts == "True"
    if texts.map(_WHOLE.fullmatch).notna().all():
        return texts.map(int)
    written = texts[texts != ""]
    if written.map(_NUMBER.fullmatch).notna().all():
        return texts.map(lambda text: float(text or "nan"))
    return texts


def locked(path: Path) -> FileLock:
    """Return a lock on a folder of tables, because two sweeps may write the same one at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.parent / ".lock")


def table_path(name: str | Path) -> Path:
    """Return the file of a table."""
    if isinstance(name, Path) or "/" in name or name.endswith(".csv"):
        return Path(name)
    return results_dir() / f"{name}.csv"


def read_table(name: str | Path) -> pd.DataFrame:
    """Read the runs of a sweep that have ended well.

    Parameters
    ----------
    name : str or Path
        A file in ``results/``, without its ending (the sweep's name and its data set's), or the
        path of a table.

    Returns
    -------
    DataFrame
        A row for each run, numbers with all their digits: `configuration`, parameters, what was
        measured (accuracies as fractions), hashes and provenance.

    Raises
    ------
    TableError
        If there is no such table, or no run in it has ended well.
    """
    path = table_path(name)
    if not path.exists():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.csv")))
        raise TableError(f"{path}: no such table. Run its sweep, or choose one of these: {there}.")
    table = read_rows(path)
    table = table[table.status == "done"]
    if not len(table):
        raise TableError(f"{path}: no run in it has ended well. {RESTORE}")
    return table
