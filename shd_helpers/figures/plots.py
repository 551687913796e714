"""Figures that several notebooks draw: a run's curves, and speakers by input."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from shd_helpers.figures.style import legend_above


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


def speakers_by_input(
    accuracies: pd.DataFrame, inputs: Sequence[str], marked: Mapping[int, str]
) -> Figure:
    """Draw each speaker's accuracy (%) with two inputs or more, a row a speaker.

    Takes `study.speaker_accuracies`, the inputs' names, and a note for some speakers' labels. The
    lines are means over the others.
    """
    parts = {
        "test_unseen_accuracy": "unseen speakers: left out",
        "test_seen_accuracy": "seen speakers: utterances held back",
    }
    means = 100 * accuracies.groupby(["input", "speaker"])[[*parts]].mean()
    order = means.loc[inputs[0]].sort_values("test_unseen_accuracy").index
    labels = [f"{speaker} {marked.get(speaker, '')}".strip() for speaker in order]
    size, others = (11, 0.32 * len(order) + 1.9), ~order.isin([*marked])
    figure, axes = plt.subplots(1, 2, figsize=size, sharey=True)
    for axis, (part, title) in zip(axes, parts.items(), strict=True):
        table = means[part].unstack("input").loc[order, [*inputs]]
        axis.hlines(labels, table.min(axis=1), table.max(axis=1), color="0.7", linewidth=1)
        for i, (name, values) in enumerate(table.items()):
            hollow = {"mfc": "none", "zorder": 3} if i == 0 else {}  # seen where marks meet
            axis.plot(values, labels, "osD^v"[i], color=f"C{i}", label=name, **hollow)
            mean = values[others].mean()
            axis.axvline(mean, color=f"C{i}", linestyle=("-", "--", ":", "-.")[i % 4])
        axis.set(xlabel=f"test accuracy (%); lines: means of {others.sum()} speakers")
        axis.set_title(title, loc="left")
    axes[0].set_ylabel("speaker")
    handles, names = axes[0].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower left", ncols=len(names))
    return figure
