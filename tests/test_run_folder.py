"""Run folders: what is written is read back, what was cut short is recognized.

The steps of a run in notebook 3, and how notebook 4 reads what they leave.

Costs against NeuroBench's own count, and by hand.
"""

import copy
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
from neurobench.metrics.static import Footprint
from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
from neurobench.models import SNNTorchModel

from corpus_tests.damage import damages
from shd_engine.network import weight_and_bias
from shd_helpers.data import fingerprint, obtain
from shd_helpers.events import Downsampling, Split, load_subsets
from shd_helpers.network import NetworkConfig, build_network
from shd_helpers.network.operation_counts import costs, late_spikes
from shd_helpers.paths import ROOT
from shd_helpers.settings import setting_names
from shd_helpers.study import (
    Recipe,
    finish_run,
    fit,
    list_utterances,
    load_network,
    load_utterances,
    read_spiking_run,
    score,
    seen_and_unseen_accuracy,
    shown_accuracies,
    start_run,
    training,
)
from shd_helpers.study.one_run import RunWriter
from shd_helpers.study.run_folder import RunError, read_run
from tests.builders.events import make_events, random_events
from tests.builders.run_folders import EPOCH, PARTS, PREDICTIONS, network, write_run
from tests.networks import spiking_network
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


@pytest.mark.slow
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
        **{name: getattr(grid, name) for name in setting_names(grid)},
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


@pytest.fixture
def recipe(toy_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path))
    return Recipe.from_flat({"dataset": str(toy_dir), "epochs": 1, "run_name": "mine"})


def network_of(recipe, parts):
    sizes = parts.training.n_units, len(parts.training.class_names), recipe.input.step_ms
    return build_network(recipe.network, *sizes, torch.Generator().manual_seed(0))


def test_the_list_of_utterances_has_each_part_with_its_speakers(recipe):
    parts = recipe.load()
    table = list_utterances(recipe, parts).data
    assert [*table.index] == ["training", "validation", "test"]
    assert [*table.utterances] == [len(part) for part in parts]
    assert table.speakers["training"] == ", ".join(map(str, np.unique(parts.training.speakers)))
    assert [*list_utterances(recipe, parts._replace(test=None)).data.index] == [*table.index[:2]]


def test_a_run_is_scored_written_and_read(recipe):
    parts = recipe.load()
    model = network_of(recipe, parts)
    run = start_run(recipe, parts, model)
    fit(
        model, parts.training, parts.validation, recipe.training, torch.Generator(),
        on_epoch=run.epoch,
    )  # fmt: skip
    scored = score(model, parts)
    right = (scored.predictions.label == scored.predictions.predicted).to_numpy()
    is_seen = np.isin(parts.test.speakers, parts.training.speakers)
    assert scored.accuracies["test"] == right.mean()
    assert scored.accuracies["test_seen"] == right[is_seen].mean()
    assert scored.accuracies["test_unseen"] == right[~is_seen].mean()
    unseen = sorted({*parts.test.speakers} - {*parts.training.speakers})
    assert [*scored.table().data] == [
        "train",
        "validation",
        "test_seen",
        *(f"unseen speaker {each}" for each in unseen),
    ]
    finish_run(run, model, scored)
    read = read_spiking_run("mine")
    assert read.info["scores"] == scored.accuracies
    assert read.info["costs"]["effective_acs"] > 0
    assert {*read.examples} == {*parts.test.class_names}


def answers_of(right_by_speaker):
    """Return predictions in which each speaker has ten utterances, some of them right."""
    rows = [
        (speaker, "one", "one" if number < n_right else "two")
        for speaker, n_right in right_by_speaker.items()
        for number in range(10)
    ]
    return pd.DataFrame(rows, columns=["speaker", "label", "predicted"])


MEASURED = {"train": 0.99, "validation": 0.9, "test": 0.7, "test_seen": 0.8, "test_unseen": 0.6}


def test_few_unseen_speakers_are_shown_one_by_one_without_any_mean():
    predictions = answers_of({0: 8, 1: 8, 7: 9, 4: 3})
    integer = {"integer_test": 0.5, "integer_test_unseen": 0.4, "integer_agreement": 0.9}
    assert shown_accuracies(MEASURED | integer, predictions, seen=[0, 1]) == {
        "train": 0.99,
        "validation": 0.9,
        "test_seen": 0.8,
        "integer_agreement": 0.9,
        "unseen speaker 4": 0.3,
        "unseen speaker 7": 0.9,
    }


@pytest.mark.parametrize("n_unseen", [6, 7])
def test_more_than_six_unseen_speakers_have_a_mean(n_unseen):
    predictions = answers_of(dict.fromkeys(range(n_unseen), 5))
    shown = shown_accuracies(MEASURED, predictions, seen=[9])
    assert ("test_unseen" in shown) == ("test" in shown) == (n_unseen == 7)
    assert ("unseen speaker 0" in shown) == (n_unseen == 6)


def test_a_run_that_tests_nobody_shows_no_speaker():
    nothing = dict.fromkeys(("test", "test_seen", "test_unseen"))
    shown = shown_accuracies(MEASURED | nothing, answers_of({3: 5}), seen=[0])
    assert shown == MEASURED | nothing


def test_without_a_test_the_validation_utterances_are_predicted(recipe):
    parts = recipe.load()._replace(test=None)
    scored = score(network_of(recipe, parts), parts)
    assert scored.tested is None and scored.last is scored.validated
    assert len(scored.predictions) == len(parts.validation)
    assert scored.accuracies["test_unseen"] is None


def test_notebook_4_refuses_what_it_cannot_show(recipe):
    with pytest.raises(ValueError, match=r"run_name '\.\./mine'"):
        read_spiking_run("../mine")
    with pytest.raises(RunError, match=r"run\.json: no such file"):
        read_spiking_run("mine")
    parts = recipe.load()
    reference = "tests/tried/own_module/gru.py:SmallGRU"
    without_spikes = Recipe.from_flat(recipe.flat() | {"network": reference})
    model = network_of(without_spikes, parts)
    run = start_run(without_spikes, parts, model)
    scored = score(model, parts)
    finish_run(run, model, scored)
    with pytest.raises(RunError, match="no spikes were recorded; train with network = 'spiking'"):
        read_spiking_run("mine")


EVENTS = random_events(40, 30, 20, 5, 0.1)


OPTIONS = {
    "plain": {},
    "delays": {"delays": (0, 3, 29, 40)},
    "shared weights": {"delays": (0, 4), "kernel_size": 8, "stride": 5},
}
SIZES = [20, 30, 12, 5]


@pytest.fixture(scope="module", params=OPTIONS.values(), ids=OPTIONS.keys())
def trained(request):
    generator = torch.Generator().manual_seed(0)
    model = spiking_network(SIZES, 0.9, "fast_sigmoid", 2.0, generator, **request.param)
    training.overfit(model, EVENTS, 30)
    return model


def spread_out(model):
    """Return the same network with Linear layers only, which are all that NeuroBench knows."""
    weight, bias = weight_and_bias(model.fc1)
    sizes = [SIZES[0], len(bias), *SIZES[2:]]
    generator = torch.Generator()
    plain = spiking_network(sizes, 0.9, "fast_sigmoid", 2.0, generator, delays=model.delays)
    plain.load_state_dict(model.state_dict() | {"fc1.weight": weight, "fc1.bias": bias})
    return plain


class BatchFirst(torch.nn.Module):
    """The network with NeuroBench's order of axes."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model.record(x.transpose(0, 1)).spk


def test_counts_are_neurobench_s(trained):
    predictions = training.evaluate(trained, EVENTS).predictions()
    assert predictions.hidden_spikes.min() > 0
    ours = costs(trained, predictions, EVENTS.n_steps)

    plain = spread_out(trained)
    wrapped = SNNTorchModel(BatchFirst(plain), custom_forward=True)
    wrapped.register_hooks()
    x = torch.from_numpy(EVENTS.to_frames(range(len(EVENTS)))).transpose(0, 1)
    data = (x, torch.from_numpy(EVENTS.labels))
    with torch.no_grad():
        spikes = wrapped(x)
    theirs = SynapticOperations()(wrapped, spikes, data)
    assert theirs["Effective_MACs"] == 0
    assert ours["effective_acs"] == pytest.approx(theirs["Effective_ACs"], rel=1e-9)
    sparsity = ActivationSparsity()(wrapped, spikes, data)
    assert ours["activation_sparsity"] == pytest.approx(sparsity, rel=1e-9)
    # NeuroBench also counts snntorch's hidden-state buffers, whose size is the last batch's
    states = sum(lif.mem.numel() for _, lif in plain.layers)
    shared = sum(p.numel() for p in plain.parameters()) - ours["parameters"]
    assert ours["footprint_bytes"] == Footprint()(wrapped) - 4 * (states + shared)
    wrapped.cleanup_hooks()


def test_late_spikes_synapses_and_updates_are_counted_one_by_one(trained):
    """Words of different lengths, one of them silent, step after step through snntorch's loop."""
    rng = np.random.default_rng(0)
    active = rng.random((6, 30, 20)) < 0.3
    for i, end in enumerate((30, 20, 9, 0, 25, 12)):
        active[i, end:] = False
    events = make_events(active, 5, 0)
    trained = copy.deepcopy(trained)
    with torch.no_grad():
        for fc, _ in trained.layers:
            fc.bias += 0.2  # so that neurons spike without input
    wanted = []
    states = None
    for i in range(len(events)):
        with torch.no_grad():
            states = trained.record(torch.from_numpy(events.to_frames([i])))
        heard = np.flatnonzero(active[i].any(1))
        after = range(max(heard, default=-1) + 1, events.n_steps)
        layers = (*states.hidden_spk, states.spk)
        wanted.append(sum(int(spk[t].sum()) for spk in layers for t in after))
    assert late_spikes(trained, events).tolist() == wanted
    assert max(wanted) > wanted[0] == 0

    predictions = training.evaluate(trained, events).predictions()
    found = costs(trained, predictions, events.n_steps)
    assert found["late_spikes"] == pytest.approx(np.mean(wanted))
    assert found["neuron_updates"] == sum(m.numel() for m in (*states.hidden_mem, states.mem))
    synapses = [p for name, p in spread_out(trained).named_parameters() if "weight" in name]
    assert found["unrolled_synapses"] == sum(int((w != 0).sum()) for w in synapses)
