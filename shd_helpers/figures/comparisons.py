"""Figures that compare networks, inputs and speakers; intervals are those of `study.summarise`."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from shd_helpers.figures.style import INK, legend_above, legend_beside


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


def accuracy_over_parameters(models: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """Draw test accuracy (%) over learned numbers (log axis), and networks from papers.

    Takes the summary by model; sizes of one network, ``name, 128 neurons``, are joined by a line,
    and one seed is a hollow mark. From papers come `network`, `accuracy`, `parameters` and
    `chosen_on`; those that don't say how they chose are left out, and one without parameters is a
    line.
    """
    figure, axis = plt.subplots(figsize=(9.5, 4.4))
    families = models.index.str.replace(r", \d+ .*", "", regex=True)
    for i, (name, family) in enumerate(models.groupby(families, sort=False)):
        family = family.sort_values("parameters")
        mark: dict[str, Any] = {"color": f"C{i}", "marker": "osD^v<>"[i % 7]}
        axis.errorbar(
            family.parameters, family.test, family.test_ci95, linestyle="-", linewidth=1,
            capsize=3, mfc="none", **mark,
        )  # fmt: skip
        several = family[family.seeds > 1]
        of, fill = (several, f"C{i}") if len(several) else (family, "none")
        axis.plot(of.parameters, of.test, linestyle="none", mfc=fill, label=name, **mark)
    for i, paper in enumerate(published.dropna(subset="chosen_on").itertuples()):
        label = f"{paper.network}:\npaper, chosen on {paper.chosen_on}"
        if pd.isna(paper.parameters):
            axis.axhline(paper.accuracy, color=INK, linestyle="--", linewidth=1, label=label)
        else:
            axis.plot(
                paper.parameters, paper.accuracy, "*PX"[i % 3], color=INK, mfc="none", ms=10,
                linestyle="none", label=label,
            )  # fmt: skip
    axis.set(xscale="log", xlabel="parameters", ylabel="test accuracy (%)")
    axis.set_title("the official test file, 20 classes", loc="left")
    axis.margins(x=0.1, y=0.1)
    legend_beside(axis)
    return figure
