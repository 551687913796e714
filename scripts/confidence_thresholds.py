"""Find the confidence from which an answer is accepted, on utterances of unseen speakers.

``python -m scripts.confidence_thresholds TABLE MODEL NETWORK...`` writes
``results/confidence_thresholds.csv`` and puts the threshold into pretrained networks, from which
``shd_helpers.hear`` takes it.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from shd_helpers.command import run
from shd_helpers.files import atomic
from shd_helpers.paths import networks_dir, results_dir
from shd_helpers.study.predictions import collect_predictions
from shd_helpers.study.tables import TableError, read_table

WANTED = 0.99  # share of the answers that are right


def confidence_threshold(
    confidence: np.ndarray, correct: np.ndarray, wanted: float = WANTED
) -> float:
    """Return the lowest confidence from which on at least a given share of answers is correct.

    Parameters
    ----------
    confidence, correct : (utterances,) array
        The confidence of each answer, and whether it is correct.
    wanted : float
        The share of correct answers, 0..1.

    Returns
    -------
    float
        The lowest threshold at which the wanted share is reached; infinity if there is none.
    """
    levels, level_of_answer = np.unique(confidence, return_inverse=True)
    n_answers = np.bincount(level_of_answer)
    n_correct = np.bincount(level_of_answer, correct)
    n_accepted = n_answers[::-1].cumsum()[::-1]  # at this level or a higher one
    n_accepted_correct = n_correct[::-1].cumsum()[::-1]
    thresholds = levels[n_accepted_correct >= wanted * n_accepted]
    return float(thresholds[0]) if len(thresholds) else np.inf


def nested(predictions: pd.DataFrame) -> pd.DataFrame:
    """Judge each speaker with the threshold that the other speakers' utterances give.

    Parameters
    ----------
    predictions : DataFrame
        Predictions for held-out speakers: `speaker`, `label`, `predicted`, `confidence`.

    Returns
    -------
    DataFrame
        One row for each speaker: `confidence_threshold`; `accepted`, the share of utterances with
        at least that confidence; `correct`, the share of correct answers among these;
        `correct_of_all`, the share of correct answers among all.
    """
    correct = predictions.label == predictions.predicted
    rows = {}
    for speaker in predictions.speaker.unique():
        own = predictions.speaker == speaker
        others = predictions.confidence[~own].to_numpy()
        threshold = confidence_threshold(others, correct[~own].to_numpy())
        accepted = own & (predictions.confidence >= threshold)
        rows[speaker] = {
            "confidence_threshold": threshold,
            "accepted": accepted.sum() / own.sum(),
            "correct": correct[accepted].mean(),
            "correct_of_all": correct[own].mean(),
        }
    return pd.DataFrame(rows).T.rename_axis("speaker").sort_index()


class ThresholdError(ValueError):
    """A threshold that can't be written; the message says why."""


def files_for_threshold(names: Sequence[str], threshold: float, wanted: float) -> list[Path]:
    """Check that a threshold can be put into pretrained networks, and return their files.

    A script calls this before it writes anything, so that a mistake changes no file.

    Parameters
    ----------
    names : sequence of str
        Names of files in ``results/networks``, without their ending.
    threshold : float
        The threshold, from `confidence_threshold`.
    wanted : float
        The share of correct answers for which it was searched, 0..1.

    Returns
    -------
    list of Path
        The files.

    Raises
    ------
    ThresholdError
        If a file is missing, or there are networks but no finite threshold for them.
    """
    paths = [networks_dir() / f"{name}.npz" for name in names]
    for path in paths:
        if not path.is_file():
            there = ", ".join(sorted(file.stem for file in path.parent.glob("*.npz")))
            raise ThresholdError(f"{path}: no such network. Nothing is written. There are: {there}")
    if names and not np.isfinite(threshold):
        raise ThresholdError(
            f"At no confidence are {wanted:.0%} of the answers correct, so there is no threshold "
            f"for {', '.join(names)}. Nothing is written."
        )
    return paths


def write_threshold(path: Path, threshold: float) -> None:
    """Put a threshold into a pretrained network's file.

    Parameters
    ----------
    path : Path
        The file, from `files_for_threshold`.
    threshold : float
        The threshold.
    """
    with np.load(path) as file:
        arrays = dict(file)
    about = json.loads(str(arrays["about"])) | {"confidence_threshold": threshold}
    arrays["about"] = np.array(json.dumps(about))
    with atomic(path) as unfinished, unfinished.open("wb") as file:
        np.savez_compressed(file, **arrays)


def main() -> None:
    """Write the table, and the threshold into pretrained networks."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.confidence_thresholds", description=__doc__
    )
    parser.add_argument("table", help="name of a table in results/, such as reference_hd")
    parser.add_argument("model", help="one of the models in that table")
    parser.add_argument(
        "networks", nargs="+", help="names of files in results/networks/, without .npz"
    )
    given = parser.parse_args()
    try:
        runs = read_table(given.table).query("model == @given.model")
        predictions = collect_predictions(given.table).query("~seen")
    except TableError as error:
        sys.exit(str(error))
    predictions = predictions[predictions["hash"].isin(runs["hash"])]
    if predictions.empty or predictions.confidence.isna().any():
        parser.error(f"{given.model!r} has no utterances of held-out speakers with a confidence")
    table = nested(predictions)
    correct = predictions.label == predictions.predicted
    threshold = confidence_threshold(predictions.confidence.to_numpy(), correct.to_numpy())
    try:
        paths = files_for_threshold(given.networks, threshold, WANTED)
    except ThresholdError as error:
        sys.exit(str(error))
    with atomic(results_dir() / "confidence_thresholds.csv") as unfinished:
        table.round(4).to_csv(unfinished)
    for path in paths:
        write_threshold(path, threshold)
    print(f"Confidence threshold: {threshold:.4f}. Of the utterances of unseen speakers,")
    print(
        f"{table.accepted.mean():.1%} are accepted, {table.correct.mean():.1%} of these are correct"
    )
    print(f"(means over {len(table)} speakers).")


if __name__ == "__main__":
    run(main)
