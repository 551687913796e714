"""Run one notebook for every place in a grid: papermill on Dask (see sweeps/README.md)."""

import argparse
import errno
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from shd_helpers.checks import quoted
from shd_helpers.command import run as run_command
from shd_helpers.data.shd_file import DatasetError
from shd_helpers.files import is_disk_full
from shd_helpers.study.behavior import BehaviorError, check_code
from shd_helpers.study.identity import run_hash
from shd_helpers.study.notebooks import NotebookError, execute_run, execution_lock
from shd_helpers.study.predictions import keep_predictions, kept_hashes
from shd_helpers.study.tables import (
    DATA,
    EVIDENCE,
    MEASURED,
    PROVENANCE,
    RECORDED,
    TableError,
    finished_run,
    merge_rows,
    read_rows,
)
from shd_helpers.sweeps.clusters import LAST_START, RUN_S, Cluster, Places, connect
from shd_helpers.sweeps.spec import RunSpec, Sweep, SweepError, read_sweep

RESUME = "Runs that have ended are kept: the same command runs only the rest."
TICK_S = 1.0
FETCH_S = 5.0
QUIET_S = 60.0  # without a worker, until a line says why
# A process a run, a thread a process: the cores are shared without quarrel, and a number doesn't
# depend on how many the machine has.
_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
# glibc would hand big arrays back at every step: half of the comparison's time went into new pages.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "1073741824"}
_BAR = "{desc} {n_fmt}/{total_fmt} |{bar:20}| {elapsed} so far, {remaining} left{postfix}"
Measured = Mapping[str, float | str]  # by column: see `tables.finished_run`
Results = Mapping[RunSpec, Measured | str]  # what was measured, or a traceback


def run_sweep(
    name: str | Path,
    overrides: Mapping[str, object] | None = None,
    *,
    again: str | None = None,
    places: Places | None = None,
    timeout_s: float | None = None,
) -> pd.DataFrame:
    """Run what is missing of a sweep; return its table, which is also written as runs end.

    A run is there if the table's file has it, well ended and with the same hash, or else if its
    run folder has. The rows of other runs stay in the file as they are.

    Parameters
    ----------
    name, overrides
        See `spec.read_sweep`.
    again : str, optional
        Also run those whose name contains this text, whether they are there or not.
    places : Places, optional
        Where they are executed; default: one process for each core of this machine. Others see the
        same files under the same paths.
    timeout_s : float, optional
        Time that one run may take, seconds; default: 6 hours, or half of a job's time.

    Returns
    -------
    DataFrame
        A row for every run of the sweep, in the grid's order: `configuration` and places on named
        axes, parameters, what was measured, hashes, `status` (``done`` or ``failed``) and `error`.
        A run that failed raises nothing: its row has the traceback.

    Raises
    ------
    SweepError, TableError, DatasetError
        If the sweep can't start, the scheduler or all workers are lost, or the disk is full.
    """
    sweep, places = read_sweep(name, overrides), places or Places()
    timeout_s = places.check(timeout_s)
    if again is not None and not any(again in run.run_name for run in sweep.runs):
        raise SweepError(
            f"--again {quoted(again)}: in no run's name; they are as {sweep.runs[0].run_name}"
        )
    ended: dict[RunSpec, Measured | str] = {}
    todo, n_collected = missing(sweep, again)
    n_reused = len(sweep.runs) - len(todo)
    try:
        if todo:
            for results in _executed(sweep, todo, places, timeout_s):
                store(sweep, results)
                ended |= results
    finally:
        if ended:
            store_predictions(sweep, [r for r, x in ended.items() if not isinstance(x, str)])
        errors = {run: x for run, x in ended.items() if isinstance(x, str)}
        print(_summary(sweep, n_reused, n_collected, len(ended), len(errors)), flush=True)
    return own_rows(sweep, errors)


def _summary(sweep: Sweep, n_reused: int, n_collected: int, n_ended: int, n_failed: int) -> str:
    """Return the line with which a sweep ends: where its rows come from, and where they are."""
    table = os.path.relpath(sweep.table)
    reused = f"{n_reused} of {len(sweep.runs)} rows reused"
    if n_reused:
        reused += f" from {table}"
    if n_collected:
        reused += f" ({n_collected} of them from run folders)"
    left = len(sweep.runs) - n_reused - n_ended
    not_run = f", {left} not run" if left else ""
    return (
        f"{sweep.name}: {reused}, {n_ended - n_failed} executed, {n_failed} failed{not_run}. "
        f"Table: {table}"
    )


def missing(sweep: Sweep, again: str | None = None) -> tuple[dict[RunSpec, bool], int]:
    """Return the runs to execute, and how many rows were made of run folders just now.

    All places' first seeds come first, so a sweep that is stopped early can be compared. Those with
    `again` in their name are to be executed anyway. Runs that only a run folder has are put into
    the table.

    Returns
    -------
    todo : dict
        The runs to execute, each with whether a finished run folder doesn't count.
    n_collected : int
        Runs that only a run folder had.

    Raises
    ------
    SweepError
        If this code computes something else than the rows that would be reused.
    """
    stored = read_rows(sweep.table)
    stored = stored[stored.status == "done"]
    done = set(zip(stored.run_name, stored.hash, strict=True))
    kept = kept_hashes(sweep.predictions) if sweep.predictions else None
    found, todo = {}, {}
    for run in sweep.runs:
        asked = again is not None and again in run.run_name
        if not asked and (kept is None or run.hash in kept) and (run.run_name, run.hash) in done:
            continue
        measured = None if asked else finished_run(run.folder, run.hash)
        if measured and (kept is None or (run.folder / "predictions.csv").is_file()):
            found[run] = measured
        else:
            # a folder without predictions is made again; one that is missing may come meanwhile
            todo[run] = asked or measured is not None
    if len(todo) < len(sweep.runs):
        try:
            check_code()
        except BehaviorError as error:
            raise SweepError(f"{sweep.table}: its rows can't be reused. {error}") from None
    if found:
        store(sweep, found)
        store_predictions(sweep, found)
    by_seed = sorted(todo.items(), key=lambda item: item[0].parameters["seed"])
    return dict(by_seed), len(found)


def store(sweep: Sweep, results: Results) -> None:
    """Put runs that ended into the sweep's table, in the grid's order."""
    with _kept_whole(sweep.table):
        rows = [_row(run, result) for run, result in results.items()]
        merge_rows(sweep.table, rows, [run.run_name for run in sweep.runs])


def store_predictions(sweep: Sweep, done: Iterable[RunSpec]) -> None:
    """Put the predictions of runs that ended well beside the table, where they are kept."""
    if sweep.predictions:
        with _kept_whole(sweep.predictions):
            keep_predictions(sweep.predictions, {run.hash: run.folder for run in done})


@contextmanager
def _kept_whole(path: Path) -> Iterator[None]:
    """Turn what the disk refuses into a SweepError."""
    try:
        yield
    except OSError as error:  # what is on the disk stays
        raise SweepError(f"{path}: {error.strerror or error}. {RESUME}") from error


def _row(run: RunSpec, result: Measured | str) -> dict[str, object]:
    """Return a run's row in the table, its `dataset` being the data set's name."""
    error = result if isinstance(result, str) else ""
    row: dict[str, object] = {
        "configuration": run.configuration,
        **run.named_values,
        **run.parameters,
    }
    row |= {"dataset": run.data["name"]} if run.data else {}
    row |= dict.fromkeys(MEASURED, math.nan) if isinstance(result, str) else result
    row |= {name: run.data.get(name, "") for name in DATA}
    is_augmented = any(name.startswith("augmented_") for name in run.data)
    row[EVIDENCE] = RECORDED if is_augmented else ""
    row |= {name: row.get(name, "") for name in PROVENANCE}
    return row | {"hash": run.hash, "status": "failed" if error else "done", "error": error}


def own_rows(sweep: Sweep, errors: Mapping[RunSpec, str]) -> pd.DataFrame:
    """Return the sweep's own rows: of the file, and those of the runs that failed just now."""
    stored = read_rows(sweep.table)
    wanted = {run.run_name: run.hash for run in sweep.runs}
    failed = pd.DataFrame([_row(*each) for each in errors.items()], columns=stored.columns)
    is_own = (stored.run_name.map(wanted) == stored.hash) & ~stored.run_name.isin(failed.run_name)
    table = pd.concat([stored[is_own], failed])
    return table.set_index("run_name", drop=False).loc[[*wanted]].reset_index(drop=True)


def _executed(
    sweep: Sweep, todo: Mapping[RunSpec, bool], places: Places, timeout_s: float
) -> Iterator[dict[RunSpec, Measured | str]]:
    """Hand runs to the workers; yield those that have ended, again and again, until all have."""
    from distributed import as_completed

    environment = {name: value for name, value in os.environ.items() if name.startswith("SHD_")}
    environment |= _ONE_THREAD | _KEEP_MEMORY
    total = len(sweep.runs)
    with (
        connect(places, sweep, timeout_s) as cluster,
        # smoothing 0: time left by the mean run; a bar looked at often forgets it
        tqdm(
            desc=sweep.name, bar_format=_BAR, initial=total - len(todo), total=total, smoothing=0
        ) as bar,
    ):  # fmt: skip
        bar.write(f"Dask dashboard: {cluster.client.dashboard_link}")
        futures = {}
        for i, (run, is_again) in enumerate(todo.items()):
            # Two sweeps on one cluster share what is the same, in the same folder. By the first
            # part Dask knows that all take about as long.
            key = ("again" if is_again else "run", str(run.folder), run.hash)
            task = (execute, sweep.notebook, run, timeout_s, environment, is_again)
            futures[cluster.client.submit(*task, key=key, priority=-i)] = run
        ended = as_completed(futures, with_results=True, raise_errors=False)
        watch = _Watch(cluster, bar)
        while futures:
            results = {}
            for future, result in ended.next_batch(block=False):
                if future.status in ("cancelled", "lost"):
                    raise SweepError(f"the scheduler is lost ({result!r}). {RESUME}")
                if future.status == "error":  # it has lost its worker again and again
                    result = repr(future.exception())
                run = futures.pop(future)
                if isinstance(result, str) and is_disk_full(result, run.folder.parent):
                    raise SweepError(f"{run.folder}: {os.strerror(errno.ENOSPC)}. {RESUME}")
                results[run] = result
                future.release()  # else a worker that goes hands on what nobody wants any more
            if results:
                yield results
            watch.look(results, len(futures))
            time.sleep(TICK_S)


class _Watch:
    """Says on a bar how far a sweep is, and above it why there is no worker."""

    def __init__(self, cluster: Cluster, bar: tqdm) -> None:
        self._cluster, self._bar, self._failed, self._line = cluster, bar, 0, ""
        self._alive = time.monotonic()

    def look(self, results: Results, n_left: int) -> None:
        """Count what has ended; look at the workers."""
        self._failed += sum(isinstance(result, str) for result in results.values())
        self._bar.update(len(results))
        now = time.monotonic()
        try:
            workers = self._cluster.client.processing()
            why = self._cluster.look() if n_left else ""
        except (OSError, SweepError) as error:
            lost = "" if isinstance(error, SweepError) else "the scheduler is lost: "
            raise SweepError(f"{lost}{error}. {RESUME}") from None
        done, running = self._bar.total - n_left - self._failed, sum(map(bool, workers.values()))
        text = f"{done} finished, {self._failed} failed, {running} running"
        if text != self._bar.postfix or self._bar.fp.isatty():  # a log gets what is new
            self._bar.set_postfix_str(text)
        if workers:
            self._alive, self._line = now, ""
        elif now - self._alive > self._cluster.patience_s:
            raise SweepError(f"no worker in {now - self._alive:.0f} s: {why}. {RESUME}")
        elif now - self._alive > QUIET_S and why != self._line:
            self._line = why
            self._bar.write(f"No worker for {now - self._alive:.0f} s: {why}")


def execute(
    notebook: Path, run: RunSpec, timeout_s: float, environment: Mapping[str, str], again: bool
) -> dict[str, float | str] | str:
    """Execute a run, on a worker; return what it measured, or the traceback of what failed.

    Only one process executes a run; others wait and reuse its result, unless it is wanted `again`.
    The environment is the sweep's variables.
    """
    from distributed import Reschedule, get_worker

    worker = get_worker()
    is_late = time.time() > float(os.environ.get(LAST_START, "inf"))
    if is_late and worker.state.executed_count:  # each job brings the sweep on
        # The job might end before the run: another one has more time. This one goes when what its
        # last run measured has been fetched.
        time.sleep(FETCH_S)
        worker.loop.add_callback(worker.close_gracefully, reason="no time for another run")
        raise Reschedule
    try:
        if worker.state.nthreads != 1:
            raise RuntimeError("a worker needs exactly one thread: dask worker --nthreads 1")
        if run_hash(run.parameters, run.data) != run.hash:
            raise RuntimeError("this worker has other code than the sweep: restart the workers")
        for name in [name for name in os.environ if name.startswith("SHD_")]:
            del os.environ[name]  # of an earlier sweep on this worker
        os.environ.update(environment)  # the kernel inherits it
        with execution_lock(run.folder):
            if again or finished_run(run.folder, run.hash) is None:
                execute_run(
                    {notebook: run.parameters}, run.folder, timeout_s=timeout_s, lessons=False
                )
        if measured := finished_run(run.folder, run.hash):
            return measured
        return "run.json is not complete, or of other parameters or data, or of another network"
    except NotebookError as error:
        return str(error.__cause__)  # holds the cell's traceback
    except TimeoutError as error:
        return f"{error}\ntime-out: more than {timeout_s:.4g} s"
    except Exception:  # whatever a run dies of, the others go on and the table tells
        return traceback.format_exc()


def main() -> None:
    """Run sweeps from the command line (``make sweep``, ``make evidence``)."""
    command = argparse.ArgumentParser(
        prog="python -m shd_helpers.sweeps.runner", description=__doc__
    )
    add = command.add_argument
    add("names", nargs="+", help="files in sweeps/ without .yaml, or paths of .yaml files")
    text = "another value of a parameter outside the grid, for example dataset=FOLDER"
    add("--set", action="append", default=[], metavar="NAME=VALUE", help=text)
    text = "also run those whose name contains the text, though the table has them"
    add("--again", metavar="TEXT", help=text)
    text = f"seconds for one run; default: {RUN_S:g}, or half of a job's time"
    add("--timeout", type=float, metavar="S", help=text)
    place = command.add_mutually_exclusive_group().add_argument
    place("--workers", type=int, help="processes here; default: one for each core")
    place("--scheduler", help="address of a Dask scheduler: tcp://host:8786")
    place("--slurm", type=int, metavar="N", help="jobs of one core on SLURM")
    text = "options of sbatch; others are in sweeps/cluster/slurm.yaml"
    add("--sbatch", action="append", default=[], metavar="NAME=VALUE,...", help=text)
    arguments = command.parse_args()
    places = Places(arguments.workers, arguments.scheduler, arguments.slurm, (*arguments.sbatch,))
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, signal.default_int_handler)
    try:
        for name in arguments.names:
            table = run_sweep(
                name,
                dict(text.partition("=")[::2] for text in arguments.set),
                again=arguments.again,
                places=places,
                timeout_s=arguments.timeout,
            )
            failed = table[table.status == "failed"]
            for row in failed.itertuples():
                print(f"  {row.run_name}: {row.error.strip().splitlines()[-1]}", flush=True)
            if len(failed):
                sys.exit(1)
    except (SweepError, TableError, DatasetError) as error:
        sys.exit(f"The sweep stopped.\n{error}")
    except KeyboardInterrupt:
        print(f"\nInterrupted. {RESUME}", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    # the workers import the functions by the module's name, which is not __main__
    from shd_helpers.sweeps.runner import main as _main

    run_command(_main)
