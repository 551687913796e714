"""Recordings: synthetic sounds, noises, and archives like that of the Heidelberg Digits."""

import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import soundfile

from shd_corpus import heidelberg


def sound(
    seed: int, rate_hz: int = 8000, duration_s: float = 0.1, noise: float = 0.005
) -> np.ndarray:
    """Return a chirp at -12 dB with some noise."""
    t = np.arange(int(duration_s * rate_hz)) / rate_hz
    chirp = 0.25 * np.sin(2 * np.pi * (300 + 50 * seed + 3000 * t) * t)
    return chirp + noise * np.random.default_rng(seed).standard_normal(len(t))


RATE = 48_000


AUDIO = Path(__file__).parents[4] / "shared" / "data" / "hd_audio"


def tone(seconds, level=0.3, hz=500):
    """Return a sine wave at 48 kHz."""
    return level * np.sin(2 * np.pi * hz * np.arange(round(seconds * RATE)) / RATE)


def noise(seconds, level=1e-3):
    """Return white noise at 48 kHz, always the same."""
    return np.random.default_rng(0).normal(0, level, round(seconds * RATE))


def with_noise(*sounds):
    """Join sounds, and add a little noise to all of them."""
    whole = np.concatenate(sounds)
    return whole + noise(len(whole) / RATE)


NOT_WORDS = [
    (np.zeros(RATE), "Silence: is the microphone muted"),
    (np.zeros(0), "Nothing was recorded."),
    (noise(2.0, 0.05), "No utterance is louder than the noise"),
    (
        with_noise(noise(1), tone(10.0), noise(1)),
        "The sound is 10.0 s long, too long for a digit. Say one digit",
    ),
    (with_noise(noise(1), tone(0.4), noise(0.2), tone(0.3), noise(1)), "There are 2 utterances."),
    (
        with_noise(noise(1), tone(0.002, 0.9, 3000), noise(1)),
        "The sound is only a click. Say one digit",
    ),
]


TRAIN = [  # not in the order of their names
    "lang-german_speaker-03_trial-12_digit-7.flac",
    "lang-english_speaker-11_trial-0_digit-0.flac",
    "lang-english_speaker-00_trial-3_digit-9.flac",
    "lang-german_speaker-00_trial-3_digit-0.flac",
    "lang-english_speaker-00_trial-13_digit-9.flac",
]


TEST = [
    "lang-german_speaker-05_trial-1_digit-2.flac",
    "lang-english_speaker-04_trial-40_digit-5.flac",
    "lang-english_speaker-00_trial-5_digit-1.flac",
]


def flac(seed: int) -> bytes:
    """Return a chirp of 50 ms at 48 kHz, in 16 bit, with a mean that is left as it is."""
    t = np.arange(2400) / 48_000
    with io.BytesIO() as file:
        soundfile.write(
            file, 0.3 * np.sin(2 * np.pi * (300 + 90 * seed + 2000 * t) * t), 48_000, format="FLAC"
        )
        return file.getvalue()


RECORDINGS = {name: flac(seed) for seed, name in enumerate(TRAIN + TEST)}


def pack(recordings=RECORDINGS, train=TRAIN, test=TEST, folder="audio/") -> bytes:
    """Return an archive as the site has it; a list that is None is left out."""
    members = {f"{folder}{name}": content for name, content in recordings.items()}
    for part, listed in (("train", train), ("test", test)):
        if listed is not None:
            members[f"{part}_filenames.txt"] = "".join(f"{n}\n" for n in listed).encode()
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w:gz") as tar:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return file.getvalue()


def expect(monkeypatch, recordings=RECORDINGS):
    """Let the package expect a small archive instead of the official one."""
    lines = [f"{name} {hashlib.sha256(recordings[name]).hexdigest()}\n" for name in recordings]
    digest = hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
    monkeypatch.setattr(heidelberg, "RECORDINGS_SHA256", digest)
    lists = {"train_filenames.txt": len(TRAIN), "test_filenames.txt": len(TEST)}
    monkeypatch.setattr(heidelberg, "LISTS", lists)
