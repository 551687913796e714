"""Figures of the test on 1,800 people: how small the input can be, and what each step costs."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shd_helpers.figures.style import INK, legend_above

LOSSES = (1, 2, 5)  # percentage points below the full input, drawn as lines
FULL = "700 x 1000"
SMALL = "small, "  # begins the names of cells with the network *small*
COSTS = {
    "input_events": "events of an utterance (mean)",
    "effective_acs": "accumulates for an utterance (mean)",
}
LABELS_APART = 0.018  # of the axis, so that the names of two inputs don't overlap


def frontier(cells: pd.DataFrame) -> Figure:
    """Draw accuracy of unseen people against events and against accumulates.

    `cells` has a row for each input and network, as ``results/people_cells.csv``.
    """
    figure, axes = plt.subplots(1, 2, figsize=(12, 5.5), sharey=True, layout="constrained")
    is_small = cells.cell.str.startswith(SMALL)
    for axis, cost in zip(axes, COSTS, strict=True):
        of_full = 100 * cells.accuracy[cells.cell == FULL].iloc[0]
        for loss in LOSSES:
            axis.axhline(of_full - loss, color="0.7", linewidth=0.8, zorder=0)
            axis.annotate(
                f"-{loss}",
                (0.005, of_full - loss),
                xycoords=("axes fraction", "data"),
                color="0.45",
                fontsize=8,
                va="bottom",
            )
        for name, rows, marker, filling in (
            ("the owner's network", cells[~is_small], "o", "C0"),
            ("small", cells[is_small], "s", "white"),
        ):
            if len(rows):
                axis.errorbar(
                    rows[cost],
                    100 * rows.accuracy,
                    100 * rows.ci95,
                    marker=marker,
                    mfc=filling,
                    color="C0" if name != "small" else "C1",
                    linestyle="none",
                    capsize=2,
                    label=name,
                )
        _name_points(axis, cells[cost], 100 * cells.accuracy, cells.cell.str.removeprefix(SMALL))
        axis.set(xscale="log", xlabel=COSTS[cost])
        axis.margins(x=0.18)
    axes[0].set_ylabel("accuracy, unseen people (%)")
    legend_above(axes[1])
    return figure


def _name_points(axis: Axes, x: pd.Series, y: pd.Series, names: pd.Series) -> None:
    """Write the name of each input beside its point, below one that is too near."""
    span = max(y.max() - y.min(), 1)
    written: list[tuple[float, float]] = []
    for number in np.argsort(-y.to_numpy()):
        at, height = float(x.iloc[number]), float(y.iloc[number])
        while any(
            abs(height - other) < LABELS_APART * span and abs(np.log(at / near)) < 0.9
            for near, other in written
        ):
            height -= LABELS_APART * span
        written.append((at, height))
        axis.annotate(
            names.iloc[number],
            (at, height),
            (6, 0),
            textcoords="offset points",
            fontsize=7,
            va="center",
            color=INK,
        )


def changes(contrasts: pd.DataFrame, names: Mapping[tuple[str, str], str]) -> Figure:
    """Draw the change of accuracy of each contrast, with its adjusted interval.

    `contrasts` has rows of ``results/people_contrasts.csv``; `names` says what each pair is called.
    """
    figure, axis = plt.subplots(figsize=(9, 0.45 * len(contrasts) + 1.2), layout="constrained")
    for row, (_, of) in enumerate(contrasts.iterrows()):
        is_shown = of.verdict == "shown"
        axis.errorbar(
            of.difference,
            -row,
            xerr=of.ci95_adjusted,
            marker="o",
            mfc="C0" if is_shown else "white",
            color="C0",
            capsize=3,
        )
        text = f"{of.difference:+.1f} ± {of.ci95_adjusted:.1f}, {of.verdict}"
        axis.annotate(
            text,
            (1.02, -row),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8,
            annotation_clip=False,
        )
    axis.axvline(0, color="0.6", linewidth=0.8, zorder=0)
    labels = [
        names[first, second]
        for first, second in zip(contrasts["first"], contrasts.second, strict=True)
    ]
    axis.set_yticks(-np.arange(len(contrasts)), labels)
    axis.set(xlabel="change of accuracy, unseen people (percentage points)")
    return figure
