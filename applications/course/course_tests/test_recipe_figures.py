"""Figures of notebook 5 draw the numbers that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import integrate, stats

from shd_course.figures import recipes


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


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
