"""Training utterances changed a little, anew for every epoch: more voices than were recorded.

What is changed follows how speakers differ: a shift in units is another length of the vocal tract
(or pitch), a stretch in time another rate of speech; Cramer et al. (2022) list the same kinds. A
blend of two people's words is a voice between theirs; Nowotny, Turner and Knight (2025), "Loss
shaping enhances exact gradient learning with Eventprop in spiking neural networks", use it beside
the shift.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from shd_helpers.checks import check_number, check_whole
from shd_helpers.compiled import compiled
from shd_helpers.events.downsample import Events, distinct


@dataclass(frozen=True)
class Augmentation:
    """Limits of the changes; each utterance draws its own. All zero changes nothing.

    Shifts and stretches are drawn uniformly; shifts are then rounded, so the two farthest are half
    as probable as the others.
    """

    shift_units: int = 0  # up or down by up to so many units
    shift_ms: float = 0.0  # earlier or later by up to so many milliseconds, in whole steps
    stretch: float = 0.0  # times from 1 - stretch to 1 + stretch
    dropout: float = 0.0  # share of the events that are left out
    spurious: float = 0.0  # events added to each unit, per second
    blend: float = 0.0  # share of the utterances that are blended with one of their class

    def __post_init__(self) -> None:
        """Refuse limits that leave nothing."""
        check_whole("shift_units", self.shift_units, 0, 700)
        check_number("shift_ms", self.shift_ms, 0, 60_000)
        check_number("stretch", self.stretch, 0, 0.99)
        check_number("dropout", self.dropout, 0, 0.99)
        check_number("spurious", self.spurious, 0, 1000)
        check_number("blend", self.blend, 0, 1)

    def __bool__(self) -> bool:
        """Tell whether anything is changed."""
        return self != Augmentation()

    def __call__(self, events: Events, generator: torch.Generator) -> Events:
        """Return changed utterances; entries that fall together or beyond the edges are lost.

        Parameters
        ----------
        events : Events
            Utterances.
        generator : torch.Generator
            One draw of it seeds all changes.
        """
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        if self.blend:
            events = blended(events, self.blend, rng)
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


def blended(events: Events, share: float, rng: np.random.Generator) -> Events:
    """Return utterances of which some are blends of themselves and another one of their class.

    The other one is moved, in whole steps and units, to where the mean step and the mean unit of
    both are the same. Then every event of either is kept with probability 1/2.

    Parameters
    ----------
    events : Events
        Utterances.
    share : float
        Probability that an utterance is blended, 0..1. The other one is any of its class, itself
        among them, which leaves out a quarter of its events.
    rng : numpy.random.Generator
        Draws who is blended with whom, and the events.

    Returns
    -------
    Events
        In the order of the steps, not of the units; events that fall together stay.
    """
    other = np.arange(len(events))
    for label in np.unique(events.labels):
        same = np.flatnonzero(events.labels == label)
        other[same] = rng.choice(same, len(same))
    is_blended = rng.random(len(events)) < share
    other = np.where(is_blended, other, -1)
    n_events = np.diff(events.offsets)
    n_most = int(n_events.sum() + n_events[other[is_blended]].sum())
    steps, units = np.empty(n_most, np.uint16), np.empty(n_most, np.uint16)
    offsets = np.zeros_like(events.offsets)
    _blend(
        events.steps, events.units, events.offsets, events.n_steps, events.n_units,
        other, rng.random(n_most) < 0.5, steps, units, offsets,
    )  # fmt: skip
    n_left = offsets[-1]
    return replace(events, steps=steps[:n_left], units=units[:n_left], offsets=offsets)


def add_spurious(events: Events, rate: float, rng: np.random.Generator) -> Events:
    """Return utterances with events that have no cause: Poisson, the same rate everywhere.

    Parameters
    ----------
    events : Events
        Utterances.
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


@compiled
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


@compiled
def _blend(
    steps, units, offsets, n_steps, n_units, other, is_kept, steps_out, units_out, offsets_out
):
    """Merge every utterance with its other one; -1 for those that stay as they are."""
    found = drawn = 0
    for i in range(len(other)):
        own, own_end = offsets[i], offsets[i + 1]
        theirs = theirs_end = own_end
        late = up = 0
        if other[i] >= 0:
            theirs, theirs_end = offsets[other[i]], offsets[other[i] + 1]
        if own < own_end and theirs < theirs_end:
            late = round(steps[own:own_end].mean() - steps[theirs:theirs_end].mean())
            up = round(units[own:own_end].mean() - units[theirs:theirs_end].mean())
        while own < own_end or theirs < theirs_end:
            if theirs == theirs_end or (own < own_end and steps[own] <= steps[theirs] + late):
                step, unit = int(steps[own]), int(units[own])
                own += 1
            else:
                step, unit = steps[theirs] + late, units[theirs] + up
                theirs += 1
            kept = other[i] < 0 or is_kept[drawn]
            drawn += 1
            if kept and 0 <= step < n_steps and 0 <= unit < n_units:
                steps_out[found], units_out[found] = step, unit
                found += 1
        offsets_out[i + 1] = found
