"""Summaries of sweeps against hand-computed values."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from judge_tests.test_statistics import by_speaker, runs
from shd_helpers.study import summarize

# Student's t, 97.5 %, from a printed table, by degrees of freedom
T = {1: 12.706205, 2: 4.302653, 3: 3.182446, 4: 2.776445, 5: 2.570582}


def test_five_seeds_have_an_interval_of_their_own():
    values = [0.71, 0.75, 0.74, 0.79, 0.7]
    row = summarize(pd.concat([runs(values), runs([0.1, 0.9] * 3, "b")])).loc["a"]
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert row.test_seen == pytest.approx(100 * np.mean(values))
    assert row.test_seen_ci95 == pytest.approx(100 * (high - low) / 2)


def test_three_seeds_have_their_own_spread_beside_rows_with_fewer():
    """Pooled are the rows that need it, and the result says so."""
    near = runs([0.5, 0.52, 0.54])
    far = runs([0.1, 0.9, 0.5], "b")
    found = summarize(pd.concat([near, far, runs([0.3, 0.5], "c"), runs([0.5], "d")]))
    assert found.pooled.tolist() == [False, False, True, True]
    assert found.test_seen.tolist() == pytest.approx([52, 50, 40, 50])
    assert found.seeds.tolist() == found.units.tolist() == [3, 3, 2, 1]
    halves = [T[2] * sd / 3**0.5 for sd in (2, 40)]
    squares = (2 * 2**2 + 2 * 40**2 + 1 * 200) / 5  # each with its degrees of freedom
    halves += [T[5] * (squares / n) ** 0.5 for n in (2, 1)]
    assert found.test_seen_ci95.tolist() == pytest.approx(halves, rel=1e-6)


def test_one_run_alone_has_no_interval_and_what_was_not_measured_none():
    assert np.isnan(summarize(runs([0.5])).test_seen_ci95["a"])
    found = summarize(runs([0.5, 0.7], test_unseen_accuracy=[0.4, np.nan])).loc["a"]
    assert found.test_unseen == pytest.approx(40) and np.isnan(found.test_unseen_ci95)
    none = summarize(runs([0.5, 0.7], test_unseen_accuracy=np.nan)).loc["a"]
    assert np.isnan(none.test_unseen) and np.isnan(none.test_unseen_ci95)


def test_over_speakers_and_seeds_by_hand():
    """Mean squares of a two-way table; Cochran and Cox's quantile with weights 1600 and 54."""
    values = {0: [0.5, 0.7], 1: [0.8, 0.8], 2: [0.3, 0.5], 3: [0.9, 0.7], 7: [0.6, 0.6]}
    row = summarize(by_speaker(values, input="small"), by="input", over="held_out").loc["small"]
    by_speakers = 2 * sum((m - 64) ** 2 for m in (60, 80, 40, 80, 60)) / 4
    by_seeds = 5 * ((62 - 64) ** 2 + (66 - 64) ** 2)
    rest = sum(x**2 for x in (8, 2, 8, 12, 2)) * 2 / 4  # 50 - 60 - 62 + 64 and so on
    assert row.test_unseen == pytest.approx(64)
    weight = by_seeds / (by_speakers + by_seeds)
    error = (max(by_speakers, by_speakers + by_seeds - rest) / 10) ** 0.5
    want = error * ((1 - weight) * T[4] + weight * T[1])
    assert row.test_unseen_ci95 == pytest.approx(want, rel=1e-6)
    assert row.seeds == 2 and row.units == 5


def test_a_summary_has_what_all_runs_share():
    table = pd.concat([
        runs([0.5, 0.7], lr=[0.1, 0.1], word="x", effective_acs=[10.0, 20.0], training_s=2.0),
        runs([0.9, 0.9], "b", lr=[0.2, 0.2], word=["x", "y"], effective_acs=1.0, training_s=4.0),
    ])  # fmt: skip
    found = summarize(table)
    assert found.index.tolist() == ["a", "b"] and found.lr.tolist() == [0.1, 0.2]
    assert "word" not in found and "status" not in found
    assert found.effective_acs.tolist() == [15, 1] and found.training_s.tolist() == [2, 4]
    both = summarize(table, ["word", "lr"])
    assert both.index.tolist() == [("x", 0.1), ("x", 0.2), ("y", 0.2)]
