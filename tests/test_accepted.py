"""How many answers are accepted, and how many of these are right."""

import sys

import pandas as pd
import pytest

from scripts import accepted
from shd_helpers.hear import Answer

ANSWERS = {"0_ann_1": Answer("zero", 0.9, True, ""), "7_bob_2": Answer("nine", 0.4, False, "")}


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """Two recordings, and a listener that knows its answers by the files' names."""

    class Listener:
        def __init__(self, network, language):
            assert language == "english"

        def answer(self, word):
            return ANSWERS[word]

    monkeypatch.setattr(accepted, "Listener", Listener)
    monkeypatch.setattr(accepted, "read_utterance", lambda path: path.stem)
    for name in ANSWERS:
        (tmp_path / f"{name}.wav").touch()
    return tmp_path


def test_each_network_has_a_row_for_each_recording(recordings):
    table = accepted.classify(sorted(recordings.glob("*.wav")), ("reference", "small"))
    assert table.network.tolist() == ["reference", "reference", "small", "small"]
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
    assert accepted.on_other_corpus(answers) == (3, 0.75, pytest.approx(2 / 3))


def test_a_folder_without_recordings_is_refused(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["accepted", str(tmp_path)])
    with pytest.raises(SystemExit):
        accepted.main()
    assert "no wav file. Name the folder" in capsys.readouterr().err
