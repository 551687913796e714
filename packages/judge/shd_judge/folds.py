"""Folds by speaker: hold out some speakers, train on all others."""

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

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
