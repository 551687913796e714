"""Train networks that listen without three speakers of `hd` at a time, and judge them by these.

``python -m evidence.held_out`` does what is left of ``held_out.yaml``. It needs what
`evidence.listeners` needs, and writes ``listeners_held_out.csv``: a row for each network, speaker
and language.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import joblib
import numpy as np
import pandas as pd
import torch
from scipy.special import softmax

from evidence import changed_sounds, listeners
from evidence.plan_jobs import HD_SPEAKERS
from shd_corpus.class_names import LANGUAGES
from shd_corpus.files import atomic
from shd_helpers.command import run as run_command
from shd_helpers.events import Events
from shd_helpers.events.event_lists import concatenate
from shd_helpers.events.loading import TEST_FILE, load_file
from shd_helpers.network.engine import one_thread
from shd_helpers.paths import data_dir, results_dir, runs_dir
from shd_helpers.study.training import TrainOptions, fit

N_GROUPS = 4
SPEAKERS = range(12)
OTHER = len(listeners.CLASSES) - 1
TABLE = "listeners_held_out.csv"


def candidate(kind: str) -> str:
    """Return the candidate that the plan `listeners` selected."""
    return next(iter(listeners.plan()[kind]))


def held_out(group: int) -> list[int]:
    """Return the speakers of a group."""
    return [speaker for speaker in SPEAKERS if speaker % N_GROUPS == group]


def training_of(kind: str, group: int) -> Events:
    """Return the utterances that train: those of everybody but the group."""
    events = listeners.utterances(listeners.recipe_of(kind, candidate(kind)))["training"]
    hidden = [HD_SPEAKERS + speaker for speaker in held_out(group)]
    kept = np.flatnonzero(~np.isin(events.speakers, hidden))
    return replace(events.take(kept), rows=None, file=None)


def draw_of(number: int, like: Events, group: int) -> Events:
    """Return a draw of changed sounds without those of the group."""
    draw = listeners.draw_of(number, like)
    sounds = changed_sounds.load()
    hidden = [f"hd {speaker:02}" for speaker in held_out(group)]
    kept = np.ones(len(draw.labels), dtype=bool)
    kept[: len(sounds.labels)] = ~np.isin(sounds.speakers, hidden)
    return draw.take(np.flatnonzero(kept))


def epochs_of(training: Events, group: int) -> Iterator[Events]:
    """Yield what each epoch trains on: recordings as they are, then other draws, and again."""
    first = draw_of(0, training, group)
    others = first.take(np.flatnonzero(first.labels == OTHER))
    while True:
        yield concatenate([training, others])
        for number in range(changed_sounds.N_DRAWS):
            yield draw_of(number, training, group)


def weights_file(kind: str, group: int) -> Any:
    """Return the file of a trained network."""
    return runs_dir() / "held_out" / f"{kind}_{group}.pt"


def train(kind: str, group: int) -> None:
    """Train a network without a group, unless that is done."""
    path = weights_file(kind, group)
    if path.exists():
        return
    recipe = listeners.recipe_of(kind, candidate(kind))
    with one_thread():
        training = training_of(kind, group)
        model, generator = listeners.untrained(recipe)
        epochs = epochs_of(training, group)
        augmentation = recipe.augmentation
        options = TrainOptions(
            lambda _, generator: augmentation(next(epochs), generator)  # type: ignore[arg-type]
        )
        fit(model, training, None, recipe.training, generator, options=options)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic(path) as unfinished:
        torch.save(model.state_dict(), unfinished)


def answers(scores: np.ndarray, language: str) -> tuple[np.ndarray, np.ndarray]:
    """Return answers and confidences if digits of a language are expected.

    A confidence is 0 where another class than the digit scores highest.
    """
    classes = np.array([listeners.CLASSES.index(name) for name in LANGUAGES[language]])
    shares = softmax(scores[:, [*classes, OTHER]].astype(np.float64), axis=1)[:, :-1]
    digits = classes[shares.argmax(1)]
    return digits, np.where(scores.argmax(1) == digits, shares.max(1), 0.0)


def judge(kind: str, group: int) -> list[dict[str, Any]]:
    """Return a row for each speaker of a group and each language."""
    recipe = listeners.recipe_of(kind, candidate(kind))
    model, _ = listeners.untrained(recipe)
    model.load_state_dict(torch.load(weights_file(kind, group), weights_only=True))
    validation = listeners.utterances(recipe)["validation"]
    digits, confidences = answers(listeners.scores_of(model, validation), "english")
    wanted = listeners.plan()["right_of_accepted"]
    threshold = listeners.confidence_threshold(confidences, digits == validation.labels, wanted)
    hd = concatenate(
        [
            listeners.with_classes(load_file(path, TEST_FILE, recipe.input, "both"))
            for path in listeners.hd_files()
        ]
    )
    listed = data_dir() / "hd_cut" / "filter_bank" / "hd_cut_refused.csv"  # none without refusals
    refused = pd.read_csv(listed).iloc[:, 0] if listed.exists() else pd.Series(dtype=str)
    rows = []
    for speaker in held_out(group):
        for language in ("english", "german"):
            classes = [listeners.CLASSES.index(name) for name in LANGUAGES[language]]
            of_them = np.flatnonzero((hd.speakers == speaker) & np.isin(hd.labels, classes))
            events = hd.take(of_them)
            digits, confidences = answers(listeners.scores_of(model, events), language)
            is_right, is_accepted = digits == events.labels, confidences >= threshold
            stem = f"lang-{language}_speaker-{speaker:02}_"
            n_refused = int(refused.str.contains(stem).sum())
            rows.append(
                {
                    "network": listeners.GROUPS[kind],
                    "encoder": "filter_bank",
                    "group": group,
                    "speaker": speaker,
                    "language": language,
                    "utterances": len(is_right),
                    "refused": n_refused,
                    "right": int(is_right.sum()),
                    "accuracy": is_right.sum() / (len(is_right) + n_refused),
                    "threshold": threshold,
                    "accepted": int(is_accepted.sum()),
                    "right_of_accepted": int(is_right[is_accepted].sum()),
                }
            )
    return rows


def main() -> None:
    """Do what is left, from the command line."""
    parser = argparse.ArgumentParser(prog="python -m evidence.held_out", description=__doc__)
    parser.add_argument("--workers", type=int, default=joblib.cpu_count(), help="processes")
    given = parser.parse_args()
    todo = [(kind, group) for kind in ("large", "small") for group in range(N_GROUPS)]
    joblib.Parallel(given.workers, batch_size=1)(joblib.delayed(train)(*each) for each in todo)
    table = pd.DataFrame([row for each in todo for row in judge(*each)])
    table = table.sort_values(["network", "language", "speaker"])
    table.to_csv(results_dir() / TABLE, index=False, float_format="%.6g")


if __name__ == "__main__":
    run_command(main)
