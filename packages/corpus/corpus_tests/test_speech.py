"""Spoken digits: every voice speaks, nothing leaks from one utterance into the next; `spoken`."""

import hashlib
import subprocess
import sys
import zlib

import numpy as np
import pytest
import scipy.fft

from shd_corpus import speech
from shd_corpus.class_names import LANGUAGES
from shd_corpus.shd_file import read_shd
from shd_corpus.speech import SpeechError, make_spoken, speak, synthesize

CHANGED = (
    "the same seed gives other utterances than before: if that is intended, raise SPIKES in "
    "shd_corpus/versions.py and put the new values here"
)


def generator(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_every_speaker_says_both_languages_in_a_voice_of_their_own():
    waves = []
    for speaker in range(len(speech.SPEAKERS)):
        for digit in ("seven", "fuenf"):
            waves.append(speak(digit, speaker, generator(0)))
            assert 0.2 < len(waves[-1]) / 24_000 < 1.2
            assert np.abs(waves[-1]).max() <= 1.1
            steps = len(waves[-1]) // 2 + 1
            assert len(waves[-1]) % 2 == 0 and scipy.fft.next_fast_len(steps) == steps
    assert len({wave.tobytes() for wave in waves}) == 24
    assert {gender for _, _, gender in speech.SPEAKERS} == {"male", "female"}


def test_an_utterance_does_not_depend_on_those_before():
    first = synthesize("seven", "en-us+f2", rate_wpm=200)
    synthesize("four", "en-us+m3", rate_wpm=90, pitch=90, pitch_range=0)
    np.testing.assert_array_equal(synthesize("seven", "en-us+f2", rate_wpm=200), first)
    code = (
        "import sys; from shd_corpus.speech import synthesize;"
        "sys.stdout.buffer.write(synthesize('seven', 'en-us+f2', rate_wpm=200).tobytes())"
    )
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert fresh == first.tobytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"voice": "nope"}, "choosing the voice nope"),
        ({"voice": "en-us", "text": ""}, "is silent"),
    ],
)
def test_what_espeak_would_swallow_is_an_error(arguments, message):
    with pytest.raises(SpeechError, match=message):
        synthesize(**({"text": "one"} | arguments))
    assert len(synthesize("one", "en-us")) > 4000  # and the next utterance is fine


# ---- the data set ----


@pytest.fixture
def encoded(monkeypatch):
    """Let three speakers speak, without the cochlea; return the list of the seeds that it got."""
    monkeypatch.setattr(speech, "SPEAKERS", speech.SPEAKERS[:3])
    monkeypatch.setattr(speech, "TEST_SPEAKERS", (1,))
    monkeypatch.setattr(speech, "TAKES", dict.fromkeys(speech.TAKES, 1))
    seeds = []

    def encode(wave, rate_hz, seed):
        seeds.append(seed)
        return np.array([0.1]), np.array([seed % 700])

    monkeypatch.setattr(speech, "encode", encode)
    return seeds


def test_make_spoken(encoded, tmp_path):
    train, test = map(read_shd, make_spoken(tmp_path))
    assert train.keys == test.keys == LANGUAGES["both"]
    for data, speakers in ((train, (0, 2)), (test, (0, 1, 2))):
        assert sorted(zip(data.speakers, data.labels, strict=True)) == [
            (speaker, label) for speaker in speakers for label in range(10)
        ]
    assert len(set(encoded)) == 50  # no utterance is in both files
    with pytest.raises(ValueError, match="language 'dutch': must be one of english, german"):
        make_spoken(tmp_path, language="dutch")


def test_files_are_made_once_and_anew_for_another_origin(encoded, tmp_path, monkeypatch):
    files = make_spoken(tmp_path)
    content = [path.read_bytes() for path in files]
    assert make_spoken(tmp_path) == files and len(encoded) == 50
    for name in ("SEED", "SPIKES"):
        with monkeypatch.context() as other:
            other.setattr(speech, name, 7)
            make_spoken(tmp_path)
    make_spoken(tmp_path, "german")
    assert len(encoded) == 4 * 50
    make_spoken(tmp_path)
    assert [path.read_bytes() for path in files] == content


def tone(text: str, voice: str, **settings: int) -> np.ndarray:
    """Stand in for eSpeak: a tone of each setting, the same on every machine."""
    hz = [
        300 + zlib.crc32(f"{text} {voice} {name} {value}".encode()) % 3000
        for name, value in settings.items()
    ]
    t = np.arange(9600) / 24_000
    return np.sin(2 * np.pi * np.outer(hz, t)).mean(axis=0)


@pytest.mark.parametrize(
    ("utterance", "digest"),
    [
        ((0, 0, 0), "ab2c31b5e9544e0e"),
        ((5, 4, 3), "2bd9fa9a6b850a5e"),
        ((15, 11, 1), "cd29120cfacf52a5"),
    ],
)
def test_recipe_is_that_of_the_files_made_so_far(utterance, digest, monkeypatch):
    """Voices, rates, pauses, noise and cochlea; exact, for eSpeak is left out."""
    monkeypatch.setattr(speech, "synthesize", tone)
    times, units = speech._Take(*utterance).spikes()
    spikes = np.stack([np.rint(times.astype(float) * 12_000), units]).astype("<i4").tobytes()
    assert hashlib.sha256(spikes).hexdigest()[:16] == digest, CHANGED


def test_voices_are_those_of_the_files_made_so_far():
    """Spikes in seven bands; other builds of eSpeak may round the sound in other ways."""
    counts = [103, 289, 526, 1087, 2102, 2659, 2490]
    _, units = speech._Take(7, 1, 0).spikes()
    in_bands = np.histogram(units, np.arange(0, 701, 100))[0]
    np.testing.assert_allclose(in_bands, counts, rtol=0.03, atol=20, err_msg=CHANGED)
