"""The confidence threshold: by a naive search, and for each speaker from the others."""

import json

import numpy as np
import pandas as pd
import pytest

from scripts import confidence_thresholds
from scripts.confidence_thresholds import confidence_threshold, nested


@pytest.mark.parametrize("seed", range(4))
def test_by_naive_search(seed):
    rng = np.random.default_rng(seed)
    confidence = rng.integers(1, 12, 60) / 12  # with many ties
    right = rng.random(60) < confidence
    candidates = [c for c in confidence if right[confidence >= c].mean() >= 0.9]
    assert confidence_threshold(confidence, right, 0.9) == min(candidates, default=np.inf)
    assert confidence_threshold(confidence, np.zeros(60, bool)) == np.inf
    assert confidence_threshold(confidence, np.ones(60, bool)) == confidence.min()


def test_a_speaker_s_own_words_choose_nothing():
    rows = {"speaker": [1, 1, 2, 2], "label": [0, 1, 0, 1], "predicted": [0, 0, 0, 1]}
    found = nested(pd.DataFrame(rows | {"confidence": [0.9, 0.8, 0.5, 0.6]}))
    assert found.confidence_threshold.to_dict() == {1: 0.5, 2: 0.9}
    assert found.accepted.to_dict() == {1: 1.0, 2: 0.0}
    assert found.correct[1] == 0.5 and np.isnan(found.correct[2])
    assert found.correct_of_all.to_dict() == {1: 0.5, 2: 1.0}


@pytest.fixture
def results(tmp_path, monkeypatch):
    """A folder with two pretrained networks, and the predictions of two speakers."""
    for name in ("networks_dir", "results_dir"):
        monkeypatch.setattr(confidence_thresholds, name, lambda: tmp_path)
    for name in ("small", "large"):
        np.savez_compressed(tmp_path / f"{name}.npz", about=np.array("{}"), weights=np.ones(3))
    rows = {"speaker": [1, 1, 2, 2], "label": [0, 1, 0, 1], "predicted": [0, 0, 0, 1]}
    rows |= {"confidence": [0.9, 0.8, 0.95, 0.96], "hash": "a", "seen": False}
    predictions = pd.DataFrame(rows)
    table = pd.DataFrame({"hash": ["a"], "model": ["x"]})
    monkeypatch.setattr(confidence_thresholds, "read_table", lambda _: table)
    monkeypatch.setattr(confidence_thresholds, "collect_predictions", lambda _: predictions)
    return tmp_path, predictions


def threshold_in(path):
    with np.load(path) as file:
        assert file["weights"].tolist() == [1, 1, 1]
        return json.loads(str(file["about"])).get("confidence_threshold")


def test_the_threshold_is_written_into_each_network(results, monkeypatch, capsys):
    folder, _ = results
    monkeypatch.setattr("sys.argv", ["confidence_thresholds", "any", "x", "small", "large"])
    confidence_thresholds.main()
    assert [threshold_in(folder / f"{name}.npz") for name in ("small", "large")] == [0.9, 0.9]
    assert (folder / "confidence_thresholds.csv").is_file()


@pytest.mark.parametrize(
    ("names", "is_right", "message"),
    [
        (["small", "lage"], True, r"lage\.npz: no such network\. Nothing .* There are: large, sma"),
        (["small"], False, "At no confidence are 99% of the answers correct.*for small"),
    ],
)
def test_a_mistake_changes_no_file(results, monkeypatch, names, is_right, message):
    folder, predictions = results
    if not is_right:
        predictions["predicted"] = 7
    before = {path: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr("sys.argv", ["confidence_thresholds", "any", "x", *names])
    with pytest.raises(SystemExit, match=message):
        confidence_thresholds.main()
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
