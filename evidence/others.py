"""Sounds that are no digit, on which a network learns to reject: ``data/others/filter_bank``.

``python -m evidence.others`` makes `N_OF_EACH` sounds of each kind in `KINDS` and encodes them with
the filter bank as `hear` does. The voices, words and programs of `evidence.non_digits`, which test
how well a network rejects, occur nowhere here. Parts of digits and digits backward are made of
recordings of `commands` by people who train. A fifth of the voices and of the words occur only in
the kind *held-out word*.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.signal import butter, sosfilt

from shd_corpus.compiled import on_all_cores
from shd_corpus.encoders import CHANNELS, FILTER_BANK, encoder_folder
from shd_corpus.microphone import encode_utterance
from shd_corpus.recording_list import RecordingError
from shd_corpus.shd_file import write_shd
from shd_corpus.sound_file import at_48_khz, read_sound
from shd_corpus.speech import SPEECH_RATE_HZ, synthesize
from shd_corpus.speech_commands import person_of, read_manifest, role_of
from shd_helpers.command import run as run_command
from shd_helpers.paths import data_dir
from shd_helpers.study.trained_network import OTHER

N_OF_EACH = 600
RATE_HZ = 48_000
LONGEST_S = 1.5
PAUSE_S = 0.3
Rng = np.random.Generator

VOICES = tuple(
    f"{accent}+{variant}"
    for accent in ("en-us", "en-gb-x-rp", "en-gb-scotland", "de")
    for variant in (
        *("Alex", "Alicia", "Andrea", "Andy", "Gene", "Lee", "Mario", "Michael", "Reed", "adam"),
        *("belinda", "boris", "ed", "f1", "f3", "grandma", "grandpa", "m1", "m6", "pablo"),
    )
)
WORDS = tuple(Path(__file__).with_name("words.txt").read_text(encoding="utf-8").split())
HELD_OUT_VOICES = VOICES[::5]  # the same four variants of each accent
HELD_OUT_WORDS = WORDS[::5]
TRAINING_VOICES = tuple(voice for voice in VOICES if voice not in HELD_OUT_VOICES)
TRAINING_WORDS = tuple(word for word in WORDS if word not in HELD_OUT_WORDS)


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


def _digit(recordings: list[Path], rng: Rng) -> np.ndarray:
    """Return the sound of a random digit, at 48 kHz."""
    wave, rate_hz = read_sound(recordings[rng.integers(len(recordings))], LONGEST_S)
    return at_48_khz(wave - wave.mean(), rate_hz)


def _backward(recordings: list[Path], rng: Rng) -> np.ndarray:
    """Return a digit backward."""
    return _digit(recordings, rng)[::-1]


def _part(recordings: list[Path], rng: Rng) -> np.ndarray:
    """Return 60 to 200 ms from the loudest quarter of a second of a digit."""
    wave = _digit(recordings, rng)
    window = RATE_HZ // 4
    energy = np.concatenate([[0], np.cumsum(wave**2)])
    first = int((energy[window:] - energy[:-window]).argmax())
    length = round(rng.uniform(0.06, 0.2) * RATE_HZ)
    start = first + rng.integers(0, window - length)
    return wave[start : start + length]


def _word(words: Sequence[str], voices: Sequence[str], rng: Rng) -> np.ndarray:
    """Return a word that is no digit, as eSpeak NG says it."""
    word = words[int(rng.integers(len(words)))]
    voice = voices[int(rng.integers(len(voices)))]
    rate, pitch = int(rng.integers(130, 260)), int(rng.integers(20, 80))
    return at_48_khz(synthesize(word, voice, rate, pitch), SPEECH_RATE_HZ)


def kinds(recordings: list[Path]) -> dict[str, Callable[[Rng], np.ndarray]]:
    """Return the programs that make sounds, by their kinds."""
    return {
        "noise": _noise,
        "hum": _hum,
        "clicks": _clicks,
        "silence": _silence,
        "backward": partial(_backward, recordings),
        "part": partial(_part, recordings),
        "word": partial(_word, TRAINING_WORDS, TRAINING_VOICES),
        "held-out word": partial(_word, HELD_OUT_WORDS, HELD_OUT_VOICES),
    }


KINDS = tuple(kinds([]))
Spikes = tuple[np.ndarray, np.ndarray]  # times and units of an utterance


class Sound(NamedTuple):
    """One sound: its kind and its number, which seed all that is drawn."""

    kind: str
    number: int


def recording(make: Callable[[Rng], np.ndarray], rng: Rng) -> np.ndarray:
    """Return a sound with a microphone's noise, and with pauses around two thirds of them."""
    wave = make(rng)
    wave = 10 ** rng.uniform(-1.2, -0.2) * wave / np.abs(wave).max()
    pause_s = PAUSE_S if rng.random() < 2 / 3 else 0.0
    wave = np.pad(wave, round(pause_s * RATE_HZ))
    return wave + 10 ** rng.uniform(-3.5, -2.3) * rng.standard_normal(len(wave))


def encode_sounds(recordings: list[Path], n_of_each: int) -> list[tuple[Sound, Spikes]]:
    """Return the spikes of all sounds in which `hear` finds an utterance."""
    makers = kinds(recordings)
    sounds = [Sound(kind, number) for kind in makers for number in range(n_of_each)]

    def encode_one(sound: Sound) -> Spikes | None:
        rng = np.random.default_rng([*map(ord, sound.kind), sound.number])
        try:
            found = encode_utterance(
                recording(makers[sound.kind], rng), RATE_HZ, sound.number, FILTER_BANK
            )
        except RecordingError:
            return None
        return found.times.astype(np.float16), found.units.astype(np.uint16)

    encoded = on_all_cores(encode_one, sounds, "encoding sounds that are no digit")
    return [(sound, spikes) for sound, spikes in zip(sounds, encoded, strict=True) if spikes]


def main() -> None:
    """Make the data set, from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commands", type=Path, help="folder of the recordings of `commands`")
    folder = parser.parse_args().commands
    names = [name for name in read_manifest() if role_of(person_of(name)) == "training"]
    encoded = encode_sounds([folder / name for name in names], N_OF_EACH)
    sounds, spikes = zip(*encoded, strict=True)
    times, units = zip(*spikes, strict=True)
    path = encoder_folder(data_dir() / "others", FILTER_BANK) / "others_train.h5"
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = [KINDS.index(sound.kind) for sound in sounds]
    texts = [f"{sound.kind}_{sound.number}" for sound in sounds]
    write_shd(
        path,
        times,
        units,
        [0] * len(sounds),
        numbers,
        (OTHER,),
        {"file": texts, "n_channels": CHANNELS[FILTER_BANK]},
    )
    print(f"{path}: {len(sounds)} sounds")


if __name__ == "__main__":
    run_command(main)
