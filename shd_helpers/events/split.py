"""Who trains, who validates and who tests: protocols over the two files of a data set."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shd_helpers.checks import check_settings, later, quoted, setting
from shd_helpers.data.shd_file import DatasetError
from shd_helpers.events.downsample import Downsampling, Events, load_events, load_file

SEEN_SHARE = 0.1  # of every training speaker's utterances, held back by leave_one_speaker_out


class Parts(NamedTuple):
    """The utterances of a run by what they are for."""

    training: Events
    validation: Events
    test: Events | None  # None where the run doesn't score it

    @property
    def predicted(self) -> Events:
        """Return what a run's predictions are of: test utterances, else those of the validation."""
        return self.validation if self.test is None else self.test


@dataclass(frozen=True)
class Split:
    """How a data set's utterances are split; the defaults are the study's.

    ``protocol="official"``: the training file trains and validates, the test file tests.
    ``"leave_one_speaker_out"``: all utterances of the speaker `held_out`, and a tenth of every
    other speaker's utterances of each class, test; the rest of both files trains and validates.
    ``"everybody"``: both files train and validate, for a network that will be used.

    ``validation="random"``: the same share of every word of every training speaker validates.
    ``"speaker"``: whole speakers do, those in `validation_speakers` (``"3"``, ``"3,7"``).

    ValueError names a value out of its range.
    """

    protocol: str = later("official", ("official", "leave_one_speaker_out", "everybody"))
    held_out: int = later(-1, (-1, 65535), counts_with="protocol")  # a speaker's number; -1: none
    validation: str = setting("random", ("random", "speaker"))
    validation_fraction: float = setting(0.1, (1e-6, 0.9))  # of the utterances (random)
    validation_speakers: str = later("")
    score_test: bool = later(True)

    def __post_init__(self) -> None:
        """Refuse values out of range, and those that don't go together."""
        check_settings(self)
        if (self.held_out >= 0) != (self.protocol == "leave_one_speaker_out"):
            raise ValueError(
                f"held_out {self.held_out}: protocol 'leave_one_speaker_out' needs a speaker's "
                "number, others need -1"
            )
        if self.protocol == "everybody" and self.score_test:
            raise ValueError("score_test True: protocol 'everybody' leaves nobody to test with")
        named = self.validation_speakers
        if not isinstance(named, str) or not re.fullmatch(r"(\d{1,9}(,|$))*", named):
            raise ValueError(
                f"validation_speakers {quoted(named)}: must be numbers with commas between them"
            )
        if bool(named) != (self.validation == "speaker"):
            raise ValueError(
                f"validation_speakers {quoted(named)}: validation 'speaker' needs their numbers, "
                "'random' needs none"
            )

    def speakers(self) -> list[int]:
        """Return the numbers in `validation_speakers`."""
        return [int(number) for number in self.validation_speakers.split(",") if number]


def load_parts(
    files: tuple[Path, Path], grid: Downsampling, language: str, split: Split, seed: int
) -> Parts:
    """Load a data set downsized, and split it.

    With ``score_test=False`` what is held back for testing isn't returned, and under the official
    protocol the test file isn't opened.

    Parameters
    ----------
    seed : int
        Draws the utterances that validate, and those of seen speakers that test.

    Raises
    ------
    ValueError
        If a speaker isn't there, or a part would be empty.
    DatasetError
        If a file can't be read or used.
    """
    if split.protocol == "official" and not split.score_test:
        return split_parts(load_file(files, 0, grid, language), None, split, seed)
    return split_parts(*load_events(files, grid, language), split, seed)


def split_parts(train: Events, test: Events | None, split: Split, seed: int) -> Parts:
    """Split the utterances of a data set's two files into those that train, validate and test.

    Parameters
    ----------
    train, test : Events
        Utterances of the training file and of the test file, with `rows` and `part`. The official
        protocol takes None for a test file that isn't scored.
    split : Split
        The protocol.
    seed : int
        Draws the utterances that validate, and those of seen speakers that test.

    Returns
    -------
    Parts
        `test` is None where the test utterances aren't scored.

    Raises
    ------
    ValueError
        If a speaker isn't there, a part would be empty, or the protocol needs the test file.
    """
    if split.protocol == "official":
        training, validation = split_validation(train, split, seed)
        return Parts(train.take(training), train.take(validation), test)
    if test is None:
        raise ValueError(f"protocol {split.protocol!r} splits the utterances of both files")
    rest = join(train, test)
    tested = None
    if split.protocol == "leave_one_speaker_out":
        _check_speakers("held_out", [split.held_out], rest)
        is_test = rest.speakers == split.held_out
        seen = np.flatnonzero(~is_test)
        drawn = _draw(rest.take(seen), SEEN_SHARE, np.random.default_rng([seed, 1]))
        is_test[seen[drawn]] = True
        tested = rest.take(np.flatnonzero(is_test)) if split.score_test else None
        rest = rest.take(np.flatnonzero(~is_test))
    training, validation = split_validation(rest, split, seed)
    return Parts(rest.take(training), rest.take(validation), tested)


def split_validation(events: Events, split: Split, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split what isn't for testing; return ascending indices of what trains and what validates.

    ValueError, if a speaker isn't there, or either part would be empty.
    """
    if split.validation == "random":
        validation = _draw(events, split.validation_fraction, np.random.default_rng(seed))
    else:
        _check_speakers("validation_speakers", split.speakers(), events)
        validation = np.flatnonzero(np.isin(events.speakers, split.speakers()))
    training = np.setdiff1d(np.arange(len(events)), validation)
    if len(training) == 0 or len(validation) == 0:
        raise ValueError(
            f"validation {split.validation!r} with validation_fraction "
            f"{split.validation_fraction} leaves {len(training)} utterances for training and "
            f"{len(validation)} for validation; change one of them"
        )
    return training, validation


def _draw(events: Events, fraction: float, rng: np.random.Generator) -> np.ndarray:
    """Draw the same share of every word of every speaker: systematic sampling, indices ascend."""
    n = len(events)
    order = rng.permutation(n)
    order = order[np.lexsort((events.speakers[order], events.labels[order]))]
    return np.sort(order[np.diff(np.floor(np.arange(n + 1) * fraction + rng.random())) > 0])


def _check_speakers(name: str, wanted: list[int], events: Events) -> None:
    there = np.unique(events.speakers)
    absent = sorted(set(wanted) - set(there.tolist()))
    if absent:
        raise ValueError(
            f"{name} {', '.join(map(str, absent))}: no such speaker here; there are "
            f"{', '.join(map(str, there))}"
        )


def add_copies(
    training: Events, copies: Callable[[int], Iterable[Path]], grid: Downsampling, language: str
) -> Events:
    """Return training utterances and, behind them, their changed copies: those of no other word.

    Parameters
    ----------
    training : Events
        Utterances with `rows` and `part`, ascending as `load_parts` returns them.
    copies : callable
        Returns the files of a part's copies, row by row the same words as in its own file. They
        are refused by a DatasetError if a row has another word or speaker.
    """
    joined, parts = training, np.asarray(training.part)
    for part in np.unique(parts).tolist():
        words: Any = training.take(np.flatnonzero(parts == part))
        for path in copies(part):
            copy: Any = load_file((path, path), part, grid, language)
            copy = copy.take(np.flatnonzero(np.isin(copy.rows, words.rows)))
            same = ("rows", "labels", "speakers")
            if not all(np.array_equal(getattr(copy, x), getattr(words, x)) for x in same):
                raise DatasetError(f"{path}: no copy of these recordings. Make it again.")
            joined = join(joined, copy)
    return joined


def join(first: Events, second: Events) -> Events:
    """Return the utterances of two event lists of the same size and words as one."""
    joined: dict[str, Any] = {
        name: np.concatenate([getattr(first, name), getattr(second, name)])
        for name in ("steps", "units", "labels", "speakers", "rows", "part")
    }
    offsets = np.concatenate([first.offsets, first.offsets[-1] + second.offsets[1:]])
    return replace(first, **joined, offsets=offsets)
