"""What the ten folds have selected, computed again from the committed tables by plain loops."""

import csv
import re

import pytest

from shd_helpers.sweeps.sweep_file import SWEEPS, read_yaml
from tests import RESULTS

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
