"""Networks that listen with the filter bank: selection, thresholds, and the committed tables."""

import numpy as np
import pytest

from evidence import listeners
from evidence.others import KINDS


def test_half_of_the_kinds_train_nothing():
    kinds = listeners.held_out_kinds()
    assert len(kinds) == len(set(kinds)) == len(KINDS) // 2


@pytest.mark.parametrize("wanted", [0.5, 0.8, 0.98, 1.0])
def test_the_threshold_is_the_lowest_that_is_right_often_enough(wanted):
    rng = np.random.default_rng(3)
    confidences = rng.integers(0, 20, 200) / 20
    is_right = rng.random(200) < confidences
    enough = [
        level
        for level in np.unique(confidences[confidences > 0])
        if is_right[confidences >= level].mean() >= wanted
    ]
    found = listeners.confidence_threshold(confidences, is_right, wanted)
    assert found == min(enough, default=np.inf)


def test_other_is_an_answer_that_is_never_accepted():
    scores = np.zeros((2, 21))
    scores[0, [3, 20]] = 2, 3
    scores[1, [3, 13]] = 3, 2
    digits, confidences = listeners.answers(scores)
    assert digits.tolist() == [3, 3]
    others = np.delete(scores[1, [*range(10), 20]], 3)
    assert confidences[0] == 0
    assert confidences[1] == pytest.approx(np.exp(3) / (np.exp(3) + np.exp(others).sum()))
