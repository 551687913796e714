"""Figures of what single speakers get; each returns the figure."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from shd_helpers.figures.style import INK, SEEN, UNSEEN, legend_above, styled

_PARTS = {"test_unseen": f"{UNSEEN}: left out", "test_seen": f"{SEEN}: utterances held back"}


@styled
def speakers_by_input(
    accuracies: pd.DataFrame, inputs: Sequence[str], marked: Mapping[int, str]
) -> Figure:
    """Draw each speaker's accuracy (%) with two inputs or more, a row a speaker.

    Takes `study.speaker_accuracies`, the inputs' names, and a note for some speakers' labels. The
    lines are means over the others.
    """
    columns = [f"{part}_accuracy" for part in _PARTS]
    means = 100 * accuracies.groupby(["input", "speaker"])[columns].mean()
    order = means.loc[inputs[0]].sort_values(columns[0]).index
    size = (11, 0.32 * len(order) + 1.6)
    figure, axes = plt.subplots(1, 2, figsize=size, sharex=True, sharey=True)
    y, others = np.arange(len(order)), ~order.isin([*marked])
    for axis, (part, title) in zip(axes, _PARTS.items(), strict=True):
        drawn = [means.loc[name][f"{part}_accuracy"].loc[order].to_numpy() for name in inputs]
        axis.hlines(y, np.min(drawn, axis=0), np.max(drawn, axis=0), color="0.7", linewidth=1)
        for i, (name, values) in enumerate(zip(inputs, drawn, strict=True)):
            axis.plot(values, y, "osD^v"[i], color=f"C{i}", label=name)
            axis.axvline(
                values[others].mean(), color=f"C{i}", linestyle=("-", "--", ":", "-.")[i % 4]
            )
        axis.set(xlabel=f"test accuracy (%); lines: means of {others.sum()} speakers")
        axis.set_title(title, loc="left")
    labels = [f"{speaker} {marked.get(speaker, '')}".strip() for speaker in order]
    axes[0].set_yticks(y, labels)
    axes[0].set_ylabel("speaker")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels))
    return figure


@styled
def differences(contrasts: pd.DataFrame, margin: float | None = None) -> Figure:
    """Draw differences (percent points) with their 95 % intervals, a row each, the first on top.

    Takes `study.contrasts`, and the loss that would matter, where one was set beforehand.
    """
    figure, axis = plt.subplots(figsize=(9, 0.42 * len(contrasts) + 1.4))
    y = np.arange(len(contrasts))[::-1]
    axis.axvline(0, color=INK, linewidth=1)
    if margin is not None:
        label = f"margin, {margin:g} point{'s' * (margin != 1)}"
        axis.axvline(-margin, color="C3", linestyle="--", linewidth=1, label=label)
    axis.errorbar(contrasts["mean"], y, xerr=contrasts.ci95, fmt="o", capsize=3, color="C0")
    axis.set_yticks(y, [f"{first}  against  {second}" for first, second in contrasts.index])
    label = "difference for a new speaker (percent points); right: the first is better"
    axis.set(xlabel=label, ylim=(-0.7, len(y) - 0.3))
    if margin is not None:
        legend_above(axis)
    return figure


@styled
def ladder(accuracies: pd.DataFrame, steps: pd.DataFrame, followed: Sequence[int] = ()) -> Figure:
    """Draw each speaker's accuracy (%) on every rung, and what a rung adds to the one above it.

    Takes a row a speaker and a column a rung, the first on top; `study.contrasts` of each rung
    with the one before; and the speakers whose lines are dark.
    """
    rungs, means = [*accuracies.columns], accuracies.mean()
    size = (11, 0.42 * len(rungs) + 1.4)
    figure, axes = plt.subplots(1, 2, figsize=size, sharey=True, width_ratios=(3, 2))
    y = np.arange(len(rungs))[::-1]
    few = f"speaker{'s' * (len(followed) > 1)} {' and '.join(map(str, followed))}"
    names = {True: few, False: "a speaker, by number"}
    for speaker in accuracies.index:
        look = {"color": "0.3", "zorder": 2.1} if speaker in followed else {"color": "0.75"}
        label = names.pop(speaker in followed, None)  # each name once
        axes[0].plot(accuracies.loc[speaker], y, ".-", linewidth=0.8, label=label, **look)
    axes[0].plot(means, y, "o-", color="C0", label="mean")
    for rung, at, va in ((rungs[0], y[0] + 0.15, "bottom"), (rungs[-1], y[-1] - 0.2, "top")):
        place = -np.inf
        for speaker, accuracy in accuracies[rung].sort_values().items():
            place = max(accuracy, place + 2.5)  # side by side
            axes[0].text(place, at, f"{speaker}", fontsize=8, ha="center", va=va)
    axes[0].set_yticks(y, rungs)
    axes[0].set(xlabel="accuracy as a new speaker (%)", ylim=(-0.7, len(y) - 0.3))
    legend_above(axes[0])
    at = [y[rungs.index(rung)] for rung, _ in steps.index]
    axes[1].axvline(0, color=INK, linewidth=1)
    axes[1].errorbar(steps["mean"], at, xerr=steps.ci95, fmt="o", capsize=3, color="C0")
    axes[1].set(xlabel="difference from the rung above (percent points)")
    return figure


@styled
def accuracy_over_voice(speakers: pd.DataFrame, voices: Mapping[str, str]) -> Figure:
    """Draw each speaker's accuracy (%) over what the voice is like, a panel a quantity.

    Takes a table by speaker with `accuracy` and the quantities, and the quantities' axis labels.
    """
    figure, axes = plt.subplots(1, len(voices), figsize=(3 * len(voices), 3.2), sharey=True)
    for axis, (name, label) in zip(np.atleast_1d(axes), voices.items(), strict=True):
        axis.plot(speakers[name], speakers.accuracy, "o", color="C0", markersize=4)
        near = 0.06 * np.ptp(speakers[["accuracy", name]].to_numpy(), axis=0)
        for speaker, row in speakers.iterrows():
            right = speakers[["accuracy", name]] - row[["accuracy", name]]
            is_left = ((right.abs() < near).all(axis=1) & (right[name] > 0)).any()  # of two dots
            axis.annotate(
                str(speaker), (row[name], row.accuracy), fontsize=8, va="center_baseline",
                xytext=(-4 if is_left else 4, 0), textcoords="offset points",
                ha="right" if is_left else "left",
            )  # fmt: skip
        axis.set_xlabel(label)
        axis.margins(0.12)
    np.atleast_1d(axes)[0].set_ylabel("accuracy as a new speaker (%)")
    return figure
