"""The level of a recording in frames of 10 ms, and noise that is as loud as its quietest frame."""

import numpy as np
from scipy.signal import butter, sosfilt

from shd_corpus.sound_file import SPEECH_HZ

FRAME_S = 0.01


def background(wave: np.ndarray, rate_hz: int, n_samples: int, seed: int) -> np.ndarray:
    """Return noise (n_samples,) that is as loud as the quietest 10 ms of a recording."""
    # The quietest frame is taken for noise. In utterances of `hd`, cut close, it is 14 dB above the
    # noise in the median, and 26 dB in a tenth of them.
    quietest_db = frame_levels(wave, rate_hz).min()
    low_hz, high_hz = _speech_band_hz(rate_hz)
    # The level counts the band of speech alone, white noise has power at all frequencies.
    power = 10 ** (quietest_db / 10) * rate_hz / 2 / (high_hz - low_hz)
    return np.random.default_rng(seed).normal(0, np.sqrt(power), n_samples)


def _speech_band_hz(rate_hz: int) -> tuple[float, float]:
    """Return the frequencies between which speech is, as far as a rate has them."""
    return SPEECH_HZ[0], min(SPEECH_HZ[1], 0.45 * rate_hz)


def frame_levels(wave: np.ndarray, rate_hz: int) -> np.ndarray:
    """Return the level of each frame in the frequencies of speech, in decibels of full scale."""
    band_pass = butter(4, _speech_band_hz(rate_hz), "band", fs=rate_hz, output="sos")
    speech = sosfilt(band_pass, wave)
    samples = round(FRAME_S * rate_hz)
    frames = speech[: len(speech) // samples * samples].reshape(-1, samples)
    return 10 * np.log10(np.mean(frames**2, axis=1) + 1e-12)
