"""Compare the configurations of a sweep: means with 95 % intervals, paired differences, tests."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize, stats

from shd_helpers.study.tables import COSTS, DATA, EVIDENCE, MEASURED, PROVENANCE, SCORES, TIMES

FEW = 3  # below so many units a standard deviation of their own says next to nothing
_ABOUT_RUNS = {"configuration", "run_name", "hash", "status", "error"}
_ABOUT_RUNS |= {*DATA, EVIDENCE, *PROVENANCE, *MEASURED}


def interval(values: np.ndarray, alpha: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Return the means of designs (..., units, seeds), and half their intervals, over both: (...).

    One seed sets the first weights and the order of words in the runs of all units, so seeds cross
    the units (speakers): more speakers don't average a seed's main effect away. With A and B the
    mean squares of units and of seeds, and C that of the residual, the variance of the mean is
    (A + B - C) / runs, taken to be neither below A's part nor below B's: the interval is never
    narrower than that over units alone. The quantiles of Student's t for units and for seeds are
    averaged with the weights A and B (Cochran and Cox 1957), for Satterthwaite's degrees of freedom
    cover too little with two seeds. With one seed it is Student's interval over units, which leaves
    out what the seed does: report it as "over speakers only; one seed". docs/glossary.md lists how
    often an interval contains the true value.
    """
    n, m = values.shape[-2:]
    mean = values.mean((-2, -1))
    of_units, of_seeds = values.mean(-1), values.mean(-2)
    a, b = m * of_units.var(-1, ddof=1), np.zeros_like(mean)
    square = a
    if m > 1:
        b = n * of_seeds.var(-1, ddof=1)
        rest = values - of_units[..., None] - of_seeds[..., None, :] + mean[..., None, None]
        square = np.maximum(np.maximum(a, b), a + b - (rest**2).sum((-2, -1)) / (n - 1) / (m - 1))
    t = [stats.t.isf(alpha / 2, max(freedom, 1)) for freedom in (n - 1, m - 1)]
    weight = b / np.maximum(a + b, np.finfo(float).tiny)  # of the seeds
    return mean, np.sqrt(square / (n * m)) * (t[0] + weight * (t[1] - t[0]))


def summarize(
    table: pd.DataFrame, by: str | list[str] = "configuration", over: str = "seed"
) -> pd.DataFrame:
    """Return means and 95 % intervals of each configuration.

    The interval is that of a mean over units: over seeds, or over speakers. Where each speaker has
    the same seeds it is over both (see `interval`). A configuration with fewer than `FEW` units has
    no spread of its own: it takes the standard deviation of its whole table, pooled over all
    configurations as if they spread alike, with their degrees of freedom.

    Parameters
    ----------
    by : str or list of str
        Column or columns that make a configuration.
    over : str
        Column of the units that the interval is over, for example ``"seed"`` or ``"held_out"``.

    Returns
    -------
    DataFrame
        Indexed by `by`, in the table's order: the parameters and axes that all runs of a
        configuration share; `seeds` and `units` (how many), and whether its intervals are `pooled`;
        for each accuracy its mean in percent under its name without ``_accuracy``, and half its
        95 % interval under ``<name>_ci95``; costs and times (means). The accuracy `validation`
        hides the parameter of this name.
    """
    by = [by] if isinstance(by, str) else by
    groups = table.groupby(by, sort=False)
    shared = [c for c in table.columns.drop(by) if c not in _ABOUT_RUNS]
    shared = [c for c in shared if groups[c].nunique(dropna=False).max() == 1]
    columns = {name: groups[name].first() for name in shared}
    columns |= {"seeds": groups.seed.nunique(), "units": groups[over].nunique()}
    columns["pooled"] = columns["units"] < FEW
    for score in (name for name in SCORES if name in table):
        designs = [_design(runs, score, over) for _, runs in groups]
        name, index = score.removesuffix("_accuracy"), groups.size().index
        columns[name] = pd.Series([of.mean() if of.size else np.nan for of in designs], index)
        own = [interval(of)[1] if len(of) > 1 else np.nan for of in designs]
        columns[f"{name}_ci95"] = pd.Series(own, index).mask(columns["pooled"], _pooled(designs))
    columns |= {name: groups[name].mean() for name in (*COSTS, *TIMES) if name in table}
    return pd.DataFrame(columns)


def _design(runs: pd.DataFrame, column: str, over: str) -> np.ndarray:
    """Return an accuracy in percent, (units, seeds); (units, 1) of means if they don't cross."""
    keys = [*dict.fromkeys((over, "seed"))]
    return _crossed(100 * runs.groupby(keys)[column].mean().dropna(), over)


def _crossed(values: pd.Series, over: str) -> np.ndarray:
    wide = values.to_frame() if over == "seed" or values.empty else values.unstack("seed")
    return (wide if wide.notna().all(axis=None) else wide.mean(axis=1).to_frame()).to_numpy()


def _pooled(designs: Sequence[np.ndarray]) -> np.ndarray:
    """Return half the 95 % interval of each mean over units, with one spread for all."""
    n = np.array([len(of) for of in designs])
    freedom = (n - 1).clip(min=0)
    squares = sum(((of.mean(1) - of.mean()) ** 2).sum() for of in designs if len(of))
    total = freedom.sum()
    sd = np.sqrt(squares / total) if total else np.nan
    return stats.t.ppf(0.975, total) * sd / np.sqrt(np.where(n, n, np.nan))


class Difference(NamedTuple):
    """A paired difference in percent points, a - b."""

    mean: float
    ci95: float  # half its 95 % interval
    p: float  # two-sided, that there is no difference
    excluded_loss: float  # one-sided, 95 %: a is not worse than b by more than this


def difference(a: pd.DataFrame, b: pd.DataFrame, column: str, over: str = "seed") -> Difference:
    """Compare the runs of two configurations in an accuracy, paired by seed or by the units `over`.

    Intervals and p are as for `summarize`. ValueError, if the runs are not the same pairs of unit
    and seed, or fewer than two units.
    """
    return _difference(_paired(a, b, column, over))


def _difference(values: np.ndarray) -> Difference:
    """Compare by the paired differences, (units, seeds)."""
    mean, half = map(float, interval(values))
    p = float("nan")  # all pairs differ alike
    if half > 0:
        p = optimize.brentq(lambda alpha: interval(values, alpha)[1] - abs(mean), 1e-30, 1)
    return Difference(mean, half, p, float(interval(values, 0.1)[1]) - mean)


def contrasts(
    table: pd.DataFrame, pairs: Sequence[Sequence[str]], column: str, over: str = "speaker"
) -> pd.DataFrame:
    """Compare pairs of inputs, paired by speaker, with the seeds that both have; see `difference`.

    Parameters
    ----------
    table : DataFrame
        With `input`, `seed`, the unit's column and accuracies: from `speaker_accuracies`.
    pairs : sequence of pair
        Names of inputs; the second is subtracted from the first.

    Returns
    -------
    DataFrame
        Indexed by the pairs, with the columns of `Difference`, and two adjusted for all of them:
        `p_holm`, and `ci_holm`, half an interval as wide as the pair's place in Holm's order asks.
    """
    values = []
    for names in pairs:
        first, second = (table[table.input == name] for name in names)
        common = set(first.seed) & set(second.seed)
        first, second = (runs[runs.seed.isin(common)] for runs in (first, second))
        values.append(_paired(first, second, column, over))
    index = pd.MultiIndex.from_tuples([tuple(pair) for pair in pairs], names=("input", "against"))
    table = pd.DataFrame([_difference(each) for each in values], index=index)
    alphas = 0.05 / (len(table) + 1 - table.p.rank(method="first", na_option="bottom"))
    halves = [float(interval(*each)[1]) for each in zip(values, alphas, strict=True)]
    return table.assign(p_holm=holm(table.p), ci_holm=halves)


def _paired(a: pd.DataFrame, b: pd.DataFrame, column: str, over: str) -> np.ndarray:
    """Return the differences in percent points, as `_design` does."""
    keys = [*dict.fromkeys((over, "seed"))]
    first, second = (100 * runs.set_index(keys)[column].sort_index() for runs in (a, b))
    if not first.index.equals(second.index) or not first.index.is_unique:
        raise ValueError(f"not paired: {keys} are {[*first.index]} and {[*second.index]}")
    values = _crossed(first - second, over)
    if len(values) < 2:
        raise ValueError(f"{len(values)} {over}: a difference needs two at least")
    return values


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return p-values adjusted for having made several tests (Holm 1979), in the same order.

    One below 0.05 says that the family of tests finds something at 5 %.
    """
    p = np.asarray(p, float)
    order = p.argsort()
    adjusted = np.empty(len(p))
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)).clip(max=1)
    return adjusted
