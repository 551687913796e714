"""Run a sweep: one notebook for every combination of values and every seed.

`run_sweep` reads the sweep's file, and finds out which runs are missing from its table and the run
folders (`sweeps.reuse`). It executes these by papermill (`sweeps.execution`): on Dask's workers, or
one after the other if this process takes one share of the runs. As runs end, it puts them into the
table (`sweeps.results`). sweeps/README.md says what happens when something goes wrong.
"""

import argparse
import errno
import math
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from tqdm import tqdm

from shd_helpers.checks import quoted
from shd_helpers.command import run as run_command
from shd_helpers.data.dataset_error import DatasetError
from shd_helpers.files import is_disk_full
from shd_helpers.study.tables import TableError
from shd_helpers.sweeps.execution import (
    FOREVER_S,
    RunIsBusyError,
    execute_in_this_process,
    execute_on_worker,
    run_environment,
)
from shd_helpers.sweeps.results import RESUME, RunResult, own_rows, store, store_predictions
from shd_helpers.sweeps.reuse import (
    FoundRuns,
    check_data,
    check_objects,
    check_speakers,
    check_study,
    find_pending_runs,
    store_finished_folders,
)
from shd_helpers.sweeps.spec import PendingRun, RunSpec, Sweep, read_sweep
from shd_helpers.sweeps.sweep_file import SweepError
from shd_helpers.sweeps.workers import Cluster, Shard, Workers, connect

if TYPE_CHECKING:
    from distributed import Client, Future

RUN_S = 6 * 3600.0  # most time for a run, unless it is given
TICK_S = 1.0  # between two looks at the workers
QUIET_S = 60.0  # without a worker, until a line says why
_BAR = "{desc} {n_fmt}/{total_fmt} |{bar:20}| {elapsed} so far, {remaining} left{postfix}"
Results = dict[RunSpec, RunResult]


def run_sweep(
    name: str | Path,
    overrides: Mapping[str, object] | None = None,
    *,
    again: str | None = None,
    workers: Workers | None = None,
    timeout_s: float | None = None,
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
        Values of parameters that replace those of the file: see `spec.read_sweep`.
    again : str, optional
        Also run those whose name contains this text, whether they are there or not.
    workers : Workers, optional
        Which runs are executed, and by which processes. Default: all that are missing, by one
        process for each core of this machine. Workers elsewhere see the same files under the same
        paths.
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
    SweepError, TableError, DatasetError
        If the sweep can't start, the scheduler or all workers are lost, or the disk is full.
    MissingExtraError
        If several processes were asked for, and Dask isn't installed.
    """
    sweep = read_sweep(name, overrides)
    workers = workers or Workers()
    workers.check()
    if timeout_s is None:
        timeout_s = RUN_S
    _check_time(timeout_s)
    _check_name_exists(again, sweep)
    runs = workers.share_of(sweep.runs)
    check_data(sweep, runs)
    check_speakers(sweep, runs)
    check_objects(sweep)
    found = find_pending_runs(sweep, runs, again)
    if found.n_reused:
        check_study(sweep)
    store_finished_folders(sweep, found.only_in_folders)
    ended: Results = {}
    try:
        if found.pending:
            for results in _execute_all(sweep, found.pending, workers, timeout_s):
                store(sweep, results)
                ended |= results
    finally:  # also if the sweep is stopped
        failures = {run: result for run, result in ended.items() if result.has_failed}
        done = [run for run in ended if run not in failures]
        store_predictions(sweep, done)
        _print_outcome(sweep, workers.shard, found, done, failures)
    return own_rows(sweep, runs, failures)


def _check_time(timeout_s: float) -> None:
    """Raise SweepError if the time for a run isn't above 0, or has no end."""
    if not 0 < timeout_s < math.inf:
        raise SweepError(f"--timeout {timeout_s:g}: must be seconds above 0")


def _check_name_exists(text: str | None, sweep: Sweep) -> None:
    """Raise SweepError if a text was given that is in no run's name."""
    if text is not None and not any(text in run.run_name for run in sweep.runs):
        raise SweepError(
            f"--again {quoted(text)}: no run's name contains this text. The first name is "
            f"{sweep.runs[0].run_name}"
        )


def _print_outcome(
    sweep: Sweep,
    shard: Shard | None,
    found: FoundRuns,
    done: Sequence[RunSpec],
    failures: Mapping[RunSpec, RunResult],
) -> None:
    """Print the last line of each error, and where the rows come from: reused or executed."""
    for run, result in failures.items():
        print(f"  {run.run_name}: {result.error.strip().splitlines()[-1]}")
    title = sweep.name if shard is None else f"{sweep.name}, shard {shard}"
    table = os.path.relpath(sweep.table)
    n_reused = found.n_reused
    n_runs = n_reused + len(found.pending)
    n_left = len(found.pending) - len(done) - len(failures)
    reused = f"{n_reused} of {n_runs} rows reused"
    if n_reused:
        reused += f" from {table}"
    if found.only_in_folders:
        reused += f" ({len(found.only_in_folders)} of them from run folders)"
    executed = f"{len(done)} executed, {len(failures)} failed"
    if n_left:
        executed += f", {n_left} not run"
    print(f"{title}: {reused}, {executed}. Table: {table}", flush=True)


# --- Executing all runs -----------------------------------------------------------------------


def _execute_all(
    sweep: Sweep, pending: Sequence[PendingRun], workers: Workers, timeout_s: float
) -> Iterator[Results]:
    """Execute runs; yield those that have ended, again and again, until all have."""
    n_runs = len(workers.share_of(sweep.runs))
    with _progress_bar(sweep.name, n_runs, len(pending)) as bar:
        if workers.need_dask:
            yield from _execute_on_dask(sweep, pending, workers, timeout_s, bar)
        else:
            yield from _execute_one_by_one(sweep, pending, timeout_s, bar)


def _progress_bar(name: str, n_runs: int, n_pending: int) -> tqdm:
    """Return a bar for a sweep that counts the runs that are there already, too."""
    return tqdm(
        desc=name,
        bar_format=_BAR,
        initial=n_runs - n_pending,
        total=n_runs,
        smoothing=0,  # time left by the mean run; a bar that is looked at often forgets it
    )


def _execute_one_by_one(
    sweep: Sweep, pending: Sequence[PendingRun], timeout_s: float, bar: tqdm
) -> Iterator[Results]:
    """Execute runs in this process, one after the other; yield each when it has ended.

    Runs that another process is executing come last: until then it may have finished them.
    """
    environment = run_environment()
    busy: list[PendingRun] = []

    def execute(each: PendingRun, wait_s: float) -> Results:
        """Execute a run; RunIsBusyError if another process still does after `wait_s`."""
        result = execute_in_this_process(each, sweep.notebook, timeout_s, environment, wait_s)
        bar.update()
        _check_disk(each.run, result)
        return {each.run: result}

    with _kept_environment():
        for each in pending:
            try:
                results = execute(each, wait_s=0.0)
            except RunIsBusyError:
                busy.append(each)
            else:
                yield results
        for each in busy:
            yield execute(each, wait_s=FOREVER_S)


@contextmanager
def _kept_environment() -> Iterator[None]:
    """Put the process's environment variables back in the end, because each run sets some."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _execute_on_dask(
    sweep: Sweep, pending: Sequence[PendingRun], workers: Workers, timeout_s: float, bar: tqdm
) -> Iterator[Results]:
    """Hand runs to Dask's workers; yield those that have ended, again and again, until all have."""
    with connect(workers) as cluster:
        from distributed import as_completed

        bar.write(f"Dask dashboard: {cluster.client.dashboard_link}")
        futures = _submit(cluster.client, sweep, pending, timeout_s)
        ended = as_completed(futures, with_results=True, raise_errors=False)
        watch = _Watch(cluster, bar)
        while futures:
            results = {}
            for future, returned in ended.next_batch(block=False):
                run = futures.pop(future)
                results[run] = _result_of(future, returned)
                _check_disk(run, results[run])
                # A worker that ends hands the results of futures that somebody holds to another
                # worker, and nobody needs this one any more.
                future.release()
            if results:
                yield results
            watch.update(results, len(futures))
            time.sleep(TICK_S)


def _submit(
    client: "Client", sweep: Sweep, pending: Sequence[PendingRun], timeout_s: float
) -> dict["Future", RunSpec]:
    """Submit runs to a Dask client in the given order; return the runs by their futures."""
    environment = run_environment()
    futures = {}
    for i, each in enumerate(pending):
        # Two sweeps on one cluster share what is the same, in the same folder. By the first part of
        # the key Dask knows that all runs take about as long.
        kind_of_task = "repeated_run" if each.ignore_finished_folder else "run"
        key = (kind_of_task, str(each.run.folder), each.run.hash)
        task = (execute_on_worker, each, sweep.notebook, timeout_s, environment)
        # Dask executes the task with the highest priority first
        futures[client.submit(*task, key=key, priority=-i)] = each.run
    return futures


def _result_of(future: "Future", returned: Any) -> RunResult:
    """Return the result of a run that a worker has executed; SweepError, if it can't be known.

    `returned` is what `execute_on_worker` has returned or, if it hasn't, Dask's reason.
    """
    if future.status in ("cancelled", "lost"):
        raise SweepError(f"the scheduler is lost ({returned!r}). {RESUME}")
    if future.status == "error":  # the run has lost its worker again and again
        return RunResult.failure(repr(future.exception()))
    return returned


def _check_disk(run: RunSpec, result: RunResult) -> None:
    """Raise SweepError if a run has failed because the disk is full, as all others would."""
    if result.has_failed and is_disk_full(result.error, run.folder.parent):
        raise SweepError(f"{run.folder}: {os.strerror(errno.ENOSPC)}. {RESUME}")


class _Watch:
    """Shows on a progress bar how far a sweep is, and above it why there is no worker."""

    def __init__(self, cluster: Cluster, bar: tqdm) -> None:
        self._cluster = cluster
        self._bar = bar
        self._n_failed = 0
        self._last_worker_s = time.monotonic()  # when there was a worker last
        self._is_reported = False  # that there is no worker

    def update(self, results: Results, n_left: int) -> None:
        """Count the runs that have ended on the bar, and check that there is a worker.

        SweepError, if the scheduler is lost, or there has been no worker for too long.
        """
        self._n_failed += sum(result.has_failed for result in results.values())
        self._bar.update(len(results))
        try:
            runs_of_workers = self._cluster.client.processing()
        except OSError as error:
            raise SweepError(f"the scheduler is lost: {error}. {RESUME}") from None
        n_running = sum(len(runs) > 0 for runs in runs_of_workers.values())
        n_done = self._bar.total - n_left - self._n_failed
        text = f"{n_done} finished, {self._n_failed} failed, {n_running} running"
        is_terminal = self._bar.fp.isatty()
        if is_terminal or text != self._bar.postfix:  # a log needs no line twice
            self._bar.set_postfix_str(text)
        if n_left:
            self._check_workers(has_worker=bool(runs_of_workers))

    def _check_workers(self, has_worker: bool) -> None:
        """Print why there has been no worker for a while; SweepError, after too long."""
        now = time.monotonic()
        if has_worker:
            self._last_worker_s = now
            self._is_reported = False
            return
        why = self._cluster.why_none
        idle_s = now - self._last_worker_s
        if idle_s > self._cluster.patience_s:
            raise SweepError(f"no worker in {idle_s:.0f} s: {why}. {RESUME}")
        if idle_s > QUIET_S and not self._is_reported:
            self._is_reported = True
            self._bar.write(f"No worker for {idle_s:.0f} s: {why}")


# --- The command line -------------------------------------------------------------------------


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments of the command line, or those given, parsed."""
    parser = argparse.ArgumentParser(
        prog="shd sweep",
        description="Execute the missing runs of a sweep. A run executes a notebook with one "
        "combination of values and one seed, and becomes a row of a table. sweeps/README.md "
        "describes the format of sweeps and tables.",
    )
    parser.add_argument(
        "names", nargs="+", help="files in sweeps/ without .yaml, or paths of .yaml files"
    )
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
        metavar="S",
        help=f"stop a run that takes longer than S seconds (default: {RUN_S:g})",
    )
    workers = parser.add_mutually_exclusive_group()
    workers.add_argument(
        "--workers", type=int, help="processes on this machine (default: one for each core)"
    )
    workers.add_argument("--scheduler", help="address of a Dask scheduler: tcp://host:8786")
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="execute only share I of N, as a task of a job array (docs/clusters.md): every N-th "
        "run of the sweep. Without --workers, the runs are executed one after the other",
    )
    return parser.parse_args(arguments)


def _overrides(texts: Sequence[str]) -> dict[str, object]:
    """Return the values of ``--set``, by the names of their parameters."""
    overrides: dict[str, object] = {}
    for text in texts:
        parameter, equals_sign, value = text.partition("=")
        if not equals_sign:
            raise SweepError(f"--set {quoted(text)}: must be NAME=VALUE, such as dataset=hd")
        overrides[parameter] = value
    return overrides


def _workers(arguments: argparse.Namespace) -> Workers:
    """Return the workers that a command line asks for, checked."""
    shard = None if arguments.shard is None else Shard.read(arguments.shard)
    workers = Workers(arguments.workers, arguments.scheduler, shard)
    workers.check()
    return workers


def _run_all(arguments: argparse.Namespace) -> list[str]:
    """Run the sweeps of a command line; return the names of those that aren't complete.

    A sweep that stops, or has a run that failed, doesn't keep the others from running.
    """
    overrides = _overrides(arguments.set)
    workers = _workers(arguments)
    incomplete = []
    for name in arguments.names:
        try:
            table = run_sweep(
                name,
                overrides,
                again=arguments.again,
                workers=workers,
                timeout_s=arguments.timeout,
            )
        except (SweepError, TableError, DatasetError) as error:
            if len(arguments.names) == 1:
                raise
            print(f"The sweep {name} stopped.\n{error}", file=sys.stderr, flush=True)
            incomplete.append(name)
        else:
            if (table.status == "failed").any():
                incomplete.append(name)
    return incomplete


def main(arguments: Sequence[str] | None = None) -> None:
    """Run sweeps from the command line (``make sweep``, ``shd sweep``).

    Parameters
    ----------
    arguments : sequence of str, optional
        The command's arguments. Default: those of the command line.
    """
    given = _parsed(arguments)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, signal.default_int_handler)
    try:
        incomplete = _run_all(given)
    except (SweepError, TableError, DatasetError) as error:
        sys.exit(f"The sweep stopped.\n{error}")
    except KeyboardInterrupt:
        print(f"\nInterrupted. {RESUME}", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)
    if incomplete and len(given.names) > 1:
        sys.exit(f"Sweeps that stopped or have a failed run: {', '.join(incomplete)}")
    if incomplete:
        sys.exit(1)


if __name__ == "__main__":
    # the workers import the functions by the module's name, which is not __main__
    from shd_helpers.sweeps.runner import main as _main

    run_command(_main)
