"""Read tables of runs, ``results/*.csv``, and what the sweeps behind them planned to compare.

A sweep writes its table: see `sweeps.results`.
"""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from shd_corpus.files import reading
from shd_helpers.paths import ROOT, results_dir

PLANS = ROOT / "results" / "plans.json"

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
DATA = ("train_sha256", "test_sha256", "augmented_train_sha256", "augmented_test_sha256")
USER_CODE_SHA256 = "user_code_sha256"  # of a user's own Python files; absent from most tables
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
        USER_CODE_SHA256,
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
    USER_CODE_SHA256,
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
    return table


def read_texts(path: Path) -> pd.DataFrame:
    """Return a table's file as text, one row for each run; empty if there is no file."""
    if not path.exists():
        return pd.DataFrame({name: [] for name in _TEXTS}, dtype=str)
    with reading(path, TableError, RESTORE):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        is_right = table["status"].isin(["done", "failed"]) & ~table["run_name"].duplicated()
        if not {"configuration", "hash", "seed"} <= {*table} or not is_right.all():
            raise ValueError(
                f"row {1 + is_right.argmin()} is not of a run, or has the run_name of another row"
            )
    return table


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


def read_plans() -> dict[str, dict[str, Any]]:
    """Return what the sweeps of frozen tables planned to compare."""
    return json.loads(PLANS.read_text(encoding="utf-8"))


def plan_of(sweep: str) -> dict[str, Any]:
    """Return what a sweep planned to compare, before its first run.

    Parameters
    ----------
    sweep : str
        A sweep whose table is frozen, such as ``final``.

    Returns
    -------
    dict
        The `plan` in the sweep's file, empty if it has none.

    Raises
    ------
    TableError
        If there is no such sweep.
    """
    plans = read_plans()
    if sweep not in plans:
        there = ", ".join(name for name, plan in plans.items() if plan)
        raise TableError(f"{sweep}: {PLANS} has no such sweep. These have a plan: {there}.")
    return plans[sweep]
