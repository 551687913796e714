"""What the ten folds have selected, computed again from the committed tables by plain loops."""

import csv
import gzip
import math
import re

import h5py
import pytest

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


def answers_of(scores, label, names):
    """Return confidence and correctness of an utterance, classified in its own language."""
    language = next(words for words in LANGUAGES.values() if names[label] in words)
    own = [k for k, name in enumerate(names) if name in language]
    best = max(own, key=lambda k: scores[k])
    if max(scores) > scores[best]:
        return None, best == label
    total = sum(math.exp(scores[k] - scores[best]) for k in own)
    return 1 / total, best == label


def small_answers(file_name):
    """Return the small network's answers by held-out speaker."""
    hashes = {
        row["hash"]: int(row["validation_speakers"])
        for row in rows_of("selection_today_hd")
        if row["candidate"] == "small"
    }
    found = {}
    with h5py.File(RESULTS / file_name) as file:
        for run, speaker in hashes.items():
            names = [str(name) for name in file[run].attrs["class_names"]]
            rows = zip(file[run]["scores"][:].tolist(), file[run]["label"][:].tolist(), strict=True)
            found[speaker] = [answers_of(scores, label, names) for scores, label in rows]
    return found


def share_right(answers, threshold):
    """Return which shares of the utterances are accepted, and of these are right."""
    accepted = [is_right for sure, is_right in answers if sure is not None and sure >= threshold]
    return len(accepted) / len(answers), mean(accepted)


def test_thresholds_of_the_small_network_are_the_lowest_that_nine_speakers_give():
    augmented = small_answers("selection_today_hd_augmented_scores.h5")
    clean = small_answers("selection_today_hd_scores.h5")
    rows = [row for row in rows_of("fold_thresholds") if row["network"] == "small"]
    assert len(rows) == 20
    for row in rows:
        speaker, threshold = int(row["speaker"]), float(row["confidence_threshold"])
        others = [each for other, own in augmented.items() if other != speaker for each in own]
        # the table rounds to four decimals
        assert share_right(others, threshold)[1] == pytest.approx(0.97, abs=0.001)
        own = (augmented if row["sound"] == "augmented" else clean)[speaker]
        accepted, right = share_right(own, threshold)
        assert accepted == pytest.approx(float(row["accepted"]), abs=0.01), row
        assert right == pytest.approx(float(row["correct"]), abs=0.01), row


def test_the_results_say_what_the_threshold_of_the_folds_gives():
    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    told = {}
    for network in (SELECTED["winner"], "reference"):
        rows = [
            row
            for row in rows_of("fold_thresholds")
            if row["network"] == network and row["sound"] == "augmented"
        ]
        assert len(rows) == 10
        right = [100 * float(row["correct"]) for row in rows]
        accepted = mean([100 * float(row["accepted"]) for row in rows])
        told[network] = f"{accepted:.0f}", f"{mean(right):.1f}", f"{min(right):.1f}"
    accepted, right, worst = told[SELECTED["winner"]]
    sentence = (
        f"answers {accepted} % of them, and {right} % of these answers are right, or {worst} %"
    )
    assert sentence in page
    accepted, right, _ = told["reference"]
    assert f"The reference answers {accepted} %, and {right} % of these are right." in page


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
    columns += [found["both", "4 and 5"], found["both", "others"]]
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
