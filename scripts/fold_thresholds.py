"""Find the confidence from which a network answers, on augmented recordings of held-out speakers.

``python -m scripts.fold_thresholds ENTRY NETWORK...`` reads the class scores of an entry of the
selection (``scripts.selection``) on the ten folds, for clean recordings and for augmented ones
(from ``scripts.augmented_folds``). It writes ``results/fold_thresholds.csv``, and puts the
threshold into the pretrained networks.

**An answer is accepted** if its confidence reaches the threshold and no digit of another language
scores higher, as in ``shd_helpers.hear``. Each utterance is classified in its own language.

**The rule**, which was written before any augmented recording had been scored: the threshold is the
lowest confidence at which 97 % of the accepted answers to augmented recordings are right, over all
ten speakers. The table judges each speaker with the threshold that the other nine speakers give.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import softmax

from scripts.augmented_folds import augmented_path
from scripts.confidence_thresholds import (
    ThresholdError,
    confidence_threshold,
    files_for_threshold,
    write_threshold,
)
from scripts.selection import OF_TEN_FOLDS, ten_folds
from shd_helpers.command import run
from shd_helpers.data.class_names import LANGUAGES
from shd_helpers.files import atomic
from shd_helpers.paths import results_dir
from shd_helpers.study.class_scores import ClassScores, mean_of_scores, read_scores
from shd_helpers.study.selection import Entry, Folds, SelectionError
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
        is_highest = scores.scores[own].argmax(axis=1) == best
        confidence[own] = np.where(is_highest, softmax(of_language, axis=1).max(axis=1), -1)
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


def scores_of_entry(folds: Folds, entry: Entry, speaker: int) -> ClassScores:
    """Return the class scores of the network that would be shipped of an entry.

    Parameters
    ----------
    folds : Folds
        Class scores of the ten folds.
    entry : Entry
        An ensemble, whose members' scores are averaged, or a single candidate, of which one network
        is shipped: its first seed.
    speaker : int
        The held-out speaker.

    Returns
    -------
    ClassScores
        The scores of this speaker's utterances.

    Raises
    ------
    SelectionError
        If a fold is missing.
    """
    members = folds.members(entry, speaker)
    return mean_of_scores(members) if entry.is_ensemble else members[0]


def _answers_by_speaker(folds: Folds, entry: Entry, speakers: Sequence[int]) -> dict[int, Answers]:
    """Return the answers of an entry to the utterances of each held-out speaker."""
    return {
        speaker: answers_in_language(scores_of_entry(folds, entry, speaker)) for speaker in speakers
    }


def augmented_folds(tables: Sequence[str]) -> Folds:
    """Read the class scores of augmented recordings beside the tables of some sweeps.

    Parameters
    ----------
    tables : sequence of str
        Names of tables on the ten folds. Folds whose networks weren't scored are left out.

    Returns
    -------
    Folds
        By candidate, held-out speaker and seed.

    Raises
    ------
    TableError
        If a table is missing, or a file is damaged.
    """
    runs = {}
    for name in tables:
        scored = read_scores(augmented_path(table_path(name)))
        for row in read_table(name).to_dict("records"):
            if row["hash"] in scored:
                key = (str(row[AXIS]), int(row["validation_speakers"]), int(row["seed"]))
                runs[key] = scored[row["hash"]]
    return Folds(runs, {})


def _write_table(rows: pd.DataFrame) -> None:
    """Write the rows of an entry (`network`) into the table, instead of its earlier ones."""
    path = results_dir() / TABLE
    if path.exists():
        earlier = pd.read_csv(path)
        rows = pd.concat([earlier[~earlier.network.isin(rows.network)], rows])
    with atomic(path) as unfinished:
        rows.to_csv(unfinished, index=False)


def main() -> None:
    """Write the table, and the threshold into pretrained networks."""
    parser = argparse.ArgumentParser(prog="python -m scripts.fold_thresholds", description=__doc__)
    parser.add_argument("entry", help="an entry of the selection, such as reference")
    parser.add_argument("networks", nargs="*", help="names in results/networks/, without .npz")
    given = parser.parse_args()
    try:
        plan, entries, clean = ten_folds()
        if given.entry not in entries:
            parser.error(f"entry {given.entry!r}: the entries are {', '.join(entries)}")
        entry = entries[given.entry]
        augmented = augmented_folds([f"{name}_hd" for name in OF_TEN_FOLDS])
        of_clean = _answers_by_speaker(clean, entry, plan["speakers"])
        of_augmented = _answers_by_speaker(augmented, entry, plan["speakers"])
    except (SelectionError, TableError) as error:
        sys.exit(f"{error} Augmented recordings are scored by `python -m scripts.augmented_folds`.")
    judged = judge_speakers(of_clean, of_augmented)
    threshold = threshold_of([*of_augmented.values()])
    try:
        network_files = files_for_threshold(given.networks, threshold, WANTED)
    except ThresholdError as error:
        sys.exit(str(error))
    _write_table(judged.assign(network=given.entry).round(4))
    for file in network_files:
        write_threshold(file, threshold)
    print(f"threshold {threshold:.4f}, means over {len(judged) // 2} speakers:")
    print(judged.groupby("sound", sort=False)[["accepted", "correct", "correct_of_all"]].mean())


if __name__ == "__main__":
    run(main)
