"""Figures that compare configurations; each takes `study.summarise` and returns the figure.

Error bars are 95 % intervals of the mean, percentages end at 0 and 100.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from shd_helpers.figures.style import INK, SEEN, UNSEEN, legend_beside, styled
from shd_helpers.study.statistics import FEW

PARTS = {"test_seen": SEEN, "test_unseen": UNSEEN}
_BAR: dict[str, Any] = {"capsize": 3, "linewidth": 1.2, "elinewidth": 1}
_FRAME: dict[str, Any] = {"fill": False, "edgecolor": "C3", "linewidth": 3}
_RING: dict[str, Any] = {
    "markersize": 15,
    "markerfacecolor": "none",
    "markeredgecolor": INK,
    "linestyle": "none",
}


@styled
def learning_rate_epochs(means: pd.DataFrame, chosen: str) -> Figure:
    """Map validation accuracy (%) over learning rate and epochs.

    Takes the summary of a sweep over `lr` and `epochs`, and the configuration to frame.
    """
    best = means.loc[chosen]
    figure, axis = plt.subplots(figsize=(5.2, 4))
    _map(axis, means, "validation", ("lr", "epochs"), (best.lr, best.epochs))
    axis.set(xlabel="epochs", ylabel="learning rate")
    _say(figure, means, "framed: chosen")
    return figure


@styled
def accuracy_over_slope(means: pd.DataFrame, chosen: str) -> Figure:
    """Draw validation accuracy (%) over slope for each surrogate.

    Takes the summary of a sweep over `surrogate` and `slope`, and the configuration to mark.
    """
    figure, axis = plt.subplots(figsize=(7.5, 4))
    names = means.surrogate.unique()
    for i, name in enumerate(names):
        line = means[means.surrogate == name].sort_values("slope")
        shifted = line.slope * 1.05 ** (i - (len(names) - 1) / 2)  # side by side
        _bars(axis, shifted, line, "validation", marker="osD"[i % 3], label=name)
        if chosen in line.index:
            place = shifted[chosen], line.validation[chosen]
    axis.plot(*place, "o", **_RING, label="chosen")
    _log_ticks(axis, means.slope)
    axis.set(xlabel="slope of the surrogate (alpha of atan)", ylabel="validation accuracy (%)")
    axis.set_ylim(0, 100)
    legend_beside(axis)
    _say(figure, means)
    return figure


@styled
def cost_against_accuracy(means: pd.DataFrame, chosen: str) -> Figure:
    """Draw validation accuracy (%) over training time (s); colour: batch size, marker: rate.

    Takes the summary of a sweep over `batch_size` and `lr`, and the configuration to mark.
    """
    figure, axis = plt.subplots(figsize=(7.5, 4))
    sizes, rates = [*means.batch_size.unique()], [*means.lr.unique()]
    for row in means.itertuples():
        look: dict[str, Any] = {
            "color": f"C{sizes.index(row.batch_size)}",
            "marker": "osD^"[rates.index(row.lr)],
        }
        label = f"batch {row.batch_size}, rate {row.lr:g}"
        half = row.validation_ci95
        axis.errorbar(row.training_s, row.validation, half, **_BAR, **look, ls="none", label=label)
    best = means.loc[chosen]
    axis.plot(best.training_s, best.validation, "o", **_RING, label="chosen")
    axis.set(xlabel="training time of a run (s)", ylabel="validation accuracy (%)", xlim=(0, None))
    legend_beside(axis)
    _say(figure, means)
    return figure


@styled
def accuracy_over_grid(means: pd.DataFrame, framed: tuple[int, int]) -> Figure:
    """Map test accuracy (%) over channels and steps, for seen and for unseen speakers.

    Takes a summary with `channels` and `steps`, and the (channels, steps) to frame.
    """
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.4), sharey=True)
    for axis, part in zip(axes, PARTS, strict=True):
        _map(axis, means, part, ("channels", "steps"), framed)
        axis.set(xlabel="steps", ylabel="channels" if axis is axes[0] else "")
    thresholds = "/".join(map(str, means.pool_threshold.unique()))
    channels, steps = framed
    _say(figure, means, f"pool_threshold {thresholds}; framed: {channels} x {steps}")
    return figure


@styled
def accuracy_along_axes(means: Mapping[str, pd.DataFrame], study: tuple[int, int]) -> Figure:
    """Draw test accuracy (%) over channels and over steps, a row of panels for each data set.

    Takes a summary with `channels` and `steps` of each data set, by its name, and the (channels,
    steps) at which the two lines cross.
    """
    names = {"channels": ("steps", study[1]), "steps": ("channels", study[0])}
    figure, axes = plt.subplots(
        len(means), 2, figsize=(10, 2.9 * len(means) + 0.3), sharey=True, squeeze=False
    )
    for panels, (data, table) in zip(axes, means.items(), strict=True):
        for axis, (name, (other, value)) in zip(panels, names.items(), strict=True):
            line = table[table[other] == value].sort_values(name)
            for i, (part, label) in enumerate(PARTS.items()):
                _bars(axis, line[name], line, part, marker="os"[i], label=label)
            _log_ticks(axis, line[name])
            axis.set(xlabel=f"{name} (at {value} {other})", ylim=(0, 100), title=data)
        panels[0].set_ylabel("test accuracy (%)")
    legend_beside(axes[0, 1])
    _say(figure, pd.concat(means.values()))
    return figure


@styled
def accuracy_over_threshold(means: pd.DataFrame) -> Figure:
    """Draw test accuracy (%) over the pooling threshold for each input size.

    Takes a summary by `channels`, `steps` and `pool_threshold`.
    """
    figure, axes = plt.subplots(1, 2, figsize=(11, 4), sharex=True)
    for axis, (part, title) in zip(axes, PARTS.items(), strict=True):
        groups = means.groupby(level=["channels", "steps"], sort=False)
        for i, ((channels, steps), line) in enumerate(groups):
            shift = 0.06 * (i - (len(groups) - 1) / 2)  # side by side
            threshold = line.index.get_level_values("pool_threshold") + shift
            _bars(axis, threshold, line, part, marker="osD^v"[i], label=f"{channels} x {steps}")
        axis.set(xlabel="active matrix entries that a block needs", title=title)
        axis.set_xticks(sorted(set(means.index.get_level_values("pool_threshold"))))
    axes[0].set_ylabel("test accuracy (%)")
    legend_beside(axes[1], title="channels x steps", alignment="left")
    _say(figure, means)
    return figure


@styled
def accuracy_over_cost(means: pd.DataFrame, on_front: Mapping[str, Sequence[bool]]) -> Figure:
    """Draw test accuracy (%) over accumulates (log axis), with each part's Pareto front as line.

    Takes a summary with columns `family` (colour) and `label` (what the legend calls a point, ""
    for one without a number), and for each part which rows are on its front.
    """
    figure, axes = plt.subplots(1, 2, figsize=(12.5, 5.4))
    named = means[means.label != ""]
    numbers = dict(zip(named.index, range(1, len(named) + 1), strict=True))
    colors = {family: f"C{i}" for i, family in enumerate(means.family.unique())}
    for axis, (part, title) in zip(axes, PARTS.items(), strict=True):
        front = means[on_front[part]].sort_values("effective_acs")
        axis.plot(front.effective_acs, front[part], color=INK, linewidth=1, label="Pareto front")
        for family, group in means[means.label == ""].groupby("family", sort=False):
            look: dict[str, Any] = {"color": colors[family], "markersize": 5, "label": family}
            axis.plot(group.effective_acs, group[part], "o", **look)
        for row in named.itertuples():
            x, y = row.effective_acs, getattr(row, part)
            color = colors[row.family]
            axis.errorbar(x, y, getattr(row, f"{part}_ci95"), ecolor=color, elinewidth=1)
            axis.plot(x, y, "o", color=color, markersize=10, label=f"    {row.label}")
            inside: dict[str, Any] = {
                "ha": "center",
                "va": "center_baseline",
                "color": "white",
                "fontsize": 6.5,
            }
            axis.annotate(str(numbers[row.Index]), (x, y), **inside)
        axis.set(xscale="log", xlabel="accumulates per utterance", title=title)
    axes[0].set_ylabel("test accuracy (%)")
    _numbered_legend(axes[1], numbers)
    _say(figure, named)
    return figure


@styled
def protocols(accuracies: Mapping[str, Mapping[str, np.ndarray]]) -> Figure:
    """Draw what different utterances say of the same runs: accuracies (%), a dot a run.

    Takes, by kind of runs, what was measured and its values.
    """
    heights = [len(kinds) for kinds in accuracies.values()]
    figure, axes = plt.subplots(
        len(accuracies), 1, figsize=(8, 0.55 * sum(heights) + 1), sharex=True,
        gridspec_kw={"height_ratios": heights}, squeeze=False,
    )  # fmt: skip
    for axis, (title, measured) in zip(axes[:, 0], accuracies.items(), strict=True):
        for y, (_, values) in enumerate(measured.items()):
            axis.plot(values, np.full(len(values), y), "o", alpha=0.5, color=f"C{y}")
            axis.plot(np.mean(values), y, "|", markersize=18, markeredgewidth=2, color=INK)
            axis.annotate(
                f"{np.mean(values):.1f}", (np.mean(values), y), fontsize=8, ha="center",
                xytext=(0, 11), textcoords="offset points",
            )  # fmt: skip
        axis.set_yticks(range(len(measured)), list(measured))
        axis.set(ylim=(len(measured) - 0.5, -0.7), title=title)
    axes[-1, 0].set(xlabel="accuracy (%); line: mean", xlim=(0, 100))
    return figure


@styled
def accuracy_of_models(means: pd.DataFrame, lines: Mapping[str, str]) -> Figure:
    """Draw each model's test accuracy (%) for seen and for unseen speakers.

    Takes a summary indexed by the model's name, the last at the bottom, and the names of those
    whose means are drawn as lines, with the lines' styles.
    """
    figure, axes = plt.subplots(1, 2, figsize=(11, 0.4 * len(means) + 1.6), sharey=True)
    for axis, (part, title) in zip(axes, PARTS.items(), strict=True):
        y = np.arange(len(means))
        axis.errorbar(means[part], y, xerr=means[f"{part}_ci95"], fmt="o", capsize=3)
        for name, style in lines.items():
            axis.axvline(means[part][name], color=INK, linestyle=style, linewidth=1, label=name)
        axis.set_yticks(y, means.index)
        axis.set(xlabel="test accuracy (%)", title=title)
    axes[0].invert_yaxis()
    legend_beside(axes[1])
    _say(figure, means)
    return figure


def _bars(axis: Axes, x: Sequence, means: pd.DataFrame, part: str, **look: Any) -> None:
    """Draw means as a line, with their intervals cut at 0 and 100 %."""
    mean, half = means[part].to_numpy(), means[f"{part}_ci95"].to_numpy()
    reach = np.minimum(half, mean), np.minimum(half, 100 - mean)
    axis.errorbar(x, mean, reach, **_BAR, **look)


def _map(axis: Axes, means: pd.DataFrame, part: str, names: tuple[str, str], framed: tuple) -> None:
    """Draw means as a table of colours, rows and columns by name, one entry framed.

    An interval that all share stands in the title, else each stands below its mean.
    """
    mean, half = (
        means.pivot(index=names[0], columns=names[1], values=name)
        for name in (part, f"{part}_ci95")
    )
    colors, digits = colormaps["viridis"], 0 if mean.size > 16 else 1
    image = axis.imshow(mean, cmap=colors, aspect="auto", origin="lower")
    same = np.allclose(half, half.iloc[0, 0])
    for (y, x), value in np.ndenumerate(mean.to_numpy()):
        light = np.dot(np.array(colors(image.norm(value))[:3]) ** 2.2, (0.2126, 0.7152, 0.0722))
        text = f"{value:.{digits}f}" + f"\n± {half.iloc[y, x]:.{digits}f}" * (not same)
        look: dict[str, Any] = {
            "ha": "center",
            "va": "center",
            "color": "black" if light > 0.18 else "white",
        }
        axis.text(x, y, text, **look)
    axis.set_xticks(range(mean.shape[1]), [f"{x:g}" for x in mean.columns])
    axis.set_yticks(range(mean.shape[0]), [f"{y:g}" for y in mean.index])
    axis.grid(False)
    axis.set_title(f"{PARTS.get(part, part)}{f', each ± {half.iloc[0, 0]:.1f}' * same}")
    place = mean.columns.get_loc(framed[1]), mean.index.get_loc(framed[0])
    axis.add_patch(plt.Rectangle((place[0] - 0.5, place[1] - 0.5), 1, 1, **_FRAME))
    axis.figure.colorbar(image, ax=axis, label="accuracy (%)")


def _log_ticks(axis: Axes, values: pd.Series) -> None:
    """Make x logarithmic, with a tick at each value."""
    axis.set(xscale="log")
    ticks = sorted(set(values))
    axis.set_xticks(ticks, [f"{x:g}" for x in ticks], fontsize=8)
    axis.set_xticks([], minor=True)


def _numbered_legend(axis: Axes, numbers: Mapping[object, int]) -> None:
    """Put a legend beside the axes, with the numbers of the points that have one."""
    texts = legend_beside(axis, fontsize=8, markerscale=0.8).get_texts()
    for number, text in zip(numbers.values(), texts[len(texts) - len(numbers) :], strict=True):
        text.set_text(f"{number}  {text.get_text().strip()}")


def _say(figure: Figure, means: pd.DataFrame, more: str = "") -> None:
    """Write above a figure what its intervals are."""
    units = f"{means.units.min()}" + f" to {means.units.max()}" * (means.units.nunique() > 1)
    pooled = ", spread pooled" if means.units.min() < FEW else ""
    text = f"mean ± 95 % interval, {units} seeds{pooled}"
    figure.suptitle(f"{text}; {more}" if more else text, fontsize=9, x=0.01, ha="left")
