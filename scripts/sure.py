"""Find the confidence from which an answer is accepted, on utterances of unseen speakers.

``python -m scripts.sure TABLE MODEL NETWORK...`` writes ``results/sure.csv`` and puts the
confidence into kept networks, from which ``shd_helpers.hear`` takes it.
"""

import argparse
import json
import sys

import numpy as np
import pandas as pd

from shd_helpers.command import run
from shd_helpers.files import atomic
from shd_helpers.study.networks import networks_dir
from shd_helpers.study.predictions import collect_predictions
from shd_helpers.study.tables import TableError, read_table, results_dir

WANTED = 0.99  # share of the answers that are right


def sure_from(confidence: np.ndarray, right: np.ndarray, wanted: float = WANTED) -> float:
    """Return the lowest confidence from which on at least a share of the answers is right.

    Parameters
    ----------
    confidence, right : (words,) array
        Of each answer, and whether it is right.
    wanted : float
        That share, 0..1. Where no confidence has it, infinity is returned.
    """
    steps, of = np.unique(confidence, return_inverse=True)
    n, n_right = np.bincount(of), np.bincount(of, right)
    above, above_right = n[::-1].cumsum()[::-1], n_right[::-1].cumsum()[::-1]
    enough = steps[above_right >= wanted * above]
    return float(enough[0]) if len(enough) else np.inf


def nested(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return what each speaker gets with the confidence that the others' words ask for.

    Parameters
    ----------
    predictions : DataFrame
        Left-out speakers' words: `speaker`, `label`, `predicted`, `confidence`.

    Returns
    -------
    DataFrame
        A row a speaker: `sure_from`; `answered`, the share of words with at least that confidence;
        `right`, the share of those that are right, and `right_of_all`.
    """
    right, rows = predictions.label == predictions.predicted, {}
    for speaker in predictions.speaker.unique():
        own = predictions.speaker == speaker
        least = sure_from(predictions.confidence[~own].to_numpy(), right[~own].to_numpy())
        sure = own & (predictions.confidence >= least)
        rows[speaker] = {
            "sure_from": least,
            "answered": sure.sum() / own.sum(),
            "right": right[sure].mean(),
            "right_of_all": right[own].mean(),
        }
    return pd.DataFrame(rows).T.rename_axis("speaker").sort_index()


def main() -> None:
    """Write the table, and the confidence into kept networks."""
    parser = argparse.ArgumentParser(prog="python -m scripts.sure", description=__doc__)
    parser.add_argument("table", help="in results, such as reference_hd")
    parser.add_argument("model", help="one of its models")
    parser.add_argument("networks", nargs="+", help="in results/networks, without .npz")
    given = parser.parse_args()
    try:
        runs = read_table(given.table).query("model == @given.model")
        predictions = collect_predictions(given.table).query("~seen")
    except TableError as error:
        sys.exit(str(error))
    predictions = predictions[predictions["hash"].isin(runs["hash"])]
    if predictions.empty or predictions.confidence.isna().any():
        parser.error(f"{given.model!r} has no words of left-out speakers with their confidence")
    table = nested(predictions)
    with atomic(results_dir() / "sure.csv") as part:
        table.round(4).to_csv(part)
    right = predictions.label == predictions.predicted
    least = sure_from(predictions.confidence.to_numpy(), right.to_numpy())
    for name in given.networks:
        path = networks_dir() / f"{name}.npz"
        arrays = dict(np.load(path))
        about = json.loads(str(arrays["about"])) | {"sure_from": least}
        arrays["about"] = np.array(json.dumps(about))
        with atomic(path) as part, part.open("wb") as file:
            np.savez_compressed(file, **arrays)
    print(f"sure from {least:.4f} on; new speakers: {table.answered.mean():.1%} are answered,")
    print(f"{table.right.mean():.1%} of those are right (means over {len(table)} speakers)")


if __name__ == "__main__":
    run(main)
