"""Compute the tables of a plan in ``evidence/plans`` from its frozen answers.

The plan's text says what is estimated, and what each interval is over.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd

from evidence.people.tables import Estimate
from evidence.planned import CURVES, HELD_OUT, VALIDATION, networks_of, study, utterances_name
from shd_helpers.events.split import N_FOLDS
from shd_helpers.paths import results_dir
from shd_judge.statistics import SHOWN, UNDECIDED, holm, holm_factors

KEYS = ["question", "input", "recipe", "data", "draws"]
LAST = "last"


class Variance(NamedTuple):
    """A part of a squared standard error, and its degrees of freedom."""

    value: float
    freedom: float


def _estimate(values: pd.Series, *of_networks: Variance) -> Estimate:
    """Return the mean over people; their variance and those of networks make its error."""
    of_people = Variance(values.var(ddof=1) / len(values), len(values) - 1)
    parts = [part for part in (of_people, *of_networks) if part.value > 0]
    variance = sum(part.value for part in parts)
    freedom = variance**2 / sum(part.value**2 / part.freedom for part in parts)
    return Estimate(float(values.mean()), float(np.sqrt(variance)), float(freedom), len(values))


# --- The panel: folds and recipes cross ---------------------------------------------------------


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
    found = {recipe: _estimate(differences[recipe], one) for recipe in differences}
    over_recipes = differences.mean(axis=1)
    several = Variance(residual.value / by_fold.size, residual.freedom)
    found["mean"] = _estimate(over_recipes, several)
    of_recipes = Variance(max(by_fold.mean().var() / n_recipes, several.value), n_recipes - 1)
    found["mean, recipes at random"] = _estimate(over_recipes, of_recipes)
    return found


def chosen_estimate(
    first: pd.DataFrame, second: pd.DataFrame, validation: Mapping[str, pd.DataFrame], one: Variance
) -> Estimate:
    """Return the difference if each fold has the recipe that is best for its validation people.

    `first` and `second` are the accuracies of two inputs, (people, recipes), and `validation` has
    those of the validation people, (folds, recipes), of `first` and of `second`.
    """
    columns = []
    for accuracies, name in ((first, "first"), (second, "second")):
        best = validation[name].idxmax(axis=1)
        folds = accuracies.index.get_level_values("fold")
        parts = [accuracies.loc[folds == fold, recipe] for fold, recipe in best.items()]
        columns.append(pd.concat(parts))
    return _estimate(columns[0] - columns[1], one)


def seeds_estimate(plus: Sequence[pd.DataFrame], minus: Sequence[pd.DataFrame]) -> Estimate:
    """Return a sum of cells minus others, (people, seeds), each with its own variance of seeds."""
    parts = []
    for accuracies in (*plus, *minus):
        by_fold = accuracies.groupby("fold").mean()
        freedom = len(by_fold) * (len(by_fold.columns) - 1)
        parts.append(Variance(by_fold.var(axis=1, ddof=1).mean() / by_fold.size, freedom))
    return _estimate(difference(plus, minus).mean(axis=1), *parts)


def difference(plus: Sequence[pd.DataFrame], minus: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Return a sum of tables minus others, over the people that all of them have."""
    return (sum(plus[1:], plus[0]) - sum(minus[1:], minus[0])).dropna()


# --- Reading the frozen answers -----------------------------------------------------------------


def read_answers(plan: Mapping[str, Any]) -> pd.DataFrame:
    """Return a row for each network and person, with the accuracy after each scored epoch.

    `tested` says which utterances the accuracy is of.
    """
    tables = []
    with h5py.File(study(plan).frozen) as file:
        for each in networks_of(plan):
            training = each.training
            if training.frozen_name not in file:
                continue
            network = file[training.frozen_name]
            for tested in network:
                if tested in CURVES or "_after_" in tested:
                    continue
                utterances = file[utterances_name(training, tested)]
                labels = utterances["labels"][:]
                columns = {"person": utterances["speakers"][:]}
                columns[LAST] = network[tested][:] == labels
                for epoch in training.cell.scored_after:
                    columns[str(epoch)] = network[f"{tested}_after_{epoch}"][:] == labels
                table = pd.DataFrame(columns).groupby("person", as_index=False).mean()
                where: dict[str, Any] = dict(zip(KEYS, each[: len(KEYS)], strict=True))
                where |= {"fold": training.fold, "repeat": each.repeat, "tested": tested}
                tables.append(table.assign(**where))
    return pd.concat(tables, ignore_index=True)


def accuracies_of(
    plan: Mapping[str, Any], answers: pd.DataFrame, question: str, term: Mapping[str, Any]
) -> pd.DataFrame:
    """Return the accuracies of a term: a row for each fold and person, a column for each network.

    The columns are recipes if there are several, otherwise repeats. The table is empty while
    networks are left.
    """
    its = answers[answers.question == question]
    for name, value in ({"tested": HELD_OUT} | dict(term)).items():
        its = its[its[name] == value]
    written = plan["questions"][question]
    n_recipes = len(written["recipes"])
    by, n_columns = ("recipe", n_recipes) if n_recipes > 1 else ("repeat", written.get("seeds", 1))
    table = its.pivot(index=["fold", "person"], columns=by, values=LAST)
    is_whole = its.fold.nunique() == N_FOLDS and len(table.columns) == n_columns
    return table if is_whole and not table.isna().to_numpy().any() else table.iloc[:0]


# --- Tables -------------------------------------------------------------------------------------


def networks_table(plan: Mapping[str, Any], answers: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each network: its accuracies as means over people, and its last loss."""
    by = [*KEYS, "fold", "repeat"]
    scores = [name for name in answers if name == LAST or str(name).isdigit()]
    means = answers.groupby([*by, "tested"], sort=False)[scores].mean()
    table = means.xs(HELD_OUT, level="tested").add_prefix("accuracy_after_")
    if VALIDATION in means.index.get_level_values("tested"):
        table["validation_accuracy"] = means.xs(VALIDATION, level="tested")[LAST]
    with h5py.File(study(plan).frozen) as file:
        for each in networks_of(plan):
            if each.training.frozen_name in file:
                network = file[each.training.frozen_name]
                row = (*each[: len(KEYS)], each.training.fold, each.repeat)
                for name in CURVES:
                    table.loc[row, name] = network[name][-1] if name in network else np.nan
    return table.reset_index()


def curves_table(plan: Mapping[str, Any]) -> pd.DataFrame:
    """Return the loss and the training accuracy after each epoch, as means over networks."""
    parts = []
    with h5py.File(study(plan).frozen) as file:
        for each in networks_of(plan):
            network = file.get(each.training.frozen_name)
            if network is not None and CURVES[0] in network:
                curves = pd.DataFrame({name: network[name][:] for name in CURVES})
                where: dict[str, Any] = dict(zip(KEYS, each[: len(KEYS)], strict=True))
                parts.append(curves.assign(epoch=curves.index + 1, **where))
    table = pd.concat(parts).groupby([*KEYS, "epoch"], sort=False)
    return table.mean().assign(networks=table.size()).reset_index()


def contrasts_table(plan: Mapping[str, Any], answers: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each estimate of a difference, in percentage points.

    Differences of which networks are left have none. The verdicts are about the mean over recipes
    or seeds, and about the choice by validation people. Single recipes have none.
    """
    tables = []
    for family, contrast in plan["contrasts"].items():
        rows = []
        for name, written in contrast["differences"].items():
            terms = [
                [accuracies_of(plan, answers, contrast["question"], term) for term in written[sign]]
                for sign in ("plus", "minus")
            ]
            if all(len(table) for table in (*terms[0], *terms[1])):
                for of, found in _estimates(
                    plan, answers, contrast["question"], written, *terms
                ).items():
                    rows.append({"family": family, "difference_of": name, "of": of, "found": found})
        if rows:
            tables.append(_with_verdicts(pd.DataFrame(rows)))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _estimates(
    plan: Mapping[str, Any],
    answers: pd.DataFrame,
    question: str,
    written: Mapping[str, Any],
    plus: Sequence[pd.DataFrame],
    minus: Sequence[pd.DataFrame],
) -> dict[str, Estimate]:
    """Return the estimates of a difference: of seeds, or of a panel of recipes."""
    if plus[0].columns.name == "repeat":
        return {"mean": seeds_estimate(plus, minus)}
    differences = difference(plus, minus)
    found = crossed_estimates(differences)
    if len(plus) == len(minus) == 1:
        validation = {}
        for which, sign in (("first", "plus"), ("second", "minus")):
            term = written[sign][0] | {"tested": VALIDATION}
            its = accuracies_of(plan, answers, question, term)
            if not len(its):
                return found
            validation[which] = its.groupby("fold").mean()
        residual = residual_mean_square(differences.groupby("fold").mean())
        one = Variance(residual.value / N_FOLDS, residual.freedom)
        chosen = chosen_estimate(plus[0], minus[0], validation, one)
        found["chosen by validation people"] = chosen
    return found


def _with_verdicts(table: pd.DataFrame) -> pd.DataFrame:
    """Return a family's rows with intervals, p-values and verdicts, adjusted by Holm's method.

    The family is the means. In a family of several differences, the choice by validation people
    belongs to it, too.
    """
    found = list(table.pop("found"))
    p = np.array([each.p for each in found])
    is_judged = (table.of == "mean").to_numpy(copy=True)
    if is_judged.sum() > 1:
        is_judged |= (table.of == "chosen by validation people").to_numpy()
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
    table["excluded_loss"] = [100 * (each.half(0.1) - each.mean) for each in found]
    return table


def write_tables(plan: Mapping[str, Any]) -> None:
    """Write the tables of a plan from its frozen answers."""
    answers = read_answers(plan)
    for name, table in (
        ("networks", networks_table(plan, answers)),
        ("curves", curves_table(plan)),
        ("contrasts", contrasts_table(plan, answers)),
    ):
        if len(table):
            path = results_dir() / f"{plan['name']}_{name}.csv"
            table.to_csv(path, index=False, float_format="%.6g")


# --- What the plan expects ----------------------------------------------------------------------

N_PEOPLE = 1436
# Standard deviations of evidence/people, as fractions: how people differ in how they take an input,
# how they differ from network to network, and how networks differ
PEOPLE_SD = 0.096
PEOPLE_BY_NETWORK_SD = 0.239
NETWORK_SD = 0.019


def simulated_differences(
    recipe_sd: float, rng: np.random.Generator, n_recipes: int = 5
) -> pd.DataFrame:
    """Draw the differences of two inputs that are equal on average, (people, recipes)."""
    folds = np.arange(N_PEOPLE) % N_FOLDS
    values = rng.normal(0, PEOPLE_SD, (N_PEOPLE, 1))
    values = values + rng.normal(0, PEOPLE_BY_NETWORK_SD, (N_PEOPLE, n_recipes))
    values += rng.normal(0, np.sqrt(2) * NETWORK_SD, (N_FOLDS, n_recipes))[folds]
    values += rng.normal(0, recipe_sd, n_recipes)
    index = pd.MultiIndex.from_arrays([folds, np.arange(N_PEOPLE)], names=["fold", "person"])
    return pd.DataFrame(values, index, [f"recipe {number}" for number in range(n_recipes)])


def expected_halves(n_draws: int = 400, seed: int = 0) -> pd.DataFrame:
    """Return the mean half width in percentage points, and how often the interval misses 0."""
    rows = []
    for recipe_sd in (0.0, 0.01, 0.026):
        rng = np.random.default_rng(seed)
        draws = [crossed_estimates(simulated_differences(recipe_sd, rng)) for _ in range(n_draws)]
        for name in ("recipe 0", "mean", "mean, recipes at random"):
            halves = np.array([draw[name].half() for draw in draws])
            misses = np.array([abs(draw[name].mean) for draw in draws]) > halves
            row = {"recipe_sd": 100 * recipe_sd, "of": name, "half": 100 * halves.mean()}
            rows.append(row | {"misses": misses.mean()})
    return pd.DataFrame(rows)
