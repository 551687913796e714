"""The benchmark, on a few small utterances."""

import numpy as np
import pytest
import torch

import engine_benchmark
from engine_benchmark import SNNTORCH, Utterances
from engine_examples.twelve_programs import SMALL


@pytest.fixture
def once(monkeypatch):
    """Let the clock call each action once, and batches have two utterances."""
    monkeypatch.setattr(engine_benchmark, "clock", lambda action: action() is None or 1.0)
    monkeypatch.setattr(engine_benchmark, "BATCHES", (2, 2))


def test_all_ways_are_timed_on_the_same_input(once):
    events = engine_benchmark.synthetic(2, n_steps=6, density=0.2)
    table = engine_benchmark.pairwise(events, 2, rounds=1)
    for measure in (
        engine_benchmark.larger,
        engine_benchmark.own_modules,
        engine_benchmark.scanned,
    ):
        table += measure(events, rounds=1)
    table += engine_benchmark.programs(1, {"policy": SMALL["policy"]})
    measured = [row for row in table if row["note"] != "not installed"]
    assert len(measured) > 30 and all(row["ratio"] == 1 for row in measured)


@pytest.mark.parametrize("name", engine_benchmark.VARIANTS)
def test_variants_with_snntorch_s_rule_have_the_same_class_scores(name):
    make, package = engine_benchmark.VARIANTS[name]
    pytest.importorskip(package)
    events = engine_benchmark.synthetic(3, n_steps=40, density=0.2)
    _, infer, rule = make(events, np.arange(3))
    _, loop, _ = engine_benchmark.snntorch_loop(events, np.arange(3))
    scores = infer()
    scores = np.asarray(scores[0] if name == "compiled" else scores)
    wanted = loop().numpy()
    assert wanted.sum() > 10
    if rule == SNNTORCH:
        assert np.array_equal(scores, wanted)
    else:
        assert scores.shape == wanted.shape


def test_utterances_are_written_and_read(tmp_path):
    events = engine_benchmark.synthetic(3, n_steps=7, density=0.3)
    events.save(tmp_path / "events.npz")
    again = Utterances.read(tmp_path / "events.npz")
    assert np.array_equal(again.to_frames([2, 0]), events.to_frames([2, 0]))
    assert (again.labels == events.labels).all() and events.to_frames([0, 1, 2]).sum() > 300


def test_the_bytes_that_must_move_are_counted_by_hand():
    events = engine_benchmark.synthetic(2, n_steps=5, density=0.2)
    n_events = int(torch.from_numpy(events.to_frames([0, 1])).sum())
    states = 2 * 5 * 266
    weights = 183 * 256 + 256 + 256 * 10 + 10
    found = engine_benchmark.bytes_that_must_move(events, 2)
    assert found == 8 * (n_events + states + weights)
