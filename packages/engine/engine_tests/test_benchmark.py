"""The benchmark, on a few small utterances."""

from xml.etree import ElementTree

import numpy as np
import pytest

import engine_benchmark
from engine_benchmark import SNNTORCH
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
    names = ("policy", "quick start", "tutorial 3", "tutorial 6")
    table += engine_benchmark.programs(1, {name: SMALL[name] for name in names})
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


def test_the_bar_chart_has_a_bar_for_each_program():
    bars = ElementTree.fromstring(engine_benchmark.chart({"slow": 0.5, "fast": 2.0}))[1:]
    assert [bar.text for bar in bars[::3]][:2] == ["fast", "slow"]
    assert float(bars[1].get("width")) == 4 * float(bars[4].get("width"))
