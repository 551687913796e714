"""Ten sound files stand for a microphone; without them, an unseen speaker does."""

import numpy as np
import pytest
import soundfile
import torch

from shd_corpus.microphone import encode_utterance_file
from shd_corpus.speech import SPEECH_RATE_HZ, synthesize
from shd_course import own_voice
from shd_course.own_voice import DIGITS, NAMES, recordings
from shd_helpers import load_events
from shd_helpers.study import TrainConfig, evaluate, fit, input_of, load_pretrained


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path))
    own_voice.record()  # without a person it only makes the folder
    return tmp_path / own_voice.FOLDER


@pytest.fixture(scope="module")
def others():
    return load_events("digits")


@pytest.fixture(scope="module")
def trained():
    return load_pretrained("study_0")


def test_ten_files_are_ten_utterances_of_five_digits_and_can_be_learned(folder, others, trained):
    for name in NAMES:
        wave = synthesize(name.partition("_")[0], "en-us+m3")
        soundfile.write(folder / name, wave, SPEECH_RATE_HZ)
    ten, whose = recordings(trained, others, seen=[])
    assert whose == "you" and [*ten.labels] == 2 * [*range(5)]
    assert [ten.class_names[label] for label in ten.labels[:5]] == [*DIGITS]
    spikes = encode_utterance_file(folder / NAMES[7])
    one = input_of(trained, spikes.times, spikes.units)
    np.testing.assert_array_equal(ten.to_frames([7]), one.to_frames([0]))
    config = TrainConfig(epochs=60, batch_size=5, lr=1e-3, lr_step=30)
    fit(trained.network, ten.take(range(5)), None, config, torch.Generator().manual_seed(0))
    assert [*evaluate(trained.network, ten.take(range(5))).answers] == [*range(5)]


def test_without_files_an_unseen_speaker_has_said_the_digits(folder, others, trained):
    (folder / NAMES[0]).write_bytes(b"one of ten")
    seen = np.unique(others.speakers)[:-1]
    ten, whose = recordings(trained, others, [*seen])
    last = others.speakers.max()
    assert whose == f"speaker {last}" and {*ten.speakers} == {last}
    assert [*ten.labels] == 2 * [*range(5)]
    assert len({*zip(ten.file, ten.rows, strict=True)}) == 10
