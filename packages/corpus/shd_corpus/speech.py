"""The data set `spoken`: digits that eSpeak NG speaks, encoded by the cochlea, made offline.

The package ``espeakng-loader`` contains eSpeak NG (GPL-3), a C library, with its voices. The
library keeps global state: the settings of one utterance, the phase of its oscillators and its
noise affect the next utterance. Therefore it is loaded anew for each utterance. That takes 4 ms,
and an utterance doesn't depend on what was spoken before.
"""

import _ctypes
import ctypes
import io
import json
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import espeakng_loader
import numpy as np
import scipy.fft
import soundfile

from shd_corpus.checks import DatasetError, check_choice
from shd_corpus.class_names import LANGUAGES
from shd_corpus.cochlea import encode
from shd_corpus.compiled import on_all_cores
from shd_corpus.files import made_once
from shd_corpus.shd_file import write_shd
from shd_corpus.versions import SPIKES

ESPEAK_RATE_HZ = 22_050  # the only rate that eSpeak NG has
VOLUME = 70  # of eSpeak NG: as loud as it gets without clipping
SPEECH_RATE_HZ = 24_000  # to which its sound is resampled: the lowest that the cochlea accepts
# English accent, voice variant (the German twin is ``de`` with the same variant) and gender.
SPEAKERS = (
    ("en-us", "m3", "male"),
    ("en-us", "f2", "female"),
    ("en", "m2", "male"),
    ("en-us-nyc", "Annie", "female"),
    ("en-gb-x-rp", "m7", "male"),
    ("en-gb-scotland", "linda", "female"),
    ("en-gb-scotland", "m4", "male"),
    ("en-gb-x-gbclan", "f4", "female"),
    ("en-029", "m5", "male"),
    ("en-gb-x-rp", "f5", "female"),
    ("en-us-nyc", "m8", "male"),
    ("en-gb-x-gbcwmd", "steph", "female"),
)
TEST_SPEAKERS = (4, 5)  # only in the test file, as in SHD
# Utterances of each digit: by each other speaker in the training file and in the test file, and by
# each of these two
TAKES = {"train_takes": 10, "seen_test_takes": 2, "unseen_test_takes": 8}
SEED = 0

_PARAMETERS = {"rate": 1, "volume": 2, "pitch": 3, "range": 4}  # in its header speak_lib.h
_lock = threading.Lock()  # two threads that load the library would share its state
# What eSpeak NG calls with its sound: int16 samples, their number, and events, which nobody reads.
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class SpeechError(DatasetError):
    """eSpeak NG has refused something, so `spoken` can't be made; the message says what."""


def synthesize(
    text: str, voice: str, rate_wpm: int = 175, pitch: int = 50, pitch_range: int = 50
) -> np.ndarray:
    """Speak a text with eSpeak NG.

    Parameters
    ----------
    text : str
        What is spoken.
    voice : str
        Accent, or accent and variant, such as ``"en-us+f2"``.
    rate_wpm : int
        Words per minute, 80 to 450.
    pitch, pitch_range : int
        Height of the voice and how much it varies, 0 to 99.

    Returns
    -------
    (samples,) float array
        Sound at 24 kHz, peak 1.

    Raises
    ------
    SpeechError
        If eSpeak NG knows no such accent or stays silent. An unknown variant is ignored.
    """
    chunks = []

    @_CALLBACK
    def collect(samples, n, _events):
        if samples and n > 0:
            chunks.append(np.ctypeslib.as_array(samples, (n,)).astype(float))
        return 0

    settings = {"volume": VOLUME, "rate": rate_wpm, "pitch": pitch, "range": pitch_range}
    with _lock:
        espeak = ctypes.CDLL(espeakng_loader.get_library_path())
        try:
            _speak(espeak, text, voice, settings, collect)
        finally:
            espeak.espeak_Terminate()
            if sys.platform == "win32":
                _ctypes.FreeLibrary(espeak._handle)
            else:
                _ctypes.dlclose(espeak._handle)
    wave = np.concatenate(chunks) if chunks else np.zeros(1)
    if not wave.any():
        raise SpeechError(
            f"eSpeak NG: the voice {voice} is silent for the text {text!r}. Choose another voice."
        )
    from scipy.signal import resample_poly  # takes 1.4 s to import

    wave = resample_poly(wave, SPEECH_RATE_HZ, ESPEAK_RATE_HZ)
    return wave / np.abs(wave).max()


def _speak(espeak, text, voice, settings, collect) -> None:
    """Let a freshly loaded eSpeak NG speak; `collect` is called with its sound."""

    def check(action, code):
        if code != 0:
            raise SpeechError(
                f"eSpeak NG: {action} failed with code {code}. Check the arguments of synthesize."
            )

    # Numbers of eSpeak NG's header, speak_lib.h
    synchronous = 2
    dont_exit = 1 << 15
    utf8 = 1

    path = espeakng_loader.get_data_path().encode()
    rate_hz = espeak.espeak_Initialize(synchronous, 0, path, dont_exit)
    if rate_hz != ESPEAK_RATE_HZ:
        raise SpeechError(
            f"eSpeak NG could not start from {path.decode()} (returned {rate_hz}). Install it "
            "again: python -m pip install --force-reinstall espeakng-loader"
        )
    # Without a seed, it takes the time of day.
    check("setting the seed", espeak.espeak_ng_SetRandSeed(ctypes.c_long(1)))
    check(f"choosing the voice {voice}", espeak.espeak_SetVoiceByName(voice.encode()))
    for name, value in settings.items():
        code = espeak.espeak_SetParameter(_PARAMETERS[name], value, 0)
        check(f"setting the {name}", code)
    espeak.espeak_SetSynthCallback(collect)
    data = text.encode() + b"\0"
    size = ctypes.c_size_t(len(data))
    check("speaking", espeak.espeak_Synth(data, size, 0, 1, 0, utf8, None, None))
    check("ending", espeak.espeak_Synchronize())


def speak(digit: str, speaker: int, generator: np.random.Generator) -> np.ndarray:
    """Speak a digit as a person would: never twice alike, with silence around it and some noise.

    The generator draws rate, pitch, its range, silence, level and noise. `speaker` is an index into
    `SPEAKERS`. Returns (samples,): 0.3 to 1 s at 24 kHz, of a length whose Fourier transform is
    fast.
    """
    accent, variant, _ = SPEAKERS[speaker]
    language = "de" if digit in LANGUAGES["german"] else accent
    wave = synthesize(
        digit.replace("fuenf", "fünf"),
        f"{language}+{variant}",
        rate_wpm=int(generator.integers(150, 251)),
        pitch=int(generator.integers(30, 71)),
        pitch_range=int(generator.integers(20, 81)),
    )
    before, after = (generator.uniform(0.0, 0.1, 2) * SPEECH_RATE_HZ).astype(int)  # of silence
    steps = (before + len(wave) + after) // 2 + 1
    samples = 2 * (scipy.fft.next_fast_len(int(steps)) - 1)
    wave = np.pad(wave, (before, samples - before - len(wave)))
    level_db = generator.uniform(-20, 0)
    noise_db = generator.uniform(-60, -35)
    return wave * 10 ** (level_db / 20) + _noise(samples, generator) * 10 ** (noise_db / 20)


def _noise(samples: int, generator: np.random.Generator) -> np.ndarray:
    """Return a room's noise of root mean square 1. Like speech, it falls with frequency."""
    hz = np.maximum(scipy.fft.rfftfreq(samples, 1 / SPEECH_RATE_HZ), 50.0)
    noise = scipy.fft.irfft(scipy.fft.rfft(generator.standard_normal(samples)) / hz, n=samples)
    return noise / noise.std()


class _Take(NamedTuple):
    """One utterance of the data set, from whose three numbers all of it follows."""

    label: int  # index into the class names of both languages
    speaker: int  # index into `SPEAKERS`
    number: int  # from 0, for each label and speaker

    def sound(self) -> tuple[np.ndarray, np.random.Generator]:
        """Return its sound at `SPEECH_RATE_HZ`, and the generator, which then seeds the cochlea."""
        generator = np.random.default_rng([SEED, self.label, self.speaker, self.number])
        return speak(LANGUAGES["both"][self.label], self.speaker, generator), generator

    def spikes(self) -> tuple[np.ndarray, np.ndarray]:
        """Return times and units of its spikes, with the types that the file has."""
        wave, generator = self.sound()
        times, units = encode(wave, SPEECH_RATE_HZ, seed=int(generator.integers(2**63)))
        return times.astype(np.float16), units.astype(np.uint16)


def make_spoken(folder: Path, language: str = "english") -> tuple[Path, Path]:
    """Make ``spoken_train.h5`` and ``spoken_test.h5`` in a folder, once: see `made_once`.

    Ten speakers are in both files, two (`TEST_SPEAKERS`) in the test file only. Each utterance
    depends on its digit, speaker and take alone. The class names are always those of both
    languages, as in SHD.
    """
    check_choice("language", language, list(LANGUAGES))
    origin = {"spikes": SPIKES, "seed": SEED, "language": language, **TAKES}
    paths = (folder / "spoken_train.h5", folder / "spoken_test.h5")

    def encode() -> list[tuple[list[_Take], list]]:
        seen_speakers = [s for s in range(len(SPEAKERS)) if s not in TEST_SPEAKERS]
        n_train = TAKES["train_takes"]
        seen_test_takes = range(n_train, n_train + TAKES["seen_test_takes"])
        train = _takes(language, seen_speakers, range(n_train))
        test = _takes(language, seen_speakers, seen_test_takes)
        test += _takes(language, TEST_SPEAKERS, range(TAKES["unseen_test_takes"]))
        return [(takes, on_all_cores(_Take.spikes, takes, "spoken")) for takes in (train, test)]

    def write(both: list[tuple[list[_Take], list]]) -> None:
        extra = {"meta_info/gender": [gender for _, _, gender in SPEAKERS]}
        for path, (takes, spikes) in zip(paths, both, strict=True):
            labels, speakers, _ = zip(*takes, strict=True)
            times, units = zip(*spikes, strict=True)
            write_shd(path, times, units, labels, speakers, extra=extra)

    made_once(paths, folder / "spoken.json", json.dumps(origin, indent=1) + "\n", encode, write)
    return paths


def _takes(language: str, speakers: Iterable[int], numbers: Iterable[int]) -> list[_Take]:
    """Return the takes in the order of the file: each digit by each speaker, again and again."""
    labels = [LANGUAGES["both"].index(digit) for digit in LANGUAGES[language]]
    return [
        _Take(label, speaker, number)
        for number in numbers
        for speaker in speakers
        for label in labels
    ]


def wav(digit: str, speaker: int, take: int) -> bytes:
    """Return the sound behind an utterance of the training file, to listen to it.

    Parameters
    ----------
    digit : str
        A class name: one of ``LANGUAGES["both"]``.
    speaker : int
        Index into `SPEAKERS`.
    take : int
        Number of the utterance from 1, among those of the digit and the speaker in the file.

    Returns
    -------
    bytes
        A WAV file.
    """
    wave, _ = _Take(LANGUAGES["both"].index(digit), speaker, take - 1).sound()
    with io.BytesIO() as file:
        soundfile.write(file, wave / np.abs(wave).max(), SPEECH_RATE_HZ, format="WAV")
        return file.getvalue()
