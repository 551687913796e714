"""Utterances as a PyTorch data set."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import Dataset

if TYPE_CHECKING:
    from shd_helpers.events.event_lists import Events

# An utterance of `EventsDataset`: the steps and the units of its events, and its label
Item = tuple[torch.Tensor, torch.Tensor, int]


class EventsDataset(Dataset):
    """A PyTorch data set of utterances as event lists.

    An item is a tuple of steps, (events,) int64, units, (events,) int64, and the label. An
    utterance has some thousand events in a matrix of 60,000 entries. So `collate` makes the
    matrices, for one batch at a time.
    """

    def __init__(self, events: "Events") -> None:
        self._events = events

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self._events)

    def __getitem__(self, i: int) -> Item:
        """Return one utterance.

        Returns `steps` (events,), `units` (events,).
        """
        n = len(self._events)
        if not -n <= i < n:
            raise IndexError(f"utterance {i}: there are only {n}, which count from 0")
        number = i % n
        its_events = slice(self._events.offsets[number], self._events.offsets[number + 1])
        steps = torch.from_numpy(self._events.steps[its_events].astype(np.int64))
        units = torch.from_numpy(self._events.units[its_events].astype(np.int64))
        return steps, units, int(self._events.labels[number])

    def collate(self, items: Sequence[Item]) -> tuple[torch.Tensor, torch.Tensor]:
        """Make a batch of some utterances: the `collate_fn` of a `DataLoader`.

        Returns `frames` (steps, batch, units), `labels` (batch,).
        """
        frames = torch.zeros(self._events.n_steps, len(items), self._events.n_units)
        labels = torch.zeros(len(items), dtype=torch.int64)
        one = torch.ones(())
        for column, (steps, units, label) in enumerate(items):
            # Adds, because an event that is listed twice counts twice: see `Events`.
            frames[:, column].index_put_((steps, units), one, accumulate=True)
            labels[column] = label
        return frames, labels
