"""Samples for the filter bank: synthetic digits, noise, and what drives its registers to bounds."""

from functools import cache

import numpy as np
from scipy import signal

from shd_corpus.class_names import LANGUAGES
from shd_corpus.filter_bank import to_samples
from shd_corpus.speech import SPEECH_RATE_HZ, synthesize

RATE_HZ = 15_625
VOICES = [f"en-us+{kind}{i}" for kind in "mf" for i in range(1, 6)]


def noise(seconds, level, seed=0):
    """Return white noise, (samples,) float."""
    return np.random.default_rng(seed).normal(0, level, round(seconds * RATE_HZ))


def spoken(n):
    """Return n synthetic digits of ten voices, (samples,) int16 each."""
    digits = LANGUAGES["english"]
    for i in range(n):
        rate_wpm, voice = 150 + 10 * (i // 100), VOICES[i % 10]
        wave = synthesize(digits[i // 10 % 10], voice, rate_wpm)
        yield to_samples(wave, SPEECH_RATE_HZ)


def with_background(*sounds, level=20):
    """Join sounds with pauses between them, and add noise; (samples,) int16."""
    pause = np.zeros(RATE_HZ // 2)
    whole = np.concatenate([pause, *(part for sound in sounds for part in (sound, pause))])
    whole += noise(len(whole) / RATE_HZ, level)
    return np.clip(np.rint(whole), -(2**15), 2**15 - 1).astype(np.int16)


@cache
def bounds(bank):
    """Return the largest magnitude that each state can have, (4, channels), and where it is.

    With it come, for each, the signs of the samples, last first, that bring it there.
    """
    n = 4000  # after which the lowest channel's impulse response is below 2^-60
    impulse = np.zeros(n)
    impulse[0] = 1
    limits, signs = [], []
    for c, s, g1, g2, _ in np.transpose(bank.constants) / 2**15:
        pole = c + 1j * s
        first = 64 * signal.lfilter([g1, -g1], [1, -pole], impulse)
        second = signal.lfilter([g2], [1, -pole], first.real)
        rounding = np.sqrt(2) / (1 - abs(pole))
        rounding_of_second = rounding + rounding * g2 / (1 - abs(pole))
        parts = np.array([first.real, first.imag, second.real, second.imag])
        errors = np.array([rounding, rounding, rounding_of_second, rounding_of_second])
        limits.append(2**15 * np.abs(parts).sum(1) + errors)
        signs.append(np.sign(parts))
    return np.transpose(limits), np.swapaxes(signs, 0, 1)


def adversarial(bank, seed):
    """Return a signal that drives a state to its bound, and all registers from 0 to full scale.

    The state goes to its bound twice, with either sign. Full-scale noise, a square wave and two
    silences are before, between or behind.
    """
    rng = np.random.default_rng(seed)
    _, signs = bounds(bank)
    extreme = signs[seed % 4, seed % bank.n_channels, ::-1]
    square = np.sin(2 * np.pi * 10 ** rng.uniform(1.8, 3.9) * np.arange(6000) / RATE_HZ)
    loud = rng.normal(size=rng.integers(0, 8000))
    silence = np.zeros(rng.integers(0, 8000))
    rest = [silence, loud, square, -extreme, silence]
    parts = [extreme, *(rest[i] for i in rng.permutation(len(rest)))]
    return np.clip(np.sign(np.concatenate(parts)) * 2**15, -(2**15), 2**15 - 1).astype(np.int16)
