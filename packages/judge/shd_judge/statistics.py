"""Means with 95 % intervals, paired differences, and tests that are adjusted for their number.

An *experimental unit* is what an interval is over: a speaker, or a seed. Where every speaker has
runs with the same seeds, the runs form a rectangle, (speakers, seeds), and the interval is over
both: see `interval`.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize, stats

LOWEST_P = 1e-30  # no p-value is computed below this
# Percentage points. A computer's 0.7 - 0.6 and 0.8 - 0.7 differ in their last digits. An interval
# that is narrower than this comes from such digits alone, because one utterance of a million
# changes an accuracy by more.
ROUNDING = 1e-9
SHOWN = "shown"  # the verdict on a difference whose adjusted interval excludes 0
UNDECIDED = "undecided"


def interval(values: np.ndarray, alpha: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Return a mean over experimental units (such as speakers) and seeds, and half its interval.

    One seed sets the initial weights and the order of utterances in the runs of all experimental
    units. So the seeds cross the units, as in a two-way analysis of variance, and the main effect
    of a seed doesn't become smaller with more speakers. With the mean squares of units, of seeds
    and of the residual, the variance of the mean is (units + seeds - residual) / runs.

    Three details:

    * The variance is taken to be neither below (units / runs) nor below (seeds / runs), so the
      interval is never narrower than that over units alone.
    * The quantiles of Student's t for units and for seeds are averaged, weighted by the two mean
      squares [1]_. Satterthwaite's degrees of freedom give intervals that contain the true value
      too rarely with two seeds.
    * With one seed it is Student's interval over units, which leaves out what the seed does: report
      it as "over speakers only; one seed".

    In simulations with 6 to 12 units and 2 to 5 seeds, 94 to 99 % of such intervals contain the
    true value.

    Parameters
    ----------
    values : (..., units, seeds) array
        One value for each run, on any scale, such as percent. At least two experimental units.
    alpha : float
        How often an interval may miss the true value: 0.05 gives a 95 % interval.

    Returns
    -------
    mean : (...,) array
        The mean over experimental units and seeds, on the scale of the values.
    half : (...,) array
        Half the width of the confidence interval, on the scale of the values.

    References
    ----------
    .. [1] W. G. Cochran and G. M. Cox, Experimental Designs, 2nd edition, Wiley, 1957.
    """
    n_units, n_seeds = values.shape[-2:]
    squares = _mean_squares(values)
    lowest = np.maximum(squares.units, squares.seeds)
    runs_times_variance = np.maximum(lowest, squares.units + squares.seeds - squares.residual)
    t_units = _student_t(alpha, n_units - 1)
    t_seeds = _student_t(alpha, n_seeds - 1)
    tiny = np.finfo(float).tiny  # where all values are equal, and both squares 0
    seeds_weight = squares.seeds / np.maximum(squares.units + squares.seeds, tiny)
    t = t_units + seeds_weight * (t_seeds - t_units)
    half = np.sqrt(runs_times_variance / (n_units * n_seeds)) * t
    return values.mean((-2, -1)), half


class _MeanSquares(NamedTuple):
    """The mean squares of a two-way analysis of variance, each (...,)."""

    units: np.ndarray
    seeds: np.ndarray
    residual: np.ndarray


def _mean_squares(values: np.ndarray) -> _MeanSquares:
    """Return the mean squares of (..., units, seeds) values; with one seed, those of units only."""
    n_units, n_seeds = values.shape[-2:]
    mean = values.mean((-2, -1))
    unit_means = values.mean(-1)
    seed_means = values.mean(-2)
    of_units = n_seeds * unit_means.var(-1, ddof=1)
    if n_seeds == 1:
        return _MeanSquares(of_units, np.zeros_like(mean), np.zeros_like(mean))
    of_seeds = n_units * seed_means.var(-1, ddof=1)
    residuals = values - unit_means[..., None] - seed_means[..., None, :] + mean[..., None, None]
    of_residual = (residuals**2).sum((-2, -1)) / (n_units - 1) / (n_seeds - 1)
    return _MeanSquares(of_units, of_seeds, of_residual)


def _student_t(alpha: float, freedom: int) -> float:
    """Return the two-sided quantile of Student's t, for one degree of freedom at least."""
    return stats.t.isf(alpha / 2, max(freedom, 1))


def unit_and_seed(over: str) -> list[str]:
    """Return the columns that identify a run: the unit's and the seed's, which may be the same."""
    return ["seed"] if over == "seed" else [over, "seed"]


def crossed(values: pd.Series, over: str) -> np.ndarray:
    """Return values by unit and seed as an array (units, seeds).

    It is (units, 1), of the means over seeds, where not all units have the same seeds.
    """
    if over == "seed" or values.empty:
        return values.to_frame().to_numpy()
    by_seed = values.unstack("seed")
    if by_seed.notna().all(axis=None):
        return by_seed.to_numpy()
    return by_seed.mean(axis=1).to_frame().to_numpy()


class Difference(NamedTuple):
    """A paired difference of accuracies, a - b, in percentage points."""

    mean: float
    ci95: float  # half its 95 % interval; 0 without any spread, as where all pairs differ alike
    # Two-sided, of the hypothesis that there is no difference. `LOWEST_P` stands for all that are
    # lower. NaN where there is no spread to compare with, or a value wasn't measured.
    p: float
    excluded_loss: float  # one-sided, 95 %: a is not worse than b by more than this


def difference(a: pd.DataFrame, b: pd.DataFrame, column: str, over: str = "seed") -> Difference:
    """Compare two configurations in an accuracy, paired by seed or by another unit.

    Parameters
    ----------
    a, b : DataFrame
        The runs of each, with the same units and seeds.
    column : str
        The accuracy, a fraction.
    over : str
        Column of the units.

    Returns
    -------
    Difference
        a - b in percentage points, with its interval and p.

    Raises
    ------
    ValueError
        If the runs are not the same pairs of unit and seed, or there are fewer than two units.
    """
    return _difference(_paired(a, b, column, over))


def _difference(values: np.ndarray) -> Difference:
    """Describe paired differences in percentage points, (units, seeds)."""
    mean, half = (float(each) for each in interval(values))
    if half <= ROUNDING:
        return Difference(mean, ci95=0.0, p=float("nan"), excluded_loss=-mean)
    one_sided_half = float(interval(values, 0.1)[1])  # 5 % on each side
    return Difference(mean, half, _p_value(values, mean), one_sided_half - mean)


def _p_value(values: np.ndarray, mean: float) -> float:
    """Return the level at which the interval of paired differences ends at 0.

    The lower the level, the wider the interval. An interval at `LOWEST_P` that still excludes 0
    gives this p-value. It is NaN where a value wasn't measured.
    """
    if np.isnan(mean):
        return float("nan")

    def reach_beyond_zero(alpha: float) -> float:
        return float(interval(values, alpha)[1]) - abs(mean)

    if reach_beyond_zero(LOWEST_P) < 0:
        return LOWEST_P
    return optimize.brentq(reach_beyond_zero, LOWEST_P, 1)


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
    column : str
        The accuracy, a fraction.
    over : str
        Column of the units.

    Returns
    -------
    DataFrame
        Indexed by the pairs (`input`, `against`), with the columns of `Difference`, and three that
        are adjusted for the number of pairs: `p_holm`, `ci_holm` (half the adjusted interval) and
        `verdict`, ``"shown"`` if that interval excludes 0 and otherwise ``"undecided"``.

    Raises
    ------
    ValueError
        As `difference` does.
    """
    values = []
    for first_name, second_name in pairs:
        first = table[table.input == first_name]
        second = table[table.input == second_name]
        common = set(first.seed) & set(second.seed)
        first = first[first.seed.isin(common)]
        second = second[second.seed.isin(common)]
        values.append(_paired(first, second, column, over))
    index = pd.MultiIndex.from_tuples([tuple(pair) for pair in pairs], names=("input", "against"))
    return _adjusted(values, index)


def weighted_contrasts(
    table: pd.DataFrame,
    weights: Mapping[str, Mapping[str, float]],
    column: str,
    over: str = "speaker",
) -> pd.DataFrame:
    """Compare more than two inputs at once, such as the two rows of a factorial design.

    A contrast is a sum of mean accuracies, each with a weight, for example the mean of two inputs
    minus the mean of two others. It is computed for each speaker and seed, and then treated as a
    paired difference is.

    Parameters
    ----------
    table : DataFrame
        With `input`, `seed`, the unit's column and accuracies. Each input has the same units and
        seeds.
    weights : mapping
        For each contrast's name, the weight of each input; inputs that are absent weigh 0. The
        weights of a contrast add up to 0.
    column : str
        The accuracy, a fraction.
    over : str
        Column of the units.

    Returns
    -------
    DataFrame
        Indexed by the contrasts' names, with the columns of `contrasts`. The p-values are adjusted
        for the number of contrasts.

    Raises
    ------
    ValueError
        If the weights of a contrast don't add up to 0, an input lacks a unit or a seed that another
        input has, or there are fewer than two units.
    """
    keys = unit_and_seed(over)
    by_input = 100 * table.set_index([*keys, "input"])[column].unstack("input")
    values = []
    for name, weight_of in weights.items():
        if not np.isclose(sum(weight_of.values()), 0):
            raise ValueError(f"{name}: weights must add up to 0, and are {dict(weight_of)}")
        absent = [each for each in weight_of if each not in by_input]
        if absent:
            raise ValueError(f"{name}: no runs of {absent}")
        used = by_input[[*weight_of]].dropna(how="all")
        if used.isna().any(axis=None):
            raise ValueError(f"{name}: not every input has the same {keys}")
        values.append(crossed((used * pd.Series(weight_of)).sum(axis=1), over))
        _check_units(values[-1], over)
    return _adjusted(values, pd.Index(weights, name="contrast"))


def _adjusted(values: Sequence[np.ndarray], index: pd.Index) -> pd.DataFrame:
    """Describe differences in percentage points, each (units, seeds), adjusted for their number.

    The adjusted interval and the verdict agree: an interval excludes 0 if and only if its adjusted
    p-value is below 0.05.
    """
    result = pd.DataFrame([_difference(each) for each in values], index=index)
    halves = [
        float(interval(each, 0.05 / factor)[1])
        for each, factor in zip(values, holm_factors(result.p), strict=True)
    ]
    verdict = np.where(result["mean"].abs() > halves, SHOWN, UNDECIDED)
    verdict[result.p.isna()] = UNDECIDED
    return result.assign(p_holm=holm(result.p), ci_holm=halves, verdict=verdict)


def _paired(a: pd.DataFrame, b: pd.DataFrame, column: str, over: str) -> np.ndarray:
    """Return the differences a - b in percentage points, as `crossed` does."""
    keys = unit_and_seed(over)
    first = 100 * a.set_index(keys)[column].sort_index()
    second = 100 * b.set_index(keys)[column].sort_index()
    if not first.index.equals(second.index) or not first.index.is_unique:
        raise ValueError(
            f"not paired: the two have different runs by {keys}, {[*first.index]} and "
            f"{[*second.index]}. Give those that both have"
        )
    values = crossed(first - second, over)
    _check_units(values, over)
    return values


def _check_units(values: np.ndarray, over: str) -> None:
    """Refuse differences of fewer than two units, which have no interval."""
    if len(values) < 2:
        raise ValueError(f"{over}: there is only {len(values)}, but a difference needs at least 2")


def holm(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Adjust p-values for having made several tests.

    By Holm's method [1]_. The chance that any true tie has an adjusted p-value below 0.05 is at
    most 5 %, however many tests there are.

    Parameters
    ----------
    p : (tests,) array
        The p-value of each test.

    Returns
    -------
    (tests,) array
        The adjusted p-values, in the same order.

    References
    ----------
    .. [1] S. Holm, A simple sequentially rejective multiple test procedure, Scandinavian Journal of
       Statistics 6, 1979.
    """
    p = np.asarray(p, float)
    return (p * holm_factors(p)).clip(max=1)


def holm_factors(p: Sequence[float] | np.ndarray) -> np.ndarray:
    """Return by how much Holm's method multiplies each p-value, (tests,).

    That is the number of tests for the smallest p, and one less for each next one. A test can't be
    more significant than one with a smaller p, so its factor may have to be larger than that.
    """
    p = np.asarray(p, float)
    order = p.argsort()
    by_rank = np.arange(len(p), 0, -1)
    factors = np.empty(len(p))
    factors[order] = np.maximum.accumulate(p[order] * by_rank) / p[order]
    is_missing = np.isnan(p)
    factors[is_missing] = len(p)
    return factors
