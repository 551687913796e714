"""Figures of a run: its curves, and one utterance."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from shd_helpers.figures.style import DOT, INK, legend_above
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
    axes[0].axhline(100 / n_classes, color="0.5", linestyle=":", linewidth=1, label="chance")
    axes[0].set(ylabel="accuracy (%)", ylim=(0, 102))  # a line at 100 stays whole
    axes[1].set(ylabel="cross-entropy (nats)", ylim=(0, None))
    for axis in axes:
        legend_above(axis)
    plt.close(figure)  # as a cell's value it is shown once
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
    rows = ("input", "input unit", "events"), ("hidden", "hidden neuron", "spikes")
    for axis, (name, label, unit) in zip(axes, rows):  # noqa: B905
        steps, neurons = np.nonzero(example[name])
        axis.plot(steps * step_ms, neurons, **DOT)
        axis.set(ylabel=label, title=f"{name}: {len(steps):,} {unit}")
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
