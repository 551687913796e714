"""Splits, loops and determinism."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import shd_helpers
from shd_helpers.events.downsample import Downsampling, Events, downsize
from shd_helpers.events.toy import write_toy
from shd_helpers.network.engines import choose_engine
from shd_helpers.network.engines import fused as engine_module
from shd_helpers.network.engines import loop as reference
from shd_helpers.network.spiking import SpikingNetwork
from shd_helpers.network.surrogates import true_step
from shd_helpers.source.shd_file import read_shd
from shd_helpers.study.training import (
    batches,
    fit,
    overfit,
    predict,
    split_validation,
    train_epoch,
    validate_epoch,
)

both_engines = pytest.mark.parametrize("engine", ["fused", "snntorch"])


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    write_toy(folder, seed=0)
    grid = Downsampling(pool_units=10, pool_steps=20, pool_threshold=2)  # small and quick
    return downsize(read_shd(folder / "toy_train.h5"), grid)


def labelled(labels, speakers):
    n, empty = len(labels), np.zeros(0, np.uint16)
    names = tuple(map(str, range(10)))
    offsets = np.zeros(n + 1, np.int64)
    return Events(empty, empty, offsets, np.array(labels), np.array(speakers), names, 3, 3)


def network(events, seed=0, slope=2.0):
    generator = torch.Generator().manual_seed(seed)
    return SpikingNetwork((events.n_units, 32, 10), 0.9, "fast_sigmoid", slope, generator)


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 12), st.integers(1, 4), st.floats(0.1, 0.6), st.integers(0, 99))
def test_random_split_takes_the_same_share_of_every_stratum(takes, speakers, fraction, seed):
    rng = np.random.default_rng(seed)
    rows = rng.permutation([(c, s) for c in range(10) for s in range(speakers)] * takes)
    events = labelled(rows[:, 0], rows[:, 1])
    train, valid = split_validation(events, "random", fraction, seed)
    assert sorted([*train, *valid]) == list(range(len(rows)))
    assert abs(len(valid) - fraction * len(rows)) < 1
    for c in range(10):
        for s in range(speakers):
            share = np.sum((events.labels[valid] == c) & (events.speakers[valid] == s))
            assert abs(share - fraction * takes) < 1
    again = split_validation(events, "random", fraction, seed)
    assert np.array_equal(valid, again[1])


def test_random_split_depends_on_the_seed():
    events = labelled([0] * 100, [0] * 100)
    splits = {tuple(split_validation(events, "random", 0.2, seed)[1]) for seed in range(5)}
    assert len(splits) == 5


def test_speaker_split_holds_out_whole_speakers():
    events = labelled([0, 1] * 20, [7, 7, 8, 8, 9, 9, 11, 11] * 5)
    held_out = set()
    for seed in range(20):
        train, valid = split_validation(events, "speaker", 0.25, seed)
        assert len(train) == 30 and len(valid) == 10
        assert not set(events.speakers[train]) & set(events.speakers[valid])
        held_out |= set(events.speakers[valid])
    assert held_out == {7, 8, 9, 11}
    for number, speaker in enumerate((7, 8, 9, 11), start=1):
        _, valid = split_validation(events, f"speaker {number}", 0.25, 0)
        assert set(events.speakers[valid]) == {speaker} and len(valid) == 10
    for number in (0, 5):
        with pytest.raises(ValueError, match="0 for validation"):
            split_validation(events, f"speaker {number}", 0.25, 0)


def test_impossible_splits():
    one_speaker = labelled([0, 1], [3, 3])
    with pytest.raises(ValueError, match="leaves 0 utterances for training"):
        split_validation(one_speaker, "speaker", 0.25, 0)
    with pytest.raises(ValueError, match="0 for validation"):
        split_validation(one_speaker, "random", 0.0, 0)
    with pytest.raises(ValueError, match="'words': unknown"):
        split_validation(one_speaker, "words", 0.5, 0)


def test_batches_hold_every_utterance_once():
    parts = list(batches(120, 50, torch.Generator().manual_seed(0)))
    assert [len(index) for index in parts] == [50, 50, 20]  # the rest is not dropped
    shuffled = np.concatenate(parts)
    assert sorted(shuffled) == list(range(120))
    assert shuffled.tolist() != list(range(120))
    assert np.concatenate(list(batches(7, 3))).tolist() == list(range(7))


@both_engines
def test_means_are_weighted_by_batch_size(toy, engine):
    net = network(toy)
    with torch.no_grad():
        counts = net(torch.from_numpy(toy.to_frames(range(len(toy))))).spk.sum(0)
    # cross-entropy by its definition
    log_sum = torch.log(torch.exp(counts.double()).sum(1))
    loss = (log_sum - counts.double()[range(len(toy)), toy.labels]).mean()
    accuracy = np.mean(counts.numpy().argmax(1) == toy.labels)
    for batch_size in (7, 50, 120):
        metrics = validate_epoch(net, toy, batch_size, engine)
        assert metrics.loss == pytest.approx(float(loss), rel=1e-5)
        assert metrics.accuracy == pytest.approx(accuracy)
    still = torch.optim.SGD(net.parameters(), lr=0.0)
    metrics = train_epoch(net, toy, still, 50, torch.Generator().manual_seed(1), engine)
    assert metrics.loss == pytest.approx(float(loss), rel=1e-5)
    assert metrics.accuracy == pytest.approx(accuracy)


def test_validation_updates_nothing(toy):
    net = network(toy)
    before = [p.clone() for p in net.parameters()]
    validate_epoch(net, toy)
    predict(net, toy)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_learns_twenty_utterances_by_heart(toy):
    few = toy.take(np.arange(0, len(toy), len(toy) // 20)[:20])
    net = network(few)
    losses = overfit(net, few, updates=80, lr=1e-2)
    assert losses[-1] < 0.2 * losses[0]
    assert validate_epoch(net, few).accuracy == 1.0


def run_fit(events, seed, engine="fused"):
    net = network(events, seed)
    generator = torch.Generator().manual_seed(seed)
    seen = []
    train, valid = events.take(np.arange(0, 120, 2)), events.take(np.arange(1, 120, 2))
    history = fit(
        net, train, valid, 5, 16, 1e-2, 2, 0.5, generator, engine, lambda _, m: seen.append(m)
    )
    assert seen == history
    return net, history


def test_fit_steps_the_learning_rate_and_improves(toy, capsys):
    _, history = run_fit(toy, 0)
    assert [m["lr"] for m in history] == [1e-2, 1e-2, 5e-3, 5e-3, 2.5e-3]
    assert [m["epoch"] for m in history] == [1, 2, 3, 4, 5]
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert "epoch   5/5" in capsys.readouterr().out


@both_engines
def test_same_seed_same_numbers(toy, engine):
    first, again, other = (run_fit(toy, seed, engine) for seed in (1, 1, 2))
    for a, b in zip(first[1], again[1], strict=True):
        assert {**a, "wall_s": 0} == {**b, "wall_s": 0}
    assert torch.equal(first[0].fc1.weight, again[0].fc1.weight)
    assert not torch.equal(first[0].fc1.weight, other[0].fc1.weight)


@both_engines
def test_predictions(toy, engine):
    net = network(toy)
    table = predict(net, toy, batch_size=50, engine=engine)
    with torch.no_grad():
        record = net(torch.from_numpy(toy.to_frames(range(len(toy)))), record_hidden=True)
    names = np.array(toy.class_names)
    assert table.label.tolist() == names[toy.labels].tolist()
    assert table.predicted.tolist() == names[record.spk.sum(0).argmax(1).numpy()].tolist()
    assert table.hidden_spikes.tolist() == record.hidden_spk[0].sum((0, 2)).int().tolist()
    assert table.output_spikes.tolist() == record.spk.sum((0, 2)).int().tolist()
    assert table.input_events.tolist() == np.diff(toy.offsets).tolist()


def test_what_the_compiled_engine_cannot_do_falls_to_the_loop_loudly(toy):
    net = network(toy)
    assert choose_engine("fused", net) is engine_module
    assert choose_engine("snntorch", net) is reference
    net.lif1.spike_grad = true_step
    with pytest.warns(UserWarning, match="snntorch's loop runs"):
        assert choose_engine("fused", net) is reference
    with pytest.raises(ValueError, match="'jax': unknown"):
        choose_engine("jax", net)


def test_on_cuda_without_triton_the_loop_runs_loudly(monkeypatch):
    monkeypatch.setitem(
        sys.modules, "shd_helpers.network.engines.triton", None
    )  # importing it fails
    model = SimpleNamespace(fc1=SimpleNamespace(weight=SimpleNamespace(is_cuda=True)))
    with pytest.warns(UserWarning, match=r"Triton is missing: pip install '\.\[cuda\]'"):
        assert choose_engine("fused", model) is reference


def test_on_cuda_the_cuda_engine_runs_what_it_can(monkeypatch):
    why = [None, "it is too hot"]
    cuda = SimpleNamespace(unsupported_reason=lambda model: why[0])
    monkeypatch.setitem(sys.modules, "shd_helpers.network.engines.triton", cuda)
    monkeypatch.setattr(shd_helpers, "engine_cuda", cuda, raising=False)
    model = SimpleNamespace(fc1=SimpleNamespace(weight=SimpleNamespace(is_cuda=True)))
    assert choose_engine("fused", model) is cuda
    why.pop(0)
    with pytest.warns(UserWarning, match="too hot"):
        assert choose_engine("fused", model) is reference
