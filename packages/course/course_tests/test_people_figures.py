"""Figures of the test on 1,800 people draw the numbers that they are given, and are legible."""

import matplotlib.pyplot as plt
import pandas as pd
import pytest

from shd_course.figures import people
from tests.overlaps import overlaps, unlabeled

COSTS = {
    "700 x 1000": (7_500, 1.9e6, 0.68),
    "183 x 333": (4_700, 1.2e6, 0.74),
    "183 x 333, threshold 2": (1_900, 0.5e6, 0.70),
    "233 x 100": (3_200, 0.8e6, 0.70),
    "30 x 333": (1_600, 0.4e6, 0.69),
    "30 x 30": (390, 0.1e6, 0.40),
    "small, 183 x 333": (4_700, 2.3e6, 0.80),
}


@pytest.fixture
def cells():
    rows = [
        {"cell": cell, "input_events": events, "effective_acs": acs, "accuracy": accuracy}
        for cell, (events, acs, accuracy) in COSTS.items()
    ]
    yield pd.DataFrame(rows).assign(ci95=0.014)
    plt.close("all")


def test_frontier_has_each_input_at_its_cost(cells):
    figure = people.frontier(cells)
    for axis, number in zip(figure.axes, (0, 1), strict=True):
        points = {
            (round(x), round(y, 1))
            for line in axis.containers
            for x, y in zip(*line.lines[0].get_data(), strict=True)
        }
        wanted = {(round(each[number]), round(100 * each[2], 1)) for each in COSTS.values()}
        assert points == wanted
    named = {text.get_text() for text in figure.axes[1].texts}
    assert named == {"183 x 333 (small)", *COSTS} - {"small, 183 x 333"}
    assert not unlabeled(figure)
    assert not overlaps(figure)


def test_changes_are_filled_if_they_are_shown():
    rows = [
        {"first": "a", "second": "b", "difference": 2.5, "ci95_adjusted": 1.5, "verdict": "shown"},
        {
            "first": "c",
            "second": "b",
            "difference": -0.5,
            "ci95_adjusted": 1,
            "verdict": "undecided",
        },
    ]
    figure = people.changes(pd.DataFrame(rows), {("a", "b"): "the first", ("c", "b"): "the other"})
    axis = figure.axes[0]
    colors = [line.lines[0].get_markerfacecolor() for line in axis.containers]
    assert colors == ["C0", "white"]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["the first", "the other"]
    assert axis.texts[0].get_text() == "+2.5 ± 1.5, shown"
    assert not unlabeled(figure)
    plt.close("all")
