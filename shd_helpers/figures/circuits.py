"""Figures of the circuit: membranes, bits, disturbances, stopping, budget."""

import math
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from shd_helpers.figures.style import INK, legend_above, legend_beside, percent_axis, styled

_MARKS = "osD^v<"
_BAND = (0.1, 0.9)  # of networks and draws, quantiles


@styled
def membranes(traces: dict[str, np.ndarray], step_ms: float) -> Figure:
    """Draw one neuron's membrane, in thresholds, as several networks have it; above, its spikes.

    Takes each network's membrane, (steps,), and the length of a step in milliseconds.
    """
    figure, axis = plt.subplots(figsize=(9, 2.8))
    top = max(np.max(trace) for trace in traces.values()) + 0.2 * len(traces)
    look: dict[str, Any]
    for i, (name, trace) in enumerate(traces.items()):
        look = {"color": f"C{i}", "linestyle": ("-", "--")[i % 2], "linewidth": 1.2}
        axis.plot(step_ms * np.arange(len(trace)), trace, label=name, **look)
        fires = step_ms * np.flatnonzero(np.asarray(trace) > 1)
        axis.plot(fires, np.full(len(fires), top - 0.2 * i), "|", color=f"C{i}", markersize=7)
    axis.plot([], [], "|", color=INK, markersize=7, label="spikes")
    axis.axhline(1, color=INK, linewidth=1, linestyle=":", label="threshold")
    axis.set(xlabel="time (ms)", ylabel="membrane (thresholds)")
    legend_above(axis)
    return figure


@styled
def accuracy_over_bits(circuits: pd.DataFrame, floats: float) -> Figure:
    """Draw each circuit's accuracy (%) and bytes of weights, a row a circuit, the first on top.

    Takes a table by circuit with `accuracy` and `ci95` (half the 95 % interval; both in percent)
    and `bytes`, and the accuracy of the network of floats. A circuit is named by its bits: of a
    weight in the first and second layer, and of a membrane.
    """
    size = (10, 0.32 * len(circuits) + 1.5)
    figure, axes = plt.subplots(1, 2, figsize=size, sharey=True, width_ratios=(2, 1))
    y = np.arange(len(circuits))[::-1]
    axes[0].axvline(floats, color="C1", linestyle="--", linewidth=1.2, label="floats")
    look: dict[str, Any] = {
        "fmt": "o",
        "color": "C0",
        "capsize": 3,
        "label": "integers, mean ± 95 % interval",
    }
    axes[0].errorbar(circuits.accuracy, y, xerr=circuits.ci95, **look)
    axes[0].set_xlabel("accuracy (%)")
    axes[0].set_yticks(y, [str(name) for name in circuits.index])
    axes[0].set_ylabel("circuit")
    axes[0].set_ylim(-0.7, len(circuits) - 0.3)
    legend_above(axes[0])
    axes[1].barh(y, circuits.bytes / 1000, height=0.6, color="C0")
    axes[1].set_xlabel("weights (kB)")
    return figure


@styled
def accuracy_over_disturbance(disturbances: pd.DataFrame) -> Figure:
    """Draw accuracy (%) over the strength of each disturbance, a panel a kind, with a band.

    Takes rows of `kind`, `strength` and `test_unseen_accuracy` (a fraction), one a network and
    draw. The rows of kind ``"none"`` are where all lines begin. Lines are means; the band goes from
    the 10th to the 90th percentile of networks and draws.
    """
    begin = disturbances[disturbances.kind == "none"]
    kinds = [kind for kind in disturbances.kind.unique() if kind != "none"]
    n_columns = min(5, len(kinds))
    n_rows = math.ceil(len(kinds) / n_columns)
    size = (max(6.5, 2.5 * n_columns + 0.6), 2.5 * n_rows + 0.6)
    figure, axes = plt.subplots(n_rows, n_columns, figsize=size, sharey=True, squeeze=False)
    for axis, kind in zip(axes.flat, kinds, strict=False):
        rows = pd.concat([begin, disturbances[disturbances.kind == kind]])
        scores = rows.assign(score=100 * rows.test_unseen_accuracy).groupby("strength").score
        x, (low, high) = 100 * scores.mean().index, (scores.quantile(q) for q in _BAND)
        axis.plot(x, scores.mean(), "o-", markersize=3.5, label="mean")
        axis.fill_between(x, low, high, color="C0", alpha=0.15, linewidth=0, label="8 of 10")
        axis.set_title(kind.replace(", ", ",\n"), fontsize=9)
        axis.set_xlabel("strength (%)")
    for axis in axes.flat[len(kinds) :]:
        axis.set_visible(False)
    for row in axes:
        percent_axis(row[0], "accuracy")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=len(labels))
    return figure


@styled
def accuracy_over_steps(stopping: pd.DataFrame, recommended: tuple[int, int]) -> Figure:
    """Draw accuracy (%) over the mean steps of an utterance for each rule, validation and test.

    Takes rows of `margin`, `silence` and, for the parts ``validation`` and ``test_unseen``,
    ``<part>_accuracy`` (fractions) and ``<part>_steps``, one a network and rule, and the (margin,
    silence) that was chosen on validation. Points are means over networks.
    """
    look: dict[str, Any]
    parts = {"validation": "validation, by which was chosen", "test_unseen": "new speakers"}
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), sharex=True, sharey=True)
    means = stopping.groupby(["margin", "silence"]).mean(numeric_only=True)
    ways = {
        "silence only": means[means.index.get_level_values("margin") == 0],
        "lead only": means[means.index.get_level_values("silence") == 0],
        "either of both": means[[margin > 0 and silence > 0 for margin, silence in means.index]],
    }
    for axis, (part, title) in zip(axes, parts.items(), strict=True):
        for i, (name, rules) in enumerate(ways.items()):
            line = rules[[rule != (0, 0) for rule in rules.index]].sort_values(f"{part}_steps")
            look = {"color": f"C{i}", "marker": _MARKS[i], "markersize": 4}
            line_style = "-" if name == "silence only" else "none"
            x, y = line[f"{part}_steps"], 100 * line[f"{part}_accuracy"]
            axis.plot(x, y, linestyle=line_style, label=name, zorder=3 - i, **look)
        whole, best = means.loc[(0, 0)], means.loc[recommended]
        axis.axhline(100 * whole[f"{part}_accuracy"], color=INK, linewidth=1, linestyle=":")
        for row, mark, label in ((whole, "*", "all steps"), (best, "o", "recommended")):
            look = {"markersize": 12, "markerfacecolor": "none", "markeredgecolor": INK}
            x, y = row[f"{part}_steps"], 100 * row[f"{part}_accuracy"]
            axis.plot([x], [y], mark, linestyle="none", label=label, zorder=4, **look)
        axis.set(xlabel="mean steps of a word")
        axis.set_title(title, loc="left")
    axes[0].set_ylabel("accuracy (%)")
    legend_beside(axes[1])
    return figure


@styled
def budget(memory: pd.DataFrame, operations: pd.DataFrame) -> Figure:
    """Draw what circuits store (kB, stacked) and do for an utterance (thousands), a bar a circuit.

    Takes the bytes by circuit (rows) and kind of number (columns), and what is counted by circuit
    (rows) and kind of operation (columns). Kinds below 3 % of the bytes are drawn as one.
    """
    is_small = memory.div(memory.sum(axis=1), axis=0).max() < 0.03
    rest = memory.loc[:, is_small].sum(axis=1)
    memory = memory.loc[:, ~is_small].assign(**{"all else": rest})
    size = (11, 0.55 * len(memory) + 2.2)
    figure, axes = plt.subplots(1, 2, figsize=size, sharey=True)
    y, left = np.arange(len(memory))[::-1], np.zeros(len(memory))
    for i, (name, values) in enumerate(memory.items()):
        kilobytes = values.to_numpy() / 1000
        axes[0].barh(y, kilobytes, left=left, height=0.6, label=name, color=f"C{i}")
        left += kilobytes
    axes[0].set_yticks(y, [str(name) for name in memory.index])
    axes[0].set_xlabel("memory (kB)")
    height = 0.8 / operations.shape[1]
    for i, (name, values) in enumerate(operations.items()):
        place = y + 0.4 - (i + 0.5) * height
        axes[1].barh(place, values / 1000, height=0.9 * height, color=f"C{i % 6}", label=name)
    axes[1].set_xlabel("operations a word (thousands)")
    for axis in axes:
        columns: dict[str, Any] = {
            "ncols": 2,
            "loc": "lower left",
            "bbox_to_anchor": (0, 1),
            "borderaxespad": 0.2,
        }
        axis.legend(**columns)
    return figure
