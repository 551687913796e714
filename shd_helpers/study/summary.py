"""Summarize the configurations of a sweep: means with 95 % intervals, settings and costs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import stats

from shd_helpers.study.tables import AUGMENTED, COSTS, DATA, MEASURED, PROVENANCE, SCORES, TIMES
from shd_judge import interval
from shd_judge.statistics import crossed, unit_and_seed

FEW = 3  # with fewer experimental units, a standard deviation of their own says next to nothing
# Columns of a table that aren't settings.
_ABOUT_RUNS = {
    "configuration",
    "run_name",
    "hash",
    "status",
    "error",
    *AUGMENTED,
    *DATA,
    *PROVENANCE,
    *MEASURED,
}


def summarize(
    table: pd.DataFrame, by: str | list[str] = "configuration", over: str = "seed"
) -> pd.DataFrame:
    """Return means and 95 % intervals of each configuration of a sweep.

    The interval is that of a mean over units: over seeds, or over speakers. Where each speaker has
    the same seeds it is over both (see `interval`). A configuration with fewer than `FEW` units
    uses the standard deviation of its whole table. That is pooled over all configurations, with
    their degrees of freedom, assuming that the spread is the same in all.
    """
    by = [by] if isinstance(by, str) else by
    groups = table.groupby(by, sort=False)
    columns: dict[str, pd.Series] = {}
    for name in table.columns.drop(by):
        if name not in _ABOUT_RUNS and groups[name].nunique(dropna=False).max() == 1:
            columns[name] = groups[name].first()
    columns["seeds"] = groups.seed.nunique()
    columns["units"] = groups[over].nunique()
    columns["pooled"] = columns["units"] < FEW
    for score in SCORES:
        if score in table:
            designs = [_design(runs, score, over) for _, runs in groups]
            means = [design.mean() if design.size else np.nan for design in designs]
            halves = [interval(design)[1] if len(design) > 1 else np.nan for design in designs]
            index = groups.size().index
            name = score.removesuffix("_accuracy")
            columns[name] = pd.Series(means, index)
            own = pd.Series(halves, index)
            columns[f"{name}_ci95"] = own.mask(columns["pooled"], _pooled(designs))
    for name in (*COSTS, *TIMES):
        if name in table:
            columns[name] = groups[name].mean()
    return pd.DataFrame(columns)


def _design(runs: pd.DataFrame, column: str, over: str) -> np.ndarray:
    """Return an accuracy of each unit and seed in percent, (units, seeds).

    It is (units, 1) if the units are the seeds, or not all units have the same seeds.
    """
    means = runs.groupby(unit_and_seed(over))[column].mean()
    return crossed(100 * means.dropna(), over)


def _pooled(designs: Sequence[np.ndarray]) -> np.ndarray:
    """Return half the 95 % interval of each mean over units, with one spread for all designs."""
    n_units = np.array([len(design) for design in designs])
    freedom = (n_units - 1).clip(min=0)
    squares = sum(((each.mean(1) - each.mean()) ** 2).sum() for each in designs if len(each))
    total_freedom = freedom.sum()
    spread = np.sqrt(squares / total_freedom) if total_freedom else np.nan
    t = stats.t.ppf(0.975, total_freedom)
    return t * spread / np.sqrt(np.where(n_units > 0, n_units, np.nan))
