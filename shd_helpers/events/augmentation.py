"""Shift and stretch augmentation: training utterances changed a little, anew for every epoch.

The changes follow how speakers differ, as if more of them had been recorded. A shift in units is
another length of the vocal tract (or pitch), and a stretch in time another rate of speech. Cramer
et al. (2022), "The Heidelberg Spiking Data Sets for the Systematic Evaluation of Spiking Neural
Networks", IEEE TNNLS 33(7), list the same kinds.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from shd_helpers.checks import check_settings, later
from shd_helpers.compiled import compiled
from shd_helpers.events.event_lists import Events

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Augmentation:
    """Limits of shift and stretch augmentation, within which each utterance is changed.

    Every utterance draws its own shifts and stretch, uniformly. Shifts are then rounded, so the two
    farthest are half as probable as the others. If all limits are zero, nothing is changed.

    Raises
    ------
    ValueError
        If a limit is out of its range. The message names it.
    """

    shift_units: int = later(0, (0, 700))  # most units that an utterance moves up or down
    shift_ms: float = later(0.0, (0, 60_000))  # most milliseconds that it moves, in whole steps
    stretch: float = later(0.0, (0, 0.99))  # times are multiplied by 1 - stretch to 1 + stretch
    dropout: float = later(0.0, (0, 0.99))  # share of the events that are left out

    def __post_init__(self) -> None:
        """Check that each limit is in its range."""
        check_settings(self)

    def __bool__(self) -> bool:
        """Tell whether anything is changed."""
        return self != Augmentation()

    def __call__(self, events: Events, generator: "torch.Generator") -> Events:
        """Return changed utterances; events that move beyond the edges are lost.

        Of events that fall into one entry of the matrix, one is left.

        Parameters
        ----------
        events : Events
            The utterances.
        generator : torch.Generator
            One draw of it seeds all changes.

        Returns
        -------
        Events
            As many utterances, with other events.
        """
        import torch  # a recipe without training, as in notebook 1, needs none

        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        n = len(events)
        shift_steps = round(self.shift_ms / events.step_ms)
        changes = _Changes(
            factor=rng.uniform(1 - self.stretch, 1 + self.stretch, n),
            delay=np.rint(rng.uniform(-shift_steps, shift_steps, n)),
            up=np.rint(rng.uniform(-self.shift_units, self.shift_units, n)).astype(np.int64),
            is_kept=np.ones(len(events.steps), bool),
        )
        if self.dropout:
            changes.is_kept[:] = rng.random(len(events.steps)) >= self.dropout
        original = _EventArrays(events.steps, events.units, events.offsets)
        # One entry more than there are events, because each is written before it is known to stay.
        changed = _EventArrays(
            np.empty(len(events.steps) + 1, events.steps.dtype),
            np.empty(len(events.units) + 1, events.units.dtype),
            np.zeros_like(events.offsets),
        )
        _change(original, changes, events.n_steps, events.n_units, changed)
        n_left = changed.offsets[-1]
        return replace(
            events,
            steps=changed.steps[:n_left],
            units=changed.units[:n_left],
            offsets=changed.offsets,
        )


class _EventArrays(NamedTuple):
    """The arrays of `Events`, which compiled code can't read itself."""

    steps: np.ndarray  # (events,)
    units: np.ndarray  # (events,)
    offsets: np.ndarray  # (utterances + 1,)


class _Changes(NamedTuple):
    """What was drawn for each utterance, and for each event."""

    factor: np.ndarray  # (utterances,) by which times are multiplied
    delay: np.ndarray  # (utterances,) steps that are added then
    up: np.ndarray  # (utterances,) units that are added
    is_kept: np.ndarray  # (events,)


@compiled
def _change(original, changes, n_steps, n_units, changed):
    """Move the events of all utterances, by means of a matrix of zeros and ones.

    The matrix puts the events in order, and joins those that fall together. Its last row takes what
    leaves the steps, and column `n_units` what leaves the units.
    """
    n_written = 0
    # Padded to eights of units, so that eight entries can be looked at as one number.
    grid = np.zeros((n_steps + 1, n_units // 8 * 8 + 8), np.uint8)
    eights = grid.view(np.uint64)
    new_step = np.empty(n_steps, np.int64)
    new_unit = np.empty(n_units, np.int64)
    for i in range(len(changes.factor)):
        for t in range(n_steps):
            step = np.floor((t + 0.5) * changes.factor[i] + changes.delay[i])
            new_step[t] = step if 0 <= step < n_steps else n_steps
        for u in range(n_units):
            unit = u + changes.up[i]
            new_unit[u] = unit if 0 <= unit < n_units else n_units
        for e in range(original.offsets[i], original.offsets[i + 1]):
            grid[new_step[original.steps[e]], new_unit[original.units[e]]] |= changes.is_kept[e]
        for t in range(n_steps):
            grid[t, n_units] = 0
            for eight in range(eights.shape[1]):
                if eights[t, eight]:  # most eights of units are silent together
                    for u in range(8 * eight, 8 * eight + 8):
                        changed.steps[n_written] = t
                        changed.units[n_written] = u
                        n_written += grid[t, u]
                    eights[t, eight] = 0
        changed.offsets[i + 1] = n_written
