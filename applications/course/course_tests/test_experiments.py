"""Experiments: a prediction first, runs that are the study's, and which differences are chance."""

import re

import matplotlib.pyplot as plt
import pandas as pd
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binomtest

from shd_course import experiments
from shd_course.experiments import Experiment
from shd_helpers.network import build_network
from shd_helpers.study import Recipe, fit


@pytest.fixture
def pressed(monkeypatch, toy_dir):
    """Return the button and what each press says."""
    seen = {}

    def catch(figure, update, recorder, **choices):
        seen.update(figure=figure, update=update, button=recorder, changes=choices["change"])

    monkeypatch.setattr(experiments, "explore", catch)
    monkeypatch.setattr(experiments, "is_live", lambda: True)
    too_large = [*experiments.ONE_SETTING, ("kernel_size", 184)]
    monkeypatch.setattr(experiments, "ONE_SETTING", too_large)
    experiments.experiment(Recipe(str(toy_dir)), epochs=2)

    def press(change, prediction, own_value=""):
        seen["button"].click()
        return seen["update"](change, own_value, prediction)

    yield press, seen
    plt.close("all")


def test_nothing_is_trained_without_a_prediction(pressed):
    press, seen = pressed
    (line,) = seen["figure"].axes[0].lines
    assert re.match(r"the recipe: \d+ %", line.get_label())
    assert seen["button"].description == "Train"
    assert "The recipe as it is" in seen["update"]("slope 25", "", "worse")  # nobody pressed
    assert press("slope 25", "?").startswith("First predict")
    assert len(seen["figure"].axes[0].lines) == 1


def test_a_run_is_the_studys(pressed, toy_dir):
    press, seen = pressed
    line = press("slope 25", "worse")
    assert line.endswith("You said: worse.") and seen["button"].description == "Train"
    changed = {"slope": 25.0, "epochs": 2, "lr_step": 2, "score_test": False}
    recipe = Recipe.from_flat({"dataset": str(toy_dir)} | changed)
    parts = recipe.load()
    generator = torch.Generator().manual_seed(0)
    model = build_network(recipe.network, 183, 10, 3.0, generator)
    history = fit(model, parts.training, parts.validation, recipe.training, generator)
    *_, drawn = seen["figure"].axes[0].lines
    assert list(drawn.get_ydata()) == [100 * epoch["validation_accuracy"] for epoch in history]


def runs_of(right_with_change, right_with_recipe, rows=None):
    """Return an experiment that has seen these answers, without training."""
    runs = Experiment.__new__(Experiment)
    runs._axis = Axes(Figure(), (0, 0, 1, 1))
    runs._right = {
        "beta 0.8": pd.Series(right_with_change, dtype=bool, index=rows),
        experiments.THE_RECIPE: pd.Series(right_with_recipe, dtype=bool),
    }
    return runs


@pytest.mark.parametrize(
    ("both", "only_change", "only_recipe", "verdict"),
    [
        # 83 against 74 of 100: the unpaired interval, ± 11, calls this about the same
        (73, 10, 1, "9 percentage points better (83 % instead of 74 %)"),
        (64, 19, 10, "9 percentage points better; this could be chance (83 % instead of 74 %)"),
        (70, 0, 6, "6 percentage points worse (70 % instead of 76 %)"),
        (70, 2, 3, "1 percentage point worse; this could be chance (72 % instead of 73 %)"),
        (70, 3, 3, "the same as the recipe (73 % instead of 73 %)"),
        (70, 0, 0, "the same as the recipe (70 % instead of 70 %)"),
    ],
)
def test_the_same_utterances_are_compared(both, only_change, only_recipe, verdict):
    rest = 100 - both - only_change - only_recipe
    with_change = both * [1] + only_change * [1] + only_recipe * [0] + rest * [0]
    with_recipe = both * [1] + only_change * [0] + only_recipe * [1] + rest * [0]
    line = runs_of(with_change, with_recipe).verdict("beta 0.8")
    assert line.startswith(f"beta 0.8: {verdict}. Of the same 100 utterances, {only_change} are")
    p_value = binomtest(only_change, only_change + only_recipe).pvalue if only_recipe else 1
    (told,) = re.findall(r"McNemar's exact test: p [<=] (0\.\d+|1)\)", line)
    assert float(told) == pytest.approx(p_value, rel=0.06)


def test_the_readers_own_values_are_tried(pressed):
    press, seen = pressed
    line = press("slope 25", "worse", "slope 3.5, beta = 0.8")
    assert line.startswith("slope 3.5, beta = 0.8: ") and line.endswith("You said: worse.")
    *_, drawn = seen["figure"].axes[0].lines
    assert drawn.get_label().startswith("slope 3.5, beta = 0.8: ")
    for typed, said in (
        ("beta", "'beta': write a setting and its value, such as beta 0.7"),
        ("betta 0.7", "parameter 'betta': unknown. Did you mean 'beta'?"),
        ("beta fast", "parameter 'beta': 'fast' must be a number"),
        ("beta 1.5", "beta"),
        ("score_test True", "score_test: an experiment doesn't change it"),
    ):
        assert press("slope 25", "worse", typed).startswith(said)


def test_a_left_out_speaker_validates_and_what_has_no_room_is_told(pressed):
    press, seen = pressed
    line = press("leave speaker 1 out", "worse")
    assert "% of 30 utterances. The recipe was" in line  # ten digits, three takes
    assert "kernel_size 184: the input has" in press("kernel_size 184", "better")
    for change in seen["changes"][:9]:
        press(change, "better")
    assert len(seen["figure"].axes[0].lines) == experiments.MOST_RUNS


def test_a_rescue_compares_each_change_for_the_speaker_who_is_held_out(toy_dir, capsys):
    changes = ["slope 25", "beta 0.8, lr 0.002"]
    table = experiments.rescue(1, changes, str(toy_dir), epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines] == changes
    assert [*table.index] == [experiments.THE_RECIPE, *changes]
    (accuracies,) = (table[name] for name in table)
    for change, line in zip(changes, lines, strict=True):
        both = f"{accuracies[change]:.0f} % instead of {accuracies.iloc[0]:.0f} %"
        assert both in line
    assert plt.get_fignums() == []
