"""Train the networks of a plan that have no scores yet, and store their scores.

Each network's scores are a file of their own, so training that was stopped goes on.
"""

import hashlib
import itertools
import json
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import joblib
import numpy as np
import pandas as pd
import torch
from torch import nn
from tqdm import tqdm

from shd_corpus.files import atomic
from shd_helpers.data import NAMED, obtain
from shd_helpers.events import Downsampling, Events
from shd_helpers.events.event_lists import concatenate
from shd_helpers.events.loading import TEST_FILE, TRAINING_FILE, load_file
from shd_helpers.events.split import Split
from shd_helpers.network import build_network, costs, uncounted_reason
from shd_helpers.network.engine import one_thread
from shd_helpers.paths import data_dir, results_dir, runs_dir
from shd_helpers.study.evaluation import evaluate
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.training import TrainOptions, fit
from shd_helpers.sweeps.saved import behind_the_winner
from shd_helpers.versions import NUMERICS

N_DIGITS = 12  # of a cell's hash
VALIDATION_SPEAKERS = "1436-1620"  # of `commands`, in the form of a setting
VALIDATION = Split(validation="speaker", validation_speakers=VALIDATION_SPEAKERS).speakers()
HD_SPEAKERS = 10_000  # is added to the numbers of `hd`, so that no person of `commands` has them


@dataclass(frozen=True)
class Cell:
    """One configuration: what is trained, on whose utterances, and who tests it besides a fold.

    `thinned_to` holds settings of the input whose number of events remains. `train_people` and
    `train_utterances` are how many of the training people and of their utterances train; 0 is all.
    """

    settings: Mapping[str, Any]
    thinned_to: Mapping[str, Any] | None = None
    train_on: str = "commands"
    train_people: int = 0
    train_utterances: int = 0
    test_on: str = ""
    n_seeds: int = 1  # networks for each fold
    scored_after: tuple[int, ...] = ()  # epochs, beside the last one
    also_scored: tuple[str, ...] = ()  # data sets, beside the one that trains
    draws: int = 1  # of each training utterance, which replace each other by epoch

    @property
    def digest(self) -> str:
        """Return a hash of all that changes the networks of this cell."""
        values = asdict(self) | {"numerics": NUMERICS}
        for name in ("n_seeds", "scored_after", "also_scored"):
            values.pop(name)
        if self.draws == 1:
            values.pop("draws")
        text = json.dumps(values, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:N_DIGITS]


class Training(NamedTuple):
    """One network: a cell, whose people are held out, and a seed.

    Without a fold, all training people train and `role` says who tests it.
    """

    cell: Cell
    fold: int | None
    seed: int
    role: str = "training"

    def path(self, folder: Path) -> Path:
        """Return the file of the network's scores."""
        return folder / self.cell.digest / f"{self.tested_by}_seed_{self.seed}.npz"

    @property
    def tested_by(self) -> str:
        """Return whose utterances test the network."""
        return self.role if self.fold is None else f"fold_{self.fold}"

    @property
    def frozen_name(self) -> str:
        """Return where the frozen file has the network."""
        return f"networks/{self.cell.digest}/{self.tested_by}_{self.seed}"


Utterances = tuple[Events, dict[str, Events]]  # that train, and that test, by their data set


class Study(NamedTuple):
    """What the trainings of a plan have in common."""

    name: str  # of the folder below runs/ that has the scores
    frozen_file: str  # in results/
    utterances: Callable[[Training], Utterances]
    keeps_networks: bool = False  # beside their scores

    @property
    def folder(self) -> Path:
        """Return the folder of the networks' scores."""
        return runs_dir() / self.name

    @property
    def frozen(self) -> Path:
        """Return the file in which scores are frozen."""
        return results_dir() / self.frozen_file


# --- Data ------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def _load(dataset: str, grid: Downsampling, file_number: int, language: str) -> Events:
    """Return the utterances of a file of a data set; one without a name is below ``data/``."""
    if dataset in NAMED:
        path = obtain(dataset)[file_number]
    else:
        path = data_dir() / dataset / f"{dataset}_{('train', 'test')[file_number]}.h5"
    events = load_file(path, file_number, grid, language)
    if dataset == "hd_cut":
        events = replace(events, speakers=events.speakers + HD_SPEAKERS)
    return events


def load(
    dataset: str,
    grid: Downsampling,
    file_number: int = TRAINING_FILE,
    language: str = "english",
) -> Events:
    """Return the utterances of a data set; those of `hd_cut` are in both files."""
    if dataset == "hd_cut":
        files = (TRAINING_FILE, TEST_FILE)
        return concatenate([_load(dataset, grid, number, language) for number in files])
    return _load(dataset, grid, file_number, language)


# --- Training --------------------------------------------------------------------------------


def train(study: Study, training: Training) -> None:
    """Train a network and store its scores, unless that is done."""
    path = training.path(study.folder)
    if path.exists():
        return
    start_s = time.perf_counter()
    recipe = Recipe.from_flat(training.cell.settings)
    training_events, tests = study.utterances(training)
    n_units = training_events.n_units
    n_classes = len(training_events.class_names)
    generator = torch.Generator().manual_seed(training.seed)
    stored: dict[str, Any] = {}

    def score_epoch(model: nn.Module, metrics: Mapping[str, float]) -> None:
        epoch = metrics["epoch"]
        if epoch in training.cell.scored_after:
            for name, events in tests.items():
                stored[f"{name}_answers_{epoch}"] = evaluate(model, events).answers

    with one_thread():
        model = build_network(recipe.network, n_units, n_classes, recipe.input.step_ms, generator)
        options = TrainOptions(_by_epoch(study, training, training_events) or recipe.augmentation)
        history = fit(
            model,
            training_events,
            None,
            recipe.training,
            generator,
            options=options,
            on_epoch=score_epoch,
        )
        for name in ("train_loss", "train_accuracy"):
            stored[name] = np.array([metrics[name] for metrics in history])
        for name, events in tests.items():
            tested = evaluate(model, events)
            stored[f"{name}_scores"] = behind_the_winner(tested.class_scores.numpy())
            stored[f"{name}_rows"] = events.rows
            stored[f"{name}_file"] = events.file
            stored[f"{name}_speakers"] = events.speakers
            stored[f"{name}_labels"] = events.labels
            if name == "commands" and uncounted_reason(model) is None:
                stored |= costs(model, tested.predictions(), training_events.n_steps)
    stored["n_training"] = len(training_events)
    stored["training_s"] = time.perf_counter() - start_s
    path.parent.mkdir(parents=True, exist_ok=True)
    if study.keeps_networks:
        torch.save(model.state_dict(), path.with_suffix(".pt"))
    with atomic(path) as unfinished, unfinished.open("wb") as file:
        np.savez_compressed(file, **stored)


def _by_epoch(study: Study, training: Training, first: Events) -> Any:
    """Return what replaces the training utterances by other draws, one in each epoch, if any do."""
    cell = training.cell
    events = [first]
    for draw in range(1, cell.draws):
        settings = dict(cell.settings) | {"dataset": f"{cell.settings['dataset']}_draw_{draw}"}
        other = training._replace(cell=replace(cell, settings=settings, also_scored=()))
        events.append(study.utterances(other)[0])
    turn = itertools.cycle(events)
    return (lambda _events, _generator: next(turn)) if cell.draws > 1 else None


@cache
def read_scores(path: Path) -> dict[str, np.ndarray]:
    """Return what is stored of a network."""
    with np.load(path) as file:
        return dict(file)


def accuracy_by_person(stored: Mapping[str, np.ndarray], dataset: str = "commands") -> pd.Series:
    """Return the share of right answers of each person who tested a network."""
    right = stored[f"{dataset}_scores"].argmax(1) == stored[f"{dataset}_labels"]
    return pd.Series(right).groupby(stored[f"{dataset}_speakers"]).mean()


def train_left(
    study: Study, trainings: Iterable[Training], n_workers: int, end_s: float, what: str
) -> None:
    """Train what is left of some trainings, and start none after a time of the monotonic clock."""
    left = [training for training in trainings if is_left(study, training)]
    jobs = (joblib.delayed(train)(study, each) for each in left if time.monotonic() < end_s)
    pool = joblib.Parallel(
        n_workers, batch_size=1, pre_dispatch=n_workers, return_as="generator_unordered"
    )
    for _ in tqdm(pool(jobs), what, total=len(left)):
        pass


def is_left(study: Study, training: Training) -> bool:
    """Tell whether a network has no scores yet, neither here nor in the frozen file."""
    if training.path(study.folder).exists():
        return False
    if not study.frozen.exists():
        return True
    with h5py.File(study.frozen) as file:
        return training.frozen_name not in file


# --- Freezing --------------------------------------------------------------------------------


def freeze(study: Study, trainings: Iterable[Training]) -> None:
    """Add all that is stored of the networks that have ended to the frozen file."""
    with atomic(study.frozen) as unfinished:
        if study.frozen.exists():
            shutil.copy(study.frozen, unfinished)
        with h5py.File(unfinished, "a") as file:
            for training in trainings:
                path = training.path(study.folder)
                if path.exists() and training.frozen_name not in file:
                    group = file.create_group(training.frozen_name)
                    for name, values in read_scores(path).items():
                        compression = "gzip" if values.ndim else None
                        group.create_dataset(name, data=values, compression=compression)


def stored_of(study: Study, training: Training) -> dict[str, np.ndarray] | None:
    """Return what is stored of a network, from the frozen file or its own; None if nothing is."""
    if study.frozen.exists():
        with h5py.File(study.frozen) as file:
            if training.frozen_name in file:
                group = file[training.frozen_name]
                return {name: values[()] for name, values in group.items()}
    path = training.path(study.folder)
    return read_scores(path) if path.exists() else None
