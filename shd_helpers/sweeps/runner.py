"""Run a sweep: one notebook for every combination of values and every seed.

`run_sweep` reads the sweep's file, and finds out which runs are missing from its table and the run
folders. It executes these by papermill: on Dask's workers, or one after the other if this process
takes one share of the runs. sweeps/README.md says what happens when something goes wrong.
"""

import argparse
import errno
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
from filelock import Timeout
from tqdm import tqdm

from shd_helpers.checks import quoted, setting_names
from shd_helpers.command import run as run_command
from shd_helpers.data.datasets import n_channels_of
from shd_helpers.data.shd_file import DatasetError
from shd_helpers.events import Downsampling
from shd_helpers.files import is_disk_full
from shd_helpers.objects import ObjectError, parse_reference
from shd_helpers.paths import folder_variables
from shd_helpers.study.behavior import BehaviorError, check_code
from shd_helpers.study.class_scores import save_scores, scored_hashes
from shd_helpers.study.identity import identify_objects, references, run_hash
from shd_helpers.study.notebooks import NotebookError, execute_run, execution_lock
from shd_helpers.study.object_samples import (
    SampleError,
    Samples,
    check_same,
    read_samples,
    samples_of,
    samples_path,
    write_samples,
)
from shd_helpers.study.predictions import predicted_hashes, save_predictions
from shd_helpers.study.run_folder import CLASS_SCORES
from shd_helpers.study.tables import (
    DATA,
    EVIDENCE,
    MEASURED,
    OBJECTS_SHA256,
    PROVENANCE,
    RECORDED,
    TableError,
    finished_run,
    locked,
    merge_rows,
    read_rows,
)
from shd_helpers.sweeps.spec import RunSpec, Sweep, SweepError, read_sweep
from shd_helpers.sweeps.workers import RUN_S, Cluster, Shard, Workers, connect

if TYPE_CHECKING:
    from distributed import Client, Future

RESUME = "Runs that have ended are kept: the same command runs only the rest."
TICK_S = 1.0  # between two looks at the workers
QUIET_S = 60.0  # without a worker, until a line says why
FOREVER_S = -1.0  # of a lock: it waits as long as it takes
# Each run has one process with one thread. So the runs share the cores well, and no result depends
# on how many cores a machine has.
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}
# By default glibc returns the memory of large arrays to the system at every step, and asks for it
# again. That took half of the time of the inputs' comparison.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "1073741824"}
_BAR = "{desc} {n_fmt}/{total_fmt} |{bar:20}| {elapsed} so far, {remaining} left{postfix}"
Measured = Mapping[str, float | str]  # by column: see `tables.finished_run`
Results = Mapping[RunSpec, Measured | str]  # what was measured, or a traceback


def run_sweep(
    name: str | Path,
    overrides: Mapping[str, object] | None = None,
    *,
    again: str | None = None,
    workers: Workers | None = None,
    timeout_s: float | None = None,
) -> pd.DataFrame:
    """Run what is missing of a sweep, and return its table.

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
    timeout_s = workers.check(timeout_s)
    if again is not None and not any(again in run.run_name for run in sweep.runs):
        raise SweepError(
            f"--again {quoted(again)}: no run's name contains this text. The first name is "
            f"{sweep.runs[0].run_name}"
        )
    _check_objects(sweep)
    if workers.shard is not None:
        runs = workers.shard.take(sweep.runs)
    else:
        runs = sweep.runs
    todo, n_collected = missing(sweep, again, runs)
    done: list[RunSpec] = []
    errors: dict[RunSpec, str] = {}
    try:
        if todo:
            for results in _executed(sweep, todo, workers, timeout_s):
                store(sweep, results)
                for run, result in results.items():
                    if isinstance(result, str):
                        errors[run] = result
                    else:
                        done.append(run)
    finally:
        store_predictions(sweep, done)
        for run, error in errors.items():
            print(f"  {run.run_name}: {error.strip().splitlines()[-1]}")
        title = sweep.name if workers.shard is None else f"{sweep.name}, shard {workers.shard}"
        n_reused = len(runs) - len(todo)
        table = os.path.relpath(sweep.table)
        counts = _counts(table, len(runs), n_reused, n_collected, len(done), len(errors))
        print(f"{title}: {counts}. Table: {table}", flush=True)
    return own_rows(sweep, errors, runs)


def _counts(
    table: str, n_runs: int, n_reused: int, n_collected: int, n_done: int, n_failed: int
) -> str:
    """Return where a sweep's rows come from: reused or executed, and how many failed."""
    reused = f"{n_reused} of {n_runs} rows reused"
    if n_reused:
        reused += f" from {table}"
    if n_collected:
        reused += f" ({n_collected} of them from run folders)"
    n_left = n_runs - n_reused - n_done - n_failed
    not_run = f", {n_left} not run" if n_left else ""
    return f"{reused}, {n_done} executed, {n_failed} failed{not_run}"


def _check_objects(sweep: Sweep) -> None:
    """Check that users' objects compute what they did when the sweep's first rows were made.

    SweepError, if one computes different results, or can't be loaded.
    """
    samples: Samples = {}
    with _as_sweep_error(sweep.table):
        for run in sweep.runs:
            if OBJECTS_SHA256 in run.data:
                samples |= samples_of(run.parameters, _n_input_units(run.parameters))
        if samples:
            path = samples_path(sweep.table)
            with locked(path):
                check_same(samples, read_samples(path))
                write_samples(path, samples)


def _n_input_units(parameters: Mapping[str, Any]) -> int:
    """Return the number of units of the input that a run's network is made for.

    A user's own notebook may have parameters that aren't settings, which don't count here. It may
    also downsample in a way of its own, where the study's settings don't fit the data. Its network
    is then sampled with an input of all channels.
    """
    n_channels = n_channels_of(parameters["dataset"])
    names = setting_names(Downsampling)
    settings = {name: parameters[name] for name in names if name in parameters}
    try:
        return Downsampling(**settings, n_channels=n_channels).n_units
    except ValueError:
        return n_channels


def missing(
    sweep: Sweep, again: str | None = None, runs: Sequence[RunSpec] | None = None
) -> tuple[dict[RunSpec, bool], int]:
    """Find the runs to execute, and put those that only a run folder has into the table.

    Parameters
    ----------
    sweep : Sweep
        The sweep.
    again : str, optional
        Execute the runs with this text in their name anyway.
    runs : sequence of RunSpec, optional
        The runs of a share of the sweep. Default: all.

    Returns
    -------
    todo : dict
        The runs to execute. True: execute the run even if its folder has finished. The first seeds
        of all configurations come first, so a sweep that is stopped early can be compared.
    n_collected : int
        Runs that only a run folder had.

    Raises
    ------
    SweepError
        If this code computes something else than the rows that would be reused.
    """
    rows = read_rows(sweep.table)
    rows = rows[rows.status == "done"]
    in_table = set(zip(rows.run_name, rows.hash, strict=True))
    kept = _kept_hashes(sweep)
    needed = _needed_files(sweep)
    collected: dict[RunSpec, Measured] = {}
    todo: dict[RunSpec, bool] = {}
    if runs is None:
        runs = sweep.runs
    for run in runs:
        is_wanted_again = again is not None and again in run.run_name
        if is_wanted_again:
            todo[run] = True
            continue
        is_kept = kept is None or run.hash in kept
        if is_kept and (run.run_name, run.hash) in in_table:
            continue
        measured = finished_run(run.folder, run.hash)
        if measured is None:
            todo[run] = False  # another sweep may finish its folder meanwhile, which counts
        elif all((run.folder / name).is_file() for name in needed):
            collected[run] = measured
        else:
            todo[run] = True  # its folder lacks the predictions or the class scores
    if len(todo) < len(runs):
        try:
            check_code()
        except BehaviorError as error:
            raise SweepError(f"{sweep.table}: its rows can't be reused. {error}") from None
    if collected:
        store(sweep, collected)
        store_predictions(sweep, collected)
    by_seed = sorted(todo.items(), key=lambda item: item[0].parameters["seed"])
    return dict(by_seed), len(collected)


def _kept_hashes(sweep: Sweep) -> set[str] | None:
    """Return the hashes of runs whose predictions and scores are saved, as far as they are wanted.

    None, if the sweep saves neither.
    """
    saved = []
    if sweep.predictions:
        saved.append(predicted_hashes(sweep.predictions))
    if sweep.scores:
        saved.append(scored_hashes(sweep.scores))
    return set.intersection(*saved) if saved else None


def _needed_files(sweep: Sweep) -> list[str]:
    """Return the files of a run folder from which a sweep saves what runs predicted and scored."""
    names = []
    if sweep.predictions or sweep.scores:
        names.append("predictions.csv")
    if sweep.scores:
        names.append(CLASS_SCORES)
    return names


def store(sweep: Sweep, results: Results) -> None:
    """Put runs that ended into the sweep's table, in the grid's order.

    Parameters
    ----------
    sweep : Sweep
        The sweep.
    results : mapping
        For each run what it measured, or the traceback of its error.
    """
    with _as_sweep_error(sweep.table):
        rows = [_in_order(sweep, _row(run, result)) for run, result in results.items()]
        merge_rows(sweep.table, rows, [run.run_name for run in sweep.runs])


def store_predictions(sweep: Sweep, done: Iterable[RunSpec]) -> None:
    """Save predictions and class scores of runs that ended well, if the sweep asks for them.

    Parameters
    ----------
    sweep : Sweep
        The sweep.
    done : iterable of RunSpec
        Runs whose folders have them.
    """
    folders = {run.hash: run.folder for run in done}
    if sweep.predictions:
        with _as_sweep_error(sweep.predictions):
            save_predictions(sweep.predictions, folders)
    if sweep.scores:
        with _as_sweep_error(sweep.scores):
            save_scores(sweep.scores, folders)


@contextmanager
def _as_sweep_error(path: Path) -> Iterator[None]:
    """Turn an error of the disk, or of a user's object, into a SweepError that names the file."""
    try:
        yield
    except (ObjectError, SampleError) as error:
        raise SweepError(f"{path}: {error}") from error
    except OSError as error:  # the file stays as it was
        raise SweepError(f"{path}: {error.strerror or error}. {RESUME}") from error


def _row(run: RunSpec, result: Measured | str) -> dict[str, object]:
    """Return a run's row in the table; its `dataset` is the data set's name."""
    error = result if isinstance(result, str) else ""
    measured = dict.fromkeys(MEASURED, math.nan) if isinstance(result, str) else result
    row: dict[str, object] = {"configuration": run.configuration}
    row |= run.named_values
    row |= run.parameters
    for name, text in references(run.parameters).items():
        row[name] = parse_reference(text).label  # the folder is this machine's
    if OBJECTS_SHA256 in run.data:
        row[OBJECTS_SHA256] = run.data[OBJECTS_SHA256]
    if run.data:
        row["dataset"] = run.data["name"]
    row |= measured
    row |= {name: run.data.get(name, "") for name in DATA}
    is_augmented = any(name.startswith("augmented_") for name in run.data)
    row[EVIDENCE] = RECORDED if is_augmented else ""
    row |= {name: row.get(name, "") for name in PROVENANCE}
    row["hash"] = run.hash
    row["status"] = "failed" if error else "done"
    row["error"] = error
    return row


def _in_order(sweep: Sweep, row: dict[str, object]) -> dict[str, object]:
    """Return a row with the columns first that the sweep wants first."""
    first = {name: row[name] for name in sweep.first_columns}
    return first | row


def own_rows(
    sweep: Sweep, errors: Mapping[RunSpec, str], runs: Sequence[RunSpec] | None = None
) -> pd.DataFrame:
    """Return the sweep's own rows: of its table's file, and those of runs that failed just now.

    Parameters
    ----------
    sweep : Sweep
        The sweep.
    errors : mapping
        The tracebacks of the runs that failed. Where an earlier result of the same run is in the
        file, the file keeps it, but the row that is returned is the failed one.
    runs : sequence of RunSpec, optional
        The runs of a share of the sweep. Default: all.

    Returns
    -------
    DataFrame
        A row for each run of the sweep, or of the share, in the sweep's order.
    """
    rows = read_rows(sweep.table)
    hashes = {run.run_name: run.hash for run in (sweep.runs if runs is None else runs)}
    failed = pd.DataFrame([_row(run, error) for run, error in errors.items()], columns=rows.columns)
    has_failed = rows.run_name.isin(failed.run_name)
    is_own = (rows.run_name.map(hashes) == rows.hash) & ~has_failed
    table = pd.concat([rows[is_own], failed])
    return table.set_index("run_name", drop=False).loc[list(hashes)].reset_index(drop=True)


def _executed(
    sweep: Sweep, todo: Mapping[RunSpec, bool], workers: Workers, timeout_s: float
) -> Iterator[dict[RunSpec, Measured | str]]:
    """Execute runs; yield those that have ended, again and again, until all have.

    `todo` says of each run whether it is executed even if its folder has finished.
    """
    n_runs = len(sweep.runs if workers.shard is None else workers.shard.take(sweep.runs))
    with _progress_bar(sweep.name, n_runs, len(todo)) as bar:
        if workers.need_dask:
            yield from _on_dask(sweep, todo, workers, timeout_s, bar)
        else:
            yield from _one_by_one(sweep, todo, timeout_s, bar)


def _one_by_one(
    sweep: Sweep, todo: Mapping[RunSpec, bool], timeout_s: float, bar: tqdm
) -> Iterator[dict[RunSpec, Measured | str]]:
    """Execute runs in this process, one after the other; yield each when it has ended.

    Runs that another process is executing come last: until then it may have finished them.
    """
    environment = _environment()
    remaining = dict(todo)
    with _kept_environment():
        for wait_s in (0.0, FOREVER_S):
            busy = {}
            for run, is_again in remaining.items():
                result = _execute_here(
                    sweep.notebook, run, timeout_s, environment, is_again, wait_s
                )
                if result is None:
                    busy[run] = is_again
                    continue
                bar.update()
                yield {run: _checked(run, result)}
            remaining = busy


@contextmanager
def _kept_environment() -> Iterator[None]:
    """Put the process's environment variables back in the end, because each run sets some."""
    before = dict(os.environ)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _on_dask(
    sweep: Sweep, todo: Mapping[RunSpec, bool], workers: Workers, timeout_s: float, bar: tqdm
) -> Iterator[dict[RunSpec, Measured | str]]:
    """Hand runs to Dask's workers; yield those that have ended, again and again, until all have."""
    with connect(workers) as cluster:
        from distributed import as_completed

        bar.write(f"Dask dashboard: {cluster.client.dashboard_link}")
        futures = _submit(cluster.client, sweep, todo, timeout_s)
        ended = as_completed(futures, with_results=True, raise_errors=False)
        watch = _Watch(cluster, bar)
        while futures:
            results = {}
            for future, result in ended.next_batch(block=False):
                run = futures.pop(future)
                results[run] = _result(run, future, result)
                # A worker that ends hands the results of futures that somebody holds to another
                # worker, and nobody needs this one any more.
                future.release()
            if results:
                yield results
            watch.look(results, len(futures))
            time.sleep(TICK_S)


def _progress_bar(name: str, n_runs: int, n_todo: int) -> tqdm:
    """Return a bar for a sweep that counts the runs that are there already, too."""
    return tqdm(
        desc=name,
        bar_format=_BAR,
        initial=n_runs - n_todo,
        total=n_runs,
        smoothing=0,  # time left by the mean run; a bar that is looked at often forgets it
    )


def _submit(
    client: "Client", sweep: Sweep, todo: Mapping[RunSpec, bool], timeout_s: float
) -> dict["Future", RunSpec]:
    """Submit runs to a Dask client in the given order; return the runs by their futures."""
    environment = _environment()
    futures = {}
    for i, (run, is_again) in enumerate(todo.items()):
        # Two sweeps on one cluster share what is the same, in the same folder. By the first part of
        # the key Dask knows that all runs take about as long.
        key = ("again" if is_again else "run", str(run.folder), run.hash)
        task = (execute, sweep.notebook, run, timeout_s, environment, is_again)
        futures[client.submit(*task, key=key, priority=-i)] = run
    return futures


def _environment() -> dict[str, str]:
    """Return the environment variables of a sweep's runs."""
    environment = {name: value for name, value in os.environ.items() if name.startswith("SHD_")}
    return environment | folder_variables() | _ONE_THREAD | _KEEP_MEMORY


def _result(run: RunSpec, future: "Future", result: Any) -> Measured | str:
    """Return what a run measured, or its error; SweepError, if the sweep can't go on."""
    if future.status in ("cancelled", "lost"):
        raise SweepError(f"the scheduler is lost ({result!r}). {RESUME}")
    if future.status == "error":  # the run has lost its worker again and again
        result = repr(future.exception())
    return _checked(run, result)


def _checked(run: RunSpec, result: Measured | str) -> Measured | str:
    """Return what a run measured, or its error; SweepError, if that is a full disk."""
    if isinstance(result, str) and is_disk_full(result, run.folder.parent):
        raise SweepError(f"{run.folder}: {os.strerror(errno.ENOSPC)}. {RESUME}")
    return result


class _Watch:
    """Shows on a progress bar how far a sweep is, and above it why there is no worker."""

    def __init__(self, cluster: Cluster, bar: tqdm) -> None:
        self._cluster = cluster
        self._bar = bar
        self._n_failed = 0
        self._last_worker_s = time.monotonic()  # when there was a worker last
        self._is_reported = False  # that there is no worker

    def look(self, results: Results, n_left: int) -> None:
        """Count the runs that have ended, and look whether there is a worker.

        SweepError, if the scheduler is lost, or there has been no worker for too long.
        """
        self._n_failed += sum(isinstance(result, str) for result in results.values())
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
            self._report(bool(runs_of_workers))

    def _report(self, has_worker: bool) -> None:
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


def execute(
    notebook: Path, run: RunSpec, timeout_s: float, environment: Mapping[str, str], again: bool
) -> dict[str, float | str] | str:
    """Execute a run, on a worker of Dask.

    Only one process executes a run. Others wait and reuse its result.

    Parameters
    ----------
    notebook : Path
        The notebook.
    run : RunSpec
        The run.
    timeout_s : float
        Most time for it, in seconds.
    environment : mapping
        The sweep's environment variables.
    again : bool
        Execute it even if its folder has finished.

    Returns
    -------
    dict or str
        What it measured, by column, or the traceback of its error.
    """
    try:
        _check_worker(run)
    except RuntimeError:
        return traceback.format_exc()
    result = _execute_here(notebook, run, timeout_s, environment, again, FOREVER_S)
    assert result is not None  # it has waited for any other process
    return result


def _execute_here(
    notebook: Path,
    run: RunSpec,
    timeout_s: float,
    environment: Mapping[str, str],
    again: bool,
    wait_s: float,
) -> dict[str, float | str] | str | None:
    """Execute a run in this process; see `execute`.

    If another process is executing it, wait for `wait_s` until it has ended. Return None if it
    hasn't.
    """
    try:
        _check_unchanged(run)
        for name in list(os.environ):
            if name.startswith("SHD_"):
                del os.environ[name]  # of an earlier sweep on this worker
        os.environ.update(environment)  # the kernel inherits it
        with execution_lock(run.folder).acquire(timeout=wait_s):
            if again or finished_run(run.folder, run.hash) is None:
                notebooks = {notebook: run.parameters}
                execute_run(notebooks, run.folder, timeout_s=timeout_s, lessons=False)
        measured = finished_run(run.folder, run.hash)
        if measured is None:
            return (
                "The notebook has ended, but its run.json is missing or damaged, or has another "
                "hash: that of other parameters, data or another network."
            )
        return measured
    except Timeout:
        return None
    except NotebookError as error:
        return str(error.__cause__)  # has the cell's traceback
    except TimeoutError as error:
        return f"{error}\ntime-out: more than {timeout_s:.4g} s"
    except Exception:  # whatever ends a run, the others go on and the table has the reason
        return traceback.format_exc()


def _check_worker(run: RunSpec) -> None:
    """Raise RuntimeError if this worker of Dask executes several runs at once."""
    from distributed import get_worker

    if get_worker().state.nthreads != 1:
        raise RuntimeError("a worker needs exactly one thread: dask worker --nthreads 1")


def _check_unchanged(run: RunSpec) -> None:
    """Raise RuntimeError if this process would execute something else than the sweep wants."""
    if run_hash(run.parameters, run.data) != run.hash:
        raise RuntimeError("this worker has other code than the sweep: restart the workers")
    if identify_objects(run.parameters).get(OBJECTS_SHA256) != run.data.get(OBJECTS_SHA256):
        files = ", ".join(references(run.parameters).values())
        raise RuntimeError(f"{files}: changed while the sweep ran. Start the sweep again.")


def _parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the arguments of the command line, or those given, parsed."""
    parser = argparse.ArgumentParser(
        prog="shd sweep",
        description="Run what is missing of a sweep, which executes a notebook for every "
        "combination of values and every seed. The results are rows of a table. sweeps/README.md "
        "describes a sweep's file and its table.",
    )
    parser.add_argument(
        "names", nargs="+", help="files in sweeps/ without .yaml, or paths of .yaml files"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value of a parameter outside the grid, for example dataset=FOLDER",
    )
    parser.add_argument(
        "--again",
        metavar="TEXT",
        help="run those again whose name contains TEXT, although the table has them",
    )
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="S",
        help=f"seconds for one run (default: {RUN_S:g})",
    )
    workers = parser.add_mutually_exclusive_group()
    workers.add_argument(
        "--workers", type=int, help="processes on this machine (default: one for each core)"
    )
    workers.add_argument("--scheduler", help="address of a Dask scheduler: tcp://host:8786")
    parser.add_argument(
        "--shard",
        metavar="I/N",
        help="run only share I of N, for a task of a job array (docs/clusters.md): every N-th run, "
        "one after the other, or by --workers",
    )
    return parser.parse_args(arguments)


def _run_from_command_line(name: str, arguments: argparse.Namespace) -> None:
    """Run one sweep; exit with status 1 if a run failed."""
    shard = None if arguments.shard is None else Shard.read(arguments.shard)
    for text in arguments.set:
        if "=" not in text:
            raise SweepError(f"--set {quoted(text)}: must be NAME=VALUE, such as dataset=hd")
    table = run_sweep(
        name,
        dict(text.partition("=")[::2] for text in arguments.set),  # [::2] leaves out the "="
        again=arguments.again,
        workers=Workers(arguments.workers, arguments.scheduler, shard),
        timeout_s=arguments.timeout,
    )
    if (table.status == "failed").any():
        sys.exit(1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run sweeps from the command line (``make sweep``, ``make evidence``, ``shd sweep``).

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
        for name in given.names:
            _run_from_command_line(name, given)
    except (SweepError, TableError, DatasetError) as error:
        sys.exit(f"The sweep stopped.\n{error}")
    except KeyboardInterrupt:
        print(f"\nInterrupted. {RESUME}", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


if __name__ == "__main__":
    # the workers import the functions by the module's name, which is not __main__
    from shd_helpers.sweeps.runner import main as _main

    run_command(_main)
