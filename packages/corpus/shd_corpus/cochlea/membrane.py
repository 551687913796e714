"""Stage 1, the basilar membrane: from a sound to the motion of 700 points of the membrane.

The membrane is a bank of linear filters. In words: the velocity of a channel is the spectrum of
the sound times the channel's response (`shd_corpus.cochlea.response`), transformed back to time.
Two shortcuts make this fast without a loss of accuracy.

1. *Grids.* A channel moves at no more than four times its resonance, so a grid of few points in
   time describes its motion. Channels are computed in blocks that share a grid, and the number of
   points is one that has a fast Fourier transform, whatever the length of the sound.
2. *Interpolation.* Between the grid's points, the velocity is a weighted sum of 16 of them. The
   weights are a Kaiser-Bessel window, whose effect on the spectrum is known and is divided out
   beforehand: a non-uniform fast Fourier transform.

The velocity has half the sampling rate of the sound because it is computed from the positive
frequencies alone, as in the reference. Arrays have time first: (steps, channels).

Sources: Sieroka, Dosch and Rupp (2006), J. Acoust. Soc. Am. 120, 297, for the membrane; Fessler and
Sutton (2003), IEEE Trans. Signal Process. 51, 560, for the interpolation.
"""

from collections.abc import Iterator
from functools import lru_cache
from math import ceil
from typing import NamedTuple

import numpy as np
import scipy.fft

from shd_corpus.cochlea.response import CHANNELS, TABLE_POINTS, response_table
from shd_corpus.compiled import compiled

BLOCK = 64  # channels that share a grid
OVERSAMPLING = 1.5  # grid points, as a multiple of those that the highest frequency needs
TAPS = 16  # grid points in a weighted sum; with 1.5-fold oversampling it is exact to 1e-11
KERNEL_POINTS = 1024  # of the table of weights, from one grid point to the next
KERNEL_SHAPE = np.pi * TAPS * (1 - 0.5 / OVERSAMPLING)  # the best for these, by Fessler and Sutton
ROUNDING = 1e-6  # of a table point: a frequency that far beyond the last one still counts


class MembraneBlock(NamedTuple):
    """The motion of some neighboring channels, which can be read piece by piece.

    Its grid is valid until `membrane_blocks` is asked for the next block.
    """

    first_channel: int
    grid: np.ndarray  # (points, BLOCK) velocities; columns beyond the last channel are zero
    n_steps: int  # of the whole sound; they span the same time as the grid

    @property
    def n_channels(self) -> int:
        """The number of channels; the last block has fewer than the others."""
        return min(BLOCK, CHANNELS - self.first_channel)

    def velocity(self, first_step: int, stop_step: int) -> np.ndarray:
        """Read the (steps, channels) velocity between two steps, at half the rate of the sound."""
        velocity = np.empty((stop_step - first_step, self.n_channels))
        _read_grid(self.grid, _interpolation_kernel(), self.n_steps, first_step, velocity)
        return velocity


def membrane_blocks(wave: np.ndarray, rate_hz: int) -> Iterator[MembraneBlock]:
    """Yield the motion of blocks of channels from base to apex, all in the same memory.

    Read one block before you ask for the next. `wave` (samples,) is faded and normalized.
    """
    top_hz = rate_hz // 2
    spectrum = scipy.fft.rfft(np.asarray(wave, dtype=float))
    n_steps = len(spectrum)
    table, tops_hz = response_table(top_hz)
    table = table.view(float)  # see `_fill_spectrum`
    # The sound's bins go from 1 Hz to top_hz, as the reference has them.
    points_per_bin = (top_hz - 1) / (n_steps - 1) / (tops_hz - 1) * (TABLE_POINTS - 1)
    memory = np.empty((_fast_points(n_steps // 2), BLOCK // 2), dtype=complex)
    grid = memory[:0]
    for first_pair in range(0, len(table), BLOCK // 2):
        pairs = slice(first_pair, first_pair + BLOCK // 2)
        n_bins = int((TABLE_POINTS - 1 + ROUNDING) / points_per_bin[first_pair]) + 1
        n_bins = min(n_bins, n_steps)
        top_bin = min(n_bins - 1, n_steps // 2)
        n_points = _fast_points(top_bin)
        if n_points != len(grid):  # the first blocks often have grids of one size
            gain = 0.5 / n_steps / _kernel_spectrum(np.arange(top_bin + 1), n_points)
        grid = memory[:n_points]
        # Seen at n_steps points, a bin above half of them is one of negative frequency.
        bins = np.arange(n_bins)
        corrected = spectrum[:n_bins] * gain[np.minimum(bins, n_steps - bins)]
        _fill_spectrum(corrected, table[pairs], points_per_bin[pairs], n_steps, grid)
        grid = scipy.fft.ifft(grid, axis=0, norm="forward", overwrite_x=True)
        yield MembraneBlock(2 * first_pair, grid.view(float), n_steps)


def membrane_velocity(wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return the motion of all channels, to look at it: stage 1 by itself.

    Parameters
    ----------
    wave : (samples,) array
        Sound, as `normalize` and `fade` return it.
    rate_hz : int
        Its sampling rate.

    Returns
    -------
    (samples // 2 + 1, 700) float array
        Velocity at half the sampling rate, in arbitrary units.

    References
    ----------
    Sieroka, Dosch and Rupp (2006), J. Acoust. Soc. Am. 120, 297.
    """
    velocity = np.empty((len(wave) // 2 + 1, CHANNELS))
    for block in membrane_blocks(wave, rate_hz):
        channels = slice(block.first_channel, block.first_channel + block.n_channels)
        velocity[:, channels] = block.velocity(0, block.n_steps)
    return velocity


def _fast_points(top_bin: int) -> int:
    """Return a number of grid points that is enough and whose Fourier transform is fast."""
    enough = OVERSAMPLING * (2 * top_bin + 1)
    # Factors of two are the fastest, so the number is a multiple of 64.
    return 64 * scipy.fft.next_fast_len(ceil(enough / 64), real=True)


def _kernel_spectrum(bins: np.ndarray, n_points: int) -> np.ndarray:
    """Return the factor by which reading with the kernel changes each bin of a grid."""
    root = np.sqrt(KERNEL_SHAPE**2 - (np.pi * TAPS * bins / n_points) ** 2)
    return TAPS * np.sinh(root) / root / np.i0(KERNEL_SHAPE)


@lru_cache(maxsize=1)
def _interpolation_kernel() -> np.ndarray:
    """Tabulate the Kaiser-Bessel window that reads a grid between its points.

    Row ``i + 1`` of ``KERNEL_POINTS + 3`` holds the weights of the `TAPS` grid points around a
    time that is ``i / KERNEL_POINTS`` of their distance after the point before the middle. The
    rows beyond both ends are for the cubics.
    """
    window = np.pad(np.kaiser(TAPS * KERNEL_POINTS + 1, KERNEL_SHAPE), KERNEL_POINTS)
    taps = np.arange(1 - TAPS // 2, TAPS // 2 + 1) * KERNEL_POINTS
    rows = np.arange(-1, KERNEL_POINTS + 2)[:, None]
    return np.ascontiguousarray(window[len(window) // 2 + rows - taps])


@compiled
def _cubic(f):
    """Return the weights of the points -1, 0, 1 and 2 in the cubic through them, read at ``f``."""
    a = f * (f - 1.0) * (1.0 / 6.0)
    b = (f + 1.0) * (f - 2.0) / 2.0
    return (2.0 - f) * a, (f - 1.0) * b, -f * b, (f + 1.0) * a


@compiled
def _at(near, column, a, b, c, d):
    """Interpolate a column of the table between four neighboring points."""
    return a * near[0, column] + b * near[1, column] + c * near[2, column] + d * near[3, column]


@compiled
def _fill_spectrum(spectrum, table, points_per_bin, n_steps, grid):  # noqa: PLR0914
    """Fill (points, pairs) with the spectrum of channel 2 j plus i times that of 2 j + 1.

    The velocity is the real part of the response, so its spectrum is half the sum of the response's
    and of its mirrored conjugate. The spectra of two real channels fit into one complex Fourier
    transform, the second one multiplied by i.

    The table, (pairs, points, 4), has the real and the imaginary parts of both responses: numba
    multiplies a real weight with a complex number as if both were complex, which takes longer.
    """
    top = min(len(spectrum) - 1, n_steps // 2)
    grid[top + 1 : len(grid) - top] = 0.0
    last = table.shape[1] - 1
    pairs = len(table)
    rows = np.empty(pairs, np.int64)
    weights = np.empty((4, pairs))
    for k in range(len(spectrum)):
        while pairs > 0 and k * points_per_bin[pairs - 1] > last + ROUNDING:
            pairs -= 1  # nothing is left here, nor in the channels closer to the apex
        # Bin k lies between the points of the table, at another position for each pair. The loop
        # is separate from the next one because it becomes vector instructions.
        for pair in range(pairs):
            position = k * points_per_bin[pair]
            point = min(max(int(position), 1), last - 2)
            rows[pair] = point - 1
            a, b, c, d = _cubic(position - point)
            weights[0, pair] = a
            weights[1, pair] = b
            weights[2, pair] = c
            weights[3, pair] = d
        row = k if k <= top else k - n_steps
        here = grid[row]
        mirrored = grid[-row]
        if k <= top:
            here[:] = 0.0
            mirrored[:] = 0.0
        for pair in range(pairs):
            near = table[pair, rows[pair] : rows[pair] + 4]
            a = weights[0, pair]
            b = weights[1, pair]
            c = weights[2, pair]
            d = weights[3, pair]
            plus = complex(_at(near, 0, a, b, c, d), _at(near, 1, a, b, c, d))
            minus = complex(_at(near, 2, a, b, c, d), _at(near, 3, a, b, c, d))
            here[pair] += spectrum[k] * plus
            mirrored[pair] += np.conj(spectrum[k] * minus)


@compiled
def _read_grid(grid, kernel, n_steps, first_step, velocity):  # noqa: PLR0914
    """Fill (rows, channels) with the velocity at ``first_step`` and the steps after it.

    The grid is periodic and spans the same time as ``n_steps`` steps. Whole numbers count how far
    a step is from the grid point before it, so that no rounding error grows with time.
    """
    points = len(grid)
    channels = velocity.shape[1]
    weights = np.empty(TAPS)
    out = np.empty(channels)  # of its own: so the compiler knows that it overlaps with no argument
    # A step is a whole number of points and some n_steps-ths of a point.
    whole = points // n_steps
    fraction = points % n_steps
    left = first_step * points // n_steps - (TAPS // 2 - 1)
    rest = first_step * points % n_steps
    for row in range(len(velocity)):
        position = rest * ((len(kernel) - 3) / n_steps)
        i = int(position)
        a, b, c, d = _cubic(position - i)
        near = kernel[i : i + 4]
        for tap in range(TAPS):
            weights[tap] = a * near[0, tap] + b * near[1, tap] + c * near[2, tap] + d * near[3, tap]
        if 0 <= left <= points - TAPS:
            around = grid[left : left + TAPS]
            for channel in range(channels):
                total = 0.0
                for tap in range(TAPS):
                    total += weights[tap] * around[tap, channel]
                out[channel] = total
        else:  # beyond an end: it goes on at the other
            out[:] = 0.0
            for tap in range(TAPS):
                point = grid[(left + tap) % points]
                for channel in range(channels):
                    out[channel] += weights[tap] * point[channel]
        velocity[row] = out
        left += whole
        rest += fraction
        if rest >= n_steps:
            left += 1
            rest -= n_steps
