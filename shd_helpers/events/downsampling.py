"""Downsample spikes to lists of events: drop silent channels, bin in time, pool, threshold."""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from shd_helpers.checks import check_settings, setting
from shd_helpers.data.download import exclusive
from shd_helpers.data.shd_file import (
    LANGUAGES,
    N_CHANNELS,
    DatasetError,
    Utterances,
    content_hash,
    language_classes,
    read_shd,
)
from shd_helpers.files import atomic, reading
from shd_helpers.paths import data_dir
from shd_helpers.versions import NUMERICS

BIN_MS = 1.0  # of a time bin, before pooling


@dataclass(frozen=True)
class Downsampling:
    """How an utterance becomes a matrix of zeros and ones; the defaults are the study's 183 x 333.

    Channels (`units`) below `first_unit` are dropped, because hardly any spike comes from them. The
    time from 0 to `duration_s` is cut into bins of 1 ms. An entry is 1 if at least one spike falls
    into it. Then a block of `pool_units` x `pool_steps` entries becomes one entry, which is 1 if at
    least `pool_threshold` of the block's are. What is left over at the upper and late edge and
    fills no block is dropped.

    Raises
    ------
    ValueError
        If a setting is out of its range, or no entry or no event would be left.
    """

    first_unit: int = setting(150, (0, N_CHANNELS - 1))
    duration_s: float = setting(1.0, (BIN_MS / 1000, 60))
    pool_units: int = setting(3, (1, N_CHANNELS))
    pool_steps: int = setting(3, (1, 65535))
    pool_threshold: int = setting(2, (1, 65535))

    def __post_init__(self) -> None:
        """Refuse numbers that leave no entry or no event."""
        check_settings(self)
        if self.n_units < 1 or not 1 <= self.n_steps <= 65535:  # steps are stored in 16 bits
            raise ValueError(f"{self}: {self.n_units} units x {self.n_steps} steps can't be used")
        if self.pool_threshold > self.pool_units * self.pool_steps:
            raise ValueError(
                f"pool_threshold {self.pool_threshold}: a block of {self.pool_units} x "
                f"{self.pool_steps} entries can reach 1..{self.pool_units * self.pool_steps}"
            )

    @property
    def step_ms(self) -> float:
        """Length of a time step after pooling, milliseconds."""
        return BIN_MS * self.pool_steps

    @property
    def n_units(self) -> int:
        """Units after pooling."""
        return (N_CHANNELS - self.first_unit) // self.pool_units

    @property
    def n_bins(self) -> int:
        """Time bins before pooling."""
        return int(self.duration_s * 1000 / BIN_MS + 1e-9)  # 1.001 s x 1000 is 1000.99...

    @property
    def n_steps(self) -> int:
        """Time steps after pooling."""
        return self.n_bins // self.pool_steps


@dataclass(frozen=True)
class Events:
    """Downsampled utterances as lists of events, the entries of their matrices that are 1.

    Utterance ``i`` has the events ``offsets[i]:offsets[i + 1]``, ordered by step, then unit.
    """

    steps: np.ndarray  # (events,) uint16
    units: np.ndarray  # (events,) uint16
    offsets: np.ndarray  # (utterances + 1,) int64
    labels: np.ndarray  # (utterances,) class, index into class_names, int64
    speakers: np.ndarray  # (utterances,) int64
    class_names: tuple[str, ...]
    n_steps: int
    n_units: int
    step_ms: float = 3.0  # length of a step
    rows: np.ndarray | None = None  # (utterances,) where each is in its file
    file: np.ndarray | None = None  # (utterances,) 0 if it is in the training file, 1 in the test's

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self.labels)

    def to_frames(self, index: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return some utterances as matrices of zeros and ones.

        Parameters
        ----------
        index : sequence of int
            The utterances, shape (batch,).

        Returns
        -------
        ndarray
            float32, shape (steps, batch, units): time first, as the network reads it.
        """
        x = np.zeros((self.n_steps, len(index), self.n_units), dtype=np.float32)
        for column, i in enumerate(index):
            own = slice(self.offsets[i], self.offsets[i + 1])
            np.add.at(x[:, column], (self.steps[own], self.units[own]), 1.0)
        return x

    def take(self, index: Sequence[int] | np.ndarray) -> "Events":
        """Return some utterances as event lists of their own.

        Parameters
        ----------
        index : sequence of int
            The utterances, shape (utterances,).

        Returns
        -------
        Events
            Copies, in the given order.
        """
        index = np.asarray(index, dtype=np.int64)
        sizes = np.diff(self.offsets)[index]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        # Event number e of the result is as far behind its utterance's first event as in `self`.
        source = np.arange(offsets[-1]) + np.repeat(self.offsets[index] - offsets[:-1], sizes)
        return replace(
            self,
            steps=self.steps[source],
            units=self.units[source],
            offsets=offsets,
            labels=self.labels[index],
            speakers=self.speakers[index],
            rows=None if self.rows is None else self.rows[index],
            file=None if self.file is None else self.file[index],
        )

    def of_classes(self, names: Sequence[str]) -> "Events":
        """Return the utterances of some classes.

        Parameters
        ----------
        names : sequence of str
            Names of classes; in this order they become the classes 0, 1, ...

        Returns
        -------
        Events
            In the order that they have here.
        """
        if tuple(names) == self.class_names:
            return self
        new_label = np.full(len(self.class_names), -1)
        new_label[[self.class_names.index(name) for name in names]] = np.arange(len(names))
        chosen = self.take(np.flatnonzero(new_label[self.labels] >= 0))
        return replace(chosen, labels=new_label[chosen.labels], class_names=tuple(names))


def downsample(utterances: Utterances, grid: Downsampling, language: str = "english") -> Events:
    """Turn the utterances of one language, chosen by class name, into event lists.

    Parameters
    ----------
    utterances : Utterances
        Spikes of a data set's file.
    grid : Downsampling
        How they are downsampled.
    language : str
        ``"english"``, ``"german"`` or ``"both"``.

    Returns
    -------
    Events
        One entry per utterance of the language, in the given order.

    Raises
    ------
    DatasetError
        If the language is not in the data set, no utterance is spoken in it, or most spikes come
        too late.
    """
    class_of = language_classes(utterances.keys, language)
    chosen = np.flatnonzero(np.isin(utterances.labels, list(class_of)))
    if len(chosen) == 0:
        raise DatasetError(f"no utterance in language {language!r}. Choose another `language`.")
    entries_by_utterance = []
    n_late = 0
    for i in chosen:
        times, units = utterances.spikes(int(i))
        n_late += int(np.count_nonzero(times >= max(grid.duration_s, Downsampling.duration_s)))
        entries_by_utterance.append(_pooled_entries(times, units, grid))
    n_spikes = np.diff(utterances.offsets)[chosen].sum()
    if n_late > n_spikes / 2:
        raise DatasetError(
            f"{n_late / n_spikes:.0%} of the spikes come after the first second. Are the times "
            "seconds? Correct the program that wrote the file, or cut the silence before the words."
        )
    steps, units = np.divmod(np.concatenate(entries_by_utterance), grid.n_units)
    return Events(
        steps=steps.astype(np.uint16),
        units=units.astype(np.uint16),
        offsets=np.cumsum([0, *map(len, entries_by_utterance)]),
        labels=np.array([class_of[label] for label in utterances.labels[chosen]], dtype=np.int64),
        speakers=utterances.speakers[chosen],
        class_names=LANGUAGES[language],
        n_steps=grid.n_steps,
        n_units=grid.n_units,
        step_ms=grid.step_ms,
        rows=chosen,
    )


def _pooled_entries(times: np.ndarray, units: np.ndarray, grid: Downsampling) -> np.ndarray:
    """Return which entries of an utterance's pooled matrix are 1, as step x n_units + unit.

    No matrix is made, so the memory follows the number of spikes. Entries are numbered row by row,
    first those of 1 ms and one unit, then those of the pooled matrix.
    """
    n_bins = grid.n_steps * grid.pool_steps  # without those that fill no block
    n_units = grid.n_units * grid.pool_units
    bins = np.floor(times * 1000 / BIN_MS)
    units = units.astype(np.int64) - grid.first_unit
    is_inside = (bins < n_bins) & (units >= 0) & (units < n_units)
    entries, _ = distinct(bins[is_inside].astype(np.int64) * n_units + units[is_inside])
    step = entries // (n_units * grid.pool_steps)
    unit = entries % n_units // grid.pool_units
    blocks, active = distinct(step * grid.n_units + unit)  # active entries in each block
    return blocks[active >= grid.pool_threshold]


def distinct(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct numbers, ascending, and how often each occurs.

    Parameters
    ----------
    numbers : ndarray
        Whole numbers from 0 on, nearly in order. They are sorted in place.

    Returns
    -------
    values : ndarray
        The distinct numbers.
    counts : ndarray
        How often each occurs, shaped as `values`.
    """
    numbers.sort(kind="stable")  # much faster than np.unique, because spikes come nearly in order
    first = np.flatnonzero(np.diff(numbers, prepend=-1))
    return numbers[first], np.diff(first, append=len(numbers))


def load_events(
    files: tuple[Path, Path], grid: Downsampling, language: str = "english"
) -> tuple[Events, Events]:
    """Load training and test utterances downsampled, from the cache if the same was done before.

    The cache (``data/cache``) is keyed by the content of the source file, the parameters and
    `NUMERICS`. A damaged entry is made again.

    Parameters
    ----------
    files : tuple of Path
        Training file and test file, from `datasets.locate`.
    grid : Downsampling
        How they are downsampled.
    language : str
        ``"english"``, ``"german"`` or ``"both"``.

    Returns
    -------
    train : Events
        The utterances of the training file.
    test : Events
        The utterances of the test file.

    Raises
    ------
    DatasetError
        If a file can't be read or used, a class has no training utterance, or both files hold the
        same utterances.
    """
    train = load_file(files, 0, grid, language)
    test = load_file(files, 1, grid, language)
    if all(
        np.array_equal(getattr(train, name), getattr(test, name))
        for name in ("offsets", "labels", "speakers", "steps", "units")
    ):
        raise DatasetError(
            f"{files[1]}: the same utterances as in the training file {files[0].name}, so a test "
            "would say nothing. Replace one of the two."
        )
    return train, test


def load_file(
    files: tuple[Path, Path], file: int, grid: Downsampling, language: str = "english"
) -> Events:
    """Load one of a data set's two files downsampled; see `load_events`.

    Parameters
    ----------
    files : tuple of Path
        Training file and test file, from `datasets.locate`.
    file : int
        0 for the training file, 1 for the test file.
    grid : Downsampling
        How it is downsampled.
    language : str
        ``"english"``, ``"german"`` or ``"both"``.

    Returns
    -------
    Events
        Its utterances, with `rows` and `file`.

    Raises
    ------
    DatasetError
        If the file can't be read or used, or a class has no training utterance.
    """
    events = _load_cached(files[file], grid, language)
    spoken = set(events.labels.tolist())
    absent = [name for label, name in enumerate(events.class_names) if label not in spoken]
    if file == 0 and absent:
        raise DatasetError(
            f"{files[0]}: no training utterance of {', '.join(absent)}. Add some, or choose "
            "another `language`."
        )
    if len(events.steps) == 0:
        raise DatasetError(
            f"{files[file]}: downsampling leaves no event. Check the file, and lower "
            "`pool_threshold` or `first_unit`."
        )
    return replace(events, file=np.full(len(events), file, np.uint8))


def _load_cached(path: Path, grid: Downsampling, language: str) -> Events:
    """Return the events of a file from the cache, or make them and write them there."""
    parameters = json.dumps({**asdict(grid), "language": language}, sort_keys=True)
    key = hashlib.sha256(f"{content_hash(path)} {parameters} {NUMERICS}".encode()).hexdigest()[:20]
    cache = data_dir() / "cache" / f"{path.name.split('.')[0]}_{key}.npz"
    with suppress(DatasetError):  # absent, or damaged
        return _read_cache(cache)
    with exclusive(cache.parent, f"{cache.stem}.lock"):
        with suppress(DatasetError):  # another process has made it meanwhile
            return _read_cache(cache)
        try:
            events = downsample(read_shd(path), grid, language)
        except DatasetError as error:
            raise DatasetError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
        # Two data sets may share a file, as training file of one and as test file of the other.
        fields = {name: value for name, value in vars(events).items() if name != "file"}
        with atomic(cache) as unfinished, unfinished.open("wb") as stream:
            np.savez(stream, **fields)
    return events


def _read_cache(cache: Path) -> Events:
    """Return the events of a cache entry; DatasetError if it is absent or damaged."""
    with reading(cache, DatasetError, "It is made again."):
        with np.load(cache) as file:
            fields: dict[str, Any] = dict(file)
        fields["class_names"] = tuple(fields["class_names"].tolist())
        for name in ("n_steps", "n_units", "step_ms"):
            fields[name] = fields[name].item()
        return Events(**fields)
