"""Figures that compare configurations show the numbers they are given, and no text collides."""

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from shd_helpers.figures import comparisons
from shd_helpers.study import choose, is_on_front, read_table, summarise
from tests.overlaps import overlaps


def means_of(index=None, **columns):
    """Four configurations of 10, 20, 30, 40 % with intervals of ± 15, 2, 3, 4 points."""
    parts = ("validation", "test_seen", "test_unseen")
    values = {part: [10.0, 20.0, 30.0, 40.0] for part in parts}
    halves = {f"{part}_ci95": [15.0, 2.0, 3.0, 4.0] for part in parts}
    columns = {"pool_threshold": 1, **columns}
    return pd.DataFrame(
        values | halves | {"seeds": 3, "units": 3} | columns, index=index or [*"abcd"]
    )


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


def test_a_map_shows_each_mean_in_its_place_and_frames_the_chosen():
    means = means_of(lr=[1e-3, 1e-3, 2e-3, 2e-3], epochs=[10, 20, 10, 20])
    axis = comparisons.learning_rate_epochs(means, "c").axes[0]
    assert texts(axis) == {
        (0, 0): "10.0\n± 15.0", (1, 0): "20.0\n± 2.0", (0, 1): "30.0\n± 3.0", (1, 1): "40.0\n± 4.0",
    }  # fmt: skip
    assert axis.patches[-1].get_xy() == (-0.5, 0.5)  # the entry at (0, 1)
    axis = comparisons.learning_rate_epochs(means.assign(validation_ci95=2.5), "c").axes[0]
    assert texts(axis)[0, 1] == "30.0" and "each ± 2.5" in axis.get_title("left")


def contrast(one, other):
    """Return the contrast of two colours as the Web Content Accessibility Guidelines define it."""
    light = []
    for color in (one, other):
        rgb = np.array(to_rgb(color))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        light.append(linear @ (0.2126, 0.7152, 0.0722))
    return (max(light) + 0.05) / (min(light) + 0.05)


def test_numbers_on_a_map_can_be_read():
    table = summarise(read_table("downsizing_grid_fsdd_spikes"))
    axis = comparisons.accuracy_over_grid(table, (183, 333)).axes[0]
    (image,) = axis.images
    for text in axis.texts:
        x, y = text.get_position()
        ground = image.cmap(image.norm(image.get_array()[y, x]))[:3]
        assert contrast(text.get_color(), ground) > 4.5  # the guidelines' level AA


def test_intervals_end_at_0_and_100_percent():
    means = means_of(surrogate=["atan", "atan", "sigmoid", "sigmoid"], slope=[1.0, 2.0] * 2)
    axis = comparisons.accuracy_over_slope(means, "d").axes[0]
    x, mean, low, high = bars(axis)["atan"]
    assert mean == [10, 20] and low == [0, 18] and high == [25, 22]
    assert x == pytest.approx([1, 2], rel=0.06)  # moved a little, for neighbours stand side by side
    (mark,) = [line for line in axis.lines if line.get_label() == "chosen"]
    assert mark.get_ydata().tolist() == [40] and mark.get_xdata()[0] == pytest.approx(2, rel=0.06)
    above = means.assign(validation=95.0)
    *_, high = bars(comparisons.accuracy_over_slope(above, "d").axes[0])["atan"]
    assert high == [100, 97]


def test_cost_is_the_training_time_and_colour_and_marker_tell_the_recipe():
    means = means_of(
        batch_size=[8, 8, 32, 32], lr=[1e-3, 2e-3] * 2, training_s=[1.0, 2.0, 3.0, 4.0]
    )
    axis = comparisons.cost_against_accuracy(means, "b").axes[0]
    (mark,) = [line for line in axis.lines if line.get_label() == "chosen"]
    assert mark.get_xydata().tolist() == [[2.0, 20.0]]
    looks = {
        c.get_label(): (c.lines[0].get_color(), c.lines[0].get_marker()) for c in axis.containers
    }
    assert len(set(looks.values())) == 4
    assert looks["batch 8, rate 0.001"][0] == looks["batch 8, rate 0.002"][0]
    assert looks["batch 8, rate 0.001"][1] == looks["batch 32, rate 0.001"][1]


def test_axes_cross_at_the_study_s_size_with_a_row_a_data_set():
    means = means_of(channels=[183, 92, 183, 23], steps=[333, 333, 100, 50])
    figure = comparisons.accuracy_along_axes({"one": means, "two": means + 1}, (183, 333))
    by_channels, by_steps, *second = figure.axes
    assert bars(by_channels)["seen speakers"][:2] == ([92, 183], [20, 10])
    assert bars(by_steps)["unseen speakers"] == ([100, 333], [30, 10], [27, 0], [33, 25])
    assert [axis.get_title("left") for axis in figure.axes] == ["one", "one", "two", "two"]
    assert len(second) == 2


def test_a_line_for_each_size_over_its_thresholds():
    sizes = {"channels": [183, 183, 61, 61], "steps": 333, "pool_threshold": [1, 2, 1, 2]}
    means = means_of(**sizes).set_index(["channels", "steps", "pool_threshold"])
    found = bars(comparisons.accuracy_over_threshold(means).axes[0])
    assert list(found) == ["183 x 333", "61 x 333"]
    assert [mean for _, mean, *_ in found.values()] == [[10, 20], [30, 40]]


def test_models_have_the_lines_of_those_named_and_a_legend_that_says_so():
    figure = comparisons.accuracy_of_models(means_of(), {"b": "--", "d": ":"})
    for axis in figure.axes:
        lines = {line.get_label(): line for line in axis.lines if len(set(line.get_xdata())) == 1}
        found = {n: (x.get_xdata()[0], x.get_linestyle()) for n, x in lines.items() if n in "bd"}
        assert found == {"b": (20, "--"), "d": (40, ":")}
    assert [text.get_text() for text in figure.axes[1].get_legend().get_texts()] == ["b", "d"]


def test_named_points_have_the_numbers_of_the_legend():
    means = means_of(effective_acs=[1.0, 2.0, 3.0, 4.0], family=[*"mmnn"], label=["", "", "x", "y"])
    front = {part: is_on_front(means.effective_acs, means[part]) for part in comparisons.PARTS}
    left, right = comparisons.accuracy_over_cost(means, front).axes
    assert {text.xy: text.get_text() for text in left.texts} == {(3, 30): "1", (4, 40): "2"}
    assert [t.get_text() for t in right.get_legend().get_texts()][-2:] == ["1  x", "2  y"]


def figures_of_the_study():
    """Yield a name and each kind of figure, from the committed tables."""
    tables = {
        name: read_table(f"{name}_fsdd_spikes")
        for name in (
            "surrogates",
            "learning_rate_epochs",
            "batch_size",
            "downsizing_grid",
            "models",
        )
    }
    means = {name: summarise(table) for name, table in tables.items()}
    for name, draw in (
        ("surrogates", comparisons.accuracy_over_slope),
        ("learning_rate_epochs", comparisons.learning_rate_epochs),
        ("batch_size", comparisons.cost_against_accuracy),
    ):
        yield name, draw(means[name], choose(tables[name]).configuration.iloc[0])
    grid, models = means["downsizing_grid"], summarise(tables["models"], "model")
    yield "grid", comparisons.accuracy_over_grid(grid, (183, 333))
    yield "axes", comparisons.accuracy_along_axes({"a": grid, "b": grid}, (183, 333))
    by = summarise(tables["downsizing_grid"].query("channels > 200"), [
        "channels", "steps", "pool_threshold",
    ])  # fmt: skip
    yield "threshold", comparisons.accuracy_over_threshold(by.groupby("channels").head(1))
    yield "models", comparisons.accuracy_of_models(models, {"study": "--", "delays": ":"})
    every = pd.concat([grid.assign(family="map", label=""), models.assign(family="m", label="")])
    front = {part: is_on_front(every.effective_acs, every[part]) for part in comparisons.PARTS}
    yield "cost", comparisons.accuracy_over_cost(every, front)
    values = {"validation": np.array([70.0, 72]), "test, seen speakers": np.array([30.0, 90])}
    yield "protocols", comparisons.protocols({"random": values, "speaker": values})


def test_no_text_collides_or_leaves_the_figure():
    found = {name: overlaps(figure) for name, figure in figures_of_the_study()}
    assert len(found) == 9 and not any(found.values()), found
