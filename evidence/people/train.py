"""Train the networks of ``plan.yaml`` that have no scores yet, and store their scores.

Each network's scores are a file of their own below ``runs/people``, so training that was stopped
goes on.
"""

import itertools
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import h5py
import joblib
import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from evidence.people.plan import (
    SEED_STEP,
    Training,
    candidates,
    final_trainings,
    plan,
    trainings_of,
)
from shd_corpus.files import atomic
from shd_helpers.data import obtain
from shd_helpers.events import Downsampling, Events
from shd_helpers.events.event_lists import concatenate
from shd_helpers.events.loading import TEST_FILE, TRAINING_FILE, load_file
from shd_helpers.events.split import N_FOLDS, Split
from shd_helpers.network import build_network, costs, uncounted_reason
from shd_helpers.network.engine import one_thread
from shd_helpers.paths import data_dir, results_dir, runs_dir
from shd_helpers.study.evaluation import evaluate
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.training import TrainOptions, fit
from shd_helpers.sweeps.saved import behind_the_winner

SELECTED = results_dir() / "people_recipes.csv"
FROZEN = results_dir() / "people_answers.h5"
VALIDATION = Split(
    validation="speaker", validation_speakers=plan()["validation_speakers"]
).speakers()
HD_SPEAKERS = 10_000  # is added to the numbers of `hd`, so that no person of `commands` has them


def scores_dir() -> Path:
    """Return the folder of the networks' scores."""
    return runs_dir() / "people"


def selected_recipes() -> dict[str, str]:
    """Return the name of the selected recipe of each input; empty before the selection."""
    if not SELECTED.exists():
        return {}
    table = pd.read_csv(SELECTED)
    best = table.loc[table.groupby("input", sort=False).accuracy.idxmax()]
    return dict(zip(best.input, best.recipe, strict=True))


# --- Data ------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def _load(dataset: str, grid: Downsampling, file_number: int) -> Events:
    """Return English utterances of a file of a data set."""
    name = str(data_dir() / dataset) if dataset == "hd_cut" else dataset
    events = load_file(obtain(name)[file_number], file_number, grid, "english")
    if dataset == "hd_cut":
        events = replace(events, speakers=events.speakers + HD_SPEAKERS)
    return events


def load(dataset: str, grid: Downsampling, file_number: int = TRAINING_FILE) -> Events:
    """Return the utterances of a data set; those of `hd_cut` are in both files."""
    if dataset == "hd_cut":
        return concatenate([_load(dataset, grid, TRAINING_FILE), _load(dataset, grid, TEST_FILE)])
    return _load(dataset, grid, file_number)


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


def utterances(training: Training) -> tuple[Events, dict[str, Events]]:
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


# --- Training --------------------------------------------------------------------------------


def train(training: Training, folder: Path) -> None:
    """Train a network and store its scores, unless that is done."""
    path = training.path(folder)
    if path.exists():
        return
    start_s = time.perf_counter()
    recipe = Recipe.from_flat(training.cell.settings)
    training_events, tests = utterances(training)
    n_units, n_steps = training_events.n_units, training_events.n_steps
    n_classes = len(training_events.class_names)
    generator = torch.Generator().manual_seed(training.seed)
    stored: dict[str, Any] = {}
    with one_thread():
        model = build_network(recipe.network, n_units, n_classes, recipe.input.step_ms, generator)
        options = TrainOptions(recipe.augmentation, print_epochs=False)
        fit(model, training_events, None, recipe.training, generator, options=options)
        for name, events in tests.items():
            tested = evaluate(model, events)
            stored[f"{name}_scores"] = behind_the_winner(tested.class_scores.numpy())
            stored[f"{name}_rows"] = events.rows
            stored[f"{name}_file"] = events.file
            stored[f"{name}_speakers"] = events.speakers
            stored[f"{name}_labels"] = events.labels
            if name == "commands" and uncounted_reason(model) is None:
                stored |= costs(model, tested.predictions(), n_steps)
    stored["n_training"] = len(training_events)
    stored["training_s"] = time.perf_counter() - start_s
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as unfinished, unfinished.open("wb") as file:
        np.savez_compressed(file, **stored)


@cache
def read_scores(path: Path) -> dict[str, np.ndarray]:
    """Return what is stored of a network."""
    with np.load(path) as file:
        return dict(file)


def accuracy_by_person(stored: Mapping[str, np.ndarray], dataset: str = "commands") -> pd.Series:
    """Return the share of right answers of each person who tested a network."""
    right = stored[f"{dataset}_scores"].argmax(1) == stored[f"{dataset}_labels"]
    return pd.Series(right).groupby(stored[f"{dataset}_speakers"]).mean()


def write_selection() -> None:
    """Write the accuracy of each candidate for the validation people."""
    rows = []
    for name, recipe, cell in candidates():
        stored = read_scores(Training(cell, None, 0, "validation").path(scores_dir()))
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
    # First one network of each fold for all cells, then the next
    yield from sorted(itertools.chain(*of_cells), key=lambda training: training.seed // SEED_STEP)


def train_left(question: str, n_workers: int, end_s: float) -> None:
    """Train what is left of a question, and start nothing after a time of the monotonic clock."""
    left = [training for training in wanted_trainings(question) if _is_left(training)]
    jobs = (joblib.delayed(train)(each, scores_dir()) for each in left if time.monotonic() < end_s)
    pool = joblib.Parallel(
        n_workers, batch_size=1, pre_dispatch=n_workers, return_as="generator_unordered"
    )
    for _ in tqdm(pool(jobs), question, total=len(left)):
        pass
    if question == "selection" and not any(map(_is_left, wanted_trainings("selection"))):
        write_selection()


def _is_left(training: Training) -> bool:
    """Tell whether a network has no scores yet, neither here nor in the frozen file."""
    if training.path(scores_dir()).exists():
        return False
    if not FROZEN.exists():
        return True
    with h5py.File(FROZEN) as file:
        return training.frozen_name not in file
