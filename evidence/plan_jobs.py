"""Train the networks of a plan, and freeze what they answered.

Each network is a job that keeps its class scores in a file of its own, so training that was stopped
goes on. `freeze` adds the answers to the plan's frozen file, from which `tables` computes all else.
"""

import itertools
import shutil
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

import h5py
import numpy as np
import pandas as pd
import torch
from torch import nn

from evidence.plan import (
    DATASET,
    SELECTION,
    VALIDATION,
    Cell,
    Network,
    Plan,
    frozen_file,
    networks_of,
    runs_of,
    selection_table,
)
from shd_corpus.files import atomic
from shd_helpers.data import NAMED, obtain
from shd_helpers.events import Downsampling, Events
from shd_helpers.events.downsampling import concatenate
from shd_helpers.events.loading import N_FOLDS, TEST_FILE, TRAINING_FILE, Split, load_file
from shd_helpers.network import build_network
from shd_helpers.paths import data_dir
from shd_helpers.study.jobs import Workers, run_jobs
from shd_helpers.study.network_jobs import CURVES, Kept, NetworkJob, Utterances
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.training import TrainOptions

VALIDATION_SPEAKERS = "1436-1620"  # of `commands`, in the form of a setting
VALIDATION_PEOPLE = Split(validation="speaker", validation_speakers=VALIDATION_SPEAKERS).speakers()
HD_SPEAKERS = 10_000  # is added to the numbers of `hd`, so that no person of `commands` has them
HELD_OUT = DATASET  # the name of the utterances by held-out people, of the data set that trains
AVERAGED = "averaged"  # class scores of all draws of a recording
COSTS = ("parameters", "input_events", "effective_acs")
LOWEST = float(np.finfo(np.float16).min)
SMALLEST = float(np.finfo(np.float16).smallest_subnormal)


# --- Data ------------------------------------------------------------------------------------


@lru_cache(maxsize=2)
def _load(dataset: str, grid: Downsampling, file_number: int) -> Events:
    """Return the utterances of a file of a data set; one without a name is below ``data/``."""
    if dataset in NAMED:
        path = obtain(dataset)[file_number]
    else:
        path = data_dir() / dataset / f"{dataset}_{('train', 'test')[file_number]}.h5"
    events = load_file(path, file_number, grid, "english")
    if dataset == "hd_cut":
        events = replace(events, speakers=events.speakers + HD_SPEAKERS)
    return events


def load(dataset: str, grid: Downsampling, file_number: int = TRAINING_FILE) -> Events:
    """Return the utterances of a data set; those of `hd_cut` are in both files."""
    if dataset == "hd_cut":
        return concatenate([_load(dataset, grid, number) for number in (TRAINING_FILE, TEST_FILE)])
    return _load(dataset, grid, file_number)


def fold_of(speakers: np.ndarray) -> np.ndarray:
    """Return each utterance's fold: every fifth speaker by number, of those who don't validate."""
    numbers = np.setdiff1d(np.unique(speakers), VALIDATION_PEOPLE)
    ranks = np.searchsorted(numbers, speakers)
    return np.where(np.isin(speakers, VALIDATION_PEOPLE), -1, ranks % N_FOLDS)


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


def utterances(cell: Cell, fold: int | None, seed: int, *, by_test_people: bool) -> Utterances:
    """Return the utterances that train a network, and those that test it by a name.

    Without a fold, all training people train, and validation people or the test people test.
    """
    grid = Recipe.from_flat(cell.settings).input
    data = cell.settings["dataset"]
    held_out = -1 if fold is None else fold
    events = load(data, grid)
    if cell.thinned_to:
        events = thinned(events, load(data, Downsampling(**cell.thinned_to)), seed)
    folds = _folds_of(events, grid)
    tests = {HELD_OUT: events.take(np.flatnonzero(folds == held_out))}
    if by_test_people:
        tests = {HELD_OUT: load(data, grid, TEST_FILE)}
    for other in cell.also_scored:
        if other != VALIDATION:
            its = load(other, grid)
            tests[other] = its.take(np.flatnonzero(_folds_of(its, grid) == held_out))
        elif (folds < 0).any():
            tests[VALIDATION] = events.take(np.flatnonzero(folds < 0))
    training = events.take(np.flatnonzero((folds >= 0) & (folds != held_out)))
    if "hd_cut" in (cell.test_on, cell.train_on) or cell.train_on == "both":
        training, tests_of_hd = _with_hd(training, cell, fold, grid)
        tests |= tests_of_hd
    if cell.train_utterances:
        training = drawn(training, cell.train_people, cell.train_utterances, seed)
    return training, tests


def _folds_of(events: Events, grid: Downsampling) -> np.ndarray:
    """Return each utterance's fold among all people of `commands`, of whom it may lack some."""
    everyone = load(DATASET, grid).speakers
    fold_by_person = pd.Series(fold_of(everyone), everyone).groupby(level=0).first()
    return fold_by_person[events.speakers].to_numpy()


def _with_hd(training: Events, cell: Cell, fold: int | None, grid: Downsampling) -> Utterances:
    """Return the training utterances with those of `hd`, or these alone, and who of `hd` tests."""
    hd = load("hd_cut", grid)
    is_test = fold_of(hd.speakers) == fold
    # Of whoever doesn't test a network on `hd`, all speakers train it.
    its = hd.take(np.flatnonzero(~is_test)) if cell.test_on else hd
    tests = {"hd_cut": hd.take(np.flatnonzero(is_test))} if cell.test_on else {}
    by_corpus = {DATASET: training, "hd_cut": its}
    return by_corpus.get(cell.train_on) or concatenate([training, its]), tests


# --- Training --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class CellJob(NetworkJob):
    """What a process needs to train and test one network of a plan."""

    cell: Cell
    fold: int | None
    by_test_people: bool

    def utterances(self) -> Utterances:
        """Return the utterances that train the network, and those that test it by a name."""
        return utterances(self.cell, self.fold, self.seed, by_test_people=self.by_test_people)

    def make_network(self, training: Events, generator: torch.Generator) -> nn.Module:
        """Build the network of the cell's settings."""
        n_classes = len(training.class_names)
        recipe = Recipe.from_flat(self.cell.settings)
        return build_network(
            recipe.network, training.n_units, n_classes, recipe.input.step_ms, generator
        )

    def options_for(self, training: Events) -> TrainOptions:
        """Return the options; draws of the training utterances replace each other by epoch."""
        cell = self.cell
        if cell.draws == 1:
            return self.options
        draws = [training]
        for number in range(1, cell.draws):
            settings = dict(cell.settings)
            settings["dataset"] += f"_draw_{number}"
            other = replace(self, cell=replace(cell, settings=settings, also_scored=()))
            draws.append(other.utterances()[0])
        turn = itertools.cycle(draws)
        return TrainOptions(lambda _events, _generator: next(turn))  # type: ignore[arg-type]


def job_of(plan: Plan, network: Network) -> CellJob:
    """Return what trains a network of a plan."""
    recipe = Recipe.from_flat(network.cell.settings)
    folder = runs_of(plan) / network.cell.digest
    return CellJob(
        path=folder / f"{network.tested_by}_seed_{network.seed}.npz",
        identity=network.cell.digest,
        held_out=network.tested_by,
        seed=network.seed,
        config=recipe.training,
        options=TrainOptions(recipe.augmentation),
        scored_after=network.cell.scored_after,
        cell=network.cell,
        fold=network.fold,
        by_test_people=network.tested_by == "test",
    )


def left_of(plan: Plan, networks: Iterable[Network]) -> list[CellJob]:
    """Return the jobs of the networks whose scores are neither kept here nor frozen."""
    frozen = _frozen_names(plan)
    jobs = [job_of(plan, each) for each in networks if each.frozen_name not in frozen]
    return [job for job in jobs if not job.is_kept]


def train(plan: Plan, question: str, workers: Workers, end_s: float) -> None:
    """Train what is left of a question, and begin nothing after a time of the monotonic clock."""
    networks = workers.share_of(list(networks_of(plan, question)))
    left = left_of(plan, networks)
    n_kept = len(networks) - len(left)
    for _ in run_jobs(left, workers.n_processes, question, n_kept, end_s=end_s):
        pass
    if question == SELECTION:
        write_selection(plan)


def write_selection(plan: Plan) -> None:
    """Write the accuracy of each candidate for the validation people, when all are trained."""
    networks = list(networks_of(plan, SELECTION))
    if left_of(plan, networks):
        return
    rows = []
    for network in networks:
        kept = job_of(plan, network).kept()
        right = kept[f"{HELD_OUT}_scores"].argmax(1) == kept[f"{HELD_OUT}_labels"]
        accuracy = pd.Series(right).groupby(kept[f"{HELD_OUT}_speakers"]).mean().mean()
        rows.append({**network.names, "accuracy": accuracy, "digest": network.cell.digest})
    pd.DataFrame(rows).to_csv(selection_table(plan), index=False, float_format="%.6f")


# --- Freezing --------------------------------------------------------------------------------


def _frozen_names(plan: Plan) -> set[str]:
    """Return the names of the networks in the frozen file."""
    if not frozen_file(plan).exists():
        return set()
    with h5py.File(frozen_file(plan)) as file:
        digests = file.get("networks", {})
        return {f"networks/{digest}/{name}" for digest in digests for name in digests[digest]}


def behind_the_winner(scores: np.ndarray) -> np.ndarray:
    """Return class scores as files keep them: by how much each class is behind the winner, float16.

    The winner has 0 and all others have negative numbers. This changes no answer and no confidence,
    of a network or of an average over networks, because only differences between classes count.
    A number keeps three digits, so classes that nearly won are the most exact. A class that is more
    than 65,504 behind is stored as 65,504 behind, and one that is behind by less than the smallest
    float16 as behind by that number. So the stored scores have the same winner.
    """
    exact = scores.astype(np.float64)
    behind = exact - exact.max(axis=1, keepdims=True)
    stored = np.maximum(behind, LOWEST).astype(np.float16)
    stored[(behind < 0) & (stored == 0)] = -SMALLEST
    return stored


def freeze(plan: Plan, networks: Iterable[Network]) -> None:
    """Add the answers of those networks that are trained to the plan's frozen file."""
    frozen = frozen_file(plan)
    with atomic(frozen) as unfinished:
        if frozen.exists():
            shutil.copy(frozen, unfinished)
        with h5py.File(unfinished, "a") as file:
            for network in networks:
                job = job_of(plan, network)
                if network.frozen_name not in file and job.path.exists():
                    keeps_scores = plan.get("keep_scores", False) and network.cell.n_seeds > 1
                    _write_network(file, network, job.kept(), keeps_scores)


def _write_network(file: h5py.File, network: Network, kept: Kept, keeps_scores: bool) -> None:
    """Write the answers and the curves of a network, and its class scores where it is averaged."""
    group = file.create_group(network.frozen_name)
    for name in (*COSTS, "training_s", "n_training"):
        if name in kept:
            group.attrs[name] = float(kept[name])
    for name in CURVES:
        _write(group, name, kept[name].astype(np.float32))
    tested = [name.removesuffix("_scores") for name in kept if name.endswith("_scores")]
    draws = []
    for name in tested:
        scores = behind_the_winner(kept[f"{name}_scores"])
        _write(group, name, scores.argmax(1).astype(np.uint8))
        for epoch in network.cell.scored_after:
            _write(group, f"{name}_after_{epoch}", kept[f"{name}_answers_{epoch}"].astype(np.uint8))
        if keeps_scores:
            _write(group, f"{name}_scores", scores)
        if "_draw_" in name:
            draws.append(scores.astype(float))
        _write_utterances(file, f"{network.frozen_utterances}/{name}", name, kept)
    if draws:
        _write(group, AVERAGED, np.mean(draws, axis=0).argmax(1).astype(np.uint8))
        first = next(name for name in tested if "_draw_" in name)
        _write_utterances(file, f"{network.frozen_utterances}/{AVERAGED}", first, kept)


def _write_utterances(file: h5py.File, where: str, name: str, kept: Kept) -> None:
    """Write labels and speakers of those who test: the same for all networks of a fold."""
    if where not in file:
        for column in ("labels", "speakers"):
            _write(file, f"{where}/{column}", kept[f"{name}_{column}"].astype(np.uint16))
    if not np.array_equal(file[f"{where}/labels"][:], kept[f"{name}_labels"]):
        raise ValueError(f"{file.filename}: other utterances are in {where}")


def _write(group: h5py.Group, name: str, values: np.ndarray) -> None:
    """Write an array, compressed."""
    group.create_dataset(name, data=values, compression="gzip", compression_opts=9, shuffle=True)
