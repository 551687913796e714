"""SE-adLIF's published network on the folds: interrupted training, and its row."""

import numpy as np
import pandas as pd
import pytest

from engine_examples.se_adlif import counted
from evidence import se_adlif
from shd_helpers.events import Events
from shd_helpers.paths import ROOT

NAMES = tuple(map(str, range(20)))


def small_events():
    """Return 20 utterances by ten speakers."""
    rng = np.random.default_rng(0)
    utterance, steps, units = np.nonzero(rng.random((20, 20, 14)) < 0.3)
    offsets = np.searchsorted(utterance, np.arange(21))
    labels = np.arange(20)
    return Events(steps, units, offsets, labels, labels // 2, NAMES, n_steps=20, n_units=14)


@pytest.fixture
def answers_of(tmp_path, monkeypatch):
    """Return a function that trains fold 1 for some numbers of epochs, one after the other."""

    def train(name, *stops):
        monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path / name))
        for epochs in stops:
            se_adlif.train(1, epochs, small_events())
        weights = se_adlif.torch.load(se_adlif.state_of(1))["network"]
        return pd.read_csv(se_adlif.answers_of(1, stops[-1])), weights

    return train


def test_an_interrupted_fold_goes_on_as_if_nothing_had_happened(answers_of):
    answers, weights = answers_of("interrupted", 1, 3)
    of_one, wanted = answers_of("uninterrupted", 3)
    assert {*answers.speaker} == {1, 6} and answers.equals(of_one)
    for name, value in weights.items():
        assert value.equal(wanted[name]), name


def test_the_row_has_the_mean_over_speakers(tmp_path, monkeypatch):
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path))
    monkeypatch.setenv("SHD_RESULTS_DIR", str(tmp_path))
    before = pd.read_csv(ROOT / "results" / "published.csv", dtype=str)
    before = before[before.network != se_adlif.NAME]
    before.to_csv(tmp_path / "published.csv", index=False)
    with pytest.raises(SystemExit, match="Train all folds first"):
        se_adlif.write_row()
    first, last = se_adlif.PLAN["epochs"]
    for fold in range(5):
        path = se_adlif.answers_of(fold, first)
        path.parent.mkdir(exist_ok=True)
        speakers = [fold, fold, fold + 5]  # the second speaker of each fold has one utterance
        answers = {"speaker": speakers, "label": 0, "answer": [0, 1, 0]}
        pd.DataFrame(answers).to_csv(path, index=False)
    # a fold alone changes nothing
    pd.DataFrame(answers).to_csv(se_adlif.answers_of(0, last), index=False)
    se_adlif.write_row()
    counts = pd.read_csv(tmp_path / "se_adlif.csv")
    assert {*counts.epochs} == {first} and len(counts) == 10
    assert counts.right.tolist() == [1] * 10 and counts.utterances.tolist() == [2, 1] * 5
    after = pd.read_csv(tmp_path / "published.csv", dtype=str)
    assert after[:-1].equals(before.reset_index(drop=True))
    row = after.iloc[-1]
    assert row.accuracy == "75.0" and row.parameters == "450020"
    # ten speakers, deviation sqrt(10 * 25**2 / 9), Student's t of nine degrees of freedom
    assert row.spread == f"{2.262157 * np.sqrt(10 * 25**2 / 9) / np.sqrt(10):.1f}"
    assert row.same_network_as == "adaptive LIF (Baronig et al. 2025)"
    assert f"changed: {first} of 300 epochs" in row.note


def test_spikes_are_counted_in_blocks_of_five_channels_and_four_ms():
    steps = np.array([7, 7, 8, 10, 11, 15])
    units = np.array([0, 4, 3, 0, 5, 699])
    zero = np.array([0])
    events = Events(steps, units, np.array([0, 6]), zero, zero, NAMES, n_steps=1000, n_units=700)
    frames = counted(events).to_frames([0])[:, 0]
    assert frames.shape == (250, 140) and frames.sum() == 6
    assert frames[0, 0] == 4 and frames[1, 1] == 1 and frames[2, 139] == 1
