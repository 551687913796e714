"""The search for recipes: the committed file, its points, and that nothing chosen saw a test."""

import numpy as np
import pytest
import yaml
from scipy.stats import qmc

from shd_helpers.sweeps import search
from shd_helpers.sweeps.spec import SWEEPS

# Sweeps behind a choice: of a recipe, an input, a model.
CHOOSING = (
    "search",
    "surrogates",
    "learning_rate_epochs",
    "batch_size",
    "downsizing_tuning",
    "models_validation",
    "convolutional_reference_validation",
)


def content(name):
    return yaml.safe_load((SWEEPS / f"{name}.yaml").read_text())


def test_the_committed_sweep_is_the_search_s():
    assert content("search") == search.sweep(), "run python -m shd_helpers.sweeps.search"


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
    assert content("search")["fixed"]["validation_speakers"] == f"{first},{second}"


@pytest.mark.parametrize("name", CHOOSING)
def test_what_chooses_scores_no_test_utterance(name):
    assert content(name)["fixed"]["score_test"] is False
