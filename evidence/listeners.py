"""Train networks that listen with the filter bank, select two of them, judge and ship them.

``python -m evidence.listeners`` does what is left of ``listeners.yaml``, which says what trains and
selects, and who judges. It needs `commands` and `hd_cut` with events of the filter bank, and the
draws of `evidence.changed_sounds`. It writes ``listeners_selection.csv``, ``listeners_judged.csv``,
the class scores in ``listeners_scores.h5``, and the networks *listener* and *small_listener*.
"""

import argparse
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import joblib
import numpy as np
import pandas as pd
import torch
import yaml  # type: ignore[import-untyped]
from scipy.special import softmax

from evidence import changed_sounds
from evidence.networks import write_pretrained
from evidence.plan_jobs import (
    COSTS,
    HD_SPEAKERS,
    VALIDATION_PEOPLE,
    VALIDATION_SPEAKERS,
    behind_the_winner,
)
from evidence.tables import refused_people
from shd_corpus.class_names import ENGLISH, LANGUAGES
from shd_corpus.encoders import encoder_folder
from shd_corpus.files import atomic
from shd_helpers.command import run as run_command
from shd_helpers.data import fingerprint, obtain
from shd_helpers.events import Events
from shd_helpers.events.event_lists import concatenate
from shd_helpers.events.loading import TEST_FILE, TRAINING_FILE, load_file
from shd_helpers.network import build_network, costs
from shd_helpers.network.engine import one_thread
from shd_helpers.paths import data_dir, networks_dir, results_dir, runs_dir
from shd_helpers.study.evaluation import evaluate
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.trained_network import OTHER
from shd_helpers.study.training import TrainOptions, fit
from shd_judge import interval

PLAN = Path(__file__).with_suffix(".yaml")
CLASSES = (*LANGUAGES["both"], OTHER)
GROUPS = {"small": "small_listener", "large": "listener"}
N_CHANNELS = 77
FROZEN = "listeners_scores.h5"


def plan() -> dict[str, Any]:
    """Return the plan as it is written."""
    return yaml.safe_load(PLAN.read_text(encoding="utf-8"))


def recipe_of(group: str, name: str) -> Recipe:
    """Return the recipe of a candidate."""
    settings = plan()["base"] | plan()[group][name]
    settings.pop("draws", None)
    return Recipe.from_flat(settings, N_CHANNELS)


def hd_files() -> tuple[Path, Path]:
    """Return the files of `hd`, cut out and encoded with the filter bank."""
    return obtain(str(encoder_folder(data_dir() / "hd_cut", "filter_bank")))


def with_classes(events: Events) -> Events:
    """Return utterances with the class numbers of the networks, which have more classes."""
    numbers = np.array([CLASSES.index(name) for name in events.class_names])
    return replace(events, labels=numbers[events.labels], class_names=CLASSES)


def utterances(recipe: Recipe) -> dict[str, Events]:
    """Return the utterances that train, validate and test, and the sounds of held-out kinds."""
    grid = recipe.input
    files = recipe.obtain_files()
    people = load_file(files[0], TRAINING_FILE, grid)
    hd = [load_file(path, TEST_FILE, grid, "both") for path in hd_files()]
    hd = [replace(each, speakers=each.speakers + HD_SPEAKERS) for each in hd]
    validates = np.isin(people.speakers, VALIDATION_PEOPLE)
    parts = [people.take(np.flatnonzero(~validates)), *hd]
    return {
        "training": concatenate([with_classes(part) for part in parts]),
        "validation": with_classes(people.take(np.flatnonzero(validates))),
        "test": with_classes(load_file(files[1], TEST_FILE, grid)),
    }


def draw_of(number: int, like: Events) -> Events:
    """Return a draw of changed sounds, digits and others, when it is there."""
    path = changed_sounds.folder() / f"draw_{number}.npz"
    while not path.exists():
        time.sleep(5)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    digits = changed_sounds.load().labels
    labels = np.full(len(arrays["kinds"]), CLASSES.index(OTHER))
    labels[: len(digits)] = digits
    steps, kept = arrays["steps"], arrays["steps"] < like.n_steps
    offsets = np.concatenate([[0], np.cumsum(kept)])[arrays["offsets"]]
    return replace(
        like,
        steps=steps[kept],
        units=arrays["units"][kept],
        offsets=offsets,
        labels=labels,
        speakers=np.zeros_like(labels),
        rows=None,
        file=None,
    )


def epochs_of(n_draws: int, training: Events) -> Iterator[Events]:
    """Yield what each epoch trains on: recordings as they are, then other draws, and again."""
    first = draw_of(0, training)
    others = first.take(np.flatnonzero(first.labels == CLASSES.index(OTHER)))
    plain = replace(training, rows=None, file=None)
    while True:
        yield concatenate([plain, others])
        for number in range(n_draws - 1):
            yield draw_of(number, training)


def weights_file(group: str, name: str) -> Path:
    """Return the file of a trained candidate."""
    return runs_dir() / "listeners" / f"{group}, {name}.pt"


def train(group: str, name: str) -> None:
    """Train a candidate, unless that is done."""
    path = weights_file(group, name)
    if path.exists():
        return
    recipe = recipe_of(group, name)
    with one_thread():
        training = utterances(recipe)["training"]
        model, generator = untrained(recipe)
        epochs = epochs_of(plan()[group][name].get("draws", 7), training)
        augmentation = recipe.augmentation
        options = TrainOptions(
            lambda _, generator: augmentation(next(epochs), generator)  # type: ignore[arg-type]
        )
        fit(model, training, None, recipe.training, generator, options=options)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as unfinished:
        torch.save(model.state_dict(), unfinished)


def untrained(recipe: Recipe) -> tuple[Any, torch.Generator]:
    """Return the network of a recipe, and the generator that goes on with the training."""
    generator = torch.Generator().manual_seed(recipe.seed)
    n_units, step_ms = recipe.input.n_units, recipe.input.step_ms
    return build_network(recipe.network, n_units, len(CLASSES), step_ms, generator), generator


def trained(group: str, name: str) -> Any:
    """Return a trained candidate."""
    model, _ = untrained(recipe_of(group, name))
    model.load_state_dict(torch.load(weights_file(group, name), weights_only=True))
    return model


def scores_of(model: Any, events: Events) -> np.ndarray:
    """Return the class scores (utterances, classes)."""
    with one_thread():
        return evaluate(model, events).class_scores.numpy().astype(np.float64)


def over_people(values: np.ndarray, people: np.ndarray) -> tuple[float, float]:
    """Return the mean over people of their means, and half the width of its 95 % interval."""
    of_people = pd.Series(values).groupby(people).mean()
    mean, half = interval(of_people.to_frame().to_numpy())
    return float(mean), float(half)


def answers(scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return answers and confidences if English digits are expected.

    A confidence is 0 where another class than the digit scores highest.
    """
    n_digits = len(ENGLISH)
    exact = scores[:, [*range(n_digits), -1]].astype(np.float64)
    shares = softmax(exact, axis=1)[:, :n_digits]
    digits = shares.argmax(1)
    return digits, np.where(scores.argmax(1) == digits, shares.max(1), 0.0)


def confidence_threshold(confidences: np.ndarray, is_right: np.ndarray, wanted: float) -> float:
    """Return the lowest confidence from which on a share of the accepted answers is right."""
    order = np.argsort(-confidences, kind="stable")
    levels = confidences[order]
    shares = np.cumsum(is_right[order]) / np.arange(1, len(order) + 1)
    is_last = np.append(levels[1:] != levels[:-1], True)  # of equal confidences
    enough = np.flatnonzero(is_last & (shares >= wanted) & (levels > 0))
    return float(levels[enough[-1]]) if len(enough) else np.inf


def select() -> pd.DataFrame:
    """Return a row for each candidate, with its accuracy for the validation people."""
    rows = []
    for group in GROUPS:
        for name in plan()[group]:
            events = utterances(recipe_of(group, name))["validation"]
            scores = scores_of(trained(group, name), events)
            mean, half = over_people(scores.argmax(1) == events.labels, events.speakers)
            row = {"group": group, "candidate": name, "encoder": "filter_bank"}
            n_parameters = sum(values.numel() for values in trained(group, name).parameters())
            rows.append(row | {"parameters": n_parameters, "accuracy": mean, "ci95": half})
    return pd.DataFrame(rows)


def freeze(file: h5py.File, group: str, name: str) -> None:
    """Store the class scores of a selected network, and what it costs."""
    model = trained(group, name)
    stored = file.create_group(GROUPS[group])
    stored.attrs["candidate"] = name
    events = utterances(recipe_of(group, name))
    for whose in ("validation", "test"):
        of_them = stored.create_group(whose)
        scores = behind_the_winner(scores_of(model, events[whose]))
        columns = {"scores": scores, "labels": events[whose].labels.astype(np.uint8)}
        columns["speakers"] = events[whose].speakers.astype(np.uint16)
        for column, values in columns.items():
            of_them.create_dataset(column, data=values, compression="gzip")
    with one_thread():
        tested = evaluate(model, events["test"])
    for cost, value in costs(model, tested.predictions(), events["test"].n_steps).items():
        if cost in COSTS:
            stored.attrs[cost] = value


def judged(stored: h5py.Group) -> dict[str, Any]:
    """Return how a network answers the test people, and sounds of kinds that trained nothing."""
    labels, speakers, scores = (
        {whose: stored[whose][column][:] for whose in stored}
        for column in ("labels", "speakers", "scores")
    )
    digits, confidences = answers(scores["validation"])
    is_right = digits == labels["validation"]
    threshold = confidence_threshold(confidences, is_right, plan()["right_of_accepted"])
    digits, confidences = answers(scores["test"])
    is_right = digits == labels["test"]
    is_accepted = confidences >= threshold
    accuracy, half = over_people(is_right, speakers["test"])
    return {
        "network": stored.name.strip("/"),
        "candidate": stored.attrs["candidate"],
        "encoder": "filter_bank",
        "people": len(np.unique(speakers["test"])),
        "utterances": len(is_right),
        "accuracy": accuracy,
        "ci95": half,
        "accuracy_refused_wrong": with_refused(is_right, speakers["test"]),
        "accuracy_utterances": is_right.mean(),
        "threshold": threshold,
        "accepted": is_accepted.mean(),
        "right_of_accepted": is_right[is_accepted].mean(),
        **{name: stored.attrs[name] for name in COSTS},
    }


def with_refused(is_right: np.ndarray, people: np.ndarray) -> float:
    """Return the accuracy over people if recordings in which nothing was found count as errors.

    The cut is that of `commands`, so the same recordings are refused.
    """
    counts = pd.Series(is_right).groupby(people).agg(["sum", "count"])
    n_refused = refused_people().reindex(counts.index).fillna(0)
    return float((counts["sum"] / (counts["count"] + n_refused)).mean())


def judged_table() -> pd.DataFrame:
    """Return a row for each of the two networks, from their frozen scores."""
    with h5py.File(results_dir() / FROZEN) as file:
        return pd.DataFrame([judged(file[name]) for name in GROUPS.values()])


def ship(row: Mapping[str, Any], group: str) -> None:
    """Write a network with its threshold to ``results/networks``."""
    recipe = recipe_of(group, row["candidate"])
    parameters = recipe.flat() | {"validation": "speaker", "language": "english"}
    people = np.unique(utterances(recipe)["training"].speakers)
    about = {
        "parameters": parameters | {"validation_speakers": VALIDATION_SPEAKERS},
        "seed": recipe.seed,
        "data": fingerprint(recipe.obtain_files()) | {"also": ["hd"]},
        "class_names": list(CLASSES),
        "n_channels": N_CHANNELS,
        "seen_speakers": people.tolist(),
        "confidence_threshold": row["threshold"],
    }
    state = trained(group, row["candidate"]).state_dict()
    arrays = {name: values.numpy() for name, values in state.items()}
    write_pretrained(networks_dir() / f"{row['network']}.npz", about, arrays)


def main() -> None:
    """Do what is left, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m evidence.listeners", description=__doc__)
    parser.add_argument("--workers", type=int, default=joblib.cpu_count(), help="processes")
    given = parser.parse_args()
    candidates = [(group, name) for group in ("large", "small") for name in plan()[group]]
    joblib.Parallel(given.workers, batch_size=1)(
        joblib.delayed(train)(group, name) for group, name in candidates
    )
    selection = select()
    selection.to_csv(results_dir() / "listeners_selection.csv", index=False, float_format="%.6g")
    with h5py.File(results_dir() / FROZEN, "w") as file:
        for group in GROUPS:
            of_group = selection[selection.group == group]
            freeze(file, group, of_group.candidate[of_group.accuracy.idxmax()])
    table = judged_table()
    table.to_csv(results_dir() / "listeners_judged.csv", index=False, float_format="%.6g")
    for group, row in zip(GROUPS, table.to_dict("records"), strict=True):
        ship(row, group)


if __name__ == "__main__":
    run_command(main)
