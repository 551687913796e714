"""The figures of notebook 3: a curve that grows with the training, and the original accuracy."""

from typing import Any

import matplotlib.pyplot as plt
from IPython.display import display
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

import shd_judge
from shd_course.figures.controls import is_live
from shd_helpers.figures.style import INK, TITLE, describe, legend_above, save
from shd_helpers.paths import ROOT
from shd_helpers.study import speaker_accuracies

COMMITTED = ROOT / "results"  # whatever $SHD_RESULTS_DIR is

REPORTED = 79.0  # percent after 30 epochs, from the original study's figure
REPORTED_BEST = 85.0


class LiveCurve:
    """Training and validation accuracy over the epochs, drawn anew after each epoch.

    In JupyterLab the figure is replaced in place. Elsewhere, it is shown once, at the end.
    """

    def __init__(self, n_epochs: int) -> None:
        self._n_epochs = n_epochs
        self._accuracies: dict[str, list[float]] = {"training": [], "validation": []}
        self._shown: Any = None  # where a live figure is

    def add(self, metrics: dict) -> None:
        """Add an epoch that `fit` has ended, and show the curves."""
        self._accuracies["training"].append(100 * metrics["train_accuracy"])
        self._accuracies["validation"].append(100 * metrics["validation_accuracy"])
        if not is_live():
            if metrics["epoch"] == self._n_epochs:
                display(self.figure())
        elif self._shown is None:
            self._shown = display(self.figure(), display_id=True)
        else:
            self._shown.update(self.figure())

    def figure(self) -> Figure:
        """Draw the epochs so far."""
        figure, axis = plt.subplots(figsize=(7, 3.2))
        for name, accuracies in self._accuracies.items():
            epochs = range(1, 1 + len(accuracies))
            axis.plot(epochs, accuracies, label=name, marker=".")
        axis.set(xlabel="epoch", ylabel="accuracy (%)", ylim=(0, 102))
        axis.set_xlim(0.5, self._n_epochs + 0.5)
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
        legend_above(axis)
        training, validation = self._accuracies.values()
        title = (
            f"After epoch {len(training)}: {training[-1]:.0f} % of the training utterances are "
            f"right, {validation[-1]:.0f} % in validation"
        )
        figure.suptitle(title, **TITLE)
        describe(figure, title)
        plt.close(figure)
        return figure


def claim() -> Figure:
    """Draw the original accuracy beside the same recipe for seen and for unseen speakers.

    Returns
    -------
    Figure
        Three bars. The intervals are over speakers and seeds.
    """
    accuracies = speaker_accuracies(COMMITTED / "original_leave_one_speaker_out_hd.csv")
    figure, axis = plt.subplots(figsize=(7.5, 3.6))
    axis.bar(0, REPORTED, color="white", edgecolor=INK, hatch="//")
    axis.hlines(REPORTED_BEST, -0.4, 0.4, color=INK, linestyle="--")
    axis.text(0, REPORTED_BEST + 1.5, f"best: {REPORTED_BEST:.0f} %", ha="center")
    axis.text(0, REPORTED / 2, f"{REPORTED:.0f} %", ha="center", bbox={"fc": "white", "ec": "none"})
    means = []
    for place, kind in enumerate(("seen", "unseen"), start=1):
        table = accuracies.pivot(index="speaker", columns="seed", values=f"test_{kind}_accuracy")
        mean, half = map(float, shd_judge.interval(100 * table.to_numpy()))
        means.append(mean)
        axis.bar(place, mean, yerr=half, color=f"C{place - 1}", edgecolor=INK, capsize=5)
        text = f"{mean:.0f} ± {half:.0f} %"
        axis.text(place, mean / 2, text, ha="center", bbox={"fc": "white", "ec": "none"})
    names = ["reported\nrandom utterances", "repeated\nseen speakers", "repeated\nunseen speakers"]
    axis.set_xticks(range(3), names)
    axis.set(ylabel="accuracy after 30 epochs (%)", ylim=(0, 102))
    n_speakers = accuracies.speaker.nunique()
    n_seeds = accuracies.seed.nunique()
    source = f"data: hd, English; ± over {n_speakers} speakers and {n_seeds} seeds"
    title = (
        f"The original recipe reaches {means[0]:.0f} % for seen speakers, and {means[1]:.0f} % "
        "for unseen ones"
    )
    return save(figure, "claim", source, title)
