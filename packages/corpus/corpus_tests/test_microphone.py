"""One utterance is found in what a microphone recorded, and encoded."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from corpus_tests.made_recordings import AUDIO, NOT_WORDS, RATE, noise, tone, with_noise
from shd_corpus.cochlea import encode
from shd_corpus.microphone import (
    AFTER_S,
    BEFORE_S,
    encode_utterance,
    encode_utterance_file,
    find_utterance,
)
from shd_corpus.recording_list import RecordingError
from shd_corpus.recordings import encode_file

WORD = with_noise(np.zeros(RATE), tone(0.4), np.zeros(RATE))


@pytest.mark.parametrize("seconds", [0.2, 0.6, 1.4])
@pytest.mark.parametrize("level", [0.02, 0.9])
def test_a_tone_is_found_where_it_is(seconds, level):
    wave = with_noise(np.zeros(RATE), tone(seconds, level), np.zeros(2 * RATE))
    first, stop = find_utterance(wave, RATE)
    assert abs(first / RATE - 1.0) <= 0.02 and abs(stop / RATE - 1.0 - seconds) <= 0.04


def test_the_quiet_end_of_an_utterance_belongs_to_it_and_a_click_before_it_does_not():
    fricative = np.random.default_rng(1).normal(0, 0.01, RATE // 10)
    click = tone(0.01, 0.9, 2000)
    utterance = [tone(0.3), fricative]
    wave = with_noise(np.zeros(RATE), click, np.zeros(RATE), *utterance, np.zeros(RATE))
    first, stop = find_utterance(wave, RATE)
    assert abs(first / RATE - 2.01) <= 0.02 and abs(stop / RATE - 2.41) <= 0.03


@pytest.mark.parametrize(("wave", "sentence"), NOT_WORDS)
def test_what_is_not_one_utterance_is_refused_with_a_remedy(wave, sentence):
    with pytest.raises(RecordingError, match=f"^{sentence}"):
        encode_utterance(wave, RATE)


RATES = [1, 99, 222, 223, 5_999, 768_001, 1_000_003, 4_000_037, 2**32 - 1]


@pytest.mark.parametrize("rate_hz", RATES)
def test_a_rate_that_is_no_recording_of_speech_is_refused(rate_hz, tmp_path):
    """Below 6 kHz half of the speech is missing; far above, resampling takes gigabytes."""
    wave = with_noise(np.zeros(100), tone(0.4), np.zeros(100))
    sentence = rf"{rate_hz} samples a second.*6,000 to 768,000.*Export it at 48,000"
    with pytest.raises(RecordingError, match=sentence):
        encode_utterance(wave, rate_hz)
    if rate_hz < 2**31:  # libsndfile writes no more
        path = tmp_path / "x.wav"
        soundfile.write(path, wave, rate_hz)
        for read in (encode_utterance_file, encode_file):
            with pytest.raises(RecordingError, match=rf"x\.wav: .*{sentence}"):
                read(path)


@pytest.mark.parametrize("rate_hz", [6_000, 768_000])
def test_the_lowest_and_the_highest_rate_are_read(rate_hz):
    wave = np.interp(np.arange(0, 2.4, 1 / rate_hz), np.arange(0, 2.4, 1 / RATE), WORD)
    assert abs(len(encode_utterance(wave, rate_hz).wave) / RATE - 0.4 - BEFORE_S - AFTER_S) < 0.04


def test_the_spikes_are_those_of_the_utterance_alone():
    """Silence before and after change nothing, nor do the level and an offset."""
    loud = with_noise(np.zeros(RATE), tone(0.4), np.zeros(RATE))
    heard = encode_utterance(loud, RATE, seed=3)
    samples = round((0.4 + BEFORE_S + AFTER_S) * RATE)
    assert abs(len(heard.wave) - samples) <= 0.03 * RATE and heard.warning == ""
    times, units = encode(heard.wave, RATE, 3)
    assert np.array_equal(heard.times, times) and np.array_equal(heard.units, units)
    again = encode_utterance(0.1 * loud + 0.1, RATE, seed=3)  # cheap microphones have such offsets
    assert np.array_equal(again.times, heard.times)


@pytest.mark.parametrize("rate_hz", [RATE, RATE // 6])
def test_an_utterance_that_was_cut_close_gets_noise_around_it(rate_hz):
    utterance = tone(0.4)[:: RATE // rate_hz]
    stop = rate_hz + len(utterance)
    whole = noise(2, 1e-3)[: 2 * rate_hz]
    whole[rate_hz:stop] += utterance
    lacks = round(0.02 * rate_hz)  # of the sound before it
    heard = encode_utterance(whole, rate_hz, seed=1)
    close = encode_utterance(whole[rate_hz - lacks : stop + lacks], rate_hz, seed=1)
    assert abs(len(close.wave) - len(heard.wave)) <= 0.04 * RATE
    edge = slice(round(0.001 * RATE), round(0.015 * RATE))
    level = 20 * np.log10(close.wave[edge].std() / heard.wave[edge].std())
    assert abs(level) < 6
    again = encode_utterance(whole[rate_hz - lacks : stop + lacks], rate_hz, seed=1)
    assert np.array_equal(again.times, close.times)
    assert abs(len(close.times) / len(heard.times) - 1) < 0.05


def test_a_clipped_utterance_is_encoded_with_a_warning():
    wave = with_noise(np.zeros(RATE), np.clip(tone(0.5, 3.0), -1, 1), np.zeros(RATE))
    assert encode_utterance(wave, RATE).warning.startswith("It is clipped")


@pytest.mark.skipif(not AUDIO.is_dir(), reason="the recordings aren't here")
def test_recordings_between_silence_are_found_again():
    paths = sorted(AUDIO.glob("lang-english*"))[:12]
    assert len(paths) == 12
    for path in paths:
        wave, rate = soundfile.read(Path(path))
        own = find_utterance(wave, rate)
        silence = np.random.default_rng(0).normal(0, 1e-5, 2 * rate)
        found = find_utterance(np.concatenate([silence, wave, silence]), rate)
        assert abs(found[0] - 2 * rate - own[0]) <= 0.06 * rate, path
        assert abs(found[1] - 2 * rate - own[1]) <= 0.12 * rate, path


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_sample_that_is_no_number_is_named(value):
    wave = WORD.copy()
    wave[300] = value
    with pytest.raises(RecordingError, match="Sample 300 isn't a finite number"):
        encode_utterance(wave, RATE)
