"""Stage 4, the bushy cells: from the nerve's spikes to the spikes of the data set.

In the brain, one bushy cell collects the forty fibers of each channel. It fires if several of them
fire at nearly the same time. So it keeps what the fibers have in common and removes much of their
randomness. The cell is a leaky integrate-and-fire neuron. In words, in each step of duration dt:

    current   <- current * exp(-dt / TAU_CURRENT_S) + number of fibers that fire
    potential <- potential * exp(-dt / TAU_POTENTIAL_S) + current * WEIGHT / fibers * dt

If the potential reaches 1, the cell spikes, and for 1 ms the potential stays at 0.

Source: Cramer et al. (2022), IEEE TNNLS 33(7), 2744, and its implementation ``lauscher`` 1.0.1.
"""

from math import exp

import numpy as np

from shd_corpus.cochlea.nerve import FIBERS
from shd_corpus.compiled import compiled

TAU_POTENTIAL_S = 1e-3
TAU_CURRENT_S = 5e-4
REST_S = 1e-3  # after a spike
WEIGHT = 13e3  # 1 / s, of all fibers of a channel together


class BushyCells:
    """The bushy cells of some channels, from the beginning of a sound to its end.

    `shape` has the steps of the whole sound and the channels. `spikes` (steps, channels) says
    whether a cell spikes in a step. A spike is seen in the step after it, as in the reference, so
    there is none in the sound's last step.
    """

    def __init__(self, shape: tuple[int, int], rate_hz: float, fibers: int = FIBERS) -> None:
        dt_s = 1.0 / rate_hz
        keep_potential = exp(-dt_s / TAU_POTENTIAL_S)
        keep_current = exp(-dt_s / TAU_CURRENT_S)
        self._constants = (keep_potential, keep_current, WEIGHT / fibers * dt_s, REST_S * rate_hz)
        self._cells = np.zeros((3, shape[1]))
        self._step = 0
        self.spikes = np.zeros(shape, dtype=bool)

    def collect(self, counts: np.ndarray) -> None:
        """Integrate the next steps of `counts`, the (steps, channels) fibers that fire."""
        _integrate(counts, self._step, self._constants, self._cells, self.spikes)
        self._step += len(counts)


def bushy_spikes(counts: np.ndarray, rate_hz: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the spikes of one bushy cell for each channel: stage 4 by itself.

    Parameters
    ----------
    counts : (steps, channels) uint8 array
        Number of fibers that fire, from `nerve_spikes`.
    rate_hz : float
        Steps in a second: half of the sound's sampling rate.

    Returns
    -------
    times : (spikes,) float array
        Seconds, ascending.
    units : (spikes,) int array
        Channels.
    """
    cells = BushyCells(counts.shape, rate_hz)
    cells.collect(counts)
    steps, units = np.divmod(np.flatnonzero(cells.spikes), counts.shape[1])
    return steps / rate_hz, units


@compiled
def _integrate(counts, first_step, constants, cells, spikes):
    """Integrate some steps of all channels; change the cells, fill the spikes.

    The channels are the inner loop, which becomes vector instructions. It works on copies of the
    cells: only of arrays of its own does the compiler know that none overlap.
    """
    keep_potential, keep_current, charge, rest_steps = constants
    potential = cells[0].copy()
    current = cells[1].copy()
    rest = cells[2].copy()  # steps that are left of it
    for row in range(len(counts)):
        fired = counts[row]
        out = spikes[first_step + row - 1]
        for c in range(len(potential)):
            spike = potential[c] >= 1.0  # of the step before
            out[c] = spike
            rest[c] = rest_steps if spike else rest[c]
            current[c] = current[c] * keep_current + fired[c]
            decayed = potential[c] * keep_potential
            potential[c] = 0.0 if rest[c] > 0.0 else decayed + current[c] * charge
            rest[c] -= 1.0
    cells[0] = potential
    cells[1] = current
    cells[2] = rest
