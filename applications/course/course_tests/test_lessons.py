"""Notebooks 1 and 2 as a newcomer reads them: figures that show what the text says."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from shd_corpus.shd_file import read_shd
from shd_course.figures import data_preprocessing, style, surrogate_visualization
from shd_helpers.events.downsampling import Downsampling
from tests.overlaps import overlaps

GRID = Downsampling()


@pytest.fixture
def saved(tmp_path, monkeypatch):
    monkeypatch.setattr(style, "img_dir", lambda: tmp_path)
    yield tmp_path
    plt.close("all")


@pytest.fixture(scope="module")
def toy(toy_dir):
    return read_shd(toy_dir / "toy_train.h5")


def pooled():
    """Return a matrix with a ridge of 3 events and a lone one, and what threshold 2 leaves."""
    first = np.zeros((GRID.n_steps, GRID.n_units), bool)
    first[10:13, 100] = True
    first[40, 20] = True
    second = first.copy()
    second[40, 20] = False
    second[12, 100] = False
    return {1: first, 2: second}


def step_equation(currents, beta):
    potential = 0.0
    potentials = []
    for current in currents:
        potential = beta * potential + current
        potentials.append(potential)
    return np.array(potentials)


PULSE = np.where((np.arange(60) > 5) & (np.arange(60) < 20), 0.1, 0.0)
CASES = {
    "close-up": lambda toy: data_preprocessing.binned_close_up(
        *toy.spikes(0), np.zeros((1000, 550), int), 150, "data: toy"
    ),
    "speakers": lambda toy: data_preprocessing.digits_and_speakers(toy, "data: toy"),
    "thresholds": lambda _: data_preprocessing.pooled_at_thresholds(pooled(), GRID, "data: toy"),
    "circuit": lambda _: surrogate_visualization.rc_circuit(
        PULSE, step_equation(PULSE, 0.95), 0.95, 3.0
    ),
    "losses": lambda _: surrogate_visualization.losses(
        {"true gradient": [8.0] * 20, "fast_sigmoid": [8 / n for n in range(1, 21)]}, 10, "toy"
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_figure_is_legible_and_has_a_message(name, toy, saved):
    figure = CASES[name](toy)
    assert overlaps(figure) == []
    assert len(figure.get_suptitle().split()) >= 2
    assert [*saved.glob("*.png")] and plt.get_fignums() == []


def test_the_dots_of_the_step_equation_lie_on_the_curve_of_the_circuit(saved):
    curve, dots = CASES["circuit"](None).axes[1].lines[:2]
    exact = np.interp(dots.get_xdata(), curve.get_xdata(), curve.get_ydata())
    np.testing.assert_allclose(dots.get_ydata(), exact, atol=2e-3 * exact.max())
