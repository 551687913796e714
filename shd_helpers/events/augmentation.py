"""Training utterances changed a little, anew for every epoch: more voices than were recorded.

What is changed follows how speakers differ: a shift in units is another length of the vocal tract
(or pitch), a stretch in time another rate of speech; Cramer et al. (2022) list the same kinds.
Masks are SpecAugment's (Park et al., 2019).
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from shd_helpers.checks import check_settings, later
from shd_helpers.compiled import compiled
from shd_helpers.events.downsample import Events


@dataclass(frozen=True)
class Augmentation:
    """Limits of the changes; each utterance draws its own. All zero changes nothing.

    Shifts and stretches are drawn uniformly; shifts are then rounded, so the two farthest are half
    as probable as the others.
    """

    shift_units: int = later(0, (0, 700))  # up or down by up to so many units
    shift_ms: float = later(0.0, (0, 60_000))  # earlier or later by up to so many, in whole steps
    stretch: float = later(0.0, (0, 0.99))  # times from 1 - stretch to 1 + stretch
    dropout: float = later(0.0, (0, 0.99))  # share of the events that are left out

    def __post_init__(self) -> None:
        """Refuse limits that leave nothing."""
        check_settings(self)

    def __bool__(self) -> bool:
        """Tell whether anything is changed."""
        return self != Augmentation()

    def __call__(self, events: Events, generator: torch.Generator) -> Events:
        """Return changed utterances; entries that fall together or beyond the edges are lost.

        One draw of the generator seeds all changes.
        """
        rng = np.random.default_rng(int(torch.randint(2**62, (1,), generator=generator)))
        n, shift_steps = len(events), round(self.shift_ms / events.step_ms)
        factor = rng.uniform(1 - self.stretch, 1 + self.stretch, n)
        late = np.rint(rng.uniform(-shift_steps, shift_steps, n))
        up = np.rint(rng.uniform(-self.shift_units, self.shift_units, n)).astype(np.int64)
        is_kept = np.ones(len(events.steps), bool)
        if self.dropout:
            is_kept = rng.random(len(events.steps)) >= self.dropout
        # one more, for each is written before it is known to stay
        steps, units = (np.empty(len(x) + 1, x.dtype) for x in (events.steps, events.units))
        offsets = np.zeros_like(events.offsets)
        _change(
            events.steps, events.units, events.offsets, events.n_steps, events.n_units,
            factor, late, up, is_kept, steps, units, offsets,
        )  # fmt: skip
        n_left = offsets[-1]
        return replace(events, steps=steps[:n_left], units=units[:n_left], offsets=offsets)


@compiled
def _change(
    steps, units, offsets, n_steps, n_units, factor, late, up, is_kept,
    steps_out, units_out, offsets_out,
):  # fmt: skip
    """Move the events of all utterances, by a grid on which those that fall together are one.

    Its last row takes what leaves the steps, column `n_units` what leaves the units.
    """
    found = 0
    grid = np.zeros((n_steps + 1, n_units // 8 * 8 + 8), np.uint8)
    groups = grid.view(np.uint64)
    to_step, to_unit = np.empty(n_steps, np.int64), np.empty(n_units, np.int64)
    for i in range(len(factor)):
        for t in range(n_steps):
            step = np.floor((t + 0.5) * factor[i] + late[i])
            to_step[t] = step if 0 <= step < n_steps else n_steps
        for u in range(n_units):
            unit = u + up[i]
            to_unit[u] = unit if 0 <= unit < n_units else n_units
        for e in range(offsets[i], offsets[i + 1]):
            grid[to_step[steps[e]], to_unit[units[e]]] |= is_kept[e]
        for t in range(n_steps):
            grid[t, n_units] = 0
            for group in range(groups.shape[1]):
                if groups[t, group]:  # most of eight units are silent together
                    for u in range(8 * group, 8 * group + 8):
                        steps_out[found], units_out[found] = t, u
                        found += grid[t, u]
                    groups[t, group] = 0
        offsets_out[i + 1] = found
