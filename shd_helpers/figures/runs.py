"""Figures of surrogates and runs; each takes data and returns the figure."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from shd_helpers.figures.style import INK, styled
from shd_helpers.network import surrogates


@styled
def surrogate_curves(name: str, slopes: Sequence[float]) -> Figure:
    """Draw a surrogate and its derivative against the step, at several slopes.

    The lines are formulas; the dots are what snntorch's autograd returns.
    """
    x = np.linspace(-1, 1, 801)
    dots = np.linspace(-1, 1, 41)
    symbol = "alpha" if name == "atan" else "slope"
    figure, (left, right) = plt.subplots(1, 2)
    left.step(x, x > 0, color=INK, linestyle="-", linewidth=1, label="spike (step)")
    for slope in slopes:
        left.plot(x, surrogates.smooth(name, x, slope), label=f"{symbol} {slope:g}")
        right.plot(x, surrogates.derivative(name, x, slope))
        _, gradient = surrogates.autograd(name, dots, slope)
        (points,) = right.plot(dots, gradient, ".", color=INK, markersize=3, linestyle="none")
    points.set_label("snntorch's autograd")
    left.set(ylabel="output", title=f"{name}: step and smooth curve")
    right.set(ylabel="derivative", title=f"{name}: derivative", yscale="log")
    for axis in (left, right):
        axis.set(xlabel="membrane potential minus threshold", xticks=(-1, -0.5, 0, 0.5, 1))
        axis.legend(loc="upper left")
    return figure


@styled
def surrogate_reach(distance: np.ndarray, name: str, slopes: Sequence[float]) -> Figure:
    """Distribution of membranes around the threshold, and the surrogate's derivative over it."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(7, 4.6), sharex=True)
    above.hist(distance, bins=np.linspace(-3, 1.5, 91), density=True, color="C0")
    above.axvline(0, color=INK, linestyle="--", label="threshold")
    above.set(ylabel="density", yscale="log", title="hidden membranes of an untrained network")
    above.legend()
    x = np.linspace(-3, 1.5, 451)
    for slope in slopes:
        below.plot(x, surrogates.derivative(name, x, slope), label=f"{name}, slope {slope:g}")
    below.set(xlabel="membrane potential minus threshold", ylabel="derivative")
    below.legend()
    return figure


@styled
def learning_by_gradient(curves: Mapping[str, Sequence[float]]) -> Figure:
    """Training loss over updates for each kind of gradient."""
    figure, axis = plt.subplots(figsize=(6, 3.4))
    for name, losses in curves.items():
        axis.plot(np.arange(1, len(losses) + 1), losses, label=name)
    axis.set(xlabel="update", ylabel="cross-entropy (nats)", ylim=(0, None))
    axis.legend()
    return figure


@styled
def accuracy_loss(epochs: pd.DataFrame, n_classes: int) -> Figure:
    """Accuracy and loss of training and validation over epochs."""
    figure, axes = plt.subplots(1, 2)
    for axis, quantity, scale in zip(axes, ("accuracy", "loss"), (100, 1), strict=True):
        for part in ("train", "validation"):
            axis.plot(epochs.epoch, scale * epochs[f"{part}_{quantity}"], label=_PART[part])
        axis.set_xlabel("epoch")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[0].axhline(100 / n_classes, color="0.5", linestyle=":", linewidth=1, label="chance")
    axes[0].set(ylabel="accuracy (%)", ylim=(0, 100))
    axes[1].set(ylabel="cross-entropy (nats)", ylim=(0, None))
    for axis in axes:
        axis.legend()
    return figure


_PART = {"train": "training", "validation": "validation"}


@styled
def weights_over_epochs(weights: np.ndarray, layer: str) -> Figure:
    """Statistics of a layer's weights (epochs + 1, out, in) over epochs, and their distribution."""
    figure, (left, right) = plt.subplots(1, 2)
    flat = weights.reshape(len(weights), -1)
    epochs = np.arange(len(flat))
    mean, deviation = flat.mean(1), flat.std(1)
    left.plot(epochs, flat.max(1), label="maximum")
    left.plot(epochs, mean, label="mean")
    left.fill_between(
        epochs, mean - deviation, mean + deviation, alpha=0.25, color="C1", label="± 1 sd"
    )
    left.plot(epochs, flat.min(1), label="minimum")
    left.set(xlabel="epoch (0: initial weights)", ylabel=f"{layer} weight")
    left.xaxis.set_major_locator(MaxNLocator(integer=True))
    left.legend(loc="center right")
    chosen = sorted({0, len(flat) // 2, len(flat) - 1})
    bins = np.linspace(flat[chosen].min(), flat[chosen].max(), 80)
    for epoch in chosen:
        density, _ = np.histogram(flat[epoch], bins, density=True)
        right.plot((bins[1:] + bins[:-1]) / 2, density, label=f"epoch {epoch}")
    right.set(xlabel=f"{layer} weight", ylabel="density", yscale="log")
    right.legend()
    return figure


@styled
def weight_matrices(
    fc1: np.ndarray, fc2: np.ndarray, epoch: int, class_names: Sequence[str]
) -> Figure:
    """Both weight matrices (out, in) after one epoch, each with its histogram."""
    figure, axes = plt.subplots(2, 2, figsize=(10, 6), width_ratios=(3, 1), height_ratios=(1.6, 1))
    for (matrix, histogram), weights, layer in zip(axes, (fc1, fc2), ("fc1", "fc2"), strict=True):
        limit = np.quantile(np.abs(weights), 0.999)
        image = matrix.imshow(weights, cmap="RdBu_r", vmin=-limit, vmax=limit)
        matrix.grid(False)
        figure.colorbar(image, ax=matrix, label="weight", extend="both")
        histogram.hist(weights.ravel(), bins=60, color="C0")
        histogram.set(xlabel=f"{layer} weight", ylabel="number of weights")
    axes[0, 0].set(
        title=f"fc1 after epoch {epoch}", xlabel="input (pooled unit)", ylabel="hidden neuron"
    )
    axes[1, 0].set(title=f"fc2 after epoch {epoch}", xlabel="hidden neuron", ylabel="output neuron")
    axes[1, 0].set_yticks(range(len(class_names)), class_names, fontsize=8)
    return figure


@styled
def confusion(predictions: pd.DataFrame, class_names: Sequence[str], heard: pd.Series) -> Figure:
    """Confusion matrices in percent of the spoken word, for heard and unheard speakers."""
    groups = {"heard speakers": predictions[heard], "unheard speakers": predictions[~heard]}
    groups = {name: rows for name, rows in groups.items() if len(rows)}
    size = max(4.6, 0.42 * len(class_names))
    figure, axes = plt.subplots(1, len(groups), figsize=(size * len(groups), size), squeeze=False)
    for axis, (name, rows) in zip(axes[0], groups.items(), strict=True):
        table = pd.crosstab(rows.label, rows.predicted, normalize="index") * 100
        table = table.reindex(index=class_names, columns=class_names, fill_value=0)
        cells = table.map(lambda percent: f"{percent:.0f}" if percent >= 0.5 else "")
        style = {"cmap": "Blues", "vmin": 0, "vmax": 100, "cbar": False, "square": True}
        sns.heatmap(table, annot=cells, fmt="", annot_kws={"fontsize": 8}, **style, ax=axis)
        axis.tick_params(axis="x", rotation=60)
        axis.tick_params(axis="y", rotation=0)
        axis.set(
            title=f"{name} (% of {len(rows)} utterances' words)",
            xlabel="network's answer",
            ylabel="spoken word",
        )
    return figure


@styled
def one_utterance(
    example: Mapping[str, np.ndarray], class_names: Sequence[str], word: str, step_ms: float
) -> Figure:
    """One utterance's way: input raster, hidden raster, output membranes, output spikes."""
    figure, axes = plt.subplots(4, 1, figsize=(9, 8.5), sharex=True, height_ratios=(2, 2, 1.4, 1.4))
    for axis, name, label in (
        (axes[0], "input", "input unit"),
        (axes[1], "hidden", "hidden neuron"),
    ):
        steps, neurons = np.nonzero(example[name])
        axis.plot(steps * step_ms, neurons, ".", markersize=1.2, color=INK, rasterized=True)
        axis.set(
            ylabel=label, title=f"{name}: {len(steps)} spikes", ylim=(0, example[name].shape[1])
        )
    time_ms = np.arange(len(example["mem"])) * step_ms
    counts = example["spk"].sum(0)
    answer = class_names[counts.argmax()]
    axes[2].plot(time_ms, example["mem"], color="0.75", linewidth=0.7, linestyle="-")
    if answer != word:
        wrong = example["mem"][:, class_names.index(answer)]
        axes[2].plot(time_ms, wrong, color="C1", label=f"wrong answer: {answer}")
    right = example["mem"][:, class_names.index(word)]
    axes[2].plot(time_ms, right, color="C0", linestyle="-", label=f"spoken word: {word}")
    axes[2].axhline(1, color=INK, linestyle="--", linewidth=0.8, label="threshold")
    axes[2].set(ylabel="membrane", title="output membranes")
    axes[2].legend(loc="lower left", ncols=3)
    steps, neurons = np.nonzero(example["spk"])
    axes[3].plot(steps * step_ms, neurons, "|", markersize=7, color=INK)
    axes[3].set_yticks(
        range(len(class_names)),
        [f"{n} ({c})" for n, c in zip(class_names, counts, strict=True)],
        fontsize=8,
    )
    axes[3].set(
        xlabel="time (ms)",
        title="output spikes (count in brackets)",
        ylim=(-0.6, len(class_names) - 0.4),
    )
    return figure


@styled
def firing_rates(predictions: pd.DataFrame, n_hidden: int, n_classes: int, n_steps: int) -> Figure:
    """Distribution over utterances of input events and of spikes per neuron, by correctness."""
    frame = predictions.assign(
        answer=np.where(predictions.label == predictions.predicted, "right", "wrong"),
        hidden=predictions.hidden_spikes / n_hidden / n_steps * 100,
        output=predictions.output_spikes / n_classes / n_steps * 100,
    )
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.4))
    titles = {
        "input_events": "input events an utterance",
        "hidden": "hidden: spikes per 100 neuron-steps",
        "output": "output: spikes per 100 neuron-steps",
    }
    for axis, (column, label) in zip(axes, titles.items(), strict=True):
        sns.histplot(
            frame,
            x=column,
            hue="answer",
            hue_order=["right", "wrong"],
            element="step",
            stat="percent",
            common_norm=False,
            bins=30,
            ax=axis,
            legend=column == "output",
        )
        axis.set(xlabel=label, ylabel="")
    axes[0].set_ylabel("share of the right or wrong answers (%)")
    return figure


@styled
def accuracy_per_speaker(table: pd.DataFrame) -> Figure:
    """Accuracy (%) of each speaker with its 95 % interval; heard and unheard speakers apart.

    Takes the columns `speaker`, `heard`, `accuracy`, `low`, `high` (percent).
    """
    figure, axis = plt.subplots(figsize=(7, 3.4))
    for place, row in enumerate(table.itertuples()):
        axis.bar(
            place,
            row.accuracy,
            color="C0" if row.heard else "white",
            edgecolor="C0",
            hatch=None if row.heard else "//",
            yerr=[[row.accuracy - row.low], [row.high - row.accuracy]],
            capsize=4,
            label="heard in training" if row.heard else "not heard",
        )
    axis.set_xticks(range(len(table)), table.speaker)
    axis.set(xlabel="speaker (number in the file)", ylabel="test accuracy (%)", ylim=(0, 100))
    handles, labels = axis.get_legend_handles_labels()
    unique = dict(zip(labels, handles, strict=True))
    axis.legend(
        unique.values(), unique.keys(), loc="lower center", bbox_to_anchor=(0.5, 1), ncols=2
    )
    return figure
