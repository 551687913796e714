"""Rows of a table of runs: made of run folders, and merged into the table's file."""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from shd_corpus.files import atomic
from shd_helpers.study.identity import run_hash
from shd_helpers.study.recipe import DEFAULTS
from shd_helpers.study.run_folder import read_info
from shd_helpers.study.tables import AGREEMENT, MEASURED, TIMES, locked, read_texts


def finished_run(folder: Path, wanted: str) -> dict[str, float | str] | None:
    """Return what a run folder says was measured, or None if the run is missing.

    A run with another hash is missing, and so is one that is damaged: a sweep then runs it again.
    A run whose network the settings don't build is missing, too: the description of that network
    counts in the hash of its `run.json`, and the settings alone have another hash.
    """
    try:
        info = read_info(folder)
        own_hash = run_hash(info["parameters"], info["data"])
        if info["hash"] != wanted or own_hash != wanted:
            return None
        return _measured(info) | provenance(info)
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def _measured(info: Mapping[str, Any]) -> dict[str, float | str]:
    """Return what a `run.json` says was measured; ValueError, if a value is impossible."""
    written: dict[str, Any] = {}
    for name, score in info["scores"].items():
        column = name if name == AGREEMENT else f"{name}_accuracy"
        written[column] = score
    written |= info.get("costs", {})
    for name in TIMES:
        written[name] = info["wall_s"][name.removesuffix("_s")]
    measured: dict[str, float | str] = {}
    for name in MEASURED:
        value = written.get(name)
        if value is None:
            value = math.nan
        elif not 0 <= value < math.inf:
            raise ValueError(f"{name} {value}: must be 0 or more, and finite")
        measured[name] = value
    return measured


def provenance(info: Mapping[str, Any]) -> dict[str, str]:
    """Return where and with which code a run was made."""
    packages = info.get("versions", {})
    return {
        "processor": info.get("processor", ""),
        "versions": " ".join(f"{name}={number}" for name, number in packages.items()),
        "commit": info.get("git_commit") or "",
    }


def merge_rows(path: Path, rows: Sequence[Mapping[str, object]], order: Iterable[str] = ()) -> None:
    """Put rows into a table's file; rows that are there stay as they are, to the letter.

    A row replaces that of the same `run_name`. But one that failed replaces none that is done: a
    result stays until a later run of the same name has ended well.
    """
    new = _as_texts(rows)
    with locked(path):
        old = read_texts(path) if path.exists() else new[:0]
        new = _without_failures_of_done_runs(new, old)
        merged = _fill_absent(_replace_rows(old, new))
        merged = _sort_by_run_name(merged, order)
        with atomic(path) as unfinished:
            merged.to_csv(unfinished, index=False)


def _as_texts(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Return rows as the file has them."""
    texts = [{name: _as_text(value) for name, value in row.items()} for row in rows]
    return pd.DataFrame(texts, dtype=str)


def _without_failures_of_done_runs(new: pd.DataFrame, old: pd.DataFrame) -> pd.DataFrame:
    """Return the new rows without those that failed and have an old row that is done."""
    done = old.run_name[old.status == "done"]
    return new[(new.status == "done") | ~new.run_name.isin(done)]


def _replace_rows(old: pd.DataFrame, new: pd.DataFrame) -> pd.DataFrame:
    """Return the new rows and those old ones whose run isn't among them; absent values are NaN.

    Columns that only old rows have come last.
    """
    remaining = old[~old.run_name.isin(new.run_name)]
    columns = [*new.columns, *old.columns.difference(new.columns, sort=False)]
    return pd.concat([new, remaining])[columns]


def _fill_absent(table: pd.DataFrame) -> pd.DataFrame:
    """Fill in the values of columns that a row lacks.

    A setting that was added after a row was written had its default in that run. Columns of what is
    measured stay empty.
    """
    absent = {name: _as_text(DEFAULTS.get(name)) for name in table.columns}
    return table.fillna(absent)


def _sort_by_run_name(table: pd.DataFrame, order: Iterable[str]) -> pd.DataFrame:
    """Return rows in the order of their run names, followed by the others as they were."""
    rank_of = {name: rank for rank, name in enumerate(order)}
    ranks = table.run_name.map(lambda name: rank_of.get(name, len(rank_of)))
    return table.iloc[ranks.argsort(kind="stable")]


def _as_text(value: object) -> str:
    """Return a value as the file has it: a float with all its digits, "" for None and NaN."""
    is_nan = value != value
    return "" if value is None or is_nan else str(value)
