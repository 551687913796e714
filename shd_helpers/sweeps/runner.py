"""Run one notebook for every point of a grid: papermill on Dask (see sweeps/README.md)."""

import argparse
import errno
import json
import logging
import math
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from multiprocessing import resource_tracker
from pathlib import Path

import dask
import pandas as pd
import papermill
from distributed import Client, LocalCluster, get_worker, wait
from filelock import FileLock
from papermill.exceptions import PapermillExecutionError
from tqdm import tqdm

from shd_helpers.files import atomic
from shd_helpers.source.datasets import DatasetError
from shd_helpers.study.identity import literal, run_hash
from shd_helpers.sweeps.spec import RunSpec, Sweep, SweepError, read_sweep

SCORES = tuple(
    f"{part}_accuracy" for part in ("train", "validation", "test", "test_seen", "test_unseen")
)
TIMEOUT_S = 6 * 3600.0
CONNECT_S = 30.0
# A process a run, a thread a process: the cores are shared without quarrel, and a number doesn't
# depend on how many the machine has.
_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
_DISK_FULL = tuple(os.strerror(code) for code in (errno.ENOSPC, errno.EDQUOT))
COSTS = ("parameters", "footprint_bytes", "effective_acs", "input_events", "hidden_spikes")
_TIMES = ("training_s", "total_s")
_RESUME = "Runs that have ended are kept: the same command runs only the rest."
_BAR = "{desc} {n_fmt}/{total_fmt} |{bar:20}| {elapsed} so far, {remaining} left{postfix}"


def read_finished(point: RunSpec) -> dict[str, float] | None:
    """Return scores, costs and wall times of a point's run, or None if the run is missing.

    A run counts when its `run.json` is complete and has the hash of the parameters, data and code
    that are wanted now. One that is unfinished, damaged or out of date is missing.
    """
    try:
        info = json.loads((point.folder / "run.json").read_text(encoding="utf-8"))
        content = run_hash(info["parameters"], info["data"], info["code"])
        if info["complete"] is not True or not info["hash"] == content == point.hash:
            return None
        times = {name: info["wall_s"][name.removesuffix("_s")] for name in _TIMES}
        scores = {name: info["scores"].get(name.removesuffix("_accuracy")) for name in SCORES}
        costs = {name: info.get("costs", {}).get(name) for name in COSTS}
        values = scores | costs | times
        return {name: math.nan if x is None else x for name, x in values.items()}
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
        return None


def collect(sweep: Sweep, errors: Mapping[str, str]) -> pd.DataFrame:
    """Return the table: a row for every run that has ended, in the grid's order.

    Its columns are `configuration` (the grid's values, the same for all seeds); the parameters, with
    `dataset` as the data set's name; the accuracies in `SCORES`, as fractions; `COSTS`;
    `training_s` and `total_s`; `hash`; `status` (done or failed); `error`.

    Parameters
    ----------
    sweep : Sweep
        From `plan.read_sweep`.
    errors : mapping
        Traceback of each failed run, by `run_name`.
    """
    rows = []
    for point in sweep.points:
        scores, error = read_finished(point), errors.get(point.run_name, "")
        if scores is not None or error:
            row = {"configuration": point.configuration, **point.parameters}
            row |= {"dataset": point.data["name"]} if point.data else {}
            row |= scores or dict.fromkeys((*SCORES, *COSTS, *_TIMES), math.nan)
            row |= {"hash": point.hash, "status": "failed" if error else "done", "error": error}
            rows.append(row)
    measured = (*SCORES, *COSTS, *_TIMES)
    columns = ("configuration", *sweep.points[0].parameters, *measured, "hash", "status", "error")
    return pd.DataFrame(rows, columns=columns)


def _write(table: pd.DataFrame, path: Path) -> None:
    try:
        with atomic(path) as part:
            table.to_csv(part, index=False)
    except OSError as error:  # the table on the disk is as it was
        raise SweepError(f"{path}: {error.strerror or error}. {_RESUME}") from error


def by_configuration(table: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each setting: its parameters, and validation and cost over its seeds.

    Parameters
    ----------
    table : DataFrame
        From `run_sweep`, or its CSV file.

    Returns
    -------
    DataFrame
        `configuration`, the parameters but `seed` and `run_name`, `seeds` (how many), `accuracy` and
        `accuracy_sd` (on validation; fractions, sample standard deviation), `training_s` (mean).
    """
    groups = table[table.status == "done"].groupby("configuration", sort=False)
    drop = ["seed", "run_name", *SCORES, *COSTS, *_TIMES, "hash", "status", "error"]
    return (
        groups.head(1)
        .drop(columns=drop, errors="ignore")
        .set_index("configuration")
        .assign(
            seeds=groups.size(),
            accuracy=groups.validation_accuracy.mean(),
            accuracy_sd=groups.validation_accuracy.std(),
            training_s=groups.training_s.mean(),
        )
        .reset_index()
    )


def choose(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows, one a seed, of the setting with the best mean validation accuracy.

    Only for these is a test score to be shown. A setting of which a seed failed is not in the
    running, for a mean over fewer seeds is more often high by luck; the first of equals wins.

    Parameters
    ----------
    table : DataFrame
        From `run_sweep`, or its CSV file.
    """
    means = by_configuration(table)
    whole = means[means.seeds == means.seeds.max()]
    best = whole.configuration[whole.accuracy.idxmax()] if len(whole) else None
    return table[(table.configuration == best) & (table.status == "done")]


def execute(notebook: Path, point: RunSpec, timeout_s: float, environment: Mapping) -> str:
    """Run a point, on a worker; return the traceback of what failed, else nothing.

    The lock on the run folder keeps two sweeps apart, and a sweep from the run that a cluster
    still works on for one that was killed: who comes later waits and finds the point done.
    """
    try:
        if get_worker().state.nthreads != 1:
            raise RuntimeError("a worker needs exactly one thread: dask worker --nthreads 1")
        for name in [name for name in os.environ if name.startswith("SHD_")]:
            del os.environ[name]  # of an earlier sweep on this worker
        os.environ.update(environment)  # the kernel inherits it
        point.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(point.folder / ".lock"):
            end = time.monotonic() + timeout_s
            if read_finished(point) is None:
                papermill.execute_notebook(
                    notebook,
                    point.folder / notebook.name,
                    point.parameters,
                    kernel_name="python3",
                    cwd=notebook.parent,
                    progress_bar=False,
                    extra_arguments=["--log-level=ERROR"],
                    # a fixed limit would hold for each cell; 0 would mean none
                    timeout_func=lambda cell: max(0.1, end - time.monotonic()),
                )
        if read_finished(point) is None:
            raise RuntimeError("run.json is not complete, or of other parameters, data or code")
    except PapermillExecutionError as error:
        return str(error)  # holds the cell's traceback
    except TimeoutError as error:
        return f"time-out: more than {timeout_s:g} s\n{error}"
    except Exception:  # whatever a run dies of, the others go on and the table tells
        return traceback.format_exc()
    return ""


def run_sweep(
    name: str | Path,
    overrides: Mapping[str, object] | None = None,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    timeout_s: float = TIMEOUT_S,
    progress: bool = True,
) -> pd.DataFrame:
    """Run what is missing of a sweep; return its table, which is also written as runs end.

    Parameters
    ----------
    name, overrides
        See `plan.read_sweep`.
    scheduler : str, optional
        Address of a Dask scheduler whose workers have one thread each and see the same files
        under the same paths; default: a cluster of processes on this machine.
    workers : int, optional
        How many processes; default: one for each core.
    timeout_s : float
        Time that one run may take, seconds.
    progress : bool
        Show a bar, and the address of Dask's dashboard.

    Returns
    -------
    DataFrame
        See `write_table`. A run that failed raises nothing: its row has the traceback.

    Raises
    ------
    SweepError, DatasetError
        If the sweep can't start, the scheduler is lost or the disk is full.
    """
    sweep = read_sweep(name, overrides)
    todo = [point for point in sweep.points if read_finished(point) is None]
    errors: dict[str, str] = {}
    if todo:
        with _client(scheduler, workers) as client:
            if progress:
                print(f"Dask dashboard: {client.dashboard_link}", flush=True)
            try:
                _run(client, sweep, todo, errors, timeout_s, progress)
            except CancelledError as error:
                raise SweepError(f"the scheduler is lost ({error}). {_RESUME}") from error
    table = collect(sweep, errors)
    _write(table, sweep.table)
    return table


@contextmanager
def _client(scheduler: str | None, workers: int | None) -> Iterator[Client]:
    if scheduler is None:
        # port 0 is one that is free, so that two sweeps don't meet
        options = {"scheduler_port": 0, "dashboard_address": "127.0.0.1:0"}
        options |= {"threads_per_worker": 1, "silence_logs": logging.ERROR}
        # A worker gets its next run when it is free: given two, it may keep one from another.
        fair = dask.config.set({"distributed.scheduler.worker-saturation": 1.0})
        # A terminal sends Ctrl-C to the workers, too; one that dies of it while the cluster is
        # closed is started again. What starts while the signal is blocked never gets it.
        resource_tracker.ensure_running()  # it would lift the block
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with (
                fair,
                LocalCluster(n_workers=workers, **options) as cluster,
                Client(cluster) as client,
            ):
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
                yield client
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    else:
        try:
            client = Client(scheduler, timeout=CONNECT_S)
        except (OSError, ValueError) as error:
            raise SweepError(f"--scheduler {scheduler}: no answer ({error})") from error
        with client:
            yield client


def _run(
    client: Client,
    sweep: Sweep,
    todo: Sequence[RunSpec],
    errors: dict[str, str],
    timeout_s: float,
    progress: bool,
) -> None:
    """Let the workers run the missing points, and keep bar, table and errors up to date."""
    environment = {k: v for k, v in os.environ.items() if k.startswith("SHD_")} | _ONE_THREAD
    points = {}
    for i, point in enumerate(todo):
        # Two sweeps on one cluster share what is the same. By the first part Dask knows that all
        # take about as long; else it moves runs as if those that wait took no time.
        key = ("run", point.run_name, point.hash)
        task = (execute, sweep.notebook, point, timeout_s, environment)
        points[client.submit(*task, key=key, priority=-i)] = point  # in the grid's order
    pending, table = set(points), collect(sweep, errors)
    start = {"initial": len(sweep.points) - len(todo), "total": len(sweep.points)}
    with tqdm(desc=sweep.name, bar_format=_BAR, disable=not progress, **start) as bar:
        while True:
            running = sum(1 for keys in client.processing().values() if keys)  # one a worker
            state = f"{len(table) - len(errors)} finished, {len(errors)} failed, {running} running"
            if (table.status == "done").any():
                state += f", best validation {table.validation_accuracy.max():.1%}"
            bar.set_postfix_str(state)
            if not pending:
                break
            try:
                ended, pending = wait(pending, timeout=1, return_when="FIRST_COMPLETED")
            except TimeoutError:
                continue
            for future in ended:
                # a future fails only if it has lost its worker again and again
                error = future.result() if future.status == "finished" else repr(future.exception())
                if error:
                    errors[points[future].run_name] = error
                if any(text in error for text in _DISK_FULL):
                    raise SweepError(f"{points[future].folder}: {_DISK_FULL[0]}. {_RESUME}")
            table = collect(sweep, errors)
            _write(table, sweep.table)
            bar.update(len(ended))


def _report(table: pd.DataFrame) -> str:
    """Return what the command says at the end; of test scores nothing."""
    lines = [f"{len(table)} runs."]
    chosen = choose(table)
    if len(chosen):
        mean, spread = chosen.validation_accuracy.mean(), chosen.validation_accuracy.std()
        lines.append(
            f"Validation chooses {chosen.configuration.iloc[0]}: {mean:.1%}, standard deviation "
            f"{spread:.1%} over {len(chosen)} seeds."
        )
    failed = table[table.status == "failed"]
    lines += [f"{len(failed)} failed; the column error has the tracebacks:"] * bool(len(failed))
    lines += [
        f"  {row.run_name}: {row.error.strip().splitlines()[-1]}" for row in failed.itertuples()
    ]
    return "\n".join(lines)


def main() -> None:
    """Run a sweep from the command line (``make sweep``)."""
    parser = argparse.ArgumentParser(
        prog="python -m shd_helpers.sweeps.runner", description=__doc__
    )
    parser.add_argument("name", help="a file in sweeps/ without .yaml, or the path of a .yaml file")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="another value of a parameter outside the grid, for example dataset=FOLDER",
    )
    parser.add_argument("--workers", type=int, help="processes; default: one for each core")
    parser.add_argument("--scheduler", help="address of a Dask scheduler: tcp://host:8786")
    parser.add_argument(
        "--timeout", type=float, default=TIMEOUT_S, metavar="S", help="seconds for one run"
    )
    arguments = parser.parse_args()
    pairs = [text.partition("=")[::2] for text in arguments.set]
    try:
        overrides = {key: literal(value) for key, value in pairs}
        table = run_sweep(
            arguments.name,
            overrides,
            scheduler=arguments.scheduler,
            workers=arguments.workers,
            timeout_s=arguments.timeout,
        )
    except (SweepError, DatasetError) as error:
        sys.exit(f"The sweep stopped.\n{error}")
    except KeyboardInterrupt:
        print(f"\nInterrupted. {_RESUME}", file=sys.stderr)
        sys.exit(130)
    print(_report(table))
    sys.exit(1 if (table.status == "failed").any() else 0)


if __name__ == "__main__":
    # the workers import the functions by the module's name, which is not __main__
    from shd_helpers.sweeps.runner import main as _main

    _main()
