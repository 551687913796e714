"""Run folders: what is written is read back, what was cut short is recognised."""

import signal
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.stats import norm

from shd_helpers.events import Downsampling, Parts, Split, load_parts
from shd_helpers.events.toy import write_toy
from shd_helpers.network import NetworkConfig, build_network
from shd_helpers.source.datasets import fingerprint, locate
from shd_helpers.source.shd_file import LANGUAGES
from shd_helpers.study import (
    accuracy_per_speaker,
    evaluation,
    handover,
    keep_network,
    load_network,
    load_predicted,
    read_network,
    record_examples,
    seen_and_unseen_accuracy,
    training,
)
from shd_helpers.study import run_folder as results
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
WHEN = ("before", "after")
EPOCH = {"epoch": 1, "train_loss": 2.0, "wall_s": 1.5}


def network():
    return spiking_network((4, 3, 2), 0.9, "atan", 2.0, torch.Generator().manual_seed(0))


def write_run(folder, finish=True, epochs=1):
    model = network()
    parameters = {"seed": 7, "language": "german", "lr": 1e-3}
    run = RunWriter(folder, parameters, {"name": "hand"}, PARTS, model)
    with torch.no_grad():
        model.fc1.weight.add_(1)
    for _ in range(epochs):
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


def test_a_run_that_is_cut_short_leaves_nothing(tmp_path):
    write_run(tmp_path / "run", finish=False)
    with pytest.raises(RunError, match=r"run\.json: no such file\. Run 03_model_training"):
        read_run(tmp_path / "run")
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_complete_run_stays_until_its_successor_is_complete(tmp_path):
    folder = tmp_path / "run"
    write_run(folder)
    (folder / "03_model_training.ipynb").write_text("executed")
    before = contents(folder)
    write_run(folder, finish=False)
    assert contents(folder) == before and read_run(folder).info["complete"] is True
    (tmp_path / ".run.unfinished" / "examples.h5.host.7.part").write_text("of a kill")
    write_run(folder, epochs=3)
    assert len(read_run(folder).epochs) == 3
    assert set(contents(folder)) == set(before)
    assert (folder / "03_model_training.ipynb").read_text() == "executed"
    assert {path.name for path in tmp_path.iterdir()} == {"run", ".run.lock"}


@pytest.mark.parametrize("n_moved", range(5))
def test_a_handover_that_was_killed_is_finished_by_whoever_comes_next(
    tmp_path, monkeypatch, n_moved
):
    """A stand-in for the kill: the move of the next file fails."""
    folder, moved = tmp_path / "run", []
    real = type(folder).replace

    def replace_file(path, target):
        if path.parent.name == ".run.unfinished" and target.parent == folder:
            if len(moved) == n_moved:
                raise OSError("killed")
            moved.append(path)
        return real(path, target)

    write_run(folder)
    with monkeypatch.context() as patch:
        patch.setattr(type(folder), "replace", replace_file)
        with pytest.raises(RunError, match=r"killed.*complete run waits in"):
            write_run(folder, epochs=2)
    assert len(moved) == n_moved
    run = read_run(folder)
    assert len(run.epochs) == 2 and len(run.weights["fc1/weight"]) == 3
    assert not (tmp_path / ".run.unfinished").exists()


def test_a_second_writer_is_refused_while_the_first_one_writes(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    code = (
        "import sys, tests.test_run_folder as t\n"
        "from pathlib import Path\n"
        "run = t.RunWriter(Path(sys.argv[1]), {'seed': 0}, {}, t.PARTS, t.network())\n"
        "run.epoch(t.network(), t.EPOCH)\n"
        "print('begun', flush=True)\n"
        "sys.stdin.read()\n"
        "run.finish(t.network(), {}, t.PREDICTIONS, {}, {})\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=results.ROOT,
    ) as first:  # fmt: skip
        assert first.stdout.readline() == b"begun\n"
        monkeypatch.setattr(handover, "WAIT_S", 0.1)
        with pytest.raises(RunError, match=r"run: another process writes this run\."):
            write_run(folder)
        first.stdin.close()
    assert first.returncode == 0 and len(read_run(folder).epochs) == 1
    write_run(folder, epochs=2)
    assert len(read_run(folder).epochs) == 2


def test_a_run_that_another_replaces_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    """Its arrays and predictions are then of the other one, whose accuracy differs."""
    folder, real, then = tmp_path / "run", results.read_arrays, []
    write_run(folder)

    def read_arrays(path):
        if not then:
            then.append(path)
            run = RunWriter(folder, {"seed": 8}, {}, PARTS, network())
            right = PREDICTIONS.assign(predicted=PREDICTIONS.label)
            run.finish(network(), {"test": 1.0}, right, {}, {})
        return real(path)

    monkeypatch.setattr(results, "read_arrays", read_arrays)
    run = read_run(folder)
    assert run.info["seed"] == 8 and run.info["scores"] == {"test": 1.0}
    (folder / "predictions.csv").write_text(PREDICTIONS.to_csv(index=False))
    with pytest.raises(RunError, match=r"predictions\.csv: damaged"):
        read_run(folder)  # nobody writes now


def test_in_one_process_the_second_writer_takes_the_place_of_the_first(tmp_path):
    """So that a notebook's cell can be run again."""
    first = RunWriter(tmp_path / "run", {"seed": 0}, {}, PARTS, network())
    second = RunWriter(tmp_path / "run", {"seed": 1}, {}, PARTS, network())
    with pytest.raises(RunError, match="a later one took its place"):
        first.epoch(network(), EPOCH)
    second.finish(network(), {}, PREDICTIONS, {}, {})
    assert read_run(tmp_path / "run").info["seed"] == 1
    with pytest.raises(RunError, match="has ended"):
        second.epoch(network(), EPOCH)


def test_numbers_that_are_not_finite_are_no_run(tmp_path):
    folder = tmp_path / "run"
    write_run(folder)
    run = RunWriter(folder, {"seed": 9}, {}, PARTS, network())
    with pytest.raises(RunError, match="run: a parameter, loss, score or cost is no finite number"):
        run.epoch(network(), EPOCH | {"train_loss": float("nan")})
    with pytest.raises(RunError, match="no finite number"):
        run.finish(network(), {"test": float("nan")}, PREDICTIONS, {}, {})
    assert read_run(folder).info["seed"] == 7


@pytest.mark.parametrize("what", ["folder", "run.json"])
def test_what_is_in_the_way(tmp_path, what):
    folder = tmp_path / "run"
    if what == "folder":
        folder.write_text("a file")
        with pytest.raises(RunError, match="can't be written"):
            write_run(folder)
        return
    (folder / what).mkdir(parents=True)
    with pytest.raises(RunError, match=r"run\.json: damaged"):
        read_run(folder)
    with pytest.raises(RunError, match=r"complete run waits in .*\.run\.unfinished"):
        write_run(folder)
    (folder / what).rmdir()
    assert len(read_run(folder).epochs) == 1


@pytest.mark.parametrize("content", ["", '{"complete": tr', "[]", "{}"])
def test_damaged_run(tmp_path, content):
    (tmp_path / "run.json").write_text(content)
    with pytest.raises(RunError, match="damaged"):
        read_run(tmp_path)


def test_missing_run(tmp_path):
    with pytest.raises(RunError, match="no such file"):
        read_run(tmp_path / "absent")


def test_killed_while_it_runs(tmp_path):
    """SIGKILL before and after a file gets its name: the run before stays, or the new one is whole.

    One process imports everything, and its forks are killed.
    """
    code = (
        "import os, signal, sys, tests.test_run_folder as t\n"
        "from pathlib import Path\n"
        "real = Path.replace\n"
        "def run(folder, at, moment):\n"
        "    run = t.RunWriter(folder, {'seed': 0}, {}, t.PARTS, t.network())\n"
        "    def killed(path, target):\n"
        "        if moment == 'after': real(path, target)\n"
        "        if str(target).endswith(at): os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return real(path, target) if moment == 'before' else target\n"
        "    Path.replace = type(folder).replace = killed\n"
        "    run.epoch(t.network(), t.EPOCH)\n"
        "    run.finish(t.network(), {}, t.PREDICTIONS, {}, {})\n"
        "for place in sorted(Path(sys.argv[1]).iterdir()):\n"
        "    if not (pid := os.fork()):\n"
        "        run(place / 'run', *place.name.split())\n"
        "        os._exit(0)\n"
        "    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    cases = [(at, moment) for at in ("weights.h5", "run.json") for moment in WHEN]
    for at, moment in cases:
        write_run(tmp_path / f"{at} {moment}" / "run")
    command = [sys.executable, "-c", code, str(tmp_path)]
    ended = subprocess.run(command, check=True, cwd=results.ROOT, capture_output=True, text=True)
    assert ended.stdout.split() == [str(-signal.SIGKILL)] * len(cases)
    for at, moment in cases:
        place = tmp_path / f"{at} {moment}"
        assert read_run(place / "run").info["seed"] == 7 * ((at, moment) != ("run.json", "after"))
        write_run(place / "run")  # the lock is free
        assert len(read_run(place / "run").epochs) == 1


@pytest.mark.slow
def test_twenty_kills_at_random_moments_lose_no_complete_run(tmp_path):
    """Every run has its own number in all of its files, so that a mixture would be seen."""
    code = (
        "import os, random, signal, sys, time, torch, tests.test_run_folder as t\n"
        "from pathlib import Path\n"
        "folder, drawn = Path(sys.argv[1]), random.Random(0)\n"
        "def run(number):\n"
        "    model = t.network()\n"
        "    for p in model.parameters(): p.data.fill_(number)\n"
        "    run = t.RunWriter(folder, {'seed': number}, {}, t.PARTS, model)\n"
        "    for _ in range(4): run.epoch(model, t.EPOCH)\n"
        "    run.finish(model, {}, t.PREDICTIONS.assign(row=number), {}, {})\n"
        "run(0); kept = 1\n"
        "start = time.monotonic(); run(1); span = time.monotonic() - start\n"
        "for kill in range(2, 22):\n"
        "    if not (pid := os.fork()):\n"
        "        while True: run(kill)\n"
        "    time.sleep(drawn.uniform(0, 2 * span))\n"
        "    os.kill(pid, signal.SIGKILL); os.waitpid(pid, 0)\n"
        "    found = t.read_run(folder)\n"
        "    number = found.info['seed']\n"
        "    assert number in (kill, kept), (kill, number)\n"
        "    assert (found.weights['fc1/weight'] == number).all()\n"
        "    assert len(found.weights['fc1/weight']) == 5 == len(found.epochs) + 1\n"
        "    assert (found.predictions.row == number).all()\n"
        "    kept = number\n"
        "    print(number)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    ended = subprocess.run(command, check=False, cwd=results.ROOT, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    assert len(ended.stdout.splitlines()) >= 20


def test_accuracy_is_none_where_nobody_is():
    events = replace(random_events(4, 5, 4, 2, 0.1), speakers=np.array([0, 0, 1, 5]))
    scores = torch.nn.functional.one_hot(torch.from_numpy(events.labels), 2).float()
    scores[[1, 3]] = scores[[1, 3]].flip(1)  # the second and the last are wrong
    tested = evaluation.Evaluation(None, events, scores, np.zeros((4, 2)))
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
        {"n_delays": 3},
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
    written = read_run(tmp_path)
    keep_network(written, tmp_path / "networks" / "mine_1.npz")
    kept = read_network(tmp_path / "networks" / "mine_1.npz")
    want = training.evaluate(model, events).class_scores
    for loaded in (load_network(written), kept.network):
        assert torch.equal(training.evaluate(loaded, events).class_scores, want) and want.any()
    assert kept.grid == grid and kept.class_names == LANGUAGES["english"]


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
