"""Figures that several notebooks draw."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from shd_helpers.figures.style import INK, legend_above

CHANNEL = "unit (cochlea channel)"


def speakers_by_input(
    accuracies: pd.DataFrame, inputs: Sequence[str], marked: Mapping[int, str]
) -> Figure:
    """Draw each speaker's accuracy with two inputs or more, one row for each speaker."""
    titles = {
        "test_unseen_accuracy": "unseen speakers: held out",
        "test_seen_accuracy": "seen speakers: utterances held back",
    }
    means = 100 * accuracies.groupby(["input", "speaker"])[[*titles]].mean()
    order = means.loc[inputs[0]].sort_values("test_unseen_accuracy").index
    labels = [f"{speaker} {marked.get(speaker, '')}".strip() for speaker in order]
    size = (11, 0.32 * len(order) + 1.9)
    others = ~order.isin([*marked])
    # The panels share both axes, so that distances can be compared between them.
    figure, axes = plt.subplots(1, 2, figsize=size, sharex=True, sharey=True)
    for axis, (score, title) in zip(axes, titles.items(), strict=True):
        table = means[score].unstack("input").loc[order, [*inputs]]
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


def paired_differences(differences: pd.DataFrame, margin: float | None = None) -> Figure:
    """Draw differences between networks or inputs with their intervals, one row for each."""
    y = np.arange(len(differences))[::-1]
    figure, axis = plt.subplots(figsize=(9, 0.42 * len(differences) + 1.6))
    axis.axvline(0, color=INK, linewidth=1, linestyle="-")
    if margin:
        label = f"margin: {margin:g} percentage points lost"
        axis.axvline(-margin, color="C3", linestyle="--", linewidth=1.2, label=label)
    means = differences["mean"]
    half = differences.ci95
    lowest = min(0.0, (means - half).min())
    highest = max(0.0, (means + half).max())
    room = 0.2 * (highest - lowest)
    left = lowest - room
    right = highest + room
    low = means - differences.ci_holm
    high = means + differences.ci_holm
    axis.hlines(y, low.clip(lower=left), high.clip(upper=right), color="C0", linewidth=1)
    for is_cut, end, arrow in ((low < left, left, "<"), (high > right, right, ">")):
        rows = y[is_cut.to_numpy()]
        # A line without points that isn't clipped would reserve room down to the figure's corner.
        if len(rows):
            axis.plot(np.full(len(rows), end), rows, arrow, color="C0", ms=6, clip_on=False)
    axis.hlines(y, means - half, means + half, color="C0", linewidth=3)
    for verdict, marker, filling in (("shown", "o", "C0"), ("undecided", "D", "white")):
        of_kind = differences.verdict.to_numpy() == verdict
        axis.plot(
            means[of_kind], y[of_kind], marker, label=verdict, color="C0", mfc=filling, ms=8, mew=2
        )
    axis.set_yticks(y, [f"{first}  against  {second}" for first, second in differences.index])
    axis.set(xlabel="difference in accuracy for unseen speakers (percentage points)")
    axis.set(xlim=(left, right), ylim=(-0.7, len(y) - 0.3))
    legend_above(axis)
    return figure
