"""What the networks make of sounds that are no digit: the committed table, and what is said of it.

The counting is plain Python and shares no code with evidence.
"""

import csv

import pytest

from evidence.non_digits import FILLED, NAMES, SURROUNDED, VOICES, WORDS, measure
from shd_corpus.class_names import LANGUAGES
from shd_corpus.microphone import encode_utterance
from shd_corpus.speech import SPEECH_RATE_HZ, synthesize
from shd_helpers.hear import Listener
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


def counts_of(network):
    """Return how many recordings of words and of other sounds a network accepts."""
    counts = []
    for is_word in (True, False):
        rows = [
            row
            for (name, sound, _), row in ROWS.items()
            if name == network and (sound in WORDS) == is_word
        ]
        accepted, recordings = (
            sum(int(row[column]) for row in rows) for column in ("accepted", "recordings")
        )
        counts.append(f"{accepted:,} of {recordings:,}")
    return counts


def test_the_documents_say_how_many_recordings_are_accepted():
    document = (ROOT / "docs" / "abstain.md").read_text(encoding="utf-8")
    cards = (RESULTS / "networks" / "README.md").read_text(encoding="utf-8")
    for network in NETWORKS:
        words, sounds = counts_of(network)
        name = "circuit" if network == "circuit" else f"*{network}*"
        assert f"| {name} | {words} | {sounds} |" in document
        if network != "circuit":
            card = cards[cards.index(f"\n## {network}\n") :]
            card = card[: card.index("\n## ", 1)]
            assert f"It accepts {words} recordings of [words that are no digit](" in card
            assert f"and {sounds} recordings of other sounds." in card


def test_the_sounds_that_are_accepted_most():
    document = (ROOT / "docs" / "abstain.md").read_text(encoding="utf-8")
    trees = [ROWS["everybody", "tree", each] for each in (FILLED, SURROUNDED)]
    accepted, recordings = (sum(int(row[it]) for row in trees) for it in ("accepted", "recordings"))
    assert {row["answer"] for row in trees} == {"three"}
    assert f"takes the word *tree* for *three* in {accepted} of {recordings} recordings" in document
    small, circuit = (ROWS[name, "falling whistle", FILLED] for name in ("small", "circuit"))
    assert small["answer"] == circuit["answer"] == "zero"
    assert (
        f"a falling whistle for *zero* in {small['accepted']} of {small['recordings']} recordings "
        f"without pauses, and its circuit in {circuit['accepted']}." in document
    )


@pytest.mark.parametrize("network", ["everybody", "small"])
def test_most_digits_of_a_speech_synthesizer_are_rejected(network):
    listener = Listener(network)
    accepted = []
    for voice in VOICES[:3]:
        for digit in LANGUAGES["english"]:
            utterance = encode_utterance(synthesize(digit, voice), SPEECH_RATE_HZ)
            accepted.append(listener.answer(utterance).accepted)
    assert sum(accepted) < len(accepted) / 2
