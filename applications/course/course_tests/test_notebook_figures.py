"""Figures of notebooks 4 and 8 draw the numbers they are given, and are legible."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from shd_course.figures import circuits, spike_axes, style
from shd_helpers.events.downsampling import Downsampling
from tests.overlaps import overlaps

SOURCE = "data: a_name_of_some_length, english; seed 0; training file"


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def disturbed():
    """Return made-up accuracies for each kind of disturbance."""
    kinds = [kind for panel in circuits.PANELS.values() for kind in panel]
    index = pd.MultiIndex.from_product([kinds, [0.01, 0.1, 0.3]])
    return pd.Series(np.linspace(70, 12, len(index)), index)


def traces():
    """Return made-up membranes whose spikes differ."""
    ms = 3.0 * np.arange(333)
    return pd.DataFrame({"integers": ms % 51 / 40, "floats": ms % 57 / 45}, index=ms)


CASES = {
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


def test_blocks_stand_where_their_spikes_were():
    grid = Downsampling()
    axis = plt.figure().add_subplot()
    for _ in range(2):  # the second takes the first one's place
        spike_axes.draw_blocks(axis, np.eye(grid.n_steps, grid.n_units), grid)
    (image,) = axis.images
    assert image.get_extent() == [0, 999, 150, 150 + 3 * 183]
    assert image.get_array()[7, 7] == 1 and image.get_array().sum() == 183
