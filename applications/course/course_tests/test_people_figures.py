"""Figures of notebook 6 draw the numbers that they are given, and mark what a reader accepts.

Figures of notebook 5 draw the numbers that they are given.

Figures of notebooks 2 and 4 draw the numbers that they are given.
"""

from inspect import signature

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from shd_course.figures import people, recipes, style, surrogate_visualization
from shd_helpers.events.downsampling import Downsampling

FULL = "700 x 1000"
# question, cell, accumulates, accuracy
ROWS = [
    ("cost", FULL, 1.9e6, 0.675),
    ("cost", "550 x 1000", 1.86e6, 0.682),
    ("cost", "183 x 333", 1.2e6, 0.698),
    ("cost", "183 x 333, threshold 2", 0.48e6, 0.694),
    ("cost", "183 x 333, thinned", 0.48e6, 0.662),
    ("raise", "original", 0.49e6, 0.495),
    ("raise", "threshold 1", 1.22e6, 0.387),
    ("raise", "recipe", 1.2e6, 0.698),
    ("size", "233 x 333", 1.22e6, 0.691),
    ("size", "77 x 333", 0.69e6, 0.677),
    ("size", "77 x 100", 0.4e6, 0.584),
    ("size", "30 x 333", 0.41e6, 0.611),
    ("size", "30 x 30", 0.1e6, 0.382),
    ("people", "150 people", 1.2e6, 0.58),
]
CONTRASTS = pd.DataFrame(
    {
        "family": ["primary", "path", "size", "size", "size"],
        "first": ["183 x 333, threshold 2", "550 x 1000", "77 x 333", "30 x 333", "77 x 100"],
        "second": FULL,
        "difference": [1.9, 0.7, 0.2, -6.4, -9.1],
        "ci95_adjusted": [1.7, 2.6, 2.3, 3.2, 3.2],
        "verdict": ["shown", "undecided", "undecided", "shown", "shown"],
        "excluded_loss": [-0.5, 1.2, 1.7, 8.4, 11.1],
    }
)


def table(rows):
    found = pd.DataFrame(rows, columns=["question", "cell", "effective_acs", "accuracy"])
    return found.assign(ci95=0.022, input_events=found.effective_acs / 256, parameters=50_000)


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_networks_and_inputs_have_each_network_once():
    drawn = people.networks_and_inputs(table([*ROWS, ("small", "small, 77 x 333", 1.0e6, 0.70)]))
    left_out = ("183 x 333, thinned", "original", "threshold 1", "recipe", "150 people")
    names = [name for _, name, *_ in ROWS if name not in left_out]
    assert drawn.cell.tolist() == [*names, "small, 77 x 333"]
    assert drawn.kind.iloc[-1] == "network small, several inputs" and drawn.kind.nunique() == 2


@pytest.fixture
def slider(monkeypatch):
    """Return what the slider's figure is, and what changes it."""
    seen = {}

    def catch(figure, update, **choices):
        assert {*choices} == {*signature(update).parameters}
        seen.update(figure=figure, update=update)

    monkeypatch.setattr(people, "explore", catch)
    people.smallest_input(table(ROWS), CONTRASTS)
    return seen


@pytest.mark.parametrize(
    ("accepted", "estimate", "interval"),
    [
        (0, "183 x 333, threshold 2", "183 x 333, threshold 2"),
        (6.4, "30 x 333", "183 x 333, threshold 2"),
        (8.3, "30 x 333", "183 x 333, threshold 2"),
        (8.4, "30 x 333", "30 x 333"),
        (9.1, "77 x 100", "30 x 333"),
    ],
)
def test_the_slider_marks_the_smallest_input_whose_loss_is_accepted(
    slider, accepted, estimate, interval
):
    slider["update"](accepted)
    (axis,) = slider["figure"].axes
    cells = table(ROWS).set_index("cell").effective_acs
    marked = {line.get_label(): line.get_xdata() for line in axis.lines}
    assert marked["cheapest by the estimate"] == [cells[estimate]]
    assert marked["cheapest by the interval"] == [cells[interval]]


def test_a_loss_without_a_planned_contrast_is_not_offered():
    found = people.losses(table(ROWS), CONTRASTS)
    assert {*found.index} == {FULL, *CONTRASTS["first"]}
    assert found.loc["30 x 333", ["loss", "bound"]].tolist() == [6.4, 8.4]
    assert found.loc[FULL, ["loss", "bound"]].tolist() == [0, 0]


def test_the_challenge_lists_the_reader_s_network_among_those_that_reach_the_target():
    cells = table(ROWS)
    mine = {"network": "mine", "parameters": 9000, "accumulates": 4e5, "accuracy": 66.12}
    found = people.challenge(cells, 67, None)
    assert "mine" not in found.index and "77 x 333" in found.index and "77 x 100" not in found.index
    found = people.challenge(cells, 66, mine)
    assert found.index[0] == "mine"
    assert found.loc["mine"].tolist() == ["9,000", "400,000", "66.1 %"]
    assert "mine" not in people.challenge(cells, 67, mine).index


@pytest.mark.parametrize("n_recipes", [1, 6, 16])
def test_mean_luck_is_the_expected_largest_of_normal_numbers(n_recipes):
    def density(z):
        return n_recipes * z * stats.norm.pdf(z) * stats.norm.cdf(z) ** (n_recipes - 1)

    expected, _ = integrate.quad(density, -8, 8)
    assert recipes.mean_luck(n_recipes, 3.4) == pytest.approx(3.4 * expected, abs=0.1)


def test_the_best_of_the_search_is_run_again(monkeypatch):
    seen = {}
    monkeypatch.setattr(recipes, "explore", lambda figure, update, **_: seen.update(update=update))
    recipes.luck(3.4)
    line = seen["update"](5, 7)
    first, again = np.random.default_rng(7).normal(0, 3.4, (2, 5))
    assert f"looks {first.max():.1f} percentage points too good" in line
    assert line.endswith(f"{again[first.argmax()]:+.1f}")


def test_blocks_stand_where_their_spikes_were():
    grid = Downsampling()
    axis = plt.figure().add_subplot()
    for _ in range(2):  # the second takes the first one's place
        style.draw_blocks(axis, np.eye(grid.n_steps, grid.n_units), grid)
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
