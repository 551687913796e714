"""Run a sweep: one notebook for every combination of values and every seed.

`run_sweep` reads the sweep's file. A result is in the sweep's table or, if a sweep was killed, only
in a run folder: `find_pending_runs` finds out which runs have neither. `run_jobs` executes these,
each by papermill (`NotebookJob`). As runs end, `store` puts their `RunResult` into the table.
sweeps/README.md says what happens when something goes wrong.
"""

import argparse
import math
import os
import signal
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from filelock import FileLock
from matplotlib.figure import Figure

from shd_corpus.checks import DatasetError, quoted
from shd_corpus.files import atomic
from shd_helpers.command import run as run_command
from shd_helpers.data import NAMED
from shd_helpers.paths import CheckoutError
from shd_helpers.study.jobs import (
    RESUME,
    JobError,
    Shard,
    Workers,
    job_environment,
    run_jobs,
    set_environment,
)
from shd_helpers.study.notebooks import EXECUTING, NotebookError, execute_run
from shd_helpers.study.recipe import identify_user_code, references, run_hash
from shd_helpers.study.run_folder import lock_beside, read_info
from shd_helpers.study.tables import (
    DATA,
    MEASURED,
    PROVENANCE,
    TIMES,
    USER_CODE_SHA256,
    TableError,
    locked,
    read_rows,
    read_texts,
)
from shd_helpers.sweeps.sweep_file import RunSpec, Sweep, SweepError, named, read_sweep
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
    # objects, so that numbers are written with all their digits
    new = pd.DataFrame([_row(run, result) for run, result in results.items()], dtype=object)
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
    is_changed = code_hash() != COMPUTING_CODE
    if is_changed:
        print(f"{sweep.name}: {CHANGED_CODE}", flush=True)
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


RUN_S = 6 * 3600.0  # most time for a run, unless it is given
_NO_RESULT = (
    "The notebook ran to its end, but didn't leave the expected run. Its run.json is missing or "
    "damaged, or describes other parameters, other data or another network. Check that the "
    "notebook passes all its parameters to start_run."
)
# a message says why and what to do
STOPPING = (SweepError, TableError, DatasetError, JobError, CheckoutError)


def run_sweep(
    name: str | Path,
    overrides: Mapping[str, object] | None = None,
    *,
    again: str | None = None,
    workers: Workers | None = None,
    timeout_s: float = RUN_S,
) -> pd.DataFrame:
    """Execute the missing runs of a sweep, and return its table.

    A run isn't executed again if the table has a row of its name that is done and has the same
    hash. Nor is it if its run folder has a finished run with this hash. The table is written as
    runs end, and rows of other runs stay in it as they are.

    Parameters
    ----------
    name : str or Path
        A file in ``sweeps/``, without its ending, or the path of a ``.yaml`` file.
    overrides : mapping, optional
        Values of parameters that replace those of the file: see `sweep_file.read_sweep`.
    again : str, optional
        Also run those whose name contains this text, whether they are there or not.
    workers : Workers, optional
        Which runs are executed, and by how many processes. Default: all that are missing, by one
        process for each core of this machine.
    timeout_s : float, optional
        Time that one run may take, seconds. Default: 6 hours.

    Returns
    -------
    DataFrame
        A row for every run of the sweep, or of the share, in the grid's order: `configuration`, the
        values on axes that aren't parameters, parameters, what was measured, hashes, `status`
        (``done`` or ``failed``) and `error`. A run that failed raises nothing: its row has the
        traceback.

    Raises
    ------
    SweepError, TableError, DatasetError, JobError
        If the sweep can't start, a process is lost, or the disk is full.
    """
    sweep = read_sweep(name, overrides)
    if again is not None and not any(again in run.run_name for run in sweep.runs):
        raise SweepError(
            f"--again {quoted(again)}: no run's name contains this text. The first name is "
            f"{sweep.runs[0].run_name}"
        )
    workers = workers or Workers()
    runs = workers.share_of(sweep.runs)
    check_data(sweep, runs)
    check_user_code(sweep)
    found = find_pending_runs(sweep, runs, again)
    if found.only_in_folders:
        store(sweep, found.only_in_folders)
    ended: dict[RunSpec, RunResult] = {}
    try:
        environment = job_environment()
        jobs = [
            NotebookJob(run, ignores_folder, sweep.notebook, timeout_s, environment)
            for run, ignores_folder in found.pending.items()
        ]
        for number, result in run_jobs(
            jobs,
            workers.n_processes,
            sweep.name,
            found.n_reused,
            has_failed=lambda result: result.has_failed,
        ):
            store(sweep, {jobs[number].run: result})
            ended[jobs[number].run] = result
    finally:  # also if the sweep is stopped
        _print_outcome(sweep, workers.shard, found, ended)
    failures = {run: result for run, result in ended.items() if result.has_failed}
    rows = own_rows(sweep, runs, failures)
    _draw_heat_map(sweep, rows)
    if sweep.repeated is not None and sweep.repeated.exists():
        _print_beside(rows, sweep.repeated)
    return rows


def _print_beside(rows: pd.DataFrame, repeated: Path) -> None:
    """Print validation accuracies in percent beside those of the same runs in another table."""
    here = rows.set_index(["configuration", "seed"]).validation_accuracy
    there = read_rows(repeated).set_index(["configuration", "seed"]).validation_accuracy
    columns = {"here": here, os.path.relpath(repeated): there.reindex(here.index)}
    table = 100 * pd.DataFrame(columns).astype(float)
    print(f"Validation accuracy, percent:\n{table.round(1).to_string()}")


def _print_outcome(
    sweep: Sweep, shard: Shard | None, found: FoundRuns, ended: Mapping[RunSpec, RunResult]
) -> None:
    """Print the last line of each error, and where the rows come from: reused or executed."""
    failures = {run: result for run, result in ended.items() if result.has_failed}
    for run, result in failures.items():
        print(f"  {run.run_name}: {result.error.strip().splitlines()[-1]}")
    title = sweep.name if shard is None else f"{sweep.name}, shard {shard}"
    n_left = len(found.pending) - len(ended)
    left = f", {n_left} not run" if n_left else ""
    n_in_folders = len(found.only_in_folders)
    from_folders = f" ({n_in_folders} of them from run folders)" if n_in_folders else ""
    print(
        f"{title}: {found.n_reused} of {found.n_reused + len(found.pending)} rows reused"
        f"{from_folders}, {len(ended) - len(failures)} executed, {len(failures)} failed{left}. "
        f"Table: {os.path.relpath(sweep.table)}",
        flush=True,
    )


def _draw_heat_map(sweep: Sweep, rows: pd.DataFrame) -> None:
    """Draw the validation accuracy over two settings, if a sweep varies two numbers alone."""
    first, *others = [run.parameters for run in sweep.runs]
    varying = [
        name
        for name in first
        if name not in ("seed", "run_name") and any(other[name] != first[name] for other in others)
    ]
    is_number = [isinstance(first[name], int | float) for name in varying]
    if is_number != [True, True] or rows.validation_accuracy.isna().any():
        return
    path = sweep.runs[0].folder.parent / "heat_map.png"
    path.parent.mkdir(parents=True, exist_ok=True)  # all rows may come from the table
    heat_map(rows, varying[1], varying[0]).savefig(path)
    print(f"Heat map: {os.path.relpath(path)}")


def heat_map(rows: pd.DataFrame, x: str, y: str) -> Figure:
    """Draw the validation accuracy of each combination of two settings, as a mean over seeds.

    `rows` has a row for each run, as a sweep's table has them, and `x` and `y` are columns of it.
    """
    import seaborn as sns  # takes a second

    accuracies = rows.astype({"validation_accuracy": float})
    means = 100 * accuracies.pivot_table("validation_accuracy", index=y, columns=x)
    height, width = means.shape
    figure = Figure((max(6.5, 3 + 1.1 * width), 1.6 + 0.6 * height), layout="constrained")
    bar = {"label": "validation accuracy (%)"}
    sns.heatmap(means, annot=True, fmt=".0f", cmap="cividis", cbar_kws=bar, ax=figure.subplots())
    best_y, best_x = means.stack().idxmax()
    figure.suptitle(
        f"The highest mean over seeds is {means.max().max():.0f} %, with {x} {best_x:g} and "
        f"{y} {best_y:g}"
    )
    return figure


# --- One run ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class NotebookJob:
    """A run to execute: its notebook, how long that may take, and the environment of its kernel."""

    run: RunSpec
    ignores_finished_folder: bool  # executes the run even if its folder has a finished one by then
    notebook: Path
    timeout_s: float
    environment: dict[str, str]

    @property
    def lock(self) -> FileLock:
        """Return the lock of the run folder."""
        return lock_beside(self.run.folder, EXECUTING)

    def __call__(self) -> RunResult:
        """Execute the run, unless another process has done it meanwhile."""
        run = self.run
        try:
            check_unchanged(run)
            set_environment(self.environment)
            if self.ignores_finished_folder or finished_run(run.folder, run.hash) is None:
                notebooks = {self.notebook: run.parameters}
                execute_run(notebooks, run.folder, timeout_s=self.timeout_s, lessons=False)
            measured = finished_run(run.folder, run.hash)
        except NotebookError as error:
            return RunResult(error=str(error.__cause__))  # has the cell's traceback
        except TimeoutError as error:
            return RunResult(error=f"{error}\ntime-out: more than {self.timeout_s:.4g} s")
        except Exception:  # whatever ends a run, the others go on and the table has the reason
            return RunResult(error=traceback.format_exc())
        if measured is None:
            return RunResult(error=_NO_RESULT)
        return RunResult(measured)


def check_unchanged(run: RunSpec) -> None:
    """Check that the user's files are those that the sweep has identified."""
    if identify_user_code(run.parameters).get(USER_CODE_SHA256) != run.data.get(USER_CODE_SHA256):
        files = ", ".join(references(run.parameters).values())
        raise RuntimeError(f"{files}: changed while the sweep ran. Start the sweep again.")


# --- The command line -------------------------------------------------------------------------


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments of the command line, or those given, parsed."""
    parser = argparse.ArgumentParser(
        prog="shd sweep",
        description="Execute the missing runs of a sweep. A run executes a notebook with one "
        "combination of values and one seed, and becomes a row of a table. sweeps/README.md "
        "describes the format of sweeps and tables.",
    )
    parser.add_argument("name", help="file in sweeps/ without .yaml, or path of a .yaml file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="replace the value of a parameter that isn't in the grid, for example dataset=FOLDER",
    )
    parser.add_argument(
        "--again",
        metavar="TEXT",
        help="also repeat the runs whose names contain TEXT, even if the table already has them",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        default=RUN_S,
        metavar="S",
        help=f"stop a run that takes longer than S seconds (default: {RUN_S:g})",
    )
    parser.add_argument(
        "--workers", type=int, help="processes on this machine (default: one for each core)"
    )
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="execute only share I of N, as a task of a job array (sweeps/clusters.md): every N-th "
        "run of the sweep. Without --workers, the runs are executed one after the other",
    )
    return parser.parse_args(arguments)


def _overrides(texts: Sequence[str]) -> dict[str, object]:
    """Return the values of ``--set``, by the names of their parameters."""
    pairs = [text.partition("=") for text in texts]
    for text, (_, equals_sign, _) in zip(texts, pairs, strict=True):
        if not equals_sign:
            raise SweepError(f"--set {quoted(text)}: must be NAME=VALUE, such as dataset=hd")
    return {parameter: value for parameter, _, value in pairs}


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a sweep from the command line (``make sweep``, ``shd sweep``)."""
    given = _parsed(arguments)
    numbers = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32":
        numbers.append(signal.SIGHUP)
    for number in numbers:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, signal.default_int_handler)
    try:
        table = run_sweep(
            given.name,
            _overrides(given.set),
            again=given.again,
            workers=Workers(
                given.workers, None if given.shard is None else Shard.read(given.shard)
            ),
            timeout_s=given.timeout,
        )
    except STOPPING as error:
        sys.exit(f"The sweep stopped.\n{error}")
    except KeyboardInterrupt:
        print(f"\nInterrupted. {RESUME}", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    if (table.status == "failed").any():
        sys.exit(1)


if __name__ == "__main__":
    # the workers import the functions by the module's name, which is not __main__
    from shd_helpers.sweeps.runner import main as _main

    run_command(_main)
