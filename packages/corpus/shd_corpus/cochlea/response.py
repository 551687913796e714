"""The basilar membrane's response to tones: one formula, tabulated for all channels.

The membrane is a row of damped springs with masses, in a duct filled with a fluid. The springs are
stiff at the base, where sound enters, and soft at the apex. Each point therefore resonates at
a frequency of its own: high tones move the base, low tones the apex.

In words, at the distance x from the base and the angular frequency omega:

    impedance(x) = stiffness(x) - mass * omega^2 - i * omega * damping(x)
    wave number(x) = omega * sqrt(density / (height * impedance(x)))
    pressure(x) = sqrt(phase(x) / wave number(x)) * Hankel function(phase(x))
    velocity(x) = 2 * omega / impedance(x) * input impedance * pressure(x) / pressure(0)

The phase is the integral of the wave number along the membrane, with an offset that the reference
has. The stiffness falls exponentially with x, the damping half as fast.

Source: Sieroka, Dosch and Rupp (2006), J. Acoust. Soc. Am. 120, 297, with the parameters of Cramer
et al. (2022), whose implementation is ``lauscher`` 1.0.1. All units are cgs.
"""

import hashlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from threading import Lock

import numpy as np
import pooch
import scipy
from scipy.special import hankel1, hankel2

from shd_corpus.compiled import N_THREADS
from shd_corpus.files import atomic

CHANNELS = 700  # points of the membrane at equal distances; SHD's files number them as units
LENGTH_CM = 3.5
STIFFNESS = 1e9  # at the base, g / (s^2 cm^2)
STIFFNESS_DECAY = 3.0  # 1 / cm: the stiffness falls by this exponent from the base to the apex
STIFFNESS_OFFSET = 3500.0  # g / (s^2 cm^2), subtracted everywhere
MASS = 0.05  # g / cm^2
RELATIVE_DAMPING = 0.15  # of the geometric mean of stiffness and mass
DAMPING = RELATIVE_DAMPING * (STIFFNESS * MASS) ** 0.5  # at the base, g / (s cm^2)
FLUID_DENSITY = 1.0  # g / cm^3
DUCT_HEIGHT = 0.1  # cm

# A channel is tabulated up to this multiple of its resonance, where 1e-8 of its peak is left. So
# many points, interpolated by cubics, are exact to 2e-7 of the peak.
TABLE_TOP = 4.0
TABLE_POINTS = 2500


def resonance_hz(channels: int = CHANNELS) -> np.ndarray:
    """Return the frequency at which each channel resonates, for labels and axes.

    There the springs' force and the masses' inertia cancel. The small stiffness offset is ignored.

    Parameters
    ----------
    channels : int
        Number of channels from base to apex.

    Returns
    -------
    (channels,) float array
        Frequencies in Hz, descending.
    """
    x_cm = np.linspace(0, LENGTH_CM, channels)
    return np.sqrt(STIFFNESS * np.exp(-STIFFNESS_DECAY * x_cm) / MASS) / (2 * np.pi)


def membrane_response(omega: np.ndarray, x_cm: float) -> np.ndarray:
    """Compute how fast one point of the membrane moves when tones enter the ear.

    The angular frequencies `omega` (frequencies,) are in rad/s, `x_cm` counts from the base. What
    returns is complex, velocity per unit of sound: the absolute value is the gain, the angle the
    phase. See the module for the formula and its source.
    """
    # decay is the root of stiffness(x) / stiffness(0), so it is 1 at the base. inertia is the root
    # of what is subtracted from the stiffness.
    decay = np.exp(-STIFFNESS_DECAY * x_cm / 2)
    inertia = np.sqrt(STIFFNESS_OFFSET + MASS * omega**2)

    def impedance(decay):
        return STIFFNESS * decay**2 - inertia**2 - 1j * omega * DAMPING * decay

    def wave_number(decay):
        return omega * np.sqrt(FLUID_DENSITY / (DUCT_HEIGHT * impedance(decay)))

    def log_argument(decay):  # in the integral of the wave number
        return 1j * inertia - omega * DAMPING * decay / (2 * inertia) - np.sqrt(impedance(decay))

    # The integral of the wave number from the base to x, with the offset of the reference.
    phase_at_base = 2 * wave_number(1.0) / STIFFNESS_DECAY
    log_factor = 2j * omega / (STIFFNESS_DECAY * np.sqrt(DUCT_HEIGHT) * inertia)
    phase = phase_at_base - log_factor * np.log(log_argument(1.0) / log_argument(decay) * decay)
    pressure = np.sqrt(phase / wave_number(decay)) * hankel1(0, phase)
    pressure_at_base = np.sqrt(2 / STIFFNESS_DECAY) * hankel1(0, phase_at_base)

    stapes = 2 * omega / STIFFNESS_DECAY * np.sqrt(2 / (DUCT_HEIGHT * STIFFNESS))
    input_impedance = 1j * np.sqrt(2 * STIFFNESS / DUCT_HEIGHT) * hankel2(0, stapes)
    input_impedance /= hankel2(1, stapes)
    return 2 * omega / impedance(decay) * input_impedance * pressure / pressure_at_base


def response_table(top_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the response of all channels, tabulated from 1 Hz to where nothing is left of it.

    To evaluate the Hankel functions for each frequency of each sound would take longer than all
    other stages. The response is smooth on the scale of the resonance, so one table with the same
    number of points for each channel serves sounds of all lengths. Making it takes longer than
    encoding an utterance, so it is stored in the user's cache folder.

    The table is (CHANNELS // 2, TABLE_POINTS, 2) and complex. Channels 2 j and 2 j + 1 share their
    frequencies. If a and b are their responses, it holds a + i b and a - i b, from which one
    Fourier transform makes the motion of both. `tops_hz` (CHANNELS // 2,) has the frequency of each
    pair's last point, at most `top_hz`, half of the sound's sampling rate.
    """
    with _one_table_at_a_time:
        return _stored_table(top_hz)


_one_table_at_a_time = Lock()  # threads that encode the first recordings all ask for it at once


@lru_cache(maxsize=4)  # sampling rates; each table takes 28 MB
def _stored_table(top_hz: int) -> tuple[np.ndarray, np.ndarray]:
    """Return `response_table`'s table from its file, or make it and store it there."""
    tops_hz = np.minimum(TABLE_TOP * resonance_hz()[::2], top_hz)
    path = pooch.os_cache("shd_corpus") / f"cochlea_{top_hz}_{_made_by()}.npy"
    with suppress(OSError, ValueError, EOFError):  # there is no file, or only half of one
        return np.load(path), tops_hz
    table = _make_table(tops_hz)
    with suppress(OSError):  # without a file it is only made again
        with atomic(path) as unfinished, unfinished.open("wb") as file:
            np.save(file, table)
        for older in path.parent.glob(f"cochlea_{top_hz}_*.npy"):
            if older != path:
                older.unlink(missing_ok=True)
    return table, tops_hz


def _made_by() -> str:
    """Return a name for all that a table is computed by: this file, numpy and scipy."""
    digest = hashlib.sha256(Path(__file__).read_bytes())
    digest.update(f"{np.__version__} {scipy.__version__}".encode())
    return digest.hexdigest()[:16]


def _make_table(tops_hz: np.ndarray) -> np.ndarray:
    """Evaluate the response of all channels up to the top frequency of each pair."""
    x_cm = np.linspace(0, LENGTH_CM, CHANNELS)
    omega = 2 * np.pi * np.linspace(1, np.repeat(tops_hz, 2), TABLE_POINTS, axis=-1)
    with ThreadPoolExecutor(N_THREADS) as threads:
        response = np.array(list(threads.map(membrane_response, omega, x_cm)))
    even = response[::2]
    odd = 1j * response[1::2]
    return np.stack([even + odd, even - odd], axis=-1)
