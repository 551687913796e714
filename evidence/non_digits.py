"""Count how many sounds that are no digit the networks that listen with the filter bank accept.

``python -m evidence.non_digits`` gives synthetic sounds (`SOUNDS`, and those of `evidence.others`
that trained nothing) and words (`WORDS`, and `NEAR_WORDS`, which sound like digits) to *listener*
and *small_listener*. Each sound is made anew for each of `N_DRAWS` recordings, and each word is
spoken by each of `VOICES`. Once the sound fills the recording, and once silence surrounds it.
``results/listeners_non_digits.csv`` has a row for each network, sound and surroundings.
"""

import argparse
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
from scipy.signal import butter, lfilter, sosfilt

from shd_corpus.encoders import FILTER_BANK
from shd_corpus.microphone import RecordedUtterance, encode_utterance
from shd_corpus.recording_list import RecordingError
from shd_corpus.sound_file import at_48_khz
from shd_corpus.speech import SPEECH_RATE_HZ, synthesize
from shd_helpers.command import run
from shd_helpers.hear import Listener
from shd_helpers.paths import results_dir

RATE_HZ = 48_000
LEVEL = 0.3  # the sound's peak; full scale is 1
NOISE_LEVEL = 1e-3  # standard deviation of the microphone's noise
PAUSE_S = 0.6  # before and after the sound
RAMP_S = 0.01  # in which it fades in and out
N_DRAWS = 60  # recordings of each sound that isn't a word
NETWORKS = ("listener", "small_listener")
FILLED = "none"  # the surroundings of a sound that fills the recording
SURROUNDED = "silence"
Rng = np.random.Generator


def _seconds(length_s: float) -> np.ndarray:
    """Return the time of each sample."""
    return np.arange(round(length_s * RATE_HZ)) / RATE_HZ


def _nothing(_rng: Rng, length_s: float) -> np.ndarray:
    """Return a pause, in which a microphone has only its own noise."""
    return np.zeros(round(length_s * RATE_HZ))


def _sawtooth(rng: Rng, hz: float, length_s: float) -> np.ndarray:
    """Return a sawtooth wave, which begins at a random phase."""
    return 2 * ((hz * _seconds(length_s) + rng.random()) % 1) - 1


def _square(rng: Rng, hz: float, length_s: float) -> np.ndarray:
    """Return a square wave, which begins at a random phase."""
    return np.sign(_sawtooth(rng, hz, length_s))


def _partials(rng: Rng, frequencies_hz: tuple[float, ...], length_s: float) -> np.ndarray:
    """Return a sum of tones of random phases, each weaker than the one before."""
    phases = rng.uniform(0, 2 * np.pi, len(frequencies_hz))
    angles = 2 * np.pi * np.outer(frequencies_hz, _seconds(length_s)) + phases[:, None]
    return (np.sin(angles) / np.arange(1, len(phases) + 1)[:, None]).sum(0)


def _sweep(rng: Rng, from_hz: float, to_hz: float, length_s: float) -> np.ndarray:
    """Return a tone whose frequency changes linearly."""
    t = _seconds(length_s)
    cycles = from_hz * t + (to_hz - from_hz) * t**2 / (2 * length_s)
    return np.sin(2 * np.pi * (cycles + rng.random()))


def _noise(rng: Rng, length_s: float, band_hz: tuple[float, float] | None = None) -> np.ndarray:
    """Return white noise, or noise in a band."""
    wave = rng.standard_normal(round(length_s * RATE_HZ))
    if band_hz is None:
        return wave
    return sosfilt(butter(4, band_hz, "band", fs=RATE_HZ, output="sos"), wave)


def _pink_noise(rng: Rng, length_s: float) -> np.ndarray:
    """Return noise whose power falls by 3 dB an octave."""
    spectrum = np.fft.rfft(_noise(rng, length_s))
    return np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)))


def _pulsing_noise(rng: Rng, length_s: float, pulses_hz: float) -> np.ndarray:
    """Return white noise whose level rises and falls."""
    swell = 0.5 - 0.5 * np.cos(2 * np.pi * pulses_hz * _seconds(length_s))
    return swell * _noise(rng, length_s)


def _clicks(rng: Rng, n: int, apart_s: float) -> np.ndarray:
    """Return clicks of 0.2 ms at slightly irregular times."""
    wave = np.zeros(round(n * apart_s * RATE_HZ))
    for k in range(n):
        first = round((k + rng.uniform(0.1, 0.4)) * apart_s * RATE_HZ)
        wave[first : first + RATE_HZ // 5000] = 1
    return wave


def _knocks(rng: Rng, n: int, apart_s: float) -> np.ndarray:
    """Return thuds of 150 Hz that fade within 20 ms."""
    t = _seconds(apart_s)
    thud = np.sin(2 * np.pi * 150 * t) * np.exp(-t / 0.02)
    return np.concatenate([rng.uniform(0.7, 1) * thud for _ in range(n)])


def _clap(rng: Rng, length_s: float) -> np.ndarray:
    """Return noise that fades, as a clap in a room."""
    return _noise(rng, length_s) * np.exp(-_seconds(length_s) / 0.08)


def _bell(rng: Rng, length_s: float) -> np.ndarray:
    """Return inharmonic tones that fade."""
    tones = _partials(rng, (520.0, 1_290.0, 1_910.0, 2_830.0, 4_120.0), length_s)
    return tones * np.exp(-_seconds(length_s) / 0.25)


def _vowel(
    rng: Rng, pitch_hz: float, formants_hz: tuple[float, ...], length_s: float
) -> np.ndarray:
    """Return a held vowel: a voice's pulses through a resonance for each formant."""
    pitches = pitch_hz * (1 + 0.01 * np.sin(2 * np.pi * (5 * _seconds(length_s) + rng.random())))
    cycles = np.cumsum(pitches) / RATE_HZ
    wave = np.diff(np.floor(cycles), prepend=0.0)
    wave = lfilter([1], [1, -0.98], wave)  # a voice is weaker at high frequencies
    for hz in formants_hz:
        radius = np.exp(-np.pi * 80 / RATE_HZ)  # a resonance 80 Hz wide
        wave = lfilter([1], [1, -2 * radius * np.cos(2 * np.pi * hz / RATE_HZ), radius**2], wave)
    return wave


# The formants are the means of men in Peterson and Barney (1952), J. Acoust. Soc. Am. 24(2).
SOUNDS: dict[str, Callable[[Rng], np.ndarray]] = {
    "buzz": partial(_sawtooth, hz=120, length_s=0.5),
    "buzzer": partial(_square, hz=200, length_s=0.6),
    "mains hum": partial(_partials, frequencies_hz=(100.0, 200.0, 300.0, 400.0), length_s=0.8),
    "white noise of 0.5 s": partial(_noise, length_s=0.5),
    "pink noise of 0.5 s": partial(_pink_noise, length_s=0.5),
    "hiss": partial(_noise, length_s=0.4, band_hz=(4_000.0, 8_000.0)),
    "rumble": partial(_noise, length_s=0.7, band_hz=(80.0, 300.0)),
    "pulsing noise": partial(_pulsing_noise, length_s=0.7, pulses_hz=6),
    "clicks": partial(_clicks, n=8, apart_s=0.08),
    "knocks": partial(_knocks, n=3, apart_s=0.15),
    "clap": partial(_clap, length_s=0.4),
    "bell": partial(_bell, length_s=0.8),
    "vowel of father": partial(
        _vowel, pitch_hz=120, formants_hz=(730.0, 1_090.0, 2_440.0), length_s=0.5
    ),
    "vowel of see": partial(
        _vowel, pitch_hz=200, formants_hz=(270.0, 2_290.0, 3_010.0), length_s=0.5
    ),
    "vowel of boot": partial(
        _vowel, pitch_hz=120, formants_hz=(300.0, 870.0, 2_240.0), length_s=0.5
    ),
    "hummed tone": partial(_vowel, pitch_hz=150, formants_hz=(250.0,), length_s=0.6),
    "tone": partial(_partials, frequencies_hz=(440.0,), length_s=0.5),
    "telephone key": partial(_partials, frequencies_hz=(697.0, 1_209.0), length_s=0.4),
    "rising sweep": partial(_sweep, from_hz=200, to_hz=4_000, length_s=0.6),
    "falling whistle": partial(_sweep, from_hz=2_500, to_hz=1_200, length_s=0.5),
    "white noise of 1 s": partial(_noise, length_s=1.0),
    "pink noise of 1 s": partial(_pink_noise, length_s=1.0),
    "silence of 1 s": partial(_nothing, length_s=1.0),
}
# The words of the data set Speech Commands that aren't digits (Warden 2018, arXiv:1804.03209)
WORDS = (
    *("bed", "bird", "cat", "dog", "down", "go", "happy", "house", "left", "marvin"),
    *("no", "off", "on", "right", "sheila", "stop", "tree", "up", "wow", "yes"),
)
# Words that sound like digits, none of which trains
NEAR_WORDS = (
    *("free", "thread", "heaven", "sever", "fine", "dine", "nigh", "hero", "zorro", "tooth"),
    *("toot", "won't", "wonder", "sieve", "sick", "sits", "fife", "fives", "fort", "ford", "ape"),
    "aid",
)
# Accents and voices of eSpeak NG
VOICES = (
    *("en-us+m3", "en-us+f2", "en+m2", "en-us-nyc+Annie", "en-gb-x-rp+m7", "en-gb-scotland+linda"),
    *("en-gb-scotland+m4", "en-gb-x-gbclan+f4", "en-029+m5", "en-gb-x-rp+f5", "en-us-nyc+m8"),
    "en-gb-x-gbcwmd+steph",
)
NAMES = (*SOUNDS, *WORDS, *NEAR_WORDS)


def more_sounds() -> dict[str, Callable[[Rng], np.ndarray]]:
    """Return the programs of the other kinds that trained nothing, by their names."""
    from evidence.changed_sounds import load  # these modules import this one
    from evidence.others import makers_of_others

    makers = makers_of_others(load())
    return {name: make for name, make in makers.items() if name not in SOUNDS}


def kind_of(name: str) -> str:
    """Return whether a sound's kind trained, or whether it is a word."""
    from evidence.others import kinds_of_training, own_kinds

    if name in WORDS:
        return "word"
    if name in NEAR_WORDS:
        return "near-word"
    drawn = kinds_of_training(list(own_kinds(None)))  # type: ignore[arg-type]
    return "kind that trained" if name in drawn else "new kind"


def recording(name: str, draw: int = 0, surroundings: str = SURROUNDED) -> np.ndarray:
    """Return a recording of a sound that is no digit, with a microphone's quiet noise.

    Returns (samples,).
    """
    rng = np.random.default_rng([*map(ord, name), draw])
    if name in NAMES:
        rng = np.random.default_rng([NAMES.index(name), draw])
    if name in WORDS + NEAR_WORDS:
        wave = at_48_khz(synthesize(name, VOICES[draw]), SPEECH_RATE_HZ)
    elif name in SOUNDS:
        wave = SOUNDS[name](rng)
    else:
        wave = at_48_khz(more_sounds()[name](rng), 16_000)
    pause_s = 0.0
    if surroundings == SURROUNDED:
        pause_s = PAUSE_S
        n = round(RAMP_S * RATE_HZ)
        ramp = np.linspace(0, 1, n)
        wave[:n] *= ramp
        wave[-n:] *= ramp[::-1]
    peak = np.abs(wave).max() or 1.0  # silence stays silence
    wave = np.pad(LEVEL * wave / peak, round(pause_s * RATE_HZ))
    return wave + NOISE_LEVEL * rng.standard_normal(len(wave))


Classify = Callable[[RecordedUtterance], tuple[str, float, bool]]


def of_network(name: str) -> Classify:
    """Return what classifies an utterance by a pretrained network."""
    listener = Listener(name)

    def classify(utterance: RecordedUtterance) -> tuple[str, float, bool]:
        answer = listener.answer(utterance)
        return answer.digit, answer.confidence, bool(answer.accepted)

    return classify


def _utterances(name: str, surroundings: str, n_draws: int) -> list[RecordedUtterance]:
    """Return the utterances that are found in the recordings of a sound."""
    found = []
    for draw in range(n_draws):
        try:
            found.append(
                encode_utterance(recording(name, draw, surroundings), RATE_HZ, 0, FILTER_BANK)
            )
        except RecordingError:
            continue
    return found


def measure(
    names: Iterable[str] = NAMES, all_surroundings: Iterable[str] = (FILLED, SURROUNDED)
) -> pd.DataFrame:
    """Classify sounds by both networks."""
    classifiers = {name: of_network(name) for name in NETWORKS}
    rows = []
    for name, surroundings in product((*names, *more_sounds()), all_surroundings):
        n_draws = len(VOICES) if name in WORDS + NEAR_WORDS else N_DRAWS
        utterances = _utterances(name, surroundings, n_draws)
        for network, classify in classifiers.items():
            answers = [classify(utterance) for utterance in utterances]
            digits = Counter(digit for digit, _, is_accepted in answers if is_accepted)
            most_frequent = max(digits, key=lambda digit: digits[digit], default="")
            counts = (n_draws, len(utterances), digits.total())
            rows.append((network, kind_of(name), name, surroundings, *counts, most_frequent))
    columns = ["network", "kind", "sound", "surroundings"]
    columns += ["recordings", "utterances", "accepted", "answer"]
    return pd.DataFrame(rows, columns=columns).sort_values("network", kind="stable")


def main() -> None:
    """Write the table."""
    argparse.ArgumentParser(prog="python -m evidence.non_digits", description=__doc__).parse_args()
    measure().to_csv(results_dir() / "listeners_non_digits.csv", index=False)


if __name__ == "__main__":
    run(main)
