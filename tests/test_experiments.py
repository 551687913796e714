"""Experiments: a prediction first, runs that are the study's, and which differences are chance."""

import re

import matplotlib.pyplot as plt
import pytest
import torch

from shd_helpers.course import experiments
from shd_helpers.network import build_network
from shd_helpers.study import Recipe, fit
from tests.overlaps import overlaps, same_in_gray, unlabeled


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

    def press(change, prediction):
        seen["button"].click()
        return seen["update"](change, prediction)

    yield press, seen
    plt.close("all")


def test_nothing_is_trained_without_a_prediction(pressed):
    press, seen = pressed
    (line,) = seen["figure"].axes[0].lines
    assert re.match(r"the recipe: \d+ %", line.get_label())
    assert seen["button"].description == "Train"
    assert "The recipe as it is" in seen["update"]("slope 25", "worse")  # nobody pressed
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
    check_verdict(line, len(parts.validation))


def check_verdict(line, n_utterances):
    """Check the interval in a verdict, and that the verdict follows from it."""
    found, base, chance, utterances = map(
        int, re.findall(r" (\d+) (?:%|utterances|percentage)", line)
    )
    assert utterances == n_utterances
    share = (found + base) / 200
    assert chance == pytest.approx(196 * (2 * share * (1 - share) / utterances) ** 0.5, abs=1)
    within = abs(found - base) <= chance
    assert ("about the same. Up" in line) == within or abs(abs(found - base) - chance) <= 1


def test_a_left_out_speaker_validates_and_what_has_no_room_is_told(pressed):
    press, seen = pressed
    line = press("leave speaker 1 out", "worse")
    assert "with 30 utterances" in line  # ten digits, three takes
    assert "kernel_size 184: the input has" in press("kernel_size 184", "better")
    for change in seen["changes"][:9]:
        press(change, "better")
    figure = seen["figure"]
    assert len(figure.axes[0].lines) == experiments.MOST_RUNS
    assert overlaps(figure) == [] and unlabeled(figure) == [] and same_in_gray(figure) == []
