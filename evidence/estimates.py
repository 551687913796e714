"""Estimate accuracies and differences over people and networks, each with an interval.

People and networks are the random factors. Each plan's text says which variances its intervals
have. Tables of accuracies have a row for each fold and person, and a column for each network of a
fold.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from shd_judge.statistics import SHOWN, UNDECIDED, holm, holm_factors

SEEDS_FREEDOM = 20  # of the variance over seeds: two cells, five folds, three seeds


class Variance(NamedTuple):
    """A part of a squared standard error, and its degrees of freedom."""

    value: float
    freedom: float


class Estimate(NamedTuple):
    """A mean or a difference of accuracies, as fractions, and its standard error."""

    mean: float
    error: float
    freedom: float
    n_people: int

    def half(self, alpha: float = 0.05) -> float:
        """Return half the two-sided interval."""
        return float(stats.t.isf(alpha / 2, self.freedom) * self.error)

    @property
    def p(self) -> float:
        """Return the two-sided p-value of the hypothesis that the mean is 0."""
        return float(2 * stats.t.sf(abs(self.mean) / self.error, self.freedom))


def mean_over_people(values: pd.Series, *of_networks: Variance) -> Estimate:
    """Return the mean over people; their variance and those of networks make its error."""
    of_people = Variance(values.var(ddof=1) / len(values), len(values) - 1)
    parts = [part for part in (of_people, *of_networks) if part.value > 0]
    variance = sum(part.value for part in parts)
    freedom = variance**2 / sum(part.value**2 / part.freedom for part in parts)
    return Estimate(float(values.mean()), float(np.sqrt(variance)), float(freedom), len(values))


# --- One variance over seeds for all cells --------------------------------------------------------


def estimate(
    values: pd.Series, n_networks: Sequence[int], seeds_variance: float | None
) -> Estimate:
    """Return the mean over people, with the error that the plan `people` describes.

    `n_networks` has the number of networks of each cell that the values are of: one cell for an
    accuracy, two for a difference. Without a variance over seeds, the error is that of the folds'
    means, as in a t-test of five values.
    """
    if seeds_variance is None:
        folds = values.groupby("fold").mean()
        return Estimate(float(values.mean()), float(folds.sem()), len(folds) - 1, len(values))
    of_seeds = seeds_variance * sum(1 / n for n in n_networks)
    return mean_over_people(values, Variance(of_seeds, SEEDS_FREEDOM))


def n_networks_of(accuracies: pd.DataFrame) -> int:
    """Return the number of networks of a table: folds times seeds."""
    return accuracies.index.get_level_values("fold").nunique() * len(accuracies.columns)


def contrast(first: pd.DataFrame, second: pd.DataFrame, seeds_variance: float | None) -> Estimate:
    """Return the difference of two cells over the people whom both were tested on."""
    common = first.index.intersection(second.index)
    first, second = first.loc[common], second.loc[common]
    values = first.mean(axis=1) - second.mean(axis=1)
    return estimate(values, [n_networks_of(first), n_networks_of(second)], seeds_variance)


def spread_of_folds(
    first: pd.Series, reference: pd.DataFrame, seeds_variance: float
) -> dict[str, float]:
    """Test whether the folds of a cell differ by more than the variance over seeds explains.

    All networks of a fold are tested on the same people. So the test is of the difference between
    the cell's `first` network and other networks of the fold, the `reference`. The variance of the
    folds' means comes from people and from both kinds of networks. Its ratio to what is expected
    has an F-distribution if networks vary as those of the primary cells do.
    """
    differences = (first - reference.mean(axis=1)).groupby("fold")
    of_folds = differences.mean().var(ddof=1)
    of_people = (differences.var(ddof=1) / differences.size()).mean()
    of_seeds = seeds_variance * (1 + 1 / reference.shape[1])
    expected = of_people + of_seeds
    freedom = SEEDS_FREEDOM * (expected / of_seeds) ** 2
    ratio = of_folds / expected
    return {
        "sd_folds": 100 * of_folds**0.5,
        "sd_expected": 100 * expected**0.5,
        "ratio": ratio,
        "p": stats.f.sf(ratio, differences.ngroups - 1, freedom),
    }


# --- Each cell has a variance of its own ----------------------------------------------------------


def seeds_estimate(plus: Sequence[pd.DataFrame], minus: Sequence[pd.DataFrame]) -> Estimate:
    """Return a sum of cells minus others, (people, seeds), each with its own variance of seeds."""
    parts = []
    for accuracies in (*plus, *minus):
        by_fold = accuracies.groupby("fold").mean()
        freedom = len(by_fold) * (len(by_fold.columns) - 1)
        parts.append(Variance(by_fold.var(axis=1, ddof=1).mean() / by_fold.size, freedom))
    return mean_over_people(difference(plus, minus).mean(axis=1), *parts)


def difference(plus: Sequence[pd.DataFrame], minus: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return a sum of tables minus others, over the people that all of them have."""
    return (sum(plus[1:], plus[0]) - sum(minus[1:], minus[0])).dropna()


# --- Folds and recipes cross ----------------------------------------------------------------------


def residual_mean_square(by_fold: pd.DataFrame) -> Variance:
    """Return the mean square of what neither fold nor recipe explains, of (folds, recipes)."""
    n_folds, n_recipes = by_fold.shape
    residuals = by_fold.sub(by_fold.mean(axis=1), axis=0) - by_fold.mean() + by_fold.mean().mean()
    freedom = (n_folds - 1) * (n_recipes - 1)
    return Variance(float((residuals**2).to_numpy().sum() / freedom), freedom)


def crossed_estimates(differences: pd.DataFrame) -> dict[str, Estimate]:
    """Return the estimate of each recipe, of their mean, and of the mean of recipes at random.

    `differences` has a row for each fold and person and a column for each recipe.
    """
    by_fold = differences.groupby("fold").mean()
    n_folds, n_recipes = by_fold.shape
    residual = residual_mean_square(by_fold)
    one = Variance(residual.value / n_folds, residual.freedom)
    found = {recipe: mean_over_people(differences[recipe], one) for recipe in differences}
    over_recipes = differences.mean(axis=1)
    several = Variance(residual.value / by_fold.size, residual.freedom)
    found["mean"] = mean_over_people(over_recipes, several)
    of_recipes = Variance(max(by_fold.mean().var() / n_recipes, several.value), n_recipes - 1)
    found["mean, recipes at random"] = mean_over_people(over_recipes, of_recipes)
    return found


def chosen_estimate(
    first: pd.DataFrame, second: pd.DataFrame, validation: Mapping[str, pd.DataFrame]
) -> Estimate:
    """Return the difference if each fold has the recipe that is best for its validation people.

    `first` and `second` are the accuracies of two inputs, (people, recipes), and `validation` has
    those of the validation people, (folds, recipes), of `first` and of `second`.
    """
    residual = residual_mean_square((first - second).dropna().groupby("fold").mean())
    columns = []
    for accuracies, name in ((first, "first"), (second, "second")):
        best = validation[name].idxmax(axis=1)
        folds = accuracies.index.get_level_values("fold")
        parts = [accuracies.loc[folds == fold, recipe] for fold, recipe in best.items()]
        columns.append(pd.concat(parts))
    n_folds = len(validation["first"])
    return mean_over_people(
        columns[0] - columns[1], Variance(residual.value / n_folds, residual.freedom)
    )


# --- Verdicts -------------------------------------------------------------------------------------


def with_verdicts(table: pd.DataFrame, is_judged: np.ndarray | None = None) -> pd.DataFrame:
    """Return a family's rows, whose column `found` has estimates, with intervals and verdicts.

    They are in percentage points, and adjusted by Holm's method for the rows that are judged
    (default: all). The bounds on losses are adjusted for as many.
    """
    found = list(table.pop("found"))
    p = np.array([each.p for each in found])
    is_judged = np.ones(len(p), bool) if is_judged is None else is_judged
    factors = np.ones(len(p))
    factors[is_judged] = holm_factors(p[is_judged])
    adjusted = np.full(len(p), np.nan)
    adjusted[is_judged] = holm(p[is_judged])
    table["people"] = [each.n_people for each in found]
    table["difference"] = [100 * each.mean for each in found]
    table["ci95"] = [100 * each.half() for each in found]
    table["ci95_adjusted"] = [
        100 * each.half(0.05 / factor) for each, factor in zip(found, factors, strict=True)
    ]
    table["p"] = p
    table["p_adjusted"] = adjusted
    verdicts = np.where(adjusted < 0.05, SHOWN, UNDECIDED)
    table["verdict"] = np.where(is_judged, verdicts, "")
    one_sided = 2 * 0.05 / is_judged.sum()
    table["excluded_loss"] = [100 * (each.half(one_sided) - each.mean) for each in found]
    return table
