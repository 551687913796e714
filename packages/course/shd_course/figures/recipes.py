"""The figures of notebook 5: the search for a recipe, its finalists, and single settings."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shd_helpers.figures.style import legend_above, legend_beside

MARKERS = "osD^v"
VALIDATED_ON = {"utterances": "random utterances", "speakers": "two unseen speakers"}


def search(accuracies: pd.DataFrame) -> Figure:
    """Draw the accuracy of each recipe at each input, one row for each recipe.

    The accuracies are in percent, indexed by recipe, with a column for each input.
    """
    order = accuracies.mean(axis=1).sort_values().index
    ordered = accuracies.loc[order]
    figure, axis = plt.subplots(figsize=(9, 5))
    axis.hlines(order, ordered.min(axis=1), ordered.max(axis=1), color="0.75", linewidth=1)
    for i, (name, values) in enumerate(ordered.items()):
        axis.plot(
            values, order, MARKERS[i], label=name, color=f"C{i}", markerfacecolor="none", mew=1.5
        )
    axis.set(xlabel="validation accuracy (%)", ylabel="recipe")
    legend_beside(axis)
    return figure


def finalists(again: pd.DataFrame, before: pd.Series) -> Figure:
    """Draw each finalist's accuracy in the search beside its accuracy with new seeds.

    Both are indexed by input and recipe: `again` from `summarize`, `before` in percent.
    """
    y = np.arange(len(again))[::-1]
    figure, axis = plt.subplots(figsize=(9, 5))
    axis.hlines(y, again.validation, before, color="0.7", linewidth=1)
    axis.plot(before, y, "D", mfc="none", color="C1", label="in the search, one seed")
    axis.errorbar(
        again.validation,
        y,
        xerr=again.validation_ci95,
        fmt="o",
        capsize=3,
        color="C0",
        label="again, two new seeds",
    )
    axis.set_yticks(y, [", ".join(index) for index in again.index])
    axis.set(xlabel="validation accuracy (%), ± 95 % over seeds, pooled", ylabel="input, recipe")
    legend_above(axis)
    return figure


def single_settings(rates: pd.DataFrame, slopes: pd.DataFrame) -> Figure:
    """Draw accuracy over the learning rate, and over the slope for two ways to validate.

    Both tables are from `summarize`. `rates` is indexed by learning rate and epochs, `slopes` by
    what validated (`utterances` or `speakers`), surrogate and slope.
    """
    figure, axes = plt.subplots(1, 3, figsize=(12, 4), sharey=True)
    for i, epochs in enumerate(rates.index.unique("epochs")):
        _draw_line(axes[0], rates.xs(epochs, level="epochs"), f"{epochs} epochs", i)
    axes[0].set(xlabel="learning rate", ylabel="validation accuracy (%)")
    for axis, (validated_on, title) in zip(axes[1:], VALIDATED_ON.items(), strict=True):
        of_panel = slopes.loc[validated_on]
        for i, name in enumerate(("fast_sigmoid", "atan", "sigmoid")):
            _draw_line(axis, of_panel.loc[name], name, i)
        axis.set(xlabel="slope (alpha of atan)", title=title)
    axes[0].set(title=VALIDATED_ON["speakers"], ylim=(0, 102))
    axes[0].legend(loc="lower left")
    axes[2].legend(loc="upper right")
    return figure


def _draw_line(axis: Axes, line: pd.DataFrame, label: str, i: int) -> None:
    """Draw means with intervals over a setting on a logarithmic axis; `i` counts the lines."""
    x = line.index * 1.06**i  # beside the other lines' intervals
    axis.errorbar(
        x, line.validation, line.validation_ci95, marker=MARKERS[i], capsize=3, label=label
    )
    axis.set_xscale("log")
    axis.set_xticks(line.index, [f"{value:g}" for value in line.index])
    axis.minorticks_off()
