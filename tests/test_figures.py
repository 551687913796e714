"""Figures draw the numbers they are given; no text of them collides or leaves the canvas."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from shd_course.figures import plots
from shd_helpers import figures
from shd_helpers.figures import style
from tests.overlaps import overlaps, same_in_gray, unlabeled

SOURCE = "data: a_name_of_some_length, english; seed 0; training file"


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def accuracies(inputs=("small", "large"), n_speakers=12):
    rng = np.random.default_rng(0)
    rows = [(name, seed, s) for name in inputs for seed in (0, 1) for s in range(n_speakers)]
    table = pd.DataFrame(rows, columns=["input", "seed", "speaker"])
    for part in ("test_unseen_accuracy", "test_seen_accuracy"):
        table[part] = rng.uniform(0.4, 1, len(table))
    return table


def differences(n=4):
    """Return made-up comparisons of which the first is shown."""
    index = pd.MultiIndex.from_tuples([(f"network {i}", "another") for i in range(n)])
    table = pd.DataFrame({"mean": np.linspace(9, -3, n), "ci95": 4.0, "ci_holm": 6.0}, index=index)
    is_shown = table["mean"].abs() > table.ci_holm
    return table.assign(verdict=np.where(is_shown, "shown", "undecided"))


INPUTS = ["183 x 333", "700 x 1000", "183 x 333, threshold 1"]
CASES = {
    "speakers_by_input": lambda: plots.speakers_by_input(
        accuracies(INPUTS), INPUTS, {8: "(tuned on)"}
    ),
    "paired_differences": lambda: plots.paired_differences(differences(), 3.0),
}


@pytest.mark.parametrize("name", CASES)
def test_figure_is_legible_as_it_is_saved(name, tmp_path, monkeypatch):
    monkeypatch.setattr(style, "img_dir", lambda: tmp_path / "img")
    figure = CASES[name]()
    title = "What this figure says, in a line of some length"
    assert overlaps(figure, lambda: style.save(figure, name, SOURCE, title)) == []
    assert plt.get_fignums() == [], "an open figure is shown once more at the end of a cell"
    assert (tmp_path / "img" / f"{name}.png").stat().st_size > 1000
    assert unlabeled(figure) == [] and same_in_gray(figure) == []


def test_the_look_comes_with_the_first_figure():
    assert plt.rcParams["axes.spines.top"] is False  # not matplotlib's
    assert {"save", "heat_map"} <= {*figures.__all__} <= {*dir(figures)}
    for name in figures.__all__:
        assert getattr(figures, name) is not None


def test_speakers_stand_in_the_order_of_the_first_input_with_means_over_seeds():
    table = accuracies(n_speakers=3)
    left = plots.speakers_by_input(table, ["small", "large"], {1: "(tuned on)"}).axes[0]
    means = 100 * table.groupby(["input", "speaker"]).test_unseen_accuracy.mean()
    order = means["small"].sort_values().index
    labels = [text.get_text() for text in left.get_yticklabels()]
    assert labels == [f"{s} (tuned on)" if s == 1 else f"{s}" for s in order]
    drawn = {line.get_label(): line.get_xdata() for line in left.lines if len(line.get_xdata()) > 2}
    lines = [line.get_xdata()[0] for line in left.lines if len(line.get_xdata()) == 2]
    for name, mean in zip(("small", "large"), lines, strict=True):
        np.testing.assert_allclose(drawn[name], means[name].loc[order])
        np.testing.assert_allclose(mean, means[name].loc[[0, 2]].mean())  # 1 has a note


def test_only_what_is_shown_has_a_filled_marker():
    (axis,) = plots.paired_differences(differences(), 3.0).axes
    lines = {line.get_label(): line for line in axis.lines}
    assert lines["shown"].get_xdata().tolist() == [9]
    assert lines["undecided"].get_xdata().tolist() == pytest.approx([5, 1, -3])
    assert lines["shown"].get_mfc() != lines["undecided"].get_mfc() == "white"
    (margin,) = (line for label, line in lines.items() if "margin" in label)
    assert margin.get_xdata()[0] == -3


def test_a_long_adjusted_interval_does_not_hide_the_short_ones():
    found = differences()
    found["ci_holm"] = [500.0, *found.ci_holm[1:]]
    (axis,) = plots.paired_differences(found, 3.0).axes
    low, high = axis.get_xlim()
    assert (found["mean"] - found.ci95).min() > low > -20
    assert (found["mean"] + found.ci95).max() < high < 20
    arrows = {line.get_marker(): line for line in axis.lines if line.get_marker() in "<>"}
    assert arrows["<"].get_xdata().tolist() == [low] and arrows[">"].get_xdata().tolist() == [high]
    assert arrows["<"].get_ydata().tolist() == [len(found) - 1]


def test_the_checks_find_what_is_broken():
    figure = Figure(figsize=(4, 3))
    axis = figure.add_subplot()
    axis.plot([0, 1], [0, 1], "-", label="rising")
    assert overlaps(figure) == []
    assert unlabeled(figure) == ["the x axis has no label", "the y axis has no label"]
    axis.set(xlabel="time (ms)", ylabel="share (%)")
    assert unlabeled(figure) == []
    axis.plot([0, 1], [1, 0], "-", color=axis.lines[0].get_color(), label="falling")
    assert same_in_gray(figure) == ["'rising' and 'falling' look the same in gray"]
    axis.set_title("a title of many words that can't fit on a canvas four inches wide, ever")
    for y in (0.5, 0.52):
        axis.annotate("a point", (0.2, y))
    axis.legend(loc="upper right")
    found = " ".join(overlaps(figure))
    for finding in ("leaves the canvas", "'a point' overlaps 'a point'", "'rising' runs through"):
        assert finding in found
