"""Figures that compare configurations; each takes `study.summarise` and returns the figure.

Error bars are 95 % intervals of the mean, percentages end at 0 and 100.
"""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shd_helpers.figures.style import INK, SEEN, UNSEEN, legend_beside, styled

PARTS = {"test_seen": SEEN, "test_unseen": UNSEEN}
VALIDATED = "validated on "
_BAR: dict[str, Any] = {"capsize": 3, "linewidth": 1.2, "elinewidth": 1}
_FRAME: dict[str, Any] = {"fill": False, "edgecolor": "C3", "linewidth": 3}
_RING: dict[str, Any] = {
    "markersize": 15,
    "markerfacecolor": "none",
    "markeredgecolor": INK,
    "linestyle": "none",
}


@styled
def learning_rate_epochs(means: pd.DataFrame) -> Figure:
    """Map validation accuracy (%) over learning rate and epochs, the best one framed.

    Takes the summary of a sweep over `lr`, `epochs` and `validated_on`, which has a panel each.
    """
    figure, axes = _panels(means, "validated_on")
    for axis, (title, part) in zip(axes, means.groupby("validated_on", sort=False), strict=True):
        best = part.loc[part.validation.idxmax()]
        _map(
            axis,
            part,
            (part.validation.min(), part.validation.max()),
            ("lr", "epochs"),
            (best.lr, best.epochs),
            f"{VALIDATED}{title}",
        )
        axis.set(xlabel="epochs", ylabel="learning rate" if axis is axes[0] else "")
    _say(figure, means, "framed: the best")
    return figure


@styled
def accuracy_over_slope(means: pd.DataFrame) -> Figure:
    """Draw validation accuracy (%) over slope for each surrogate, the best one marked.

    Takes the summary of a sweep over `surrogate`, `slope` and `validated_on`, which has a panel
    each.
    """
    figure, axes = _panels(means, "validated_on")
    names = means.surrogate.unique()
    for axis, (title, part) in zip(axes, means.groupby("validated_on", sort=False), strict=True):
        for i, name in enumerate(names):
            line = part[part.surrogate == name].sort_values("slope")
            shifted = line.slope * 1.05 ** (i - (len(names) - 1) / 2)  # side by side
            _bars(axis, shifted, line, "validation", marker="osD"[i % 3], label=name)
            if part.validation.idxmax() in line.index:
                place = shifted[part.validation.idxmax()], part.validation.max()
        axis.plot(*place, "o", **_RING, label="the best")
        _log_ticks(axis, part.slope)
        axis.set(xlabel="slope of the surrogate (alpha of atan)", ylim=(0, 100))
        axis.set_title(f"{VALIDATED}{title}", loc="left")
    axes[0].set_ylabel("validation accuracy (%)")
    legend_beside(axes[-1])
    _say(figure, means)
    return figure


@styled
def cost_against_accuracy(means: pd.DataFrame) -> Figure:
    """Draw validation accuracy (%) over training time (s); colour: batch size, marker: rate.

    Takes the summary of a sweep over `batch_size`, `lr` and `validated_on`, which has a panel each.
    """
    figure, axes = _panels(means, "validated_on")
    sizes, rates = [*means.batch_size.unique()], [*means.lr.unique()]
    for axis, (title, part) in zip(axes, means.groupby("validated_on", sort=False), strict=True):
        for row in part.itertuples():
            look: dict[str, Any] = {
                "color": f"C{sizes.index(row.batch_size)}",
                "marker": "osD^"[rates.index(row.lr)],
            }
            label = f"batch {row.batch_size}, rate {row.lr:g}"
            half = row.validation_ci95
            axis.errorbar(
                row.training_s, row.validation, half, **_BAR, **look, ls="none", label=label
            )
        axis.set(xlabel="training time of a run (s)", xlim=(0, None))
        axis.set_title(f"{VALIDATED}{title}", loc="left")
    axes[0].set_ylabel("validation accuracy (%)")
    legend_beside(axes[-1])
    _say(figure, means)
    return figure


def _bars(axis: Axes, x: Sequence, means: pd.DataFrame, part: str, **look: Any) -> None:
    """Draw means as a line, with their intervals cut at 0 and 100 %."""
    mean, half = means[part].to_numpy(), means[f"{part}_ci95"].to_numpy()
    reach = np.minimum(half, mean), np.minimum(half, 100 - mean)
    axis.errorbar(x, mean, reach, **_BAR, **look)


def _panels(means: pd.DataFrame, by: str) -> tuple[Figure, np.ndarray]:
    """Return a figure with a panel for each value in a column."""
    n = means[by].nunique()
    figure, axes = plt.subplots(1, n, figsize=(5.5 * n, 4.2), sharey=True, squeeze=False)
    return figure, axes[0]


def _map(
    axis: Axes,
    means: pd.DataFrame,
    limits: tuple[float, float],
    names: tuple[str, str],
    framed: tuple,
    title: str,
) -> None:
    """Draw validation accuracies as a table of colours between limits, one entry framed.

    An interval that all share stands in the title, else each stands below its mean. An entry that
    was not measured stays empty.
    """
    mean, half = (
        means.pivot(index=names[0], columns=names[1], values=name)
        for name in ("validation", "validation_ci95")
    )
    colors, halves = colormaps["viridis"], half.stack().dropna()
    look: dict[str, Any] = dict(zip(("vmin", "vmax"), limits, strict=True))
    image = axis.imshow(mean, cmap=colors, aspect="auto", origin="lower", **look)
    first, same = halves.iloc[0], np.allclose(halves, halves.iloc[0])
    for (y, x), value in np.ndenumerate(mean.to_numpy()):
        if np.isnan(value):
            continue
        light = np.dot(np.array(colors(image.norm(value))[:3]) ** 2.2, (0.2126, 0.7152, 0.0722))
        text = f"{value:.1f}" + f"\n± {half.iloc[y, x]:.1f}" * (not same)
        look = {
            "ha": "center",
            "va": "center",
            "color": "black" if light > 0.18 else "white",
        }
        axis.text(x, y, text, **look)
    axis.set_xticks(range(mean.shape[1]), [f"{x:g}" for x in mean.columns])
    axis.set_yticks(range(mean.shape[0]), [f"{y:g}" for y in mean.index])
    axis.grid(False)
    axis.set_title(f"{title}{f', each ± {first:.1f}' * same}", loc="left")
    place = mean.columns.get_loc(framed[1]), mean.index.get_loc(framed[0])
    axis.add_patch(plt.Rectangle((place[0] - 0.5, place[1] - 0.5), 1, 1, **_FRAME))
    axis.figure.colorbar(image, ax=axis, label="accuracy (%)")


def _log_ticks(axis: Axes, values: pd.Series) -> None:
    """Make x logarithmic, with a tick at each value."""
    axis.set(xscale="log")
    ticks = sorted(set(values))
    axis.set_xticks(ticks, [f"{x:g}" for x in ticks], fontsize=8)
    axis.set_xticks([], minor=True)


def _say(figure: Figure, means: pd.DataFrame, more: str = "") -> None:
    """Write above a figure what its intervals are."""
    units = f"{means.units.min()}" + f" to {means.units.max()}" * (means.units.nunique() > 1)
    pooled = ", spread pooled" if means.pooled.any() else ""
    text = f"mean ± 95 % interval, {units} seeds{pooled}"
    figure.suptitle(f"{text}; {more}" if more else text, fontsize=9, x=0.01, ha="left")
