"""What the ten folds have selected, computed again from the committed tables by plain loops."""

import h5py
import pytest

from shd_corpus.class_names import LANGUAGES
from shd_helpers.study.tables import plan_of
from tests import RESULTS
from tests.builders.committed import mean, predictions_of, rows_of

PLAN = plan_of("screening")


ROWS = rows_of("selection")
SIZES = {row["entry"]: int(row["parameters"]) for row in ROWS}
SELECTED = {row["what"]: row["selected"] for row in rows_of("selected") if not row["speaker"]}
WITHOUT = {int(row["speaker"]): row["selected"] for row in rows_of("selected") if row["speaker"]}
SINGLES = (
    "adaptive, augmented recordings",
    "shared, two layers",
    "reference",
    "small",
    "small, one cycle",
)
ENSEMBLES = plan_of("selection")["ensembles"]


def accuracies(entry, left_out=None, column="accuracy"):
    """Return an entry's accuracies by speaker, in percent."""
    found = {}
    for row in ROWS:
        speaker = int(row["speaker"])
        if row["entry"] == entry and speaker != left_out:
            found[speaker] = 100 * float(row[column])
    return found


def winner_of(entries, reference, most_parameters, left_out=None):
    """Return whom the rule of evidence/README.md selects."""
    own = accuracies(reference, left_out)
    able = {}
    for entry in entries:
        others = accuracies(entry, left_out)
        assert others.keys() == own.keys()
        n_better = sum(others[speaker] > own[speaker] for speaker in own)
        is_ahead = mean(others.values()) - mean(own.values()) >= PLAN["rule"]["margin"]
        if SIZES[entry] <= most_parameters and is_ahead and 2 * n_better > len(own):
            able[entry] = mean(others.values())
    if not able:
        return reference
    tied = [name for name in able if max(able.values()) - able[name] <= PLAN["rule"]["tie"]]
    return min(tied, key=lambda name: (SIZES[name], -able[name]))


def test_the_rule_selects_what_is_committed():
    rule = PLAN["rule"]
    assert SELECTED["winner"] == winner_of(SIZES, rule["reference"], rule["most_parameters"])
    small = PLAN["small"]
    two = (small["reference"], small["name"])
    assert SELECTED["small network"] == winner_of(two, two[0], small["most_parameters"])
    single = winner_of(
        [name for name in SIZES if " seeds of " not in name],
        rule["reference"],
        PLAN["most_parameters_single"],
    )
    assert SELECTED["best single network"] == single


@pytest.mark.parametrize("speaker", PLAN["speakers"])
def test_the_other_nine_folds_select_for_a_speaker(speaker):
    rule = PLAN["rule"]
    selected = winner_of(SIZES, rule["reference"], rule["most_parameters"], speaker)
    assert WITHOUT[speaker] == selected


def test_an_accuracy_of_a_single_network_is_the_mean_of_its_runs():
    runs = [
        row
        for name in ("selection", "selection_small", "selection_today")
        for row in rows_of(f"{name}_hd")
    ]
    for entry in SINGLES:
        for speaker, accuracy in accuracies(entry).items():
            own = [
                100 * float(run["validation_accuracy"])
                for run in runs
                if run["candidate"] == entry and int(run["validation_speakers"]) == speaker
            ]
            assert accuracy == pytest.approx(mean(own)), (entry, speaker)


def answers_of(scores_file, hashes):
    """Return label and answer of each utterance, by name, from the members' mean class scores."""
    with h5py.File(RESULTS / scores_file) as file:
        names = [str(name) for name in file[hashes[0]].attrs["class_names"]]
        labels = file[hashes[0]]["label"][:].tolist()
        speakers = file[hashes[0]]["speaker"][:].tolist()
        members = [file[run]["scores"][:].tolist() for run in hashes]
    answers = []
    for label, speaker, *rows in zip(labels, speakers, *members, strict=True):
        means = [mean(values) for values in zip(*rows, strict=True)]
        answers.append((names[label], names[means.index(max(means))], speaker))
    return answers


def accuracy_in(answers, language):
    """Return the accuracy in percent of the utterances in a language."""
    return 100 * mean([said == heard for said, heard, _ in answers if said in LANGUAGES[language]])


@pytest.mark.parametrize("entry", ENSEMBLES)
def test_an_accuracy_of_an_ensemble_is_that_of_its_mean_scores(entry):
    members = ENSEMBLES[entry]
    for row in ROWS:
        if row["entry"] != entry:
            continue
        hashes = [
            run["hash"]
            for run in rows_of("selection_hd")
            if run["validation_speakers"] == row["speaker"]
            and int(run["seed"]) in members.get(run["candidate"], ())
        ]
        assert len(hashes) == sum(map(len, members.values()))
        answers = answers_of("selection_hd_scores.h5", hashes)
        for column, language in (("accuracy", "both"), ("english",) * 2, ("german",) * 2):
            counted = accuracy_in(answers, language)
            # scores are rounded, and ties may be resolved in another way
            assert 100 * float(row[column]) == pytest.approx(counted, abs=0.3), (row, column)


def test_the_official_accuracy_of_the_winner_is_that_of_its_mean_scores():
    hashes = [row["hash"] for row in rows_of("judged_official_hd") if int(row["seed"]) < 3]
    answers = answers_of("judged_official_hd_scores.h5", hashes)
    assert len(hashes) == 3 and len(answers) == 2264
    told = {
        (row["language"], row["speakers"]): float(row["accuracy"])
        for row in rows_of("official")
        if row["what"] == "winner"
    }
    for language in ("both", "english", "german"):
        assert told[language, "all"] == pytest.approx(accuracy_in(answers, language), abs=0.1)
        of_two = [each for each in answers if each[2] in (4, 5)]
        assert told[language, "4 and 5"] == pytest.approx(accuracy_in(of_two, language), abs=0.1)


def test_official_accuracies_are_those_of_the_committed_answers():
    """The seeds of one network, counted from the answers that the sweep has stored."""
    by_run = {}
    for row in predictions_of("judged_official_hd"):
        by_run.setdefault(row["hash"], []).append(row["label"] == row["predicted"])
    assert len(by_run) == 5
    counted = 100 * mean([mean(right) for right in by_run.values()])
    (row,) = (
        row
        for row in rows_of("official")
        if (row["what"], row["language"], row["speakers"]) == ("best single network", "both", "all")
    )
    assert counted == pytest.approx(float(row["accuracy"]), abs=1e-6)


def test_the_mean_of_twelve_speakers_is_that_of_the_small_networks_answers():
    """The script takes seeds and speakers apart; here each answer is counted."""
    seeds = {row["hash"]: row["seed"] for row in rows_of("benchmark_hd") if row["model"] == "small"}
    right = {}
    for row in predictions_of("benchmark_hd"):
        if row["hash"] in seeds:
            key = row["speaker"], row["hash"]
            right.setdefault(key, []).append(row["label"] == row["predicted"])
    assert len(right) == 12 * 5
    (told,) = [
        row
        for row in rows_of("official")
        if (row["what"], row["language"], row["speakers"])
        == ("small network", "both", "mean of twelve")
    ]
    counted = mean([100 * mean(answers) for answers in right.values()])
    assert float(told["accuracy"]) == pytest.approx(counted)
