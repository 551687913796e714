"""A small version of the kinds of attack, and what the committed table says of all of them."""

import csv
import os

import pytest

from shd_corpus import speech
from tests import RESULTS
from tests.attack_kinds import COLUMNS, KINDS, attack


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """Undo afterwards what attacks set in this process, so that no later test sees it."""
    monkeypatch.setattr(speech, "make_spoken", speech.make_spoken)
    for folder in ("RUNS", "DATA", "RESULTS", "IMG"):
        monkeypatch.setenv(f"SHD_{folder}_DIR", "")


QUICK = {  # these need no trained network and no program
    "impossible values in tables",
    "thresholds that no neuron can have",
    "bits of a pretrained network",
    "names of circuits",
    "shares of a sweep",
    "recordings that are cut off",
    "columns of another kind",
    "archives that are too large or lead outside",
    "notes and files of the user in an exported folder",
}


def test_an_attempt_of_each_quick_kind_ends_clearly():
    chosen = [each for each in KINDS if each.name in QUICK]
    assert len(chosen) == len(QUICK)
    for name, counts in attack(chosen, seed=0, most=1).items():
        assert {*counts.outcomes} <= {"refused", "completed"}, f"{name}: {counts.bad}"


def test_attacks_leave_nothing_behind_in_this_process():
    """The fixture must restore what `Home` replaces: see `random_attacks.Home.make`."""
    assert speech.make_spoken.__module__ == speech.__name__
    assert os.environ["SHD_RUNS_DIR"] == ""


def test_the_committed_table_has_all_kinds_and_all_ended_clearly():
    with (RESULTS / "attacks.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [*rows[0]] == [*COLUMNS]
    assert [row["kind"] for row in rows] == [each.name for each in KINDS]
    assert len(rows) >= 30
    for row in rows:
        ended = {name: int(row[name]) for name in COLUMNS[2:-1]}
        assert 1 <= ended["attempts"] <= 10, row
        assert ended["refused"] + ended["completed"] == ended["attempts"], row


@pytest.mark.slow
def test_a_few_attempts_in_a_trained_study_end_clearly():
    names = ("a kill at a random moment", "links in the place of tables", "damaged files")
    chosen = [each for each in KINDS if each.name in names]
    for name, counts in attack(chosen, seed=100, most=2).items():
        assert {*counts.outcomes} <= {"refused", "completed"}, f"{name}: {counts.bad}"
