"""Utterances as lists of events."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import inf
from numbers import Real
from typing import TYPE_CHECKING

import numpy as np

from shd_corpus.shd_file import N_CHANNELS
from shd_engine.event_lists import check_offsets, check_size, check_values, checked_utterances

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
        _check_sizes(self)
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


def _check_sizes(events: Events) -> None:
    """Raise ValueError if an array doesn't match the others, or there can be no such matrices."""
    check_size("n_steps", events.n_steps)
    check_size("n_units", events.n_units)
    step_ms = events.step_ms
    if not isinstance(step_ms, Real) or not 0 < float(step_ms) < inf:  # false for NaN
        raise ValueError(f"step_ms {step_ms!r}: must be a number above 0")
    if len(set(events.class_names)) < len(events.class_names):
        raise ValueError(
            f"class_names {tuple(events.class_names)}: a class is named twice. Name each once, and "
            "let the labels count them"
        )
    n_utterances = len(events.labels)
    sizes = {"units": len(events.steps), "offsets": n_utterances + 1}
    sizes |= dict.fromkeys(("speakers", "rows", "file"), n_utterances)
    for name, size in sizes.items():
        values = getattr(events, name)
        if values is not None and len(values) != size:
            raise ValueError(
                f"{name}: has the length {len(values)} instead of {size}. There are "
                f"{len(events.steps)} steps and {n_utterances} labels"
            )
    check_offsets(events.offsets, len(events.steps))


def have_equal_arrays(first: Events, second: Events, names: Sequence[str]) -> bool:
    """Tell whether two lists of utterances have the same values in some of their arrays."""
    return all(np.array_equal(getattr(first, name), getattr(second, name)) for name in names)


# What utterances of one list have in common
_COMMON = ("class_names", "n_steps", "n_units", "step_ms", "n_channels")


def _check_alike(parts: Sequence[Events]) -> None:
    """Raise ValueError if lists of events have different sizes or classes."""
    for number, part in enumerate(parts, start=1):
        for name in _COMMON:
            value = getattr(part, name)
            wanted = getattr(parts[0], name)
            if value != wanted:
                raise ValueError(
                    f"list {number} of events has {name} {value} instead of {wanted}, which the "
                    "first list has. Downsample both alike, or select the same classes in the "
                    "same order with Events.of_classes"
                )


def concatenate(parts: Sequence[Events]) -> Events:
    """Return the utterances of several event lists as one."""

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    def joined_or_none(name: str) -> np.ndarray | None:
        is_there = all(getattr(part, name) is not None for part in parts)
        return joined(name) if is_there else None

    if len(parts) == 1:
        return parts[0]
    _check_alike(parts)
    sizes = [np.diff(part.offsets) for part in parts]
    offsets = np.concatenate([[0], np.cumsum(np.concatenate(sizes))]).astype(np.int64)
    return replace(
        parts[0],
        steps=joined("steps"),
        units=joined("units"),
        offsets=offsets,
        labels=joined("labels"),
        speakers=joined("speakers"),
        rows=joined_or_none("rows"),
        file=joined_or_none("file"),
        source_spikes=sum(part.source_spikes for part in parts),
        cut_spikes=sum(part.cut_spikes for part in parts),
    )
