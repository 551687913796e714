"""What the runs of a sweep have measured: the rows of its table, predictions and class scores.

A run that has ended gives a `RunResult`. `store` writes it into the table, `store_predictions`
saves what the run predicted, and `own_rows` reads the rows of a sweep.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from shd_corpus.files import atomic
from shd_helpers.study.identity import references, run_hash
from shd_helpers.study.recipe import DEFAULTS
from shd_helpers.study.run_folder import read_info
from shd_helpers.study.tables import (
    AGREEMENT,
    DATA,
    EVIDENCE,
    MEASURED,
    PROVENANCE,
    RECORDED,
    TIMES,
    USER_CODE_SHA256,
    locked,
    read_rows,
    read_texts,
)
from shd_helpers.sweeps.spec import RunSpec, Sweep
from shd_helpers.sweeps.sweep_file import SweepError
from shd_helpers.user_code import label_of

RESUME = "Runs that have ended are kept: the same command runs only the rest."


@dataclass(frozen=True)
class RunResult:
    """How a run has ended: with what it measured, or with an error."""

    measured: Mapping[str, float | str] | None  # by column: see `finished_run`
    error: str = ""  # if the run has failed: a traceback, or a sentence

    @classmethod
    def failure(cls, error: str) -> "RunResult":
        """Return the result of a run that has failed."""
        return cls(None, error)

    @property
    def has_failed(self) -> bool:
        """Return whether the run has failed."""
        return self.measured is None


def store(sweep: Sweep, results: Mapping[RunSpec, RunResult]) -> None:
    """Put runs that ended into the sweep's table, in the grid's order."""
    with as_sweep_error(sweep.table):
        rows = [_row(run, result) for run, result in results.items()]
        merge_rows(sweep.table, rows, [run.run_name for run in sweep.runs])


def store_predictions(sweep: Sweep, done: Iterable[RunSpec]) -> None:
    """Save predictions and class scores of runs that ended well, if the sweep asks for them."""
    folders = {run.hash: run.folder for run in done}
    for kept in sweep.stores:
        path = kept.path(sweep.table)
        with as_sweep_error(path):
            kept.save(path, folders)


@contextmanager
def as_sweep_error(path: Path) -> Iterator[None]:
    """Turn an error of the disk into a SweepError that names the file."""
    try:
        yield
    except OSError as error:  # the file stays as it was
        raise SweepError(f"{path}: {error.strerror or error}. {RESUME}") from error


def _row(run: RunSpec, result: RunResult) -> dict[str, object]:
    """Return a run's row in the table; its `dataset` is the data set's name."""
    row: dict[str, object] = {"configuration": run.configuration}
    row |= run.named_values
    row |= run.parameters
    for name, text in references(run.parameters).items():
        row[name] = label_of(text)  # the folder is this machine's
    if USER_CODE_SHA256 in run.data:
        row[USER_CODE_SHA256] = run.data[USER_CODE_SHA256]
    if run.data:
        row["dataset"] = run.data["name"]
    if result.measured is None:
        row |= dict.fromkeys(MEASURED, math.nan)
    else:
        row |= result.measured
    row |= {name: run.data.get(name, "") for name in DATA}
    is_augmented = any(name.startswith("augmented_") for name in run.data)
    row[EVIDENCE] = RECORDED if is_augmented else ""
    row |= {name: row.get(name, "") for name in PROVENANCE}
    row["hash"] = run.hash
    row["status"] = "failed" if result.has_failed else "done"
    row["error"] = result.error
    return row


def own_rows(
    sweep: Sweep, runs: Sequence[RunSpec], failures: Mapping[RunSpec, RunResult]
) -> pd.DataFrame:
    """Return the rows of a sweep's runs: of its table's file, and of those that failed just now."""
    rows = read_rows(sweep.table)
    failed_rows = [_row(run, result) for run, result in failures.items()]
    failed = pd.DataFrame(failed_rows, columns=rows.columns)
    hashes = {run.run_name: run.hash for run in runs}
    has_same_hash = rows.run_name.map(hashes) == rows.hash
    has_failed = rows.run_name.isin(failed.run_name)
    table = pd.concat([rows[has_same_hash & ~has_failed], failed])
    in_order = table.set_index("run_name", drop=False).loc[list(hashes)]
    return in_order.reset_index(drop=True)


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


# --- Merging rows into a table's file ------------------------------------------------------------


def merge_rows(path: Path, rows: Sequence[Mapping[str, object]], order: Iterable[str] = ()) -> None:
    """Put rows into a table's file; rows that are there stay as they are, to the letter.

    A row replaces that of the same `run_name`. But one that failed replaces none that is done: a
    result stays until a later run of the same name has ended well.
    """
    texts = [{name: _as_text(value) for name, value in row.items()} for row in rows]
    new = pd.DataFrame(texts, dtype=str)
    with locked(path):
        old = read_texts(path) if path.exists() else new[:0]
        done = old.run_name[old.status == "done"]
        new = new[(new.status == "done") | ~new.run_name.isin(done)]
        merged = _replace_rows(old, new)
        # A setting that was added after a row was written had its default in that run. Columns of
        # what is measured stay empty.
        merged = merged.fillna({name: _as_text(DEFAULTS.get(name)) for name in merged.columns})
        merged = _sort_by_run_name(merged, order)
        with atomic(path) as unfinished:
            merged.to_csv(unfinished, index=False)


def _replace_rows(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Return the new rows and those old ones whose run isn't among them; absent values are NaN.

    Columns that only old rows have come last.
    """
    remaining = old[~old.run_name.isin(new.run_name)]
    columns = [*new.columns, *old.columns.difference(new.columns, sort=False)]
    return pd.concat([new, remaining])[columns]


def _sort_by_run_name(table: pd.DataFrame, order: Iterable[str]) -> pd.DataFrame:
    """Return rows in the order of their run names, followed by the others as they were."""
    rank_of = {name: rank for rank, name in enumerate(order)}
    ranks = table.run_name.map(lambda name: rank_of.get(name, len(rank_of)))
    return table.iloc[ranks.argsort(kind="stable")]


def _as_text(value: object) -> str:
    """Return a value as the file has it: a float with all its digits, "" for None and NaN."""
    is_nan = value != value
    return "" if value is None or is_nan else str(value)
