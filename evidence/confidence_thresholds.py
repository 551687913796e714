"""Find a confidence threshold, and put it into the files of pretrained networks.

A network answers if its confidence reaches the threshold, and abstains otherwise:
``shd_helpers.hear`` takes the threshold from the network's file. `confidence_threshold` found the
committed ones, from the answers to augmented recordings of held-out speakers.
"""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from evidence.networks import write_pretrained
from shd_helpers.paths import networks_dir


def confidence_threshold(confidence: np.ndarray, correct: np.ndarray, wanted: float) -> float:
    """Return the lowest confidence at which at least a given share of accepted answers is correct.

    Shapes: `confidence`, `correct` (utterances,).
    """
    levels, level_of_answer = np.unique(confidence, return_inverse=True)
    n_answers = np.bincount(level_of_answer)
    n_correct = np.bincount(level_of_answer, correct)
    n_accepted = n_answers[::-1].cumsum()[::-1]  # at this level or a higher one
    n_accepted_correct = n_correct[::-1].cumsum()[::-1]
    thresholds = levels[n_accepted_correct >= wanted * n_accepted]
    return float(thresholds[0]) if len(thresholds) else np.inf


class ThresholdError(ValueError):
    """A threshold that can't be written; the message says why."""


def files_for_threshold(names: Sequence[str], threshold: float, wanted: float) -> list[Path]:
    """Check that a threshold can be put into pretrained networks, and return their files.

    A script calls this before it writes anything, so that a mistake changes no file.
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
    """Put a threshold into a pretrained network's file."""
    with np.load(path) as file:
        arrays = dict(file)
    about = json.loads(str(arrays.pop("about"))) | {"confidence_threshold": threshold}
    write_pretrained(path, about, arrays)
