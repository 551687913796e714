"""Before the cochlea: bring a sound to the level and the smooth ends that the model expects.

Recordings differ in level and begin and end abruptly. The hair cells are not linear, so the level
of a sound decides how many spikes it has. An abrupt end is a click, to which all channels respond.
Each sound is therefore first multiplied by a factor, so that all have the same root mean square,
and then faded in and out.

Source: Cramer et al. (2022), IEEE TNNLS 33(7), 2744, and its implementation ``lauscher`` 1.0.1.
"""

import numpy as np

# With these values, the spikes that this package computes from the Heidelberg Digits resemble the
# published ones nearly as much as two random draws of its own resemble each other.
RMS = 0.32
RAMP_MS = 30.0


def normalize(wave: np.ndarray) -> np.ndarray:
    """Scale a sound to the root mean square `RMS`, so that its level doesn't matter.

    Parameters
    ----------
    wave : (samples,) array
        Sound of any level.

    Returns
    -------
    (samples,) float array
        The sound times a factor.

    Raises
    ------
    ValueError
        If the wave has no samples, is silent, or holds values that are not finite.
    """
    wave = np.asarray(wave, dtype=float)
    if not len(wave):
        raise ValueError("the wave has 0 samples")
    power = np.mean(wave**2)
    if not np.isfinite(power):
        raise ValueError("the wave holds values that are not finite")
    if power == 0:
        raise ValueError("the wave is silent")
    return wave * (RMS / np.sqrt(power))


def fade(wave: np.ndarray, rate_hz: int, ramp_ms: float = RAMP_MS) -> np.ndarray:
    """Fade a sound in and out, each with one half of a Hann window.

    Parameters
    ----------
    wave : (samples,) array
        Sound.
    rate_hz : int
        Its sampling rate.
    ramp_ms : float
        Duration of each fade. A sound shorter than both fades is faded in until its middle and out
        from there. If it has an odd number of samples, the middle one keeps its value.

    Returns
    -------
    (samples,) float array
        The faded sound. Its first and last samples are 0.
    """
    samples = min(round(ramp_ms / 1000 * rate_hz), len(wave) // 2)
    ramp = np.hanning(2 * samples)[:samples]
    return wave * np.concatenate([ramp, np.ones(len(wave) - 2 * samples), ramp[::-1]])
