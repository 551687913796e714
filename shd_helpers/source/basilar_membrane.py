"""Sound to motion: how the basilar membrane spreads the pitches over 700 places.

Source: Sieroka, Dosch and Rupp (2006), "Semirealistic models of the cochlea", J. Acoust. Soc. Am.
120, 297, with the parameters of the reference implementation of Cramer et al. (2020), ``lauscher``.
As there, the motion is computed from the positive frequencies alone, which halves the sampling
rate: a wave of ``n`` samples becomes ``n // 2 + 1`` steps.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from math import ceil
from threading import Lock

import numba
import numpy as np
import scipy.fft
from scipy.special import hankel1, hankel2

from shd_helpers.source.threads import N_THREADS

CHANNELS = 700
# cgs units; the place x goes from the base, where high tones peak, to the apex
STIFFNESS, STIFFNESS_OFFSET, STIFFNESS_DECAY, MASS = 1e9, 3500.0, 3.0, 0.05
DAMPING = 0.15 * (STIFFNESS * MASS) ** 0.5
FLUID_DENSITY, DUCT_HEIGHT, LENGTH_CM = 1.0, 0.1, 3.5
# The response is tabulated up to 4 x the resonance, where 1e-8 of its peak is left.
TABLE_POINTS, TABLE_TOP = 2500, 4.0
# Channels are computed in blocks. The motion of a block is computed at 1.5 x the points that its
# highest frequency needs; a kernel over 16 of them reads what is between, exact to 1e-11.
BLOCK, OVERSAMPLING, TAPS = 64, 1.5, 16
KERNEL_POINTS = 1024  # of the table, from one grid point to the next
KERNEL_SHAPE = np.pi * TAPS * (1 - 0.5 / OVERSAMPLING)

# Without Python's lock, so that threads can encode side by side; Python's check for a division by
# zero would keep the loops from using vector instructions.
compiled = numba.njit(nogil=True, cache=True, error_model="numpy")


def resonance_hz(channels: int = CHANNELS) -> np.ndarray:
    """Return the frequency at which stiffness and mass of each channel cancel, (channels,) Hz."""
    x = np.linspace(0, LENGTH_CM, channels)
    return np.sqrt(STIFFNESS * np.exp(-STIFFNESS_DECAY * x) / MASS) / (2 * np.pi)


def membrane_response(omega: np.ndarray, x: float) -> np.ndarray:
    """Return the complex velocity per unit of sound at angular frequencies (rad/s) and place (cm).

    Source: Sieroka, Dosch and Rupp (2006), J. Acoust. Soc. Am. 120, 297.
    """
    decay = np.exp(-STIFFNESS_DECAY * x / 2)
    stiff = np.sqrt(STIFFNESS_OFFSET + MASS * omega**2)

    def impedance(decay):
        return STIFFNESS * decay**2 - stiff**2 - 1j * omega * DAMPING * decay

    def wave_number(decay):
        return omega * np.sqrt(FLUID_DENSITY / (DUCT_HEIGHT * impedance(decay)))

    def edge(decay):
        return 1j * stiff - omega * DAMPING * decay / (2 * stiff) - np.sqrt(impedance(decay))

    # Phase integral of the wave number from the base to x, with the offset of the reference.
    base = 2 * wave_number(1.0) / STIFFNESS_DECAY
    turn = 2j * omega / (STIFFNESS_DECAY * np.sqrt(DUCT_HEIGHT) * stiff)
    phase = base - turn * np.log(edge(1.0) / edge(decay) * decay)
    pressure = np.sqrt(phase / wave_number(decay)) * hankel1(0, phase)
    pressure_at_base = np.sqrt(2 / STIFFNESS_DECAY) * hankel1(0, base)

    stapes = 2 * omega / STIFFNESS_DECAY * np.sqrt(2 / (DUCT_HEIGHT * STIFFNESS))
    input_impedance = 1j * np.sqrt(2 * STIFFNESS / DUCT_HEIGHT) * hankel2(0, stapes)
    input_impedance /= hankel2(1, stapes)
    return 2 * omega / impedance(decay) * input_impedance * pressure / pressure_at_base


_one_table_at_a_time = Lock()


@lru_cache(maxsize=4)  # rates, of 28 MB each
def _response_table(top_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Tabulate every channel from 1 Hz to where nothing is left of its response.

    Evaluating the Hankel functions for each bin of each wave would take longer than all the rest;
    the response is smooth on the scale of the resonance, so some points per channel, interpolated
    by cubics, are exact to 2e-7 of its peak, for waves of any length. Channels 2 j and 2 j + 1
    share their frequencies; the table holds their responses a and b as a + i b and a - i b.
    """
    x = np.linspace(0, LENGTH_CM, CHANNELS)
    tops_hz = np.minimum(TABLE_TOP * resonance_hz()[::2], top_hz)
    omega = 2 * np.pi * np.linspace(1, np.repeat(tops_hz, 2), TABLE_POINTS, axis=-1)
    with ThreadPoolExecutor(N_THREADS) as threads:
        response = np.array(list(threads.map(membrane_response, omega, x)))
    even, odd = response[::2], 1j * response[1::2]
    return np.stack([even + odd, even - odd], axis=-1), tops_hz


@compiled
def _cubic(f):
    """Return the weights of the points -1, 0, 1 and 2 in the cubic through them, read at ``f``."""
    a, b = f * (f - 1.0) * (1.0 / 6.0), (f + 1.0) * (f - 2.0) / 2.0
    return (2.0 - f) * a, (f - 1.0) * b, -f * b, (f + 1.0) * a


@compiled
def _respond(spectrum, table, points_per_bin, steps, grid):
    """Fill (points, pairs) with the spectrum of channel 2 j plus i times that of 2 j + 1.

    The velocity is the real part of the response, so its spectrum is the response's and its
    mirrored conjugate; two real channels then share one complex Fourier transform. Seen at
    ``steps`` points, a bin above ``steps / 2`` is one of negative frequency.
    """
    top = min(len(spectrum) - 1, steps // 2)
    grid[top + 1 : len(grid) - top] = 0.0
    pairs, last = len(table), table.shape[1] - 1
    rows, weights = np.empty(pairs, np.int64), np.empty((4, pairs))
    for k in range(len(spectrum)):
        while pairs > 0 and k * points_per_bin[pairs - 1] > last + 1e-6:
            pairs -= 1  # nothing is left here, nor in the channels closer to the apex
        for pair in range(pairs):
            at = k * points_per_bin[pair]
            rows[pair] = min(max(int(at), 1), last - 2) - 1
            a, b, c, d = _cubic(at - (rows[pair] + 1))
            weights[0, pair], weights[1, pair] = a, b
            weights[2, pair], weights[3, pair] = c, d
        place = k if k <= top else k - steps
        here, mirrored = grid[place], grid[-place]
        if k <= top:
            here[:], mirrored[:] = 0.0, 0.0
        for pair in range(pairs):
            near = table[pair, rows[pair] : rows[pair] + 4]
            a, b, c, d = weights[0, pair], weights[1, pair], weights[2, pair], weights[3, pair]
            plus = a * near[0, 0] + b * near[1, 0] + c * near[2, 0] + d * near[3, 0]
            minus = a * near[0, 1] + b * near[1, 1] + c * near[2, 1] + d * near[3, 1]
            here[pair] += spectrum[k] * plus
            mirrored[pair] += np.conj(spectrum[k] * minus)


@lru_cache(maxsize=1)
def interpolation_kernel() -> np.ndarray:
    """Tabulate the Kaiser-Bessel window that reads a grid between its points.

    Row ``i + 1`` of ``KERNEL_POINTS + 3`` holds the weights of the ``TAPS`` grid points around a
    place that lies ``i / KERNEL_POINTS`` of their distance behind the one before the middle.
    """
    window = np.pad(np.kaiser(TAPS * KERNEL_POINTS + 1, KERNEL_SHAPE), KERNEL_POINTS)
    taps = np.arange(1 - TAPS // 2, TAPS // 2 + 1) * KERNEL_POINTS
    rows = np.arange(-1, KERNEL_POINTS + 2)[:, None]
    return np.ascontiguousarray(window[len(window) // 2 + rows - taps])


def _kernel_spectrum(bins: np.ndarray, points: int) -> np.ndarray:
    """Return what reading by the kernel multiplies the bins of a grid by."""
    root = np.sqrt(KERNEL_SHAPE**2 - (np.pi * TAPS * bins / points) ** 2)
    return TAPS * np.sinh(root) / root / np.i0(KERNEL_SHAPE)


@compiled
def read_grid(grid, kernel, steps, first, velocity) -> None:
    """Fill (rows, channels) with the velocity at steps ``first``, ``first + 1``, ... of ``steps``.

    A grid, (points, channels), spans the same time as the steps and is periodic. Source: Fessler
    and Sutton (2003), IEEE Trans. Signal Process. 51, 560.
    """
    points, channels = grid.shape
    weights, out = np.empty(TAPS), np.empty(channels)
    whole, part = points // steps, points % steps  # from one step to the next
    left, rest = first * points // steps - (TAPS // 2 - 1), first * points % steps
    for row in range(len(velocity)):
        at = rest * ((len(kernel) - 3) / steps)
        i = int(at)
        a, b, c, d = _cubic(at - i)
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
        else:  # beyond an end: goes on at the other
            out[:] = 0.0
            for tap in range(TAPS):
                point = grid[(left + tap) % points]
                for channel in range(channels):
                    out[channel] += weights[tap] * point[channel]
        velocity[row] = out
        left, rest = left + whole, rest + part
        if rest >= steps:
            left, rest = left + 1, rest - steps


def _fast_points(top_bin: int) -> int:
    """Return a number of grid points that is enough, and whose Fourier transform is fast."""
    enough = OVERSAMPLING * (2 * top_bin + 1)
    return 64 * scipy.fft.next_fast_len(ceil(enough / 64), real=True)  # twos are the fastest


def membrane_grids(wave: np.ndarray, rate_hz: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield the membrane's velocity block by block, on grids from which `read_grid` reads it.

    A channel moves at no more than four times its resonance, so few points say all about it; and
    their number can be one that has a fast Fourier transform, whatever the length of the wave.

    Yields
    ------
    first : int
        First channel of a block.
    grid : (points, BLOCK) float array
        Velocity, until the next block is asked for; zero where a channel is beyond the last one.
    """
    top_hz = rate_hz // 2
    spectrum = scipy.fft.rfft(np.asarray(wave, dtype=float))
    steps = len(spectrum)
    with _one_table_at_a_time:
        table, tops_hz = _response_table(top_hz)
    last = TABLE_POINTS - 1
    points_per_bin = (top_hz - 1) / (steps - 1) / (tops_hz - 1) * last
    bins = np.minimum(np.arange(steps), steps - np.arange(steps))  # as frequencies, see `_respond`
    memory, points = np.empty((_fast_points(steps // 2), BLOCK // 2), dtype=complex), 0
    for pair in range(0, len(table), BLOCK // 2):
        pairs = slice(pair, pair + BLOCK // 2)
        used = min(int((last + 1e-6) / points_per_bin[pair]) + 1, steps)
        top = min(used - 1, steps // 2)
        if points != (points := _fast_points(top)):
            scale = 0.5 / steps / _kernel_spectrum(np.arange(top + 1), points)
        grid = memory[:points]
        part = spectrum[:used] * scale[bins[:used]]
        _respond(part, table[pairs], points_per_bin[pairs], steps, grid)
        grid = scipy.fft.ifft(grid, axis=0, norm="forward", overwrite_x=True)
        yield 2 * pair, grid.view(float)


def membrane_velocity(wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return the membrane's velocity, (samples // 2 + 1, 700), at half the sampling rate.

    Source: Sieroka, Dosch and Rupp (2006); the frequency axis from 1 Hz is the reference's.
    """
    steps = len(wave) // 2 + 1
    velocity, block = np.empty((steps, CHANNELS)), np.empty((steps, BLOCK))
    for first, grid in membrane_grids(wave, rate_hz):
        read_grid(grid, interpolation_kernel(), steps, 0, block)
        velocity[:, first : first + BLOCK] = block[:, : CHANNELS - first]
    return velocity
