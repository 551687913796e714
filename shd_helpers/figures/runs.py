"""Figures of surrogates and runs; each takes data and returns the figure."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from shd_helpers.figures.data import MEMBRANE
from shd_helpers.figures.style import (
    DOT,
    INK,
    SEEN,
    UNSEEN,
    legend_above,
    legend_beside,
    percent_axis,
    styled,
)
from shd_helpers.network import answers, surrogates


@styled
def surrogate_curves(name: str, slopes: Sequence[float]) -> Figure:
    """Draw a surrogate and its derivative against the step, at several slopes.

    The lines are formulas; the dots are what snntorch's autograd returns. The axes are the same
    for every surrogate.
    """
    x = np.linspace(-1, 1, 801)
    dots = np.linspace(-1, 1, 41)
    symbol = "alpha" if name == "atan" else "slope"
    figure, (left, right) = plt.subplots(1, 2)
    left.step(x, x > 0, color=INK, linestyle="-", linewidth=1, label="step")
    for slope in slopes:
        left.plot(x, surrogates.smooth(name, x, slope), label=f"{symbol} {slope:g}")
        right.plot(x, surrogates.derivative(name, x, slope))
        _, gradient = surrogates.autograd(name, dots, slope)
        (points,) = right.plot(dots, gradient, ".", color=INK, markersize=3, linestyle="none")
    points.set_label("snntorch's autograd")
    left.set(ylabel=f"output of {name}", ylim=(-0.6, 1.1))
    right.set(ylabel=f"derivative of {name}", yscale="log", ylim=(1e-3, 10))
    for axis in (left, right):
        axis.set(xlabel="membrane potential minus threshold", xticks=(-1, -0.5, 0, 0.5, 1))
    legend_above(left)
    legend_above(right)
    return figure


@styled
def surrogate_reach(distance: np.ndarray, name: str, slopes: Sequence[float]) -> Figure:
    """Draw how membranes spread around the threshold, and the surrogate's derivative over it.

    Takes membrane potentials minus threshold, of any shape.
    """
    figure, (above, below) = plt.subplots(2, 1, figsize=(7, 4.6), sharex=True)
    above.hist(distance.ravel(), bins=np.linspace(-3, 1.5, 91), density=True, color="C0")
    above.axvline(0, color=INK, linestyle="--", label="threshold")
    above.set(ylabel="density", yscale="log")
    legend_above(above, "hidden membranes of an untrained network")
    x = np.linspace(-3, 1.5, 451)
    for slope in slopes:
        below.plot(x, surrogates.derivative(name, x, slope), label=f"slope {slope:g}")
    below.set(xlabel="membrane potential minus threshold", ylabel="derivative", ylim=(0, None))
    legend_above(below, name)
    return figure


@styled
def learning_by_gradient(curves: Mapping[str, Sequence[float]]) -> Figure:
    """Draw the training loss over updates for each kind of gradient."""
    figure, axis = plt.subplots(figsize=(8, 3.4))
    for name, losses in curves.items():
        axis.plot(np.arange(1, len(losses) + 1), losses, label=name)
    axis.set(xlabel="update", ylabel="cross-entropy (nats)", ylim=(0, None))
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    legend_beside(axis)
    return figure


@styled
def accuracy_loss(epochs: pd.DataFrame, n_classes: int) -> Figure:
    """Draw accuracy and loss of training and validation over epochs.

    Takes the columns `epoch`, and `accuracy` (fraction) and `loss` (nats) after `train_` and
    `validation_`.
    """
    figure, axes = plt.subplots(1, 2)
    for axis, quantity, scale in zip(axes, ("accuracy", "loss"), (100, 1), strict=True):
        for part, label in (("train", "training"), ("validation", "validation")):
            axis.plot(epochs.epoch, scale * epochs[f"{part}_{quantity}"], label=label)
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    percent_axis(axes[0], "accuracy", chance=100 / n_classes)
    axes[1].set(ylabel="cross-entropy (nats)", ylim=(0, None))
    for axis in axes:
        legend_above(axis)
    return figure


@styled
def weights_over_epochs(weights: np.ndarray, layer: str) -> Figure:
    """Draw statistics of a layer's weights (epochs + 1, out, in), and their distribution."""
    figure, (left, right) = plt.subplots(1, 2)
    flat = weights.reshape(len(weights), -1)
    epochs = np.arange(len(flat))
    mean, deviation = flat.mean(1), flat.std(1)
    band = {"alpha": 0.25, "color": "C1", "label": "± 1 sd"}
    left.plot(epochs, flat.max(1), label="maximum")
    left.plot(epochs, mean, label="mean")
    left.fill_between(epochs, mean - deviation, mean + deviation, **band)
    left.plot(epochs, flat.min(1), label="minimum")
    left.set(xlabel="epoch (0: initial weights)", ylabel=f"{layer} weight")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    chosen = sorted({0, len(flat) // 2, len(flat) - 1})
    bins = np.linspace(flat[chosen].min(), flat[chosen].max(), 80)
    for epoch in chosen:
        density, _ = np.histogram(flat[epoch], bins, density=True)
        right.plot((bins[1:] + bins[:-1]) / 2, density, label=f"epoch {epoch}")
    right.set(xlabel=f"{layer} weight", ylabel="density", yscale="log")
    for axis in (left, right):
        legend_above(axis)
    return figure


@styled
def weight_matrices(
    fc1: np.ndarray, fc2: np.ndarray, epoch: int, class_names: Sequence[str]
) -> Figure:
    """Draw both weight matrices (out, in) after one epoch, each with its histogram."""
    below = max(1.9, 0.15 * len(class_names))
    figure, axes = plt.subplots(
        2, 2, figsize=(10, 4.2 + below), width_ratios=(3, 1), height_ratios=(3, below)
    )
    for (matrix, histogram), weights, layer in zip(axes, (fc1, fc2), ("fc1", "fc2"), strict=True):
        limit = np.quantile(np.abs(weights), 0.999)
        # its lightness rises from the lowest to the highest value: the sign survives grey print
        image = matrix.imshow(weights, cmap="cividis", vmin=-limit, vmax=limit)
        matrix.grid(False)
        matrix.set_title(f"{layer} after epoch {epoch}")
        figure.colorbar(image, ax=matrix, label="weight", extend="both")
        histogram.hist(weights.ravel(), bins=60, color="C0")
        histogram.set(xlabel=f"{layer} weight", ylabel="number of weights")
    axes[0, 0].set(xlabel="input (pooled unit)", ylabel="hidden neuron")
    axes[1, 0].set(xlabel="hidden neuron", ylabel="output neuron")
    axes[1, 0].set_yticks(range(len(class_names)), class_names, fontsize=8)
    return figure


class PercentMatrix:
    """A matrix of percentages, rows and columns by class, with its numbers; it can be replaced."""

    def __init__(self, axis: Axes, class_names: Sequence[str]) -> None:
        self._axis, n = axis, len(class_names)
        self._image = axis.imshow(np.zeros((n, n)), cmap="Blues", vmin=0, vmax=100, aspect="equal")
        axis.set_xticks(range(n), class_names, rotation=90, fontsize=8)
        axis.set_yticks(range(n), class_names, fontsize=8)
        axis.set(xlabel="predicted word", ylabel="spoken word")
        axis.grid(False)

    def show(self, percent: np.ndarray) -> None:
        """Show these percentages, (spoken word, answer); numbers below 0.5 stay away."""
        self._image.set_data(percent)
        for text in [*self._axis.texts]:
            text.remove()
        for row, column in zip(*np.nonzero(percent >= 0.5), strict=True):
            value = percent[row, column]
            color = "white" if value > 50 else INK
            text = self._axis.text(column, row, f"{value:.0f}", color=color, fontsize=7)
            text.set(ha="center", va="center")


@styled
def confusion(predictions: pd.DataFrame, class_names: Sequence[str], seen: pd.Series) -> Figure:
    """Draw confusion matrices in percent of each spoken word, of seen and of unseen speakers.

    Takes `label` and `predicted` of each utterance, and whether its speaker was trained on.
    """
    groups = {SEEN: predictions[seen], UNSEEN: predictions[~seen]}
    groups = {name: rows for name, rows in groups.items() if len(rows)}
    size = max(4.8, 0.32 * len(class_names))
    figure, axes = plt.subplots(1, len(groups), figsize=(size * len(groups), size), squeeze=False)
    for axis, (name, rows) in zip(axes[0], groups.items(), strict=True):
        table = pd.crosstab(rows.label, rows.predicted, normalize="index") * 100
        table = table.reindex(index=class_names, columns=class_names, fill_value=0)
        PercentMatrix(axis, class_names).show(table.to_numpy())
        axis.set(title=f"{name}: {len(rows):,} utterances; % of a spoken word")
    return figure


@styled
def one_utterance(
    example: Mapping[str, np.ndarray], class_names: Sequence[str], word: str, step_ms: float
) -> Figure:
    """Draw one utterance's way: input raster, hidden raster, output membranes, output spikes.

    Takes one entry of `study.record_examples`. Class scores that aren't numbers of output spikes
    are mean membranes, which have no threshold.
    """
    last = max(1.6, 0.16 * len(class_names))
    figure, axes = plt.subplots(
        4, 1, figsize=(9, 7 + last), sharex=True, height_ratios=(2.2, 2.2, 1.6, last)
    )
    for axis, name, label in zip(axes, ("input", "hidden"), ("input unit", "hidden neuron")):  # noqa: B905
        steps, neurons = np.nonzero(example[name])
        axis.plot(steps * step_ms, neurons, **DOT)
        axis.set(ylabel=label, title=f"{name}: {len(steps):,} spikes")
        axis.set(ylim=(0, example[name].shape[1]))
    time_ms = np.arange(len(example["mem"])) * step_ms
    scores = example["scores"]
    votes, answer = np.array_equal(scores, example["spk"].sum(0)), class_names[answers(scores)]
    axes[2].plot(time_ms, example["mem"], color="0.75", linewidth=0.7, linestyle="-")
    if answer != word:
        wrong = example["mem"][:, class_names.index(answer)]
        axes[2].plot(time_ms, wrong, color="C1", linestyle="-.", label=f"wrong answer: {answer}")
    right = example["mem"][:, class_names.index(word)]
    axes[2].plot(time_ms, right, color="C0", linestyle="-", label=f"spoken word: {word}")
    if votes:
        axes[2].axhline(1, color=INK, linestyle="--", linewidth=0.8, label="threshold")
    axes[2].set(ylabel=MEMBRANE, xlim=(0, len(example["mem"]) * step_ms))
    legend_above(axes[2], "output membranes")
    steps, neurons = np.nonzero(example["spk"])
    axes[3].plot(steps * step_ms, neurons, "|", markersize=7, color=INK)
    form = ".0f" if votes else ".2f"
    counted = [f"{word} ({score:{form}})" for word, score in zip(class_names, scores, strict=True)]
    axes[3].set_yticks(range(len(class_names)), counted, fontsize=8)
    axes[3].set(xlabel="time (ms)", ylim=(-0.6, len(class_names) - 0.4))
    what = "output spikes (their number" if votes else "no output spikes (mean membranes"
    axes[3].set(title=f"{what} in brackets)", ylabel="output neuron")
    return figure


@styled
def firing_rates(predictions: pd.DataFrame, n_hidden: int, n_classes: int, n_steps: int) -> Figure:
    """Draw how input events and spikes per neuron spread over utterances, by correctness."""
    correct = predictions.label == predictions.predicted
    hidden, output = (
        100 * predictions[f"{layer}_spikes"] / n / n_steps
        for layer, n in (("hidden", n_hidden), ("output", n_classes))
    )
    quantities = {
        "input events per utterance": predictions.input_events,
        "hidden neurons that spike in a step (%)": hidden,
        "output neurons that spike in a step (%)": output,
    }
    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4))
    for axis, (label, values) in zip(axes, quantities.items(), strict=True):
        bins = np.histogram_bin_edges(values, 30)
        for of, name, color, line in (
            (correct, "right answers", "C0", "-"),
            (~correct, "wrong answers", "C1", "--"),
        ):
            share = np.histogram(values[of], bins)[0] / max(1, of.sum()) * 100
            axis.stairs(share, bins, fill=True, color=color, alpha=0.25)
            axis.stairs(share, bins, color=color, linestyle=line, linewidth=1.4, label=name)
        axis.set(xlabel=label, ylabel="share of the answers (%)")
    legend_above(axes[0])
    return figure


@styled
def accuracy_per_speaker(table: pd.DataFrame) -> Figure:
    """Draw each speaker's accuracy (%) with its 95 % interval, seen and unseen speakers apart.

    Takes the columns `speaker`, `seen`, `accuracy`, `low`, `high` (percent).
    """
    figure, axis = plt.subplots(figsize=(7, 3.4))
    places = np.arange(len(table))
    for of, label, color, hatch in (
        (table.seen, SEEN, "C0", None),
        (~table.seen, UNSEEN, "C1", "//"),
    ):
        rows = table[of]
        bars = [rows.accuracy - rows.low, rows.high - rows.accuracy]
        if len(rows):
            axis.bar(
                places[of], rows.accuracy, yerr=bars, label=label, color=color, edgecolor=INK,
                hatch=hatch, capsize=4, ecolor=INK,
            )  # fmt: skip
    axis.set_xticks(places, table.speaker)
    axis.set_xlabel("speaker (number in the file)")
    percent_axis(axis, "accuracy")
    legend_above(axis)
    return figure
