"""Run folders: what is written is read back, what was cut short is recognised."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm

from shd_helpers.events import Augmentation, Downsampling, Parts, Split, load_parts
from shd_helpers.events.toy import write_toy
from shd_helpers.network import NetworkConfig, build_network
from shd_helpers.paths import NOTEBOOKS
from shd_helpers.source.datasets import fingerprint, locate
from shd_helpers.study import (
    accuracy_per_speaker,
    load_network,
    load_predicted,
    record_examples,
    seen_and_unseen_accuracy,
    settings,
    training,
)
from shd_helpers.study import run_folder as results
from shd_helpers.study.identity import notebook_parameters
from shd_helpers.study.run_folder import RunError, RunWriter, read_run
from tests.networks import spiking_network
from tests.test_engine import random_events

EVENTS = random_events(8, 5, 4, 2, 0.1)
EVENTS = replace(EVENTS, speakers=np.arange(8) % 2)
PARTS = Parts(EVENTS.take(np.arange(4)), EVENTS.take(np.arange(4, 8)), None)
PREDICTIONS = pd.DataFrame(
    {
        "utterance": range(4),
        "speaker": [0, 0, 1, 5],
        "label": ["null", "eins", "null", "null"],
        "predicted": ["null", "null", "null", "eins"],
        "input_events": [5, 6, 7, 8],
        "hidden_spikes": [1, 2, 3, 4],
        "output_spikes": [1, 1, 1, 0],
    }
)
EPOCH = {"epoch": 1, "train_loss": 2.0, "wall_s": 1.5}


def network():
    return spiking_network((4, 3, 2), 0.9, "atan", 2.0, torch.Generator().manual_seed(0))


def write_run(folder, finish=True):
    model = network()
    parameters = {"seed": 7, "language": "german", "lr": 1e-3}
    run = RunWriter(folder, parameters, {"name": "hand"}, PARTS, model)
    with torch.no_grad():
        model.fc1.weight.add_(1)
    run.epoch(model, EPOCH)
    if finish:
        scores = {"test": 0.5, "test_seen": 2 / 3, "test_unseen": 0}
        examples = {"null": {"spk": np.eye(3, dtype=bool)}}
        run.finish(model, scores, PREDICTIONS, examples, {"parameters": 57})
    return model


def test_run_folder_is_read_back(tmp_path):
    model = write_run(tmp_path / "a run")
    run = read_run(tmp_path / "a run")
    assert run.info["parameters"] == {"seed": 7, "language": "german", "lr": 1e-3}
    assert run.info["seed"] == 7 and run.info["seen_speakers"] == [0, 1]
    assert run.info["scores"] == {
        "test": 0.5,
        "test_seen": pytest.approx(2 / 3),
        "test_unseen": 0,
    }
    assert run.info["wall_s"]["training"] == 1.5
    assert run.info["versions"]["torch"] == version("torch")
    assert run.epochs.train_loss.tolist() == [2.0]
    assert run.weights["fc1/weight"].shape == (2, 3, 4)
    np.testing.assert_allclose(np.diff(run.weights["fc1/weight"], axis=0), 1, rtol=1e-6)
    np.testing.assert_array_equal(run.weights["fc2/weight"][1], model.fc2.weight.detach())
    # the German word "null" is a word, not a missing value
    pd.testing.assert_frame_equal(run.predictions, PREDICTIONS)
    np.testing.assert_array_equal(run.examples["null"]["spk"], np.eye(3, dtype=bool))
    assert run.source == "data: hand, german; seed 7"
    loaded = network()
    loaded.load_state_dict(torch.load(tmp_path / "a run" / "state_dict.pt", weights_only=True))
    assert torch.equal(loaded.fc1.weight, model.fc1.weight)


def test_half_written_run_is_recognised(tmp_path):
    write_run(tmp_path, finish=False)
    assert json.loads((tmp_path / "run.json").read_text())["epochs"] == [EPOCH]
    with pytest.raises(RunError, match="cut short after 1 epochs") as error:
        read_run(tmp_path)
    assert str(tmp_path) in str(error.value) and "03_model_training" in str(error.value)


def test_starting_again_marks_the_old_run_incomplete(tmp_path):
    write_run(tmp_path)
    write_run(tmp_path, finish=False)
    with pytest.raises(RunError, match="cut short"):
        read_run(tmp_path)


@pytest.mark.parametrize("content", ["", '{"complete": tr', "[]", "{}"])
def test_damaged_run(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError, match="damaged"):
        read_run(tmp_path)


def test_missing_run(tmp_path):
    with pytest.raises(RunError, match="no such file"):
        read_run(tmp_path / "absent")


def test_killed_while_it_runs(tmp_path):
    """SIGKILL at any write leaves a readable, incomplete run.json and a whole weights.h5."""
    code = (
        "import os, signal, sys, tests.test_run_folder as t\n"
        "from pathlib import Path\n"
        "import shd_helpers.study.run_folder as r\n"
        "model = t.network()\n"
        "run = r.RunWriter(Path(sys.argv[1]), {'seed': 0}, {}, t.PARTS, model)\n"
        "run.epoch(model, t.EPOCH)\n"
        "real = r.h5py.File.__setitem__\n"
        "def killed(self, *a):\n"
        "    real(self, *a); self.flush(); os.kill(os.getpid(), signal.SIGKILL)\n"
        "r.h5py.File.__setitem__ = killed\n"
        "run.epoch(model, t.EPOCH)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], check=False, cwd=results.ROOT
    )
    assert ended.returncode == -signal.SIGKILL
    info = json.loads((tmp_path / "run.json").read_text())
    assert info["complete"] is False and len(info["epochs"]) == 1
    with h5py.File(tmp_path / "weights.h5") as file:
        assert file["fc1/weight"].shape == (2, 3, 4)  # initial and first epoch


def test_accuracy_is_none_where_nobody_is():
    events = replace(random_events(4, 5, 4, 2, 0.1), speakers=np.array([0, 0, 1, 5]))
    scores = torch.nn.functional.one_hot(torch.from_numpy(events.labels), 2).float()
    scores[[1, 3]] = scores[[1, 3]].flip(1)  # the second and the last are wrong
    tested = training.Evaluation(None, events, scores, np.zeros((4, 2)))
    third = pytest.approx(2 / 3)
    for seen, wanted in (
        ([0, 1], (0.5, third, 0.0)),
        ([0, 1, 5], (0.5, 0.5, None)),
        ([9], (0.5, None, 0.5)),
    ):
        found = seen_and_unseen_accuracy(tested, seen)
        assert found == dict(zip(("test", "test_seen", "test_unseen"), wanted, strict=True))
    assert set(seen_and_unseen_accuracy(None, [0]).values()) == {None}


def test_accuracy_per_speaker_with_wilson_interval():
    table = accuracy_per_speaker(PREDICTIONS, [0, 1])
    assert table.speaker.tolist() == [0, 1, 5]
    assert table.seen.tolist() == [True, True, False]
    assert table.accuracy.tolist() == [50, 100, 0]
    z, p, n = norm.ppf(0.975), 0.5, 2  # Wilson (1927), by its formula
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert table.low[0] == pytest.approx(100 * (centre - half))
    assert table.high[0] == pytest.approx(100 * (centre + half))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"learn_beta": True, "learn_threshold": True, "readout": "membrane"},
        {"n_delays": 3, "delay_ms": 40.0},
        {"kernel_size": 30, "stride": 9},
        {"network": "convolutional"},
    ],
)
def test_network_of_a_run_folder_classifies_as_before(tmp_path, options):
    events, grid = random_events(9, 100, 183, 10, 0.2), Downsampling(pool_steps=10)
    config = NetworkConfig(beta=0.8, surrogate="atan", slope=3.0, n_hidden=12, **options)
    generator = torch.Generator().manual_seed(1)
    model = build_network(config, grid.n_units, 10, grid.step_ms, generator)
    parameters = {"seed": 1, "language": "english", **vars(grid), **vars(config)}
    run = RunWriter(tmp_path, parameters, {"name": "hand"}, PARTS, model)
    training.overfit(model, events, 5)
    run.epoch(model, EPOCH)
    run.finish(model, {}, PREDICTIONS, record_examples(model, events), {})
    loaded = load_network(read_run(tmp_path))
    ours, want = (training.evaluate(m, events).class_scores for m in (loaded, model))
    assert torch.equal(ours, want) and want.any()


@pytest.mark.parametrize("score_test", [True, False])
def test_predicted_utterances_are_found_again(tmp_path, data_dir, score_test):
    write_toy(tmp_path, seed=0)
    files = locate(str(tmp_path))
    grid = Downsampling(pool_units=50, pool_steps=100)
    split = Split(protocol="leave_one_out", held_out=1, score_test=score_test)
    p = {"dataset": str(tmp_path), "language": "english", "seed": 3, **vars(grid), **vars(split)}
    parts = load_parts(files, grid, "english", split, 3)
    evaluated = parts.test if score_test else parts.validation
    model = build_network(NetworkConfig(), grid.n_units, 10, grid.step_ms, torch.Generator())
    run = RunWriter(tmp_path / "run", p, fingerprint(files), parts, model)
    run.finish(model, {}, training.evaluate(model, evaluated).predictions(), {}, {})
    found = read_run(tmp_path / "run")
    events = load_predicted(found)
    assert found.predictions.row.tolist() == events.rows.tolist()
    assert found.predictions.part.tolist() == [("train", "test")[k] for k in events.part]
    listed = pd.read_csv(tmp_path / "run" / "utterances.csv.gz", keep_default_na=False)
    assert len(listed) == (170 if score_test else 117)
    of_role = listed[listed.role == ("test" if score_test else "validation")]
    assert of_role.row.tolist() == events.rows.tolist()
    write_toy(tmp_path, seed=1)
    with pytest.raises(RunError, match="not the data of"):
        load_predicted(found)


@pytest.mark.parametrize(
    "kind", [Downsampling, Split, NetworkConfig, training.TrainConfig, Augmentation]
)
def test_the_notebook_s_defaults_are_those_of_the_settings(kind):
    defaults = notebook_parameters(NOTEBOOKS / "03_model_training.ipynb")
    assert settings(kind, defaults) == kind()
