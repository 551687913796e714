"""Figures of notebooks 4 to 8 draw the numbers they are given, and are legible."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from shd_course.figures import benchmark, circuits, downsizing, recipes, spike_axes
from shd_helpers.events.downsampling import Downsampling
from shd_helpers.figures import style
from tests.overlaps import overlaps, same_in_gray, unlabeled

SOURCE = "data: a_name_of_some_length, english; seed 0; training file"


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def means(index, lowest=40, highest=80, half=5.0):
    """Return made-up means of validation accuracy, as `summarize` does."""
    values = np.linspace(lowest, highest, len(index))
    return pd.DataFrame({"validation": values, "validation_ci95": half}, index=index)


def recipe_figures():
    """Return made-up data for the three figures of notebook 5."""
    names = [f"p{i:02d}" for i in range(16)]
    inputs = [f"input {i}" for i in range(5)]
    values = np.random.default_rng(1).uniform(10, 75, (16, 5))
    again = means(pd.MultiIndex.from_product([inputs, names[:3]]))
    rates = means(pd.MultiIndex.from_product([[0.0005, 0.001], [10, 20]], names=["lr", "epochs"]))
    levels = [["utterances", "speakers"], ["fast_sigmoid", "atan", "sigmoid"], [0.5, 2.0, 8.0]]
    slopes = means(pd.MultiIndex.from_product(levels).sort_values())
    return pd.DataFrame(values, names, inputs), again, rates, slopes


def six_inputs():
    """Return made-up means of the sweep `causes`."""
    names = [f"{c}, {p}" for c in downsizing.CHANNEL_COLORS for p in downsizing.POOLING_MARKERS]
    columns = {"input_events": np.linspace(8000, 1500, 6), "test_unseen": np.linspace(76, 71, 6)}
    return pd.DataFrame(columns | {"test_unseen_ci95": 14.0}, index=names)


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


FIRST, AGAIN, RATES, SLOPES = recipe_figures()
CASES = {
    "search": lambda: recipes.search(FIRST),
    "finalists": lambda: recipes.finalists(AGAIN, AGAIN.validation + 3),
    "single_settings": lambda: recipes.single_settings(RATES, SLOPES),
    "accuracy_over_entries": lambda: downsizing.accuracy_over_entries(six_inputs()),
    "accuracy_over_entries, not complete": lambda: downsizing.accuracy_over_entries(
        six_inputs().iloc[:2]
    ),
    "benchmark": lambda: benchmark.benchmark(*two_benchmarks()),
    "membranes": lambda: circuits.membranes(traces()),
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


def test_the_message_of_causes_says_what_is_shown_and_what_is_missing():
    say = downsizing.message_of_causes
    title, sentence = say(None, 129, 300)
    assert title == "Which step loses accuracy is open"
    assert sentence.endswith("the table is not complete: 129 of 300 rows")
    columns = {
        "mean": [-3.14, -2.0],
        "ci_holm": [1.0, 3.0],
        "p_holm": [0.04, 0.06],
        "verdict": ["shown", "undecided"],
    }
    found = pd.DataFrame(columns, index=["a", "b"])
    assert say(found, 300, 300) == ("Shown: a", "Shown, in percentage points: a (-3.1)")
    title, sentence = say(found.iloc[1:], 300, 300)
    assert title == "We could not tell which step loses accuracy"
    assert sentence == f"{title}: b comes closest (-2.0 ± 3.0 percentage points, adjusted p 0.06)"
