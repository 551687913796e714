"""Spoken digits: every voice speaks, nothing leaks from one utterance into the next."""

import json
import subprocess
import sys

import numpy as np
import pytest
import scipy.fft

from shd_helpers import speech
from shd_helpers.datasets import LANGUAGES, read_shd
from shd_helpers.speech import SpeechError, make_spoken, speak, synthesise


def generator(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("speaker", range(12))
def test_every_speaker_says_both_languages(speaker):
    for word in ("seven", "fuenf"):
        wave = speak(word, speaker, generator(speaker))
        assert 0.2 < len(wave) / 24_000 < 1.2
        assert np.abs(wave).max() <= 1.1
        steps = len(wave) // 2 + 1
        assert len(wave) % 2 == 0 and scipy.fft.next_fast_len(steps) == steps


def test_speakers_differ():
    waves = [synthesise("seven", f"{accent}+{variant}") for accent, variant, _ in speech.SPEAKERS]
    assert len({wave.tobytes() for wave in waves}) == len(speech.SPEAKERS) == 12
    assert {gender for _, _, gender in speech.SPEAKERS} == {"male", "female"}


def test_umlaut_and_its_spelling_in_shd():
    """`fuenf` is said as `fünf`, not as it is spelled."""
    said = synthesise("fünf", "de+m3")
    assert len(synthesise("fuenf", "de+m3")) != len(said)
    word = speak("fuenf", 0, generator(1))
    assert len(word) < 24_000


def test_an_utterance_does_not_depend_on_those_before():
    first = synthesise("seven", "en-us+f2", rate_wpm=200)
    synthesise("four", "en-us+m3", rate_wpm=90, pitch=90, pitch_range=0)
    np.testing.assert_array_equal(synthesise("seven", "en-us+f2", rate_wpm=200), first)
    code = (
        "import sys; from shd_helpers.speech import synthesise;"
        "sys.stdout.buffer.write(synthesise('seven', 'en-us+f2', rate_wpm=200).tobytes())"
    )
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert fresh == first.tobytes()


def test_settings_are_heard():
    slow, fast = (synthesise("seven", "en-us", rate_wpm=rate) for rate in (100, 300))
    assert len(slow) > 1.5 * len(fast)
    low, high = (synthesise("nine", "en+m2", pitch=pitch, pitch_range=0) for pitch in (10, 90))

    def period(wave):  # of the voice, from 60 to 400 Hz
        wave = wave[2400:9600]
        power = np.correlate(wave, wave, "full")[len(wave) :]
        return 60 + power[60:400].argmax()

    assert period(low) > 1.2 * period(high)
    flat, lively = (synthesise("nine", "en+m2", pitch_range=r) for r in (0, 99))
    assert len(flat) != len(lively) or (flat != lively).any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"voice": "nope"}, "choosing the voice nope"),
        ({"voice": "en-us+nope"}, "no such variant: asked for en-us\\+nope"),
        ({"voice": "en-us", "rate_wpm": 60}, "rate_wpm is 60"),
        ({"voice": "en-us", "pitch": 100}, "pitch is 100"),
        ({"voice": "en-us", "pitch_range": -1}, "pitch_range is -1"),
        ({"voice": "en-us", "text": ""}, "says nothing"),
    ],
)
def test_what_espeak_would_swallow_is_an_error(arguments, message):
    with pytest.raises(SpeechError, match=message):
        synthesise(**({"text": "one"} | arguments))
    assert len(synthesise("one", "en-us")) > 4000  # and the next utterance is fine


def test_every_return_code_is_looked_at(monkeypatch):
    monkeypatch.setattr(speech.espeakng_loader, "get_data_path", lambda: "/nowhere")
    with pytest.raises(SpeechError, match="could not start from /nowhere"):
        synthesise("one", "en-us")


def test_takes_vary():
    takes = [speak("one", 0, generator(take)) for take in range(8)]
    assert len({len(take) for take in takes}) > 3
    onsets = [int(np.argmax(np.abs(take) > 0.3 * np.abs(take).max())) for take in takes]
    assert max(onsets) - min(onsets) > 0.03 * 24_000
    levels_db = [20 * np.log10(np.abs(take).max()) for take in takes]
    assert max(levels_db) - min(levels_db) > 6
    floors = [np.abs(take[-100:]).mean() / np.abs(take).max() for take in takes]
    assert max(floors) > 3 * min(floors)


@pytest.fixture
def three_speakers(monkeypatch):
    monkeypatch.setattr(speech, "SPEAKERS", speech.SPEAKERS[:3])
    monkeypatch.setattr(speech, "TEST_SPEAKERS", (1,))
    return {"train_takes": 2, "heard_test_takes": 1, "unheard_test_takes": 1, "progress": False}


def test_make_spoken(three_speakers, tmp_path, monkeypatch):
    train, test = make_spoken(tmp_path / "a", seed=3, **three_speakers)
    assert [train.name, test.name] == ["spoken_train.h5", "spoken_test.h5"]
    a, b = read_shd(train), read_shd(test)
    assert a.keys == b.keys == LANGUAGES["both"]
    assert sorted(zip(a.speakers, a.labels, strict=True)) == sorted(
        (speaker, label) for speaker in (0, 2) for label in range(10) for _ in range(2)
    )
    assert sorted(zip(b.speakers, b.labels, strict=True)) == [
        (speaker, label) for speaker in range(3) for label in range(10)
    ]
    sizes = np.diff(a.offsets)
    assert sizes.min() > 1000 and len(set(sizes)) == len(a)  # no two takes are alike

    # SHD's look: the base is nearly silent, the ridges lie above it, and all is over soon
    share = np.histogram(a.units, [0, 200, 300, 700])[0] / len(a.units)
    assert share[0] < 0.1 and share[2] > 0.8
    assert np.mean(a.times < 0.6) > 0.95

    def never(*_, **__):
        raise AssertionError("made again")

    with monkeypatch.context() as cached:
        cached.setattr(speech, "encode", never)
        assert make_spoken(tmp_path / "a", seed=3, **three_speakers) == (train, test)
        for other in ({"seed": 4}, {"seed": 3, "language": "german"}):
            with pytest.raises(AssertionError, match="made again"):
                make_spoken(tmp_path / "a", **other, **three_speakers)


def test_same_seed_same_files_and_a_broken_build_is_repeated(three_speakers, tmp_path, monkeypatch):
    few = three_speakers | {"train_takes": 1, "heard_test_takes": 0}
    files = make_spoken(tmp_path / "a", seed=3, **few)
    content = [path.read_bytes() for path in files]
    encode, calls = speech.encode, []

    def break_down(*arguments, **settings):
        calls.append(1)
        if len(calls) > 22:  # in the test file
            raise KeyboardInterrupt
        return encode(*arguments, **settings)

    with monkeypatch.context() as broken:
        broken.setattr(speech, "encode", break_down)
        with pytest.raises(KeyboardInterrupt):
            make_spoken(tmp_path / "b", seed=3, **few)
    assert not (tmp_path / "b" / "spoken.json").exists()
    assert not list(tmp_path.glob("b/*.part"))
    again = make_spoken(tmp_path / "b", seed=3, **few)
    assert [path.read_bytes() for path in again] == content
    assert json.loads((tmp_path / "b" / "spoken.json").read_text())["seed"] == 3


def test_unknown_language(tmp_path):
    with pytest.raises(ValueError, match="language 'dutch': unknown; take one of english, german"):
        make_spoken(tmp_path, language="dutch")
