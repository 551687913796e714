"""Run one notebook for every place in a grid: papermill on Dask (see sweeps/README.md)."""

import argparse
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pandas as pd

from shd_helpers.checks import quoted
from shd_helpers.study.tables import TableError, read_rows
from shd_helpers.sweeps.clusters import TIMEOUT_S, Places, connect
from shd_helpers.sweeps.follow import Follower
from shd_helpers.sweeps.slurm import STOPPING
from shd_helpers.sweeps.spec import check_todo, read_sweep
from shd_helpers.sweeps.state import RESUME, missing, own_rows, settle
from shd_helpers.sweeps.yaml_file import SweepError


def run_sweep(
    name: str | Path,
    overrides: Mapping[str, object] | None = None,
    *,
    again: str | None = None,
    places: Places | None = None,
    timeout_s: float | None = None,
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
    places : Places, optional
        Where they are executed; default: one process for each core of this machine. Others see the
        same files under the same paths.
    timeout_s : float, optional
        Time that one run may take, seconds; default: 6 hours, or half of a job's time.
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
        If the sweep can't start, the scheduler or all workers are lost, or the disk is full.
    """
    sweep, places = read_sweep(name, overrides), places or Places()
    limit_s = places.check(timeout_s)
    stored = read_rows(sweep.table)
    if again is not None and not any(again in run.run_name for run in sweep.runs):
        raise SweepError(
            f"--again {quoted(again)}: in no run's name; they are as {sweep.runs[0].run_name}"
        )
    todo = missing(sweep, again, stored)
    if not todo:
        return own_rows(sweep, {})
    elsewhere = places.scheduler is not None or places.jobs is not None
    check_todo(sweep, todo, elsewhere=elsewhere)
    try:
        sweep.runs[0].folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # each run would fail
        raise SweepError(f"no run folder can be made: {error}") from error
    with connect(places, sweep, limit_s) as cluster:
        if progress:
            print(f"Dask dashboard: {cluster.client.dashboard_link}", flush=True)
        best = stored.get("validation_accuracy", pd.Series(dtype=float)).max()
        follower = Follower(sweep, cluster, best, progress)
        try:
            follower.run(todo, limit_s)
        finally:
            settle(sweep, follower.done)
    return own_rows(sweep, follower.errors)


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


@contextmanager
def _stoppable() -> Iterator[None]:
    """End the process in order on SIGTERM and SIGHUP, too, unless it is to live on (nohup)."""

    def stop(number: int, frame: object) -> NoReturn:
        raise _Stopped(number)

    before = {number: signal.getsignal(number) for number in STOPPING}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:
            signal.signal(number, stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Stopped(KeyboardInterrupt):
    """A signal that stops a sweep, by its number."""


def main() -> None:
    """Run a sweep from the command line (``make sweep``)."""
    from shd_helpers.source.shd_file import DatasetError

    arguments = _parser().parse_args()
    pairs = [text.partition("=")[::2] for text in arguments.set]
    try:
        with _stoppable():
            table = run_sweep(
                arguments.name,
                dict(pairs),
                again=arguments.again,
                places=places_of(arguments),
                timeout_s=arguments.timeout,
            )
    except (SweepError, TableError, DatasetError) as error:
        sys.exit(f"The sweep stopped.\n{error}")
    except _Stopped as stopped:
        print(f"\nInterrupted. {RESUME}", file=sys.stderr)
        sys.exit(128 + stopped.args[0])
    print(_report(table))
    sys.exit(1 if (table.status == "failed").any() else 0)


def add_places(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where runs are executed."""
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--workers", type=int, help="processes; default: one for each core")
    place.add_argument("--slurm", type=int, metavar="N", help="jobs of one core on SLURM")
    place.add_argument("--scheduler", help="address of a Dask scheduler: tcp://host:8786")
    parser.add_argument(
        "--sbatch",
        action="append",
        default=[],
        metavar="NAME=VALUE,...",
        help="options of sbatch; others are in sweeps/cluster/slurm.yaml",
    )


def places_of(arguments: argparse.Namespace) -> Places:
    """Return what the options of `add_places` say."""
    return Places(arguments.workers, arguments.scheduler, arguments.slurm, tuple(arguments.sbatch))


def _parser() -> argparse.ArgumentParser:
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
    add_places(parser)
    parser.add_argument(
        "--timeout",
        type=float,
        metavar="S",
        help=f"seconds for one run; default: {TIMEOUT_S:g}, or half of a job's time",
    )
    return parser


if __name__ == "__main__":
    # the workers import the functions by the module's name, which is not __main__
    from shd_helpers.sweeps.runner import main as _main

    _main()
