"""Train the networks of a plan in ``evidence/plans``, and freeze what they answered.

``python -m evidence.planned train recipes --hours 2`` trains what is left of a plan.
``python -m evidence.planned tables recipes`` freezes the answers and writes the tables, which
`planned_tables` computes, and ``expect`` prints the half widths that the plan expects.
"""

import argparse
import itertools
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import joblib
import numpy as np
import pandas as pd
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
from shd_helpers.events import Events
from shd_helpers.events.split import N_FOLDS
from shd_helpers.paths import results_dir
from shd_helpers.study.recipe import Recipe

PLANS = Path(__file__).with_name("plans")
DATASET = "commands"
HELD_OUT = DATASET  # the name of the utterances by held-out people, of the data set that trains
VALIDATION = "validation"  # the name of those by validation people
AVERAGED = "averaged"  # class scores of all draws of a recording
CURVES = ("train_loss", "train_accuracy")
# Networks of an earlier plan, which trained some of the same cells
EARLIER = results_dir() / "people_answers.h5"


class Planned(NamedTuple):
    """A network of a plan: where it belongs, and its training."""

    question: str
    input: str
    recipe: str
    data: str
    draws: int
    repeat: int
    training: Training


@cache
def read_plan(name: str) -> dict[str, Any]:
    """Return a plan as it is written."""
    return yaml.safe_load((PLANS / f"{name}.yaml").read_text(encoding="utf-8"))


def networks_of(plan: Mapping[str, Any]) -> Iterator[Planned]:
    """Yield the networks of all questions; within a question, those of fold 0 come first."""
    for question, written in plan["questions"].items():
        factors = itertools.product(
            range(N_FOLDS),
            range(written.get("seeds", 1)),
            written["recipes"],
            written.get("data", [DATASET]),
            written.get("draws", [1]),
            written["inputs"],
        )
        for fold, repeat, recipe, data, draws, name in factors:
            settings = {"dataset": data} | plan["base"] | plan["inputs"][name]
            settings |= plan["recipes"][recipe]
            longer = written.get("longer", 1)
            settings |= {each: longer * settings[each] for each in ("epochs", "lr_step")}
            cell = Cell(
                settings,
                scored_after=tuple(written.get("scored_after", ())),
                also_scored=tuple(written.get("also_scored", {}).get(data, ())),
                draws=draws,
            )
            training = Training(cell, fold, repeat * SEED_STEP + fold)
            yield Planned(question, name, recipe, data, draws, repeat, training)


def utterances(training: Training) -> Utterances:
    """Return the utterances that train a network, and those of its fold and validation people.

    The folds are those of all people of `commands`, also where a data set has only some of them.
    """
    cell = training.cell
    grid = Recipe.from_flat(cell.settings).input
    everyone = load(DATASET, grid).speakers
    fold_by_person = pd.Series(fold_of(everyone), everyone).groupby(level=0).first()

    def of_folds(data: str, chosen: Callable[[np.ndarray], np.ndarray]) -> Events:
        events = load(data, grid)
        folds = fold_by_person[events.speakers].to_numpy()
        return events.take(np.flatnonzero(chosen(folds)))

    data = cell.settings["dataset"]
    tests = {HELD_OUT: of_folds(data, lambda folds: folds == training.fold)}
    validating = of_folds(data, lambda folds: folds < 0)
    if len(validating):
        tests[VALIDATION] = validating
    for other in cell.also_scored:
        tests[other] = of_folds(other, lambda folds: folds == training.fold)
    return of_folds(data, lambda folds: (folds >= 0) & (folds != training.fold)), tests


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
        for tested, answers in _answers(stored, training.cell.scored_after).items():
            _write(network, tested, answers.astype(np.uint8))
        for tested in _tested(stored):
            columns = {what: stored[f"{tested}_{what}"] for what in ("labels", "speakers")}
            _write_utterances(file, utterances_name(training, tested), columns)
    elif training.cell.scored_after or training.cell.also_scored or not EARLIER.exists():
        return
    else:
        with h5py.File(EARLIER) as earlier:
            if name in earlier:
                _write(file.create_group(name), HELD_OUT, earlier[name][HELD_OUT][:])
                columns = earlier[f"utterances/{DATASET}/{training.tested_by}"]
                columns = {what: values[:] for what, values in columns.items()}
                _write_utterances(file, utterances_name(training, HELD_OUT), columns)


def _tested(stored: Mapping[str, np.ndarray]) -> list[str]:
    """Return the names of the utterances that tested a network."""
    return [key.removesuffix("_scores") for key in stored if key.endswith("_scores")]


def _answers(stored: Mapping[str, np.ndarray], epochs: Sequence[int]) -> dict[str, np.ndarray]:
    """Return a network's answers by what tested it, also after some epochs and over all draws."""
    answers = {}
    for tested in _tested(stored):
        answers[tested] = stored[f"{tested}_scores"].argmax(1)
        for epoch in epochs:
            answers[f"{tested}_after_{epoch}"] = stored[f"{tested}_answers_{epoch}"]
    draws = [stored[f"{each}_scores"].astype(float) for each in answers if "_draw_" in each]
    if draws:
        answers[AVERAGED] = np.mean(draws, axis=0).argmax(1)
    return answers


def utterances_name(training: Training, tested: str) -> str:
    """Return where the frozen file has the labels and speakers of what tested a network."""
    if tested == AVERAGED:
        tested = next(each for each in training.cell.also_scored if "_draw_" in each)
    return f"utterances/{training.cell.settings['dataset']}/{training.tested_by}/{tested}"


def _write_utterances(file: h5py.File, name: str, columns: Mapping[str, np.ndarray]) -> None:
    """Write labels and speakers, which all networks of a fold have in common."""
    if name not in file:
        for what, values in columns.items():
            _write(file, f"{name}/{what}", values.astype(np.uint16))


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
