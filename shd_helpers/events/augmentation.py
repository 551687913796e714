"""Training utterances changed a little, anew for every epoch: more voices than were recorded.

What is changed follows how speakers differ: a shift in units is another length of the vocal tract
(or pitch), a stretch in time another rate of speech; Cramer et al. (2022) list the same kinds.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numba import njit

from shd_helpers.checks import check_number, check_whole
from shd_helpers.events.downsample import Events, distinct


@dataclass(frozen=True)
class Augmentation:
    """Limits of the changes; each utterance draws its own, uniformly. All zero changes nothing."""

    shift_units: int = 0  # up or down by up to so many units
    shift_ms: float = 0.0  # earlier or later by up to so many milliseconds, in whole steps
    stretch: float = 0.0  # times from 1 - stretch to 1 + stretch
    dropout: float = 0.0  # share of the events that are left out
    spurious: float = 0.0  # events added to each unit, per second

    def __post_init__(self) -> None:
        """Refuse limits that leave nothing."""
        check_whole("shift_units", self.shift_units, 0, 700)
        check_number("shift_ms", self.shift_ms, 0, 60_000)
        check_number("stretch", self.stretch, 0, 0.99)
        check_number("dropout", self.dropout, 0, 0.99)
        check_number("spurious", self.spurious, 0, 1000)

    def __bool__(self) -> bool:
        """Tell whether anything is changed."""
        return self != Augmentation()

    def __call__(self, events: Events, generator: torch.Generator) -> Events:
        """Return changed utterances; entries that fall together or beyond the edges are lost.

        Parameters
        ----------
        events : Events
            Utterances; counts above 1 become 1.
        generator : torch.Generator
            One draw of it seeds all changes.
        """
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        n, shift_steps = len(events), round(self.shift_ms / events.step_ms)
        factor = rng.uniform(1 - self.stretch, 1 + self.stretch, n)
        late = np.rint(rng.uniform(-shift_steps, shift_steps, n))
        up = np.rint(rng.uniform(-self.shift_units, self.shift_units, n)).astype(np.int64)
        is_kept = rng.random(len(events.steps)) >= self.dropout
        steps, units = np.empty_like(events.steps), np.empty_like(events.units)
        offsets = np.zeros_like(events.offsets)
        _change(
            events.steps, events.units, events.offsets, events.n_steps, events.n_units,
            factor, late, up, is_kept, steps, units, offsets,
        )  # fmt: skip
        n_left = offsets[-1]
        events = replace(events, steps=steps[:n_left], units=units[:n_left], offsets=offsets)
        return add_spurious(events, self.spurious, rng) if self.spurious else events


def add_spurious(events: Events, rate: float, rng: np.random.Generator) -> Events:
    """Return utterances with events that have no cause: Poisson, the same rate everywhere.

    Parameters
    ----------
    events : Events
        Utterances; counts above 1 become 1.
    rate : float
        Events added to each unit, per second. One that falls on another changes nothing.
    rng : numpy.random.Generator
        Draws them.
    """
    n_cells = events.n_steps * events.n_units
    mean = rate * events.step_ms / 1000 * n_cells * len(events)
    drawn = rng.integers(0, n_cells * len(events), rng.poisson(mean))
    own = np.repeat(np.arange(len(events)), np.diff(events.offsets)) * n_cells
    own += events.steps.astype(np.int64) * events.n_units + events.units
    cells, _ = distinct(np.concatenate([own, drawn]))
    offsets = np.searchsorted(cells, np.arange(len(events) + 1) * n_cells)
    steps, units = np.divmod(cells % n_cells, events.n_units)
    return replace(
        events, steps=steps.astype(np.uint16), units=units.astype(np.uint16), offsets=offsets
    )


@njit(cache=True, nogil=True)
def _change(
    steps, units, offsets, n_steps, n_units, factor, late, up, is_kept,
    steps_out, units_out, offsets_out,
):  # fmt: skip
    """Move the events of all utterances; what falls together in a step is put in order there."""
    found = 0
    for i in range(len(factor)):
        first = found  # of the events in the step that is being filled
        for e in range(offsets[i], offsets[i + 1]):
            step = int(np.floor((steps[e] + 0.5) * factor[i] + late[i]))
            unit = units[e] + up[i]
            if not (is_kept[e] and 0 <= step < n_steps and 0 <= unit < n_units):
                continue
            if found > first and steps_out[found - 1] != step:
                first = found
            k = found  # where it belongs: nearly always behind the others
            while k > first and units_out[k - 1] > unit:
                k -= 1
            if k > first and units_out[k - 1] == unit:
                continue
            for j in range(found, k, -1):
                units_out[j] = units_out[j - 1]
            units_out[k], steps_out[found] = unit, step
            found += 1
        offsets_out[i + 1] = found
