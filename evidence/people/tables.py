"""Freeze what the networks of ``plan.yaml`` predicted, and compute the tables of its questions.

`freeze` adds the answers in ``runs/people`` to ``results/people_answers.h5``. From that file alone,
`write_tables` computes ``people_networks.csv``, ``people_cells.csv``, ``people_accuracies.csv``,
``people_variances.csv`` and ``people_contrasts.csv``.
"""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
from scipy import stats

from evidence.people.plan import SEED_STEP, cell_of, final_trainings, plan, trainings_of
from evidence.people.train import STUDY, selected_recipes, wanted_trainings
from evidence.trainings import Training, read_scores
from shd_corpus.files import atomic
from shd_helpers.paths import data_dir, results_dir
from shd_judge.statistics import SHOWN, UNDECIDED, holm, holm_factors

FROZEN = STUDY.frozen
DATASETS = ("commands", "hd_cut")
COSTS = ("parameters", "input_events", "effective_acs")
SUMMED = ("parameters", "effective_acs", "training_s")  # of networks that are averaged
RAISE = "raise"
AVERAGED = "three networks averaged"
AVERAGED_CELL = (RAISE, "augmentation")  # whose networks are averaged
REFUSED = "people_refused.csv"
PRIMARY = "cost"
SEEDS_FREEDOM = 20  # of the variance over seeds: two cells, five folds, three seeds
OVER_FOLDS = "over folds"  # an interval, where the test rejects the variance over seeds
POST_HOC = [["recipe", "original"]]  # a contrast of `raise` that the plan doesn't have


# --- Freezing --------------------------------------------------------------------------------


def freeze() -> None:
    """Add the answers of all networks that have ended to the frozen file."""
    with atomic(FROZEN) as unfinished:
        if FROZEN.exists():
            shutil.copy(FROZEN, unfinished)
        with h5py.File(unfinished, "a") as file:
            for question in (*plan()["questions"], "final"):
                for training in wanted_trainings(question):
                    path = training.path(STUDY.folder)
                    if path.exists() and training.frozen_name not in file:
                        keeps_scores = training.cell.n_seeds > 1
                        _write_network(file, training, read_scores(path), keeps_scores)


def _write_network(
    file: h5py.File, training: Training, stored: Mapping[str, np.ndarray], keeps_scores: bool
) -> None:
    """Write the answers of a network, and its class scores if networks like it are averaged."""
    network = file.create_group(training.frozen_name)
    for name in (*COSTS, "training_s", "n_training"):
        if name in stored:
            network.attrs[name] = float(stored[name])
    for dataset in DATASETS:
        if f"{dataset}_scores" not in stored:
            continue
        _write_utterances(file, dataset, training.tested_by, stored)
        scores = stored[f"{dataset}_scores"]
        answers = scores.argmax(1).astype(np.uint8)
        network.create_dataset(dataset, data=answers, compression="gzip", compression_opts=9)
        if keeps_scores:
            network.create_dataset(
                f"{dataset}_scores", data=scores, compression="gzip", shuffle=True
            )


def _write_utterances(
    file: h5py.File, dataset: str, tested_by: str, stored: Mapping[str, np.ndarray]
) -> None:
    """Write labels and speakers of those who test: the same for all networks of a fold."""
    where = f"utterances/{dataset}/{tested_by}"
    if where not in file:
        for name in ("labels", "speakers"):
            values = stored[f"{dataset}_{name}"].astype(np.uint16)
            file.create_dataset(f"{where}/{name}", data=values, compression="gzip")
    if not np.array_equal(file[f"{where}/labels"][:], stored[f"{dataset}_labels"]):
        raise ValueError(f"{FROZEN}: other utterances of {dataset} tested in {tested_by}")


# --- Reading ---------------------------------------------------------------------------------


class Network(NamedTuple):
    """A network of the frozen file: whose it is, and whether each of its answers is right."""

    question: str
    cell: str
    fold: int | None  # None: the test people
    repeat: int
    attrs: dict[str, Any]
    # By data set: `person` and `right` of each utterance. If class scores are stored, also whether
    # the highest ones are `tied`, and the share of these that are right (`fair`)
    right: dict[str, pd.DataFrame]


@cache
def read_networks() -> tuple[Network, ...]:
    """Return all networks of the frozen file, and the averaged ones."""
    networks = []
    with h5py.File(FROZEN) as file:
        for question, cells in plan()["questions"].items():
            for cell in cells:
                by_fold: dict[int | None, list[h5py.Group]] = {}
                for training in trainings_of(question, cell, selected_recipes()):
                    group = file[training.frozen_name]
                    networks.append(_network(file, question, cell, training, [group]))
                    by_fold.setdefault(training.fold, []).append(group)
                if (question, cell) == AVERAGED_CELL:
                    for fold, groups in by_fold.items():
                        averaged = Training(training.cell, fold, 0)
                        networks.append(_network(file, question, AVERAGED, averaged, groups))
    return tuple(networks)


def _network(
    file: h5py.File,
    question: str,
    cell: str,
    training: Training,
    groups: Sequence[h5py.Group],
) -> Network:
    """Return a network, or several that are averaged, with what is known of its answers."""
    attrs = {name: float(value) for name, value in groups[0].attrs.items()}
    attrs |= {name: sum(group.attrs[name] for group in groups) for name in SUMMED if name in attrs}
    right = {}
    for dataset in DATASETS:
        if dataset not in groups[0]:
            continue
        utterances = file[f"utterances/{dataset}/{training.tested_by}"]
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
    return Network(question, cell, training.fold, training.seed // SEED_STEP, attrs, right)


@cache
def read_final() -> tuple[Network, ...]:
    """Return the networks of the frozen file that the test people judged."""
    networks = []
    with h5py.File(FROZEN) as file:
        for question, names in plan()["final"].items():
            for name in names:
                digest = cell_of(question, name, selected_recipes()).digest
                for training in final_trainings(selected_recipes()):
                    if training.cell.digest == digest:
                        group = file[training.frozen_name]
                        networks.append(_network(file, question, name, training, [group]))
    return tuple(networks)


def by_person(question: str, cell: str, dataset: str = "commands") -> pd.DataFrame:
    """Return the accuracies of a cell: a row for each fold and person, a column for each repeat."""
    columns: dict[int, list[pd.Series]] = {}
    for each in read_networks():
        if (each.question, each.cell) == (question, cell) and dataset in each.right:
            accuracies = each.right[dataset].groupby("person").right.mean()
            accuracies.index = pd.MultiIndex.from_product(
                [[each.fold], accuracies.index], names=["fold", "person"]
            )
            columns.setdefault(each.repeat, []).append(accuracies)
    return pd.DataFrame({repeat: pd.concat(parts) for repeat, parts in columns.items()})


# --- Statistics ------------------------------------------------------------------------------


@cache
def variance_over_seeds() -> float:
    """Return the variance of a fold's mean accuracy over seeds, from the primary cells."""
    cells = [by_person(PRIMARY, name) for name in plan()["contrasts"][PRIMARY]["primary"]]
    return float(np.mean([cell.groupby("fold").mean().var(axis=1, ddof=1) for cell in cells]))


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


def estimate(
    values: pd.Series, n_networks: Sequence[int], seeds_variance: float | None
) -> Estimate:
    """Return the mean over people, with the error that the plan describes.

    `n_networks` has the number of networks of each cell that the values are of: one cell for an
    accuracy, two for a difference. Without a variance over seeds, the error is that of the folds'
    means, as in a t-test of five values.
    """
    if seeds_variance is None:
        folds = values.groupby("fold").mean()
        return Estimate(float(values.mean()), float(folds.sem()), len(folds) - 1, len(values))
    of_people = values.var(ddof=1) / len(values)
    of_seeds = seeds_variance * sum(1 / n for n in n_networks)
    variance = of_people + of_seeds
    freedom = variance**2 / (of_people**2 / (len(values) - 1) + of_seeds**2 / SEEDS_FREEDOM)
    return Estimate(float(values.mean()), float(np.sqrt(variance)), float(freedom), len(values))


def _n_networks(accuracies: pd.DataFrame) -> int:
    n_folds = accuracies.index.get_level_values("fold").nunique()
    return n_folds * len(accuracies.columns)


def contrast(first: pd.DataFrame, second: pd.DataFrame, seeds_variance: float | None) -> Estimate:
    """Return the difference of two cells over the people whom both were tested on."""
    common = first.index.intersection(second.index)
    first, second = first.loc[common], second.loc[common]
    values = first.mean(axis=1) - second.mean(axis=1)
    return estimate(values, [_n_networks(first), _n_networks(second)], seeds_variance)


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


# --- Tables ----------------------------------------------------------------------------------


def networks_table() -> pd.DataFrame:
    """Return a row for each network."""
    rows = []
    for each in read_networks():
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


def refused_people() -> pd.Series:
    """Return how many recordings of each person were refused, by the person's number."""
    return pd.read_csv(results_dir() / REFUSED).groupby("number").size()


@cache
def variances_table() -> pd.DataFrame:
    """Return for each cell whether its folds allow the variance over seeds of the primary cells.

    Where several questions have the same networks, only the first one has a row.
    """
    primary = [by_person(PRIMARY, name) for name in plan()["contrasts"][PRIMARY]["primary"]]
    reference = pd.concat([cell.drop(columns=0) for cell in primary], axis=1)
    rows = []
    for question, cell in dict.fromkeys((each.question, each.cell) for each in read_networks()):
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
    rows = []
    for (question, cell), group in networks.groupby(["question", "cell"], sort=False):
        accuracies = by_person(question, cell)
        its = [each for each in read_networks() if (each.question, each.cell) == (question, cell)]
        utterances = pd.concat(each.right["commands"] for each in its)
        counts = utterances.groupby("person").right.agg(["sum", "count"]) / len(accuracies.columns)
        found = estimate(accuracies.mean(axis=1), [_n_networks(accuracies)], variance_for(cell))
        n_refused = refused_people().reindex(counts.index).fillna(0)
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
                "accuracy_refused_wrong": (counts["sum"] / (counts["count"] + n_refused)).mean(),
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
    cells = [*plan()["questions"][RAISE], AVERAGED]
    columns = {cell: by_person(RAISE, cell).mean(axis=1) for cell in cells}
    one_cell = [each for each in read_networks() if (each.question, each.cell) == (RAISE, cells[0])]
    utterances = pd.concat(each.right["commands"] for each in one_cell).groupby("person").size()
    table = pd.DataFrame(columns).reset_index()
    table.insert(2, "utterances", table.person.map(utterances))
    return table


def _families() -> Iterator[tuple[str, str, str, list[list[str]]]]:
    """Yield the name, the question, the data set and the pairs of each family of contrasts."""
    for question, written in plan()["contrasts"].items():
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
        table = pd.DataFrame(rows)
        estimates = list(table.pop("found"))
        p = np.array([each.p for each in estimates])
        table["people"] = [each.n_people for each in estimates]
        table["difference"] = [100 * each.mean for each in estimates]
        table["ci95"] = [100 * each.half() for each in estimates]
        halves = [
            100 * each.half(0.05 / factor)
            for each, factor in zip(estimates, holm_factors(p), strict=True)
        ]
        table["ci95_adjusted"] = halves
        table["p"] = p
        table["p_adjusted"] = holm(p)
        # The path is tested only if the primary contrast is shown, which it is.
        table["verdict"] = np.where(table.p_adjusted < 0.05, SHOWN, UNDECIDED)
        one_sided = 2 * 0.05 / len(pairs)
        table["excluded_loss"] = [100 * (each.half(one_sided) - each.mean) for each in estimates]
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def write_refused() -> None:
    """List the recordings of `commands` that were refused, with the numbers of their people."""
    from shd_corpus.speech_commands import numbered_people, read_manifest, role_of

    people = numbered_people(read_manifest())
    table = pd.read_csv(data_dir() / "commands" / "commands_refused.csv")
    table["number"] = table.speaker.map(people.index)
    table["role"] = table.speaker.map(role_of)
    table.to_csv(results_dir() / REFUSED, index=False)


def write_tables() -> None:
    """Write the tables from the frozen answers."""
    for name, table in (
        ("networks", networks_table()),
        ("cells", cells_table()),
        ("accuracies", accuracies_table()),
        ("variances", variances_table()),
        ("contrasts", contrasts_table()),
        ("final", final_table()),
    ):
        table.to_csv(results_dir() / f"people_{name}.csv", index=False, float_format="%.6g")
