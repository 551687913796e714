"""The confidence threshold: by a naive search, and for each speaker from the others."""

import numpy as np
import pandas as pd
import pytest

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
