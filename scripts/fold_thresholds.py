"""Find the confidence from which a network answers, on augmented recordings of held-out speakers.

``python -m scripts.fold_thresholds ENTRY NETWORK...`` reads the class scores of an entry of the
selection (``scripts.selection``) on the ten folds, for clean recordings and for augmented ones
(from ``scripts.augmented_folds``). It writes ``results/fold_thresholds.csv``, and puts the
threshold into the pretrained networks.

**An answer is accepted** if its confidence reaches the threshold and no digit of another language
scores higher, as in ``shd_helpers.hear``. Each utterance is classified in its own language.

**The rule**, which was written before any augmented recording had been scored: the threshold is the
lowest confidence at which at least 97 % of all accepted answers to augmented recordings are right.
The utterances of the ten speakers are pooled for this. At a higher threshold the share can be
lower. The table judges each speaker with the threshold that the other nine speakers give. Networks
that trained on augmented recordings know such disturbances, though from other speakers. So other
disturbances may leave fewer right.

The table also says how many German digits are accepted if only English digits may be answered. None
of these answers can be right.
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
from scripts.networks_in_use import ENTRIES
from scripts.selection import OF_TEN_FOLDS, ten_folds
from scripts.write_tables import replace_rows
from shd_helpers.command import run
from shd_helpers.data.class_names import LANGUAGES
from shd_helpers.study.class_scores import ClassScores, mean_of_scores, read_scores
from shd_helpers.study.selection import Entry, Folds, SelectionError
from shd_helpers.study.tables import TableError, read_table, table_path
from shd_helpers.sweeps.sweep_file import SweepError

WANTED = 0.97  # share of the accepted answers that are right
AXIS = "candidate"
SOUNDS = ("as recorded", "augmented")
ALL = "both languages"
FOREIGN = "german, classified as english"


class Answers(NamedTuple):
    """What a network answers to utterances, each classified in its own language.

    A confidence is -1 if a digit of another language scores higher, and 0 to 1 otherwise.
    """

    confidence: np.ndarray  # (utterances,)
    is_right: np.ndarray  # (utterances,)
    language: np.ndarray  # (utterances,) english or german
    confidence_in_english: np.ndarray  # (utterances,) if only English digits may be answered


def answers_in_language(scores: ClassScores) -> Answers:
    """Classify each utterance as a digit of its own language.

    Parameters
    ----------
    scores : ClassScores
        Class scores of utterances in one or both languages.

    Returns
    -------
    Answers
        The confidence is the answer's share in the softmax of the scores of its language's digits.
    """
    n_utterances = len(scores.label)
    confidence = np.full(n_utterances, -1.0)
    is_right = np.zeros(n_utterances, dtype=bool)
    language_of = np.full(n_utterances, "", dtype=object)
    for language in ("english", "german"):
        is_own = np.isin(scores.label, _classes_of(language, scores))
        language_of[is_own] = language
        confidences, best = _classified_as(language, scores)
        confidence[is_own] = confidences[is_own]
        is_right[is_own] = best[is_own] == scores.label[is_own]
    in_english, _ = _classified_as("english", scores)
    return Answers(confidence, is_right, language_of, in_english)


def _classes_of(language: str, scores: ClassScores) -> np.ndarray:
    """Return the classes of a language's digits."""
    return np.flatnonzero(np.isin(scores.class_names, LANGUAGES[language]))


def _classified_as(language: str, scores: ClassScores) -> tuple[np.ndarray, np.ndarray]:
    """Classify all utterances as digits of one language, and return confidences and answers."""
    classes = _classes_of(language, scores)
    if len(classes) == 0:
        return np.full(len(scores.label), -1.0), np.full(len(scores.label), -1)
    of_language = scores.scores[:, classes].astype(np.float64)
    best = classes[of_language.argmax(axis=1)]
    is_highest = scores.scores.argmax(axis=1) == best
    confidence = np.where(is_highest, softmax(of_language, axis=1).max(axis=1), -1)
    return confidence, best


def threshold_of(answers: list[Answers], wanted: float) -> float:
    """Return the lowest confidence at which at least the wanted share of accepted answers is right.

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
    clean: Mapping[int, Answers], augmented: Mapping[int, Answers], wanted: float
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
        A row for each speaker, kind of recording and group of utterances: `speaker`, `sound`,
        `utterances` (both languages, one of them, or German digits classified as English ones),
        `confidence_threshold`, `accepted` (the share of the utterances), `correct` (the share of
        the accepted answers that are right; missing if there is none) and `correct_of_all`.
    """
    rows = []
    for speaker in augmented:
        others = [answers for other, answers in augmented.items() if other != speaker]
        threshold = threshold_of(others, wanted)
        for sound, of_sound in zip(SOUNDS, (clean, augmented), strict=True):
            about = {"speaker": speaker, "sound": sound}
            for group in _judge_groups(of_sound[speaker], threshold):
                rows.append(about | group)
    return pd.DataFrame(rows)


def _judge_groups(answers: Answers, threshold: float) -> list[dict]:
    """Judge the answers to one speaker's utterances, for each group of utterances."""
    is_german = answers.language == "german"
    groups = {
        ALL: np.ones(len(is_german), dtype=bool),
        "english": ~is_german,
        "german": is_german,
    }
    # by group: confidences, and whether the answers are right
    judged = {
        name: (answers.confidence[is_member], answers.is_right[is_member])
        for name, is_member in groups.items()
    }
    never = np.zeros(is_german.sum(), dtype=bool)
    judged[FOREIGN] = (answers.confidence_in_english[is_german], never)
    rows = []
    for name, (confidence, is_right) in judged.items():
        if len(confidence) == 0:
            continue
        accepted = confidence >= threshold
        rows.append(
            {
                "utterances": name,
                "confidence_threshold": threshold,
                "accepted": accepted.mean(),
                "correct": is_right[accepted].mean() if accepted.any() else np.nan,
                "correct_of_all": is_right.mean(),
            }
        )
    return rows


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


def read_augmented_scores(tables: Sequence[str]) -> Folds:
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
        of_clean = _answers_by_speaker(clean, entry, plan["speakers"])
        augmented = read_augmented_scores([f"{name}_hd" for name in OF_TEN_FOLDS])
    except (SelectionError, SweepError, TableError) as error:
        sys.exit(str(error))
    for network in given.networks:
        if ENTRIES.get(network, given.entry) != given.entry:
            parser.error(f"{network} belongs to the entry {ENTRIES[network]!r}")
    try:
        of_augmented = _answers_by_speaker(augmented, entry, plan["speakers"])
    except SelectionError as error:
        sys.exit(
            f"Of augmented recordings, scores are missing ({error}). "
            "Write them with `python -m scripts.augmented_folds SWEEP`."
        )
    judged = judge_speakers(of_clean, of_augmented, WANTED)
    threshold = threshold_of([*of_augmented.values()], WANTED)
    try:
        network_files = files_for_threshold(given.networks, threshold, WANTED)
    except ThresholdError as error:
        sys.exit(str(error))
    replace_rows("fold_thresholds", judged.assign(network=given.entry).round(4), "network")
    for file in network_files:
        write_threshold(file, threshold)
    print(f"threshold {threshold:.4f}, means over {judged.speaker.nunique()} speakers:")
    groups = judged.groupby(["sound", "utterances"], sort=False)
    print(groups[["accepted", "correct", "correct_of_all"]].mean())


if __name__ == "__main__":
    run(main)
