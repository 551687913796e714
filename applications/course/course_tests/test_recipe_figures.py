"""Figures of notebook 5 draw the numbers that they are given, and are legible."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from scipy import integrate, stats

from shd_course.figures import recipes, style
from tests.overlaps import overlaps

NAMES = [f"p{i:02d}" for i in range(16)]
RUNS = pd.DataFrame(
    {
        "recipe": NAMES,
        "slope": np.geomspace(0.5, 32, 16),
        "beta": np.linspace(0.8, 0.99, 16),
        "lr": np.geomspace(2.5e-4, 8e-3, 16),
        "batch_size": 128,
        "lr_step": np.arange(5, 21),
    }
)
ACCURACIES = pd.DataFrame(
    np.random.default_rng(1).uniform(10, 75, (16, 5)), NAMES, [f"input {i}" for i in range(5)]
)


CASES = {
    "search": lambda: recipes.search(recipes.settings(RUNS), ACCURACIES, "p03"),
    "luck": lambda: recipes.luck(3.4),
}


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.mark.parametrize("name", CASES)
def test_figure_is_legible_as_it_is_saved(name, tmp_path, monkeypatch):
    monkeypatch.setattr(style, "img_dir", lambda: tmp_path)
    figure = CASES[name]()
    assert overlaps(figure, lambda: style.save(figure, name, "data: a name", "A message")) == []
    assert plt.get_fignums() == [], "an open figure is shown once more at the end of a cell"


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
