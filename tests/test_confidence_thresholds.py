"""The confidence threshold by a naive search, and in the files of pretrained networks."""

import json

import numpy as np
import pytest
import torch

from evidence import confidence_thresholds
from evidence.confidence_thresholds import (
    ThresholdError,
    confidence_threshold,
    files_for_threshold,
    write_threshold,
)
from shd_corpus.microphone import RecordedUtterance
from shd_helpers import hear


@pytest.mark.parametrize("seed", range(4))
def test_by_naive_search(seed):
    rng = np.random.default_rng(seed)
    confidence = rng.integers(1, 12, 60) / 12  # with many ties
    right = rng.random(60) < confidence
    candidates = [c for c in confidence if right[confidence >= c].mean() >= 0.9]
    assert confidence_threshold(confidence, right, 0.9) == min(candidates, default=np.inf)
    assert confidence_threshold(confidence, np.zeros(60, bool), 0.9) == np.inf
    assert confidence_threshold(confidence, np.ones(60, bool), 0.9) == confidence.min()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with two pretrained networks."""
    monkeypatch.setattr(confidence_thresholds, "networks_dir", lambda: tmp_path)
    for name in ("small", "large"):
        np.savez_compressed(tmp_path / f"{name}.npz", about=np.array("{}"), weights=np.ones(3))
    return tmp_path


def threshold_in(path):
    with np.load(path) as file:
        assert file["weights"].tolist() == [1, 1, 1]
        return json.loads(str(file["about"])).get("confidence_threshold")


def test_the_threshold_is_written_into_each_network(folder):
    for path in files_for_threshold(["small", "large"], 0.9, 0.97):
        write_threshold(path, 0.9)
    assert [threshold_in(folder / f"{name}.npz") for name in ("small", "large")] == [0.9, 0.9]


@pytest.mark.parametrize(
    ("names", "threshold", "message"),
    [
        (["small", "lage"], 0.9, r"lage\.npz: no such network\. Nothing .* There are: large, sma"),
        (["small"], np.inf, "At no confidence are 99% of the answers correct.*for small"),
    ],
)
def test_a_mistake_is_found_before_anything_is_written(folder, names, threshold, message):
    with pytest.raises(ThresholdError, match=message):
        files_for_threshold(names, threshold, 0.99)
    assert threshold_in(folder / "small.npz") is None


def test_an_answer_whose_confidence_equals_the_threshold_is_accepted(monkeypatch):
    """Two equal scores have a confidence of exactly one half."""
    listener = hear.Listener("small")
    of_two = [*listener._classes][:2]
    scores = torch.full((1, 20), -torch.inf)
    scores[0, of_two] = 1.0

    class Engine:
        def evaluate_batch(self, *_):
            return scores, None

    monkeypatch.setattr(hear, "choose_engine", lambda *_: Engine())
    monkeypatch.setattr(hear, "input_of", lambda *_: None)
    utterance = RecordedUtterance(np.zeros(1), 48_000, np.zeros(1), np.zeros(1, int), "")
    about = listener._network.about
    for threshold, is_accepted in ((0.5, True), (np.nextafter(0.5, 1), False)):
        monkeypatch.setitem(about, "confidence_threshold", threshold)
        answer = listener.answer(utterance)
        assert (answer.confidence, answer.accepted) == (0.5, is_accepted)
