"""What the networks make of sounds that are no digit: the committed table, and what is said of it.

The counting is plain Python and shares no code with evidence.
"""

import csv

import pytest

from evidence.non_digits import FILLED, NAMES, SOUNDS, SURROUNDED, VOICES, WORDS, measure
from shd_corpus.class_names import LANGUAGES
from shd_helpers.paths import ROOT
from tests import RESULTS

TABLE = RESULTS / "non_digits.csv"
NETWORKS = ("circuit", "everybody", "small")
with TABLE.open(encoding="utf-8") as opened:
    ROWS = {
        (row["network"], row["sound"], row["surroundings"]): row for row in csv.DictReader(opened)
    }


def test_each_network_was_given_each_sound_in_both_surroundings():
    wanted = {
        (network, name, surroundings)
        for network in NETWORKS
        for name in NAMES
        for surroundings in (FILLED, SURROUNDED)
    }
    assert {*ROWS} == wanted
    assert not {*WORDS} & {*LANGUAGES["both"]}
    for (_, name, _), row in ROWS.items():
        n_recordings = len(VOICES) if name in WORDS else 60
        assert int(row["accepted"]) <= int(row["utterances"]) <= n_recordings
        assert int(row["recordings"]) == n_recordings
        assert bool(row["answer"]) == (row["accepted"] != "0")


def test_the_rows_of_a_word_are_measured_again():
    measured = measure(["up"], [FILLED]).astype(str)
    assert len(measured) == 3
    for row in measured.to_dict("records"):
        assert row == ROWS[row["network"], "up", FILLED]


@pytest.mark.full
def test_all_rows_are_measured_again():
    assert measure().to_csv(index=False) == TABLE.read_text(encoding="utf-8")


def cell(network, names, surroundings):
    """Return how many recordings of some sounds are accepted and, of a single sound, the answer."""
    rows = [ROWS[network, name, surroundings] for name in names]
    total = sum(int(row["accepted"]) for row in rows)
    if len(names) > 1 or not total:
        return str(total)
    return f"{total} ({rows[0]['answer']})"


def test_the_document_lists_the_sounds_of_which_many_are_accepted():
    document = (ROOT / "docs" / "abstain.md").read_text(encoding="utf-8")
    rare = []
    for name in SOUNDS:
        keys = [(network, name, s) for network in NETWORKS for s in (FILLED, SURROUNDED)]
        if max(int(ROWS[key]["accepted"]) for key in keys) <= 2:
            rare.append(name)
            assert f"| {name} |" not in document
            continue
        cells = [cell(network, [name], surroundings) for network, _, surroundings in keys]
        row = f"| {name} | {' | '.join(cells)} |\n"
        assert row in document, row
    assert f"more than two recordings of the others: {', '.join(rare)}." in document
    cells = [cell(network, WORDS, s) for network in NETWORKS for s in (FILLED, SURROUNDED)]
    row = f"| twenty English words (of {20 * len(VOICES)}) | {' | '.join(cells)} |\n"
    assert row in document, row
    total = {network: 0 for network in NETWORKS}
    for (network, _, _), row in ROWS.items():
        total[network] += int(row["accepted"])
    assert (
        f"*everybody* accepts {total['everybody']}, *small* {total['small']} and the circuit "
        f"{total['circuit']}." in document
    )
