"""Change one setting, predict what it does, train for seconds, and compare the runs."""

import contextlib
import io
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure

from shd_helpers.data.datasets import dataset_name, speaker_name
from shd_helpers.extras import from_extra
from shd_helpers.figures.controls import explore, is_live
from shd_helpers.figures.style import legend_beside
from shd_helpers.network import build_network
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.training import TrainOptions, fit

with from_extra("study"):
    import ipywidgets as widgets
    import traitlets

ONE_SETTING: list[tuple[str, Any]] = [
    ("slope", 25.0),
    ("slope", 0.5),
    ("beta", 0.8),
    ("beta", 0.99),
    ("pool_threshold", 1),
    ("pool_threshold", 4),
    ("batch_size", 32),
    ("n_delays", 4),
    ("shift_units", 11),
    ("shift_ms", 80.0),
    ("stretch", 0.3),
]
NO_PREDICTION = "?"
BETTER = "better"
SAME = "about the same"
WORSE = "worse"
PREDICTIONS = [NO_PREDICTION, BETTER, SAME, WORSE]
MOST_RUNS = 5  # that the figure shows
THE_RECIPE = "the recipe"


class TrainButton(widgets.Button):
    """A button that counts how often it was pressed."""

    number = traitlets.Int()

    def __init__(self) -> None:
        super().__init__(description="Train", button_style="primary")
        self.on_click(lambda _: self.set_trait("number", self.number + 1))


class Experiment:
    """The runs of an experiment and their figure.

    Parameters
    ----------
    recipe : Recipe
        The settings to compare with.
    epochs : int
        Epochs of each run.
    button : TrainButton, optional
        Shows the epoch while a run trains.
    """

    def __init__(self, recipe: Recipe, epochs: int, button: TrainButton | None = None) -> None:
        # The test utterances aren't read: nothing may be chosen on them.
        self._settings = recipe.flat() | {
            "epochs": epochs,
            "lr_step": 1 + epochs // 2,
            "score_test": False,
        }
        self._n_channels = recipe.input.n_channels
        self._button = button
        self._accuracies: dict[str, list[float]] = {}  # in percent, after each epoch
        self._n_validation = 0
        self.figure, self._axis = plt.subplots(figsize=(8.5, 3.7))

    def changes(self) -> dict[str, dict[str, Any]]:
        """Return the settings that each change replaces.

        Returns
        -------
        dict of str to dict
            Settings by the change's name.
        """
        changes: dict[str, dict[str, Any]] = {}
        for name, value in ONE_SETTING:
            changes[f"{name} {value:g}"] = {name: value}
        recipe = Recipe.from_flat(self._settings, self._n_channels)
        dataset = dataset_name(recipe.files)
        for speaker in np.unique(recipe.load().training.speakers):
            changes[f"leave speaker {speaker_name(dataset, speaker)} out"] = {
                "validation": "speaker",
                "validation_speakers": str(speaker),
            }
        return changes

    def train(self, name: str, change: dict[str, Any]) -> float:
        """Train one run, draw it, and return its last validation accuracy.

        Parameters
        ----------
        name : str
            The run's name in the figure.
        change : dict
            Settings that differ from the recipe's.

        Returns
        -------
        float
            Percent.

        Raises
        ------
        ValueError
            If the changed settings don't fit each other or the data.
        """
        recipe = Recipe.from_flat(self._settings | change, self._n_channels)
        utterances = recipe.load()
        generator = torch.Generator().manual_seed(recipe.seed)
        model = build_network(
            recipe.network,
            recipe.input.n_units,
            len(utterances.training.class_names),
            recipe.input.step_ms,
            generator,
        )
        self._n_validation = len(utterances.validation)

        def show_epoch(_model: object, metrics: dict) -> None:
            self._describe(f"epoch {metrics['epoch']} of {recipe.training.epochs}")

        try:
            with contextlib.redirect_stdout(io.StringIO()):  # one line for each epoch
                history = fit(
                    model,
                    utterances.training,
                    utterances.validation,
                    recipe.training,
                    generator,
                    options=TrainOptions(recipe.augmentation),
                    on_epoch=show_epoch,
                )
        finally:
            self._describe("Train")
        self._accuracies.pop(name, None)  # so that the newest run comes last
        self._accuracies[name] = [100 * metrics["validation_accuracy"] for metrics in history]
        self._draw()
        return self._accuracies[name][-1]

    def _describe(self, text: str) -> None:
        if self._button:
            self._button.description = text

    def _draw(self) -> None:
        """Draw the recipe's run and the newest others."""
        self._axis.clear()
        first, *others = self._accuracies.items()
        for label, accuracies in [first, *others[1 - MOST_RUNS :]]:
            epochs = range(1, len(accuracies) + 1)
            self._axis.plot(epochs, accuracies, label=f"{label}: {accuracies[-1]:.0f} %")
        self._axis.set(xlabel="epoch", ylabel="validation accuracy (%)", ylim=(0, 102))
        legend_beside(self._axis)

    def verdict(self, change: str, accuracy: float, base: float) -> str:
        """Say in a sentence whether a change made a difference.

        Parameters
        ----------
        change : str
            Its name.
        accuracy, base : float
            Validation accuracies with and without it, percent.

        Returns
        -------
        str
            The sentence, with one of `PREDICTIONS`.
        """
        # half of the 95 % interval of a difference between two shares of n_validation utterances
        share = (base + accuracy) / 200
        chance = 196 * np.sqrt(2 * share * (1 - share) / self._n_validation)
        if abs(accuracy - base) <= chance:
            outcome = SAME
        elif accuracy > base:
            outcome = BETTER
        else:
            outcome = WORSE
        return (
            f"{change}: {accuracy:.0f} %, {THE_RECIPE} {base:.0f} %: {outcome}. Up to "
            f"{chance:.0f} percentage points may be chance with {self._n_validation} utterances."
        )


def experiment(recipe: Recipe, epochs: int = 10) -> Figure | None:
    """Let the reader change one setting, predict the outcome, and train.

    Parameters
    ----------
    recipe : Recipe
        The settings to compare with. It is trained once, at first.
    epochs : int
        Epochs of each run.

    Returns
    -------
    Figure or None
        The figure if nobody is there to use the controls, else None: see `explore`.
    """
    button = TrainButton() if is_live() else None
    runs = Experiment(recipe, epochs, button)
    changes = runs.changes()
    base = runs.train(THE_RECIPE, {})
    n_pressed = 0
    line = f"The recipe as it is: {base:.0f} % after {epochs} epochs."

    def update(change: str = next(iter(changes)), prediction: str = NO_PREDICTION) -> str:
        nonlocal n_pressed, line
        number = button.number if button else n_pressed + 1
        if number == n_pressed:  # another control moved
            return line
        n_pressed = number
        if button and prediction == NO_PREDICTION:
            return "First predict: better, about the same or worse than the recipe?"
        try:
            accuracy = runs.train(change, changes[change])
        except ValueError as error:  # the recipe leaves no room for it
            return str(error)
        line = runs.verdict(change, accuracy, base)
        if button:
            line += f" You said: {prediction}."
        return line

    return explore(
        runs.figure, update, recorder=button, change=list(changes), prediction=PREDICTIONS
    )
