"""Nested accuracies and their contrasts, computed again by plain loops."""

import statistics

import h5py
import pytest
from scipy.stats import t as student

from shd_helpers.study.tables import plan_of
from tests import RESULTS
from tests.builders.committed import rows_of

ENSEMBLES = plan_of("selection")["ensembles"]
PLAN = plan_of("screening")


NESTED = {
    int(row["speaker"]): 100 * float(row["test_unseen_accuracy"]) for row in rows_of("nested")
}
WINNER = {
    int(row["speaker"]): 100 * float(row["test_unseen_accuracy"])
    for row in rows_of("judged_winner")
}
SELECTED = {row["what"]: row["selected"] for row in rows_of("selected") if not row["speaker"]}
WITHOUT = {int(row["speaker"]): row["selected"] for row in rows_of("selected") if row["speaker"]}


def scores_of(speaker, candidate, seeds):
    """Return labels of a held-out speaker's utterances, and their class scores by each network."""
    for table in ("judged_speakers_hd", "judged_nested_hd"):
        own = [
            row
            for row in rows_of(table)
            if (row["candidate"], int(row["held_out"])) == (candidate, speaker)
        ]
        if own:
            break
    hashes = {int(row["seed"]): row["hash"] for row in own}
    found = []
    with h5py.File(RESULTS / f"{table}_scores.h5") as file:
        for seed in seeds:
            group = file[hashes[seed]]
            is_own = group["speaker"][:] == speaker
            found.append(group["scores"][:][is_own].tolist())
        labels = group["label"][:][is_own].tolist()
    return labels, found


def accuracy_of(speaker, ensemble):
    """Return an ensemble's accuracy for a held-out speaker, in percent."""
    members = []
    for candidate, seeds in ENSEMBLES[ensemble].items():
        labels, scores = scores_of(speaker, candidate, seeds)
        members += scores
    n_right = 0
    for label, *rows in zip(labels, *members, strict=True):
        means = [sum(values) / len(members) for values in zip(*rows, strict=True)]
        n_right += means.index(max(means)) == label
    return 100 * n_right / len(labels)


@pytest.mark.parametrize("speaker", PLAN["speakers"])
def test_a_speaker_is_judged_by_what_the_other_nine_folds_select(speaker):
    # scores are rounded, so an answer may differ
    assert NESTED[speaker] == pytest.approx(accuracy_of(speaker, WITHOUT[speaker]), abs=0.4)


@pytest.mark.parametrize("speaker", range(12))
def test_the_winner_is_judged_for_each_speaker(speaker):
    assert WINNER[speaker] == pytest.approx(accuracy_of(speaker, SELECTED["winner"]), abs=0.4)


def test_no_network_has_trained_on_the_speaker_who_tests_it():
    for table in ("judged_speakers_hd", "judged_nested_hd"):
        for row in rows_of(table):
            assert row["protocol"] == "leave_one_speaker_out", row["run_name"]
            assert row["language"] == "english", row["run_name"]


def others_by_speaker(name):
    """Return a compared network's accuracy for each speaker, averaged over the judged seeds."""
    is_study = name == "study"
    found = {}
    for row in rows_of("final_hd" if is_study else "reference_hd"):
        is_own = row["input"] == "183 x 333" if is_study else row["model"] == name
        if is_own and int(row["seed"]) in PLAN["judged_seeds"]:
            accuracy = 100 * float(row["test_unseen_accuracy"])
            found.setdefault(int(row["held_out"]), []).append(accuracy)
    assert all(len(values) == 3 for values in found.values())
    return {speaker: statistics.mean(values) for speaker, values in found.items()}


def half_interval(values):
    return student.ppf(0.975, len(values) - 1) * statistics.stdev(values) / len(values) ** 0.5


def adjusted(p_values):
    """Return Holm's adjusted p-values, in the same order."""
    order = sorted(range(len(p_values)), key=lambda k: p_values[k])
    found = [0.0] * len(p_values)
    largest = 0.0
    for rank, k in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[k]))
        found[k] = largest
    return found


def test_the_contrasts_are_paired_by_speaker_and_adjusted_together():
    told = rows_of("nested_contrasts")
    assert [row["against"] for row in told] == PLAN["contrasts"]
    counted = []
    for row in told:
        others = others_by_speaker(row["against"])
        differences = [NESTED[speaker] - others[speaker] for speaker in PLAN["speakers"]]
        mean = statistics.mean(differences)
        half = half_interval(differences)
        error = statistics.stdev(differences) / len(differences) ** 0.5
        counted.append(2 * student.sf(abs(mean) / error, len(differences) - 1))
        assert float(row["mean"]) == pytest.approx(mean)
        assert float(row["ci95"]) == pytest.approx(half)
        assert float(row["p"]) == pytest.approx(counted[-1])
    for row, p_value in zip(told, adjusted(counted), strict=True):
        assert float(row["p_holm"]) == pytest.approx(p_value)
        is_level = abs(float(row["mean"])) + float(row["ci_holm"]) <= PLAN["contrasts_margin"]
        verdict = "shown" if p_value < 0.05 else "level" if is_level else "undecided"
        assert row["verdict"] == verdict
