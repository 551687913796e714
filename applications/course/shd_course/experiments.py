"""Change one setting, predict what it does, train for seconds, and compare the runs."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from scipy import stats

from shd_course.figures.controls import explore, is_live
from shd_course.figures.style import legend_beside
from shd_helpers.command import from_extra
from shd_helpers.network import build_network
from shd_helpers.study.parameters import check_parameters, literal
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.training import Evaluation, TrainOptions, evaluate, fit

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
PREDICTIONS = [NO_PREDICTION, "better", "about the same", "worse"]
MOST_RUNS = 5  # that the figure shows
THE_RECIPE = "the recipe"
SHOWN_P = 0.05  # a difference with a lower p is called better or worse
# What an experiment sets itself, or doesn't use
FIXED = ("dataset", "epochs", "lr_step", "score_test", "run_name", "circuit")


class TrainButton(widgets.Button):
    """A button that counts how often it was pressed."""

    number = traitlets.Int()

    def __init__(self) -> None:
        super().__init__(description="Train", button_style="primary")
        self.on_click(lambda _: self.set_trait("number", self.number + 1))


class Experiment:
    """The runs of an experiment and their figure."""

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
        # for each run, whether each validation utterance, by file and row, is classified correctly
        self._right: dict[str, pd.Series] = {}
        self.figure, self._axis = plt.subplots(figsize=(8.5, 3.7))

    def changes(self) -> dict[str, dict[str, Any]]:
        """Return the settings that each change replaces."""
        changes: dict[str, dict[str, Any]] = {
            f"{name} {value:g}": {name: value} for name, value in ONE_SETTING
        }
        recipe = Recipe.from_flat(self._settings, self._n_channels)
        for speaker in np.unique(recipe.load().training.speakers):
            changes[f"leave speaker {speaker} out"] = {
                "validation": "speaker",
                "validation_speakers": str(speaker),
            }
        return changes

    def train(self, name: str, change: dict[str, Any]) -> float:
        """Train one run, draw it, and return its last validation accuracy, in percent."""
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

        def show_epoch(_model: object, metrics: dict) -> None:
            self._describe(f"epoch {metrics['epoch']} of {recipe.training.epochs}")

        try:
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
        self._right[name] = _right_answers(evaluate(model, utterances.validation))
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
        self._axis.set_title("The recipe as it is")
        legend_beside(self._axis)

    def verdict(self, change: str) -> str:
        """Say in a sentence or two whether a change made a difference.

        Both networks classify the same utterances, so they are compared by McNemar's exact test:
        only utterances count that one of them classifies correctly and the other doesn't.
        """
        own = self._right[change]
        base = self._right[THE_RECIPE]
        if not own.index.equals(base.index):
            self._axis.set_title(f"{change}: not comparable with the recipe")
            return (
                f"{change}: {100 * own.mean():.0f} % of {len(own)} utterances. The recipe was "
                "validated on other utterances, so the two accuracies can't be compared."
            )
        only_own = int((own & ~base).sum())
        only_base = int((base & ~own).sum())
        p = mcnemar_p(only_own, only_base)
        p_text = "< 0.001" if p < 0.001 else f"= {p:.2g}"
        accuracies = f"{100 * own.mean():.0f} % instead of {100 * base.mean():.0f} %"
        outcome = _outcome(100 * (own.mean() - base.mean()), p)
        self._axis.set_title(f"{change}: {outcome}")
        return (
            f"{change}: {outcome} ({accuracies}). Of the same {len(own)} utterances, {only_own} "
            f"are right only with the change, and {only_base} only with the recipe (McNemar's "
            f"exact test: p {p_text})."
        )


def _right_answers(evaluation: Evaluation) -> pd.Series:
    """Return whether each utterance is classified correctly, by its file and row, sorted."""
    events = evaluation.events
    utterance = pd.MultiIndex.from_arrays([events.file, events.rows])
    return pd.Series(evaluation.answers == events.labels, index=utterance).sort_index()


def mcnemar_p(only_one: int, only_other: int) -> float:
    """Return the p value of McNemar's exact test of two classifiers on the same utterances.

    It needs the numbers of utterances that only the one, and only the other, classifies correctly.
    """
    n_differing = only_one + only_other
    return float(stats.binomtest(only_one, n_differing).pvalue) if n_differing else 1.0


def _outcome(points: float, p: float) -> str:
    """Say what a difference in percentage points means."""
    if points == 0:
        return "the same as the recipe"
    unit = "percentage point" if f"{abs(points):.0f}" == "1" else "percentage points"
    better_or_worse = "better" if points > 0 else "worse"
    chance = "; this could be chance" if p >= SHOWN_P else ""
    return f"{abs(points):.0f} {unit} {better_or_worse}{chance}"


def own_change(text: str, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that the reader has typed, such as ``beta 0.7, slope 2``."""
    change = {}
    for part in text.split(","):
        name, _, value = part.replace("=", " ").strip().partition(" ")
        if not value.strip():
            raise ValueError(f"{part.strip()!r}: write a setting and its value, such as beta 0.7")
        if name in FIXED:
            raise ValueError(f"{name}: an experiment doesn't change it; take another setting")
        change[name] = literal(value.strip(), settings.get(name))
    check_parameters(change, settings)
    return change


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

    def update(
        change: str = next(iter(changes)), own_value: str = "", prediction: str = NO_PREDICTION
    ) -> str:
        nonlocal n_pressed, line
        number = button.number if button else n_pressed + 1
        if number == n_pressed:  # another control moved
            return line
        n_pressed = number
        if button and prediction == NO_PREDICTION:
            return "First predict: better, about the same or worse than the recipe?"
        name = own_value.strip() or change
        try:
            settings = own_change(name, recipe.flat()) if own_value.strip() else changes[change]
            runs.train(name, settings)
        except ValueError as error:  # the recipe leaves no room for it
            return str(error)
        line = runs.verdict(name)
        if button:
            line += f" You said: {prediction}."
        return line

    return explore(
        runs.figure,
        update,
        recorder=button,
        change=list(changes),
        own_value="",
        prediction=PREDICTIONS,
    )


def rescue(
    speaker: int, changes: Sequence[str], dataset: str = "digits", epochs: int = 10
) -> pd.DataFrame | None:
    """Train without a speaker, as the recipe is and with changes, and print what each change does.

    Parameters
    ----------
    speaker : int
        Of the training file, whose utterances validate.
    changes : sequence of str
        Each a setting and its value, such as ``"n_delays 8"``, or several with commas between them.
        All are checked before the first run.
    dataset : str
        The name of a data set, or its folder.
    epochs : int
        Epochs of each run.

    Returns
    -------
    DataFrame or None
        A row for each run, with its accuracy for the speaker; None if there is nothing to try.
    """
    if not changes:
        return None
    settings = {"validation": "speaker", "validation_speakers": str(speaker)}
    recipe = Recipe.from_flat({"dataset": dataset} | settings)
    settings_of = {change: own_change(change, recipe.flat()) for change in changes}
    runs = Experiment(recipe, epochs)
    accuracies = {THE_RECIPE: runs.train(THE_RECIPE, {})}
    for change, its in settings_of.items():
        accuracies[change] = runs.train(change, its)
        print(runs.verdict(change))
    plt.close(runs.figure)
    return pd.DataFrame({f"accuracy for speaker {speaker} (%)": accuracies}).round(1)
