"""Figures of notebooks 4, 7 and 8 draw the numbers they are given, and are legible."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from shd_course.figures import benchmark, circuits, spike_axes
from shd_helpers.events.downsampling import Downsampling
from shd_helpers.figures import style
from tests.overlaps import overlaps, same_in_gray, unlabeled

SOURCE = "data: a_name_of_some_length, english; seed 0; training file"


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


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


def disturbed():
    """Return made-up accuracies for each kind of disturbance."""
    kinds = [kind for panel in circuits.PANELS.values() for kind in panel]
    index = pd.MultiIndex.from_product([kinds, [0.01, 0.1, 0.3]])
    return pd.Series(np.linspace(70, 12, len(index)), index)


def traces():
    """Return made-up membranes whose spikes differ."""
    ms = 3.0 * np.arange(333)
    return pd.DataFrame({"integers": ms % 51 / 40, "floats": ms % 57 / 45}, index=ms)


def rounded():
    """Return made-up losses of three circuits."""
    columns = {"loss": [0.1, 0.2, 4.0], "ci95": [1.0, 1.2, 9.0], "kB": [7.0, 5.6, 3.5]}
    columns["same"] = [99.9, 98.4, 80.0]
    return pd.DataFrame(columns, index=["8-8-16", "5-8-16", "4-4-16"])


CASES = {
    "benchmark": lambda: benchmark.benchmark(*two_benchmarks()),
    "membranes": lambda: circuits.membranes(traces()),
    "rounding": lambda: circuits.rounding(rounded(), "5-8-16", 0.5),
    "disturbances": lambda: circuits.disturbances(disturbed(), 71.0),
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


def test_blocks_stand_where_their_spikes_were():
    grid = Downsampling()
    axis = plt.figure().add_subplot()
    for _ in range(2):  # the second takes the first one's place
        spike_axes.draw_blocks(axis, np.eye(grid.n_steps, grid.n_units), grid)
    (image,) = axis.images
    assert image.get_extent() == [0, 999, 150, 150 + 3 * 183]
    assert image.get_array()[7, 7] == 1 and image.get_array().sum() == 183


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
