"""Load data sets downsampled, from a cache where the same was done before, and split them.

`Split` says which utterances train, validate and test: protocols over the two files of a data set.
"""

import hashlib
import json
import re
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shd_corpus.checks import DatasetError, quoted
from shd_corpus.class_names import LANGUAGES
from shd_corpus.encoders import COCHLEA
from shd_corpus.files import atomic, exclusive, reading
from shd_corpus.shd_file import read_in_slices
from shd_corpus.shd_layout import content_hash
from shd_helpers.data import NAMED, dataset_name, obtain
from shd_helpers.events.downsampling import (
    DEFAULT,
    Downsampling,
    Events,
    concatenate,
    downsample_slices,
    have_equal_arrays,
)
from shd_helpers.paths import data_dir, resolve
from shd_helpers.settings import check_settings, setting, setting_names
from shd_helpers.versions import code_hash

TRAINING_FILE = 0  # numbers of a data set's two files, as in `Events.file`
TEST_FILE = 1
USED_SHARE = 0.5  # of the units: if all events are in fewer, whoever loads them is warned
LARGE_CUT_SHARE = 0.05  # of the spikes: if `duration_s` cuts more, whoever loads them is warned
_NUMBERS = ("n_steps", "n_units", "step_ms", "n_channels", "source_spikes", "cut_spikes")


def load_events(
    dataset: str | Path | Sequence[str | Path],
    language: str | None = None,
    downsampling: Downsampling = DEFAULT,
    encoder: str = COCHLEA,
) -> Events:
    """Load all utterances of a data set, downsampled to lists of events.

    Start with this function in code of your own. `judge` takes what it returns, and
    `Events.batch` makes batches of it for a loop of your own. One line is printed: what was loaded,
    and which share of the spikes came after ``downsampling.duration_s``.

    Parameters
    ----------
    dataset : str, Path or sequence of two paths
        One of three:

        * ``"digits"``, ``"hd"``, ``"commands"`` or ``"shd"``, which are unpacked,
          made or downloaded if needed.
        * the path of a folder with ``<name>_train.h5`` and ``<name>_test.h5``, relative to the
          working directory.
        * the paths of these two files, as `encode_recordings` returns them.
    language : str, optional
        ``"english"``, ``"german"`` or ``"both"``: which digits are used from a data set that has
        those of two languages. Default: all classes, and English with ``"digits"``. Any other
        data set is used with all its classes, whatever `language` says.
    downsampling : Downsampling
        How utterances become matrices of zeros and ones.
    encoder : str
        ``"cochlea"``, or ``"filter_bank"`` for ``"digits"``, ``"hd"`` and ``"commands"``, whose
        events then have 77 channels and steps of 3 ms: give a `downsampling` that fits.

    Returns
    -------
    Events
        The utterances of the training file, then those of the test file. `file` says which of the
        two each is in, and `rows` where; `speakers` has the speakers' numbers, and `class_names`
        the names of the classes.

    Raises
    ------
    DatasetError
        If a file can't be read or used, a class has no training utterance, or both files hold the
        same utterances.

    Examples
    --------
    >>> events = load_events("moves")  # doctest: +SKIP
    moves: 100 utterances, 5 classes, 5 speakers; duration_s 1 cuts off 0.0 % of the spikes
    """
    files = _find_files(dataset, encoder)
    usual = "english" if dataset == "digits" else "both"
    events = concatenate(load_pair(files, downsampling, language or usual))
    _warn_of_empty(events, files)
    print(
        f"{dataset_name(files)}: {len(events):,} utterances, {len(events.class_names)} classes, "
        f"{len(np.unique(events.speakers))} speakers; {cut_sentence(events, downsampling)}"
    )
    return events


def _warn_of_empty(events: Events, files: Sequence[Path]) -> None:
    """Warn of utterances that downsampling has left without any event.

    `files` are the training and the test file, which the warning names.
    """
    empty = np.flatnonzero(np.diff(events.offsets) == 0)
    if len(empty) == 0 or events.file is None or events.rows is None:
        return
    number = events.file[empty[0]]
    others = f", and {len(empty) - 1} more utterances" if len(empty) > 1 else ""
    warnings.warn(
        f"{files[number].name}: row {events.rows[empty[0]]} of the {('training', 'test')[number]} "
        f"file{others}: no event is left after downsampling, so a network can only guess their "
        "class. Is there silence before the utterance? Cut it off, or raise duration_s.",
        stacklevel=3,
    )


def cut_sentence(events: Events, grid: Downsampling) -> str:
    """Return which share of the spikes `duration_s` cuts off, as part of a sentence."""
    return f"duration_s {grid.duration_s:g} cuts off {100 * events.cut_share:.1f} % of the spikes"


def _find_files(dataset: str | Path | Sequence[str | Path], encoder: str) -> tuple[Path, Path]:
    """Return the training file and the test file of what `load_events` takes."""
    if dataset in NAMED:
        return obtain(str(dataset), encoder)
    if isinstance(dataset, str | Path):
        folder = Path(dataset).expanduser()
        # A folder below the working directory is meant before one below the repository's root.
        for path in (Path.cwd() / folder, resolve(folder)):
            if path.is_dir():
                return obtain(str(path))
        raise DatasetError(
            f"{dataset}: no such folder in {Path.cwd()}. Give {', '.join(NAMED)}, or the "
            "folder with <name>_train.h5 and <name>_test.h5."
        )
    if len(dataset) != 2:
        raise DatasetError(
            f"{len(dataset)} files: a data set has two, the training file and the test file. Give "
            "both, or the name of their folder."
        )
    return Path(dataset[0]), Path(dataset[1])


def load_pair(
    files: tuple[Path, Path], grid: Downsampling, language: str = "english"
) -> tuple[Events, Events]:
    """Load training and test utterances downsampled, from the cache if the same was done before.

    The cache (``data/cache``) is keyed by the content of the source file, the parameters and
    the hash of the computing code. A damaged entry is made again.
    """
    train = load_file(files[0], TRAINING_FILE, grid, language)
    test = load_file(files[1], TEST_FILE, grid, language)
    if train.class_names != test.class_names:
        raise DatasetError(
            f"{files[1]}: other classes than in the training file {files[0].name}: "
            f"{', '.join(test.class_names)} instead of {', '.join(train.class_names)}. Write the "
            "same extra/keys into both."
        )
    if train.n_channels != test.n_channels:
        raise DatasetError(
            f"{files[1]}: another number of channels than in the training file {files[0].name}: "
            f"{test.n_channels} instead of {train.n_channels}. Write both alike."
        )
    if have_equal_arrays(train, test, ("offsets", "labels", "speakers", "steps", "units")):
        raise DatasetError(
            f"{files[1]}: the same utterances as in the training file {files[0].name}, so a test "
            "would say nothing. Replace one of the two."
        )
    return train, test


def load_file(
    path: Path, file_number: int, grid: Downsampling, language: str = "english"
) -> Events:
    """Load one of a data set's two files downsampled; see `load_pair`.

    If `duration_s` cuts off more than 5 % of the spikes, there is a warning.
    """
    events = _load_cached(path, grid, language)
    labels = set(events.labels.tolist())
    absent = [name for label, name in enumerate(events.class_names) if label not in labels]
    if file_number == TRAINING_FILE and absent:
        raise DatasetError(
            f"{path}: no training utterance of {', '.join(absent)}. Add some, or choose "
            "another `language`."
        )
    if len(events.steps) == 0:
        raise DatasetError(
            f"{path}: downsampling leaves no event. Check the file, and lower "
            "`pool_threshold` or `first_unit`."
        )
    n_used = int(events.units.max()) + 1
    if n_used < USED_SHARE * events.n_units:
        warnings.warn(
            f"{path}: all events are in the first {n_used} of {events.n_units} units. If it has "
            f"fewer than {events.n_channels} channels, write their number into extra/n_channels.",
            stacklevel=2,
        )
    if events.cut_share > LARGE_CUT_SHARE:
        warnings.warn(
            f"{path}: {cut_sentence(events, grid)}. Raise `duration_s`, or cut the silence "
            "before the utterances.",
            stacklevel=2,
        )
    return replace(events, file=np.full(len(events), file_number, np.uint8))


def _load_cached(path: Path, grid: Downsampling, language: str) -> Events:
    """Return the events of a file from the cache, or make them and write them there."""
    # The number of channels is part of the file's content.
    parameters = {name: getattr(grid, name) for name in setting_names(grid)} | {
        "language": language
    }
    inputs = f"{content_hash(path)} {json.dumps(parameters, sort_keys=True)} {code_hash()}"
    key = hashlib.sha256(inputs.encode()).hexdigest()[:20]
    cache = data_dir() / "cache" / f"{path.name.split('.')[0]}_{key}.npz"
    with suppress(DatasetError):  # absent, or damaged
        return _read_cache(cache)
    with exclusive(cache.parent, f"{cache.stem}.lock"):
        with suppress(DatasetError):  # another process has made it meanwhile
            return _read_cache(cache)
        try:
            events = downsample_slices(read_in_slices(path), grid, language)
        except DatasetError as error:
            raise DatasetError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
        # Without the number of the file: it may train in one data set and test in another.
        fields = {name: values for name, values in vars(events).items() if name != "file"}
        with atomic(cache) as unfinished, unfinished.open("wb") as stream:
            np.savez(stream, **fields)
    return events


def _read_cache(cache: Path) -> Events:
    """Return the events of a cache entry; DatasetError if it is absent or damaged."""
    with reading(cache, DatasetError, "It is made again."):
        with np.load(cache) as file:
            fields: dict[str, Any] = dict(file)
        fields |= {name: fields[name].item() for name in _NUMBERS}
        return Events(**fields | {"class_names": tuple(fields["class_names"].tolist())})


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
