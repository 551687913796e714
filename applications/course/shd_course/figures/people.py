"""Figures of the test on 1,800 people: what each step costs, and how small the input can be."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from shd_course.figures.controls import explore
from shd_course.figures.style import INK, TITLE

FULL = "700 x 1000"
SMALL = "small, "  # begins the names of cells with the network *small*
# Names of planned contrasts; the second input of each is the one before the change.
STEPS = {
    ("183 x 333, threshold 2", FULL): "all of downsizing",
    ("550 x 1000", FULL): "150 channels fewer",
    ("183 x 333", "550 x 1000"): "pooling, threshold 1",
    ("183 x 333, threshold 2", "183 x 333"): "threshold 2 instead of 1",
    ("183 x 333, thinned", "183 x 333"): "as few events, drawn at random",
    ("183 x 333, threshold 2", "183 x 333, thinned"): "threshold 2 instead of random events",
}
# The kinds of networks, by the question that has them
KINDS = {
    "cost": "256 LIF neurons, several inputs",
    "size": "256 LIF neurons, several inputs",
    "raise": "other networks on 183 x 333",
    "small": "network small, several inputs",
}
# Cells that are no input or network of their own: random events, two recipes, and a repetition
NOT_DRAWN = ("183 x 333, thinned", "original", "threshold 1", "recipe")
COSTS = {"accumulates": "effective_acs", "events": "input_events", "parameters": "parameters"}
# Where a point's number may be, seen from it, in typographic points
AT = [(x, y) for y in (0, 10, -10, 20, -20) for x in (13, -13)]
DRAWN_LOSS = 18  # percentage points; inputs that may lose more are not among those to choose from


def changes(contrasts: pd.DataFrame, families: Sequence[str]) -> Figure:
    """Draw the change of accuracy of each contrast, with its adjusted interval.

    `contrasts` is ``results/people_contrasts.csv``, of which these families are drawn.
    """
    drawn = contrasts[contrasts.family.isin(families)]
    figure, axis = plt.subplots(figsize=(9, 0.5 * len(drawn) + 1.4))
    for row, (_, of) in enumerate(drawn.iterrows()):
        axis.errorbar(
            of.difference,
            -row,
            xerr=of.ci95_adjusted,
            marker="o",
            mfc="C0" if of.verdict == "shown" else "white",
            color="C0",
            capsize=3,
        )
        axis.annotate(
            f"{of.difference:+.1f} ± {of.ci95_adjusted:.1f}, {of.verdict}",
            (1.02, -row),
            xycoords=("axes fraction", "data"),
            va="center",
            annotation_clip=False,
        )
    axis.axvline(0, color="0.6", linewidth=0.8, linestyle="-", zorder=0)
    labels = [STEPS[pair] for pair in zip(drawn["first"], drawn.second, strict=True)]
    axis.set_yticks(-np.arange(len(drawn)), labels)
    axis.set(ylim=(0.5 - len(drawn), 0.5))
    axis.set_xlabel("change of accuracy, unseen people (percentage points)")
    return figure


def networks_and_inputs(cells: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of ``results/people_cells.csv`` that are networks, with their `kind`."""
    found = cells.assign(kind=cells.question.map(KINDS))
    return found[found.kind.notna() & ~found.cell.isin(NOT_DRAWN)]


def _number_points(axis: Axes, names: pd.Series, x: pd.Series, y: pd.Series) -> None:
    """Write a number beside each point, from the highest down, and the names in a list."""
    figure = axis.get_figure(root=True)
    assert figure is not None
    figure.draw_without_rendering()
    order = np.argsort(-y.to_numpy(), kind="stable")
    points = axis.transData.transform(np.transpose([x.iloc[order], y.iloc[order]]))
    points *= 72 / figure.dpi
    taken = [*points]
    for number, (i, point) in enumerate(zip(order, points, strict=True), 1):
        far = [
            min(np.abs((point + shift - each) / (12, 9)).max() for each in taken) for shift in AT
        ]
        shift = AT[int(np.minimum(far, 0.99).argmax())]
        taken.append(point + shift)
        at = (x.iloc[i], y.iloc[i])
        text = axis.annotate(f"{number}", at, shift, textcoords="offset points", fontsize=9)
        text.set(ha="center", va="center", color=INK)
    names = names.iloc[order]
    listed = "\n".join(f"{number}  {name}" for number, name in enumerate(names, 1))
    axis.text(1.02, 1, listed, transform=axis.transAxes, va="top", fontsize=9, color=INK)


def losses(cells: pd.DataFrame, contrasts: pd.DataFrame) -> pd.DataFrame:
    """Return what each input loses against the full one, in percentage points, and its costs.

    `bound` is the loss that is excluded, one-sided with 95 %. An input without a planned contrast
    against the full one is left out.
    """
    planned = contrasts[contrasts.second == FULL].set_index("first")
    found = pd.DataFrame({"loss": -planned.difference, "bound": planned.excluded_loss})
    found.loc[FULL] = 0.0
    costs = cells[cells.question.isin(["cost", "size"])].set_index("cell")
    return found.join(costs[[*COSTS.values()]], how="inner")


def smallest_input(cells: pd.DataFrame, contrasts: pd.DataFrame) -> Figure | None:
    """Let the reader accept a loss, and mark the smallest input that loses no more.

    Parameters
    ----------
    cells, contrasts : DataFrame
        The tables ``people_cells`` and ``people_contrasts`` in ``results/``.

    Returns
    -------
    Figure or None
        As `explore` does.
    """
    table = losses(cells, contrasts).query("bound < @DRAWN_LOSS")
    figure, axis = plt.subplots(figsize=(9, 5))

    def update(accepted_loss: float = 2.0, cost: str = "accumulates") -> str:
        sizes = table[COSTS[cost]]
        by_estimate, by_interval = (
            sizes[table[column] <= accepted_loss].idxmin() for column in ("loss", "bound")
        )
        axis.clear()
        axis.vlines(sizes, -table.bound, -table.loss, color="0.5", label="to the excluded loss")
        axis.plot(sizes, -table.loss, "o", color="0.5", label="an input")
        for name, form, filling, label in (
            (by_interval, "sC0", "none", "cheapest by the interval"),
            (by_estimate, "*C1", "C1", "cheapest by the estimate"),
        ):
            at = (sizes[name], -table.loss[name])
            axis.plot(*at, form, mfc=filling, ms=17, mew=2, label=label)
        axis.axhline(-accepted_loss, color="C3", linestyle="--", label="accepted loss")
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        axis.margins(x=0.15)
        axis.set(xlabel=f"{cost} (mean of an utterance)", ylim=(-DRAWN_LOSS, 5))
        if cost == "parameters":
            axis.set_xlabel("parameters of the network")
        axis.set_ylabel(f"change against {FULL} (percentage points)")
        axis.legend(loc="lower right", labelspacing=0.8)
        same = f"{by_estimate} by estimate and interval"
        differ = f"{by_estimate} by the estimate, {by_interval} by the interval"
        found = same if by_estimate == by_interval else differ
        line = f"Accepted loss {accepted_loss:.1f} percentage points: {found}"
        figure.suptitle(line, **TITLE)
        _number_points(axis, pd.Series(table.index), sizes, -table.loss)
        return line

    return explore(figure, update, accepted_loss=(0.0, 10.0, 0.1), cost=[*COSTS])


def challenge(cells: pd.DataFrame, target: float, own: dict[str, Any] | None) -> pd.DataFrame:
    """List the networks that reach an accuracy (%), those with the fewest parameters first.

    `own` is the reader's network, with the keys `network`, `parameters`, `accumulates` and
    `accuracy` (%).
    """
    found = networks_and_inputs(cells)
    columns = {"network": found.cell, "parameters": found.parameters}
    columns |= {"accumulates": found.effective_acs, "accuracy": 100 * found.accuracy}
    table = pd.concat([pd.DataFrame(columns), pd.DataFrame([own] if own else [])])
    table = table[table.accuracy >= target].sort_values("parameters").set_index("network")
    formats = {"parameters": "{:,.0f}", "accumulates": "{:,.0f}", "accuracy": "{:.1f} %"}
    return pd.DataFrame({name: table[name].map(form.format) for name, form in formats.items()})
