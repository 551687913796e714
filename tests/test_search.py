"""The search for recipes: the committed file, its points, and that nothing chosen saw a test."""

import numpy as np
import pytest
import yaml
from scipy.stats import qmc

from shd_helpers.sweeps.spec import SWEEPS
from tools import search


def content(name):
    return yaml.safe_load((SWEEPS / f"{name}.yaml").read_text())


@pytest.mark.parametrize("step", search.STEPS)
def test_the_committed_sweep_is_what_the_step_before_it_says(step):
    """Nobody chose by hand: the files follow from the committed tables."""
    make, _ = search.STEPS[step]
    assert content(step) == make(), f"run python -m tools.search {step}"


def test_points_are_sobol_s_spread_over_the_ranges():
    """Each half of every range has half of the points: only a low-discrepancy sequence does it."""
    recipes = search.recipes()
    assert len(recipes) == 16
    points = qmc.Sobol(5, seed=0).random(16)
    tau_ms = [-3.0 / np.log(recipe["beta"]) for recipe in recipes.values()]
    for column, (name, (low, high)) in enumerate(search.RANGES.items()):
        values = tau_ms if name == "tau_ms" else [recipe[name] for recipe in recipes.values()]
        place = np.log(np.array(values) / low) / np.log(high / low)
        coarse = {"batch_size": 0.11, "lr_step": 0.06}.get(name, 0.01)  # whole numbers
        np.testing.assert_allclose(place, points[:, column], atol=coarse)
        assert np.sum(points[:, column] < 0.5) == 8
    assert all(float(np.log2(recipe["batch_size"])).is_integer() for recipe in recipes.values())


def test_recipes_are_chosen_on_two_training_speakers():
    first, second = search.tuning_speakers()
    assert first < second and {first, second} <= set(search.TRAINING_SPEAKERS)
    assert not {4, 5} & set(search.TRAINING_SPEAKERS)  # new speakers of the official test file
    for name in ("search", "finalists"):
        fixed = content(name)["fixed"]
        assert fixed["validation_speakers"] == f"{first},{second}"
        assert fixed["score_test"] is False
    assert not {first, second} & set(content("final")["plan"]["strangers"])
