"""The networks for everybody: their tables and thresholds, computed again from frozen scores.

The computing is plain Python and shares no code with evidence, which only says where the scores of
a network are.
"""

import functools
import json
import math
import re

import h5py
import numpy as np
import pytest

from evidence.everybody.plan import candidates, plan
from shd_helpers.paths import ROOT
from tests import RESULTS
from tests.builders.committed import mean, rows_of

SELECTION = rows_of("everybody_selection")
JUDGED = rows_of("everybody_judged")


def close(value):
    """Tables have six digits."""
    return pytest.approx(value, rel=1e-5)


@functools.cache
def stored(names, dataset):
    """Return the mean scores, the labels and the people of some frozen networks' utterances."""
    with h5py.File(RESULTS / "everybody_scores.h5") as file:
        groups = [file[name] for name in names]
        scores = sum(group[f"{dataset}_scores"][:].astype(float) for group in groups) / len(groups)
        labels, people = (groups[0][f"{dataset}_{what}"][:] for what in ("labels", "speakers"))
    return scores.tolist(), labels.tolist(), people.tolist()


def names_of(trainings):
    return tuple(training.frozen_name for training in trainings)


def mean_over(people, right):
    """Return the mean over people of the share that is right, and the lowest of these shares."""
    of_person = {}
    for person, is_right in zip(people, right, strict=True):
        of_person.setdefault(person, []).append(is_right)
    shares = [mean(values) for values in of_person.values()]
    return mean(shares), min(shares)


def scored(candidate, n_networks):
    """Return accuracy and share of rejected sounds, by which the plan selects."""
    names = names_of(candidates()[candidate].for_validation(range(n_networks)))
    found = []
    for dataset in ("commands", "others"):
        scores, labels, people = stored(names, dataset)
        right = [row.index(max(row)) == label for row, label in zip(scores, labels, strict=True)]
        found.append(mean_over(people, right)[0])
    return found


def test_each_candidate_has_the_score_of_its_answers():
    singles = [row["candidate"] for row in SELECTION if row["networks"] == "1"]
    assert singles == [*candidates()]
    for row in SELECTION:
        accuracy, rejected = scored(row["candidate"], int(row["networks"]))
        assert float(row["accuracy"]) == close(accuracy)
        assert float(row["rejected"]) == close(rejected)
        assert float(row["score"]) == close(accuracy + rejected - 1)


def test_the_networks_with_the_highest_scores_are_selected():
    averages = [row for row in SELECTION if row["networks"] != "1"]
    large = [row for row in SELECTION if row["group"] != "small" and row["networks"] == "1"]
    (average,) = averages
    assert average["candidate"] == max(large, key=lambda row: float(row["score"]))["candidate"]
    competing = {
        "small": [row for row in SELECTION if row["group"] == "small"],
        "everybody": [row for row in large if row["group"] == "medium"] + averages,
    }
    for name, rows in competing.items():
        best = max(rows, key=lambda row: float(row["score"]))
        selected = {row["candidate"] for row in JUDGED if row["network"] == name}
        assert selected == {best["candidate"]}
        n_networks = max(int(row["networks"]) for row in JUDGED if row["network"] == name)
        assert n_networks == int(best["networks"])


def answer(scores):
    """Return the English digit with the highest score, and its confidence if it may be accepted."""
    others = [*scores[:10], scores[-1]]
    digit = max(range(10), key=lambda k: scores[k])
    share = 1 / sum(math.exp(score - scores[digit]) for score in others)
    return digit, share if scores[digit] == max(scores) else None


def lowest_level(confidences, is_enough):
    """Return the lowest confidence from which on the accepted answers are good enough."""
    for level in sorted({each for each in confidences if each is not None}):
        if is_enough([each is not None and each >= level for each in confidences]):
            return level
    return math.inf


@functools.cache
def thresholds_of(candidate, n_networks):
    names = names_of(candidates()[candidate].for_validation(range(n_networks)))
    scores, labels, _ = stored(names, "commands")
    found = [answer(row) for row in scores]
    right = [digit == label for (digit, _), label in zip(found, labels, strict=True)]

    def mostly_right(accepted):
        of_accepted = [is_right for is_right, has in zip(right, accepted, strict=True) if has]
        return sum(of_accepted) >= plan()["right_of_accepted"] * len(of_accepted)

    of_people = lowest_level([confidence for _, confidence in found], mostly_right)
    scores, _, kinds = stored(names, "others")
    of_sounds = lowest_level(
        [answer(row)[1] for row in scores],
        lambda accepted: mean_over(kinds, accepted)[0] <= plan()["accepted_sounds"],
    )
    return of_people, max(of_people, of_sounds)


def networks_of(row):
    """Return the trainings whose networks are tested, those that are averaged together."""
    candidate = candidates()[row["candidate"]]
    seeds = range(int(row["networks"]))
    if row["tested_on"] == "hd_cut":
        return [candidate.for_speaker(speaker, seeds) for speaker in range(12)]
    return [candidate.for_test(seeds)]


T_95 = {180: 1.973305, 12: 2.200985}  # of Student's t, by the number of people


def share_without_each(people, accepted, right):
    """Return half the interval of the share that is right of what is accepted, by the jackknife."""
    counts = {person: [0, 0] for person in people}
    for person, is_accepted, is_right in zip(people, accepted, right, strict=True):
        counts[person][0] += is_accepted and is_right
        counts[person][1] += is_accepted
    n_right, n_accepted = (sum(column) for column in zip(*counts.values(), strict=True))
    shares = [(n_right - own) / (n_accepted - its) for own, its in counts.values()]
    n = len(shares)
    squares = sum((share - mean(shares)) ** 2 for share in shares)
    return T_95[n] * ((n - 1) / n * squares) ** 0.5


@pytest.mark.parametrize("row", JUDGED, ids=lambda row: f"{row['network']}_{row['tested_on']}")
def test_what_is_judged_follows_from_the_scores(row):
    right, right_of_all, people, confidences = [], [], [], []
    for trainings in networks_of(row):
        scores, labels, speakers = stored(names_of(trainings), row["tested_on"])
        for row_of_scores, label in zip(scores, labels, strict=True):
            digit, confidence = answer(row_of_scores)
            right.append(digit == label)
            right_of_all.append(row_of_scores.index(max(row_of_scores)) == label)
            confidences.append(confidence or 0)
        people += speakers
    accuracy, lowest = mean_over(people, right)
    assert (len(set(people)), len(people)) == (int(row["people"]), int(row["utterances"]))
    assert float(row["accuracy"]) == close(accuracy)
    assert row["lowest"] == "" or float(row["lowest"]) == close(lowest)
    assert (row["lowest"] != "") == (row["tested_on"] == "hd_cut")
    assert float(row["accuracy_all_classes"]) == close(mean_over(people, right_of_all)[0])
    assert float(row["accuracy_utterances"]) == close(mean(right))
    for prefix in ("", "planned_"):
        accepted = [confidence >= float(row[f"{prefix}threshold"]) for confidence in confidences]
        assert float(row[f"{prefix}accepted"]) == pytest.approx(mean(accepted), abs=2e-3)
        of_accepted = [is_right for is_right, has in zip(right, accepted, strict=True) if has]
        wanted = pytest.approx(mean(of_accepted), abs=2e-3)
        assert float(row[f"{prefix}right_of_accepted"]) == wanted
        half = share_without_each(people, accepted, right)
        wanted = pytest.approx(half, rel=0.1, abs=1e-12)
        assert float(row[f"{prefix}right_of_accepted_ci95"]) == wanted


@pytest.mark.parametrize("path", sorted((RESULTS / "networks").glob("*.npz")), ids=lambda p: p.stem)
def test_a_networks_threshold_is_that_of_the_amended_plan(path):
    with np.load(path) as file:
        about = json.loads(str(file["about"]))
    rows = [row for row in JUDGED if row["network"] == path.stem]
    if not rows:
        assert "confidence_threshold" not in about
        return
    n_networks = max(int(row["networks"]) for row in rows)
    amended, planned = thresholds_of(rows[0]["candidate"], n_networks)
    assert about["confidence_threshold"] == close(amended)
    for row in rows:
        assert float(row["threshold"]) == close(amended)
        assert float(row["planned_threshold"]) == close(planned)


PAGE = (ROOT / "evidence" / "everybody" / "README.md").read_text(encoding="utf-8")


def judged_by(network, dataset):
    """Return the shares in a row of the table, in percent."""
    (row,) = [row for row in JUDGED if row["network"] == network and row["tested_on"] == dataset]
    shares = {}
    for name, value in row.items():
        names = ("accuracy", "ci95", "lowest", "accepted")
        if name.endswith(names) and value:
            shares[name] = f"{100 * float(value):.1f}"
    return shares


def test_the_page_has_what_was_reached():
    def is_reached(what, value):
        return re.search(rf"^\| {what} .* \| {re.escape(value)} \|$", PAGE, re.M)

    for name in ("everybody", "small"):
        row = judged_by(name, "commands")
        reached = f"{row['accuracy']} ± {row['ci95']} %"
        assert is_reached(rf"180 test people, \*{name}\*", reached)
    row = judged_by("everybody", "commands")
    assert is_reached("test utterances that", f"{row['accepted']} %")
    right = f"{row['right_of_accepted']} ± {row['right_of_accepted_ci95']} %"
    assert is_reached("right of", right)
    row = judged_by("everybody", "hd_cut")
    assert is_reached("12 speakers", f"{row['accuracy']} ± {row['ci95']} %")
    assert is_reached("lowest of", f"{row['lowest']} %")


def test_the_page_has_what_both_thresholds_accept():
    names = ("planned_accepted", "planned_right_of_accepted")
    first, second = (
        [judged_by(network, "commands")[name] for name in names]
        for network in ("everybody", "small")
    )
    first = "only {} % of the test utterances ({} % right)".format(*first)
    assert f"*everybody* accepted {first}, and *small* {{}} % ({{}} %).".format(*second) in PAGE
    row = judged_by("everybody", "hd_cut")
    shares = [row[name] for name in ("accepted", "right_of_accepted", *names)]
    text = "{} % of their utterances, and {} % of these are right (planned: {} and {} %)"
    assert text.format(*shares) in PAGE


def test_the_page_has_which_sounds_are_accepted():
    rows, of_small = (
        [row for row in rows_of("non_digits") if row["network"] == name]
        for name in ("everybody", "small")
    )
    shares = {
        (row["sound"], row["surroundings"]): int(row["accepted"]) / int(row["recordings"])
        for row in rows
    }
    highest = max(shares, key=lambda sound: shares[sound])
    many = [share for share in shares.values() if share > 0.05]
    assert (
        f"| up to {100 * shares[highest]:.0f} % (*{highest[0]}*); more than 5 % of {len(many)} of "
        f"{len(rows)} |" in PAGE
    )
    sums = [sum(int(row["accepted"]) for row in its) for its in (rows, of_small)]
    assert "Now they accept {} and {}.".format(*sums) in PAGE


def test_the_page_compares_the_selected_network_with_the_average():
    (average,) = [row for row in SELECTION if row["networks"] == "3"]
    (name,) = {row["candidate"] for row in JUDGED if row["network"] == "everybody"}
    (own,) = [row for row in SELECTION if row["candidate"] == name]
    assert f"*{name}* ({100 * float(own['accuracy']):.1f} % of validation people)" in PAGE
    assert f"average of three networks ({100 * float(average['accuracy']):.1f} %)" in PAGE
