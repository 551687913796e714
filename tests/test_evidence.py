"""All sweeps of the study, one after the other: stopped, resumed, counted."""

import sys

import pandas as pd
import pytest

from shd_helpers.study.tables import RESULTS
from shd_helpers.sweeps import evidence
from shd_helpers.sweeps.runner import run_sweep
from shd_helpers.sweeps.spec import read_sweep


def call(monkeypatch, *arguments):
    """Run the command; return its exit status or message, None where it ends well."""
    monkeypatch.setattr(sys, "argv", ["evidence", *arguments])
    try:
        evidence.main()
    except SystemExit as end:
        return end.code


@pytest.fixture
def ran(monkeypatch):
    """What was asked for, in order; no sweep is run."""
    asked = []
    monkeypatch.setattr(evidence, "SWEEPS", ("a", "b", "c"))
    monkeypatch.setattr(evidence, "COUNTED", {"b": None})
    status = {"a": "done", "b": "done", "c": "done"}

    def run(name, overrides, workers):
        asked.append((name, overrides, workers))
        return pd.DataFrame({"status": [status[name]]})

    monkeypatch.setattr(evidence, "run_sweep", run)
    monkeypatch.setattr(evidence, "count", lambda name, overrides: asked.append("counted"))
    return asked, status


def test_all_sweeps_run_and_some_are_counted(ran, monkeypatch):
    asked, _ = ran
    assert call(monkeypatch, "--dataset", "hd", "--workers", "3") is None
    assert asked == [
        ("a", {"dataset": "hd"}, 3), ("b", {"dataset": "hd"}, 3), "counted",
        ("c", {"dataset": "hd"}, 3),
    ]  # fmt: skip


def test_a_failed_run_stops_the_rest(ran, monkeypatch):
    asked, status = ran
    status["b"] = "failed"
    assert "b: a run failed" in call(monkeypatch)
    assert asked == [("a", {}, None), ("b", {}, None)]


def test_what_is_counted_is_what_the_notebook_reads():
    """The tables that are committed, by name and columns."""
    for sweep, (what, columns) in evidence.COUNTED.items():
        table = pd.read_csv(RESULTS / f"{sweep}_fsdd_spikes_{what}.csv")
        assert table.columns.tolist() == [*columns, "utterances", "correct"]


def test_counts_are_written_beside_the_table(home, monkeypatch):
    home.write(grid={"x": [1.0]}, seeds=[0])
    (run,) = read_sweep(home.yaml).runs
    home.finish(run, predicted=["one", "one"])
    run_sweep(home.yaml, progress=False)
    rows = pd.read_csv(home.table).assign(dataset="digits", language="english")
    rows.to_csv(home.table, index=False)
    monkeypatch.setitem(evidence.COUNTED, str(home.yaml), ("by_speaker", ("seed", "speaker")))
    evidence.count(str(home.yaml), {})
    counted = pd.read_csv(home.table.with_name("trial_by_speaker.csv"))
    assert counted.to_dict("list") == {
        "seed": [0, 0], "speaker": [3, 5], "utterances": [1, 1], "correct": [1, 0],
    }  # fmt: skip
