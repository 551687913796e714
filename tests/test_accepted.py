"""How many answers are accepted, and how many of these are right."""

import shutil
import sys

import pandas as pd
import pytest
import soundfile

from evidence import accepted, other_microphones
from shd_corpus.class_names import ENGLISH
from shd_corpus.speech import SPEECH_RATE_HZ, synthesize
from shd_helpers.hear import Answer
from tests import RESULTS

ANSWERS = {
    "0_ann_1": Answer("zero", 0.9, True, "", True),
    "7_bob_2": Answer("nine", 0.4, False, "", True),
}


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """Two recordings, and a listener that knows its answers by the files' names."""

    class Listener:
        def __init__(self, network, language):
            assert language == "english"

        def answer(self, word):
            return ANSWERS[word]

    monkeypatch.setattr(accepted, "Listener", Listener)
    monkeypatch.setattr(accepted, "encode_utterance_file", lambda path: path.stem)
    for name in ANSWERS:
        (tmp_path / f"{name}.wav").touch()
    return tmp_path


def test_each_network_has_a_row_for_each_recording(recordings):
    table = accepted.classify(accepted.recordings_of(recordings), ("adaptive", "small"))
    assert table.network.tolist() == ["adaptive", "adaptive", "small", "small"]
    first = table.iloc[1]
    assert (first.speaker, first.label, first.predicted) == ("bob", "seven", "nine")
    assert table.accepted.tolist() == [True, False] * 2


def test_the_accuracy_is_that_of_accepted_answers_alone():
    answers = pd.DataFrame(
        {
            "label": ["one", "two", "two", "six"],
            "predicted": ["one", "two", "one", "one"],
            "accepted": [True, True, True, False],
        }
    )
    assert accepted.on_other_corpus(answers) == (0.75, pytest.approx(2 / 3), 0.5)


@pytest.mark.parametrize("script", [accepted, other_microphones])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (None, r"no wav file\. Name the folder"),
        ("foo.wav", r"foo\.wav: the name must be .*such as 7_jackson_0\.wav"),
        ("11_ann_0.wav", r"11_ann_0\.wav: the name must be"),
        ("7_ann_0.wav", r"7_ann_0\.wav: .*remove it\.$"),
    ],
)
def test_recordings_that_can_t_be_classified_are_named(
    script, name, message, tmp_path, monkeypatch
):
    """The last one is damaged."""
    if name:
        (tmp_path / name).write_bytes(b"RIFF of nothing")
    monkeypatch.setattr(sys, "argv", ["script", str(tmp_path)])
    monkeypatch.setattr(accepted, "Listener", lambda *_: None)
    monkeypatch.setattr(other_microphones, "networks_dir", lambda: tmp_path)
    with pytest.raises(SystemExit, match=message):
        script.main()


def test_other_networks_answer_the_same_recordings(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "3_ann_0.wav", synthesize("three", "en-us+m3"), SPEECH_RATE_HZ)
    for name in ("small", "adaptive"):
        shutil.copy(RESULTS / "networks" / f"{name}.npz", tmp_path)
    monkeypatch.setattr(other_microphones, "networks_dir", lambda: tmp_path)
    monkeypatch.setattr(other_microphones, "tqdm", list)
    table = other_microphones.classify(tmp_path)
    assert table.network.tolist() == ["small", "adaptive"]
    assert {(row.speaker, row.label) for row in table.itertuples()} == {("ann", "three")}
    assert set(table.predicted) <= set(ENGLISH)
