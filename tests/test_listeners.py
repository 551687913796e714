"""Networks that listen with the filter bank: the committed tables are those of their scores."""

import h5py
import numpy as np
import pandas as pd
import pytest
import yaml

from shd_helpers.paths import ROOT
from shd_helpers.study import load_pretrained
from tests import RESULTS

PLAN = yaml.safe_load((ROOT / "evidence" / "listeners.yaml").read_text(encoding="utf-8"))


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


@pytest.mark.parametrize("name", ["listener", "small_listener"])
def test_the_threshold_is_the_lowest_at_which_enough_accepted_answers_are_right(name):
    row = pd.read_csv(RESULTS / "listeners_judged.csv").set_index("network").loc[name]
    with h5py.File(RESULTS / "listeners_scores.h5") as file:
        shares = {}
        for whose in ("validation", "test"):
            scores = file[f"{name}/{whose}/scores"][:].astype(float)
            of_digits = np.exp(scores[:, [*range(10), 20]] - scores.max(1, keepdims=True))
            confidence = of_digits[:, :10].max(1) / of_digits.sum(1)
            right = of_digits[:, :10].argmax(1) == file[f"{name}/{whose}/labels"][:]
            confidence[scores.argmax(1) != of_digits[:, :10].argmax(1)] = 0
            shares[whose] = confidence, right
    confidence, right = shares["validation"]
    threshold = row.threshold - 1e-6
    assert right[confidence >= threshold].mean() >= PLAN["right_of_accepted"]
    lower = np.unique(confidence[(confidence > 0) & (confidence < threshold)])
    assert all(right[confidence >= level].mean() < PLAN["right_of_accepted"] for level in lower)
    confidence, right = shares["test"]
    assert (confidence >= threshold).mean() == pytest.approx(row.accepted, abs=1e-3)
    accepted_right = right[confidence >= threshold].mean()
    assert accepted_right == pytest.approx(row.right_of_accepted, abs=1e-3)


def test_the_selected_ones_are_the_most_accurate_for_validation_people():
    selection = pd.read_csv(RESULTS / "listeners_selection.csv")
    judged = pd.read_csv(RESULTS / "listeners_judged.csv").set_index("network").candidate
    for group, name in (("small", "small_listener"), ("large", "listener")):
        its = selection[selection.group == group]
        assert its.candidate.tolist() == list(PLAN[group])
        assert its.candidate[its.accuracy.idxmax()] == judged[name]
