"""Compare the configurations of a sweep: means with 95 % intervals, paired differences, tests."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from shd_helpers.study.tables import COSTS, DATA, MEASURED, SCORES, TIMES

FEW = 5  # below so many units a standard deviation of their own says next to nothing
_ABOUT_RUNS = {"configuration", "run_name", "hash", "status", "error", *DATA, *MEASURED}


def summarise(
    table: pd.DataFrame, by: str | list[str] = "configuration", over: str = "seed"
) -> pd.DataFrame:
    """Return means and 95 % intervals of each configuration.

    The interval is that of a mean over units: over seeds, or over speakers, where a speaker's value
    is the mean over the seeds. It is Student's. Where a configuration has fewer than `FEW` units,
    the standard deviation and its degrees of freedom are pooled over all configurations of the
    table; it then assumes that they spread alike.

    Parameters
    ----------
    table : DataFrame
        From `tables.read_table`.
    by : str or list of str
        Column or columns that make a configuration.
    over : str
        Column of the units that the interval is over, for example ``"seed"`` or ``"held_out"``.

    Returns
    -------
    DataFrame
        Indexed by `by`, in the table's order: the parameters and axes that all runs of a
        configuration share; `seeds` and `units` (how many); for each accuracy its mean in percent
        under its name without ``_accuracy``, and half its 95 % interval under ``<name>_ci95``;
        costs and times (means). The accuracy `validation` hides the parameter of this name.
    """
    by = [by] if isinstance(by, str) else by
    groups = table.groupby(by, sort=False)
    shared = [c for c in table.columns.drop(by) if c not in _ABOUT_RUNS]
    shared = [c for c in shared if groups[c].nunique(dropna=False).max() == 1]
    columns = {name: groups[name].first() for name in shared}
    columns |= {"seeds": groups.seed.nunique(), "units": groups[over].nunique()}
    for score in (name for name in SCORES if name in table):
        values = 100 * table.groupby([*by, over], sort=False)[score].mean()
        name, of = score.removesuffix("_accuracy"), values.groupby(by, sort=False)
        columns |= {name: of.mean(), f"{name}_ci95": _half_widths(of)}
    columns |= {name: groups[name].mean() for name in (*COSTS, *TIMES) if name in table}
    return pd.DataFrame(columns)


def _half_widths(groups: "pd.api.typing.SeriesGroupBy") -> pd.Series:
    """Return half the 95 % interval of each group's mean."""
    n, sd = groups.count(), groups.std()
    freedom = (n - 1).clip(lower=0)
    if n[n > 0].min() < FEW:
        total = freedom.sum()
        sd = np.sqrt((freedom * sd**2).sum() / total) if total else np.nan
        freedom = total
    return stats.t.ppf(0.975, freedom) * sd / np.sqrt(n.where(n > 0))


def choose(table: pd.DataFrame, by: str | list[str] = "configuration") -> pd.DataFrame:
    """Return the rows of the configuration with the best mean validation accuracy.

    Only for these is a test score to be shown. A configuration of which a run failed is not in the
    running, for a mean over fewer runs is more often high by luck; the first of equals wins.

    Parameters
    ----------
    table : DataFrame
        From `sweeps.runner.run_sweep` or `tables.read_table`.
    by : str or list of str
        Column or columns that make a configuration.
    """
    done = table[(table.status == "done") & table.validation_accuracy.notna()]
    if not len(done):
        return done
    groups = done.groupby(by, sort=False)
    whole = groups.size() == groups.size().max()
    return groups.get_group(groups.validation_accuracy.mean()[whole].idxmax())


class Difference(NamedTuple):
    """A paired difference in percent points, a - b."""

    mean: float
    ci95: float  # half its 95 % interval
    p: float  # two-sided, that there is no difference
    excluded_loss: float  # one-sided, 95 %: a is not worse than b by more than this


def difference(a: pd.DataFrame, b: pd.DataFrame, column: str, over: str = "seed") -> Difference:
    """Compare two configurations, paired by seed or by another unit.

    Parameters
    ----------
    a, b : DataFrame
        The runs of one configuration each, from `tables.read_table`.
    column : str
        An accuracy.
    over : str
        Column of the units that are paired, as for `summarise`; seeds are averaged within each.

    Raises
    ------
    ValueError
        If the runs are not the same pairs of unit and seed, or fewer than two units.
    """
    first, second = _paired(a, b, column, over)
    test = stats.ttest_rel(first, second)
    interval = test.confidence_interval(0.95)
    one_sided = stats.ttest_rel(first, second, alternative="greater").confidence_interval(0.95)
    mean = float(np.mean(first - second))
    half = float(interval.high - interval.low) / 2
    return Difference(mean, half, float(test.pvalue), -float(one_sided.low))


def contrasts(
    table: pd.DataFrame, pairs: Sequence[Sequence[str]], column: str, over: str = "speaker"
) -> pd.DataFrame:
    """Compare pairs of inputs, paired by speaker, with the seeds that both have.

    Parameters
    ----------
    table : DataFrame
        With `input`, `seed`, the unit's column and accuracies: from `speaker_accuracies`.
    pairs : sequence of pair
        Names of inputs; the second is subtracted from the first.
    column, over
        As for `difference`.

    Returns
    -------
    DataFrame
        Indexed by the pairs, with the columns of `Difference` and `p_holm`, adjusted for all of
        them.
    """
    found = []
    for names in pairs:
        first, second = (table[table.input == name] for name in names)
        common = set(first.seed) & set(second.seed)
        first, second = (runs[runs.seed.isin(common)] for runs in (first, second))
        found.append(difference(first, second, column, over))
    index = pd.MultiIndex.from_tuples([tuple(pair) for pair in pairs], names=("input", "against"))
    return pd.DataFrame(found, index=index).assign(p_holm=holm([each.p for each in found]))


def _paired(
    a: pd.DataFrame, b: pd.DataFrame, column: str, over: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return a value in percent of each unit, in the same order."""
    keys = [over] if over == "seed" else [over, "seed"]
    first, second = (100 * runs.set_index(keys)[column].sort_index() for runs in (a, b))
    if not first.index.equals(second.index) or not first.index.is_unique:
        raise ValueError(f"not paired: {keys} are {[*first.index]} and {[*second.index]}")
    first, second = (values.groupby(level=over).mean().to_numpy() for values in (first, second))
    if len(first) < 2:
        raise ValueError(f"{len(first)} {over}: a difference needs two at least")
    return first, second


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return p-values adjusted for having made several tests (Holm 1979).

    Parameters
    ----------
    p : sequence of float
        Of all tests, in any order.

    Returns
    -------
    ndarray
        In the same order; below 0.05 where the family of tests finds something at 5 %.
    """
    p = np.asarray(p, float)
    order = p.argsort()
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return adjusted


def is_on_front(
    cost: Sequence[float] | np.ndarray, accuracy: Sequence[float] | np.ndarray
) -> np.ndarray:
    """Tell for each point whether no other is both cheaper and as accurate (Pareto front).

    Parameters
    ----------
    cost, accuracy : sequence of float
        Of each point; equal points are on the front together.

    Returns
    -------
    ndarray
        Booleans, in the given order.
    """
    cost, accuracy = np.asarray(cost), np.asarray(accuracy)
    no_worse = (cost <= cost[:, None]) & (accuracy >= accuracy[:, None])
    better = (cost < cost[:, None]) | (accuracy > accuracy[:, None])
    return ~np.any(no_worse & better, axis=1)
