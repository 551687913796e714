"""Sound to motion: how the basilar membrane spreads the pitches over 700 places.

Source: Sieroka, Dosch and Rupp (2006), "Semirealistic models of the cochlea", J. Acoust. Soc. Am.
120, 297, with the parameters of the reference implementation of Cramer et al. (2020), ``lauscher``.
As there, the motion is computed from the positive frequencies alone, which halves the sampling
rate: a wave of ``n`` samples becomes ``n // 2 + 1`` steps.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from threading import Lock

import numba
import numpy as np
import scipy.fft
from scipy.special import hankel1, hankel2

CHANNELS = 700
# cgs units; the place x goes from the base, where high tones peak, to the apex
STIFFNESS, STIFFNESS_OFFSET, STIFFNESS_DECAY, MASS = 1e9, 3500.0, 3.0, 0.05
DAMPING = 0.15 * (STIFFNESS * MASS) ** 0.5
FLUID_DENSITY, DUCT_HEIGHT, LENGTH_CM = 1.0, 0.1, 3.5
# The response is tabulated up to 4 x the resonance, where 1e-8 of its peak is left.
TABLE_POINTS, TABLE_TOP = 2500, 4.0

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


@lru_cache(maxsize=2)
def _response_table(top_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Tabulate every channel from 1 Hz to where nothing is left of its response.

    Evaluating the Hankel functions for each bin of each wave would take longer than all the rest;
    the response is smooth on the scale of the resonance, so some points per channel, interpolated
    by cubics, are exact to 2e-7 of its peak, for waves of any length. Channels 2 j and 2 j + 1
    share their frequencies.
    """
    x = np.linspace(0, LENGTH_CM, CHANNELS)
    tops_hz = np.minimum(TABLE_TOP * resonance_hz()[::2], top_hz)
    omega = 2 * np.pi * np.linspace(1, np.repeat(tops_hz, 2), TABLE_POINTS, axis=-1)
    with ThreadPoolExecutor() as threads:
        table = np.array(list(threads.map(membrane_response, omega, x)))
    return table, tops_hz


@compiled
def _response(row, at):
    """Read a row of the table between its points: the cubic through the four around ``at``."""
    i = min(max(int(at), 1), len(row) - 3)
    f = at - i
    a, b = f * (f - 1) / 6, (f + 1) * (f - 2) / 2
    outer = (f + 1) * a * row[i + 2] - (f - 2) * a * row[i - 1]
    return outer + (f - 1) * b * row[i] - f * b * row[i + 1]


@compiled
def _respond(spectrum, table, points_per_bin, out):
    """Fill (steps, channels // 2) with the spectrum of channel 2 j plus i times that of 2 j + 1.

    The velocity is the real part of the response, so its spectrum is the mean of the response's
    and its mirrored conjugate; two real channels then share one complex Fourier transform.
    """
    for k in range(len(spectrum)):
        here, mirrored = out[k], out[-k]
        for pair in range(len(here)):
            at = k * points_per_bin[pair]
            if at > table.shape[1] - 1 + 1e-6:
                break  # nothing is left here, nor in the channels closer to the apex
            even = spectrum[k] / 2 * _response(table[2 * pair], at)
            odd = spectrum[k] / 2 * _response(table[2 * pair + 1], at)
            here[pair] += complex(even.real - odd.imag, even.imag + odd.real)
            mirrored[pair] += complex(even.real + odd.imag, odd.real - even.imag)


def membrane_velocity(wave: np.ndarray, sample_rate_hz: int) -> np.ndarray:
    """Return the membrane's velocity, (samples // 2 + 1, 700), at half the sampling rate.

    Source: Sieroka, Dosch and Rupp (2006); the frequency axis from 1 Hz is the reference's.
    """
    top_hz = sample_rate_hz // 2
    spectrum = scipy.fft.rfft(np.asarray(wave, dtype=float))
    with _one_table_at_a_time:
        table, tops_hz = _response_table(top_hz)
    points_per_bin = (top_hz - 1) / (len(spectrum) - 1) / (tops_hz - 1) * (TABLE_POINTS - 1)
    pairs = np.zeros((len(spectrum), CHANNELS // 2), dtype=complex)
    _respond(spectrum, table, points_per_bin, pairs)
    pairs = scipy.fft.ifft(pairs, axis=0, overwrite_x=True)
    return np.ascontiguousarray(pairs).view(float)
