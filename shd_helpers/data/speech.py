"""The data set `spoken`: digits from eSpeak NG through the cochlea, in SHD layout, made offline.

eSpeak NG (GPL-3) comes as a C library with its voices in the package ``espeakng-loader``. It keeps
global state: the settings of one utterance, the phase of its oscillators and its noise reach into
the next. So the library is loaded afresh for each utterance, which takes 4 ms and makes an
utterance the same whatever was spoken before.
"""

import _ctypes
import ctypes
import io
import json
import threading
from pathlib import Path

import espeakng_loader
import numpy as np
import scipy.fft
import soundfile

from shd_helpers.checks import check_choice
from shd_helpers.cochlea import encode, on_all_cores
from shd_helpers.data.shd_file import LANGUAGES, write_shd
from shd_helpers.files import atomic
from shd_helpers.versions import SPIKES

ESPEAK_RATE_HZ, SPEECH_RATE_HZ = 22_050, 24_000
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
# of each word: of the other speakers, to train and to test, and of these two
TAKES = {"train_takes": 10, "seen_test_takes": 2, "unseen_test_takes": 8}
SEED = 0

_lock = threading.Lock()
_CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p
)


class SpeechError(RuntimeError):
    """eSpeak NG refused something; the message says what."""


def synthesize(
    text: str, voice: str, rate_wpm: int = 175, pitch: int = 50, pitch_range: int = 50
) -> np.ndarray:
    """Speak a text.

    Parameters
    ----------
    voice : str
        Accent, or accent and variant, such as ``"en-us+f2"``.
    rate_wpm : int
        Words per minute, 80 to 450.
    pitch, pitch_range : int
        Height and liveliness of the voice, 0 to 99.

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

    with _lock:
        espeak = ctypes.CDLL(espeakng_loader.get_library_path())
        try:
            _speak(espeak, text, voice, (rate_wpm, pitch, pitch_range), collect)
        finally:
            espeak.espeak_Terminate()
            _ctypes.dlclose(espeak._handle)
    wave = np.concatenate(chunks) if chunks else np.zeros(1)
    if not wave.any():
        raise SpeechError(f"{voice} says nothing for {text!r}")
    from scipy.signal import resample_poly  # takes 1.4 s to import

    wave = resample_poly(wave, SPEECH_RATE_HZ, ESPEAK_RATE_HZ)
    return wave / np.abs(wave).max()


def _speak(espeak, text, voice, settings, collect) -> None:
    def check(what, code):
        if code != 0:
            raise SpeechError(f"eSpeak NG: {what} failed with code {code}")

    synchronous, dont_exit = 2, 1 << 15
    path = espeakng_loader.get_data_path().encode()
    rate_hz = espeak.espeak_Initialize(synchronous, 0, path, dont_exit)
    if rate_hz != ESPEAK_RATE_HZ:
        raise SpeechError(f"eSpeak NG could not start from {path.decode()} (returned {rate_hz})")
    check("setting the seed", espeak.espeak_ng_SetRandSeed(ctypes.c_long(1)))  # else: the clock
    check(f"choosing the voice {voice}", espeak.espeak_SetVoiceByName(voice.encode()))
    for number, value in zip((2, 1, 3, 4), (70, *settings), strict=True):  # 2 is the volume:
        check(f"setting {number}", espeak.espeak_SetParameter(number, value, 0))  # never clipped
    espeak.espeak_SetSynthCallback(collect)
    data, utf8 = text.encode() + b"\0", 1
    size = ctypes.c_size_t(len(data))
    check("speaking", espeak.espeak_Synth(data, size, 0, 1, 0, utf8, None, None))
    check("ending", espeak.espeak_Synchronize())


def speak(word: str, speaker: int, generator: np.random.Generator) -> np.ndarray:
    """Speak a digit as a person would: never twice alike, with a pause before and noise behind.

    The word is one of LANGUAGES["both"], the speaker an index into SPEAKERS. The generator draws
    rate, pitch, its range, silence, level and noise. Returns 0.3 to 1 s of sound at 24 kHz,
    (samples,), of a length whose Fourier transform is fast.
    """
    accent, variant, _ = SPEAKERS[speaker]
    language = "de" if word in LANGUAGES["german"] else accent
    wave = synthesize(
        word.replace("fuenf", "fünf"),
        f"{language}+{variant}",
        rate_wpm=int(generator.integers(150, 251)),
        pitch=int(generator.integers(30, 71)),
        pitch_range=int(generator.integers(20, 81)),
    )
    before, after = (generator.uniform(0.0, 0.1, 2) * SPEECH_RATE_HZ).astype(int)
    steps = (before + len(wave) + after) // 2 + 1
    samples = 2 * (scipy.fft.next_fast_len(int(steps)) - 1)
    wave = np.pad(wave, (before, samples - before - len(wave)))
    level_db, noise_db = generator.uniform(-20, 0), generator.uniform(-60, -35)
    return wave * 10 ** (level_db / 20) + _noise(samples, generator) * 10 ** (noise_db / 20)


def _noise(samples: int, generator: np.random.Generator) -> np.ndarray:
    """Room noise of root mean square 1: as speech, it falls with frequency."""
    hz = np.maximum(scipy.fft.rfftfreq(samples, 1 / SPEECH_RATE_HZ), 50.0)
    noise = scipy.fft.irfft(scipy.fft.rfft(generator.standard_normal(samples)) / hz, n=samples)
    return noise / noise.std()


def make_spoken(folder: Path, language: str = "english") -> tuple[Path, Path]:
    """Make the data set ``spoken`` in SHD layout, unless the folder holds it already.

    Ten speakers are in both files, two (``TEST_SPEAKERS``) in the test file only. Each utterance
    follows from its word, speaker and take alone. ``spoken.json``, written last, says how the files
    were made. The class names are SHD's twenty, whatever the language. SpeechError, if eSpeak NG
    fails; ValueError, if the language is unknown.
    """
    check_choice("language", language, [*LANGUAGES])
    made = {"spikes": SPIKES, "seed": SEED, "language": language, **TAKES}
    paths = folder / "spoken_train.h5", folder / "spoken_test.h5"
    receipt = folder / "spoken.json"
    if receipt.is_file() and json.loads(receipt.read_text(encoding="utf-8")) == made:
        if all(path.is_file() for path in paths):
            return paths
    receipt.unlink(missing_ok=True)

    seen = [s for s in range(len(SPEAKERS)) if s not in TEST_SPEAKERS]
    n_train, n_seen, n_unseen = TAKES.values()
    train = _takes(language, seen, range(n_train))
    test = _takes(language, seen, range(n_train, n_train + n_seen))
    test += _takes(language, TEST_SPEAKERS, range(n_unseen))
    genders = [gender for _, _, gender in SPEAKERS]
    for path, takes in zip(paths, (train, test), strict=True):
        spikes = on_all_cores(lambda take: _spikes(*take), takes, path.stem)
        times, units = zip(*spikes, strict=True)
        labels, speakers, _ = zip(*takes, strict=True)
        write_shd(path, times, units, labels, speakers, gender=genders)
    with atomic(receipt) as part:
        part.write_text(json.dumps(made, indent=1) + "\n", encoding="utf-8")
    return paths


def _takes(language, speakers, takes) -> list[tuple[int, int, int]]:
    labels = [LANGUAGES["both"].index(word) for word in LANGUAGES[language]]
    return [(label, speaker, take) for take in takes for speaker in speakers for label in labels]


def wav(word: str, speaker: int, take: int) -> bytes:
    """Return an utterance of the training file as a WAV file: the sound its spikes were made of.

    Parameters
    ----------
    word, speaker : str, int
        As for `speak`.
    take : int
        From 1, as in the order of the file.
    """
    wave, _ = _say(LANGUAGES["both"].index(word), speaker, take - 1)
    with io.BytesIO() as file:
        soundfile.write(file, wave / np.abs(wave).max(), SPEECH_RATE_HZ, format="WAV")
        return file.getvalue()


def _say(label, speaker, take) -> tuple[np.ndarray, np.random.Generator]:
    generator = np.random.default_rng([SEED, label, speaker, take])
    return speak(LANGUAGES["both"][label], speaker, generator), generator


def _spikes(label, speaker, take) -> tuple[np.ndarray, np.ndarray]:
    wave, generator = _say(label, speaker, take)
    times, units = encode(wave, SPEECH_RATE_HZ, seed=int(generator.integers(2**63)))
    return times.astype(np.float16), units.astype(np.uint16)  # as in the file
