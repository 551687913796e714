"""Run one notebook for every place in a grid: papermill on Dask (see sweeps/README.md)."""

import argparse
import errno
import math
import os
import sys
import time
from collections.abc import Mapping
from concurrent.futures import CancelledError
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from tqdm import tqdm

from shd_helpers.files import is_disk_full
from shd_helpers.study.identity import literal
from shd_helpers.study.tables import TableError, finished_run, read_rows
from shd_helpers.sweeps.clusters import connect
from shd_helpers.sweeps.spec import RunSpec, Sweep, check_todo, read_sweep
from shd_helpers.sweeps.state import RESUME, missing, own_rows, store
from shd_helpers.sweeps.worker import execute
from shd_helpers.sweeps.yaml_file import SweepError

if TYPE_CHECKING:
    from distributed import Client, Future

TIMEOUT_S = 6 * 3600.0
NO_WORKER_S = 120.0
# A process a run, a thread a process: the cores are shared without quarrel, and a number doesn't
# depend on how many the machine has.
_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
_BAR = "{desc} {n_fmt}/{total_fmt} |{bar:20}| {elapsed} so far, {remaining} left{postfix}"


def run_sweep(
    name: str | Path,
    overrides: Mapping[str, object] | None = None,
    *,
    again: str | None = None,
    scheduler: str | None = None,
    workers: int | None = None,
    timeout_s: float = TIMEOUT_S,
    progress: bool = True,
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
        A row for every run of the sweep, in the grid's order: see `state.row_of`. One that failed
        raises nothing: its row has the traceback.

    Raises
    ------
    SweepError, TableError, DatasetError
        If the sweep can't start, the scheduler is lost or the disk is full.
    """
    sweep = read_sweep(name, overrides)
    todo = missing(sweep, again)
    check_todo(sweep, todo, elsewhere=scheduler is not None)
    errors = {}
    if todo:
        with connect(scheduler, workers) as client:
            if progress:
                print(f"Dask dashboard: {client.dashboard_link}", flush=True)
            try:
                futures = _submit(client, sweep, todo, timeout_s)
                patience_s = NO_WORKER_S if scheduler is None else math.inf
                errors = _follow(client, sweep, futures, patience_s, progress)
            except CancelledError as error:
                raise SweepError(f"the scheduler is lost ({error}). {RESUME}") from error
    return own_rows(sweep, errors)


def _submit(
    client: "Client", sweep: Sweep, todo: Mapping[RunSpec, bool], timeout_s: float
) -> dict["Future", RunSpec]:
    """Hand the runs to the workers, in the grid's order."""
    environment = {k: v for k, v in os.environ.items() if k.startswith("SHD_")} | _ONE_THREAD
    futures = {}
    for i, (run, again) in enumerate(todo.items()):
        # Two sweeps on one cluster share what is the same, in the same folder. By the first part
        # Dask knows that all take about as long; else it moves runs as if those that wait took no
        # time.
        key = ("again" if again else "run", str(run.folder), run.hash)
        task = (execute, sweep.notebook, run, timeout_s, environment, again)
        futures[client.submit(*task, key=key, priority=-i)] = run
    return futures


def _follow(
    client: "Client",
    sweep: Sweep,
    futures: Mapping["Future", RunSpec],
    patience_s: float,
    progress: bool,
) -> dict[str, str]:
    """Store each run that ends, show how far the sweep is, return the failed runs' tracebacks."""
    from distributed import wait

    errors: dict[str, str] = {}
    pending, total, alive = set(futures), len(sweep.runs), time.monotonic()
    best = read_rows(sweep.table).get("validation_accuracy", pd.Series(dtype=float)).max()
    start = {"initial": total - len(futures), "total": total}
    with tqdm(desc=sweep.name, bar_format=_BAR, disable=not progress, **start) as bar:
        while True:
            workers = client.processing()
            running = sum(1 for keys in workers.values() if keys)  # one a worker
            finished = total - len(pending) - len(errors)
            state = f"{finished} finished, {len(errors)} failed, {running} running"
            bar.set_postfix_str(state + (f", best validation {best:.1%}" if best == best else ""))
            if not pending:
                return errors
            alive = time.monotonic() if workers else alive
            if time.monotonic() - alive > patience_s:
                raise SweepError(f"no worker came back in {patience_s:g} s. {RESUME}")
            try:
                ended, pending = wait(pending, timeout=1, return_when="FIRST_COMPLETED")
            except TimeoutError:
                continue
            results = {futures[future]: _result(future, futures[future]) for future in ended}
            store(sweep, results)
            for run, result in results.items():
                if isinstance(result, str):
                    errors[run.run_name] = result
                else:
                    best = pd.Series([best, result["validation_accuracy"]]).max()
            bar.update(len(ended))


def _result(future: "Future", run: RunSpec) -> dict[str, float] | str:
    """Return what an ended run measured, or the traceback of what failed."""
    # a future fails only if it has lost its worker again and again
    error = future.result() if future.status == "finished" else repr(future.exception())
    if is_disk_full(error, run.folder):
        raise SweepError(f"{run.folder}: {os.strerror(errno.ENOSPC)}. {RESUME}")
    return error or finished_run(run.folder, run.hash) or "the run folder is gone"


def _report(table: pd.DataFrame) -> str:
    """Return what the command says at the end; of test scores nothing."""
    from shd_helpers.study.statistics import choose, summarise

    lines = [f"{len(table)} runs."]
    chosen = choose(table)
    if len(chosen):
        name = chosen.configuration.iloc[0]
        mean = summarise(table[table.status == "done"]).loc[name]
        line = f"Validation chooses {name}: {mean.validation:.1f} %"
        if mean.validation_ci95 == mean.validation_ci95:  # one run alone has none
            line += f" ± {mean.validation_ci95:.1f}, 95 % interval, {mean.seeds} seeds"
        lines.append(f"{line}.")
    failed = table[table.status == "failed"]
    lines += [f"{len(failed)} failed; the column error has the tracebacks:"] * bool(len(failed))
    lines += [
        f"  {row.run_name}: {row.error.strip().splitlines()[-1]}" for row in failed.itertuples()
    ]
    return "\n".join(lines)


def main() -> None:
    """Run a sweep from the command line (``make sweep``)."""
    from shd_helpers.source.shd_file import DatasetError

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
    parser.add_argument(
        "--again",
        metavar="TEXT",
        help="also run those whose name contains the text, though the table has them: for their "
        "weights or predictions",
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
            again=arguments.again,
            scheduler=arguments.scheduler,
            workers=arguments.workers,
            timeout_s=arguments.timeout,
        )
    except (SweepError, TableError, DatasetError) as error:
        sys.exit(f"The sweep stopped.\n{error}")
    except KeyboardInterrupt:
        print(f"\nInterrupted. {RESUME}", file=sys.stderr)
        sys.exit(130)
    print(_report(table))
    sys.exit(1 if (table.status == "failed").any() else 0)


if __name__ == "__main__":
    # the workers import the functions by the module's name, which is not __main__
    from shd_helpers.sweeps.runner import main as _main

    _main()
