"""Statistics against hand-computed values, plain loops and other implementations."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from shd_helpers.study import (
    choose,
    contrasts,
    difference,
    holm,
    is_on_front,
    summarise,
)

# Student's t, 97.5 %, from a printed table, by degrees of freedom
T = {1: 12.706205, 2: 4.302653, 3: 3.182446, 4: 2.776445, 6: 2.446912}


def runs(values, configuration="a", **columns):
    frame = {"configuration": configuration, "seed": range(len(values)), "status": "done"}
    return pd.DataFrame(frame | {"test_seen_accuracy": values} | columns)


def test_five_seeds_have_an_interval_of_their_own():
    values = [0.71, 0.75, 0.74, 0.79, 0.7]
    row = summarise(pd.concat([runs(values), runs([0.1, 0.9] * 3, "b")])).loc["a"]
    low, high = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    assert row.test_seen == pytest.approx(100 * np.mean(values))
    assert row.test_seen_ci95 == pytest.approx(100 * (high - low) / 2)


def test_fewer_seeds_pool_their_standard_deviation():
    """By hand: squares 2, 8 and 0 about the means 61, 72, 50 with 1, 1 and 0 degrees of freedom."""
    table = pd.concat([runs([0.6, 0.62]), runs([0.7, 0.74], "b"), runs([0.5], "c")])
    found = summarise(table)
    assert found.test_seen.tolist() == pytest.approx([61, 72, 50])
    sd = ((2 + 8) / 2) ** 0.5
    assert found.test_seen_ci95.tolist() == pytest.approx(
        [T[2] * sd / 2**0.5] * 2 + [T[2] * sd], rel=1e-6
    )
    assert found.seeds.tolist() == found.units.tolist() == [2, 2, 1]


@pytest.mark.parametrize(("seeds", "alike"), [(4, True), (5, False)])
def test_from_five_seeds_on_nothing_is_pooled(seeds, alike):
    near, far = runs([0.5, 0.52] * 3).iloc[:seeds], runs([0.1, 0.9] * 3, "b").iloc[:seeds]
    found = summarise(pd.concat([near, far])).test_seen_ci95
    assert (found["a"] == pytest.approx(found["b"])) == alike


def test_one_run_alone_has_no_interval_and_what_was_not_measured_none():
    assert np.isnan(summarise(runs([0.5])).test_seen_ci95["a"])
    found = summarise(runs([0.5, 0.7], test_unseen_accuracy=[0.4, np.nan])).loc["a"]
    assert found.test_unseen == pytest.approx(40) and np.isnan(found.test_unseen_ci95)
    none = summarise(runs([0.5, 0.7], test_unseen_accuracy=np.nan)).loc["a"]
    assert np.isnan(none.test_unseen) and np.isnan(none.test_unseen_ci95)


def by_speaker(values, **columns):
    """Values by speaker, each a list over seeds."""
    rows = [(s, seed, x) for s, xs in values.items() for seed, x in enumerate(xs)]
    frame = pd.DataFrame(rows, columns=["held_out", "seed", "test_unseen_accuracy"])
    return frame.assign(configuration=[f"held_out={s}" for s in frame.held_out], **columns)


def test_over_speakers_seeds_are_averaged_first():
    values = {0: [0.5, 0.7], 1: [0.8, 0.8], 2: [0.3, 0.5], 3: [0.9, 0.7], 7: [0.6, 0.6]}
    row = summarise(by_speaker(values, input="small"), by="input", over="held_out").loc["small"]
    means = [60, 80, 40, 80, 60]
    assert row.test_unseen == pytest.approx(64)
    deviation = (sum((m - 64) ** 2 for m in means) / 4) ** 0.5
    assert row.test_unseen_ci95 == pytest.approx(T[4] * deviation / 5**0.5, rel=1e-6)
    assert row.seeds == 2 and row.units == 5


def test_a_summary_has_what_all_runs_share():
    table = pd.concat([
        runs([0.5, 0.7], lr=[0.1, 0.1], word="x", effective_acs=[10.0, 20.0], training_s=2.0),
        runs([0.9, 0.9], "b", lr=[0.2, 0.2], word=["x", "y"], effective_acs=1.0, training_s=4.0),
    ])  # fmt: skip
    found = summarise(table)
    assert found.index.tolist() == ["a", "b"] and found.lr.tolist() == [0.1, 0.2]
    assert "word" not in found and "status" not in found
    assert found.effective_acs.tolist() == [15, 1] and found.training_s.tolist() == [2, 4]
    both = summarise(table, ["word", "lr"])
    assert both.index.tolist() == [("x", 0.1), ("x", 0.2), ("y", 0.2)]


def test_choose_takes_the_best_mean_over_all_seeds():
    rows = [("lr=1", 0, 0.5, "done"), ("lr=1", 1, 0.7, "done")]
    rows += [("lr=2", 0, 0.1, "done"), ("lr=2", 1, 0.9, "done")]  # the best single run
    rows += [("lr=3", 0, 0.8, "done"), ("lr=3", 1, np.nan, "failed")]  # one seed only
    columns = ["configuration", "seed", "validation_accuracy", "status"]
    table = pd.DataFrame(rows, columns=columns)
    assert choose(table).configuration.tolist() == ["lr=1", "lr=1"]
    assert choose(table.assign(size=["s", "s", "m", "m", "s", "s"]), "size")["size"][0] == "s"
    assert len(choose(table[table.status == "failed"])) == 0
    tie = table[:4].assign(validation_accuracy=0.5)
    assert choose(tie).configuration.tolist() == ["lr=1", "lr=1"]


A, B = [0.7, 0.8, 0.75, 0.78], [0.6, 0.75, 0.71, 0.77]


def test_difference_is_paired_by_seed_whatever_the_order():
    found = difference(runs(A), runs(B, "b").iloc[::-1], "test_seen_accuracy")
    d = np.array([10, 5, 4, 1])  # points, by hand
    error = (sum((d - 5) ** 2) / 3 / 4) ** 0.5
    assert found.mean == pytest.approx(5) and found.ci95 == pytest.approx(T[3] * error, rel=1e-6)
    assert found.p == pytest.approx(2 * stats.t.sf(5 / error, 3))
    t95 = 2.353363  # Student's t, 95 %, three degrees of freedom, from a printed table
    assert found.excluded_loss == pytest.approx(t95 * error - 5, rel=1e-5)
    swapped = difference(runs(B, "b"), runs(A), "test_seen_accuracy")
    assert swapped.mean == pytest.approx(-5) and swapped.excluded_loss > 5


@pytest.mark.parametrize("other", [runs(B).iloc[:3], runs(B).assign(seed=[0, 1, 2, 2])])
def test_what_is_not_paired_is_refused(other):
    with pytest.raises(ValueError, match="not paired"):
        difference(runs(A), other, "test_seen_accuracy")
    twice = runs(A).assign(seed=[0, 1, 2, 2])
    with pytest.raises(ValueError, match="not paired"):
        difference(twice, twice, "test_seen_accuracy")
    with pytest.raises(ValueError, match="needs two"):
        difference(runs(A[:1]), runs(B[:1]), "test_seen_accuracy")


def test_differences_over_speakers_average_seeds_first():
    a = by_speaker({0: [0.5, 0.7], 1: [0.8, 1.0], 2: [0.3, 0.5]})
    b = by_speaker({2: [0.3, 0.5], 1: [0.6, 0.8], 0: [0.5, 0.5]})
    found = difference(a, b, "test_unseen_accuracy", over="held_out")
    want = stats.ttest_1samp([10, 20, 0], 0)  # points of speakers 0, 1, 2
    assert found.mean == pytest.approx(10) and found.p == pytest.approx(want.pvalue)
    with pytest.raises(ValueError, match="not paired"):
        difference(a, b[b.seed == 0], "test_unseen_accuracy", over="held_out")


def test_holm_by_hand_and_by_its_definition():
    assert holm([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]).tolist() == [1.0, 1.0] and len(holm([])) == 0
    rng = np.random.default_rng(0)
    for p in rng.random((200, 6)) ** 3:
        rejected = set()  # step down: reject the smallest while it is below alpha / (m - k)
        for k, i in enumerate(np.argsort(p)):
            if p[i] * (len(p) - k) > 0.05:
                break
            rejected.add(int(i))
        assert set(np.flatnonzero(holm(p) <= 0.05).tolist()) == rejected


def test_front_equals_pairwise_comparison():
    rng = np.random.default_rng(0)
    cost, accuracy = rng.integers(0, 8, 40), rng.integers(0, 8, 40)
    points = [*zip(cost, accuracy, strict=True)]
    want = [not any((c <= x and a > y) or (c < x and a >= y) for c, a in points) for x, y in points]
    assert is_on_front(cost, accuracy).tolist() == want
    assert 1 < sum(want) < 40


def test_contrasts_are_paired_by_speaker_over_common_seeds():
    """Against scipy on means made by hand; a third seed of one input alone doesn't count."""
    rng = np.random.default_rng(0)
    values = {"a": rng.random((6, 2)), "b": rng.random((6, 3)), "c": rng.random((6, 2))}
    rows = [
        (name, seed, speaker, x)
        for name, table in values.items()
        for speaker, line in enumerate(table)
        for seed, x in enumerate(line)
    ]
    columns = ["input", "seed", "speaker", "test_unseen_accuracy"]
    table = pd.DataFrame(rows, columns=columns).sample(frac=1, random_state=0)
    found = contrasts(table, [("a", "b"), ["c", "b"]], "test_unseen_accuracy")
    tests = []
    for name in "ac":
        first, second = 100 * values[name].mean(1), 100 * values["b"][:, :2].mean(1)
        tests.append(stats.ttest_rel(first, second))
        row, interval = found.loc[name, "b"], tests[-1].confidence_interval(0.95)
        assert row["mean"] == pytest.approx(np.mean(first - second))
        assert row.ci95 == pytest.approx((interval.high - interval.low) / 2)
        assert row.p == pytest.approx(tests[-1].pvalue)
    low, high = sorted(test.pvalue for test in tests)
    assert sorted(found.p_holm) == pytest.approx([min(1, 2 * low), max(min(1, 2 * low), high)])
