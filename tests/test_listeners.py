"""Networks that listen with the filter bank: selection, thresholds, and the committed tables."""

import h5py
import numpy as np
import pandas as pd
import pytest

from evidence import listeners
from evidence.others import KINDS
from shd_helpers.study import load_pretrained
from tests import RESULTS


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


@pytest.mark.parametrize("name", ["listener", "small_listener"])
def test_the_committed_row_is_that_of_the_frozen_scores(name):
    row = pd.read_csv(RESULTS / "listeners_judged.csv").set_index("network").loc[name]
    with h5py.File(RESULTS / "listeners_scores.h5") as file:
        test = {column: file[f"{name}/test/{column}"][:] for column in ("scores", "labels")}
        people = file[f"{name}/test/speakers"][:]
    right = np.array([np.argmax(of[:10]) for of in test["scores"]]) == test["labels"]
    by_person = [right[people == person].mean() for person in sorted(set(people))]
    assert len(by_person) == row.people == 180
    assert np.mean(by_person) == pytest.approx(row.accuracy, abs=1e-6)
    half = 1.973 * np.std(by_person, ddof=1) / np.sqrt(180)  # Student's t with 179 degrees
    assert half == pytest.approx(row.ci95, rel=1e-3)
    network = load_pretrained(name)
    assert network.encoder == "filter_bank"
    assert network.about["confidence_threshold"] == pytest.approx(row.threshold, abs=1e-5)
    assert not set(network.about["seen_speakers"]) & set(people.tolist())


def test_the_selected_ones_are_the_most_accurate_for_validation_people():
    selection = pd.read_csv(RESULTS / "listeners_selection.csv")
    judged = pd.read_csv(RESULTS / "listeners_judged.csv").set_index("network").candidate
    for group, name in listeners.GROUPS.items():
        its = selection[selection.group == group]
        assert its.candidate.tolist() == list(listeners.plan()[group])
        assert its.candidate[its.accuracy.idxmax()] == judged[name]
