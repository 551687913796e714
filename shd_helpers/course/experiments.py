"""Change one setting, predict, train for seconds, and see the runs over one another."""

import contextlib
import io
from functools import partial
from typing import Any

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
import torch
import traitlets
from matplotlib.figure import Figure

from shd_helpers.data.datasets import dataset_name, speaker_name
from shd_helpers.figures.controls import explore, is_live
from shd_helpers.figures.style import legend_beside
from shd_helpers.network import build_network
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.training import TrainOptions, fit

ONE_SETTING: list[tuple[str, Any]] = [
    ("slope", 25.0), ("slope", 0.5), ("beta", 0.8), ("beta", 0.99), ("pool_threshold", 1),
    ("pool_threshold", 4), ("batch_size", 32), ("n_delays", 4), ("shift_units", 11),
    ("shift_ms", 80.0), ("stretch", 0.3),
]  # fmt: skip
PREDICTIONS = ["?", "better", "about the same", "worse"]
MOST_RUNS = 5  # in the figure


class TrainButton(widgets.Button):
    """A button that counts how often it was pressed."""

    number = traitlets.Int()

    def __init__(self) -> None:
        super().__init__(description="Train", button_style="primary")
        self.on_click(lambda _: self.set_trait("number", self.number + 1))


def experiment(recipe: Recipe, epochs: int = 10) -> Figure | None:
    """Train with one setting changed, after a prediction, and compare with the recipe as it is.

    Each run takes so many epochs; the test utterances aren't read.
    """
    settings = recipe.flat() | {"epochs": epochs, "lr_step": 1 + epochs // 2, "score_test": False}
    changes = {f"{name} {value:g}": {name: value} for name, value in ONE_SETTING}
    name_of = partial(speaker_name, dataset_name(recipe.files))
    for speaker in np.unique(Recipe.from_flat(settings).load().training.speakers):
        alone = {"validation": "speaker", "validation_speakers": str(speaker)}
        changes[f"leave speaker {name_of(speaker)} out"] = alone
    button = TrainButton() if is_live() else None
    figure, axis = plt.subplots(figsize=(8.5, 3.7))
    runs: dict[str, list[float]] = {}
    n_words = 0

    def train(name: str, change: dict[str, Any]) -> float:
        """Train once, draw the validation accuracy over epochs, and return the last one."""
        nonlocal n_words
        one = Recipe.from_flat(settings | change)
        parts, generator = one.load(), torch.Generator().manual_seed(one.seed)
        n_words, classes = len(parts.validation), len(parts.training.class_names)
        size = one.input.n_units, classes, one.input.step_ms
        model = build_network(one.network, *size, generator)

        def tell(_model: object, metrics: dict) -> None:
            if button:
                button.description = f"epoch {metrics['epoch']} of {one.training.epochs}"

        try:
            with contextlib.redirect_stdout(io.StringIO()):
                history = fit(
                    model, parts.training, parts.validation, one.training, generator,
                    options=TrainOptions(one.augmentation), on_epoch=tell,
                )  # fmt: skip
        finally:
            if button:
                button.description = "Train"
        runs.pop(name, None)
        runs[name] = [100 * row["validation_accuracy"] for row in history]
        axis.clear()
        first, *others = runs.items()
        for label, values in [first, *others[1 - MOST_RUNS :]]:
            axis.plot(range(1, len(values) + 1), values, label=f"{label}: {values[-1]:.0f} %")
        axis.set(xlabel="epoch", ylabel="validation accuracy (%)", ylim=(0, 102))
        legend_beside(axis)
        return runs[name][-1]

    base = train("the recipe", {})
    last, line = 0, f"The recipe as it is: {base:.0f} % after {epochs} epochs."

    def update(change: str = next(iter(changes)), prediction: str = PREDICTIONS[0]) -> str:
        nonlocal last, line
        number = button.number if button else last + 1
        if number == last:
            return line
        last = number
        if button and prediction == PREDICTIONS[0]:
            return "First predict: better, about the same or worse than the recipe?"
        try:
            found = train(change, changes[change])
        except ValueError as error:  # the recipe leaves no room for it
            return str(error)
        # half of the 95 % interval of a difference between two shares of so many words
        either = (base + found) / 200
        chance = 196 * np.sqrt(2 * either * (1 - either) / n_words)
        outcome = PREDICTIONS[2 if abs(found - base) <= chance else 1 if found > base else 3]
        line = (
            f"{change}: {found:.0f} %, the recipe {base:.0f} %: {outcome}. Up to {chance:.0f} "
            f"points may be chance with {n_words} words."
        )
        if button:
            line += f" You said: {prediction}."
        return line

    return explore(figure, update, recorder=button, change=list(changes), prediction=PREDICTIONS)
