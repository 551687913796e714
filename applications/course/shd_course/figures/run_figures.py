"""The figures of one run, for notebook 4."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from scipy import stats

from shd_corpus.shd_file import read_shd
from shd_helpers.data import obtain, speaker_name
from shd_helpers.events import Events
from shd_helpers.figures.style import DOT, INK, legend_above, save
from shd_helpers.study.run_folder import Run

FINE_DPI = 220  # of the figure that README shows
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
        self._step_ms = 1.0 * parameters["pool_steps"]  # bins of 1 ms
        predictions = run.predictions
        self._is_seen = predictions.speaker.isin(run.info["seen_speakers"])
        self._groups = {
            "seen speakers": predictions[self._is_seen],
            "unseen speakers": predictions[~self._is_seen],
        }

    def name_of(self, speaker: int) -> str:
        """Return the name of a speaker in figures.

        Parameters
        ----------
        speaker : int
            Its number in the files.

        Returns
        -------
        str
            A letter for a synthetic voice, a number for a person.
        """
        return speaker_name(self._run.info["data"]["name"], speaker)

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

    def _example(self) -> str:
        """Return the class whose recorded example is drawn, one with a right answer if possible."""
        examples = self._run.examples
        recorded = [name for name in (*self._classes[3:], *self._classes) if name in examples]
        for name in recorded:
            if self._classes[examples[name]["scores"].argmax()] == name:
                return name
        return recorded[0]

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

    def word_to_digit(self, predicted: Events) -> Figure:
        """Draw one utterance from the cochlea's spikes to the class scores, over one time axis.

        Parameters
        ----------
        predicted : Events
            The utterances of the run's predictions.

        Returns
        -------
        Figure
            Cochlea, input, hidden spikes and class scores.
        """
        word = self._example()
        example = self._run.examples[word]
        utterance = int(example["utterance"][0])
        figure = plt.figure(figsize=(10, 5.6))
        ((left, right),) = figure.subfigures(1, 2, squeeze=False, width_ratios=(2, 1))
        channels, inputs, hidden = left.subplots(3, sharex=True)
        end_ms = self._draw_channels(channels, predicted, utterance)
        self._draw_raster(inputs, example["input"], "input unit")
        n_steps = round(end_ms / self._step_ms)
        self._draw_raster(hidden, example["hidden"][:n_steps], "hidden neuron")
        for axis, color in zip((channels, inputs, hidden), ("C0", "C1", "C2"), strict=True):
            axis.lines[0].set_color(color)
            axis.yaxis.set_major_locator(MaxNLocator(4))
        hidden.set(xlabel="time (ms) until the recording ends", xlim=(0, end_ms))
        scores = right.subplots()
        self._draw_scores(scores, example["scores"], len(example["input"]) * self._step_ms)
        answer = self._classes[example["scores"].argmax()]
        scores.set_title(f"the answer: {answer}")
        title = f"A spoken {word!r} is classified as {answer!r}: from the spikes to the digit"
        with plt.rc_context({"savefig.dpi": FINE_DPI}):
            return save(figure, "word_to_digit", self._source, title)

    def _draw_channels(self, axis: Axes, predicted: Events, utterance: int) -> float:
        """Draw the spikes of the cochlea, from the data set's file, and return the last one's time.

        The cochlea emits spikes until the recording ends.
        """
        parameters = self._run.info["parameters"]
        files = obtain(parameters["dataset"], parameters["language"])
        # A run's utterances always come from files.
        assert predicted.file is not None
        assert predicted.rows is not None
        data = read_shd(files[predicted.file[utterance]])
        times, units = data.spikes(predicted.rows[utterance])
        axis.plot(times * 1000, units, **DOT)
        axis.set(ylabel="channel", ylim=(0, predicted.n_channels))
        axis.set_title(f"cochlea: {predicted.n_channels} channels, {len(times):,} spikes")
        return float(1000 * times.max())

    def _draw_raster(self, axis: Axes, is_active: np.ndarray, label: str) -> None:
        """Draw one dot for each event or spike."""
        steps, rows = np.nonzero(is_active)
        axis.plot(steps * self._step_ms, rows, **DOT | {"markersize": 2})
        n_steps, n_rows = is_active.shape
        axis.set(ylabel=label, ylim=(0, n_rows))
        titles = {
            "input unit": f"input: {n_rows} x {n_steps}, {len(steps):,} events",
            "hidden neuron": f"hidden layer: {n_rows} neurons, {len(steps):,} spikes",
        }
        axis.set_title(titles[label])

    def _draw_scores(self, axis: Axes, scores: np.ndarray, end_ms: float) -> None:
        """Draw a bar for each class, with the answer in color."""
        colors = np.where(scores == scores.max(), "C3", "0.75")
        axis.barh(self._classes, scores, color=colors)
        axis.tick_params("y", labelsize=11 if len(self._classes) <= 10 else 7)
        label_of = {
            "spikes": f"spikes in {end_ms:.0f} ms",
            "membrane": "mean membrane",
        }
        axis.set_xlabel(label_of[self._run.info["parameters"]["readout"]])
        axis.set_ylim(len(self._classes) - 0.4, -0.6)
        axis.grid(False)

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
                [self.name_of(speaker) for speaker in table.index],
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
