"""Which runs of a sweep are there already, and what is stored when others end."""

import math
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from shd_helpers.study.predictions import keep_predictions, kept_hashes
from shd_helpers.study.tables import (
    DATA,
    MEASURED,
    finished_run,
    merge_rows,
    read_rows,
)
from shd_helpers.sweeps.spec import RunSpec, Sweep
from shd_helpers.sweeps.yaml_file import SweepError

RESUME = "Runs that have ended are kept: the same command runs only the rest."


def row_of(run: RunSpec, result: Mapping[str, float] | str) -> dict[str, object]:
    """Return a run's row in the table.

    Parameters
    ----------
    run : RunSpec
        Its `configuration` and places on named axes come first, then its parameters, with
        `dataset` as the data set's name; after what was measured come the data's and the run's
        hash.
    result : mapping or str
        From `tables.finished_run`, or the traceback of what failed, which becomes `error`; `status`
        is ``done`` or ``failed``.
    """
    error = result if isinstance(result, str) else ""
    row: dict[str, object] = {"configuration": run.configuration, **run.places, **run.parameters}
    row |= {"dataset": run.data["name"]} if run.data else {}
    row |= dict.fromkeys(MEASURED, math.nan) if isinstance(result, str) else result
    row |= {name: run.data.get(name, "") for name in DATA}
    return row | {"hash": run.hash, "status": "failed" if error else "done", "error": error}


def own_rows(sweep: Sweep, errors: Mapping[str, str]) -> pd.DataFrame:
    """Return the sweep's own rows: of the file, and those of the runs that failed just now."""
    stored = read_rows(sweep.table)
    wanted = {run.run_name: run.hash for run in sweep.runs}
    is_own = (stored.run_name.map(wanted) == stored.hash) & ~stored.run_name.isin(errors)
    failed = [row_of(run, errors[run.run_name]) for run in sweep.runs if run.run_name in errors]
    table = pd.concat([stored[is_own], pd.DataFrame(failed, columns=stored.columns)])
    return table.set_index("run_name", drop=False).loc[[*wanted]].reset_index(drop=True)


def missing(sweep: Sweep, again: str | None, stored: pd.DataFrame) -> dict[RunSpec, bool]:
    """Return the runs to execute, each with whether a finished run folder doesn't count.

    All places' first seeds come first, so a sweep that is stopped early can be compared. Runs that
    only a run folder has are put into the table.

    Parameters
    ----------
    sweep : Sweep
        All of its runs.
    again : str or None
        Those with this text in their name are to be executed anyway.
    stored : DataFrame
        The table's rows.
    """
    stored = stored[stored.status == "done"]
    done = set(zip(stored.run_name, stored.hash, strict=True))
    kept = kept_hashes(sweep.predictions) if sweep.predictions else None
    found, todo = {}, {}
    for run in sweep.runs:
        asked = again is not None and again in run.run_name
        is_kept = kept is None or run.hash in kept
        if not asked and is_kept and (run.run_name, run.hash) in done:
            continue
        measured = None if asked else finished_run(run.folder, run.hash)
        is_kept = kept is None or (run.folder / "predictions.csv").is_file()
        if measured is not None and is_kept:
            found[run] = measured
        else:
            # a folder without predictions is made again; one that is missing may come meanwhile
            todo[run] = asked or measured is not None
    if found:
        store(sweep, found)
        settle(sweep, found)
    return dict(sorted(todo.items(), key=lambda item: item[0].parameters["seed"]))


def store(sweep: Sweep, rows: Mapping[RunSpec, Mapping[str, float] | str]) -> None:
    """Put runs into the sweep's table: what was measured, or the traceback of one that failed."""
    if rows:
        written = [row_of(run, measured) for run, measured in rows.items()]
        with _kept_whole(sweep.table):
            merge_rows(sweep.table, written)


def settle(sweep: Sweep, ended: Iterable[RunSpec]) -> None:
    """Put the table into the grid's order, and the predictions of ended runs beside it."""
    with _kept_whole(sweep.table):
        if sweep.predictions:
            keep_predictions(sweep.predictions, {run.hash: run.folder for run in ended})
        merge_rows(sweep.table, [], [run.run_name for run in sweep.runs])


@contextmanager
def _kept_whole(table: Path) -> Iterator[None]:
    """Turn what the disk refuses into a SweepError."""
    try:
        yield
    except OSError as error:  # what is on the disk stays
        raise SweepError(f"{table}: {error.strerror or error}. {RESUME}") from error
