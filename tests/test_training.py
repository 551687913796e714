"""Splits, loops and determinism."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shd_helpers.datasets import read_shd
from shd_helpers.model import SpikingNetwork
from shd_helpers.preprocessing import Events, Grid, downsize
from shd_helpers.smoke import write_toy
from shd_helpers.training import (
    batches,
    fit,
    overfit,
    predict,
    split_validation,
    train_epoch,
    validate_epoch,
)


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    write_toy(folder, seed=0)
    grid = Grid(pool_units=10, pool_steps=20, threshold=2)  # small and quick
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


def test_impossible_splits():
    one_speaker = labelled([0, 1], [3, 3])
    with pytest.raises(ValueError, match="leaves 0 utterances for training"):
        split_validation(one_speaker, "speaker", 0.25, 0)
    with pytest.raises(ValueError, match="0 for validation"):
        split_validation(one_speaker, "random", 0.0, 0)
    with pytest.raises(ValueError, match="'words': unknown"):
        split_validation(one_speaker, "words", 0.5, 0)


def test_batches_hold_every_utterance_once(toy):
    generator = torch.Generator().manual_seed(0)
    parts = list(batches(toy, 50, generator))
    assert [len(labels) for _, labels in parts] == [50, 50, 20]  # the rest is not dropped
    shuffled = torch.cat([labels for _, labels in parts])
    assert torch.equal(shuffled.bincount(), torch.from_numpy(toy.labels).bincount())
    assert not torch.equal(shuffled, torch.from_numpy(toy.labels))
    total = sum(float(x.sum()) for x, _ in parts)
    assert total == len(toy.steps)


def test_means_are_weighted_by_batch_size(toy):
    net = network(toy)
    x, labels = next(batches(toy, len(toy)))
    with torch.no_grad():
        counts = net(x).spk.sum(0)
    # cross-entropy by its definition
    log_sum = torch.log(torch.exp(counts.double()).sum(1))
    loss = (log_sum - counts.double()[range(len(toy)), labels]).mean()
    accuracy = np.mean(counts.numpy().argmax(1) == toy.labels)
    for batch_size in (7, 50, 120):
        metrics = validate_epoch(net, toy, batch_size)
        assert metrics.loss == pytest.approx(float(loss), rel=1e-5)
        assert metrics.accuracy == pytest.approx(accuracy)
    still = torch.optim.SGD(net.parameters(), lr=0.0)
    metrics = train_epoch(net, toy, still, 50, torch.Generator().manual_seed(1))
    assert metrics.loss == pytest.approx(float(loss), rel=1e-5)


def test_validation_updates_nothing(toy):
    net = network(toy)
    before = [p.clone() for p in net.parameters()]
    validate_epoch(net, toy)
    predict(net, toy)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))


def test_learns_twenty_utterances_by_heart(toy):
    few = toy.take(np.arange(0, len(toy), len(toy) // 20)[:20])
    net = network(few)
    losses = overfit(net, few, updates=80, seed=0, lr=1e-2)
    assert losses[-1] < 0.2 * losses[0]
    assert validate_epoch(net, few).accuracy == 1.0


def run_fit(events, seed):
    net = network(events, seed)
    generator = torch.Generator().manual_seed(seed)
    seen = []
    train, valid = events.take(np.arange(0, 120, 2)), events.take(np.arange(1, 120, 2))
    history = fit(
        net, train, valid, 5, 16, 1e-2, 2, 0.5, generator, lambda _, metrics: seen.append(metrics)
    )
    assert seen == history
    return net, history


def test_fit_steps_the_learning_rate_and_improves(toy, capsys):
    _, history = run_fit(toy, 0)
    assert [m["lr"] for m in history] == [1e-2, 1e-2, 5e-3, 5e-3, 2.5e-3]
    assert [m["epoch"] for m in history] == [1, 2, 3, 4, 5]
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert "epoch   5/5" in capsys.readouterr().out


def test_same_seed_same_numbers(toy):
    first, again, other = run_fit(toy, 1), run_fit(toy, 1), run_fit(toy, 2)
    drop_time = [
        [{k: v for k, v in m.items() if k != "wall_s"} for m in h] for _, h in (first, again)
    ]
    assert drop_time[0] == drop_time[1]
    assert torch.equal(first[0].fc1.weight, again[0].fc1.weight)
    assert not torch.equal(first[0].fc1.weight, other[0].fc1.weight)


def test_predictions(toy):
    net = network(toy)
    table = predict(net, toy, batch_size=50)
    x, _ = next(batches(toy, len(toy)))
    record = net(x, record_hidden=True)
    names = np.array(toy.class_names)
    assert table.label.tolist() == names[toy.labels].tolist()
    assert table.predicted.tolist() == names[record.spk.sum(0).argmax(1).numpy()].tolist()
    assert table.hidden_spikes.tolist() == record.hidden_spk[0].sum((0, 2)).int().tolist()
    assert table.output_spikes.sum() == int(record.spk.sum())
    assert table.input_events.tolist() == np.diff(toy.offsets).tolist()
