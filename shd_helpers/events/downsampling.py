"""Downsample spikes to lists of events: drop silent channels, bin in time, pool, threshold.

`Events` are such lists.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import inf
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from shd_corpus.checks import DatasetError, check_whole
from shd_corpus.class_names import LANGUAGES, language_classes, used_classes
from shd_corpus.shd_file import MOST_CHANNELS, N_CHANNELS, Utterances
from shd_engine.event_lists import check_offsets, check_size, check_values, checked_utterances
from shd_helpers.settings import check_settings, from_data, setting

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Events:
    """Downsampled utterances as lists of events, the entries of their matrices that are 1.

    Utterance ``i`` has the events ``offsets[i]:offsets[i + 1]``, ordered by step, then unit. Each
    event is listed once. The package makes no other lists, but their maker can: an event that is
    listed twice counts twice in the frames, as it does in the engines.

    Parameters
    ----------
    steps : (events,) uint16 array
        The time step of each event, 0 to `n_steps` - 1.
    units : (events,) uint16 array
        The unit of each event, 0 to `n_units` - 1.
    offsets : (utterances + 1,) int64 array
        Where the events of each utterance begin; the last entry is the number of all events.
    labels : (utterances,) int64 array
        Classes, as indices into `class_names`.
    speakers : (utterances,) int64 array
        Speakers, as the file numbers them.
    class_names : tuple of str
        The names of the classes.
    n_steps : int
        The number of time steps of an utterance's matrix.
    n_units : int
        The number of units of an utterance's matrix.
    step_ms : float
        The length of a step in milliseconds.
    rows : (utterances,) array, optional
        The row of each utterance in its file; None if it is unknown.
    file : (utterances,) array, optional
        0 for an utterance of the training file, 1 for one of the test file; None if it is unknown.
    n_channels : int
        The number of channels of the file.
    source_spikes : int
        The number of spikes in the whole file or files from which the utterances come.
    cut_spikes : int
        The number of those spikes that come at `duration_s` or later.

    Raises
    ------
    ValueError
        If the arrays don't match, a value is out of its range, a class is named twice, or `step_ms`
        is no positive number. The message names the array. The order of the events isn't checked.
    """

    steps: np.ndarray
    units: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    speakers: np.ndarray
    class_names: tuple[str, ...]
    n_steps: int
    n_units: int
    step_ms: float = 3.0
    rows: np.ndarray | None = None
    file: np.ndarray | None = None
    n_channels: int = N_CHANNELS
    source_spikes: int = 0
    cut_spikes: int = 0

    def __post_init__(self) -> None:
        """Check what would give wrong results without an error."""
        check_size("n_steps", self.n_steps)
        check_size("n_units", self.n_units)
        step_ms = self.step_ms
        if not isinstance(step_ms, Real) or not 0 < float(step_ms) < inf:  # false for NaN
            raise ValueError(f"step_ms {step_ms!r}: must be a number above 0")
        if len(set(self.class_names)) < len(self.class_names):
            raise ValueError(
                f"class_names {tuple(self.class_names)}: a class is named twice. Name each once, "
                "and let the labels count them"
            )
        n_utterances = len(self.labels)
        sizes = {"units": len(self.steps), "offsets": n_utterances + 1}
        sizes |= dict.fromkeys(("speakers", "rows", "file"), n_utterances)
        for name, size in sizes.items():
            values = getattr(self, name)
            if values is not None and len(values) != size:
                raise ValueError(
                    f"{name}: has the length {len(values)} instead of {size}. There are "
                    f"{len(self.steps)} steps and {n_utterances} labels"
                )
        check_offsets(self.offsets, len(self.steps))
        check_values("steps", self.steps, self.n_steps)
        check_values("units", self.units, self.n_units)
        check_values("labels", self.labels, len(self.class_names))
        # Of unsigned numbers of 64 bits and signed ones, numpy makes floats, which index nothing.
        object.__setattr__(self, "offsets", self.offsets.astype(np.int64, copy=False))

    @property
    def cut_share(self) -> float:
        """Share of the spikes that `duration_s` cuts off, in the whole file or files."""
        return self.cut_spikes / max(1, self.source_spikes)

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self.labels)

    def to_frames(self, index: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return some utterances as matrices of zeros and ones.

        Parameters
        ----------
        index : sequence of int
            The utterances, shape (batch,), from 0 to their number - 1. A mask is refused.

        Returns
        -------
        ndarray
            float32, shape (steps, batch, units): time first, as the network reads it.

        Raises
        ------
        ValueError, IndexError
            If `index` is a mask or no list of whole numbers, or there is no such utterance.
        """
        index = checked_utterances(index, len(self))
        frames = np.zeros((self.n_steps, len(index), self.n_units), dtype=np.float32)
        for column, i in enumerate(index):
            its_events = slice(self.offsets[i], self.offsets[i + 1])
            entries = (self.steps[its_events], self.units[its_events])
            np.add.at(frames[:, column], entries, 1.0)  # an event may be listed twice
        return frames

    def take(self, index: Sequence[int] | np.ndarray) -> "Events":
        """Return some utterances as event lists of their own.

        Parameters
        ----------
        index : sequence of int
            The utterances, shape (utterances,), from 0 to their number - 1. A mask is refused.

        Returns
        -------
        Events
            Copies, in the given order.

        Raises
        ------
        ValueError, IndexError
            If `index` is a mask or no list of whole numbers, or there is no such utterance.
        """
        index = checked_utterances(index, len(self))
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

    def batch(self, index: Sequence[int] | np.ndarray) -> "tuple[torch.Tensor, torch.Tensor]":
        """Make a batch of some utterances: the `collate_fn` of a `DataLoader` over their indices.

        Parameters
        ----------
        index : sequence of int
            The utterances, shape (batch,), as for `to_frames`.

        Returns
        -------
        frames : Tensor
            float32, shape (steps, batch, units).
        labels : Tensor
            int64, shape (batch,).
        """
        import torch  # whoever only reads and downsamples spikes doesn't need it

        return torch.from_numpy(self.to_frames(index)), torch.from_numpy(self.labels[index])

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

        Raises
        ------
        ValueError
            If there is no such class, or one is named twice.
        """
        if isinstance(names, str):  # a text is a sequence of letters
            raise ValueError(f"names {names!r}: must be a list, such as [{names!r}]")
        for name in names:
            if name not in self.class_names:
                there = ", ".join(self.class_names)
                raise ValueError(f"class {name!r}: unknown. The classes are {there}")
        if len(set(names)) < len(names):
            raise ValueError(f"names {list(names)}: a class is named twice. Name it once")
        if tuple(names) == self.class_names:
            return self
        new_label = np.full(len(self.class_names), -1)
        new_label[[self.class_names.index(name) for name in names]] = np.arange(len(names))
        chosen = self.take(np.flatnonzero(new_label[self.labels] >= 0))
        return replace(chosen, labels=new_label[chosen.labels], class_names=tuple(names))


def have_equal_arrays(first: Events, second: Events, names: Sequence[str]) -> bool:
    """Tell whether two lists of utterances have the same values in some of their arrays."""
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in names)


def concatenate(parts: Sequence[Events]) -> Events:
    """Return the utterances of several event lists as one."""

    def joined(name: str) -> Any:
        arrays = [getattr(part, name) for part in parts]
        return None if any(each is None for each in arrays) else np.concatenate(arrays)

    if len(parts) == 1:
        return parts[0]
    for number, part in enumerate(parts, start=1):
        for name in ("class_names", "n_steps", "n_units", "step_ms", "n_channels"):
            value = getattr(part, name)
            wanted = getattr(parts[0], name)
            if value != wanted:
                raise ValueError(
                    f"list {number} of events has {name} {value} instead of {wanted}, which the "
                    "first list has. Downsample both alike, or select the same classes in the "
                    "same order with Events.of_classes"
                )
    sizes = [np.diff(part.offsets) for part in parts]
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(sizes))]).astype(np.int64)
    return replace(
        parts[0],
        steps=joined("steps"),
        units=joined("units"),
        offsets=offsets,
        labels=joined("labels"),
        speakers=joined("speakers"),
        rows=joined("rows"),
        file=joined("file"),
        source_spikes=sum(part.source_spikes for part in parts),
        cut_spikes=sum(part.cut_spikes for part in parts),
    )


BIN_MS = 1.0  # of a time bin, before pooling
LARGEST_LATE_SHARE = 0.5  # of the spikes: if more come late, the times can't be seconds


@dataclass(frozen=True)
class Downsampling:
    """How an utterance becomes a matrix of zeros and ones; the defaults are the study's 183 x 333.

    Channels (`units`) below `first_unit` are dropped, because hardly any spike comes from them. The
    time from 0 to `duration_s` is cut into bins of 1 ms. An entry is 1 if at least one spike falls
    into it. Then a block of `pool_units` x `pool_steps` entries becomes one entry, which is 1 if at
    least `pool_threshold` of the block's are. What is left over at the upper and late edge and
    fills no block is dropped.

    Parameters
    ----------
    first_unit : int
        The first channel that is used.
    duration_s : float
        The seconds of an utterance that are used, from its beginning.
    pool_units : int
        The number of channels in a block.
    pool_steps : int
        The number of bins of 1 ms in a block.
    pool_threshold : int
        The number of entries of a block that must be 1 so that the block becomes a 1.
    n_channels : int
        The number of channels before all this. It isn't a setting: `downsample` takes it from the
        file, as `for_channels` does.

    Raises
    ------
    ValueError
        If a setting is out of its range, or no entry or no event would be left.
    """

    first_unit: int = setting(150, (0, MOST_CHANNELS - 1))
    duration_s: float = setting(1.0, (BIN_MS / 1000, 60))
    pool_units: int = setting(3, (1, MOST_CHANNELS))
    pool_steps: int = setting(3, (1, 65535))
    pool_threshold: int = setting(2, (1, 65535))
    n_channels: int = from_data(N_CHANNELS)

    def __post_init__(self) -> None:
        """Check that the settings leave at least one entry, and that a block can reach a 1."""
        check_settings(self)
        check_whole("n_channels", self.n_channels, 1, MOST_CHANNELS)
        check_whole("first_unit", self.first_unit, 0, self.n_channels - 1)
        check_whole("pool_units", self.pool_units, 1, self.n_channels)
        if self.n_units < 1 or not 1 <= self.n_steps <= 65535:  # steps are stored in 16 bits
            raise ValueError(
                f"{self}: {self.n_units} units x {self.n_steps} steps can't be used. There must be "
                "at least 1 of each, and at most 65,535 steps"
            )
        if self.pool_threshold > self.pool_units * self.pool_steps:
            raise ValueError(
                f"pool_threshold {self.pool_threshold}: a block of {self.pool_units} x "
                f"{self.pool_steps} entries has at most {self.pool_units * self.pool_steps} ones"
            )

    @classmethod
    def of_channels(cls, n_channels: int, **settings: Any) -> "Downsampling":
        """Return settings for a file with some number of channels.

        Parameters
        ----------
        n_channels : int
            The number that the file has.
        **settings
            The settings by name.

        Returns
        -------
        Downsampling
            The checked settings.

        Raises
        ------
        DatasetError
            If the settings would fit 700 channels, but leave nothing of so few.
        ValueError
            If they fit no file.
        """
        if n_channels < N_CHANNELS:
            return cls(**settings).for_channels(n_channels)
        return cls(**settings, n_channels=n_channels)

    @property
    def step_ms(self) -> float:
        """Length of a time step after pooling, milliseconds."""
        return BIN_MS * self.pool_steps

    @property
    def n_units(self) -> int:
        """Units after pooling."""
        return (self.n_channels - self.first_unit) // self.pool_units

    @property
    def n_bins(self) -> int:
        """Time bins before pooling."""
        return int(self.duration_s * 1000 / BIN_MS + 1e-9)  # 1.001 s x 1000 is 1000.99...

    @property
    def n_steps(self) -> int:
        """Time steps after pooling."""
        return self.n_bins // self.pool_steps

    def for_channels(self, n_channels: int) -> "Downsampling":
        """Return the same settings for a file with another number of channels.

        Parameters
        ----------
        n_channels : int
            The number that the file has.

        Returns
        -------
        Downsampling
            Equal settings, with other `n_channels` and `n_units`.

        Raises
        ------
        DatasetError
            If the settings leave nothing of so few channels.
        """
        try:
            return replace(self, n_channels=n_channels)
        except ValueError as error:
            raise DatasetError(
                f"{error}, because the file has {n_channels} channels. The defaults are for 700: "
                "give others, such as Downsampling(first_unit=0, pool_units=1, pool_threshold=1)"
            ) from None


DEFAULT = Downsampling()  # the study's input


def downsample(utterances: Utterances, grid: Downsampling, language: str = "english") -> Events:
    """Turn the utterances of a file into event lists."""
    return downsample_slices([utterances], grid, language)


def downsample_slices(
    slices: Iterable[Utterances], grid: Downsampling, language: str = "english"
) -> Events:
    """Turn successive slices of a file into event lists, as `downsample` does.

    Only one slice needs to be in memory at a time.
    """
    parts: list[Events] = []
    first_row = 0
    n_spikes = 0
    n_late = 0
    # A shorter `duration_s` may cut more: that is a choice, and `cut_share` reports it.
    latest_s = max(grid.duration_s, DEFAULT.duration_s)
    for utterances in slices:
        parts.append(_downsample_slice(utterances, grid, language, first_row))
        first_row += len(utterances)
        n_spikes += len(utterances.times)
        n_late += int(np.count_nonzero(utterances.times >= latest_s))
    events = concatenate(parts)
    if len(events) == 0:
        raise DatasetError(
            f"no utterance in language {language!r}. Choose another `language`."
            if events.class_names == LANGUAGES[language]
            else "no utterance. Write some into it, or take another file."
        )
    if n_late > LARGEST_LATE_SHARE * n_spikes:
        raise DatasetError(
            f"{n_late / n_spikes:.0%} of the spikes come after {latest_s:g} s. Are the times "
            "seconds? Correct the program that wrote the file, raise `duration_s`, or cut the "
            "silence before the utterances."
        )
    return events


def _downsample_slice(
    utterances: Utterances, grid: Downsampling, language: str, first_row: int
) -> Events:
    """Turn utterances into event lists. The first of them is in row `first_row` of its file."""
    grid = grid.for_channels(utterances.n_channels)
    class_of_label = language_classes(utterances.keys, language)
    chosen = np.flatnonzero(np.isin(utterances.labels, list(class_of_label)))
    entries_by_utterance = []
    n_cut = 0
    for i in chosen:
        times, units = utterances.spikes(int(i))
        bins = np.floor(times * 1000 / BIN_MS)
        n_cut += int(np.count_nonzero(bins >= grid.n_bins))
        entries_by_utterance.append(pooled_entries(bins, units, grid))
    sizes = [len(entries) for entries in entries_by_utterance]
    all_entries = np.concatenate([np.empty(0, np.int64), *entries_by_utterance])
    steps, units = np.divmod(all_entries, grid.n_units)
    return Events(
        steps=steps.astype(np.uint16),
        units=units.astype(np.uint16),
        offsets=np.cumsum([0, *sizes]),
        labels=np.array([class_of_label[i] for i in utterances.labels[chosen]], np.int64),
        speakers=utterances.speakers[chosen],
        class_names=used_classes(utterances.keys, language),
        n_steps=grid.n_steps,
        n_units=grid.n_units,
        step_ms=grid.step_ms,
        rows=chosen + first_row,
        n_channels=grid.n_channels,
        source_spikes=int(np.diff(utterances.offsets)[chosen].sum()),
        cut_spikes=n_cut,
    )


def pooled_entries(bins: np.ndarray, units: np.ndarray, grid: Downsampling) -> np.ndarray:
    """Return which entries of an utterance's pooled matrix are 1.

    No matrix is made, so the memory follows the number of spikes. Entries are numbered row by row,
    first those of 1 ms and one unit, then those of the pooled matrix.

    Shapes: `bins` (spikes,), `units` (spikes,); returns (events,).
    """
    n_bins = grid.n_steps * grid.pool_steps  # without those that fill no block
    n_units = grid.n_units * grid.pool_units
    units = units.astype(np.int64) - grid.first_unit
    is_inside = (bins < n_bins) & (units >= 0) & (units < n_units)
    entries, _ = distinct(bins[is_inside].astype(np.int64) * n_units + units[is_inside])
    step = entries // (n_units * grid.pool_steps)
    unit = entries % n_units // grid.pool_units
    # A block occurs once for each of its entries that is 1.
    blocks, active = distinct(step * grid.n_units + unit)
    return blocks[active >= grid.pool_threshold]


def distinct(numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct numbers, ascending, and how often each occurs."""
    # Much faster than np.unique, because spikes come nearly in order.
    in_order = np.sort(numbers, kind="stable")
    first = np.flatnonzero(np.diff(in_order, prepend=-1))
    return in_order[first], np.diff(first, append=len(in_order))


class SpikesToFrames:
    """Downsample the spikes of one utterance, as a transform for data sets of your own.

    It takes a tuple of times and units, or an array of events in the format of the package tonic.
    It returns the matrix that `downsample` makes from the same spikes. A `DataLoader` stacks the
    matrices to (batch, steps, units). ``frames.transpose(0, 1)`` puts time first, as the study's
    networks need it.

    Parameters
    ----------
    downsampling : Downsampling
        How utterances become matrices of zeros and ones.
    n_channels : int
        Number of channels of the spikes: 700 for SHD and SSC.

    Raises
    ------
    ValueError
        If the settings leave nothing of so few channels.

    Examples
    --------
    >>> transform = SpikesToFrames(Downsampling(pool_steps=10))
    >>> transform(([0.1, 0.1004], [300, 301])).shape
    (100, 183)
    """

    def __init__(
        self,
        downsampling: Downsampling = DEFAULT,
        n_channels: int = N_CHANNELS,
    ) -> None:
        self.downsampling = downsampling.for_channels(n_channels)

    def __call__(self, spikes: tuple[Sequence, Sequence] | np.ndarray) -> np.ndarray:
        """Return the matrix of one utterance.

        Returns (steps, units).
        """
        grid = self.downsampling
        bins, units = _bins_and_units(spikes)
        if len(bins) != len(units):
            raise ValueError(
                f"{len(bins)} times and {len(units)} units: each spike has one of both"
            )
        if not (bins >= 0).all():  # not for NaN either
            raise ValueError("a time below 0, or no number: times count from the utterance's start")
        if len(units) and not 0 <= units.min() <= units.max() < grid.n_channels:
            raise ValueError(
                f"a unit outside 0..{grid.n_channels - 1}: set n_channels to the number of channels"
            )
        frame = np.zeros((grid.n_steps, grid.n_units), np.float32)
        frame.flat[pooled_entries(bins, units, grid)] = 1.0
        return frame


def _bins_and_units(
    spikes: tuple[Sequence, Sequence] | np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the time bin and the unit of each spike, of either form that the transform takes."""
    if not isinstance(spikes, np.ndarray) or spikes.dtype.names is None:
        times, units = spikes
        # First to float64: the files' float16 would be rounded.
        milliseconds = np.asarray(times).astype(np.float64) * 1000
        return np.floor(milliseconds / BIN_MS), np.asarray(units)
    if not {"t", "x"} <= set(spikes.dtype.names):
        raise ValueError(
            f"an array with the fields {', '.join(spikes.dtype.names)}: it needs t (microseconds) "
            "and x (units)"
        )
    # Dividing by 1e6 first would move some times into the bin before.
    return np.floor(spikes["t"] / (1000 * BIN_MS)), spikes["x"]
