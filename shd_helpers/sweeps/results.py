"""The results of a sweep's runs: which exist already, and how new ones get into its table.

A result is in the sweep's table or, if a sweep was killed, only in a run folder.
`find_pending_runs` finds out which runs have to be executed. None is reused if the code that
computes has changed since its hash was recorded. A run that has ended gives a `RunResult`. `store`
writes it into the table, and `own_rows` reads the rows of a sweep.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from shd_corpus.files import atomic
from shd_helpers.data import NAMED
from shd_helpers.study.jobs import RESUME
from shd_helpers.study.recipe import references, run_hash
from shd_helpers.study.run_folder import read_info
from shd_helpers.study.tables import (
    DATA,
    MEASURED,
    PROVENANCE,
    TIMES,
    locked,
    read_rows,
    read_texts,
)
from shd_helpers.sweeps.sweep_file import RunSpec, Sweep, SweepError, named
from shd_helpers.user_code import label_of, load_object
from shd_helpers.versions import COMPUTING_CODE, code_hash

CHANGED_CODE = (
    "the code that turns spikes into class scores has changed, so no earlier result is reused "
    "until python -m tests.small_computations has checked the code and recorded its hash."
)


@dataclass(frozen=True)
class RunResult:
    """How a run has ended: with what it measured, or with an error."""

    measured: Mapping[str, float | str] | None = None  # by column: see `finished_run`
    error: str = ""  # if the run has failed: a traceback, or a sentence

    @property
    def has_failed(self) -> bool:
        """Return whether the run has failed."""
        return self.measured is None


def store(sweep: Sweep, results: Mapping[RunSpec, RunResult]) -> None:
    """Put runs that ended into the sweep's table; rows that are there stay as they are.

    A row replaces that of the same `run_name`. But one that failed replaces none that is done: a
    result stays until a later run of the same name has ended well. The rows of the sweep come
    first, in the grid's order, and columns that only other rows have come last.
    """
    rows = [_row(run, result) for run, result in results.items()]
    new = pd.DataFrame([{name: _as_text(value) for name, value in row.items()} for row in rows])
    rank_of = {run.run_name: rank for rank, run in enumerate(sweep.runs)}
    try:
        with locked(sweep.table):
            old = read_texts(sweep.table) if sweep.table.exists() else new[:0]
            done = old.run_name[old.status == "done"]
            new = new[(new.status == "done") | ~new.run_name.isin(done)]
            columns = [*new.columns, *old.columns.difference(new.columns, sort=False)]
            merged = pd.concat([new, old[~old.run_name.isin(new.run_name)]])[columns]
            ranks = merged.run_name.map(rank_of).fillna(len(rank_of))
            with atomic(sweep.table) as unfinished:
                merged.iloc[ranks.argsort(kind="stable")].to_csv(unfinished, index=False)
    except OSError as error:  # the table stays as it was
        raise SweepError(f"{sweep.table}: {error.strerror or error}. {RESUME}") from error


def _row(run: RunSpec, result: RunResult) -> dict[str, object]:
    """Return a run's row in the table; its `dataset` is the data set's name."""
    # the folder of a user's file is this machine's
    labels = {name: label_of(text) for name, text in references(run.parameters).items()}
    row = {"configuration": run.configuration, **run.named_values, **run.parameters, **labels}
    if run.data:
        row["dataset"] = run.data["name"]
    row |= result.measured or dict.fromkeys(MEASURED, math.nan)
    row |= dict.fromkeys(DATA, "")
    row |= {name: digest for name, digest in run.data.items() if name != "name"}
    row |= {name: row.get(name, "") for name in PROVENANCE}
    status = "failed" if result.has_failed else "done"
    return row | {"hash": run.hash, "status": status, "error": result.error}


def _as_text(value: object) -> str:
    """Return a value as the file has it: a float with all its digits, "" for None and NaN."""
    is_nan = value != value
    return "" if value is None or is_nan else str(value)


def own_rows(
    sweep: Sweep, runs: Sequence[RunSpec], failures: Mapping[RunSpec, RunResult]
) -> pd.DataFrame:
    """Return the rows of a sweep's runs: of its table's file, and of those that failed just now."""
    rows = read_rows(sweep.table)
    failed_rows = [_row(run, result) for run, result in failures.items()]
    failed = pd.DataFrame(failed_rows, columns=rows.columns)
    hashes = {run.run_name: run.hash for run in runs}
    is_own = rows.run_name.map(hashes) == rows.hash
    table = pd.concat([rows[is_own & ~rows.run_name.isin(failed.run_name)], failed])
    return table.set_index("run_name", drop=False).loc[list(hashes)].reset_index(drop=True)


def finished_run(folder: Path, wanted: str) -> dict[str, float | str] | None:
    """Return what a run folder says was measured, or None if the run is missing.

    A run with another hash is missing, and so is one that is damaged: a sweep then runs it again.
    A run whose network the settings don't build is missing, too: the description of that network
    counts in the hash of its `run.json`, and the settings alone have another hash.
    """
    try:
        info = read_info(folder)
        own_hash = run_hash(info["parameters"], info["data"])
        return _measured(info) if info["hash"] == wanted == own_hash else None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _measured(info: Mapping[str, Any]) -> dict[str, float | str]:
    """Return what a `run.json` says was measured, and where and with which code."""
    written = {f"{name}_accuracy": score for name, score in info["scores"].items()}
    written |= info.get("costs", {}) | {
        name: info["wall_s"][name.removesuffix("_s")] for name in TIMES
    }
    packages = info.get("versions", {})
    return {
        **{name: math.nan if written.get(name) is None else written[name] for name in MEASURED},
        "processor": info.get("processor", ""),
        "versions": " ".join(f"{name}={number}" for name, number in packages.items()),
        "commit": info.get("git_commit") or "",
    }


class FoundRuns(NamedTuple):
    """Where the results of a sweep's runs are: in the table, only in a run folder, or nowhere."""

    n_in_table: int
    only_in_folders: dict[RunSpec, RunResult]
    pending: dict[RunSpec, bool]  # those to execute, and whether also if their folder is finished

    @property
    def n_reused(self) -> int:
        """Return the number of runs whose results are reused."""
        return self.n_in_table + len(self.only_in_folders)


def find_pending_runs(sweep: Sweep, runs: Sequence[RunSpec], again: str | None = None) -> FoundRuns:
    """Find out which runs have to be executed; this changes no file."""
    rows = read_rows(sweep.table)
    done_rows = rows[rows.status == "done"]
    in_table = set(zip(done_rows.run_name, done_rows.hash, strict=True))
    is_changed = code_has_changed()
    n_in_table = 0
    only_in_folders: dict[RunSpec, RunResult] = {}
    pending: dict[RunSpec, bool] = {}
    for run in runs:
        is_repeated = is_changed or (again is not None and again in run.run_name)
        if not is_repeated and (run.run_name, run.hash) in in_table:
            n_in_table += 1
        elif not is_repeated and (measured := finished_run(run.folder, run.hash)):
            only_in_folders[run] = RunResult(measured)
        else:
            # another sweep may finish this folder before its turn, and then the result is used
            pending[run] = is_repeated
    first_seeds_first = sorted(pending, key=lambda run: run.parameters["seed"])
    return FoundRuns(n_in_table, only_in_folders, {run: pending[run] for run in first_seeds_first})


def code_has_changed() -> bool:
    """Return whether the computing code isn't the one whose hash is recorded in versions.py."""
    return code_hash() != COMPUTING_CODE


def check_data(sweep: Sweep, runs: Sequence[RunSpec]) -> None:
    """Check that no run would replace a result of other data.

    Of a folder with a data set, only the files' name is part of the sweep's name. So the table may
    have rows of another data set whose files are called the same. The study's own data sets are
    made or downloaded under names that nothing else has, so their rows are replaced if the program
    that makes them has changed.
    """
    rows = read_rows(sweep.table)
    done = rows[rows.status == "done"].set_index("run_name").to_dict("index")
    for run in runs:
        old = done.get(run.run_name, {})
        is_named = run.parameters.get("dataset") in NAMED
        if not is_named and any(
            old.get(name) not in (None, "", run.data.get(name)) for name in DATA
        ):
            raise SweepError(
                f"{sweep.table}: the row of {run.run_name} was computed from another data set "
                "whose files had the same names. Rename the files of this data set, or the "
                "sweep. To replace the old results, move the table away first."
            )


def check_user_code(sweep: Sweep) -> None:
    """Load the users' objects of a sweep, and raise SweepError if one can't be loaded.

    Without this, every run would fail in a kernel of its own.
    """
    for text in {text for run in sweep.runs for text in references(run.parameters).values()}:
        with named(sweep.name):
            load_object(text)
