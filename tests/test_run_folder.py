"""Run folders: what is written is read back, what was cut short is recognized."""

import errno
import io
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version

import numpy as np
import pandas as pd
import pytest
import torch

from corpus_tests.damage import damages
from shd_helpers.data import fingerprint, obtain
from shd_helpers.events import Downsampling, Split, load_subsets
from shd_helpers.network import NetworkConfig, build_network
from shd_helpers.paths import ROOT
from shd_helpers.settings import setting_names
from shd_helpers.study import (
    load_network,
    load_utterances,
    seen_and_unseen_accuracy,
    training,
)
from shd_helpers.study.one_run import RunWriter
from shd_helpers.study.run_folder import RunError, read_run
from tests.builders.events import random_events
from tests.builders.run_folders import EPOCH, PARTS, PREDICTIONS, network, write_run
from tests.toy import write_toy

# what Python tells a hook before it is done; the rest of a writer's work leaves the names alone
OPERATIONS = {"open", "os.rename", "os.mkdir", "os.remove", "os.rmdir"}


def epochs_of(folder):
    """Return how many epochs a run folder has, if all its files agree; 0 if there is no run."""
    if not (folder / "run.json").exists():
        return 0
    run = read_run(folder)
    n = len(run.epochs)
    assert len(run.weights["fc1/weight"]) == n + 1 and (run.predictions.row == n).all()
    np.testing.assert_array_equal(run.weights["fc1/weight"][-1], run.state["fc1.weight"])
    assert run.examples["null"]["n"] == n
    return n


def test_run_folder_is_read_back(tmp_path):
    write_run(tmp_path / "a run", finish=False)
    with pytest.raises(RunError, match=r"run\.json: no such file\. Run 03_model_training"):
        read_run(tmp_path / "a run")
    (tmp_path / "a run" / "a.png").write_text("a figure")
    model = write_run(tmp_path / "a run")
    run = read_run(tmp_path / "a run")
    assert (run.folder / "a.png").read_text() == "a figure"
    assert run.info["parameters"] == {"seed": 7, "language": "german", "lr": 1e-3}
    assert run.info["seed"] == 7 and run.info["seen_speakers"] == [0, 1]
    assert run.info["scores"] == {"test": 0.5, "test_seen": 2 / 3, "test_unseen": 0}
    assert run.info["wall_s"]["training"] == 1.5
    assert run.info["versions"]["torch"] == version("torch")
    assert run.epochs.train_loss.tolist() == [2.0]
    assert run.weights["fc1/weight"].shape == (2, 3, 4)
    np.testing.assert_allclose(np.diff(run.weights["fc1/weight"], axis=0), 1, rtol=1e-6)
    np.testing.assert_array_equal(run.weights["fc2/weight"][1], model.fc2.weight.detach())
    # the German word "null" is a word, not a missing value
    pd.testing.assert_frame_equal(run.predictions, PREDICTIONS.assign(row=1))
    np.testing.assert_array_equal(run.examples["null"]["spk"], np.eye(3, dtype=bool))
    assert run.source == "data: hand, 2 classes; seed 7"
    loaded = network()
    loaded.load_state_dict(run.state)
    assert torch.equal(loaded.fc1.weight, model.fc1.weight)


def interrupter(left, way):
    """Return a hook that kills before the next file operation but `left`, or refuses from there."""

    def hook(event, arguments):
        nonlocal left
        if event in OPERATIONS and (event != "open" or "run" in str(arguments[0])):
            left -= 1
            takes_room = event == "os.mkdir" or (event == "open" and arguments[2] & os.O_CREAT)
            if left < 0 and way == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if left < 0 and takes_room:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    return hook


def interrupt(folder, way):
    """Interrupt a writer before each of its file operations in turn; print what was found."""
    number = 0
    ended = None
    while ended != 0:
        shutil.rmtree(folder.parent, ignore_errors=True)
        write_run(folder)
        (folder / "img").mkdir()
        (folder / "img" / "a.png").write_text("a figure")
        if not (pid := os.fork()):
            sys.addaudithook(interrupter(number, way))
            try:
                write_run(folder, epochs=2)
            except (OSError, RunError) as error:
                os._exit(1 if os.strerror(errno.ENOSPC) in str(error) else 2)
            os._exit(0)
        number += 2  # of several dozen
        ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        print(way, ended, epochs_of(folder), sep=",")
        assert (folder / "img" / "a.png").read_text() == "a figure"
        write_run(folder, epochs=3)  # the lock is free
        assert epochs_of(folder) == 3 and not (folder / ".unfinished").exists()
        assert {path.name for path in folder.parent.iterdir()} == {"run", ".run.lock"}


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """What `interrupt` prints, in another process: a fork of pytest may hang."""
    code = (
        "import sys, tests.test_run_folder as t\n"
        "from pathlib import Path\n"
        "from shd_helpers.study import one_run\n"
        "one_run._git_commit = str  # takes longer than all else\n"
        "folder = Path(sys.argv[1]) / 'home' / 'run'\n"
        "t.interrupt(folder, 'killed')\n"
        "t.interrupt(folder, 'disk full')\n"
    )
    command = [sys.executable, "-c", code, tmp_path_factory.mktemp("runs")]
    # also where pytest was typed by hand, and only its own process knows where the packages are
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    ended = subprocess.run(command, cwd=ROOT, env=os.environ | path, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    names = ["way", "exit", "epochs"]
    return pd.read_csv(io.StringIO(ended.stdout), names=names).set_index("way")


@pytest.mark.parametrize(("way", "code"), [("killed", -signal.SIGKILL), ("disk full", 1)])
def test_whenever_a_writer_is_interrupted_a_run_is_complete_or_absent(found, way, code):
    """It is absent after a kill while the new files take the places of the old ones."""
    *exits, last = found.exit[way]
    assert len(exits) > 5 and set(exits) == {code} and last == 0
    epochs = found.epochs[way].tolist()
    in_order = [each for each in (1, 0, 2) for _ in range(epochs.count(each))]
    assert epochs == in_order and epochs[0] == 1 and epochs[-1] == 2
    assert (0 in epochs) == (way == "killed")


@pytest.mark.parametrize("name", ["weights.h5", "state_dict.pt", "examples.h5", "predictions.csv"])
def test_one_changed_bit_is_reported(tmp_path, name):
    """PyTorch, HDF5 and pandas read on where a number is another one."""
    path = tmp_path / "run" / name
    write_run(tmp_path / "run")
    content = bytearray(path.read_bytes())
    for at in range(0, len(content), 1 + len(content) // 20):
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
        with pytest.raises(RunError, match=f"{name}: damaged"):
            read_run(tmp_path / "run")
    path.write_bytes(content)
    read_run(tmp_path / "run")


def test_numbers_that_are_not_finite_are_no_run(tmp_path):
    folder = tmp_path / "run"
    write_run(folder)
    run = RunWriter(folder, {"seed": 9}, {}, PARTS, network())
    run.epoch(network(), EPOCH)
    with pytest.raises(ValueError, match="Out of range float"):
        run.finish(network(), {"test": float("nan")}, PREDICTIONS, {}, {})
    run.epoch(network(), EPOCH | {"train_loss": float("nan")})
    with pytest.raises(ValueError, match="Out of range float"):
        run.finish(network(), {"test": 0.5}, PREDICTIONS, {}, {})
    assert read_run(folder).info["seed"] == 7


@damages
@pytest.mark.parametrize(
    "name", ["run.json", "weights.h5", "state_dict.pt", "examples.h5", "predictions.csv"]
)
def test_a_run_that_is_damaged_is_named(tmp_path, damage, name):
    write_run(tmp_path / "run")
    damage(tmp_path / "run" / name)
    with pytest.raises(RunError, match=rf"{tmp_path}/run/{name}.*Run 03_model_training") as error:
        read_run(tmp_path / "run")
    assert "\n" not in str(error.value)


def test_a_run_json_of_other_content_is_named(tmp_path):
    write_run(tmp_path)
    run = read_run(tmp_path)
    for language in (97, "latin"):
        run.info["parameters"]["language"] = language
        with pytest.raises(RunError, match=r"run\.json: damaged"):
            load_network(run)
    for content in ("[]", '{"parameters": 97}'):
        (tmp_path / "run.json").write_text(content)
        with pytest.raises(RunError, match=r"run\.json: damaged"):
            read_run(tmp_path)


def test_an_accuracy_without_utterances_is_none():
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


def as_settings(grid):
    return {name: getattr(grid, name) for name in setting_names(grid)}


@pytest.mark.parametrize("score_test", [True, False])
def test_predicted_utterances_are_found_again(tmp_path, data_dir, score_test):
    write_toy(tmp_path, seed=0)
    files = obtain(str(tmp_path))
    grid = Downsampling(pool_units=50, pool_steps=100)
    split = Split(protocol="leave_one_speaker_out", held_out=1, score_test=score_test)
    p = {
        "dataset": str(tmp_path),
        "language": "english",
        "seed": 3,
        **as_settings(grid),
        **vars(split),
    }
    parts = load_subsets(files, grid, "english", split, 3)
    evaluated = parts.test if score_test else parts.validation
    model = build_network(NetworkConfig(), grid.n_units, 10, grid.step_ms, torch.Generator())
    run = RunWriter(tmp_path / "run", p, fingerprint(files), parts, model)
    run.finish(model, {}, training.evaluate(model, evaluated).predictions(), {}, {})
    found = read_run(tmp_path / "run")
    events = load_utterances(load_network(found)).predicted
    assert found.predictions.row.tolist() == events.rows.tolist()
    assert found.predictions.file.tolist() == [("train", "test")[k] for k in events.file]
    listed = pd.read_csv(tmp_path / "run" / "utterances.csv.gz", keep_default_na=False)
    assert len(listed) == (170 if score_test else 117)
    of_role = listed[listed.role == ("test" if score_test else "validation")]
    assert of_role.row.tolist() == events.rows.tolist()
    write_toy(tmp_path, seed=1)
    with pytest.raises(RunError, match="not the data of"):
        load_utterances(load_network(found))
