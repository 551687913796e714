"""Figures that compare configurations show the numbers they are given, and no text collides."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from shd_helpers.figures import comparisons, costs, speakers
from tests.overlaps import overlaps


def means_of(index=None, **columns):
    """Four configurations of 10, 20, 30, 40 % with intervals of ± 15, 2, 3, 4 points."""
    parts = ("validation", "test_seen", "test_unseen")
    values = {part: [10.0, 20.0, 30.0, 40.0] for part in parts}
    halves = {f"{part}_ci95": [15.0, 2.0, 3.0, 4.0] for part in parts}
    columns = {"pool_threshold": 1, "seeds": 3, "units": 3, "pooled": False, **columns}
    return pd.DataFrame(values | halves | columns, index=index or [*"abcd"])


def bars(axis):
    """Return x, mean, low and high of each series with error bars, by its label."""
    found = {}
    for container in axis.containers:
        line, _, (reach,) = container.lines
        low, high = np.array(reach.get_segments())[:, :, 1].T
        found[container.get_label()] = (*line.get_xydata().T.tolist(), low.tolist(), high.tolist())
    return found


def texts(axis):
    return {text.get_position(): text.get_text() for text in axis.texts}


def contrast(one, other):
    """Return the contrast of two colours as the Web Content Accessibility Guidelines define it."""
    light = []
    for color in (one, other):
        rgb = np.array(to_rgb(color))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        light.append(linear @ (0.2126, 0.7152, 0.0722))
    return (max(light) + 0.05) / (min(light) + 0.05)


def grid(**columns):
    """A summary of every combination of the columns' values, its accuracies spread over 5..95 %."""
    rows = pd.DataFrame(itertools.product(*columns.values()), columns=[*columns])
    values = np.linspace(5, 95, len(rows)).round(1)
    for part in ("validation", "test_seen", "test_unseen"):
        rows[part], rows[f"{part}_ci95"] = values, 2.5
    rows["effective_acs"] = np.geomspace(1e4, 3e6, len(rows))
    rows["neuron_updates"], rows["training_s"] = 9e4, np.linspace(20, 300, len(rows))
    return rows.assign(seeds=2, units=2, pooled=True)


VALIDATIONS = ["utterances", "speakers"]


def test_a_map_shows_each_mean_in_its_place_and_frames_the_best():
    means = means_of(lr=[1e-3, 1e-3, 2e-3, 2e-3], epochs=[10, 20, 10, 20], validated_on="speakers")
    axis = comparisons.learning_rate_epochs(means).axes[0]
    assert texts(axis) == {
        (0, 0): "10.0\n± 15.0", (1, 0): "20.0\n± 2.0", (0, 1): "30.0\n± 3.0", (1, 1): "40.0\n± 4.0",
    }  # fmt: skip
    assert axis.patches[-1].get_xy() == (0.5, 0.5)  # the entry at (1, 1)
    axis = comparisons.learning_rate_epochs(means.assign(validation_ci95=2.5)).axes[0]
    assert texts(axis)[0, 1] == "30.0" and "each ± 2.5" in axis.get_title("left")


def test_numbers_on_a_map_can_be_read():
    means = grid(lr=range(1, 6), epochs=range(8), validated_on=["x"])
    axis = comparisons.learning_rate_epochs(means).axes[0]
    (image,) = axis.images
    for text in axis.texts:
        x, y = text.get_position()
        ground = image.cmap(image.norm(image.get_array()[y, x]))[:3]
        assert contrast(text.get_color(), ground) > 4.5  # the guidelines' level AA


def test_intervals_end_at_0_and_100_percent_and_the_best_is_marked():
    means = means_of(
        surrogate=["atan", "atan", "sigmoid", "sigmoid"], slope=[1.0, 2.0] * 2, validated_on="x"
    )
    axis = comparisons.accuracy_over_slope(means).axes[0]
    x, mean, low, high = bars(axis)["atan"]
    assert mean == [10, 20] and low == [0, 18] and high == [25, 22]
    assert x == pytest.approx([1, 2], rel=0.06)  # moved a little, for neighbours stand side by side
    (mark,) = [line for line in axis.lines if line.get_label() == "the best"]
    assert mark.get_ydata().tolist() == [40] and mark.get_xdata()[0] == pytest.approx(2, rel=0.06)
    above = means.assign(validation=95.0)
    *_, high = bars(comparisons.accuracy_over_slope(above).axes[0])["atan"]
    assert high == [100, 97]


def test_cost_is_the_training_time_and_colour_and_marker_tell_the_recipe():
    means = means_of(
        batch_size=[8, 8, 32, 32], lr=[1e-3, 2e-3] * 2, training_s=[1.0, 2.0, 3.0, 4.0],
        validated_on="x",
    )  # fmt: skip
    axis = comparisons.cost_against_accuracy(means).axes[0]
    assert bars(axis)["batch 8, rate 0.002"][:2] == ([2.0], [20.0])
    looks = {
        c.get_label(): (c.lines[0].get_color(), c.lines[0].get_marker()) for c in axis.containers
    }
    assert len(set(looks.values())) == 4
    assert looks["batch 8, rate 0.001"][0] == looks["batch 8, rate 0.002"][0]
    assert looks["batch 8, rate 0.001"][1] == looks["batch 32, rate 0.001"][1]


def models_and_papers():
    names = ["study", "shared, 4 at a place", "shared", "full, late", "full, late, 128 neurons"]
    models = pd.DataFrame({"parameters": [5e4, 2e3, 8e3, 4e5, 2e5], "test": range(80, 85)}, names)
    papers = {
        "network": ["a (A et al. 2020)", "b", "c"],
        "accuracy": [95, 93, 92],
        "parameters": [2e5, None, None],
        "chosen_on": ["test file", "speakers left out", None],
    }
    return models.assign(test_ci95=1.0, seeds=[5, 1, 5, 1, 1]), pd.DataFrame(papers)


def test_sizes_of_one_network_are_joined_and_papers_that_do_not_say_how_they_chose_left_out():
    (axis,) = costs.accuracy_over_parameters(*models_and_papers(), aims=[94, 85]).axes
    joined = [bar.lines[0].get_xydata().tolist() for bar in axis.containers]
    assert joined == [[[5e4, 80]], [[2e3, 81], [8e3, 82]], [[2e5, 84], [4e5, 83]]]
    lines = {line.get_label(): line for line in axis.lines}
    filled = {name: lines[name].get_xydata().tolist() for name in ("study", "shared", "full, late")}
    full = {"full, late": [[2e5, 84], [4e5, 83]]}
    assert filled == {"study": [[5e4, 80]], "shared": [[8e3, 82]], **full}
    hollow = [name for name in filled if lines[name].get_markerfacecolor() == "none"]
    assert hollow == ["full, late"]  # both of one seed
    assert [name for name in lines if "paper" in name] == [
        "a (A et al. 2020):\npaper, chosen on test file",
        "b:\npaper, chosen on speakers left out",
    ]
    assert {*lines["b:\npaper, chosen on speakers left out"].get_ydata()} == {93}
    dotted = [line.get_ydata()[0] for line in axis.lines if line.get_linestyle() == ":"]
    assert dotted == [94, 85] and "aims: 94 and 85 %" in lines


def accuracies(inputs=("small", "large"), n_speakers=12):
    rng = np.random.default_rng(0)
    rows = [(name, seed, s) for name in inputs for seed in (0, 1) for s in range(n_speakers)]
    table = pd.DataFrame(rows, columns=["input", "seed", "speaker"])
    for part in ("test_unseen_accuracy", "test_seen_accuracy"):
        table[part] = rng.uniform(0.4, 1, len(table))
    return table


def test_speakers_stand_in_the_order_of_the_first_input_with_means_over_seeds():
    table = accuracies(n_speakers=3)
    figure = speakers.speakers_by_input(table, ["small", "large"], {1: "(tuned on)"})
    left = figure.axes[0]
    means = 100 * table.groupby(["input", "speaker"]).test_unseen_accuracy.mean()
    order = means["small"].sort_values().index
    labels = [text.get_text().split()[0] for text in left.get_yticklabels()]
    assert labels == [str(s) for s in order]
    assert any("(tuned on)" in text.get_text() for text in left.get_yticklabels())
    drawn = {line.get_label(): line.get_xdata() for line in left.lines if len(line.get_xdata()) > 2}
    lines = [line.get_xdata()[0] for line in left.lines if len(line.get_xdata()) == 2]
    for name, mean in zip(("small", "large"), lines, strict=True):
        np.testing.assert_allclose(drawn[name], means[name].loc[order])
        np.testing.assert_allclose(mean, means[name].loc[[0, 2]].mean())  # 1 has a note


def test_differences_stand_in_order_beside_the_margin():
    pairs = pd.MultiIndex.from_tuples([("a", "b"), ("c", "b")])
    contrasts = pd.DataFrame({"mean": [-2.0, 1.0], "ci95": [1.0, 0.5]}, index=pairs)
    (axis,) = speakers.differences(contrasts, 3.0).axes
    (container,) = axis.containers
    line, _, (reach,) = container.lines
    assert line.get_xydata().tolist() == [[-2.0, 1], [1.0, 0]]
    assert reach.get_segments()[0][:, 0].tolist() == [-3.0, -1.0]
    labels = {
        t: text.get_text()
        for t, text in zip(axis.get_yticks(), axis.get_yticklabels(), strict=True)
    }
    assert labels[1].split() == ["a", "against", "b"]
    assert -3.0 in [line.get_xdata()[0] for line in axis.lines if line.get_linestyle() == "--"]


def test_a_ladder_s_rungs_stand_from_top_to_bottom():
    accuracies = pd.DataFrame({"a": [50.0, 70], "b": [60.0, 90], "c": [55.0, 75]}, index=[4, 7])
    pairs = pd.MultiIndex.from_tuples([("b", "a"), ("c", "b")])
    steps = pd.DataFrame({"mean": [15.0, -10.0], "ci95": [5.0, 5.0]}, index=pairs)
    left, right = speakers.ladder(accuracies, steps, [7]).axes
    assert [text.get_text() for text in left.get_yticklabels()] == ["a", "b", "c"]
    *each, mean = (line.get_xydata().tolist() for line in left.lines)
    assert mean == [[60, 2], [75, 1], [65, 0]]
    assert each == [[[50, 2], [60, 1], [55, 0]], [[70, 2], [90, 1], [75, 0]]]
    grey, dark = (float(line.get_color()) for line in left.lines[:2])
    assert dark < grey
    assert [line.get_label() for line in left.lines[:2]] == ["a speaker, by number", "speaker 7"]
    assert [text.get_text() for text in left.texts] == ["4", "7", "4", "7"]  # at both ends
    (container,) = right.containers
    assert container.lines[0].get_xydata().tolist() == [[15, 1], [-10, 0]]


def test_each_speaker_stands_at_its_voice():
    table = pd.DataFrame({"accuracy": [50.0, 90], "pitch_hz": [100.0, 200]}, index=[4, 7])
    (axis,) = speakers.accuracy_over_voice(table, {"pitch_hz": "pitch (Hz)"}).axes
    assert {text.get_text(): text.xy for text in axis.texts} == {"4": (100, 50), "7": (200, 90)}


def test_of_two_speakers_side_by_side_each_number_stands_on_its_own_side():
    table = pd.DataFrame({"accuracy": [50.0, 50.5, 90], "a": [100.0, 101, 200]}, index=[7, 11, 2])
    (axis,) = speakers.accuracy_over_voice(table, {"a": "spikes"}).axes
    sides = {text.get_text(): text.get_horizontalalignment() for text in axis.texts}
    assert sides == {"7": "right", "11": "left", "2": "left"}


def figures_of_the_study():
    """Yield a name and each kind of figure, of about the study's sizes."""
    names = ["fast_sigmoid", "atan", "sigmoid"]
    slopes = grid(validated_on=VALIDATIONS, surrogate=names, slope=[0.5, 2.0, 8.0, 25.0])
    yield "slope", comparisons.accuracy_over_slope(slopes)
    rates = grid(validated_on=VALIDATIONS, lr=[2.5e-4, 5e-4, 1e-3, 2e-3], epochs=[10, 20, 30])
    yield "rate", comparisons.learning_rate_epochs(rates)
    batches = grid(validated_on=VALIDATIONS, batch_size=[8, 32, 128], lr=[1e-3, 2e-3])
    yield "batch", comparisons.cost_against_accuracy(batches)
    inputs = ["183 x 333", "700 x 1000", "183 x 333, threshold 1", "183 x 100", "61 x 333"]
    yield "parameters", costs.accuracy_over_parameters(*models_and_papers(), aims=[94, 85])
    table = accuracies(inputs[:3])
    yield "speakers", speakers.speakers_by_input(table, inputs[:3], {8: "(tuned on)"})
    pairs = pd.MultiIndex.from_tuples(
        [(first, inputs[1]) for first in inputs if first != inputs[1]]
    )
    contrasts = pd.DataFrame({"mean": [-2.0, 1, 3, -6], "ci95": 2.0}, index=pairs)
    yield "differences", speakers.differences(contrasts, 3.0)
    rungs = ["study", "60 epochs", "threshold per neuron", "membrane readout"]
    values = pd.DataFrame(np.linspace(40, 95, 40).reshape(10, 4), columns=rungs)
    above = pd.MultiIndex.from_tuples([*zip(rungs[1:], rungs[:-1], strict=True)])
    steps = pd.DataFrame({"mean": [-2.0, 5, 10], "ci95": 4.0}, index=above)
    yield "ladder", speakers.ladder(values, steps)
    voices = pd.DataFrame({"accuracy": np.linspace(40, 95, 12), "a": range(12), "b": range(12)})
    yield "voices", speakers.accuracy_over_voice(voices, {"a": "pitch (Hz)", "b": "duration (s)"})


def test_no_text_collides_or_leaves_the_figure():
    found = {name: overlaps(figure) for name, figure in figures_of_the_study()}
    assert len(found) == 8 and not any(found.values()), found
