"""Resample a stream of sound for the filter bank, block by block."""

from fractions import Fraction

import numpy as np

from shd_corpus.filter_bank.bank import RATE_HZ, to_samples


class Resampler:
    """Turn blocks of any size into samples for the filter bank, as `to_samples` does with a whole.

    Each piece is resampled together with its neighbors, of which only the weights of the filter
    need some samples. So all samples come late, by less than two pieces (about 16 ms at 48 kHz).

    Parameters
    ----------
    rate_hz : int
        Sampling rate of the blocks.
    """

    def __init__(self, rate_hz: int) -> None:
        ratio = Fraction(RATE_HZ, rate_hz)
        # Whole numbers of samples before and after. The filter reaches ten of the slower rate.
        times = -(-rate_hz // 125 // ratio.denominator)
        self._taken = times * ratio.denominator
        self._given = times * ratio.numerator
        self._rate_hz = rate_hz
        self._waiting = np.zeros(self._taken)  # the piece before the first one is silent

    def process(self, block: np.ndarray) -> np.ndarray:
        """Take samples (samples,) of full scale 1, and return int16 samples at 15,625 Hz."""
        self._waiting = np.concatenate([self._waiting, block])
        n_pieces = len(self._waiting) // self._taken - 2
        if n_pieces < 1:
            return np.zeros(0, np.int16)
        pieces = self._waiting[: (n_pieces + 2) * self._taken]
        self._waiting = self._waiting[n_pieces * self._taken :]
        samples = to_samples(pieces, self._rate_hz)
        return samples[self._given : (n_pieces + 1) * self._given]
