"""Compute the tables of a plan from its frozen answers.

The cells of the plan `people` have names, and one variance between networks: `people_tables`. Other
plans cross inputs with recipes, and their cells have variances of their own: `crossed_tables`. The
plans' texts say what is estimated, and what each interval is over.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd

from evidence import plan as plans
from evidence.estimates import (
    Estimate,
    chosen_estimate,
    contrast,
    crossed_estimates,
    difference,
    estimate,
    n_networks_of,
    seeds_estimate,
    spread_of_folds,
    with_verdicts,
)
from evidence.plan import DATASET, FINAL, VALIDATION, Plan, frozen_file, networks_of, read_plan
from evidence.plan_jobs import COSTS, CURVES, HELD_OUT
from shd_helpers.events.loading import N_FOLDS
from shd_helpers.paths import ROOT, results_dir
from shd_judge.statistics import holm

SUMMED = ("parameters", "effective_acs", "training_s")  # of networks that are averaged
RAISE = "raise"
AVERAGED = "three networks averaged"
AVERAGED_CELL = (RAISE, "augmentation")  # whose networks are averaged
REFUSED = "people_refused.csv"
PRIMARY = "cost"
OVER_FOLDS = "over folds"  # an interval, where the test rejects the variance over seeds
POST_HOC = [["recipe", "original"]]  # a contrast of `raise` that the plan doesn't have
DATASETS = (DATASET, "hd_cut")
KEYS = ["question", "input", "recipe", "data", "draws"]  # of networks of crossed plans
LAST = "last"
CHOSEN = "chosen by validation people"


def write_tables(plan: Plan) -> list[str]:
    """Write the tables of a plan from its frozen answers; return their names."""
    written = []
    for name, table in people_tables() if FINAL in plan else crossed_tables(plan):
        if len(table):
            path = results_dir() / f"{plan['name']}_{name}.csv"
            table.to_csv(path, index=False, float_format="%.6g")
            written.append(path.name)
    return written


# --- The plan `people`: one variance over seeds for all cells -----------------------------------


class Answers(NamedTuple):
    """What is known of the answers of a network, or of several that are averaged."""

    question: str
    cell: str
    fold: int | None  # None: the test people
    repeat: int
    attrs: dict[str, Any]
    # By data set: `person` and `right` of each utterance. If class scores are stored, also whether
    # the highest ones are `tied`, and the share of these that are right (`fair`)
    right: dict[str, pd.DataFrame]


@cache
def people() -> Plan:
    """Return the plan `people`."""
    return read_plan("people")


@cache
def read_answers() -> tuple[Answers, ...]:
    """Return the answers of all networks of folds, and of the averaged ones, cell by cell."""
    by_cell: dict[tuple[str, str], list[plans.Network]] = {}
    for network in networks_of(people()):
        by_cell.setdefault((network.question, network.names["cell"]), []).append(network)
    answers = []
    with h5py.File(frozen_file(people())) as file:
        for cell, networks in by_cell.items():
            networks.sort(key=lambda each: each.seed)
            answers += [_answers(file, network.names["cell"], [network]) for network in networks]
            if cell == AVERAGED_CELL:
                for fold in range(N_FOLDS):
                    its = [each for each in networks if each.fold == fold]
                    answers.append(_answers(file, AVERAGED, its))
    return tuple(answers)


@cache
def read_final() -> tuple[Answers, ...]:
    """Return the answers of the networks that the test people judged."""
    with h5py.File(frozen_file(people())) as file:
        networks = networks_of(people(), FINAL)
        return tuple(_answers(file, network.names["cell"], [network]) for network in networks)


def _answers(file: h5py.File, cell: str, networks: Sequence[plans.Network]) -> Answers:
    """Return the answers of a network, or of several that are averaged."""
    first = networks[0]
    groups = [file[network.frozen_name] for network in networks]
    attrs = {name: float(value) for name, value in groups[0].attrs.items()}
    attrs |= {name: sum(group.attrs[name] for group in groups) for name in SUMMED if name in attrs}
    right = {}
    for dataset in DATASETS:
        if dataset not in groups[0]:
            continue
        utterances = file[f"{first.frozen_utterances}/{dataset}"]
        labels = utterances["labels"][:]
        of_utterances = pd.DataFrame({"person": utterances["speakers"][:]})
        if f"{dataset}_scores" in groups[0]:
            every = [group[f"{dataset}_scores"][:].astype(np.float64) for group in groups]
            scores = np.mean(every, axis=0)
            is_best = scores == scores.max(1, keepdims=True)
            of_utterances["right"] = scores.argmax(1) == labels
            of_utterances["tied"] = is_best.sum(1) > 1
            of_utterances["fair"] = is_best[np.arange(len(labels)), labels] / is_best.sum(1)
        else:
            of_utterances["right"] = groups[0][dataset][:] == labels
        right[dataset] = of_utterances
    return Answers(first.question, cell, first.fold, first.repeat, attrs, right)


def by_person(question: str, cell: str, dataset: str = "commands") -> pd.DataFrame:
    """Return the accuracies of a cell: a row for each fold and person, a column for each repeat."""
    columns: dict[int, list[pd.Series]] = {}
    for each in read_answers():
        if (each.question, each.cell) == (question, cell) and dataset in each.right:
            accuracies = each.right[dataset].groupby("person").right.mean()
            accuracies.index = pd.MultiIndex.from_product(
                [[each.fold], accuracies.index], names=["fold", "person"]
            )
            columns.setdefault(each.repeat, []).append(accuracies)
    return pd.DataFrame({repeat: pd.concat(parts) for repeat, parts in columns.items()})


@cache
def variance_over_seeds() -> float:
    """Return the variance of a fold's mean accuracy over seeds, from the primary cells."""
    cells = [by_person(PRIMARY, name) for name in people()["contrasts"][PRIMARY]["primary"]]
    return float(np.mean([cell.groupby("fold").mean().var(axis=1, ddof=1) for cell in cells]))


# --- Tables ----------------------------------------------------------------------------------


def networks_table() -> pd.DataFrame:
    """Return a row for each network."""
    rows = []
    for each in read_answers():
        row = {"question": each.question, "cell": each.cell, "fold": each.fold}
        row |= {"repeat": each.repeat, **each.attrs}
        for dataset, right in each.right.items():
            row[f"{dataset}_people"] = right.person.nunique()
            row[f"{dataset}_accuracy"] = right.groupby("person").right.mean().mean()
            row[f"{dataset}_accuracy_utterances"] = right.right.mean()
        rows.append(row)
    return pd.DataFrame(rows)


def final_table() -> pd.DataFrame:
    """Return the accuracy of each final network for the test people; ± is over people."""
    rows = []
    for each in read_final():
        right = each.right["commands"]
        found = estimate(right.groupby("person").right.mean(), [1], 0.0)
        row = {"cell": each.cell, "repeat": each.repeat, "people": found.n_people}
        row |= {"utterances": len(right), "accuracy": found.mean, "ci95": found.half()}
        rows.append(row | {"accuracy_utterances": right.right.mean()})
    return pd.DataFrame(rows)


@cache
def variances_table() -> pd.DataFrame:
    """Return for each cell whether its folds allow the variance over seeds of the primary cells.

    Where several questions have the same networks, only the first one has a row.
    """
    primary = [by_person(PRIMARY, name) for name in people()["contrasts"][PRIMARY]["primary"]]
    reference = pd.concat([cell.drop(columns=0) for cell in primary], axis=1)
    rows = []
    for question, cell in dict.fromkeys((each.question, each.cell) for each in read_answers()):
        first = by_person(question, cell)[0]
        found = spread_of_folds(first, reference, variance_over_seeds())
        rows.append({"question": question, "cell": cell, **found})
    table = pd.DataFrame(rows).drop_duplicates("ratio", ignore_index=True)
    table["p_adjusted"] = holm(table.p)
    table["interval"] = np.where(table.p_adjusted < 0.05, OVER_FOLDS, "as planned")
    return table


def variance_for(*cells: str) -> float | None:
    """Return the variance over seeds; None if the test rejects it for one of the cells."""
    table = variances_table()
    rejected = table.cell[table.interval == OVER_FOLDS]
    return None if {*cells} & {*rejected} else variance_over_seeds()


def cells_table() -> pd.DataFrame:
    """Return a row for each cell: costs, accuracy for people and utterances, and ties."""
    networks = networks_table()
    # the committed table, because no sweep encodes recordings
    refused = pd.read_csv(ROOT / "results" / REFUSED).groupby("number").size()
    rows = []
    for (question, cell), group in networks.groupby(["question", "cell"], sort=False):
        accuracies = by_person(question, cell)
        its = [each for each in read_answers() if (each.question, each.cell) == (question, cell)]
        utterances = pd.concat(each.right["commands"] for each in its)
        counts = utterances.groupby("person").right.agg(["sum", "count"]) / len(accuracies.columns)
        found = estimate(accuracies.mean(axis=1), [n_networks_of(accuracies)], variance_for(cell))
        rows.append(
            {
                "question": question,
                "cell": cell,
                "networks": len(group),
                "people": found.n_people,
                "utterances": int(counts["count"].sum()),
                **{cost: group[cost].mean() for cost in COSTS},
                "accuracy": found.mean,
                "ci95": found.half(),
                "accuracy_utterances": counts["sum"].sum() / counts["count"].sum(),
                "accuracy_refused_wrong": (
                    counts["sum"] / (counts["count"] + refused.reindex(counts.index).fillna(0))
                ).mean(),
                "hd_accuracy": group.hd_cut_accuracy.mean() if "hd_cut_accuracy" in group else None,
                **_ties(utterances),
            }
        )
    return pd.DataFrame(rows)


def _ties(utterances: pd.DataFrame) -> dict[str, float]:
    """Return how many answers are tied, and the accuracy if lots were drawn among these classes."""
    if "tied" not in utterances:
        return {}
    fair = utterances.groupby("person").fair.mean().mean()
    return {"tied": utterances.tied.mean(), "accuracy_fair_ties": fair}


def accuracies_table() -> pd.DataFrame:
    """Return a row for each person, with a column for each cell of the question `raise`."""
    cells = [*people()["questions"][RAISE], AVERAGED]
    columns = {cell: by_person(RAISE, cell).mean(axis=1) for cell in cells}
    one_cell = [each for each in read_answers() if (each.question, each.cell) == (RAISE, cells[0])]
    utterances = pd.concat(each.right["commands"] for each in one_cell).groupby("person").size()
    table = pd.DataFrame(columns).reset_index()
    table.insert(2, "utterances", table.person.map(utterances))
    return table


def _families() -> Iterator[tuple[str, str, str, list[list[str]]]]:
    """Yield the name, the question, the data set and the pairs of each family of contrasts."""
    for question, written in people()["contrasts"].items():
        if isinstance(written, dict):
            for name, pairs in written.items():
                yield name, question, "commands", [pairs] if name == "primary" else pairs
        elif question == "corpora_hd":
            yield question, "corpora", "hd_cut", written
        else:
            yield question, question, "commands", written
    yield "post hoc", RAISE, "commands", POST_HOC


def _accuracies_of(question: str, cell: str, dataset: str) -> pd.DataFrame:
    """Return the accuracies of a cell, which another question may have, too."""
    own = by_person(question, cell, dataset)
    return own if len(own) else by_person(PRIMARY, cell, dataset)


def contrasts_table() -> pd.DataFrame:
    """Return a row for each contrast, in percentage points."""
    tables = []
    for family, question, dataset, pairs in _families():
        rows = []
        for first, second in pairs:
            cells = [_accuracies_of(question, name, dataset) for name in (first, second)]
            found = contrast(cells[0], cells[1], variance_for(first, second))
            rows.append({"family": family, "first": first, "second": second, "found": found})
        # The path is tested only if the primary contrast is shown, which it is.
        tables.append(with_verdicts(pd.DataFrame(rows)))
    return pd.concat(tables, ignore_index=True)


def people_tables() -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the tables of the plan `people` by their names."""
    yield "networks", networks_table()
    yield "cells", cells_table()
    yield "accuracies", accuracies_table()
    yield "variances", variances_table()
    yield "contrasts", contrasts_table()
    yield "final", final_table()


# --- Plans that cross inputs with recipes --------------------------------------------------------


def read_crossed(plan: Plan) -> pd.DataFrame:
    """Return a row for each network and person, with the accuracy after each scored epoch.

    `tested` says which utterances the accuracy is of.
    """
    tables = []
    with h5py.File(frozen_file(plan)) as file:
        for each in networks_of(plan):
            if each.frozen_name not in file:
                continue
            network = file[each.frozen_name]
            for tested in network:
                if tested in CURVES or "_after_" in tested:
                    continue
                utterances = file[f"{each.frozen_utterances}/{tested}"]
                labels = utterances["labels"][:]
                columns = {"person": utterances["speakers"][:]}
                columns[LAST] = network[tested][:] == labels
                for epoch in each.cell.scored_after:
                    columns[str(epoch)] = network[f"{tested}_after_{epoch}"][:] == labels
                table = pd.DataFrame(columns).groupby("person", as_index=False).mean()
                where = {"question": each.question, **each.names}
                where |= {"fold": each.fold, "repeat": each.repeat, "tested": tested}
                tables.append(table.assign(**where))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def accuracies_of(
    plan: Plan, answers: pd.DataFrame, question: str, term: Mapping[str, Any]
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


def crossed_networks(plan: Plan, answers: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each network: its accuracies as means over people, events, last loss."""
    by = [*KEYS, "fold", "repeat"]
    scores = [name for name in answers if name == LAST or str(name).isdigit()]
    means = answers.groupby([*by, "tested"], sort=False)[scores].mean()
    table = means.xs(HELD_OUT, level="tested").add_prefix("accuracy_after_")
    if VALIDATION in means.index.get_level_values("tested"):
        table["validation_accuracy"] = means.xs(VALIDATION, level="tested")[LAST]
    with h5py.File(frozen_file(plan)) as file:
        for each in networks_of(plan):
            if each.frozen_name in file:
                network = file[each.frozen_name]
                row = (each.question, *each.names.values(), each.fold, each.repeat)
                table.loc[row, "input_events"] = network.attrs.get("input_events", np.nan)
                for name in CURVES:
                    table.loc[row, name] = network[name][-1] if name in network else np.nan
    return table.reset_index()


def crossed_curves(plan: Plan) -> pd.DataFrame:
    """Return the loss and the training accuracy after each epoch, as means over networks."""
    parts = []
    with h5py.File(frozen_file(plan)) as file:
        for each in networks_of(plan):
            network = file.get(each.frozen_name)
            if network is not None and CURVES[0] in network:
                curves = pd.DataFrame({name: network[name][:] for name in CURVES})
                where = {"question": each.question, **each.names}
                parts.append(curves.assign(epoch=curves.index + 1, **where))
    table = pd.concat(parts).groupby([*KEYS, "epoch"], sort=False)
    return table.mean().assign(networks=table.size()).reset_index()


def crossed_contrasts(plan: Plan, answers: pd.DataFrame) -> pd.DataFrame:
    """Return a row for each estimate of a difference, in percentage points.

    Differences of which networks are left have none. The verdicts are about the mean over recipes
    or seeds and, in a family of several differences, about the choice by validation people. Single
    recipes have none.
    """
    tables = []
    for family, planned in plan["contrasts"].items():
        rows = []
        for name, written in planned["differences"].items():
            terms = [
                [accuracies_of(plan, answers, planned["question"], term) for term in written[sign]]
                for sign in ("plus", "minus")
            ]
            if all(len(table) for table in (*terms[0], *terms[1])):
                for of, found in _estimates(
                    plan, answers, planned["question"], written, *terms
                ).items():
                    rows.append({"family": family, "difference_of": name, "of": of, "found": found})
        if rows:
            table = pd.DataFrame(rows)
            is_judged = (table.of == "mean").to_numpy(copy=True)
            if is_judged.sum() > 1:
                is_judged |= (table.of == CHOSEN).to_numpy()
            tables.append(with_verdicts(table, is_judged))
    return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()


def _estimates(
    plan: Plan,
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
        found[CHOSEN] = chosen_estimate(plus[0], minus[0], validation)
    return found


def crossed_tables(plan: Plan) -> Iterator[tuple[str, pd.DataFrame]]:
    """Yield the tables of a plan that crosses inputs with recipes, by their names."""
    answers = read_crossed(plan)
    if len(answers):
        yield "networks", crossed_networks(plan, answers)
        yield "curves", crossed_curves(plan)
        yield "contrasts", crossed_contrasts(plan, answers)
