"""What the runs of a sweep have measured: the rows of its table, predictions and class scores.

A run that has ended gives a `RunResult`. `store` writes it into the table, `store_predictions`
saves what the run predicted, and `own_rows` reads the rows of a sweep.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from shd_helpers.study.identity import references
from shd_helpers.study.tables import (
    DATA,
    EVIDENCE,
    MEASURED,
    PROVENANCE,
    RECORDED,
    USER_CODE_SHA256,
    merge_rows,
    read_rows,
)
from shd_helpers.sweeps.spec import RunSpec, Sweep
from shd_helpers.sweeps.sweep_file import SweepError
from shd_helpers.user_code import label_of

RESUME = "Runs that have ended are kept: the same command runs only the rest."


@dataclass(frozen=True)
class RunResult:
    """How a run has ended: with what it measured, or with an error."""

    measured: Mapping[str, float | str] | None  # by column: see `tables.finished_run`
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
        rows = [_in_order(sweep, _row(run, result)) for run, result in results.items()]
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


def _in_order(sweep: Sweep, row: Mapping[str, object]) -> dict[str, object]:
    """Return a row with the columns first that the sweep wants first."""
    first = {name: row[name] for name in sweep.first_columns}
    return first | dict(row)


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
