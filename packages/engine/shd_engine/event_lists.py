"""Utterances as lists of events, which the compiled engine reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    import torch

Index = Sequence[int] | np.ndarray
_MOST = 2**16  # steps or units, which are uint16
_MOST_AT_ONCE = 32  # events of one unit in one step
_TYPES = {"steps": np.uint16, "units": np.uint16, "offsets": np.int64}


class ReadsAsEvents(Protocol):
    """What the engine reads of lists of events: `EventLists`, or a class with more attributes."""

    @property
    def steps(self) -> np.ndarray:
        """(events,) uint16."""

    @property
    def units(self) -> np.ndarray:
        """(events,) uint16."""

    @property
    def offsets(self) -> np.ndarray:
        """(utterances + 1,) int64."""

    @property
    def n_steps(self) -> int:
        """The number of steps."""

    @property
    def n_units(self) -> int:
        """The number of units."""


@dataclass(frozen=True)
class EventLists:
    """Utterances as lists of events, the entries of their matrices that are 1.

    Utterance ``i`` has the events ``offsets[i]:offsets[i + 1]``, ordered by step, then unit. An
    event that is listed twice counts twice.

    Parameters
    ----------
    steps : (events,) array
        The time step of each event, 0 to `n_steps` - 1.
    units : (events,) array
        The unit of each event, 0 to `n_units` - 1.
    offsets : (utterances + 1,) array
        Where the events of each utterance begin; the last entry is the number of all events.
    n_steps : int
        The number of time steps of an utterance.
    n_units : int
        The number of units of an utterance.

    Raises
    ------
    ValueError
        If the arrays don't match, or have values that are out of range.
    """

    steps: np.ndarray
    units: np.ndarray
    offsets: np.ndarray
    n_steps: int
    n_units: int

    def __post_init__(self) -> None:
        """Check the arrays, and give them the types that the kernels read."""
        arrays = {name: np.asarray(getattr(self, name)) for name in ("steps", "units", "offsets")}
        n_events = len(arrays["steps"])
        if len(arrays["units"]) != n_events:
            raise ValueError(f"units: has {len(arrays['units'])} events instead of {n_events}")
        check_offsets(arrays["offsets"], n_events)
        for name, stop in (("steps", self.n_steps), ("units", self.n_units)):
            check_size(f"n_{name}", stop)
            check_values(name, arrays[name], stop)
            object.__setattr__(self, name, arrays[name].astype(np.uint16))
        object.__setattr__(self, "offsets", arrays["offsets"].astype(np.int64))

    @classmethod
    def of(cls, frames: "torch.Tensor | np.ndarray") -> "EventLists":
        """List the events of a dense input.

        Parameters
        ----------
        frames : Tensor or ndarray
            How often each unit is active, (steps, batch, units): whole numbers up to 32, usually 0
            or 1.
            For a network that takes (batch, steps, units), give ``x.transpose(0, 1)``.

        Returns
        -------
        EventLists
            The same input, in the same order.

        Raises
        ------
        ValueError
            If it has other numbers.
        """
        values = np.asarray(frames)
        n_steps, n_utterances, n_units = values.shape
        by_utterance = np.ascontiguousarray(values.transpose(1, 0, 2)).reshape(-1)
        at = np.flatnonzero(by_utterance)
        counts = by_utterance[at]
        if (counts < 0).any() or (counts % 1 != 0).any():
            raise ValueError("frames: has numbers that are negative or not whole")
        if (counts > _MOST_AT_ONCE).any():
            raise ValueError(
                f"frames: has numbers up to {counts.max():g}, but a list has each event by itself, "
                f"so at most {_MOST_AT_ONCE} at once. Scale the input down"
            )
        if (counts != 1).any():
            at = np.repeat(at, counts.astype(np.int64))
        utterance, cell = np.divmod(at, n_steps * n_units)
        steps, units = np.divmod(cell, n_units)
        offsets = np.searchsorted(utterance, np.arange(n_utterances + 1))
        return cls(steps, units, offsets, n_steps, n_units)

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self.offsets) - 1


def checked_lists(events: ReadsAsEvents) -> ReadsAsEvents:
    """Return lists of events as the kernels read them, after checking where utterances begin.

    Whoever has made the lists may have changed their arrays. Steps and units are checked by the
    kernels.
    """
    arrays = {name: getattr(events, name) for name in _TYPES}
    types = {name: array.dtype for name, array in arrays.items() if array.ndim == 1}
    if types != _TYPES or len(events.steps) != len(events.units):
        return EventLists(**arrays, n_steps=events.n_steps, n_units=events.n_units)
    check_offsets(events.offsets, len(events.steps))
    return events


def check_offsets(offsets: np.ndarray, n_events: int) -> None:
    """Raise ValueError if these can't be the indices at which the events of utterances begin."""
    is_whole = offsets.ndim == 1 and offsets.dtype.kind in "iu"
    ends = (offsets[:1].tolist(), offsets[-1:].tolist())
    if not is_whole or ends != ([0], [n_events]) or (offsets[1:] < offsets[:-1]).any():
        raise ValueError(
            f"offsets: must be whole numbers that ascend from 0 to {n_events}, the number of "
            "events. Give np.cumsum([0, *sizes]), with the number of events of each utterance"
        )


def check_size(name: str, size: object) -> None:
    """Raise ValueError if this can't be a number of steps or units."""
    if not isinstance(size, int | np.integer) or not 0 < size <= _MOST:
        raise ValueError(f"{name} {size!r}: must be a whole number from 1 to {_MOST}")


def check_values(name: str, values: np.ndarray, stop: int) -> None:
    """Raise ValueError if an array has anything but whole numbers from 0 to `stop` - 1."""
    ndim = getattr(values, "ndim", 0)
    if len(values) == 0 and ndim < 2:
        return
    if ndim != 1 or values.dtype.kind not in "iu":
        raise ValueError(f"{name}: must be an array of whole numbers, with one axis")
    if not 0 <= values.min() <= values.max() < stop:
        raise ValueError(
            f"{name}: has values from {values.min()} to {values.max()}, but must have 0 to "
            f"{stop - 1}"
        )


def checked_utterances(index: Index, n_utterances: int) -> np.ndarray:
    """Return the indices of some utterances as an array, after checking them.

    Without the check, numpy would read a mask as the indices 0 and 1. A negative index would belong
    to one utterance among the labels, and to another among the offsets.
    """
    values = np.asarray(index)
    if values.dtype == bool:
        raise ValueError(
            "index: is a mask of True and False, but must be the numbers of utterances. Give "
            "np.flatnonzero(mask)"
        )
    if values.ndim != 1:
        raise ValueError(
            f"index: has the shape {values.shape}, but must be a list of numbers of utterances. "
            "Of what np.where(mask) returns, give the first entry"
        )
    if values.size and (values.dtype.kind not in "iuf" or (values % 1 != 0).any()):
        raise ValueError("index: must be whole numbers, those of utterances")
    if values.size and not 0 <= values.min() <= values.max() < n_utterances:
        raise IndexError(
            f"index: has values from {values.min()} to {values.max()}, but there are "
            f"{n_utterances} utterances, which count from 0"
        )
    return values.astype(np.int64, copy=False)
