"""What a trained network does: accuracies, examples, and a run folder's utterances."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from scipy.stats import binomtest

from shd_helpers.events import Events, Parts
from shd_helpers.files import reading
from shd_helpers.network import Network, SpikingNetwork
from shd_helpers.network.loop import record
from shd_helpers.source.datasets import fingerprint
from shd_helpers.study.evaluation import Evaluation
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.run_folder import REMEDY, Run, RunError


def seen_and_unseen_accuracy(
    tested: Evaluation | None, seen: Sequence[int]
) -> dict[str, float | None]:
    """Return the test accuracy, over all speakers, seen and unseen ones.

    Parameters
    ----------
    tested : Evaluation or None
        On the test utterances; None if they aren't scored.
    seen : sequence of int
        Speakers of the training utterances.

    Returns
    -------
    dict
        `test`, `test_seen`, `test_unseen` as fractions, None where nothing was measured.
    """
    if tested is None:
        return dict.fromkeys(("test", "test_seen", "test_unseen"))
    correct = tested.answers == tested.events.labels
    known = np.isin(tested.events.speakers, seen)
    parts = {"test": correct, "test_seen": correct[known], "test_unseen": correct[~known]}
    return {name: float(part.mean()) if len(part) else None for name, part in parts.items()}


def accuracy_per_speaker(predictions: pd.DataFrame, seen: Sequence[int]) -> pd.DataFrame:
    """Return each speaker's accuracy with its Wilson 95 % interval.

    Parameters
    ----------
    predictions : DataFrame
        From `evaluation.Evaluation.predictions`.
    seen : sequence of int
        Speakers of the training utterances.

    Returns
    -------
    DataFrame
        Columns `speaker`, `seen`, `utterances`, `accuracy`, `low`, `high` (percent).
    """
    rows = []
    for speaker, group in predictions.groupby("speaker"):
        correct = int((group.label == group.predicted).sum())
        interval = binomtest(correct, len(group)).proportion_ci(method="wilson")
        percent = [100 * x for x in (correct / len(group), interval.low, interval.high)]
        rows.append((speaker, speaker in seen, len(group), *percent))
    columns = ["speaker", "seen", "utterances", "accuracy", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


@torch.no_grad()
def record_examples(model: Network, events: Events) -> dict[str, dict[str, np.ndarray]]:
    """Record one utterance of each class, the first in the file, on its way through the network.

    Parameters
    ----------
    model : SpikingNetwork
        Trained network.
    events : Events
        Test utterances.

    Returns
    -------
    dict
        Per class name: `utterance` (index), `input` (steps, units), `hidden` (steps, neurons of
        the last hidden layer) and `spk` (steps, classes) as booleans, `mem` (steps, classes),
        `scores` (classes,), the highest of which is the answer. Nothing for a network
        without spikes.
    """
    examples: dict[str, dict[str, np.ndarray]] = {}
    if not isinstance(model, SpikingNetwork):
        return examples
    classes, first = np.unique(events.labels, return_index=True)
    recording = record(model, events, first)
    scores = model.scores(recording)
    frames = events.to_frames(first).astype(bool)
    for j, (label, i) in enumerate(zip(classes, first, strict=True)):
        examples[events.class_names[label]] = {
            "utterance": np.array([i]),
            "input": frames[:, j],
            "hidden": recording.hidden_spk[-1][:, j].bool().numpy(),
            "mem": recording.mem[:, j].numpy(),
            "spk": recording.spk[:, j].bool().numpy(),
            "scores": scores[j].numpy(),
        }
    return examples


def load_utterances(run: Run) -> Parts:
    """Return the utterances that a run was trained, validated and tested with.

    Raises
    ------
    RunError
        If the data set's content is not the run's.
    DatasetError
        If the data set isn't there any more.
    """
    return utterances_of(run.info, run.folder / "run.json")


def utterances_of(info: dict, file: Path) -> Parts:
    """Return the utterances that a network was trained with, as `load_utterances`.

    Parameters
    ----------
    info : dict
        The `parameters` and the `data` of a ``run.json``.
    file : Path
        Where they were read, for messages.
    """
    p, data = info["parameters"], info["data"]
    with reading(file, RunError, f"{REMEDY} again."):
        recipe, name = Recipe.from_flat(p), data["name"]
    files = recipe.files
    if fingerprint(files) | {"name": name} != data:
        raise RunError(f"{files[0].parent}: not the data of {file}. Run the training again.")
    return recipe.load()


def load_predicted(run: Run) -> Events:
    """Return the utterances that a run's predictions are of, in their order.

    They are the test utterances, or, if the run didn't score them, the validation utterances. What
    `load_utterances` raises is raised.
    """
    return load_utterances(run).predicted
