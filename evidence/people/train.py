"""Train the networks of ``plan.yaml``: on whose utterances, and whose test them.

Each network's scores are a file of their own below ``runs/people``.
"""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pandas as pd

from evidence.people.plan import (
    candidates,
    final_trainings,
    plan,
    trainings_of,
)
from evidence.trainings import (
    VALIDATION,
    Study,
    Training,
    Utterances,
    accuracy_by_person,
    is_left,
    load,
    read_scores,
    train_left,
)
from shd_helpers.events import Downsampling, Events
from shd_helpers.events.event_lists import concatenate
from shd_helpers.events.loading import TEST_FILE
from shd_helpers.events.split import N_FOLDS
from shd_helpers.paths import results_dir
from shd_helpers.study.recipe import Recipe

SELECTED = results_dir() / "people_recipes.csv"


def selected_recipes() -> dict[str, str]:
    """Return the name of the selected recipe of each input; empty before the selection."""
    if not SELECTED.exists():
        return {}
    table = pd.read_csv(SELECTED)
    best = table.loc[table.groupby("input", sort=False).accuracy.idxmax()]
    return dict(zip(best.input, best.recipe, strict=True))


def thinned(events: Events, fewer: Events, seed: int) -> Events:
    """Draw as many events of each utterance as it has in `fewer`, without replacement."""
    rng = np.random.default_rng(seed)
    n_events = np.diff(events.offsets)
    n_kept = np.diff(fewer.offsets)
    owner = np.repeat(np.arange(len(events)), n_events)
    order = np.lexsort((rng.random(len(owner)), owner))
    rank = np.arange(len(owner)) - np.repeat(events.offsets[:-1], n_events)
    kept = np.sort(order[rank < n_kept[owner]])
    offsets = np.concatenate([[0], np.cumsum(n_kept)])
    return replace(events, steps=events.steps[kept], units=events.units[kept], offsets=offsets)


def fold_of(speakers: np.ndarray) -> np.ndarray:
    """Return each utterance's fold: every fifth speaker by number, of those who don't validate."""
    numbers = np.setdiff1d(np.unique(speakers), VALIDATION)
    ranks = np.searchsorted(numbers, speakers)
    return np.where(np.isin(speakers, VALIDATION), -1, ranks % N_FOLDS)


def drawn(events: Events, n_people: int, n_utterances: int, seed: int) -> Events:
    """Draw some people and, of them, some utterances, as evenly over people as possible."""
    rng = np.random.default_rng(seed)
    people = np.unique(events.speakers)
    while n_people:
        chosen = rng.choice(people, n_people, replace=False)
        if np.isin(events.speakers, chosen).sum() >= n_utterances:
            events = events.take(np.flatnonzero(np.isin(events.speakers, chosen)))
            break
    order = rng.permutation(len(events))
    turn = pd.Series(events.speakers[order]).groupby(events.speakers[order]).cumcount()
    order = order[np.argsort(turn.to_numpy(), kind="stable")]
    return events.take(np.sort(order[:n_utterances]))


def utterances(training: Training) -> Utterances:
    """Return the utterances that train a network, and those that test it by their data set."""
    cell, fold = training.cell, training.fold
    grid = Recipe.from_flat(cell.settings).input
    commands = load("commands", grid)
    if cell.thinned_to:
        fewer = load("commands", Downsampling(**cell.thinned_to))
        commands = thinned(commands, fewer, seed=training.seed)
    folds = fold_of(commands.speakers)
    trains = (folds >= 0) & (folds != fold)
    tests = {"commands": commands.take(np.flatnonzero(folds == (-1 if fold is None else fold)))}
    if training.role == "test":
        tests = {"commands": load("commands", grid, TEST_FILE)}
    parts = []
    if cell.train_on != "hd_cut":
        parts.append(commands.take(np.flatnonzero(trains)))
    if "hd_cut" in (cell.test_on, cell.train_on) or cell.train_on == "both":
        hd = load("hd_cut", grid)
        is_test = fold_of(hd.speakers) == fold
        if cell.test_on:
            tests["hd_cut"] = hd.take(np.flatnonzero(is_test))
        if cell.train_on != "commands":
            # Of whoever doesn't test a network on `hd`, all speakers train it.
            parts.append(hd.take(np.flatnonzero(~is_test)) if cell.test_on else hd)
    training_events = concatenate(parts) if len(parts) > 1 else parts[0]
    if cell.train_utterances:
        wanted = (cell.train_people, cell.train_utterances)
        training_events = drawn(training_events, *wanted, seed=training.seed)
    return training_events, tests


def write_selection() -> None:
    """Write the accuracy of each candidate for the validation people."""
    rows = []
    for name, recipe, cell in candidates():
        stored = read_scores(Training(cell, None, 0, "validation").path(STUDY.folder))
        accuracy = accuracy_by_person(stored).mean()
        rows.append({"input": name, "recipe": recipe, "accuracy": accuracy, "digest": cell.digest})
    table = pd.DataFrame(rows)
    table.to_csv(SELECTED, index=False, float_format="%.6f")
    print(table.pivot(index="recipe", columns="input", values="accuracy").round(3).to_string())


def wanted_trainings(question: str) -> Iterator[Training]:
    """Yield the trainings of a question, of ``selection`` or of ``final``."""
    if question == "selection":
        for _, _, cell in candidates():
            yield Training(cell, None, 0, "validation")
        return
    if question == "final":
        yield from final_trainings(selected_recipes())
        return
    of_cells = [
        trainings_of(question, name, selected_recipes()) for name in plan()["questions"][question]
    ]
    # First fold 0 of all cells, then the next fold, and the repeats at last
    yield from sorted(itertools.chain(*of_cells), key=lambda training: training.seed)


STUDY = Study("people", "people_answers.h5", utterances)


def train_question(question: str, n_workers: int, end_s: float) -> None:
    """Train what is left of a question, and start nothing after a time of the monotonic clock."""
    train_left(STUDY, wanted_trainings(question), n_workers, end_s, question)
    if question == "selection" and not any(
        is_left(STUDY, each) for each in wanted_trainings("selection")
    ):
        write_selection()
