import numpy as np
import pandas as pd
import pytest
from scipy.stats import bootstrap, ttest_1samp, ttest_rel

from shd_helpers.figures import comparisons as comparison_plots
from shd_helpers.study import tables as comparison


def runs(values, setting="a", **columns):
    seeds = range(len(values))
    return pd.DataFrame(
        {"configuration": setting, "seed": seeds, "test_seen_accuracy": values, **columns}
    )


def test_interval_is_student_s():
    values = [0.71, 0.75, 0.74, 0.79, 0.7]
    low, high = ttest_1samp(values, 0).confidence_interval(0.95)
    assert comparison.half_width(values) == pytest.approx((high - low) / 2)
    many = np.random.default_rng(0).normal(0, 1, 400)
    resampled = bootstrap((many,), np.mean, rng=0).confidence_interval
    wide = (resampled.high - resampled.low) / 2
    assert comparison.half_width(many) == pytest.approx(wide, rel=0.1)


def test_difference_is_paired_by_seed_whatever_the_order():
    a, b = runs([0.7, 0.8, 0.75]), runs([0.6, 0.75, 0.71], "b").iloc[::-1]
    mean, half = comparison.difference(a, b, "test_seen_accuracy")
    want = ttest_rel([0.7, 0.8, 0.75], [0.6, 0.75, 0.71]).confidence_interval(0.95)
    assert (mean - half, mean + half) == pytest.approx((100 * want.low, 100 * want.high))
    with pytest.raises(ValueError, match="not paired"):
        comparison.difference(a, b.iloc[:2], "test_seen_accuracy")


def test_front_equals_pairwise_comparison():
    rng = np.random.default_rng(0)
    cost, accuracy = rng.integers(0, 8, 40), rng.integers(0, 8, 40)
    points = [*zip(cost, accuracy, strict=True)]
    want = [not any((c <= x and a > y) or (c < x and a >= y) for c, a in points) for x, y in points]
    assert comparison.is_on_front(cost, accuracy).tolist() == want
    assert 1 < sum(want) < 40


def test_means_over_seeds():
    same = {"channels": 183, "steps": 333, "effective_acs": [10.0, 20.0], "hidden_spikes": 1.0}
    same |= {"parameters": 5, "training_s": 2.0}
    table = pd.concat([runs([0.5, 0.7], **same), runs([0.9, 0.9], "b", **same)])
    table = table.assign(
        train_accuracy=1.0,
        validation_accuracy=table.test_seen_accuracy,
        test_unseen_accuracy=0.1,
    )
    row = comparison.over_seeds(table).loc["a"]
    assert row.test_seen == pytest.approx(60) and row.effective_acs == 15 and row.seeds == 2
    assert row.test_seen_ci95 == pytest.approx(100 * comparison.half_width([0.5, 0.7]))


def test_committed_tables_can_be_read():
    table = comparison.read_table("downsizing_grid_fsdd_spikes")
    assert {(700, 1000), (183, 333), (92, 200), (23, 50)} <= {
        *zip(table.channels, table.steps, strict=True)
    }


def means_of(**columns):
    """Four settings whose accuracies are 10, 20, 30, 40 % and whose intervals are ± 1, 2, 3, 4."""
    values = {f"test_{part}": [10.0, 20.0, 30.0, 40.0] for part in ("heard", "unheard")}
    halves = {f"{part}_ci95": [1.0, 2.0, 3.0, 4.0] for part in values}
    return pd.DataFrame(values | halves | columns)


def test_axes_cross_at_the_study_s_size():
    means = means_of(channels=[183, 92, 183, 23], steps=[333, 333, 100, 50])
    by_channels, by_steps = comparison_plots.accuracy_along_axes({"a": means}, (183, 333)).axes
    assert by_channels.lines[0].get_xydata().tolist() == [[92, 20], [183, 10]]
    assert by_steps.lines[0].get_xydata().tolist() == [[100, 30], [333, 10]]
    assert len(by_channels.lines) == 2  # heard and unheard, each with a band
    (low, high) = by_steps.collections[0].get_paths()[0].get_extents().get_points()[:, 1]
    assert (low, high) == (9, 33)


def test_a_line_for_each_size_over_its_thresholds():
    sizes = {"channels": [183, 183, 61, 61], "steps": 333, "pool_threshold": [1, 2, 1, 2]}
    means = means_of(**sizes).set_index(["channels", "steps", "pool_threshold"])
    axis = comparison_plots.accuracy_over_threshold(means).axes[0]
    handles, labels = axis.get_legend_handles_labels()
    assert labels == ["183 x 333", "61 x 333"]
    assert [h.lines[0].get_ydata().tolist() for h in handles] == [[10, 20], [30, 40]]


def test_models_have_the_lines_of_those_named():
    means = means_of().set_index(pd.Index(["a", "b", "c", "d"]))
    for axis in comparison_plots.accuracy_of_models(means, {"b": "--", "d": ":"}).axes:
        vertical = [
            x for x in axis.lines if len(set(x.get_xdata())) == 1 and len(x.get_xdata()) == 2
        ]
        assert [(x.get_xdata()[0], x.get_linestyle()) for x in vertical] == [(20, "--"), (40, ":")]
