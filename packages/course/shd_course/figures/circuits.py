"""The figures of notebook 8: integers beside floats, rounding, and disturbances."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shd_helpers.figures.style import INK, legend_above

UNTIL_MS = 200  # later than this, the two membranes can't be told apart in a figure
# The kinds of disturbances in each panel; shapes repeat between panels, not within one.
PANELS = {
    "each number is off": {
        "mismatch of weights": "weights",
        "mismatch of thresholds": "thresholds",
        "mismatch of leaks": "leaks",
        "mismatch of all three": "all three",
    },
    "events and hidden neurons": {
        "lost events": "lost events",
        "spurious events": "spurious events",
        "silent neurons": "silent neurons",
        "firing neurons": "firing neurons",
    },
    "a slower clock": {
        "slower clock, leak by step": "leak as before in each step",
        "slower clock, leak by time": "leak as before in time",
    },
}


def membranes(traces: pd.DataFrame) -> Figure:
    """Draw the membrane of one output neuron in integers and in floats, until they differ.

    The traces are in thresholds, indexed by milliseconds, with a column for each version.
    """
    figure, axis = plt.subplots(figsize=(9, 3.4))
    early = traces[traces.index <= UNTIL_MS]
    for i, (name, values) in enumerate(early.items()):
        axis.plot(values, color=f"C{i}", linestyle=("-", "--")[i], label=name)
        spikes = early.index[values > 1]
        y = 2.4 - 0.35 * i
        axis.plot(spikes, [y] * len(spikes), "|", color=f"C{i}", markersize=12, mew=2)
        if len(spikes):
            arrow = {"arrowstyle": "->", "color": f"C{i}"}
            text = f"first spike, {name}"
            axis.annotate(
                text,
                (spikes[0] - 1, y),
                (spikes[0] - 9, y),
                ha="right",
                va="center",
                arrowprops=arrow,
            )
    axis.axhline(1, color=INK, linewidth=1, linestyle=":", label="threshold")
    axis.set(xlabel="time (ms)", ylabel="membrane (thresholds)", xlim=(0, UNTIL_MS))
    legend_above(axis)
    return figure


def rounding(circuits: pd.DataFrame, selected: str, limit: float) -> Figure:
    """Draw what each circuit loses by rounding, one row for each.

    `circuits` has `loss` in percentage points, half its interval `ci95`, the weights' `kB`, and
    `same`, the percentage of answers that rounding leaves as they are.
    """
    ordered = circuits.sort_values("kB")
    labels = [f"{name}: {row.kB:.1f} kB, {row.same:.1f} % same" for name, row in ordered.iterrows()]
    figure, axis = plt.subplots(figsize=(9, 3.8))
    axis.errorbar(ordered.loss, labels, xerr=ordered.ci95, fmt="o", capsize=3, color="C0")
    axis.axvline(0, color=INK, linewidth=1, linestyle="-")
    label = f"limit of the selection: {limit:g}"
    axis.axvline(limit, label=label, color="C3", linestyle="--", linewidth=1.4)
    right = ordered.loss[selected] + ordered.ci95[selected]
    at = right + 0.3, ordered.index.get_loc(selected)
    arrow = {"arrowstyle": "->", "color": INK}
    axis.annotate("selected", at, (right + 2.5, at[1]), va="center", arrowprops=arrow)
    axis.set(xlabel="percentage points lost, ± 95 % over pairs and seeds")
    axis.set(ylabel="circuit: memory of weights, answers")
    legend_above(axis)
    return figure


def disturbances(accuracies: pd.Series, undisturbed: float, n_classes: int = 10) -> Figure:
    """Draw accuracy over the strength of each disturbance, in three panels.

    The accuracies are in percent, indexed by kind and strength, a fraction.
    """
    figure, axes = plt.subplots(1, 3, figsize=(12, 4.4), sharey=True)
    for axis, (title, kinds) in zip(axes, PANELS.items(), strict=True):
        _draw_kinds(axis, accuracies, kinds)
        axis.axhline(undisturbed, color="0.4", linewidth=1, linestyle="-")
        axis.axhline(100 / n_classes, color="0.4", linewidth=1, linestyle=":")
        axis.set(title=title, xlabel="strength (%)")
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), ncols=2)
    few = accuracies["firing neurons"].sort_index().iloc[:1]
    strength = 100 * few.index[0]
    arrow = {"arrowstyle": "->", "color": INK}
    text = f"{strength:g} % of the neurons\nalways fire"
    at = strength, few.iloc[0] + 2
    axes[1].annotate(text, at, (strength, at[1] + 14), va="bottom", arrowprops=arrow)
    axes[0].set(ylabel="accuracy, unseen speakers (%)", ylim=(0, undisturbed + 8))
    return figure


def _draw_kinds(axis: Axes, accuracies: pd.Series, kinds: Mapping[str, str]) -> None:
    """Draw one line for each kind of disturbance over its strength."""
    for i, (kind, label) in enumerate(kinds.items()):
        line = accuracies[kind].sort_index()
        axis.plot(100 * line.index, line, marker="osD^"[i], label=label)
    axis.set_xscale("log")
    strengths = sorted({strength for kind in kinds for strength in accuracies[kind].index})
    axis.set_xticks([100 * each for each in strengths], [f"{100 * each:g}" for each in strengths])
    axis.minorticks_off()
