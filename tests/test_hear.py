"""A sound to a digit, by Python and from the command line."""

import json
import re
import sys
import types

import numpy as np
import pytest
import soundfile
import torch

from shd_helpers import hear
from shd_helpers.source.microphone import encode_word
from shd_helpers.source.speech import SPEECH_RATE_HZ, synthesise
from shd_helpers.study import evaluate, input_of, read_network
from tests.imports import loaded_by

SEVEN, RATE = synthesise("seven", "en-us+m3"), SPEECH_RATE_HZ


@pytest.fixture(scope="module")
def word(tmp_path_factory):
    path = tmp_path_factory.mktemp("sounds") / "seven.wav"
    soundfile.write(path, SEVEN, RATE, "FLOAT")
    return path


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["hear", *map(str, arguments)])
    return hear.main()


def test_the_answer_is_the_networks_and_so_is_its_confidence(word):
    kept, spikes = read_network("best_0"), encode_word(SEVEN, RATE)
    scores = evaluate(kept.network, input_of(kept, spikes.times, spikes.units)).class_scores[0]
    scores = scores.double().numpy()
    heard = hear.Listener("best_0").hear(word)
    assert heard.digit == kept.class_names[scores.argmax()] and heard.sure is None
    share = np.exp(scores.max()) / np.exp(scores).sum()
    assert heard.confidence == pytest.approx(share, abs=1e-4)


def test_a_language_s_ten_digits_share_all_the_confidence(word, monkeypatch):
    """A network of twenty classes whose highest score is a word of the other language."""
    kept, scores = read_network("adapting_0"), torch.zeros(1, 20)
    scores[0, [2, 13, 17]] = torch.tensor([1.0, 5.0, 2.0])
    engine = types.SimpleNamespace(evaluate_batch=lambda *_: (scores, None))
    monkeypatch.setattr(hear, "choose_engine", lambda *_: engine)
    kept.about["sure_from"] = 0.3
    monkeypatch.setattr(hear, "read_network", lambda _: kept)
    for language, digit, others in (("english", "two", [1.0]), ("german", "drei", [5.0, 2.0])):
        share = np.exp(others[0]) / (np.exp(others).sum() + 10 - len(others))
        heard = hear.Listener("adapting_0", language).hear(word)
        assert (heard.digit, heard.sure) == (digit, share >= 0.3)
        assert heard.confidence == pytest.approx(share, abs=1e-4)


def test_files_are_told_one_by_one_and_the_bad_ones_by_a_sentence(
    word, tmp_path, monkeypatch, capsys
):
    stereo, silent, two = (tmp_path / f"{name}.wav" for name in ("stereo", "silent", "two"))
    soundfile.write(stereo, np.stack([SEVEN, SEVEN], 1), RATE, "FLOAT")
    soundfile.write(silent, np.zeros(RATE), RATE)
    pause = np.zeros(RATE // 3)
    soundfile.write(two, np.concatenate([SEVEN, pause, SEVEN]), RATE)
    files = [word, tmp_path / "none.wav", silent, two, stereo]
    assert run(monkeypatch, "--json", *files) == 1
    out, err = capsys.readouterr()
    first, last = map(json.loads, out.splitlines())
    assert list(first) == ["file", "digit", "confidence", "sure", "warning"]
    assert first["file"] == str(word)
    assert first | {"file": 0} == last | {"file": 0}  # of stereo the mean counts
    missing, quiet, many = err.splitlines()
    assert missing.startswith(f"{files[1]}: no audio that can be read")
    assert quiet == f"{silent}: Silence: is the microphone muted, or another one chosen?"
    assert many == f"{two}: 2 words were heard. Say one digit, with silence before and after it."
    assert run(monkeypatch, word) == 0
    assert capsys.readouterr().out == f"{word}: {first['digit']}, {first['confidence']:.0%}\n"


def test_what_the_microphone_hears_is_answered(monkeypatch, capsys):
    monkeypatch.setattr(hear, "record", lambda: np.repeat(SEVEN, 2))
    monkeypatch.setattr(hear, "RATE_HZ", 2 * RATE)
    assert run(monkeypatch) == 0
    assert re.fullmatch(r"[a-z]+, \d+%\n", capsys.readouterr().out)


def test_whoever_hears_a_word_does_not_wait_for_pandas():
    assert loaded_by("import shd_helpers.hear", {"pandas", "torch"}) == {"torch"}
