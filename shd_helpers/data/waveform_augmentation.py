"""Recordings changed as if by another voice, room and microphone: more than were recorded."""

from dataclasses import dataclass
from fractions import Fraction
from math import inf
from typing import Any

import numpy as np
import scipy.fft

from shd_helpers.cochlea import MAX_DURATION_S, MIN_DURATION_S, fade

# What is drawn of a range is drawn uniformly; speeds and frequencies by their logarithm.
SPEED = (0.82, 1.22)  # times as fast: pitch, formants and tempo go together
ROOM_SHARE = 0.4  # of the words; the rest is without a room
REVERBERATION_S = (0.1, 0.5)  # until the room's sound has fallen by 60 dB
# Direct over reverberant energy: a mouth at the room's critical distance, to a quarter of it.
DIRECT_DB = (0.0, 12.0)
NOISE_SHARE = 0.7
NOISE_DB = (8.0, 35.0)  # below the root mean square of the word without the silence around it
NOISE_TILT_DB = (-6.0, 0.0)  # an octave: brown to white
OCTAVES_HZ = 62.5 * 2.0 ** np.arange(8)  # bands of the equalizer; all tilts end with them
BAND_DB = 4.0  # standard deviation of a band's gain
TILT_DB = (-3.0, 3.0)  # an octave, of the equalizer
BAND_SHARE = 0.6  # of the words, for either end of the band
LOW_PASS_HZ, HIGH_PASS_HZ = (3000.0, 9000.0), (80.0, 350.0)  # half of the power passes
ORDER = 4  # of both, as Butterworth's
SILENCE_S = (0.0, 0.11)  # before, and after; the noise runs through it
EDGE_MS = 3.0  # fade where the silence begins: no click


@dataclass(frozen=True)
class WaveformAugmentation:
    """What is changed of one word; the defaults change nothing."""

    speed: float = 1.0
    before_s: float = 0.0
    after_s: float = 0.0
    reverberation_s: float = 0.0
    direct_db: float = inf
    noise_db: float = inf
    noise_tilt_db: float = 0.0
    bands_db: tuple[float, ...] = (0.0,) * len(OCTAVES_HZ)
    tilt_db: float = 0.0
    low_pass_hz: float = inf
    high_pass_hz: float = 0.0

    @classmethod
    def drawn(cls, rng: np.random.Generator) -> "WaveformAugmentation":
        """Draw a change by the ranges above."""

        def log_uniform(low: float, high: float) -> float:
            return float(low * (high / low) ** rng.random())

        drawn: dict[str, Any] = {
            "speed": log_uniform(*SPEED),
            "before_s": rng.uniform(*SILENCE_S),
            "after_s": rng.uniform(*SILENCE_S),
            "bands_db": tuple((BAND_DB * rng.standard_normal(len(OCTAVES_HZ))).tolist()),
            "tilt_db": rng.uniform(*TILT_DB),
        }
        if rng.random() < ROOM_SHARE:
            drawn["reverberation_s"] = rng.uniform(*REVERBERATION_S)
            drawn["direct_db"] = rng.uniform(*DIRECT_DB)
        if rng.random() < NOISE_SHARE:
            drawn["noise_db"] = rng.uniform(*NOISE_DB)
            drawn["noise_tilt_db"] = rng.uniform(*NOISE_TILT_DB)
        if rng.random() < BAND_SHARE:
            drawn["low_pass_hz"] = log_uniform(*LOW_PASS_HZ)
        if rng.random() < BAND_SHARE:
            drawn["high_pass_hz"] = log_uniform(*HIGH_PASS_HZ)
        return cls(**drawn)

    def apply(self, wave: np.ndarray, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
        """Return the changed word: a voice, in a silent place, its room and noise, a microphone.

        It is of the same rate, (samples,), and never longer or shorter than the cochlea takes. The
        generator draws the room's echoes and the noise.
        """
        from scipy.signal import oaconvolve, resample_poly  # takes 1.4 s to import

        ratio = Fraction(1 / self.speed).limit_denominator(200)
        wave = resample_poly(wave, ratio.numerator, ratio.denominator)
        n_word = len(wave)
        before, after = round(self.before_s * rate_hz), round(self.after_s * rate_hz)
        after = max(after, round(MIN_DURATION_S * rate_hz) - n_word)
        if before or after:
            wave = np.pad(fade(wave, rate_hz, EDGE_MS), (before, after))
        wave = wave[: int(MAX_DURATION_S * rate_hz)]
        if self.reverberation_s:
            wave = oaconvolve(wave, self._room(rate_hz, rng))[: len(wave)]
        if self.noise_db < inf:
            noise = rng.standard_normal(len(wave))
            noise = _filtered(noise, rate_hz, lambda hz: _tilted(hz, self.noise_tilt_db))
            power = (wave**2).sum() / n_word * 10 ** (-self.noise_db / 10)
            wave = wave + noise * np.sqrt(power / np.mean(noise**2))
        return _filtered(wave, rate_hz, self.microphone_db)

    def _room(self, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
        """Return an impulse response: the direct sound, and noise that decays."""
        t = np.arange(round(self.reverberation_s * rate_hz)) / rate_hz
        echoes = rng.standard_normal(len(t)) * 10 ** (-3 * t / self.reverberation_s)
        echoes *= np.sqrt(10 ** (-self.direct_db / 10) / (echoes**2).sum())
        echoes[0] += 1
        return echoes

    def microphone_db(self, hz: np.ndarray) -> np.ndarray:
        """Return the gain of equalizer and band at frequencies above 0, dB."""
        from scipy.interpolate import PchipInterpolator  # smooth, and never beyond the bands' gains

        octaves = np.log2(_inside(hz))
        gain_db = PchipInterpolator(np.log2(OCTAVES_HZ), self.bands_db)(octaves)
        gain_db += _tilted(hz, self.tilt_db)
        for ratio in (hz / self.low_pass_hz, self.high_pass_hz / hz):
            gain_db -= 10 * np.log10(1 + ratio ** (2 * ORDER))
        return gain_db


def _inside(hz: np.ndarray) -> np.ndarray:
    return np.clip(hz, OCTAVES_HZ[0], OCTAVES_HZ[-1])


def _tilted(hz: np.ndarray, tilt_db: float) -> np.ndarray:
    """Return a gain that goes up by so many dB an octave, 0 dB in the middle of the bands."""
    return tilt_db * np.log2(_inside(hz) / np.sqrt(OCTAVES_HZ[0] * OCTAVES_HZ[-1]))


def _filtered(wave: np.ndarray, rate_hz: int, gain_db) -> np.ndarray:
    """Return a wave with its frequencies weighted, without a delay (zero phase)."""
    n = scipy.fft.next_fast_len(len(wave) + rate_hz // 10, real=True)  # no end reaches the other
    hz = np.maximum(np.fft.rfftfreq(n, 1 / rate_hz), 1.0)
    spectrum = scipy.fft.rfft(wave, n) * 10 ** (gain_db(hz) / 20)
    return scipy.fft.irfft(spectrum, n)[: len(wave)]
