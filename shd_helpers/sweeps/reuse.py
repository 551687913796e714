"""Which results of earlier runs a sweep reuses, and which runs it has to execute.

A result is in the sweep's table or, if a sweep was killed, only in a run folder. None is reused if
the code that computes has changed since its hash was recorded.
"""

from collections.abc import Sequence
from typing import NamedTuple

from shd_helpers.data import NAMED
from shd_helpers.study.identity import references
from shd_helpers.study.tables import read_rows
from shd_helpers.sweeps.results import RunResult, finished_run
from shd_helpers.sweeps.spec import PendingRun, RunSpec, Sweep
from shd_helpers.sweeps.sweep_file import SweepError, named
from shd_helpers.user_code import load_object
from shd_helpers.versions import COMPUTING_CODE, code_hash

CHANGED_CODE = (
    "the code that turns spikes into class scores has changed, so no earlier result is reused "
    "until python -m tests.small_computations has checked the code and recorded its hash."
)
FILE_HASHES = ("train_sha256", "test_sha256")  # the columns that identify a run's data set


class FoundRuns(NamedTuple):
    """Where the results of a sweep's runs are: in the table, only in a run folder, or nowhere."""

    n_in_table: int
    only_in_folders: dict[RunSpec, RunResult]
    pending: list[PendingRun]  # those that have to be executed

    @property
    def n_reused(self) -> int:
        """Return the number of runs whose results are reused."""
        return self.n_in_table + len(self.only_in_folders)


def find_pending_runs(sweep: Sweep, runs: Sequence[RunSpec], again: str | None = None) -> FoundRuns:
    """Find out which runs have to be executed; this changes no file."""
    rows = read_rows(sweep.table)
    done_rows = rows[rows.status == "done"]
    in_table = set(zip(done_rows.run_name, done_rows.hash, strict=True))
    # of runs of which all is saved that the sweep saves beside its table
    saved = [{*kept.read(kept.path(sweep.table))} for kept in sweep.stores]
    saved_hashes = set.intersection(*saved) if saved else None
    needed_files = [name for each in sweep.stores for name in each.files]
    is_changed = code_has_changed()
    n_in_table = 0
    only_in_folders: dict[RunSpec, RunResult] = {}
    pending: list[PendingRun] = []
    for run in runs:
        is_repeated = again is not None and again in run.run_name
        if is_repeated or is_changed:
            pending.append(PendingRun(run, ignore_finished_folder=True))
            continue
        is_saved = saved_hashes is None or run.hash in saved_hashes
        if is_saved and (run.run_name, run.hash) in in_table:
            n_in_table += 1
            continue
        measured = finished_run(run.folder, run.hash)
        if measured is None:
            # another sweep may finish this folder before its turn, and then the result is used
            pending.append(PendingRun(run, ignore_finished_folder=False))
        elif all((run.folder / name).is_file() for name in needed_files):
            only_in_folders[run] = RunResult(measured)
        else:
            # the folder is finished, but lacks the predictions or the class scores
            pending.append(PendingRun(run, ignore_finished_folder=True))
    pending.sort(key=lambda each: each.run.parameters["seed"])
    return FoundRuns(n_in_table, only_in_folders, pending)


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
    done = rows[rows.status == "done"]
    new_data = {
        run.run_name: run.data for run in runs if run.parameters.get("dataset") not in NAMED
    }
    for name in FILE_HASHES:
        if name not in done:
            continue
        for run_name, old in zip(done.run_name, done[name], strict=True):
            new = new_data.get(run_name, {}).get(name, "")
            if old and new and old != new:
                raise SweepError(
                    f"{sweep.table}: the row of {run_name} was computed from another data set "
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
