"""Load data sets downsampled, from a cache where the same was done before."""

import hashlib
import json
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from shd_corpus.checks import DatasetError
from shd_corpus.encoders import COCHLEA
from shd_corpus.files import atomic, exclusive, reading
from shd_corpus.packed_file import content_hash
from shd_corpus.shd_file import read_in_slices
from shd_helpers.data import NAMED, dataset_name, obtain
from shd_helpers.events.downsampling import DEFAULT, Downsampling, downsample_slices
from shd_helpers.events.event_lists import Events, concatenate, have_equal_arrays
from shd_helpers.paths import data_dir, resolve
from shd_helpers.settings import setting_names
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
    _check_pair(files, train, test)
    return train, test


def _check_pair(files: tuple[Path, Path], train: Events, test: Events) -> None:
    """Raise DatasetError if two files aren't the training file and the test file of a data set."""
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
