"""From which confidence on an answer is sure: by a naive search, and each speaker by the others."""

import numpy as np
import pandas as pd
import pytest

from scripts.sure import nested, sure_from


@pytest.mark.parametrize("seed", range(4))
def test_by_naive_search(seed):
    rng = np.random.default_rng(seed)
    confidence = rng.integers(1, 12, 60) / 12  # with many ties
    right = rng.random(60) < confidence
    candidates = [c for c in confidence if right[confidence >= c].mean() >= 0.9]
    assert sure_from(confidence, right, 0.9) == min(candidates, default=np.inf)
    assert sure_from(confidence, np.zeros(60, bool)) == np.inf
    assert sure_from(confidence, np.ones(60, bool)) == confidence.min()


def test_a_speaker_s_own_words_choose_nothing():
    rows = {"speaker": [1, 1, 2, 2], "label": [0, 1, 0, 1], "predicted": [0, 0, 0, 1]}
    found = nested(pd.DataFrame(rows | {"confidence": [0.9, 0.8, 0.5, 0.6]}))
    assert found.sure_from.to_dict() == {1: 0.5, 2: 0.9}
    assert found.answered.to_dict() == {1: 1.0, 2: 0.0}
    assert found.right[1] == 0.5 and np.isnan(found.right[2])
    assert found.right_of_all.to_dict() == {1: 0.5, 2: 1.0}
