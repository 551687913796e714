"""Tables of runs: rows are made of run folders, merged into ``results/*.csv``, read again."""

import csv
import io
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import pandas as pd
from filelock import FileLock

from shd_helpers.checks import quoted
from shd_helpers.files import atomic, reading
from shd_helpers.paths import results_dir
from shd_helpers.study.handover import info_of, settle
from shd_helpers.study.recipe import NEUTRAL, run_hash

SCORES = tuple(
    f"{part}_accuracy" for part in ("train", "validation", "test", "test_seen", "test_unseen")
)
INTEGER = (*(f"integer_{name}" for name in SCORES[1:]), "integer_agreement")  # of a circuit
COSTS = (
    *("parameters", "footprint_bytes", "unrolled_synapses", "neuron_updates"),
    *("effective_acs", "macs", "input_events", "hidden_spikes", "late_spikes"),
)
TIMES = ("training_s", "total_s")
MEASURED = (*SCORES, *INTEGER, *COSTS, *TIMES)
DATA = ("train_sha256", "test_sha256")
# columns that aren't numbers, even where they look so
_TEXT = (
    "configuration",
    "circuit",
    "validation_speakers",
    "run_name",
    *DATA,
    "hash",
    "status",
    "error",
)
# `git restore` refuses a file that a merge has left with conflict marks
RESTORE = "Restore it (git checkout HEAD -- results), or move it away and run the sweep again."


class TableError(ValueError):
    """A table that can't give what is asked of it; the message names the file and the remedy."""


def finished_run(folder: Path, wanted: str) -> dict[str, float] | None:
    """Return what a run folder says was measured, or None if the run is missing.

    A run counts when its `run.json` is complete and has the wanted hash. One that is unfinished,
    damaged or of other parameters or data is missing.

    Parameters
    ----------
    folder : Path
        The run folder.
    wanted : str
        From `recipe.run_hash`.

    Returns
    -------
    dict or None
        The columns `MEASURED`: accuracies as fractions, costs, seconds; NaN where nothing was
        measured.
    """
    try:
        settle(folder)
        info = info_of(folder)
        content = run_hash(info["parameters"], info["data"])
        if info["complete"] is not True or not info["hash"] == content == wanted:
            return None
        names = (*SCORES, *INTEGER)
        scores = {name: info["scores"].get(name.removesuffix("_accuracy")) for name in names}
        if not all(0 <= score <= 1 for score in scores.values() if score is not None):
            return None
        costs = {name: info.get("costs", {}).get(name) for name in COSTS}
        times = {name: info["wall_s"][name.removesuffix("_s")] for name in TIMES}
        if not all(0 <= x < math.inf for x in (costs | times).values() if x is not None):
            return None
        values = scores | costs | times
        return {name: math.nan if x is None else x for name, x in values.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def read_rows(path: Path) -> pd.DataFrame:
    """Return all rows of a table's file, numbers with all their digits.

    Parameters
    ----------
    path : Path
        Written by `merge_rows`; where there is none, the table is empty.

    Raises
    ------
    TableError
        If the file is no such table.
    """
    table = _read(path)
    table = table.assign(**{c: _as_values(table[c]) for c in table.columns.difference(_TEXT)})
    _check(path, table)
    return table


def _check(path: Path, table: pd.DataFrame) -> None:
    """Refuse values that no run has left: another status, a score that is no fraction."""
    wrong = {"status": (~table.status.isin(["done", "failed"]), "done or failed")}
    for name in [name for name in MEASURED if name in table]:
        numbers = pd.to_numeric(table[name], errors="coerce")
        high, allowed = (1, "from 0 to 1") if name in SCORES else (math.inf, "of 0 or more")
        is_right = (0 <= numbers) & (numbers <= high) & (numbers < math.inf)
        is_absent = numbers.isna() & table[name].isin(["", math.nan])
        wrong[name] = (~(is_right | is_absent), f"a number {allowed}")
    if {"configuration", "seed"} <= set(table):  # else a row that was copied would count twice
        own = table.configuration + ",seed=" + table.seed.astype(str)
        is_right = (table.run_name.str.split("/").str[-1] == own) & ~own.duplicated()
        wrong["run_name"] = (~is_right, "of its row's configuration and seed, and of no other's")
    for name, (rows, allowed) in wrong.items():
        if rows.any():
            row = table[rows].iloc[0]
            value = f"{row.run_name}: {name} {quoted(row[name])}"
            raise TableError(f"{path}: {value}: must be {allowed}. {RESTORE}")


def _read(path: Path) -> pd.DataFrame:
    """Return a table's file as text, one row a run; empty where there is none."""
    if not path.exists():
        return pd.DataFrame({name: [] for name in _TEXT}, dtype=str)
    with reading(path, TableError, RESTORE):
        text = path.read_text(encoding="utf-8")
        if text[-1:] != "\n":
            # an editor may have left out the end of a whole line; what a killed process has begun
            # to append has fewer fields
            rows = list(csv.reader(io.StringIO(text)))
            if rows and len(rows[-1]) < len(rows[0]):
                text = text[: text.rfind("\n") + 1]
        table = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    missing = [name for name in ("run_name", "hash", "status") if name not in table]
    if missing:
        raise TableError(f"{path}: without a column {', '.join(missing)}. {RESTORE}")
    if table.run_name.is_unique:
        return table
    ranked = table.iloc[(table.status == "done").argsort(kind="stable")]
    return ranked.drop_duplicates("run_name", keep="last").sort_index()


def _as_values(texts: pd.Series) -> pd.Series:
    """Return truth values or numbers, to the last bit, where all are such; "" is a missing one."""
    if set(texts) <= {"True", "False"}:
        return texts == "True"
    if texts.str.contains("_").any():  # Python reads 0.7_5 as a number
        return texts
    for kind in (int, float):
        try:
            return texts.map(lambda text, kind=kind: kind(text or "nan"))
        except ValueError:  # int() knows no "nan"
            continue
    return texts


def merge_rows(path: Path, rows: Sequence[Mapping[str, object]], order: Iterable[str] = ()) -> None:
    """Put rows into a table's file; those that are there already stay as they are, to the letter.

    A row replaces the one of the same `run_name`. One that failed replaces none that is done: a
    result stays until its successor has ended well.

    Parameters
    ----------
    path : Path
        The CSV file; made if it is missing.
    rows : sequence of mapping
        With the same keys, among them `run_name` and `status` (done or failed).
    order : iterable of str
        Run names; the rows of other runs stand behind them. Without rows, only the order changes.
    """
    if not rows and not path.exists():
        return
    new = pd.DataFrame([{name: _as_text(x) for name, x in row.items()} for row in rows], dtype=str)
    with locked(path):
        old = _read(path) if path.exists() else new[:0]
        new = new if rows else old[:0]
        done = old.run_name[old.status == "done"]
        new = new[(new.status == "done") | ~new.run_name.isin(done)]
        kept = old[~old.run_name.isin(new.run_name)]
        columns = [*new.columns, *old.columns.difference(new.columns, sort=False)]
        # a parameter that is younger than a row had its neutral value then
        absent = {name: _as_text(NEUTRAL.get(name)) for name in columns}
        columns.sort(key=lambda name: name == "error")  # last, and empty: see `_read`
        merged = pd.concat([new, kept])[columns].fillna(absent)
        place = {name: i for i, name in enumerate(order)}
        ranks = merged.run_name.map(lambda name: place.get(name, len(place)))
        with atomic(path) as part:
            merged.iloc[ranks.argsort(kind="stable")].to_csv(part, index=False)


def append_rows(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Put rows into a table's file as `merge_rows` does, where possible without reading it.

    A row is put behind the others; `read_rows` takes the last one of a run that is done.

    Parameters
    ----------
    path, rows
        As for `merge_rows`.
    """
    texts = [{name: _as_text(x) for name, x in row.items()} for row in rows]
    # Whole lines: what a killed process leaves of one has no end, and is told by that. A failed
    # row has the many lines of its traceback, and must not replace one that is done.
    if all(row["status"] == "done" and "\n" not in "".join(row.values()) for row in texts):
        with locked(path):
            columns = _columns_to_append_to(path)
            if all(row.keys() <= set(columns) for row in texts):
                absent = {name: _as_text(NEUTRAL.get(name)) for name in columns}
                _append(path, columns, [absent | row for row in texts])
                return
    merge_rows(path, rows)


def _columns_to_append_to(path: Path) -> list[str]:
    """Return a table's columns; none where there is no table, or its last line has no end."""
    if not path.exists() or path.stat().st_size == 0:
        return []
    with path.open("rb") as file:
        header = file.readline()
        file.seek(-1, os.SEEK_END)
        return next(csv.reader([header.decode()])) if file.read() == b"\n" else []


def _append(path: Path, columns: Sequence[str], texts: Sequence[Mapping[str, str]]) -> None:
    """Put lines behind a file's, all or none."""
    size = path.stat().st_size
    try:
        with path.open("a", encoding="utf-8", newline="") as file:
            csv.DictWriter(file, columns, lineterminator="\n").writerows(texts)
    except OSError:
        os.truncate(path, size)
        raise


def _as_text(value: object) -> str:
    """Return a value as it stands in the file: a float with all its digits."""
    return "" if value is None or value != value else str(value)


def locked(path: Path) -> FileLock:
    """Return a lock on a folder of tables: two sweeps at once may write the same one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.parent / ".lock")


def table_path(name: str | Path) -> Path:
    """Return the file of a table that must be there."""
    path = name if isinstance(name, Path) else results_dir() / f"{name}.csv"
    if not path.exists():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.csv")))
        raise TableError(f"{path}: no such table; run its sweep first. There are {there}.")
    return path


def read_table(name: str | Path) -> pd.DataFrame:
    """Return the runs of a sweep that have ended well, with the input's size.

    Parameters
    ----------
    name : str or Path
        A file in ``results/``, without its ending (the sweep's name and its data set's), or the
        path of a table.

    Returns
    -------
    DataFrame
        As `sweeps.runner.run_sweep` makes it, with `channels` and `steps`.

    Raises
    ------
    TableError
        If there is no such table, or no run in it has ended well.
    """
    from shd_helpers.events.downsample import Downsampling  # takes a second to import

    path = table_path(name)
    table = read_rows(path)
    table = table[table.status == "done"]
    if not len(table):
        raise TableError(f"{path}: no run that has ended well. {RESTORE}")
    names = [field.name for field in fields(Downsampling) if field.name in table]
    with reading(path, TableError, RESTORE):
        inputs = [Downsampling(**row) for row in table[names].to_dict("records")]
    return table.assign(channels=[i.n_units for i in inputs], steps=[i.n_steps for i in inputs])
