"""Find the confidence from which a network answers, on augmented recordings of held-out speakers.

``python -m scripts.fold_thresholds TABLE CANDIDATE NETWORK...`` reads the class scores of a
candidate's ten folds, on clean recordings (beside TABLE) and on augmented ones (from
``scripts.augmented_folds``). It writes ``results/fold_thresholds.csv``, and puts the threshold into
the pretrained networks.

**An answer is accepted** if its confidence reaches the threshold and no digit of another language
scores higher, as in ``shd_helpers.hear``. Each utterance is classified in its own language.

**The rule**, which was written before any augmented recording had been scored: the threshold is the
lowest confidence at which 97 % of the accepted answers to augmented recordings are right, over all
ten speakers. The table judges each speaker with the threshold that the other nine speakers give.
"""

import argparse
import sys
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from scripts.augmented_folds import augmented_path
from scripts.confidence_thresholds import confidence_threshold, write_threshold
from shd_helpers.command import run
from shd_helpers.data.shd_file import LANGUAGES
from shd_helpers.files import atomic
from shd_helpers.paths import results_dir
from shd_helpers.study.class_scores import ClassScores, collect_scores, read_scores
from shd_helpers.study.tables import TableError, read_table, table_path

WANTED = 0.97  # share of the accepted answers that are right
AXIS = "candidate"
TABLE = "fold_thresholds.csv"
SOUNDS = ("as recorded", "augmented")


class Answers(NamedTuple):
    """What a network answers to utterances, each classified in its own language."""

    confidence: np.ndarray  # (utterances,) 0..1; -1 if a digit of the other language scores higher
    is_right: np.ndarray  # (utterances,)


def answers_in_language(scores: ClassScores) -> Answers:
    """Return the answers and confidences of a listener who knows the language.

    Parameters
    ----------
    scores : ClassScores
        Class scores of utterances in one or both languages.

    Returns
    -------
    Answers
        The confidence is the answer's share in the softmax of the scores of its language's digits.
    """
    class_names = np.array(scores.class_names)
    confidence = np.zeros(len(scores.label))
    is_right = np.zeros(len(scores.label), dtype=bool)
    for language in ("english", "german"):
        classes = np.flatnonzero(np.isin(class_names, LANGUAGES[language]))
        own = np.flatnonzero(np.isin(scores.label, classes))
        if len(own) == 0:
            continue
        of_language = scores.scores[np.ix_(own, classes)].astype(np.float64)
        best = classes[of_language.argmax(axis=1)]
        shares = np.exp(of_language - of_language.max(axis=1, keepdims=True))
        is_highest = scores.scores[own].argmax(axis=1) == best
        confidence[own] = np.where(is_highest, 1 / shares.sum(axis=1), -1)
        is_right[own] = best == scores.label[own]
    return Answers(confidence, is_right)


def threshold_of(answers: list[Answers], wanted: float = WANTED) -> float:
    """Return the lowest confidence at which the wanted share of the accepted answers is right.

    Parameters
    ----------
    answers : list of Answers
        Of some speakers. Answers that a digit of the other language beats are never accepted.
    wanted : float
        The share, 0..1.

    Returns
    -------
    float
        The threshold; infinity if there is none.
    """
    confidence = np.concatenate([each.confidence for each in answers])
    is_right = np.concatenate([each.is_right for each in answers])
    may_be_accepted = confidence >= 0
    return confidence_threshold(confidence[may_be_accepted], is_right[may_be_accepted], wanted)


def judge_speakers(
    clean: Mapping[int, Answers], augmented: Mapping[int, Answers], wanted: float = WANTED
) -> pd.DataFrame:
    """Judge each speaker with the threshold that the others' augmented recordings give.

    Parameters
    ----------
    clean, augmented : mapping
        The answers to recordings of each held-out speaker, as recorded and augmented.
    wanted : float
        As in `threshold_of`.

    Returns
    -------
    DataFrame
        A row for each speaker and kind of recording: `speaker`, `sound`, `confidence_threshold`,
        `accepted` (the share of the utterances), `correct` (the share of the accepted answers that
        are right; missing if there is none) and `correct_of_all`.
    """
    rows = []
    for speaker in augmented:
        others = [answers for other, answers in augmented.items() if other != speaker]
        threshold = threshold_of(others, wanted)
        for sound, of_sound in zip(SOUNDS, (clean, augmented), strict=True):
            confidence, is_right = of_sound[speaker]
            accepted = confidence >= threshold
            rows.append(
                {
                    "speaker": speaker,
                    "sound": sound,
                    "confidence_threshold": threshold,
                    "accepted": accepted.mean(),
                    "correct": is_right[accepted].mean() if accepted.any() else np.nan,
                    "correct_of_all": is_right.mean(),
                }
            )
    return pd.DataFrame(rows)


def read_answers(table: str, candidate: str) -> tuple[dict[int, Answers], dict[int, Answers]]:
    """Read what a candidate's folds answer to recordings, as recorded and augmented.

    Parameters
    ----------
    table : str
        Name of a sweep's table on the ten folds, such as ``selection_today_hd``.
    candidate : str
        The candidate. With several seeds, the lowest seed is taken.

    Returns
    -------
    clean, augmented : dict
        The answers by held-out speaker.

    Raises
    ------
    TableError
        If a table or class scores are missing.
    """
    rows = read_table(table)
    rows = rows[rows[AXIS] == candidate]
    rows = rows[rows.seed == rows.seed.min()]
    if rows.empty:
        raise TableError(f"{table}: has no candidate {candidate!r}.")
    clean_scores = collect_scores(table)
    path = augmented_path(table_path(table))
    augmented_scores = read_scores(path)
    if missing := set(rows["hash"]) - set(augmented_scores):
        raise TableError(
            f"{path}: {len(missing)} folds are missing. Run `python -m scripts.augmented_folds`."
        )
    by_speaker = dict(zip(rows.validation_speakers.astype(int), rows["hash"], strict=True))
    clean = {s: answers_in_language(clean_scores[name]) for s, name in by_speaker.items()}
    augmented = {s: answers_in_language(augmented_scores[name]) for s, name in by_speaker.items()}
    return clean, augmented


def main() -> None:
    """Write the table, and the threshold into pretrained networks."""
    parser = argparse.ArgumentParser(prog="python -m scripts.fold_thresholds", description=__doc__)
    parser.add_argument("table", help="name of a sweep's table, such as selection_today_hd")
    parser.add_argument("candidate", help="one of its candidates")
    parser.add_argument("networks", nargs="*", help="names in results/networks/, without .npz")
    given = parser.parse_args()
    try:
        clean, augmented = read_answers(given.table, given.candidate)
    except TableError as error:
        sys.exit(str(error))
    judged = judge_speakers(clean, augmented)
    path = results_dir() / TABLE
    earlier = pd.read_csv(path) if path.exists() else pd.DataFrame(columns=["network"])
    rows = pd.concat(
        [
            earlier[earlier.network != given.candidate],
            judged.assign(network=given.candidate).round(4),
        ]
    )
    with atomic(path) as unfinished:
        rows.to_csv(unfinished, index=False)
    threshold = threshold_of([*augmented.values()])
    for name in given.networks:
        write_threshold(name, threshold)
    print(f"threshold {threshold:.4f}, means over {len(augmented)} speakers:")
    print(judged.groupby("sound", sort=False)[["accepted", "correct", "correct_of_all"]].mean())


if __name__ == "__main__":
    run(main)
