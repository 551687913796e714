"""Which utterances train, validate and test: protocols over the two files of a data set."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shd_corpus.checks import quoted
from shd_corpus.class_names import LANGUAGES
from shd_helpers.events.downsampling import Downsampling
from shd_helpers.events.event_lists import Events, concatenate
from shd_helpers.events.loading import TRAINING_FILE, load_file, load_pair
from shd_helpers.settings import check_settings, setting

HOLDING_OUT = ("leave_one_speaker_out", "folds")
PROTOCOLS = ("official", *HOLDING_OUT, "everybody")
N_FOLDS = 5
SEEN_SHARE = 0.1  # of every training speaker's utterances, held back by leave_one_speaker_out


class Subsets(NamedTuple):
    """The utterances of a run for training, validation and test."""

    training: Events
    validation: Events
    test: Events | None  # None if the run doesn't score it

    @property
    def predicted(self) -> Events:
        """The utterances that a run's predictions are of: for testing, else for validation."""
        return self.validation if self.test is None else self.test


@dataclass(frozen=True)
class Split:
    """How a data set's utterances are split; the defaults are the study's.

    `protocol` says which utterances test:

    * ``"official"``: those of the test file. The training file trains and validates.
    * ``"leave_one_speaker_out"``: all utterances of the speaker `held_out`, who is unseen then, and
      a tenth of every other speaker's utterances of each class. The rest of both files trains and
      validates.
    * ``"folds"``: a fifth of the training file's speakers, of those who aren't in
      `validation_speakers`: every fifth by their numbers, from the place `held_out` on (0 to 4).
      The other four fifths train and validate. The test file isn't opened.
    * ``"everybody"``: none, for a network that will be used. Both files train and validate.

    `validation` says which of the others validate:

    * ``"random"``: a share of every speaker's utterances of each class, `validation_fraction`.
    * ``"speaker"``: whole speakers, those in `validation_speakers` (``"3"``, ``"3,7"``,
      ``"1436-1620"``).
    """

    protocol: str = setting("official", PROTOCOLS)
    held_out: int = setting(-1, (-1, 65535))  # the number of a speaker or of a fold; -1: none
    validation: str = setting("random", ("random", "speaker"))
    validation_fraction: float = setting(0.1, (1e-6, 0.9))  # of the utterances (random)
    validation_speakers: str = ""
    score_test: bool = True

    def __post_init__(self) -> None:
        """Refuse values out of range, and those that don't go together."""
        check_settings(self)
        if (self.held_out >= 0) != (self.protocol in HOLDING_OUT):
            raise ValueError(
                f"held_out {self.held_out}: protocol 'leave_one_speaker_out' needs a speaker's "
                "number, 'folds' a fold's, others need -1"
            )
        if self.protocol == "folds" and self.held_out >= N_FOLDS:
            raise ValueError(f"held_out {self.held_out}: the folds are 0 to {N_FOLDS - 1}")
        if self.protocol == "everybody" and self.score_test:
            raise ValueError(
                "score_test True: protocol 'everybody' has no test utterances. Set it to False"
            )
        named = self.validation_speakers
        if not isinstance(named, str) or not re.fullmatch(r"(\d{1,5}(-\d{1,5})?(,|$))*", named):
            raise ValueError(
                f"validation_speakers {quoted(named)}: must be numbers, or ranges such as 3-7, "
                "with commas between them"
            )
        if bool(named) != (self.validation == "speaker"):
            raise ValueError(
                f"validation_speakers {quoted(named)}: validation 'speaker' needs their numbers, "
                "'random' needs none"
            )

    def speakers(self) -> list[int]:
        """Return the numbers in `validation_speakers`."""
        numbers: list[int] = []
        for part in filter(None, self.validation_speakers.split(",")):
            first, _, last = part.partition("-")
            numbers += range(int(first), int(last or first) + 1)
        return numbers


def load_subsets(
    files: tuple[Path, Path], grid: Downsampling, language: str, split: Split, seed: int
) -> Subsets:
    """Load a data set downsampled, and split it.

    With ``score_test=False`` what is held back for testing isn't returned, and under the official
    protocol the test file isn't opened.
    """
    if split.protocol == "folds" or (split.protocol == "official" and not split.score_test):
        train = load_file(files[0], TRAINING_FILE, grid, language)
        return split_utterances(train, None, split, seed)
    return split_utterances(*load_pair(files, grid, language), split, seed)


def split_utterances(train: Events, test: Events | None, split: Split, seed: int) -> Subsets:
    """Split the utterances of a data set's two files into those that train, validate and test."""
    if split.protocol == "official":
        training, validation = split_validation(train, split, seed)
        return Subsets(train.take(training), train.take(validation), test)
    if split.protocol == "folds":
        speakers = np.setdiff1d(np.unique(train.speakers), split.speakers())
        rest = train
        is_test = np.isin(rest.speakers, speakers[split.held_out :: N_FOLDS])
    elif test is None:
        raise ValueError(
            f"protocol {split.protocol!r}: splits the utterances of both files. Give the test "
            "file's, too"
        )
    else:
        rest = concatenate([train, test])
        is_test = _is_test_utterance(rest, split, seed)
    test = rest.take(np.flatnonzero(is_test)) if split.score_test else None
    rest = rest.take(np.flatnonzero(~is_test))
    training, validation = split_validation(rest, split, seed)
    return Subsets(rest.take(training), rest.take(validation), test)


def _is_test_utterance(events: Events, split: Split, seed: int) -> np.ndarray:
    """Return which utterances of both files test, (utterances,) of bool."""
    if split.protocol == "everybody":
        return np.zeros(len(events), bool)
    _check_speakers("held_out", [split.held_out], events)
    is_test = events.speakers == split.held_out
    seen = np.flatnonzero(~is_test)
    # A generator of its own: with that of the validation, the same utterances would be drawn.
    drawn = _draw(events.take(seen), SEEN_SHARE, np.random.default_rng([seed, 1]))
    is_test[seen[drawn]] = True
    return is_test


def split_validation(events: Events, split: Split, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split utterances into those that train and those that validate; return their indices."""
    if split.validation == "random":
        validation = _draw(events, split.validation_fraction, np.random.default_rng(seed))
    else:
        if "-" not in split.validation_speakers:  # a range may have numbers that nobody has
            _check_speakers("validation_speakers", split.speakers(), events)
        validation = np.flatnonzero(np.isin(events.speakers, split.speakers()))
    training = np.setdiff1d(np.arange(len(events)), validation)
    if len(training) == 0 or len(validation) == 0:
        raise ValueError(
            f"validation {split.validation!r} with validation_fraction "
            f"{split.validation_fraction} leaves {len(training)} utterances for training and "
            f"{len(validation)} for validation. Change one of these settings"
        )
    return training, validation


def _draw(events: Events, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the same share of every speaker's utterances of each class; return ascending indices.

    This is systematic sampling: the utterances are ordered by class and speaker, and at random
    within these. Then every 1 / fraction-th is taken, from a random start on.
    """
    n = len(events)
    order = rng.permutation(n)
    order = order[np.lexsort((events.speakers[order], events.labels[order]))]
    due = np.floor(np.arange(n + 1) * fraction + rng.random())  # taken before each utterance
    return np.sort(order[np.diff(due) > 0])


def _check_speakers(name: str, wanted: list[int], events: Events) -> None:
    """Raise ValueError if a setting names a speaker of whom there is no utterance."""
    present = np.unique(events.speakers)
    absent = np.setdiff1d(wanted, present)
    if len(absent):
        raise ValueError(
            f"{name} {', '.join(map(str, absent))}: no such speaker here, only "
            f"{', '.join(map(str, present))}"
        )


def languages(events: Events) -> np.ndarray:
    """Return the language of each utterance, which its class name says.

    Parameters
    ----------
    events : Events
        The utterances.

    Returns
    -------
    ndarray
        ``"english"``, ``"german"`` or, for names that are no digits, ``""``: (utterances,).
    """
    language_of = {
        name: language for language in ("english", "german") for name in LANGUAGES[language]
    }
    return np.array([language_of.get(name, "") for name in events.class_names])[events.labels]
