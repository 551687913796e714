"""Figures of notebooks 2 and 4 draw the numbers that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from shd_course.figures import spike_axes, surrogate_visualization
from shd_helpers.events.downsampling import Downsampling


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_blocks_stand_where_their_spikes_were():
    grid = Downsampling()
    axis = plt.figure().add_subplot()
    for _ in range(2):  # the second takes the first one's place
        spike_axes.draw_blocks(axis, np.eye(grid.n_steps, grid.n_units), grid)
    (image,) = axis.images
    assert image.get_extent() == [0, 999, 150, 150 + 3 * 183]
    assert image.get_array()[7, 7] == 1 and image.get_array().sum() == 183


def test_the_dots_of_the_step_equation_lie_on_the_curve_of_the_circuit(tmp_path, monkeypatch):
    monkeypatch.setenv("SHD_IMG_DIR", str(tmp_path))
    currents = np.where((np.arange(60) > 5) & (np.arange(60) < 20), 0.1, 0.0)
    potentials = [0.0]
    for current in currents:
        potentials.append(0.95 * potentials[-1] + current)
    figure = surrogate_visualization.rc_circuit(currents, np.array(potentials[1:]), 0.95, 3.0)
    curve, dots = figure.axes[1].lines[:2]
    exact = np.interp(dots.get_xdata(), curve.get_xdata(), curve.get_ydata())
    np.testing.assert_allclose(dots.get_ydata(), exact, atol=2e-3 * exact.max())
