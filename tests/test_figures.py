"""The look of all figures, and the checks that find what makes a figure hard to read."""

import matplotlib.pyplot as plt
import pytest
from matplotlib.figure import Figure

from shd_helpers import figures
from tests.overlaps import overlaps, same_in_gray, unlabeled


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_the_look_comes_with_the_first_figure():
    assert plt.rcParams["axes.spines.top"] is False  # not matplotlib's
    assert {"save", "heat_map"} <= {*figures.__all__} <= {*dir(figures)}
    for name in figures.__all__:
        assert getattr(figures, name) is not None


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
