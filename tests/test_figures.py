"""Figures draw the numbers they are given; no text of them collides or leaves the canvas."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from shd_course.figures import benchmark
from shd_helpers.events.downsampling import Downsampling
from shd_helpers.figures import plots, style
from tests.overlaps import overlaps, same_in_gray, unlabeled

SOURCE = "data: a_name_of_some_length, english; seed 0; training file"


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def history(epochs=30):
    t = np.arange(1, epochs + 1)
    columns = {"epoch": t, "train_loss": 2 / t, "validation_loss": 2 / t + 0.5}
    columns |= {"train_accuracy": 1 - 0.8 / t, "validation_accuracy": 0.9 - 0.8 / t}
    return pd.DataFrame(columns)


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


def two_benchmarks():
    """Return made-up accuracies of this study, and of papers as results/published.csv has them."""
    ours = pd.DataFrame({"test": [89.0, 63.0], "test_ci95": [0.4, 2.0]}, index=["large", "small"])
    papers = pd.DataFrame(
        {
            "network": [
                "feed-forward LIF (Cramer et al. 2022)",
                "delays (A. Author 2024)",
                "c",
                "d",
                "delays, run again",
            ],
            "accuracy": [48.1, 95.1, 93.5, 94.0, 93.0],
            "parameters": [np.nan, 200_000, np.nan, np.nan, np.nan],
            "selected_on": [np.nan, "test file", "held-out speakers", np.nan, "held out"],
            "same_network_as": [*[np.nan] * 4, "delays (A. Author 2024)"],
            "last_epoch": [np.nan, 92.5, *[np.nan] * 3],
            "a new column": 1,
        }
    )
    return ours.assign(parameters=[86_420, 10_840]), papers


INPUTS = ["183 x 333", "700 x 1000", "183 x 333, threshold 1"]
CASES = {
    "accuracy_loss": lambda: plots.accuracy_loss(history(), 10),
    "accuracy_loss, two epochs": lambda: plots.accuracy_loss(history(2), 20),
    "speakers_by_input": lambda: plots.speakers_by_input(
        accuracies(INPUTS), INPUTS, {8: "(tuned on)"}
    ),
    "paired_differences": lambda: plots.paired_differences(differences(), 3.0),
    "benchmark": lambda: benchmark.benchmark(*two_benchmarks()),
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


def test_curves_are_those_of_the_table():
    table = history()
    left, right = plots.accuracy_loss(table, 10).axes
    assert plt.get_fignums() == []
    lines = {line.get_label(): line.get_xydata().tolist() for line in left.lines}
    of = table.validation_accuracy * 100
    assert lines["validation"] == np.transpose([table.epoch, of]).tolist()
    assert lines["chance"][0][1] == 10
    np.testing.assert_allclose(right.lines[0].get_ydata(), table.train_loss)


def test_blocks_stand_where_their_spikes_were():
    grid = Downsampling()
    axis = plt.figure().add_subplot()
    for _ in range(2):  # the second takes the first one's place
        plots.draw_blocks(axis, np.eye(grid.n_steps, grid.n_units), grid)
    (image,) = axis.images
    assert image.get_extent() == [0, 999, 150, 150 + 3 * 183]
    assert image.get_array()[7, 7] == 1 and image.get_array().sum() == 183


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


def test_the_benchmark_draws_each_network_by_how_it_was_selected():
    ours, papers = two_benchmarks()
    (axis,) = benchmark.benchmark(ours, papers).axes
    joined, *markers = axis.lines
    assert [*joined.get_xdata(), *joined.get_ydata()] == [92.5, 95.1, 5, 5]
    drawn = {line.get_label(): line.get_xdata().tolist() for line in markers}
    assert drawn == {
        "selected on held-out data": [93.0, 93.5],
        "last epoch, from a public log": [92.5],
        "selected on the test file": [95.1],
        "baseline of Cramer et al.": [48.1],
        "selection not known": [94.0],
        "this study, ± over seeds": [63.0, 89.0],
    }
    labels = [text.get_text() for text in axis.get_yticklabels()]
    assert labels[0].startswith("feed-forward") and labels[-1] == "delays (A. Author 2024), 200k"
    assert len(labels) == 6, "the second report of a network has no row of its own"
    assert [line.get_ydata().tolist() for line in markers[:3]] == [[5, 3], [5], [5]]


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
