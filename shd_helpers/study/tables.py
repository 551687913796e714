"""Tables of runs: rows are made of run folders, merged into ``results/*.csv``, read again."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from shd_helpers.files import atomic, reading
from shd_helpers.paths import results_dir
from shd_helpers.study.identity import (
    FIRST_NAMES,
    FIRST_VALUES,
    current_circuit,
    current_values,
    run_hash,
)
from shd_helpers.study.recipe import NEUTRAL
from shd_helpers.study.run_folder import read_info

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
DATA = ("train_sha256", "test_sha256", "augmented_train_sha256", "augmented_test_sha256")
# How it is known that a run trained on these augmented recordings: see results/README.md.
EVIDENCE = "augmented_evidence"
RECORDED = "hashed when the run trained"
# Where and with which code a run was made; rows that are older than these columns have none.
PROVENANCE = ("processor", "versions", "commit")
# what a row adds to a run's parameters: an axis or a parameter of such a name would be lost
COLUMNS = frozenset(
    {"configuration", *MEASURED, *DATA, EVIDENCE, *PROVENANCE, "hash", "status", "error"}
)
HIGHEST = dict.fromkeys((*SCORES, *INTEGER), 1.0)  # of those that are fractions
# columns that aren't numbers, even where they look so
_TEXT = (
    *("configuration", "circuit", "validation_speakers", "run_name"),
    *(*DATA, EVIDENCE, *PROVENANCE, "hash", "status", "error"),
)
# `git restore` refuses a file that a merge has left with conflict marks
RESTORE = "Restore it (git checkout HEAD -- results), or move it away and run the sweep again."


class TableError(ValueError):
    """A table that can't give what is asked of it; the message names the file and the remedy."""


def finished_run(folder: Path, wanted: str) -> dict[str, float | str] | None:
    """Return what a run folder says was measured, or None if the run is missing.

    A run of another `identity.run_hash` than the `wanted` one is missing, and so is one that is
    damaged.

    Returns
    -------
    dict or None
        The columns `MEASURED`: accuracies as fractions, costs, seconds; NaN where nothing was
        measured. And the columns `PROVENANCE`: texts, empty where an older run lacks them.
    """
    try:
        info = read_info(folder)
        if not info["hash"] == run_hash(info["parameters"], info["data"]) == wanted:
            return None
        found = {f"{name}_accuracy": score for name, score in info["scores"].items()}
        found |= info["scores"] | info.get("costs", {})
        found |= {name: info["wall_s"][name.removesuffix("_s")] for name in TIMES}
        values = {name: found.get(name) for name in MEASURED}
        if not all(0 <= x < math.inf for x in values.values() if x is not None):
            return None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    measured: dict[str, float | str] = {
        name: math.nan if x is None else x for name, x in values.items()
    }
    return measured | provenance(info)


def provenance(info: Mapping[str, Any]) -> dict[str, str]:
    """Return the processor, the package versions and the commit of a run, from its `run.json`."""
    packages = info.get("versions", {})
    return {
        "processor": info.get("processor", ""),
        "versions": " ".join(f"{name}={number}" for name, number in packages.items()),
        "commit": info.get("git_commit") or "",
    }


def read_rows(path: Path) -> pd.DataFrame:
    """Return all rows of a table's file, numbers with all their digits; none if there is no file.

    TableError, if the file is no such table.
    """
    table = _read(path)
    table = table.assign(**{c: _as_values(table[c]) for c in table.columns.difference(_TEXT)})
    with reading(path, TableError, RESTORE):
        _check_measured(table)
    return table


def _check_measured(table: pd.DataFrame) -> None:
    """Raise ValueError if a measured value is no number, impossible, or infinite.

    An accuracy is a fraction, and all else at least 0. NaN is a value that wasn't measured.
    """
    for name in table.columns.intersection(MEASURED):
        values = table[name].astype(float)
        highest = HIGHEST.get(name, math.inf)
        is_possible = values.isna() | ((values >= 0) & (values <= highest) & (values < math.inf))
        if not is_possible.all():
            row = int((~is_possible).to_numpy().argmax())
            limits = "0 to 1" if name in HIGHEST else "0 or more, and finite"
            raise ValueError(f"row {1 + row}: {name} {values.iloc[row]:g} must be {limits}")


def _read(path: Path) -> pd.DataFrame:
    """Return a table's file as text, one row a run; empty where there is none."""
    if not path.exists():
        return pd.DataFrame({name: [] for name in _TEXT}, dtype=str)
    with reading(path, TableError, RESTORE):
        with path.open(encoding="utf-8", newline="") as file:
            header = next(csv.reader(file), [])
        if doubled := sorted(name for name in {*header} if header.count(name) > 1):
            raise ValueError(
                f"column {', '.join(doubled)} is there twice"
            )  # pandas would rename it
        table = with_current_names(pd.read_csv(path, dtype=str, keep_default_na=False))
        is_right = table["status"].isin(["done", "failed"]) & ~table["run_name"].duplicated()
        if not {"configuration", "hash", "seed"} <= {*table} or not is_right.all():
            raise ValueError(f"row {1 + is_right.argmin()} is of no run, or of the same as another")
    return table


def with_current_names(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table with today's names of settings as columns, and today's values.

    Parameters
    ----------
    table : DataFrame
        A table as its file has it, as text; an older version of the study may have written it.

    Returns
    -------
    DataFrame
        The same rows.
    """
    current = table.rename(columns={first: name for name, first in FIRST_NAMES.items()})
    for name in current.columns.intersection([*FIRST_VALUES]):
        current[name] = current[name].replace(current_values(name))
    if "circuit" in current:
        current["circuit"] = current["circuit"].map(current_circuit, na_action="ignore")
    return current


def _as_values(texts: pd.Series) -> pd.Series:
    """Return truth values or numbers, to the last bit, where all are such; "" is a missing one."""
    if set(texts) <= {"True", "False"}:
        return texts == "True"
    for kind in (int, float):
        try:
            return texts.map(lambda text, kind=kind: kind(text or "nan"))
        except ValueError:  # int() knows no "nan"
            continue
    return texts


def merge_rows(path: Path, rows: Sequence[Mapping[str, object]], order: Iterable[str] = ()) -> None:
    """Put rows into a table's CSV file; those that are there stay as they are, to the letter.

    The rows have the same keys, among them `run_name` and `status` (done or failed). One replaces
    the one of the same `run_name`, but one that failed replaces none that is done: a result stays
    until its successor has ended well. Rows stand in the `order` of the run names, and others
    behind them.
    """
    new = pd.DataFrame([{name: _as_text(x) for name, x in row.items()} for row in rows], dtype=str)
    with locked(path):
        old = _read(path) if path.exists() else new[:0]
        done = old.run_name[old.status == "done"]
        new = new[(new.status == "done") | ~new.run_name.isin(done)]
        kept = old[~old.run_name.isin(new.run_name)]
        # a parameter that is younger than a row had its neutral value then
        columns = [*new.columns, *old.columns.difference(new.columns, sort=False)]
        absent = {name: _as_text(NEUTRAL.get(name)) for name in columns}
        merged = pd.concat([new, kept])[columns].fillna(absent)
        place = {name: i for i, name in enumerate(order)}
        ranks = merged.run_name.map(lambda name: place.get(name, len(place)))
        with atomic(path) as part:
            merged.iloc[ranks.argsort(kind="stable")].to_csv(part, index=False)


def _as_text(value: object) -> str:
    """Return a value as it stands in the file: a float with all its digits."""
    return "" if value is None or value != value else str(value)


def locked(path: Path) -> FileLock:
    """Return a lock on a folder of tables: two sweeps at once may write the same one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.parent / ".lock")


def table_path(name: str | Path) -> Path:
    """Return the file of a table that is named, or given by its path."""
    return name if isinstance(name, Path) else results_dir() / f"{name}.csv"


def read_table(name: str | Path) -> pd.DataFrame:
    """Return the runs of a sweep that have ended well, as `read_rows` does.

    Parameters
    ----------
    name : str or Path
        A file in ``results/``, without its ending (the sweep's name and its data set's), or the
        path of a table.

    Raises
    ------
    TableError
        If there is no such table, or no run in it has ended well.
    """
    path = table_path(name)
    if not path.exists():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.csv")))
        raise TableError(f"{path}: no such table; run its sweep first. There are {there}.")
    table = read_rows(path)
    table = table[table.status == "done"]
    if not len(table):
        raise TableError(f"{path}: no run that has ended well. {RESTORE}")
    return table
