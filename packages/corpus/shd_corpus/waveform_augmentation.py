"""Augment recordings as if they were made by another voice, in another room, by another microphone.

Networks that train on few speakers and one microphone fail for others. An augmented copy of
a recording is played faster or slower, which moves pitch and formants as another voice does. It
gets a room's echoes, noise, and the frequency response of another microphone. A
`WaveformAugmentation` says how one recording is changed. Its method `drawn` draws one from the
ranges below.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import inf
from typing import Any

import numpy as np
import scipy.fft

from shd_corpus.cochlea import MAX_DURATION_S, MIN_DURATION_S, fade

# Values are drawn uniformly from a range; speeds and frequencies, on a logarithmic scale.
SPEED = (0.82, 1.22)  # times as fast; pitch, formants and tempo change together
SILENCE_S = (0.0, 0.11)  # before the utterance, and after it; the noise runs through it
EDGE_MS = 3.0  # of fading where the silence begins, so that there is no click
ROOM_SHARE = 0.4  # of the recordings are put into a room
REVERBERATION_S = (0.1, 0.5)  # until the room's echoes have fallen by 60 dB
# Energy of the direct sound over that of the echoes. At 0 dB the mouth is at the room's critical
# distance from the microphone, at 12 dB at a quarter of it.
DIRECT_DB = (0.0, 12.0)
NOISE_SHARE = 0.7  # of the recordings get noise
NOISE_DB = (8.0, 35.0)  # below the root mean square of the utterance without the silence around it
NOISE_TILT_DB = (-6.0, 0.0)  # in an octave: from brown to white noise
# The microphone: an equalizer with a gain for each octave and a tilt, an upper and a lower limit.
OCTAVES_HZ = 62.5 * 2.0 ** np.arange(8)  # beyond the first and the last, gains are constant
BAND_DB = 4.0  # standard deviation of an octave's gain
TILT_DB = (-3.0, 3.0)  # in an octave
BAND_SHARE = 0.6  # of the recordings have an upper limit, as many a lower one
LOW_PASS_HZ = (3000.0, 9000.0)  # the limits, where half of the power passes
HIGH_PASS_HZ = (80.0, 350.0)
ORDER = 4  # of both limits, as of a Butterworth filter


@dataclass(frozen=True)
class WaveformAugmentation:
    """How one recording is changed. The defaults change nothing.

    Parameters
    ----------
    speed : float
        How many times as fast it is played.
    before_s, after_s : float
        Silence that is added before and after it.
    reverberation_s : float
        Time in which the echoes of the room fall by 60 dB; 0 for no room.
    direct_db : float
        Energy of the direct sound over that of the echoes.
    noise_db : float
        How far the noise is below the utterance; infinite for no noise.
    noise_tilt_db : float
        How much the noise rises in an octave.
    bands_db : tuple of float
        Gain of the microphone at each of `OCTAVES_HZ`.
    tilt_db : float
        How much its gain rises in an octave.
    low_pass_hz, high_pass_hz : float
        Frequencies above and below which it records little.
    """

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
        """Draw an augmentation from the ranges of this module.

        Parameters
        ----------
        rng : Generator
            Draws all values. Their order is fixed, because the same seed must always give the same
            augmentation.

        Returns
        -------
        WaveformAugmentation
            What is changed of one recording.
        """

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
        """Change a recording: its voice first, then silence, room, noise and microphone.

        Parameters
        ----------
        wave : (samples,) array
            Mono sound of one utterance.
        rate_hz : int
            Its rate.
        rng : Generator
            Draws the room's echoes and the noise.

        Returns
        -------
        (samples,) float array
            The augmented sound, of the same rate. It is as long as the cochlea accepts: silence is
            added after a shorter one, and a longer one is cut.
        """
        from scipy.signal import oaconvolve, resample_poly  # takes 1.4 s to import

        # Resampled to a lower rate and played at the old one, it is faster and higher.
        ratio = Fraction(1 / self.speed).limit_denominator(200)
        wave = resample_poly(wave, ratio.numerator, ratio.denominator)
        n_utterance = len(wave)
        before = round(self.before_s * rate_hz)
        after = round(self.after_s * rate_hz)
        after = max(after, round(MIN_DURATION_S * rate_hz) - n_utterance)
        if before or after:
            wave = np.pad(fade(wave, rate_hz, EDGE_MS), (before, after))
        wave = wave[: int(MAX_DURATION_S * rate_hz)]
        if self.reverberation_s:
            wave = oaconvolve(wave, self._room(rate_hz, rng))[: len(wave)]
        if self.noise_db < inf:
            noise = rng.standard_normal(len(wave))
            noise = _filtered(noise, rate_hz, lambda hz: _tilted(hz, self.noise_tilt_db))
            power = (wave**2).sum() / n_utterance * 10 ** (-self.noise_db / 10)
            wave = wave + noise * np.sqrt(power / np.mean(noise**2))
        return _filtered(wave, rate_hz, self.microphone_db)

    def _room(self, rate_hz: int, rng: np.random.Generator) -> np.ndarray:
        """Return the impulse response of a room: the direct sound, then noise that decays."""
        t = np.arange(round(self.reverberation_s * rate_hz)) / rate_hz
        echoes = rng.standard_normal(len(t)) * 10 ** (-3 * t / self.reverberation_s)
        echoes *= np.sqrt(10 ** (-self.direct_db / 10) / (echoes**2).sum())
        echoes[0] += 1
        return echoes

    def microphone_db(self, hz: np.ndarray) -> np.ndarray:
        """Return the frequency response of the microphone.

        Parameters
        ----------
        hz : (frequencies,) array
            Frequencies above 0.

        Returns
        -------
        (frequencies,) float array
            Gains in dB.
        """
        from scipy.interpolate import PchipInterpolator

        # This interpolation is smooth and never goes beyond the gains that it connects.
        octaves = np.log2(_inside(hz))
        gain_db = PchipInterpolator(np.log2(OCTAVES_HZ), self.bands_db)(octaves)
        gain_db += _tilted(hz, self.tilt_db)
        for ratio in (hz / self.low_pass_hz, self.high_pass_hz / hz):
            gain_db -= 10 * np.log10(1 + ratio ** (2 * ORDER))
        return gain_db


def _inside(hz: np.ndarray) -> np.ndarray:
    """Move frequencies beyond the equalizer's octaves to its first or last one."""
    return np.clip(hz, OCTAVES_HZ[0], OCTAVES_HZ[-1])


def _tilted(hz: np.ndarray, tilt_db: float) -> np.ndarray:
    """Return gains in dB that rise by `tilt_db` in an octave and are 0 dB in the middle."""
    middle_hz = np.sqrt(OCTAVES_HZ[0] * OCTAVES_HZ[-1])
    return tilt_db * np.log2(_inside(hz) / middle_hz)


def _filtered(
    wave: np.ndarray, rate_hz: int, gain_db: Callable[[np.ndarray], np.ndarray]
) -> np.ndarray:
    """Multiply the frequencies of a sound by gains, without a delay (zero phase)."""
    # The Fourier transform is periodic. Zeros at the end keep the sound's ends from each other.
    n = scipy.fft.next_fast_len(len(wave) + rate_hz // 10, real=True)
    hz = np.maximum(np.fft.rfftfreq(n, 1 / rate_hz), 1.0)
    spectrum = scipy.fft.rfft(wave, n) * 10 ** (gain_db(hz) / 20)
    return scipy.fft.irfft(spectrum, n)[: len(wave)]
