"""Sounds that are no digit: on half of their kinds, drawn at random, a network learns to reject.

The kinds are the eight of `own_kinds` and the 23 of `evidence.non_digits.SOUNDS`. The voices and
words of `evidence.non_digits`, which test how well a network rejects, and the kinds that weren't
drawn, train nothing. Parts of digits, digits backward and digits in pieces are made of recordings
by people who train.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.signal import butter, resample_poly, sosfilt

from evidence.non_digits import SOUNDS
from shd_corpus.sound_file import at_48_khz
from shd_corpus.speech import SPEECH_RATE_HZ, synthesize

if TYPE_CHECKING:
    from evidence.changed_sounds import Sounds

SEED_OF_KINDS = 2026
RATE_HZ = 48_000
LONGEST_S = 1.5
PAUSE_S = 0.3
Rng = np.random.Generator
Make = Callable[[Rng], np.ndarray]

VOICES = tuple(
    f"{accent}+{variant}"
    for accent in ("en-us", "en-gb-x-rp", "en-gb-scotland", "de")
    for variant in (
        *("Alex", "Alicia", "Andrea", "Andy", "Gene", "Lee", "Mario", "Michael", "Reed", "adam"),
        *("belinda", "boris", "ed", "f1", "f3", "grandma", "grandpa", "m1", "m6", "pablo"),
    )
)
WORDS = tuple(Path(__file__).with_name("words.txt").read_text(encoding="utf-8").split())
# Words that sound like digits; others that do test the networks
NEAR_WORDS = (
    *("sea", "pine", "gun", "bun", "true", "blue", "flee", "knee", "core", "pour", "life", "live"),
    *("mix", "fix", "lemon", "eleven", "hate", "gate", "fate", "mind", "kind", "rain", "sons"),
    *("nero", "zebra", "sip", "silk", "thrill", "foe", "fun", "night", "drive", "hive", "severn"),
)


def _noise(rng: Rng) -> np.ndarray:
    """Return noise of a random color, in a random band, whose level wanders."""
    n = round(rng.uniform(0.2, 1.3) * RATE_HZ)
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hz = np.maximum(np.fft.rfftfreq(n, 1 / RATE_HZ), 50)
    wave = np.fft.irfft(spectrum * hz ** rng.uniform(-1.2, 0.4), n)
    low_hz = 10 ** rng.uniform(1.8, 3.2)
    high_hz = min(20_000, low_hz * 10 ** rng.uniform(0.4, 2))
    wave = sosfilt(butter(2, (low_hz, high_hz), "band", fs=RATE_HZ, output="sos"), wave)
    return wave * _wandering_level(rng, n)


def _wandering_level(rng: Rng, n: int) -> np.ndarray:
    """Return a level between 0.1 and 1 that changes a few times."""
    points = np.linspace(0, n, rng.integers(2, 9))
    return np.interp(np.arange(n), points, rng.uniform(0.1, 1, len(points)))


def _hum(rng: Rng) -> np.ndarray:
    """Return a tone with harmonics, whose pitch and level wander."""
    n = round(rng.uniform(0.2, 1.3) * RATE_HZ)
    points = np.linspace(0, n, rng.integers(2, 5))
    start_hz = 10 ** rng.uniform(1.9, 3.3)
    pitch_hz = np.interp(np.arange(n), points, start_hz * rng.uniform(0.8, 1.25, len(points)))
    phase = 2 * np.pi * np.cumsum(pitch_hz) / RATE_HZ
    n_harmonics = min(int(rng.integers(1, 13)), int(8_000 / start_hz) + 1)
    slope = rng.uniform(0, 2)
    wave = np.zeros(n)
    for k in range(1, n_harmonics + 1):
        wave += np.sin(k * phase + rng.uniform(0, 2 * np.pi)) / k**slope
    return wave * _wandering_level(rng, n)


def _clicks(rng: Rng) -> np.ndarray:
    """Return short pulses at random times, each of another color."""
    n = round(rng.uniform(0.3, 1.3) * RATE_HZ)
    wave = np.zeros(n + RATE_HZ // 20)
    for first in rng.integers(0, n, rng.integers(3, 25)):
        length = rng.integers(10, RATE_HZ // 100)
        pulse = rng.standard_normal(length) * np.exp(-np.arange(length) / (length / 4))
        wave[first : first + length] += rng.uniform(0.3, 1) * np.cumsum(pulse - pulse.mean())
    return wave


def _silence(rng: Rng) -> np.ndarray:
    """Return a pause with a microphone's hiss and some hum of the mains."""
    n = round(rng.uniform(0.3, LONGEST_S - 2 * PAUSE_S) * RATE_HZ)
    mains = np.sin(2 * np.pi * rng.choice([50, 60]) * np.arange(n) / RATE_HZ)
    return rng.standard_normal(n) + rng.uniform(0, 3) * mains


def _digit(sounds: "Sounds", rng: Rng) -> np.ndarray:
    """Return the sound of a random digit, at 16 kHz."""
    return sounds.sound(int(rng.integers(len(sounds.labels))))


def _backward(sounds: "Sounds", rng: Rng) -> np.ndarray:
    """Return a digit backward."""
    return _digit(sounds, rng)[::-1]


def _part(sounds: "Sounds", rng: Rng) -> np.ndarray:
    """Return 60 to 200 ms from the loudest quarter of a second of a digit."""
    wave = _digit(sounds, rng)
    window = min(4_000, len(wave) - 1)
    energy = np.concatenate([[0], np.cumsum(wave**2)])
    first = int((energy[window:] - energy[:-window]).argmax())
    length = min(window, round(rng.uniform(0.06, 0.2) * 16_000))
    start = first + int(rng.integers(0, window - length + 1))
    return wave[start : start + length]


def _pieces(sounds: "Sounds", rng: Rng) -> np.ndarray:
    """Return parts of several digits, one behind the other."""
    pieces = []
    for _ in range(rng.integers(3, 7)):
        piece = _part(sounds, rng)
        ramp = np.minimum(1, np.arange(len(piece)) / 80)
        pieces.append(piece * ramp * ramp[::-1] / np.abs(piece).max())
    return np.concatenate(pieces)


def _babble(sounds: "Sounds", rng: Rng) -> np.ndarray:
    """Return a second of what three to eight people say at the same time."""
    wave = np.zeros(16_000)
    for _ in range(rng.integers(3, 9)):
        voice = np.resize(np.roll(_digit(sounds, rng), rng.integers(0, 8_000)), len(wave))
        wave += voice / voice.std()
    return wave


def _word(rng: Rng) -> np.ndarray:
    """Return a word that is no digit, as eSpeak NG says it; each fourth sounds like a digit."""
    words: Sequence[str] = NEAR_WORDS if rng.random() < 0.25 else WORDS
    word = words[int(rng.integers(len(words)))]
    voice = VOICES[int(rng.integers(len(VOICES)))]
    rate, pitch = int(rng.integers(130, 260)), int(rng.integers(20, 80))
    return resample_poly(at_48_khz(synthesize(word, voice, rate, pitch), SPEECH_RATE_HZ), 1, 3)


def _at_16_khz(make: Make, rng: Rng) -> np.ndarray:
    """Return a sound that is made at 48 kHz."""
    return resample_poly(make(rng), 1, 3)


def own_kinds(sounds: "Sounds") -> dict[str, Make]:
    """Return the programs that make sounds at 16 kHz, by their kinds."""
    at_48_khz: dict[str, Make] = {"noise": _noise, "hum": _hum, "crackle": _clicks}
    at_48_khz |= {"silence": _silence} | SOUNDS
    of_digits = {"backward": _backward, "part": _part, "pieces": _pieces, "babble": _babble}
    return {name: partial(_at_16_khz, make) for name, make in at_48_khz.items()} | {
        name: partial(make, sounds) for name, make in of_digits.items()
    }


def kinds_of_training(names: Sequence[str]) -> list[str]:
    """Return half of the kinds, drawn at random."""
    order = np.random.default_rng(SEED_OF_KINDS).permutation(len(names))
    return [names[i] for i in sorted(order[: (len(names) + 1) // 2])]


def makers_of_training(sounds: "Sounds") -> dict[str, Make]:
    """Return the programs of the kinds that train, and of words."""
    makers = own_kinds(sounds)
    return {name: makers[name] for name in kinds_of_training(list(makers))} | {"word": _word}


def makers_of_others(sounds: "Sounds") -> dict[str, Make]:
    """Return the programs of the kinds that train nothing."""
    makers = own_kinds(sounds)
    drawn = kinds_of_training(list(makers))
    return {name: make for name, make in makers.items() if name not in drawn}
