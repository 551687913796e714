"""Folds by speaker: hold out some speakers, train on all others."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class Fold(NamedTuple):
    """Whose utterances test, and which utterances train."""

    name: str
    training: np.ndarray  # indices of the utterances
    test: np.ndarray


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
    folds = []
    for speaker in held_out:
        is_test = speakers == speaker
        folds.append(Fold(f"speaker {speaker}", np.flatnonzero(~is_test), np.flatnonzero(is_test)))
    return folds
