"""Tables of runs: rows made of run folders, merged into ``results/*.csv``, and read again."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from shd_corpus.files import atomic, reading
from shd_helpers.paths import results_dir
from shd_helpers.study.identity import run_hash
from shd_helpers.study.recipe import DEFAULTS
from shd_helpers.study.run_folder import read_info

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


def finished_run(folder: Path, wanted: str) -> dict[str, float | str] | None:
    """Return what a run folder says was measured, or None if the run is missing.

    A run with another hash is missing, and so is one that is damaged: a sweep then runs it again.
    A run whose network the settings don't build is missing, too: the description of that network
    counts in the hash of its `run.json`, and the settings alone have another hash.
    """
    try:
        info = read_info(folder)
        own_hash = run_hash(info["parameters"], info["data"])
        if info["hash"] != wanted or own_hash != wanted:
            return None
        return _measured(info) | provenance(info)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _measured(info: Mapping[str, Any]) -> dict[str, float | str]:
    """Return what a `run.json` says was measured."""
    written: dict[str, Any] = {}
    for name, score in info["scores"].items():
        column = name if name == AGREEMENT else f"{name}_accuracy"
        written[column] = score
    written |= info.get("costs", {})
    for name in TIMES:
        written[name] = info["wall_s"][name.removesuffix("_s")]
    measured: dict[str, float | str] = {}
    for name in MEASURED:
        value = written.get(name)
        if value is None:
            value = math.nan
        measured[name] = value
    return measured


def provenance(info: Mapping[str, Any]) -> dict[str, str]:
    """Return where and with which code a run was made."""
    packages = info.get("versions", {})
    return {
        "processor": info.get("processor", ""),
        "versions": " ".join(f"{name}={number}" for name, number in packages.items()),
        "commit": info.get("git_commit") or "",
    }


def read_rows(path: Path) -> pd.DataFrame:
    """Read all rows of a table, those of runs that failed, too."""
    table = _read_texts(path)
    for name in table.columns.difference(_TEXTS):
        table[name] = _as_values(table[name])
    return table


def _read_texts(path: Path) -> pd.DataFrame:
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


def merge_rows(path: Path, rows: Sequence[Mapping[str, object]], order: Iterable[str] = ()) -> None:
    """Put rows into a table's file; rows that are there stay as they are, to the letter.

    A row replaces that of the same `run_name`. But one that failed replaces none that is done: a
    result stays until a later run of the same name has ended well.
    """
    new = _as_texts(rows)
    with locked(path):
        old = _read_texts(path) if path.exists() else new[:0]
        new = _without_failures_of_done_runs(new, old)
        merged = _fill_absent(_replace_rows(old, new))
        merged = _sort_by_run_name(merged, order)
        with atomic(path) as unfinished:
            merged.to_csv(unfinished, index=False)


def _as_texts(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Return rows as the file has them."""
    texts = [{name: _as_text(value) for name, value in row.items()} for row in rows]
    return pd.DataFrame(texts, dtype=str)


def _without_failures_of_done_runs(new: pd.DataFrame, old: pd.DataFrame) -> pd.DataFrame:
    """Return the new rows without those that failed and have an old row that is done."""
    done = old.run_name[old.status == "done"]
    return new[(new.status == "done") | ~new.run_name.isin(done)]


def _replace_rows(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Return the new rows and those old ones whose run isn't among them; absent values are NaN.

    Columns that only old rows have come last.
    """
    remaining = old[~old.run_name.isin(new.run_name)]
    columns = [*new.columns, *old.columns.difference(new.columns, sort=False)]
    return pd.concat([new, remaining])[columns]


def _fill_absent(table: pd.DataFrame) -> pd.DataFrame:
    """Fill in the values of columns that a row lacks.

    A setting that was added after a row was written had its default in that run. Columns of what is
    measured stay empty.
    """
    absent = {name: _as_text(DEFAULTS.get(name)) for name in table.columns}
    return table.fillna(absent)


def _sort_by_run_name(table: pd.DataFrame, order: Iterable[str]) -> pd.DataFrame:
    """Return rows in the order of their run names, followed by the others as they were."""
    rank_of = {name: rank for rank, name in enumerate(order)}
    ranks = table.run_name.map(lambda name: rank_of.get(name, len(rank_of)))
    return table.iloc[ranks.argsort(kind="stable")]


def _as_text(value: object) -> str:
    """Return a value as the file has it: a float with all its digits, "" for None and NaN."""
    is_nan = value != value
    return "" if value is None or is_nan else str(value)


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
