"""The protocol "SHD speakers, version 1", its folds, and a check of results that follow it.

PROTOCOL.md describes it. What a version says never changes: a change makes another version.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from shd_judge.comparison import COLUMNS, read_accuracies
from shd_judge.statistics import interval

N_FOLDS = 5  # of `five_folds`


class Fold(NamedTuple):
    """Whose utterances test, and which utterances train."""

    name: str
    training: np.ndarray  # indices of the utterances
    test: np.ndarray


def _fold(name: str, is_test: np.ndarray) -> Fold:
    """Return a fold by which utterances test, (utterances,) of bool. All others train."""
    return Fold(name, np.flatnonzero(~is_test), np.flatnonzero(is_test))


def speaker_folds(speakers: np.ndarray, held_out: Sequence[int] | None = None) -> list[Fold]:
    """Hold out one speaker after the other, and train on all others.

    Parameters
    ----------
    speakers : (utterances,) int array
        Who speaks each utterance.
    held_out : sequence of int, optional
        Who is held out, in this order. Default: every speaker, ascending. All other speakers train,
        whether they are among these or not.

    Returns
    -------
    list of Fold
        A fold for each of them.

    Raises
    ------
    ValueError
        If there are fewer than two speakers, or no utterance by one who is named.
    """
    present = np.unique(speakers).tolist()
    if len(present) < 2:
        who = f"all utterances are by speaker {present[0]}" if present else "there is no utterance"
        raise ValueError(f"speakers: {who}. Holding one out needs utterances by at least two.")
    if held_out is None:
        held_out = present
    absent = [speaker for speaker in held_out if speaker not in present]
    if absent:
        listed = ", ".join(map(str, present))
        raise ValueError(f"speakers: there is no utterance by {absent[0]}. There are: {listed}.")
    return [_fold(f"speaker {speaker}", speakers == speaker) for speaker in held_out]


def five_folds(speakers: np.ndarray) -> list[Fold]:
    """Hold out a fifth of the speakers at a time: fold k has every fifth speaker, from the k-th on.

    The speakers are in ascending order. The training file of the Spiking Heidelberg Digits has ten.
    Its folds hold out speakers 0 and 7, 1 and 8, 2 and 9, 3 and 10, and 6 and 11.

    Parameters
    ----------
    speakers : (utterances,) int or str array
        Who speaks each utterance.

    Returns
    -------
    list of Fold
        The folds 0 to 4.

    Raises
    ------
    ValueError
        If there are fewer than five speakers.
    """
    present = np.unique(speakers)
    if len(present) < N_FOLDS:
        raise ValueError(f"speakers: there are {len(present)}, and five folds need at least five.")
    return [_fold(f"fold {k}", np.isin(speakers, present[k::N_FOLDS])) for k in range(N_FOLDS)]


def speech_commands_folds(people: np.ndarray) -> list[Fold]:
    """Return five folds over the training people of Google's Speech Commands.

    The archive's rule says by a hash of a person's id who trains, validates and tests: Warden
    (2018), "Speech Commands", arXiv:1804.03209. Those who validate or test are in no fold. The
    folds depend on who is in the list, so the same folds need the same recordings.

    Parameters
    ----------
    people : (recordings,) str array
        Who speaks each recording: the part of its file's name before ``_nohash_``.

    Returns
    -------
    list of Fold
        As `five_folds` returns them, with indices into all recordings.

    Raises
    ------
    ValueError
        If fewer than five people train.
    """
    names, indices = np.unique(people, return_inverse=True)
    trains = np.array([_trains(name) for name in names.tolist()], bool)
    rows = np.flatnonzero(trains[indices])
    folds = five_folds(indices[rows])
    return [Fold(name, rows[training], rows[test]) for name, training, test in folds]


def _trains(person: str) -> bool:
    """Return whether a person trains: a tenth of all hashes validates, and the next tenth tests."""
    number = int(hashlib.sha1(person.encode(), usedforsecurity=False).hexdigest(), 16)
    return number % 2**27 >= 0.2 * (2**27 - 1)


NAME = "SHD speakers, version 1"
SEEDS = [0, 1, 2]
# Utterances of each speaker in SHD's training file: English, German
UTTERANCES = {
    "0": (466, 447),
    "1": (418, 485),
    "2": (504, 494),
    "3": (285, 437),
    "6": (270, 181),
    "7": (428, 342),
    "8": (390, 399),
    "9": (456, 371),
    "10": (414, 371),
    "11": (380, 618),
}
# How the numbers of a speaker's utterances follow from those of the two languages
LANGUAGES: dict[str, Callable[[tuple[int, int]], int]] = {
    "English": lambda counts: counts[0],
    "German": lambda counts: counts[1],
    "both languages": sum,
}
ROUNDING = 5e-4  # accuracies in a table may have three digits
OF_AN_UTTERANCE = ["fold", "speaker", "seed", "row", "label", "answer"]


class ProtocolError(ValueError):
    """A table doesn't follow the protocol; the message names the table and says what is wrong."""


def check(table: str | Path, scores: str | Path) -> str:
    """Check that a table of accuracies follows the protocol and from the answers behind it.

    Parameters
    ----------
    table : str or Path
        A CSV file with a row for each speaker and seed: `speaker`, `seed`, `accuracy`.
    scores : str or Path
        A CSV file with a row for each utterance and seed: `fold`, the name or number of its fold,
        `speaker`, `seed`, `row` in the training file, `label` and `answer`.

    Returns
    -------
    str
        What the results are of, with the mean accuracy and its 95 % interval.

    Raises
    ------
    ProtocolError
        If speakers, utterances or folds aren't those of the protocol, or an accuracy isn't that of
        the answers.
    ValueError
        If a file can't be read, or lacks a column.
    """
    accuracies = read_accuracies(table, str(table))
    answers = _read_answers(Path(scores))
    language = _language(answers, str(scores))
    folds = _folds(answers, str(scores))
    is_right = answers.label == answers.answer
    found = is_right.groupby([answers.speaker, answers.seed]).mean().sort_index()
    given = accuracies.set_index(COLUMNS[:2]).accuracy.sort_index()
    if not found.index.equals(given.index):
        raise ProtocolError(f"{table}: other speakers or seeds than in {scores}.")
    wrong = (found - given).abs() > ROUNDING
    if wrong.any():
        speaker, seed = wrong.idxmax()
        raise ProtocolError(
            f"{table}: speaker {speaker} with seed {seed} has the accuracy "
            f"{given[speaker, seed]:.4f}, but the answers give {found[speaker, seed]:.4f}."
        )
    by_seed = 100 * found.unstack("seed")
    mean, half = interval(by_seed.to_numpy())
    lowest = by_seed.mean(axis=1)
    lines = [
        f"{NAME}: {folds} folds, {language}, {len(by_seed.columns)} seeds",
        f"{mean:.1f} ± {half:.1f} % of the utterances of held-out speakers; "
        f"lowest: speaker {lowest.idxmin()}, {lowest.min():.1f} %",
    ]
    if by_seed.columns.tolist() != SEEDS:
        lines.append(f"partial: the seeds are {by_seed.columns.tolist()} instead of {SEEDS}")
    return "\n".join(lines)


def _read_answers(path: Path) -> pd.DataFrame:
    """Return the rows of utterances, with speakers, folds and classes as text."""
    with path.open("rb") as file:
        table = pd.read_csv(file, dtype={"speaker": str, "fold": str}, keep_default_na=False)
    absent = [column for column in OF_AN_UTTERANCE if column not in table]
    if absent:
        raise ValueError(
            f"{path}: there is no column {absent[0]!r}. Give {', '.join(OF_AN_UTTERANCE)}."
        )
    return table


def _language(answers: pd.DataFrame, name: str) -> str:
    """Return whose utterances were tested: each of them once for each seed, of all ten speakers."""
    repeated = answers.duplicated(["seed", "row"])
    if repeated.any():
        row = answers[repeated].iloc[0]
        raise ProtocolError(f"{name}: row {row.row} was tested twice with seed {row.seed}.")
    counts = answers.groupby(["seed", "speaker"]).size().unstack("speaker", fill_value=0)
    for language, count_of in LANGUAGES.items():
        wanted = {speaker: count_of(both) for speaker, both in UTTERANCES.items()}
        if all(row.to_dict() == wanted for _, row in counts.iterrows()):
            return language
    raise ProtocolError(
        f"{name}: with seed {counts.index[0]}, the speakers have these numbers of utterances: "
        f"{counts.iloc[0].to_dict()}. The protocol has {UTTERANCES} (English, German). Test all "
        "utterances of SHD's training file, and of no other."
    )


def _folds(answers: pd.DataFrame, name: str) -> str:
    """Return which folds held out the speakers: ten of one, or five of two."""
    speakers = np.array([int(speaker) for speaker in UTTERANCES])
    held_out = {frozenset(each) for each in answers.groupby("fold").speaker.unique()}
    for number, make in (("ten", speaker_folds), ("five", five_folds)):
        if held_out == {frozenset(map(str, speakers[fold.test])) for fold in make(speakers)}:
            return number
    raise ProtocolError(
        f"{name}: the column 'fold' holds out {sorted(map(sorted, held_out))}. The protocol has "
        "ten folds of one speaker, or five of every fifth speaker."
    )
