"""Shift and stretch augmentation: training utterances changed a little, anew for every epoch.

The changes follow how speakers differ, as if more of them had been recorded. A shift in units is
another length of the vocal tract (or pitch), and a stretch in time another rate of speech. Cramer
et al. (2022), "The Heidelberg Spiking Data Sets for the Systematic Evaluation of Spiking Neural
Networks", IEEE TNNLS 33(7), list the same kinds.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from shd_engine.kernels import compiled
from shd_helpers.events.downsampling import Events
from shd_helpers.settings import check_settings, setting

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Augmentation:
    """Limits of shift and stretch augmentation, within which each utterance is changed.

    Every utterance draws its own shifts and stretch, uniformly. Shifts are then rounded, so the two
    farthest are half as probable as the others. If all limits are zero, nothing is changed.

    Parameters
    ----------
    shift_units : int
        The most units that an utterance moves up or down, 0 to 700.
    shift_ms : float
        The most milliseconds that it moves earlier or later, in whole steps.
    stretch : float
        Times are multiplied by 1 - stretch to 1 + stretch; 0 to 0.99.
    dropout : float
        The share of the events that are left out, 0 to 0.99.

    Raises
    ------
    ValueError
        If a limit is out of its range. The message names it.
    """

    shift_units: int = setting(0, (0, 700))
    shift_ms: float = setting(0.0, (0, 60_000))
    stretch: float = setting(0.0, (0, 0.99))
    dropout: float = setting(0.0, (0, 0.99))

    def __post_init__(self) -> None:
        """Check that each limit is in its range."""
        check_settings(self)

    def __bool__(self) -> bool:
        """Tell whether anything is changed."""
        return self != Augmentation()

    def __call__(self, events: Events, generator: "torch.Generator") -> Events:
        """Return changed utterances; events that move beyond the edges are lost.

        Of events that fall into one entry of the matrix, one is left.
        """
        import torch  # a recipe without training, as in notebook 1, needs none

        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        n = len(events)
        most_steps = round(self.shift_ms / events.step_ms)
        # Trained networks depend on the order of these draws.
        factor = rng.uniform(1 - self.stretch, 1 + self.stretch, n)
        shift_steps = np.rint(rng.uniform(-most_steps, most_steps, n))
        shift_units = np.rint(rng.uniform(-self.shift_units, self.shift_units, n)).astype(np.int64)
        is_kept = np.ones(len(events.steps), bool)
        if self.dropout:
            is_kept = rng.random(len(events.steps)) >= self.dropout
        changes = _Changes(factor, shift_steps, shift_units, is_kept)
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
    shift_steps: np.ndarray  # (utterances,) steps that are added then
    shift_units: np.ndarray  # (utterances,) units that are added
    is_kept: np.ndarray  # (events,) False if dropout removes the event


@compiled
def _change(original, changes, n_steps, n_units, changed):
    """Move the events of all utterances, by means of a matrix of zeros and ones.

    The matrix puts the events in order, and joins those that fall together. Events that leave the
    steps are collected in its last row, and those that leave the units in column `n_units`. Both
    are lost.
    """
    n_written = 0
    # Padded to a multiple of eight units, so that eight entries can be read as one number.
    matrix = np.zeros((n_steps + 1, n_units // 8 * 8 + 8), np.uint8)
    eight_entries = matrix.view(np.uint64)
    new_step = np.empty(n_steps, np.int64)
    new_unit = np.empty(n_units, np.int64)
    for i in range(len(changes.factor)):
        for t in range(n_steps):
            step = np.floor((t + 0.5) * changes.factor[i] + changes.shift_steps[i])
            new_step[t] = step if 0 <= step < n_steps else n_steps
        for u in range(n_units):
            unit = u + changes.shift_units[i]
            new_unit[u] = unit if 0 <= unit < n_units else n_units
        for e in range(original.offsets[i], original.offsets[i + 1]):
            matrix[new_step[original.steps[e]], new_unit[original.units[e]]] |= changes.is_kept[e]
        for t in range(n_steps):
            matrix[t, n_units] = 0  # the events that left the units must not be written
            for block in range(eight_entries.shape[1]):
                if eight_entries[t, block]:  # most blocks of eight units are without an event
                    for u in range(8 * block, 8 * block + 8):
                        changed.steps[n_written] = t
                        changed.units[n_written] = u
                        n_written += matrix[t, u]  # an entry without an event is overwritten
                    eight_entries[t, block] = 0  # for the next utterance
        changed.offsets[i + 1] = n_written
