"""What the ten folds have selected, computed again from the committed tables by plain loops."""

import csv
import functools
import gzip
import json
import math
import re
import statistics

import h5py
import numpy as np
import pytest

from shd_helpers import hear
from shd_helpers.data.class_names import LANGUAGES
from shd_helpers.sweeps.sweep_file import SWEEPS, read_yaml
from tests import RESULTS, ROOT

PLAN = read_yaml(SWEEPS / "screening.yaml")["plan"]
PAGE = (RESULTS / "README.md").read_text(encoding="utf-8")


def rows_of(name):
    with (RESULTS / f"{name}.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


ROWS = rows_of("selection")
SIZES = {row["entry"]: int(row["parameters"]) for row in ROWS}
SELECTED = {row["what"]: row["selected"] for row in rows_of("selected") if not row["speaker"]}
WITHOUT = {int(row["speaker"]): row["selected"] for row in rows_of("selected") if row["speaker"]}
SINGLES = ("adaptive, augmented recordings", "shared, two layers", "reference", "small")


def accuracies(entry, left_out=None):
    """Return an entry's accuracies by speaker, in percent."""
    found = {}
    for row in ROWS:
        speaker = int(row["speaker"])
        if row["entry"] == entry and speaker != left_out:
            found[speaker] = 100 * float(row["accuracy"])
    return found


def mean(values):
    return sum(values) / len(values)


def winner_of(entries, reference, most_parameters, left_out=None):
    """Return whom the rule of results/README.md selects."""
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
            assert accuracy == pytest.approx(mean(own), abs=0.06), (entry, speaker)


def test_the_page_lists_every_entry_and_the_winners():
    for entry, size in SIZES.items():
        row = f"| {entry} | {size:,} | {mean(accuracies(entry).values()):.1f} % |"
        assert row in PAGE, row
    for what, entry in SELECTED.items():
        assert re.search(rf"\*\*{what}\*\*[^.*]*\*{re.escape(entry)}\*", PAGE, re.IGNORECASE), what


# The networks in use, and whose folds gave their thresholds: a table, a candidate and its seeds.
IN_USE = {
    "adaptive": ("selection", "adaptive, augmented recordings", ("0", "1", "2")),
    "small": ("selection_today", "small", ("0",)),
}
ENTRY_OF = {"adaptive": SELECTED["winner"], "small": "small"}
SHARE_RIGHT = 0.97  # that docs/results.md promises of accepted answers to augmented recordings
FOREIGN = "german, heard as english"


def answer_of(scores, label, names, heard_as=None):
    """Return language, confidence and correctness of an utterance, heard in its own language."""
    own_language = "english" if names[label] in LANGUAGES["english"] else "german"
    digits = [k for k, name in enumerate(names) if name in LANGUAGES[heard_as or own_language]]
    best = max(digits, key=lambda k: scores[k])
    total = sum(math.exp(scores[k] - scores[best]) for k in digits)
    sure = None if max(scores) > scores[best] else 1 / total
    return own_language, sure, best == label


@functools.cache
def answers_by_speaker(network, file_name, heard_as=None):
    """Return a network's answers by held-out speaker; those of an ensemble are averaged."""
    table, candidate, seeds = IN_USE[network]
    runs = {}
    for row in rows_of(f"{table}_hd"):
        if row["candidate"] == candidate and row["seed"] in seeds:
            runs.setdefault(int(row["validation_speakers"]), []).append(row["hash"])
    found = {}
    with h5py.File(RESULTS / f"{table}_hd_{file_name}.h5") as file:
        for speaker, hashes in runs.items():
            assert len(hashes) == len(seeds)
            names = [str(name) for name in file[hashes[0]].attrs["class_names"]]
            labels = file[hashes[0]]["label"][:].tolist()
            members = [file[run]["scores"][:].tolist() for run in hashes]
            found[speaker] = []
            for label, *rows in zip(labels, *members, strict=True):
                scores = [mean(values) for values in zip(*rows, strict=True)]
                found[speaker].append(answer_of(scores, label, names, heard_as))
    return found


def share_right(answers, threshold):
    """Return which shares of the utterances are accepted, and of these are right."""
    accepted = [is_right for _, sure, is_right in answers if sure is not None and sure >= threshold]
    return len(accepted) / len(answers), mean(accepted)


@pytest.mark.parametrize("network", IN_USE)
def test_thresholds_are_the_lowest_that_nine_speakers_give(network):
    augmented = answers_by_speaker(network, "augmented_scores")
    clean = answers_by_speaker(network, "scores")
    as_english = answers_by_speaker(network, "scores", "english")
    rows = [row for row in rows_of("fold_thresholds") if row["network"] == ENTRY_OF[network]]
    assert len(rows) == 10 * 2 * 4
    for row in rows:
        speaker, threshold = int(row["speaker"]), float(row["confidence_threshold"])
        others = [each for other, own in augmented.items() if other != speaker for each in own]
        # the table rounds to four decimals
        assert share_right(others, threshold)[1] == pytest.approx(SHARE_RIGHT, abs=0.001)
        is_foreign = row["utterances"] == FOREIGN
        if is_foreign and row["sound"] == "augmented":
            continue  # as recorded, it is counted again
        own = (augmented if row["sound"] == "augmented" else clean)[speaker]
        if is_foreign:
            own = [each for each in as_english[speaker] if each[0] == "german"]
        elif row["utterances"] != "both languages":
            own = [each for each in own if each[0] == row["utterances"]]
        accepted, right = share_right(own, threshold)
        assert accepted == pytest.approx(float(row["accepted"]), abs=0.01), row
        assert right == pytest.approx(float(row["correct"]), abs=0.01), row


def lowest_threshold(answers):
    """Return the lowest confidence from which on enough of the accepted answers are right.

    From the highest confidence down, answer by answer; equal ones are counted together.
    """
    ordered = sorted(
        ((sure, right) for _, sure, right in answers if sure is not None), reverse=True
    )
    n_right = 0
    lowest = math.inf
    for n, (confidence, is_right) in enumerate(ordered, start=1):
        n_right += is_right
        is_last = n == len(ordered) or ordered[n][0] < confidence
        if is_last and n_right >= SHARE_RIGHT * n:
            lowest = confidence
    return lowest


@pytest.mark.parametrize("path", sorted((RESULTS / "networks").glob("*.npz")), ids=lambda p: p.stem)
def test_a_networks_threshold_is_that_of_the_committed_scores(path):
    with np.load(path) as file:
        about = json.loads(str(file["about"]))
    if path.stem not in IN_USE:
        message = "name the entry whose scores gave this threshold"
        assert "confidence_threshold" not in about, message
        return
    answers = answers_by_speaker(path.stem, "augmented_scores").values()
    lowest = lowest_threshold([each for own in answers for each in own])
    # scores are averaged in another order
    assert about["confidence_threshold"] == pytest.approx(lowest, abs=1e-6)


def test_the_listener_s_own_network_has_a_threshold_that_is_checked():
    assert hear.NETWORK in IN_USE


JUDGED = {
    "winner": "the selected ensemble",
    "best single network": "one network of its kind, five seeds",
    "its seeds as an ensemble": "an ensemble of these five",
}


@pytest.mark.parametrize("what", JUDGED)
def test_the_results_say_how_accurate_the_winner_is_on_the_official_split(what):
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    found = {}
    for row in rows_of("official"):
        if row["what"] == what:
            spread = f" ± {float(row['ci95']):.1f}" if row["ci95"] else ""
            key = row["language"], row["speakers"]
            found[key] = f"{float(row['accuracy']):.1f}{spread} %"
    columns = [found["both", "all"], found["english", "all"], found["german", "all"]]
    columns += [found["both", each] for each in ("4 and 5", "others", "mean of twelve")]
    assert f"| {JUDGED[what]} | {' | '.join(columns)} |" in page


def test_the_page_names_the_speakers_for_whom_the_folds_select_otherwise():
    others = {speaker for speaker, name in WITHOUT.items() if name != SELECTED["winner"]}
    (sentence,) = re.findall(r"except for speakers (\d+) and (\d+)\. For these two", PAGE)
    assert {*map(int, sentence)} == others
    (other,) = {WITHOUT[speaker] for speaker in others}
    first, second = other.removeprefix("three seeds of ").split(" and two of ")
    assert f"three seeds of *{first}* and two of *{second}*" in PAGE


def test_official_accuracies_are_those_of_the_committed_answers():
    """The seeds of one network, counted from the answers that the sweep has stored."""
    with gzip.open(RESULTS / "judged_official_hd_predictions.csv.gz", "rt") as file:
        answers = list(csv.DictReader(file))
    by_run = {}
    for row in answers:
        by_run.setdefault(row["hash"], []).append(row["label"] == row["predicted"])
    assert len(by_run) == 5
    counted = 100 * mean([mean(right) for right in by_run.values()])
    (row,) = (
        row
        for row in rows_of("official")
        if (row["what"], row["language"], row["speakers"]) == ("best single network", "both", "all")
    )
    assert counted == pytest.approx(float(row["accuracy"]), abs=1e-6)


def on_two_folds(candidate):
    """Return a candidate's mean accuracy in the screening, as the pages write it."""
    rows = [row for row in rows_of("screening_hd") if row["candidate"] == candidate]
    assert len(rows) == 2
    return f"{mean([100 * float(row['validation_accuracy']) for row in rows]):.1f} %"


def on_ten_folds(entry):
    return f"{mean(accuracies(entry).values()):.1f} %"


def test_the_page_of_ideas_that_were_tried_has_the_accuracies_of_the_folds():
    page = (ROOT / "docs" / "tried.md").read_text(encoding="utf-8")
    found = {
        name: on_two_folds(name)
        for name in ("adaptive", "adaptive, one cycle", "adaptive, softmax", "adaptive, two layers")
    }
    augmented = on_two_folds("adaptive, augmented recordings")
    one_cycle = found["adaptive, one cycle"]
    ensembles = [
        on_ten_folds(f"three seeds of shared, two layers{more}")
        for more in ("", " and two of adaptive, augmented recordings")
    ]
    for sentence in (
        f"Two folds: {found['adaptive, softmax']} instead of {one_cycle} with the readout",
        f"Two folds, adaptive neurons: {one_cycle}, without it {found['adaptive']}.",
        f"Ten folds, small network: {on_ten_folds('small, one cycle')} instead of "
        f"{on_ten_folds('small')}.",
        f"Two folds: {found['adaptive, two layers']}. One layer of 128 has {one_cycle}, and "
        f"{augmented} with augmented recordings.",
        f"Two folds: {on_two_folds('shared')}, and with adaptive neurons "
        f"{on_two_folds('shared, adaptive')}. With a second layer "
        f"{on_two_folds('shared, two layers')}.",
        f"one network {on_ten_folds('shared, two layers')}, three as an ensemble {ensembles[0]}, "
        f"three of them and two adaptive ones {ensembles[1]}. Three adaptive ones reach "
        f"{on_ten_folds(SELECTED['winner'])}.",
        f"Ten folds: {on_ten_folds('reference')}, and the adaptive ensemble "
        f"{on_ten_folds(SELECTED['winner'])}.",
    ):
        assert sentence in page, sentence


def test_the_mean_of_twelve_speakers_is_that_of_the_small_networks_answers():
    """The script takes seeds and speakers apart; here each answer is counted."""
    seeds = {row["hash"]: row["seed"] for row in rows_of("benchmark_hd") if row["model"] == "small"}
    right = {}
    with gzip.open(RESULTS / "benchmark_hd_predictions.csv.gz", "rt", encoding="utf-8") as file:
        for row in csv.DictReader(file):
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


STUDENT_T_9 = 2.262157  # quantile for a 95 % interval over ten speakers
BASELINES = {
    "small": "small",
    "reference": "reference",
    "one adaptive network": "adaptive, augmented recordings",
    "three adaptive networks as an ensemble": SELECTED["winner"],
}


def with_interval(values):
    half = STUDENT_T_9 * statistics.stdev(values) / 10**0.5
    return f"{mean(values):.1f} ± {half:.1f} %"


def test_the_page_of_the_folds_has_our_accuracies_as_baselines():
    page = (ROOT / "docs" / "folds.md").read_text(encoding="utf-8")
    for label, entry in BASELINES.items():
        row = f"| {label} | {SIZES[entry]:,} | {with_interval([*accuracies(entry).values()])} |"
        assert f"\n{row}\n" in page, row
    nested = [accuracies(entry)[speaker] for speaker, entry in WITHOUT.items()]
    assert len(nested) == 10
    largest = max(SIZES[entry] for entry in WITHOUT.values())
    row = f"(nested) | at most {largest:,} | {with_interval(nested)} |"
    assert row in page, row
