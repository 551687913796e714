"""Voices measured from spikes, against spikes and sounds whose pitch, rate and level are known."""

import numpy as np
import pandas as pd
import pytest

from shd_helpers.events.toy import write_toy
from shd_helpers.source import Utterances, encode, read_shd
from shd_helpers.source.shd_file import ENGLISH
from tools import voices
from tools.voices import as_long, describe_voices, duration_s, pitch_hz


@pytest.mark.parametrize("hz", [110, 220])
def test_pitch_through_the_cochlea(hz):
    """A buzz of harmonics, as vocal folds make it."""
    t = np.arange(0, 0.4, 1 / 48000)
    wave = sum(np.sin(2 * np.pi * n * hz * t) / n for n in range(1, 20))
    times, _ = encode(wave, 48000, seed=0)
    assert pitch_hz(times) == pytest.approx(hz, rel=0.07)


def test_each_utterance_has_its_row():
    """Ten spikes a millisecond apart from 0.1 s on; one silent word; one of another language."""
    times = np.concatenate([0.1 + np.arange(1001) / 1000 / 4, [0.5] * 3])
    units = np.concatenate([np.arange(1001) % 3, [7, 7, 7]])
    found = describe_voices(
        Utterances(
            times, units, np.array([0, 1001, 1001, 1004]), np.array([1, 0, 10]),
            np.array([5, 6, 7]), (*ENGLISH, "null"),
        )
    )  # fmt: skip
    assert found.speaker.tolist() == [5] and found.label.tolist() == [1]
    assert found.spikes.tolist() == [1001]
    assert found.duration_s[0] == pytest.approx(0.98 * 0.25)
    assert found.centre_unit[0] == pytest.approx(np.mean(units[:1001]))


def test_a_slowed_word_has_the_wanted_length_and_the_same_order():
    times = np.sort(np.random.default_rng(3).uniform(0.1, 0.4, 500))
    slowed = as_long(times, 0.464)
    assert duration_s(slowed) == pytest.approx(0.464)
    assert slowed[0] == times[0] and (np.diff(slowed) >= np.diff(times)).all()
    gaps = np.diff(slowed) / np.diff(times)
    np.testing.assert_allclose(gaps, 0.464 / duration_s(times))


def test_the_table_has_medians_over_all_english_utterances_of_a_speaker(tmp_path, monkeypatch):
    monkeypatch.setenv("SHD_RESULTS_DIR", str(tmp_path))
    write_toy(tmp_path, seed=0)
    files = [tmp_path / f"toy_{part}.h5" for part in ("train", "test")]
    monkeypatch.setattr(voices, "locate", lambda dataset: files)
    voices.main()
    table, counts = pd.read_csv(tmp_path / "voices_hd.csv").set_index("speaker"), {}
    for data in map(read_shd, files):
        for i, speaker in enumerate(data.speakers.tolist()):
            if data.keys[data.labels[i]] in ENGLISH:
                counts.setdefault(speaker, []).append(len(data.spikes(i)[0]))
    assert table.spikes.to_dict() == {s: np.median(n) for s, n in counts.items()}
    assert table.utterances.to_dict() == {s: len(n) for s, n in counts.items()}
