"""The figures of one run, for notebook 4."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy import stats

import shd_judge
from shd_course.figures.style import INK, legend_above, save
from shd_helpers.paths import ROOT
from shd_helpers.study import speaker_accuracies
from shd_helpers.study.run_folder import Run

N_NEIGHBORS = 9  # units over which the thick lines of weights are averaged


class RunFigures:
    """The figures of a run of the spiking network.

    Each method draws one figure, saves it in the folder of figures, and returns it.

    Parameters
    ----------
    run : Run
        From `read_run`; its spikes were recorded.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        parameters = run.info["parameters"]
        utterances = "test" if parameters["score_test"] else "validation"
        self._source = f"{run.source}; {utterances} utterances"
        self._classes = run.class_names
        self._n_epochs = len(run.epochs)
        predictions = run.predictions
        self._is_seen = predictions.speaker.isin(run.info["seen_speakers"])
        self._groups = {
            "seen speakers": predictions[self._is_seen],
            "unseen speakers": predictions[~self._is_seen],
        }

    def six_neurons(self) -> Figure:
        """Draw the input weights of the hidden neurons that vote most for six classes.

        Returns
        -------
        Figure
            One panel for each neuron, with its weights before and after the training.
        """
        before, after = self._run.weights["fc1/weight"][[0, -1]]
        votes = self._run.weights["fc2/weight"][-1]
        classes = np.linspace(0, len(self._classes) - 1, 6).round().astype(int)
        figure, axes = plt.subplots(2, 3, figsize=(10, 5), sharex=True, sharey=True)
        units = np.arange(before.shape[1])
        for axis, of_class in zip(axes.flat, classes, strict=True):
            neuron = int(votes[of_class].argmax())
            axis.axhline(0, color=INK, linewidth=0.8, linestyle="-")
            axis.plot(units, after[neuron], color="0.75", linewidth=0.7, linestyle="-")
            axis.plot(units, _smooth(before[neuron]), color="C1", linestyle="--", label="before")
            axis.plot(units, _smooth(after[neuron]), color="C0", linestyle="-", label="after")
            axis.set_title(f"votes for {self._classes[of_class]!r}: neuron {neuron}")
        plt.setp(axes[1], xlabel="input unit (low: high frequencies)")
        plt.setp(axes[:, 0], ylabel="weight")
        axes[0, 2].legend(loc="upper right")
        title = "After training, neighboring input units excite or inhibit a neuron together"
        return save(figure, "six_neurons", self._run.source, title)

    def confusion_matrices(self) -> Figure:
        """Draw how often each spoken class was classified as which class.

        Returns
        -------
        Figure
            Seen speakers at the left, unseen ones at the right.
        """
        size = max(4.8, 0.32 * len(self._classes))
        figure, axes = plt.subplots(1, 2, figsize=(2 * size, size), sharey=True)
        titles = []
        for axis, (name, rows) in zip(axes, self._groups.items(), strict=True):
            counts = pd.crosstab(rows.label, rows.predicted)
            counts = counts.reindex(index=self._classes, columns=self._classes, fill_value=0)
            _draw_confusion(axis, counts)
            axis.set(title=f"{name}: {len(rows):,} utterances; % of a spoken class")
            if (rows.label != rows.predicted).any():
                titles.append(f"{name}: {_most_confused(counts)}")
        axes[0].set_ylabel("spoken class")
        title = "Most frequent error of " + "; of ".join(titles) if titles else "No errors"
        return save(figure, "confusion_matrix", self._source, title)

    def accuracy_per_speaker(self) -> Figure:
        """Draw the accuracy of each speaker, with its interval over utterances.

        Returns
        -------
        Figure
            The interval is Wilson's, which doesn't leave 0 to 100 %.
        """
        figure, axis = plt.subplots(figsize=(7, 3.6))
        ranges = []
        for (name, rows), color, marker in zip(
            self._groups.items(), ("C0", "C1"), ("o", "D"), strict=True
        ):
            table = _speaker_intervals(rows)
            if table.empty:
                continue
            axis.errorbar(
                table.index.map(str),
                table.accuracy,
                yerr=[table.accuracy - table.low, table.high - table.accuracy],
                label=name,
                color=color,
                marker=marker,
                linestyle="none",
                capsize=4,
            )
            bounds = [f"{table.accuracy.min():.0f}", f"{table.accuracy.max():.0f}"]
            ranges.append(f"{' to '.join(dict.fromkeys(bounds))} % for {name}")
        axis.set(xlabel="speaker", ylabel="accuracy (%)", ylim=(0, 102))
        legend_above(axis)
        title = f"Accuracy: {', '.join(ranges)}"
        return save(figure, "accuracy_per_speaker", self._source, title)


def _smooth(weights: np.ndarray) -> np.ndarray:
    """Return moving averages of (units,) weights over neighboring units."""
    window = np.ones(N_NEIGHBORS)
    return np.convolve(weights, window, "same") / np.convolve(np.ones(len(weights)), window, "same")


def _draw_confusion(axis: Axes, counts: pd.DataFrame) -> None:
    """Draw a confusion matrix in percent of each row."""
    percent = 100 * counts.to_numpy() / np.maximum(1, counts.to_numpy().sum(1, keepdims=True))
    axis.imshow(percent, cmap="Blues", vmin=0, vmax=100, aspect="equal")
    axis.grid(False)
    for row, column in np.argwhere(percent >= 0.5):
        value = percent[row, column]
        color = "white" if value > 50 else INK
        axis.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=8, color=color)
    axis.set_xticks(range(len(counts)), counts.columns, rotation=90, fontsize=8)
    axis.set_yticks(range(len(counts)), counts.index, fontsize=8)
    axis.set_xlabel("predicted class")


def _most_confused(counts: pd.DataFrame) -> str:
    """Return the most frequent error of a confusion matrix, in words."""
    errors = counts.to_numpy() * (1 - np.eye(len(counts), dtype=int))
    row, column = np.unravel_index(errors.argmax(), errors.shape)
    n_spoken = counts.iloc[row].sum()
    spoken = counts.index[row]
    return f"{spoken!r} as {counts.columns[column]!r} ({errors[row, column]} of {n_spoken})"


def _speaker_intervals(rows: pd.DataFrame) -> pd.DataFrame:
    """Return each speaker's accuracy and the ends of its interval over utterances, in percent."""
    table = {}
    for speaker, is_right in (rows.label == rows.predicted).groupby(rows.speaker):
        test = stats.binomtest(int(is_right.sum()), len(is_right))
        interval = test.proportion_ci(method="wilson")
        table[speaker] = {
            "accuracy": 100 * is_right.mean(),
            "low": 100 * interval.low,
            "high": 100 * interval.high,
        }
    return pd.DataFrame.from_dict(table, orient="index")


COMMITTED = ROOT / "results"  # whatever $SHD_RESULTS_DIR is

REPORTED = 79.0  # percent after 30 epochs, from the original study's figure
REPORTED_BEST = 85.0


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
