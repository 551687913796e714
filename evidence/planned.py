"""Train the networks of a plan in ``evidence/plans``, and freeze what they answered.

``python -m evidence.planned train recipes --hours 2`` trains what is left of a plan.
``python -m evidence.planned tables recipes`` freezes the answers and writes the tables, which
`planned_tables` computes, and ``expect`` prints the half widths that the plan expects.
"""

import argparse
import shutil
import time
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import joblib
import numpy as np
import yaml  # type: ignore[import-untyped]

from evidence.people.plan import SEED_STEP
from evidence.people.train import fold_of
from evidence.trainings import (
    Cell,
    Study,
    Training,
    Utterances,
    is_left,
    load,
    read_scores,
    train_left,
)
from shd_corpus.files import atomic
from shd_helpers.command import run as run_command
from shd_helpers.events.split import N_FOLDS
from shd_helpers.paths import results_dir
from shd_helpers.study.recipe import Recipe

PLANS = Path(__file__).with_name("plans")
DATASET = "commands"
VALIDATION = "validation"  # the name of the utterances by validation people
CURVES = ("train_loss", "train_accuracy")
# Networks of an earlier plan, which trained some of the same cells
EARLIER = results_dir() / "people_answers.h5"


class Planned(NamedTuple):
    """A network of a plan: where it belongs, and its training."""

    question: str
    input: str
    recipe: str
    repeat: int
    training: Training


@cache
def read_plan(name: str) -> dict[str, Any]:
    """Return a plan as it is written."""
    return yaml.safe_load((PLANS / f"{name}.yaml").read_text(encoding="utf-8"))


def networks_of(plan: Mapping[str, Any]) -> Iterator[Planned]:
    """Yield the networks of all questions; within a question, those of fold 0 come first."""
    for question, written in plan["questions"].items():
        for fold in range(N_FOLDS):
            for repeat in range(written.get("seeds", 1)):
                for recipe in written["recipes"]:
                    for name in written["inputs"]:
                        cell = _cell(plan, written, name, recipe)
                        training = Training(cell, fold, repeat * SEED_STEP + fold)
                        yield Planned(question, name, recipe, repeat, training)


def _cell(plan: Mapping[str, Any], question: Mapping[str, Any], name: str, recipe: str) -> Cell:
    """Return the cell of an input and a recipe."""
    settings = {"dataset": DATASET} | plan["base"] | plan["inputs"][name] | plan["recipes"][recipe]
    longer = question.get("longer", 1)
    settings |= {each: longer * settings[each] for each in ("epochs", "lr_step")}
    return Cell(settings, scored_after=tuple(question.get("scored_after", ())))


def utterances(training: Training) -> Utterances:
    """Return the utterances that train a network, and those of its fold and validation people."""
    events = load(DATASET, Recipe.from_flat(training.cell.settings).input)
    folds = fold_of(events.speakers)
    trains = np.flatnonzero((folds >= 0) & (folds != training.fold))
    tests = {DATASET: np.flatnonzero(folds == training.fold), VALIDATION: np.flatnonzero(folds < 0)}
    return events.take(trains), {name: events.take(rows) for name, rows in tests.items()}


def study(plan: Mapping[str, Any]) -> Study:
    """Return where a plan's networks are stored and frozen."""
    return Study(plan["name"], f"{plan['name']}_answers.h5", utterances)


def train(plan: Mapping[str, Any], questions: list[str], n_workers: int, hours: float) -> None:
    """Train what is left of some questions, and start no network after some hours."""
    end_s = time.monotonic() + 3600 * hours
    freeze(plan)  # what an earlier plan trained isn't left
    for question in questions or plan["questions"]:
        trainings = [each.training for each in networks_of(plan) if each.question == question]
        train_left(study(plan), trainings, n_workers, end_s, question)


def freeze(plan: Mapping[str, Any]) -> None:
    """Add the answers of all networks that have ended to the plan's frozen file."""
    frozen = study(plan).frozen
    with atomic(frozen) as unfinished:
        if frozen.exists():
            shutil.copy(frozen, unfinished)
        with h5py.File(unfinished, "a") as file:
            for each in networks_of(plan):
                _freeze_network(file, each.training, each.training.path(study(plan).folder))


def _freeze_network(file: h5py.File, training: Training, path: Path) -> None:
    """Add the answers and the curves of a network, unless it is there or not trained."""
    name = training.frozen_name
    if name in file:
        return
    if path.exists():
        stored = read_scores(path)
        network = file.create_group(name)
        network.attrs["training_s"] = float(stored["training_s"])
        for key in CURVES:
            _write(network, key, stored[key].astype(np.float32))
        for dataset in (DATASET, VALIDATION):
            answers = stored[f"{dataset}_scores"].argmax(1)
            _write(network, dataset, answers.astype(np.uint8))
            for epoch in training.cell.scored_after:
                answers = stored[f"{dataset}_answers_{epoch}"]
                _write(network, f"{dataset}_after_{epoch}", answers.astype(np.uint8))
            where = f"utterances/{training.tested_by}/{dataset}"
            if where not in file:
                for what in ("labels", "speakers"):
                    _write(file, f"{where}/{what}", stored[f"{dataset}_{what}"].astype(np.uint16))
    elif not training.cell.scored_after and EARLIER.exists():
        with h5py.File(EARLIER) as earlier:
            if name in earlier:
                _write(file.create_group(name), DATASET, earlier[name][DATASET][:])


def _write(group: h5py.Group, name: str, values: np.ndarray) -> None:
    """Write an array, compressed."""
    group.create_dataset(name, data=values, compression="gzip", compression_opts=9)


def n_left(plan: Mapping[str, Any]) -> int:
    """Return how many networks of a plan have no answers yet."""
    return sum(is_left(study(plan), each.training) for each in networks_of(plan))


def main() -> None:
    """Train, or write tables, from the command line."""
    from evidence.planned_tables import expected_halves, write_tables

    parser = argparse.ArgumentParser(prog="python -m evidence.planned", description=__doc__)
    parser.add_argument("command", choices=["train", "tables", "expect"])
    parser.add_argument("plan", choices=sorted(path.stem for path in PLANS.glob("*.yaml")))
    parser.add_argument("questions", nargs="*", help="default: all")
    parser.add_argument("--workers", type=int, default=joblib.cpu_count(), help="processes")
    parser.add_argument("--hours", type=float, default=2, help="after which none is started")
    given = parser.parse_args()
    plan = read_plan(given.plan)
    if given.command == "expect":
        print(expected_halves().to_string())
        return
    if given.command == "train":
        train(plan, given.questions, given.workers, given.hours)
    freeze(plan)
    write_tables(plan)
    print(f"{n_left(plan)} networks are left")


if __name__ == "__main__":
    run_command(main)
