"""Stage 2, the inner hair cells: from the membrane's motion to the nerve's firing probability.

Each channel of the membrane has a hair cell. If the membrane moves in one direction, the cell
releases transmitter into the cleft between itself and the nerve. The transmitter moves between
three pools. In words, in each step of duration dt:

    drive = max(velocity + DRIVE_AT_REST, 0)
    released = RELEASE * dt * drive / (drive + HALF_DRIVE) * free
    made = max(REPLENISH * dt * (1 - free), 0)
    returned = REPROCESS * dt * store

    store <- store + REUPTAKE * dt * cleft - returned
    free  <- free + made - released + returned
    cleft <- cleft + released - (LOSS + REUPTAKE) * dt * cleft
    firing probability = FIRE * dt * cleft

A loud sound empties the free pool faster than it is refilled, so the cell adapts. It responds
strongly to the beginning of a sound and less to what follows. A pool that would fall below 0 is set
to 0.

Sources: Meddis (1986), J. Acoust. Soc. Am. 79, 702, and (1988), ibid. 83, 1056, for the model;
Cramer et al. (2022) and its implementation ``lauscher`` 1.0.1 for the parameters.
"""

import numpy as np

from shd_corpus.compiled import compiled

# A free pool of 1 is full. Velocity and drive have the same, arbitrary unit.
DRIVE_AT_REST = 5.0  # "A": it lets the cell release some transmitter in silence
HALF_DRIVE = 300.0  # "B": the drive at which half of the release rate is reached
# Rates, 1 / s
RELEASE = 2000.0  # "g", from the free pool to the cleft, at the strongest drive
REPLENISH = 5.05  # "y": new transmitter is made where the free pool lacks some
LOSS = 2500.0  # "l", out of the cleft for good
REUPTAKE = 6580.0  # "r", from the cleft to the store
REPROCESS = 66.3  # "x", from the store to the free pool
FIRE = 50_000.0  # "h", firing rate of a nerve fiber if the cleft holds 1


class HairCells:
    """The hair cells of some channels, which start at rest, as after a long silence.

    They keep their pools from one piece of sound to the next.
    """

    def __init__(self, n_channels: int, rate_hz: float) -> None:
        self._dt_s = 1.0 / rate_hz
        at_rest = RELEASE * DRIVE_AT_REST / (DRIVE_AT_REST + HALF_DRIVE)
        cleft = REPLENISH * at_rest / (LOSS * at_rest + REPLENISH * (LOSS + REUPTAKE))
        free = cleft * (LOSS + REUPTAKE) / at_rest
        store = cleft * REUPTAKE / REPROCESS
        self._pools = np.repeat([[cleft], [free], [store]], n_channels, axis=1)

    def respond(self, velocity: np.ndarray) -> np.ndarray:
        """Return the firing probabilities that follow from a velocity, both (steps, channels)."""
        probability = np.empty_like(velocity)  # by numpy: numba's large arrays are slow to fill
        _release(velocity, self._dt_s, self._pools, probability)
        return probability


def firing_probability(velocity: np.ndarray, rate_hz: float) -> np.ndarray:
    """Return how probably each hair cell lets a nerve fiber fire in each step: stage 2 by itself.

    Parameters
    ----------
    velocity : (steps, channels) array
        Velocity of the membrane, from `membrane_velocity`.
    rate_hz : float
        Steps in a second: half of the sound's sampling rate.

    Returns
    -------
    (steps, channels) float array
        Probability for each step and each fiber that is ready to fire.

    References
    ----------
    Meddis (1986), J. Acoust. Soc. Am. 79, 702; Meddis (1988), ibid. 83, 1056.
    """
    return HairCells(velocity.shape[1], rate_hz).respond(velocity)


@compiled
def _release(velocity, dt_s, pools, probability):
    """Move the transmitter for some steps; change the pools, fill the probability.

    The channels are the inner loop, which becomes vector instructions. It works on copies of the
    pools: only of arrays of its own does the compiler know that none overlap.
    """
    cleft = pools[0].copy()
    free = pools[1].copy()
    store = pools[2].copy()
    for step in range(len(velocity)):
        speed = velocity[step]
        out = probability[step]
        for c in range(len(cleft)):
            drive = max(speed[c] + DRIVE_AT_REST, 0.0)
            released = RELEASE * dt_s * drive / (drive + HALF_DRIVE) * free[c]
            made = max(REPLENISH * dt_s * (1.0 - free[c]), 0.0)
            returned = REPROCESS * dt_s * store[c]
            store[c] = max(store[c] + REUPTAKE * dt_s * cleft[c] - returned, 0.0)
            free[c] = max(free[c] + made - released + returned, 0.0)
            cleft[c] = max(cleft[c] + released - (LOSS + REUPTAKE) * dt_s * cleft[c], 0.0)
            out[c] = FIRE * dt_s * cleft[c]
    pools[0] = cleft
    pools[1] = free
    pools[2] = store
