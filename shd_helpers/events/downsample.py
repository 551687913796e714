"""Spikes to event lists: cut the silent units, bin, pool."""

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

    Units below `first_unit` are dropped, the time from 0 to `duration_s` is cut into bins of
    1 ms, an entry is 1 when at least one spike falls into it, and a block of `pool_units` x
    `pool_steps` entries becomes 1 when at least `pool_threshold` of them are. What is left over at
    the upper and late edge and fills no block is dropped.
    """

    first_unit: int = setting(150, (0, N_CHANNELS - 1))
    duration_s: float = setting(1.0, (BIN_MS / 1000, 60))
    pool_units: int = setting(3, (1, N_CHANNELS))
    pool_steps: int = setting(3, (1, 65535))
    pool_threshold: int = setting(2, (1, 65535))

    def __post_init__(self) -> None:
        """Refuse numbers that leave no entry or no event."""
        check_settings(self)
        if self.n_units < 1 or not 1 <= self.n_steps <= 65535:
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
        return int(self.duration_s * 1000 / BIN_MS + 1e-9)

    @property
    def n_steps(self) -> int:
        """Time steps after pooling."""
        return self.n_bins // self.pool_steps


@dataclass(frozen=True)
class Events:
    """Downsized utterances as lists of active matrix entries, ordered by step, then unit.

    Utterance ``i`` has the events ``offsets[i]:offsets[i + 1]``.
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
    part: np.ndarray | None = None  # (utterances,) 0 in the training file, 1 in the test file

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self.labels)

    def to_frames(self, index: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the utterances `index`, shape (batch,), as zeros and ones.

        float32, shape (steps, batch, units): time first, as the network reads it.
        """
        x = np.zeros((self.n_steps, len(index), self.n_units), dtype=np.float32)
        for column, i in enumerate(index):
            part = slice(self.offsets[i], self.offsets[i + 1])
            np.add.at(x[:, column], (self.steps[part], self.units[part]), 1.0)
        return x

    def take(self, index: Sequence[int] | np.ndarray) -> "Events":
        """Return the utterances `index`, shape (utterances,), as event lists of their own."""
        index = np.asarray(index, dtype=np.int64)
        sizes = np.diff(self.offsets)[index]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        source = np.arange(offsets[-1]) + np.repeat(self.offsets[index] - offsets[:-1], sizes)
        return replace(
            self,
            steps=self.steps[source],
            units=self.units[source],
            offsets=offsets,
            labels=self.labels[index],
            speakers=self.speakers[index],
            rows=None if self.rows is None else self.rows[index],
            part=None if self.part is None else self.part[index],
        )

    def of_classes(self, names: Sequence[str]) -> "Events":
        """Return the utterances of some classes, which are 0, 1, ... in this order then."""
        if tuple(names) == self.class_names:
            return self
        place = np.full(len(self.class_names), -1)
        place[[self.class_names.index(name) for name in names]] = np.arange(len(names))
        found = self.take(np.flatnonzero(place[self.labels] >= 0))
        return replace(found, labels=place[found.labels], class_names=tuple(names))


def downsize(utterances: Utterances, grid: Downsampling, language: str = "english") -> Events:
    """Turn the utterances of one language, chosen by class name, into event lists.

    Parameters
    ----------
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
    n_bins, n_cut = grid.n_steps * grid.pool_steps, grid.n_units * grid.pool_units
    blocks, n_late = [], 0
    for i in chosen:
        times, units = utterances.spikes(int(i))
        n_late += int(np.count_nonzero(times >= max(grid.duration_s, Downsampling.duration_s)))
        bins = np.floor(times * 1000 / BIN_MS)
        units = units.astype(np.int64) - grid.first_unit
        keep = (bins < n_bins) & (units >= 0) & (units < n_cut)
        # no matrix: the memory follows the spikes
        entries, _ = distinct(bins[keep].astype(np.int64) * n_cut + units[keep])
        step, unit = entries // (n_cut * grid.pool_steps), entries % n_cut // grid.pool_units
        reached, active = distinct(step * grid.n_units + unit)
        enough = active >= grid.pool_threshold
        blocks.append(reached[enough])
    if n_late > (n_spikes := np.diff(utterances.offsets)[chosen].sum()) / 2:
        raise DatasetError(
            f"{n_late / n_spikes:.0%} of the spikes come after the first second. Are the times "
            "seconds? Correct the program that wrote the file, or cut the silence before the words."
        )
    steps, units = np.divmod(np.concatenate(blocks), grid.n_units)
    return Events(
        steps.astype(np.uint16),
        units.astype(np.uint16),
        np.cumsum([0, *map(len, blocks)]),
        np.array([class_of[label] for label in utterances.labels[chosen]], dtype=np.int64),
        utterances.speakers[chosen],
        LANGUAGES[language],
        grid.n_steps,
        grid.n_units,
        grid.step_ms,
        chosen,
    )


def distinct(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct numbers (whole, from 0), ascending, and how often each occurs."""
    numbers.sort(kind="stable")  # much faster than np.unique, for spikes come nearly in order
    first = np.flatnonzero(np.diff(numbers, prepend=-1))
    return numbers[first], np.diff(first, append=len(numbers))


def load_events(
    files: tuple[Path, Path], grid: Downsampling, language: str = "english"
) -> tuple[Events, Events]:
    """Load training and test utterances downsized, from the cache where the same was done before.

    The cache (``data/cache``) is keyed by the content of the source file, the parameters and
    `NUMERICS`; a damaged entry is made again.

    Parameters
    ----------
    files : tuple of Path
        Training file and test file, from `datasets.locate`.

    Raises
    ------
    DatasetError
        If a file can't be read or used, a word has no training utterance, or both files hold the
        same utterances.
    """
    train, test = (load_file(files, part, grid, language) for part in (0, 1))
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
    files: tuple[Path, Path], part: int, grid: Downsampling, language: str = "english"
) -> Events:
    """Load the training file (part 0) or the test file (part 1) alone; see `load_events`."""
    events = _load_cached(files[part], grid, language)
    spoken = set(events.labels.tolist())
    absent = [word for i, word in enumerate(events.class_names) if i not in spoken]
    if part == 0 and absent:
        raise DatasetError(
            f"{files[0]}: no training utterance of {', '.join(absent)}. Add some, or choose "
            "another `language`."
        )
    if len(events.steps) == 0:
        raise DatasetError(
            f"{files[part]}: downsizing leaves no event. Check the file, and lower `pool_threshold`"
            " or `first_unit`."
        )
    return replace(events, part=np.full(len(events), part, np.uint8))


def _load_cached(path: Path, grid: Downsampling, language: str) -> Events:
    parameters = json.dumps({**asdict(grid), "language": language}, sort_keys=True)
    key = hashlib.sha256(f"{content_hash(path)} {parameters} {NUMERICS}".encode()).hexdigest()[:20]
    cache = data_dir() / "cache" / f"{path.name.split('.')[0]}_{key}.npz"
    with suppress(DatasetError):  # absent, or damaged
        return _read_cache(cache)
    with exclusive(cache.parent, f"{cache.stem}.lock"):
        with suppress(DatasetError):  # another process has made it meanwhile
            return _read_cache(cache)
        try:
            events = downsize(read_shd(path), grid, language)
        except DatasetError as error:
            raise DatasetError(f"{path}: {str(error).removeprefix(f'{path}: ')}") from error
        with atomic(cache) as part, part.open("wb") as file:
            np.savez(file, **{name: x for name, x in vars(events).items() if name != "part"})
    return events


def _read_cache(cache: Path) -> Events:
    with reading(cache, DatasetError, "It is made again."):
        with np.load(cache) as file:
            fields: dict[str, Any] = dict(file)
        fields["class_names"] = tuple(fields["class_names"].tolist())
        fields |= {name: fields[name].item() for name in ("n_steps", "n_units", "step_ms")}
        return Events(**fields)
