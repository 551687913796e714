"""Figures of a run: its curves, its confusions, an utterance; each returns the figure."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from shd_helpers.figures.style import DOT, INK, SEEN, UNSEEN, legend_above, percent_axis
from shd_helpers.network import answers


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


def confusion(predictions: pd.DataFrame, class_names: Sequence[str], seen: pd.Series) -> Figure:
    """Draw confusion matrices in percent of each spoken word, of seen and of unseen speakers.

    Takes `label` and `predicted` of each utterance, and whether its speaker was trained on.
    Percentages below 0.5 are left empty.
    """
    groups = {SEEN: predictions[seen], UNSEEN: predictions[~seen]}
    groups = {name: rows for name, rows in groups.items() if len(rows)}
    size = max(4.8, 0.32 * len(class_names))
    figure, axes = plt.subplots(1, len(groups), figsize=(size * len(groups), size), squeeze=False)
    for axis, (name, rows) in zip(axes[0], groups.items(), strict=True):
        table = pd.crosstab(rows.label, rows.predicted, normalize="index") * 100
        table = table.reindex(index=class_names, columns=class_names, fill_value=0)
        numbers = table.map("{:.0f}".format).where(table >= 0.5, "")
        sns.heatmap(
            table, vmin=0, vmax=100, cmap="Blues", annot=numbers, fmt="", annot_kws={"size": 7},
            square=True, cbar=False, xticklabels=True, yticklabels=True, ax=axis,
        )  # fmt: skip
        axis.tick_params(labelsize=8)
        axis.set(xlabel="predicted word", ylabel="spoken word")
        axis.set(title=f"{name}: {len(rows):,} utterances; % of a spoken word")
    return figure


def one_utterance(
    example: Mapping[str, np.ndarray], class_names: Sequence[str], word: str, step_ms: float
) -> Figure:
    """Draw one utterance: input raster, hidden raster, output membranes, output spikes.

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
    votes, answer = np.array_equal(scores, example["spk"].sum(0)), class_names[int(answers(scores))]
    axes[2].plot(time_ms, example["mem"], color="0.75", linewidth=0.7, linestyle="-")
    if answer != word:
        wrong = example["mem"][:, class_names.index(answer)]
        axes[2].plot(time_ms, wrong, color="C1", linestyle="-.", label=f"wrong answer: {answer}")
    right = example["mem"][:, class_names.index(word)]
    axes[2].plot(time_ms, right, color="C0", linestyle="-", label=f"spoken word: {word}")
    if votes:
        axes[2].axhline(1, color=INK, linestyle="--", linewidth=0.8, label="threshold")
    axes[2].set(
        ylabel="membrane potential\n(in thresholds)", xlim=(0, len(example["mem"]) * step_ms)
    )
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
