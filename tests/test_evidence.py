"""All sweeps of the study, one after the other: stopped, resumed; and the speakers' voices."""

import sys

import numpy as np
import pandas as pd
import pytest

from shd_helpers.events.toy import write_toy
from shd_helpers.source import read_shd
from shd_helpers.source.shd_file import ENGLISH
from shd_helpers.sweeps import evidence
from shd_helpers.sweeps.clusters import Places


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
    monkeypatch.setattr(evidence, "EVIDENCE", ("a", "b"))
    status = {"a": "done", "b": "done"}

    def run(name, overrides, places):
        asked.append((name, overrides, places))
        return pd.DataFrame({"status": [status[name]]})

    monkeypatch.setattr(evidence, "run_sweep", run)
    monkeypatch.setattr(evidence, "write_voices", lambda dataset: asked.append(dataset))
    return asked, status


def test_all_sweeps_run_in_order(ran, monkeypatch):
    asked, _ = ran
    assert call(monkeypatch, "--dataset", "my data", "--workers", "3") is None
    mine, three = {"dataset": "my data"}, Places(workers=3)
    assert asked == ["my data", ("a", mine, three), ("b", mine, three)]


def test_evidence_runs_where_a_sweep_can(ran, monkeypatch):
    asked, _ = ran
    assert call(monkeypatch, "--slurm", "20", "--sbatch", "partition=cpu") is None
    assert {places for _, _, places in asked[1:]} == {Places(jobs=20, sbatch=("partition=cpu",))}


def test_a_failed_run_stops_the_rest(ran, monkeypatch):
    asked, status = ran
    status["a"] = "failed"
    assert "a: a run failed" in call(monkeypatch)
    assert asked == ["hd", ("a", {}, Places())]


def test_voices_are_medians_of_all_english_utterances_of_a_speaker(tmp_path, monkeypatch):
    monkeypatch.setenv("SHD_RESULTS_DIR", str(tmp_path / "results"))
    write_toy(tmp_path / "toy", seed=0)
    evidence.write_voices(str(tmp_path / "toy"))
    table = pd.read_csv(tmp_path / "results" / "voices_toy.csv").set_index("speaker")
    counts = {}
    for part in ("train", "test"):
        data = read_shd(tmp_path / "toy" / f"toy_{part}.h5")
        for i, speaker in enumerate(data.speakers.tolist()):
            if data.keys[data.labels[i]] in ENGLISH:
                counts.setdefault(speaker, []).append(len(data.spikes(i)[0]))
    assert table.spikes.to_dict() == {s: np.median(n) for s, n in counts.items()}
    assert table.utterances.to_dict() == {s: len(n) for s, n in counts.items()}
