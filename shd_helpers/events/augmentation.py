"""Training utterances changed a little, anew for every epoch: more voices than were recorded.

What is changed follows how speakers differ: a shift in units is another length of the vocal tract
(or pitch), a stretch in time another rate of speech; Cramer et al. (2022) list the same kinds.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch

from shd_helpers.checks import check_number, check_whole
from shd_helpers.events.downsample import Events


@dataclass(frozen=True)
class Augmentation:
    """Limits of the changes; each utterance draws its own, uniformly. All zero changes nothing."""

    shift_units: int = 0  # up or down by up to so many units
    shift_ms: float = 0.0  # earlier or later by up to so many milliseconds, in whole steps
    stretch: float = 0.0  # times from 1 - stretch to 1 + stretch
    dropout: float = 0.0  # share of the events that are left out

    def __post_init__(self) -> None:
        """Refuse limits that leave nothing."""
        check_whole("shift_units", self.shift_units, 0, 700)
        check_number("shift_ms", self.shift_ms, 0, 60_000)
        check_number("stretch", self.stretch, 0, 0.99)
        check_number("dropout", self.dropout, 0, 0.99)

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
        sizes, shift_steps = np.diff(events.offsets), round(self.shift_ms / events.step_ms)

        def drawn(low: float, high: float) -> np.ndarray:
            return np.repeat(rng.uniform(low, high, len(events)), sizes)

        of = np.repeat(np.arange(len(events)), sizes)
        factor = drawn(1 - self.stretch, 1 + self.stretch)
        late = np.rint(drawn(-shift_steps, shift_steps))
        steps = np.floor((events.steps + 0.5) * factor + late).astype(np.int64)
        up = np.rint(drawn(-self.shift_units, self.shift_units)).astype(np.int64)
        units = events.units + up
        keep = (0 <= steps) & (steps < events.n_steps) & (0 <= units) & (units < events.n_units)
        keep &= rng.random(len(keep)) >= self.dropout
        entry = ((of * events.n_steps + steps) * events.n_units + units)[keep]
        entry.sort(kind="stable")  # nearly sorted already: fast
        entry = entry[np.diff(entry, prepend=-1) > 0]
        of, entry = np.divmod(entry, events.n_steps * events.n_units)
        steps, units = np.divmod(entry, events.n_units)
        return replace(
            events,
            steps=steps.astype(np.uint16),
            units=units.astype(np.uint16),
            offsets=np.searchsorted(of, np.arange(len(events) + 1)),
        )
