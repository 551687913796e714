"""Spoken digits: every voice speaks, nothing leaks from one utterance into the next."""

import subprocess
import sys

import numpy as np
import pytest
import scipy.fft

from shd_helpers.source import speech
from shd_helpers.source.speech import SpeechError, speak, synthesise


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


def test_umlaut_is_spoken_though_shd_spells_it_without(monkeypatch):
    said = []

    def listen(text, voice, **_):
        said.append((text, voice))
        return np.ones(4800)

    monkeypatch.setattr(speech, "synthesise", listen)
    for word in ("fuenf", "five"):
        speak(word, 0, generator(0))
    assert said == [("fünf", "de+m3"), ("five", "en-us+m3")]


def test_an_utterance_does_not_depend_on_those_before():
    first = synthesise("seven", "en-us+f2", rate_wpm=200)
    synthesise("four", "en-us+m3", rate_wpm=90, pitch=90, pitch_range=0)
    np.testing.assert_array_equal(synthesise("seven", "en-us+f2", rate_wpm=200), first)
    code = (
        "import sys; from shd_helpers.source.speech import synthesise;"
        "sys.stdout.buffer.write(synthesise('seven', 'en-us+f2', rate_wpm=200).tobytes())"
    )
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert fresh == first.tobytes()


def test_settings_change_the_sound():
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
