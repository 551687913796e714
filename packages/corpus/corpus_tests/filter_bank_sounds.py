"""Samples for the filter bank: synthetic digits, noise, and what drives its registers to bounds."""

import numpy as np

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


def adversarial(bank, seed):
    """Return a signal that drives a register of the filter bank to its bound, (samples,) int16.

    The signs of a state's impulse response, last first, bring the state to its bound. The same in
    every step brings the sum there. Full-scale noise, silence and square waves follow, so that
    levels, floors, peak and potentials go from 0 to their bounds and back.
    """
    rng = np.random.default_rng(seed)
    channel = seed % bank.n_channels
    pole = (bank.constants.cosines[channel] + 1j * bank.constants.sines[channel]) / 2**15
    n = np.arange(6000)
    first = np.diff(pole**n)
    second = np.convolve(first.real, pole**n)[: len(n)]
    response = (first.real, first.imag, second.real, second.imag)[seed % 4]
    square = np.sin(2 * np.pi * 10 ** rng.uniform(1.8, 3.9) * n / RATE_HZ)
    loud = rng.normal(size=rng.integers(0, 8000))
    silence = np.zeros(rng.integers(0, 8000))
    rest = [silence, loud, square, -response[::-1], silence]
    parts = [response[::-1], *(rest[i] for i in rng.permutation(len(rest)))]
    return np.clip(np.sign(np.concatenate(parts)) * 2**15, -(2**15), 2**15 - 1).astype(np.int16)
