"""Figures of the test on 1,800 people: what each step costs, and how small the input can be."""

from collections.abc import Sequence
from itertools import product
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.path import Path
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter
from matplotlib.transforms import Bbox

from shd_course.figures.controls import explore
from shd_helpers.figures.style import INK, TITLE

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
# The frontier's points: the questions of each kind, and its look.
KINDS: dict[str, tuple[Sequence[str], dict[str, Any]]] = {
    "256 LIF neurons, several inputs": (("cost", "size"), {"marker": "o", "color": "C0"}),
    "other networks on 183 x 333": (("raise",), {"marker": "^", "color": "C3", "mfc": "white"}),
    "network small, several inputs": (("small",), {"marker": "s", "color": INK, "mfc": "0.7"}),
}
# Cells that are no input or network of their own: random events, two recipes, and a repetition
NOT_DRAWN = ("183 x 333, thinned", "owner's", "threshold 1", "recipe")
COSTS = {"accumulates": "effective_acs", "events": "input_events", "parameters": "parameters"}
# Where a name may be, seen from its point: distance in points, angle in degrees
DISTANCES = (12, 19, 28, 40, 55, 72)
ANGLES = (180, 150, 0, 30, -30, -150, 120, 60, 90, -60, -120, -90)
LABEL_SIZE = 11
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
    """Return the rows of ``results/people_cells.csv`` that the frontier has, with their `kind`."""
    kinds = {question: kind for kind, (questions, _) in KINDS.items() for question in questions}
    found = cells.assign(kind=cells.question.map(kinds))
    return found[found.kind.notna() & ~found.cell.isin(NOT_DRAWN)]


def draw_frontier(cells: pd.DataFrame) -> Figure:
    """Draw accuracy of unseen people against accumulates, a point for each input and network.

    `cells` is ``results/people_cells.csv``. Rows that are added to it later appear.
    """
    drawn = networks_and_inputs(cells).sort_values("accuracy", ascending=False)
    millions = drawn.effective_acs / 1e6
    percent = 100 * drawn.accuracy
    # The names are placed before the title comes, so the axes must keep their size.
    figure, axis = plt.subplots(figsize=(9.5, 6.5), layout="none")
    figure.subplots_adjust(left=0.08, right=0.98, bottom=0.12, top=0.93)
    cheapest = millions.sort_values().index
    best = percent[cheapest].cummax()
    (band,) = axis.step(millions[cheapest], best, where="post", label="nothing cheaper is better")
    band.set(color="0.8", linewidth=5, linestyle="-")
    for kind, (_, look) in KINDS.items():
        rows = drawn.kind == kind
        if rows.any():
            axis.errorbar(
                millions[rows],
                percent[rows],
                100 * drawn.ci95[rows],
                linestyle="none",
                elinewidth=1,
                capsize=2,
                ms=7,
                label=kind,
                **look,
            )
    _label_simply(axis, "{x:g}")
    axis.margins(x=0.16, y=0.1)
    axis.set_xlabel("accumulates for an utterance (million, mean)")
    axis.set_ylabel("accuracy, unseen people (%)")
    legend = axis.legend(loc="lower right", fontsize=LABEL_SIZE)
    points = pd.DataFrame({"name": drawn.cell.str.removeprefix(SMALL), "x": millions, "y": percent})
    half = 100 * drawn.ci95
    _name_points(figure, axis, points.assign(low=percent - half, high=percent + half), legend)
    return figure


def _label_simply(axis: Axes, form: str) -> None:
    """Label a logarithmic x axis with 1, 2 and 5 times powers of ten."""
    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_major_formatter(StrMethodFormatter(form))
    axis.xaxis.set_minor_formatter(NullFormatter())


def _name_points(figure: Figure, axis: Axes, points: pd.DataFrame, legend: Legend) -> None:
    """Write each name beside its point, where it covers no other name, point or interval.

    `points` has `name`, `x`, `y`, `low` and `high`, the ends of the interval.
    """
    figure.draw_without_rendering()
    to_pixels = axis.transData.transform
    taken = [legend.get_window_extent().padded(4)]
    for of in points.itertuples():
        ends = [to_pixels((of.x, of.low)), to_pixels((of.x, of.high))]
        middle = to_pixels((of.x, of.y))
        taken += [Bbox(ends).padded(4), Bbox([middle, middle]).padded(7)]
    for number, of in enumerate(points.itertuples()):
        own = slice(1 + 2 * number, 3 + 2 * number)
        taken.append(_place(axis, of.name, (of.x, of.y), taken, taken[own]))


def _place(
    axis: Axes, name: str, point: tuple[float, float], taken: Sequence[Bbox], own: Sequence[Bbox]
) -> Bbox:
    """Write a name at the best place around its point; return its box in pixels.

    The best place is near, and neither the name nor the line to its point covers what is `taken`.
    A line may cover the point's `own` boxes.
    """
    text = axis.annotate(name, point, (0, 0), textcoords="offset points", va="center")
    text.set(fontsize=LABEL_SIZE, color=INK)
    pixels = axis.transData.transform(point)

    def move(distance: float, angle: int) -> Bbox:
        across, up = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
        side = "center" if abs(across) < 0.1 else ("left" if across > 0 else "right")
        text.set(ha=side)
        text.xyann = (distance * across, distance * up)
        return text.get_window_extent().padded(2)

    def cost(place: tuple[float, int]) -> float:
        box = move(*place)
        line = Path([pixels, np.clip(pixels, box.min, box.max)])
        covered = sum(box.overlaps(other) for other in taken)
        crossed = sum(line.intersects_bbox(other) for other in taken if other not in own)
        cut = Bbox.intersection(box, axis.bbox)
        is_inside = cut is not None and np.allclose(cut.bounds, box.bounds)
        return 1000 * (covered + (not is_inside)) + 100 * crossed + place[0]

    best = min(product(DISTANCES, ANGLES), key=cost)
    box = move(*best)
    if best[0] > DISTANCES[0]:
        line = {"arrowstyle": "-", "color": "0.5", "linewidth": 0.7, "shrinkA": 0, "shrinkB": 5}
        axis.annotate("", point, text.xyann, textcoords="offset points", arrowprops=line)
    return box


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
        _label_simply(axis, "{x:,.0f}")
        axis.margins(x=0.15)
        axis.set(xlabel=f"{cost} (mean of an utterance)", ylim=(-DRAWN_LOSS, 5))
        if cost == "parameters":
            axis.set_xlabel("parameters of the network")
        axis.set_ylabel(f"change against {FULL} (percentage points)")
        legend = axis.legend(loc="lower right", labelspacing=0.8)
        same = f"{by_estimate} by estimate and interval"
        differ = f"{by_estimate} by the estimate, {by_interval} by the interval"
        found = same if by_estimate == by_interval else differ
        line = f"Accepted loss {accepted_loss:.1f} percentage points: {found}"
        figure.suptitle(line, **TITLE)
        points = {"name": table.index, "x": sizes, "y": -table.loss}
        points |= {"low": -table.bound, "high": -table.loss}
        _name_points(figure, axis, pd.DataFrame(points), legend)
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
