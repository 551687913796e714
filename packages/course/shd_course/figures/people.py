"""Figures of the test on 1,800 people: how small the input can be, and what each step costs."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from shd_helpers.figures.style import INK

LOSSES = (1, 2, 5)  # percentage points below the full input, drawn as lines
FULL = "700 x 1000"
SMALL = "small, "  # begins the names of cells with the network *small*
COSTS = {
    "input_events": "events of an utterance (mean)",
    "effective_acs": "accumulates for an utterance (mean)",
}


def frontier(cells: pd.DataFrame) -> Figure:
    """Draw accuracy of unseen people against events and against accumulates.

    Both panels have the same heights, and the names at the right are for both. `cells` has a row
    for each input and network, as ``results/people_cells.csv``.
    """
    figure, axes = plt.subplots(1, 2, figsize=(12, 5.5), sharey=True, layout="constrained")
    is_small = cells.cell.str.startswith(SMALL)
    of_full = 100 * cells.accuracy[cells.cell == FULL].iloc[0]
    for axis, cost in zip(axes, COSTS, strict=True):
        for loss in LOSSES:
            axis.axhline(of_full - loss, color="0.75", linewidth=0.8, zorder=0)
        for name, rows, style in (
            ("the owner's network", cells[~is_small], {"marker": "o", "color": "C0"}),
            ("small", cells[is_small], {"marker": "s", "color": "C1", "mfc": "white"}),
        ):
            if len(rows):
                axis.errorbar(
                    rows[cost],
                    100 * rows.accuracy,
                    100 * rows.ci95,
                    linestyle="none",
                    capsize=2,
                    label=name,
                    **style,
                )
        axis.set(xscale="log", xlabel=COSTS[cost])
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.margins(x=0.1)
    for loss in LOSSES:
        place = (0.01, of_full - loss)
        text = f"{loss} below {FULL}"
        axes[0].annotate(
            text,
            place,
            xycoords=("axes fraction", "data"),
            color="0.4",
            fontsize=7,
            va="bottom",
        )
    axes[0].set_ylabel("accuracy, unseen people (%)")
    axes[0].legend(loc="lower right")
    names = cells.cell.str.removeprefix(SMALL).str.cat(np.where(is_small, " (small)", ""))
    _name_points(axes[1], cells.effective_acs, 100 * cells.accuracy, names)
    return figure


def _name_points(axis: Axes, x: pd.Series, y: pd.Series, names: pd.Series) -> None:
    """Write the name of each input right of the axes, with a line to its point."""
    low, high = axis.get_ylim()
    apart = (high - low) / 26
    below = high
    for number in np.argsort(-y.to_numpy(), kind="stable"):
        point = (float(x.iloc[number]), float(y.iloc[number]))
        height = min(point[1], below)
        below = height - apart
        axis.annotate(
            names.iloc[number],
            point,
            (1.02, height),
            textcoords=("axes fraction", "data"),
            fontsize=8,
            va="center",
            color=INK,
            arrowprops={"arrowstyle": "-", "color": "0.8", "linewidth": 0.7},
            annotation_clip=False,
            zorder=-1,
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
