"""Judging a network on unseen speakers: against a loop by hand, when interrupted, and bad input."""

import functools
import importlib
import itertools
import os
import random
import sys
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from torch import nn
from torch.nn import functional

from shd_helpers.events import Augmentation, Events
from shd_helpers.network import SpikingNetwork
from shd_helpers.study import evaluate, fit, judgement
from shd_helpers.study.jobs import run_jobs
from shd_helpers.study.judgement import Judgement, JudgeOptions, judge
from shd_helpers.study.network_jobs import seeded, try_network
from shd_helpers.study.training import TrainConfig, TrainOptions
from shd_helpers.user_code import load_object
from shd_judge import compare, interval

N_UNITS = 12
N_STEPS = 10
CLASSES = ("yes", "no", "stop")
FAST = TrainConfig(epochs=2, lr=1e-2, lr_step=1)
HERE = JudgeOptions(train_config=FAST, n_processes=1)
OWN_LOSS = TrainOptions(loss=functools.partial(functional.cross_entropy, label_smoothing=0.1))


def toy_events(n_speakers=3, takes=2, seed=0):
    """Each class has more events in four of the units; speakers differ in how many more."""
    rng = np.random.default_rng(seed)
    utterances = [(s, c) for s in range(n_speakers) for c in range(3) for _ in range(takes)]
    matrices = []
    for speaker, label in utterances:
        matrix = rng.random((N_STEPS, N_UNITS)) < 0.1
        matrix[:, 4 * label : 4 * label + 4] |= rng.random((N_STEPS, 4)) < 0.15 + 0.05 * speaker
        matrices.append(np.argwhere(matrix))
    speakers, labels = np.array(utterances).T
    steps, units = np.concatenate(matrices).T.astype(np.uint16)
    offsets = np.cumsum([0, *map(len, matrices)])
    return Events(steps, units, offsets, labels, speakers, CLASSES, N_STEPS, N_UNITS)


class MeanThenLinear(nn.Module):
    """A plain network: the mean over steps, and two linear layers with dropout between them."""

    def __init__(self, n_units, n_classes):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_units, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, n_classes)
        )

    def forward(self, frames):
        return self.layers(frames.mean(0))


def spiking(n_units, n_classes):
    return SpikingNetwork((n_units, 8, n_classes))


@pytest.fixture(autouse=True)
def working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def events():
    return toy_events()


def scores_of(result):
    return result.table[[f"score_{name}" for name in CLASSES]].to_numpy()


def by_hand(events, held_out, seed, epochs=2):
    """Train and test as the documentation says, with nothing but torch."""
    dense = torch.from_numpy(events.to_frames(range(len(events))))
    labels = torch.from_numpy(events.labels)
    train = torch.from_numpy(np.flatnonzero(events.speakers != held_out))
    test = np.flatnonzero(events.speakers == held_out)
    torch.manual_seed(seed)
    model = MeanThenLinear(N_UNITS, 3)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    order = torch.Generator().manual_seed(seed)
    for epoch in range(epochs):
        optimizer.param_groups[0]["lr"] = 1e-2 * 0.5**epoch
        for batch in torch.randperm(len(train), generator=order).split(8):
            loss = nn.functional.cross_entropy(model(dense[:, train[batch]]), labels[train[batch]])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        return model.eval()(dense[:, test]).numpy()


def test_a_loop_by_hand_gives_the_same_scores_and_accuracies(events):
    result = judge(MeanThenLinear, events, seeds=(0, 5), options=HERE)
    table = result.table.assign(correct=result.table.label == result.table.answer)
    assert len(table) == 2 * len(events)
    for speaker in range(3):
        for seed in (0, 5):
            expected = by_hand(events, speaker, seed)
            rows = table[(table.speaker == speaker) & (table.seed == seed)]
            assert rows.utterance.tolist() == np.flatnonzero(events.speakers == speaker).tolist()
            found = rows[[f"score_{name}" for name in CLASSES]].to_numpy()
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
            labels = events.labels[events.speakers == speaker]
            accuracy = np.mean(expected.argmax(1) == labels)
            assert result.accuracies.loc[speaker, seed] == pytest.approx(accuracy)
            assert rows.correct.mean() == pytest.approx(accuracy)


def test_global_generators_go_on_as_if_nothing_had_happened(events):
    drawn = []
    for is_between in (False, True):
        torch.manual_seed(3)
        np.random.seed(3)  # noqa: NPY002
        random.seed(3)
        if is_between:
            judge(MeanThenLinear, events, options=HERE)
        drawn.append((torch.rand(1).item(), np.random.rand(), random.random()))  # noqa: NPY002
    assert drawn[0] == drawn[1]


def test_spiking_networks_and_augmentation_are_trained_as_in_the_study(events):
    plain = judge(spiking, events, options=HERE)
    options = TrainOptions(augmentation=Augmentation(shift_units=2))
    augmented = judge(spiking, events, options=JudgeOptions(FAST, options, n_processes=1))
    assert plain.folder != augmented.folder
    assert not np.array_equal(scores_of(plain), scores_of(augmented))


def test_speakers_restricts_who_is_held_out_and_the_others_still_train(events):
    everybody = judge(MeanThenLinear, events, options=HERE)
    some = judge(MeanThenLinear, events, speakers=[2, 0], options=HERE)
    assert some.accuracies.index.tolist() == [0, 2]
    expected = everybody.table[everybody.table.speaker != 1].reset_index(drop=True)
    assert some.table.equals(expected)
    assert some.folder == everybody.folder


def test_five_folds_hold_out_a_fifth_of_the_training_file_s_speakers(tmp_path):
    everyone = toy_events(n_speakers=12, takes=1)
    is_test = everyone.speakers >= 10
    events = replace(everyone, file=is_test.astype(np.uint8), rows=np.arange(len(everyone)))
    result = judge(MeanThenLinear, events, protocol="five_folds", seeds=2, options=HERE)
    assert result.accuracies.shape == (10, 2)
    held_out = result.table.groupby("fold").speaker.unique()
    assert [sorted(speakers) for speakers in held_out] == [[k, k + 5] for k in range(5)]
    tested = result.table[result.table.seed == 1].row
    assert sorted(tested) == np.flatnonzero(~is_test).tolist()
    training = events.take(np.flatnonzero(~is_test & ~np.isin(events.speakers, (3, 8))))
    with seeded(1):
        model = MeanThenLinear(N_UNITS, 3)
        fit(model, training, None, FAST, torch.Generator().manual_seed(1))
    of_fold = result.table[(result.table.fold == "fold 3") & (result.table.seed == 1)]
    expected = evaluate(model, events.take(of_fold.row.to_numpy())).class_scores
    np.testing.assert_allclose(of_fold[[f"score_{name}" for name in CLASSES]], expected, rtol=1e-5)
    result.to_csv("table.csv", "scores.csv")
    assert compare("table.csv", "table.csv").mean == 0
    assert len(pd.read_csv("scores.csv")) == 2 * 30


def test_a_data_set_may_be_named(toy_dir, data_dir):
    named = judge(MeanThenLinear, str(toy_dir), speakers=[1], options=HERE)
    assert named.accuracies.index.tolist() == [1]


def test_a_finished_fold_is_used_again_and_a_damaged_one_is_not(events, capsys):
    first = judge(MeanThenLinear, events, options=HERE)
    paths = sorted(first.folder.glob("*.npz"))
    assert len(paths) == 3 and first.folder.parent == Path("runs/judge")
    written = [path.stat().st_mtime_ns for path in paths]
    paths[1].write_bytes(paths[1].read_bytes()[:-100])
    capsys.readouterr()
    again = judge(MeanThenLinear, events, options=HERE)
    assert "3 folds, 2 of them finished before" in capsys.readouterr().out
    is_same = [path.stat().st_mtime_ns == time for path, time in zip(paths, written, strict=True)]
    assert is_same == [True, False, True]
    assert again.table.equals(first.table)


@pytest.mark.parametrize(
    "change",
    [
        lambda events: (events, {"epochs": 1}),
        lambda events: (toy_events(seed=1), {}),
        lambda events: (events.take([*range(16), 17, 16]), {}),  # the batch that is tried is equal
        lambda events: (events, {"options": JudgeOptions(TrainConfig(2, lr=2e-2), n_processes=1)}),
        lambda events: (events, {"options": replace(HERE, train_options=OWN_LOSS)}),
    ],
)
def test_other_settings_or_events_are_other_folds(events, change):
    first = judge(MeanThenLinear, events, options=HERE)
    other_events, arguments = change(events)
    other = judge(MeanThenLinear, other_events, **({"options": HERE} | arguments))
    assert other.folder != first.folder


def write_before(path, text):
    """Write a file as if that had been before this program started."""
    path.write_text(text)
    os.utime(path, (0, 0))


def test_what_cannot_be_recognized_is_trained_at_each_call(events, capsys):
    def local(n_units, n_classes):
        return MeanThenLinear(n_units, n_classes)

    first = judge(local, events, options=HERE)
    assert not first.is_reusable and "not reusable" in str(first)
    second = judge(local, events, options=HERE)
    assert capsys.readouterr().out.count("0 of them finished before") == 2
    assert second.table.equals(first.table) and second.folder != first.folder
    own_loss = JudgeOptions(FAST, TrainOptions(loss=lambda scores, _: scores.sum()), 1)
    assert not judge(MeanThenLinear, events, options=own_loss).is_reusable


def normalized(momentum):
    """Return a function whose untrained networks compute the same, whatever the momentum is."""

    def make_model(n_units, n_classes):
        norm = nn.BatchNorm1d(n_units, momentum=momentum)
        return Averaged(norm, nn.Linear(n_units, n_classes))

    return make_model


class Averaged(nn.Sequential):
    """A plain network, which reads means over steps."""

    def forward(self, frames):
        return super().forward(frames.mean(0))


def test_networks_that_differ_in_training_alone_have_other_folds(events):
    results = [judge(normalized(momentum), events, options=HERE) for momentum in (0.1, 0.9)]
    assert results[0].folder != results[1].folder
    assert not np.allclose(scores_of(results[0]), scores_of(results[1]))


RELOADED = """
from torch import nn

class Net(nn.Module):
    def __init__(self, n_units, n_classes):
        super().__init__()
        from late_beside import DROPOUT
        self.layers = nn.Sequential(nn.Dropout(DROPOUT), nn.Linear(n_units, n_classes))

    def forward(self, frames):
        return self.layers(frames.mean(0)) * SCALE

SCALE = 1.0
"""


# The next tests use the same two processes, which live on for ten seconds.


@pytest.mark.slow
def test_processes_train_the_code_that_was_imported_again(events, working_directory, monkeypatch):
    """Processes live on between calls, and have the modules of the last call."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # its time has no fractions of a second
    monkeypatch.syspath_prepend(working_directory)
    net = working_directory / "net_reloaded.py"
    late = working_directory / "late_beside.py"
    net.write_text(RELOADED)
    late.write_text("DROPOUT = 0.0\n")
    options = JudgeOptions(train_config=FAST, n_processes=2, folder="others")
    modules = [importlib.import_module(path.stem) for path in (net, late)]
    first = judge(modules[0].Net, events, options=options)
    late.write_text("DROPOUT = 0.5\n")
    for module in modules:
        importlib.reload(module)
    modules[0].SCALE = 3.0  # from outside, as in a notebook
    changed = judge(modules[0].Net, events, options=options)
    assert changed.table.equals(judge(modules[0].Net, events, options=HERE).table)
    assert changed.folder != first.folder
    for module in modules:
        del sys.modules[module.__name__]


def test_the_table_does_not_depend_on_the_number_of_processes(events):
    one = judge(lambda u, c: MeanThenLinear(u, c), events, seeds=(0, 1), options=HERE)
    parallel = JudgeOptions(train_config=FAST, n_processes=2, folder="others")
    two = judge(lambda u, c: MeanThenLinear(u, c), events, seeds=(0, 1), options=parallel)
    assert one.table.equals(two.table)
    assert one.folder.parent != two.folder.parent


FILE = """
import torch

class Scaled(torch.nn.Linear):
    def forward(self, frames):
        return super().forward(frames.sum(0)) * SCALE

SCALE = 1.0
"""


def test_a_file_that_changed_makes_other_folds(events, working_directory):
    path = working_directory / "mine.py"
    write_before(path, FILE)
    options = JudgeOptions(train_config=FAST, n_processes=2)  # other processes can't import it
    first = judge(load_object("mine.py:Scaled"), events, options=options)
    assert first.is_reusable
    assert judge(load_object("mine.py:Scaled"), events, options=options).folder == first.folder
    write_before(path, f"# a comment\n{FILE}")
    assert judge(load_object("mine.py:Scaled"), events, options=HERE).folder != first.folder


def test_an_interrupted_call_goes_on_with_the_rest(events, monkeypatch, capsys):
    """What happens to its processes is tested in test_jobs.py."""

    def interrupted(*arguments):
        yield from itertools.islice(run_jobs(*arguments), 2)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(judgement, "run_jobs", interrupted)
        with pytest.raises(KeyboardInterrupt):
            judge(MeanThenLinear, events, options=HERE)
    assert "Interrupted. 2 of 3 folds are finished" in capsys.readouterr().out
    again = judge(MeanThenLinear, events, options=HERE)
    assert "3 folds, 2 of them finished before" in capsys.readouterr().out
    whole = judge(MeanThenLinear, events, options=replace(HERE, folder="others"))
    assert again.table.equals(whole.table)


def made_up(correct, name="first", speakers=None, data_hash="a", training=None):
    """Return a judgement of ten utterances for each speaker and seed, by numbers of right ones."""
    rows = []
    for position, of_speaker in enumerate(correct):
        speaker = speakers[position] if speakers else position
        for seed, n_correct in enumerate(of_speaker):
            for number in range(10):
                label = CLASSES[number % 2]
                answer = label if number < n_correct else CLASSES[2]
                rows.append((10 * speaker + number, speaker, seed, label, answer))
    table = pd.DataFrame(rows, columns=["utterance", "speaker", "seed", "label", "answer"])
    return Judgement(
        table=table,
        class_names=CLASSES,
        name=name,
        trained="a network",
        data_hash=data_hash,
        folder=Path("folder"),
        is_reusable=True,
        training=training or {},
    )


def test_the_interval_over_speakers_only_is_student_s():
    result = made_up([[5], [7], [9], [8]])
    low, high = stats.ttest_1samp([50, 70, 90, 80], 0).confidence_interval(0.95)
    assert result.mean == pytest.approx(72.5)
    assert result.ci95 == pytest.approx((high - low) / 2)
    assert result.worst_speaker == 0
    assert result.chance == pytest.approx(50)  # half of the utterances are "yes"
    assert f"72.5 ± {(high - low) / 2:.1f} %" in str(result)


def test_the_interval_is_over_speakers_and_seeds_crossed():
    correct = [[5, 6, 4], [7, 7, 9], [9, 8, 10], [8, 6, 6]]
    result = made_up(correct)
    assert result.ci95 == pytest.approx(interval(10.0 * np.array(correct))[1])


def test_one_speaker_has_no_interval():
    result = made_up([[5, 6]])
    assert np.isnan(result.ci95) and "no interval" in str(result) and "±" not in str(result)
    with pytest.raises(ValueError, match="there is one speaker"):
        result.compare(made_up([[6, 6]]))


def test_a_comparison_names_what_differs_in_the_training():
    long = {"epochs": 30, "lr": 0.001, "schedule": "step", "augmentation": None}
    short = long | {"epochs": 5, "augmentation": Augmentation(shift_units=2)}
    first = made_up([[9], [7], [5], [8]], training=long)
    same = made_up([[7], [4], [3], [5]], name="second", training=dict(long))
    assert first.compare(same).differs == ""
    assert "first minus second: +25.0 ±" in str(first.compare(same))
    differs = first.compare(made_up([[7], [4], [3], [5]], training=short)).differs
    assert "epochs (30 and 5), augmentation (None and Augmentation(" in differs
    both = first.compare(made_up([[7], [4], [3], [5]], data_hash="b", training=short)).differs
    assert both.startswith("The networks had different inputs,") and both.endswith(differs)


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (made_up([[5], [6]], "second"), "second has no row of speaker 2"),
        (made_up([[5, 5], [6, 6], [7, 7]], "second"), "first has 1 seeds, and second 2"),
        (made_up([[5], [6], [7]], "second", speakers=[0, 1, 4]), "second has no row of speaker 2"),
    ],
)
def test_judgements_that_cannot_be_compared_say_why(other, message):
    first = made_up([[5], [6], [7]])
    with pytest.raises(ValueError, match=f"not comparable: {message}"):
        first.compare(other)


def test_judgements_of_other_utterances_cannot_be_compared():
    first = made_up([[5], [6], [7]])
    with pytest.raises(ValueError, match="tested on different utterances"):
        first.compare(replace(first, table=first.table.assign(label="no")))


def test_the_same_network_at_every_call_is_refused(events):
    network = MeanThenLinear(N_UNITS, 3)
    with pytest.raises(ValueError, match="lambda returned the same network at two calls"):
        judge(lambda u, c: network, events, options=HERE)


def test_weights_that_do_not_depend_on_the_seed_are_told(events):
    def seeds_itself(n_units, n_classes):
        torch.manual_seed(0)
        return MeanThenLinear(n_units, n_classes)

    with pytest.warns(UserWarning, match="draws the same weights for every seed"):
        judge(seeds_itself, events, seeds=(0, 1), options=HERE)


def test_what_cannot_be_trained_in_other_processes_gets_a_sentence(events):
    options = JudgeOptions(train_config=FAST, n_processes=2)
    lock = threading.Lock()

    def locked(n_units, n_classes):
        with lock:
            return MeanThenLinear(n_units, n_classes)

    with pytest.raises(ValueError, match=r"locked can't be sent to other processes .*lock"):
        judge(locked, events, options=options)


class TooMany(MeanThenLinear):
    """Has a class too many."""

    def __init__(self, n_units, n_classes):
        super().__init__(n_units, n_classes + 1)


class NothingToTrain(nn.Module):
    """Has no parameters."""

    def forward(self, frames):
        return frames.mean(0)[:, :3].clone().requires_grad_()


@pytest.mark.parametrize(
    ("make_model", "kind", "message"),
    [
        (MeanThenLinear(4, 3), TypeError, "makes no networks"),
        ("mine.py:network", TypeError, "makes no networks"),
        (lambda n_units: None, TypeError, "must take two arguments"),
        (lambda u, c: None, TypeError, "lambda returned None. It must return a torch.nn.Module"),
        (lambda u, c: [1], TypeError, "returned an object of type list"),
        (TooMany, TypeError, r"TooMany.forward returned a tensor of shape \(8, 4\)"),
        (lambda u, c: NothingToTrain(), ValueError, "no parameters to train"),
    ],
)
def test_what_makes_no_network_is_refused_before_training(events, make_model, kind, message):
    with pytest.raises(kind, match=message):
        judge(make_model, events, options=HERE)
    assert not Path("runs").exists()


class Recurrent(nn.Module):
    """A recurrent network; the cell's arguments say what goes wrong."""

    def __init__(self, n_units, n_classes, keeps_state=False, **arguments):
        super().__init__()
        self.cell = nn.GRU(n_units, 8, **arguments)
        self.fc = nn.LazyLinear(n_classes)
        self.keeps_state = keeps_state
        self.state = None

    def forward(self, frames):
        out, state = self.cell(frames, self.state)
        if self.keeps_state:
            self.state = state.detach()
        return self.fc(out.mean(0))


class Noisy(MeanThenLinear):
    """Random also when it is tested."""

    def forward(self, frames):
        return super().forward(nn.functional.dropout(frames) + torch.rand(1))


def over_the_batch(n_units, n_classes):
    norm = nn.BatchNorm1d(n_units, track_running_stats=False)
    return Averaged(norm, nn.Linear(n_units, n_classes))


@pytest.mark.parametrize(
    ("make_model", "message"),
    [
        (functools.partial(Recurrent, keeps_state=True), "again .*Reset these at the beginning"),
        (functools.partial(Recurrent, batch_first=True), "replaced .*must not have batch_first"),
        (
            functools.partial(Recurrent, batch_first=True, bidirectional=True),
            "replaced .*must not have batch_first",
        ),
        (over_the_batch, "replaced .*nothing may be computed over the batch"),
    ],
)
def test_a_network_whose_scores_depend_on_other_utterances_is_refused(events, make_model, message):
    with pytest.raises(ValueError, match=message):
        judge(make_model, events, options=HERE)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "make_model",
    [Recurrent, functools.partial(Recurrent, bidirectional=True), Noisy, normalized(0.1), spiking],
)
def test_networks_whose_scores_depend_on_the_utterance_alone_are_tried(events, make_model):
    try_network(make_model, events, TrainOptions())


def without(events, speaker, name):
    label = CLASSES.index(name)
    return events.take(np.flatnonzero((events.speakers != speaker) | (events.labels != label)))


def only_by_one(events):
    return without(without(events, 0, "no"), 1, "no")


def one_utterance(events):
    rest = only_by_one(events)
    is_no = np.flatnonzero(rest.labels == 1)
    return rest.take(np.setdiff1d(np.arange(len(rest)), is_no[1:]))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda events: events.take(np.flatnonzero(events.speakers == 1)), "are by speaker 1"),
        (lambda events: events.take([]), "speaker"),
        (only_by_one, "class no: only speaker 2 has utterances of it"),
        (one_utterance, "class no: only speaker 2 has utterances of it"),
        (lambda events: events.take(np.flatnonzero(events.labels != 0)), "class yes: .*no utter"),
        (lambda events: events.of_classes(["no"]), "only one class, no"),
    ],
)
def test_events_that_cannot_be_judged_with_get_a_sentence(events, change, message):
    with pytest.raises(ValueError, match=message):
        judge(MeanThenLinear, change(events), options=HERE)


def test_a_speaker_without_a_class_is_told_and_judged_on_the_others(events):
    with pytest.warns(UserWarning, match="speaker 0 has no utterance of no"):
        result = judge(MeanThenLinear, without(events, 0, "no"), options=HERE)
    assert set(result.table[result.table.speaker == 0].label) == {"yes", "stop"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"speakers": [7]}, "no utterance by 7. There are: 0, 1, 2"),
        ({"speakers": [1, 1]}, r"speakers \[1, 1\]: give at least one, and name each once"),
        ({"speakers": []}, r"speakers \[\]: give at least one"),
        ({"speakers": 1}, "speakers 1: give several"),
        ({"speakers": ("Ann", "Bob")}, "speakers 'Ann': must be a whole number"),
        ({"seeds": ()}, r"seeds \[\]: give at least one"),
        ({"seeds": (3, 3)}, r"seeds \[3, 3\]: .*name each once"),
        ({"seeds": 0}, r"seeds \[\]: give at least one"),
        ({"seeds": "3"}, "seeds '3': give several"),
        ({"protocol": "six_folds"}, "protocol 'six_folds'"),
        ({"protocol": "five_folds"}, "five folds need at least five"),
        ({"seeds": (0.5,)}, "seeds 0.5: must be a whole number"),
        ({"seeds": (-1,)}, "seeds -1: must be at least 0"),
        ({"epochs": 0}, "epochs 0"),
    ],
)
def test_arguments_that_cannot_be_used_get_a_sentence(events, arguments, message):
    with pytest.raises(ValueError, match=message):
        judge(MeanThenLinear, events, **({"options": HERE} | arguments))
