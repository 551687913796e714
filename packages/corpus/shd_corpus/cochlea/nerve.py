"""Stage 3, the auditory nerve: from firing probabilities to the number of fibers that fire.

Forty fibers lead from each hair cell to the brain. In each step, a fiber that is ready fires with
the hair cell's probability. It then rests for 1 ms. This stage alone is random.

The fibers of a channel are alike, so it suffices to count those that are ready. In words, in each
step:

    ready <- ready + those that fired 1 ms ago
    firing ~ binomial(ready, probability)
    ready <- ready - firing

The number is exactly as random as forty fibers that are drawn one by one, and costs a single random
number. Each random number follows from seed, step and channel alone. So the spikes depend neither
on the order in which channels are computed nor on the number of threads.

Source: Cramer et al. (2022), IEEE TNNLS 33(7), 2744, and its implementation ``lauscher`` 1.0.1; for
the random numbers Steele, Lea and Flood (2014), OOPSLA, 453.
"""

from math import ceil
from typing import NamedTuple

import numpy as np

from shd_corpus.compiled import compiled

FIBERS = 40  # of each hair cell
REST_S = 1e-3  # after a spike, a fiber can't fire


class Nerve(NamedTuple):
    """The random part of the cochlea: its seed, and how many fibers each hair cell has.

    With None, each hair cell has 40 fibers that don't draw: in each step fires the number that is
    expected, which is no whole number.
    """

    seed: int
    fibers: int | None = FIBERS


class NerveFibers:
    """The nerve fibers of some channels, from the beginning of a sound to its end.

    `shape` has the steps of the whole sound and the channels. The first one is channel
    `first_channel` of `of_channels`, each of which has random numbers of its own.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        rate_hz: float,
        nerve: Nerve,
        first_channel: int,
        of_channels: int,
    ) -> None:
        state = np.random.SeedSequence(nerve.seed).generate_state(1, np.uint64)[0]
        self._numbers = (state, of_channels, first_channel)
        self._rest_steps = ceil(REST_S * rate_hz) - 1
        self._draws = nerve.fibers is not None
        fibers = nerve.fibers or FIBERS
        self._ready = np.full(shape[1], float(fibers))
        drawn = np.uint8 if fibers < 256 else np.uint16
        self._counts = np.zeros(shape, dtype=drawn if self._draws else np.float64)
        self._step = 0

    def fire(self, probability: np.ndarray) -> np.ndarray:
        """Draw how many fibers fire in the next steps, from and as (steps, channels)."""
        first = self._step
        self._step += len(probability)
        if not self._draws:
            _expect(probability, first, self._rest_steps, self._ready, self._counts)
            return self._counts[first : self._step]
        with np.errstate(over="ignore"):  # random numbers are products modulo 2^64
            _draw(probability, first, self._rest_steps, self._numbers, self._ready, self._counts)
        return self._counts[first : self._step]


def nerve_spikes(probability: np.ndarray, rate_hz: float, seed: int) -> np.ndarray:
    """Draw how many of each channel's 40 fibers fire in each step: stage 3 by itself.

    Parameters
    ----------
    probability : (steps, channels) array
        From `firing_probability`.
    rate_hz : float
        Steps in a second: half of the sound's sampling rate.
    seed : int
        Seed of the random numbers.

    Returns
    -------
    (steps, channels) uint8 array
        Number of fibers that fire, 0 to 40.
    """
    n_channels = probability.shape[1]
    return NerveFibers(probability.shape, rate_hz, Nerve(seed), 0, n_channels).fire(probability)


@compiled
def _uniform(seed, n):
    """Return number ``n`` of the SplitMix64 sequence (Steele et al. 2014), uniform in [0, 1)."""
    z = seed + (n + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53


@compiled
def _binomial(n, p, u):
    """Turn a uniform number into the number of successes of ``n`` trials (inversion)."""
    if p >= 1.0:
        return n
    weight = (1.0 - p) ** n
    k = 0
    while u >= weight and k < n:
        u -= weight
        weight *= (n - k) / (k + 1) * p / (1.0 - p)
        k += 1
    return k


@compiled
def _draw(probability, first_step, rest_steps, numbers, fibers, counts):  # noqa: PLR0914
    """Draw some steps of all channels; change the fibers that are ready, fill the counts.

    Nearly always, no fiber or one fiber fires. Bounds of the probabilities decide these cases in
    vector instructions, and `_binomial` is called for the few others.
    """
    seed, of_channels, first_channel = numbers
    ready = fibers.copy()  # of its own: so the compiler knows that it overlaps with no argument
    channels = len(ready)
    v = np.empty(channels)  # uniform in (0, 1]
    fired = np.empty(channels, counts.dtype)
    unsure = np.empty(channels, np.bool_)
    for row in range(len(probability)):
        step = first_step + row
        p = probability[row]
        if step > rest_steps:
            recovered = counts[step - rest_steps - 1]
            for c in range(channels):
                ready[c] += recovered[c]
        number = np.uint64(step * of_channels + first_channel)
        for c in range(channels):
            v[c] = 1.0 - _uniform(seed, number + np.uint64(c))
        for c in range(channels):
            # The expected numbers of fibers, of pairs and of triples that fire. By Bonferroni's
            # inequalities, the probability that at least one fiber fires lies between ones - pairs
            # and ones - pairs + triples, and that of at least two is at most pairs.
            ones = ready[c] * p[c]
            pairs = ones * p[c] * (ready[c] - 1.0) / 2.0
            triples = pairs * p[c] * (ready[c] - 2.0) * (1.0 / 3.0)
            low = ones - pairs
            high = ones - pairs + triples
            fired[c] = v[c] < low
            unsure[c] = (v[c] <= pairs) | ((v[c] >= low) & (v[c] <= high))
        for c in range(channels):
            if unsure[c]:
                fired[c] = _binomial(int(ready[c]), p[c], 1.0 - v[c])
        now = counts[step]
        for c in range(channels):
            now[c] = fired[c]
            ready[c] -= fired[c]
    fibers[:] = ready


@compiled
def _expect(probability, first_step, rest_steps, ready, counts):
    """Let the expected number of fibers fire in some steps of all channels."""
    for row in range(len(probability)):
        step = first_step + row
        for c in range(len(ready)):
            if step > rest_steps:
                ready[c] += counts[step - rest_steps - 1, c]
            counts[step, c] = ready[c] * min(probability[row, c], 1.0)
            ready[c] -= counts[step, c]
