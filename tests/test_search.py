"""The search for recipes: nobody chose by hand, for each sweep follows from the table before it."""

import numpy as np
import pandas as pd
from ruamel.yaml import YAML
from scipy.stats import qmc

from shd_helpers.paths import ROOT

SEARCH, FINALISTS, FINAL = (
    YAML(typ="safe", pure=True).load(ROOT / "evidence" / "sweeps" / f"{name}.yaml")
    for name in ("search", "finalists", "final")
)
INPUTS = SEARCH["grid"]["input"]
RECIPES = SEARCH["grid"]["recipe"]
# from, to, on a logarithmic scale; `beta` is searched as the membrane's time constant
RANGES = {"slope": (0.5, 32), "tau_ms": (15, 500), "lr": (2.5e-4, 8e-3), "batch_size": (4, 128)}
RANGES |= {"lr_step": (5, 30)}
TRAINING_SPEAKERS = (0, 1, 2, 3, 6, 7, 8, 9, 10, 11)  # 4 and 5 are only in the test file


def accuracy(sweep, *by):
    table = pd.read_csv(ROOT / "results" / f"{sweep}_hd.csv")
    assert (table.status == "done").all()
    return table.groupby([*by]).validation_accuracy.mean()


def test_points_are_sobol_s_spread_over_the_ranges():
    """Each half of every range has half of the points: only a low-discrepancy sequence does it."""
    assert len(RECIPES) == 16
    points = qmc.Sobol(5, seed=0).random(16)
    tau_ms = [-3.0 / np.log(recipe["beta"]) for recipe in RECIPES.values()]
    for column, (name, (low, high)) in enumerate(RANGES.items()):
        values = tau_ms if name == "tau_ms" else [recipe[name] for recipe in RECIPES.values()]
        place = np.log(np.array(values) / low) / np.log(high / low)
        coarse = {"batch_size": 0.11, "lr_step": 0.06}.get(name, 0.01)  # whole numbers
        np.testing.assert_allclose(place, points[:, column], atol=coarse)
        assert np.sum(points[:, column] < 0.5) == 8
    assert all(float(np.log2(recipe["batch_size"])).is_integer() for recipe in RECIPES.values())


def test_each_input_s_best_three_are_the_finalists():
    found = accuracy("search", "input", "recipe")
    best = {
        f"{name}, {recipe}": INPUTS[name] | RECIPES[recipe]
        for name in INPUTS
        for recipe in found[name].nlargest(3).index
    }
    assert FINALISTS["grid"]["finalist"] == best and FINALISTS["seeds"] == [1, 2]


def test_the_best_finalist_is_final():
    """By the mean over the new seeds: the search's own was high by luck, too."""
    found = accuracy("finalists", "finalist")
    places = FINAL["grid"]["input"]
    for name, grid in INPUTS.items():
        recipe = found.filter(regex=f"^{name}, p").idxmax().removeprefix(f"{name}, ")
        assert places[name] == grid | RECIPES[recipe]
    for name in FINAL["plan"]["primary"]:
        assert places[f"{name}, German"] == places[name] | {"language": "german"}


def test_recipes_are_chosen_on_two_training_speakers():
    drawn = np.random.default_rng(0).choice(TRAINING_SPEAKERS, 2, replace=False)
    for content in (SEARCH, FINALISTS):
        fixed = content["fixed"]
        assert fixed["validation_speakers"] == ",".join(map(str, sorted(drawn)))
        assert fixed["score_test"] is False
    assert FINAL["plan"]["unseen_speakers"] == [i for i in range(12) if i not in drawn]
