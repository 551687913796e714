"""Figures that compare settings over their seeds; each takes data and returns the figure."""

from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from scipy.stats import t as student_t

from shd_helpers.figures.style import INK, styled


@styled
def learning_rate_epochs(settings: pd.DataFrame, chosen: str) -> Figure:
    """Heat map of validation accuracy (%), mean and standard deviation over seeds.

    Takes `sweeps.by_configuration` of a sweep over `lr` and `epochs`, and the setting to frame.
    """
    cells = settings.assign(mean=100 * settings.accuracy, sd=100 * settings.accuracy_sd)
    mean, sd = (cells.pivot(index="lr", columns="epochs", values=name) for name in ("mean", "sd"))
    text = mean.map("{:.1f}".format) + "\n± " + sd.map("{:.1f}".format)
    figure, axis = plt.subplots(figsize=(1.6 + 1.2 * mean.shape[1], 1.2 + 0.7 * mean.shape[0]))
    bar = {"label": "validation accuracy (%)"}
    sns.heatmap(mean, annot=text, fmt="", cmap="viridis", cbar_kws=bar, linewidths=1, ax=axis)
    best = settings[settings.configuration == chosen].iloc[0]
    place = mean.columns.get_loc(best.epochs), mean.index.get_loc(best.lr)
    axis.add_patch(plt.Rectangle(place, 1, 1, fill=False, edgecolor="C3", linewidth=3))
    axis.invert_yaxis()
    axis.set(xlabel="epochs", ylabel="learning rate")
    axis.set_title(f"mean ± sd over {settings.seeds.max()} seeds; framed: chosen")
    axis.tick_params(axis="y", rotation=0)
    return figure


@styled
def accuracy_over_slope(settings: pd.DataFrame, chosen: str) -> Figure:
    """Draw validation accuracy (%) over slope for each surrogate, with 95 % confidence bands.

    Takes `sweeps.by_configuration` of a sweep over `surrogate` and `slope`, and the setting to mark. The
    bands are of the mean over seeds, by Student's t.
    """
    figure, axis = plt.subplots(figsize=(7, 4))
    for i, (name, group) in enumerate(settings.groupby("surrogate", sort=False)):
        group = group.sort_values("slope")
        mean = 100 * group.accuracy
        axis.plot(group.slope, mean, marker="osD"[i % 3], label=name)
        half = 100 * group.accuracy_sd * student_t.ppf(0.975, group.seeds - 1) / group.seeds**0.5
        axis.fill_between(group.slope, mean - half, mean + half, color=f"C{i}", alpha=0.15)
    _mark(axis, settings, chosen, "slope")
    axis.set(xscale="log", xlabel="slope of the surrogate (alpha of atan)")
    axis.set_xticks(sorted(set(settings.slope)), [f"{x:g}" for x in sorted(set(settings.slope))])
    axis.set_xticks([], minor=True)
    axis.set(ylabel="validation accuracy (%)", ylim=(None, min(100, axis.get_ylim()[1])))
    axis.set_title(f"mean and its 95 % confidence band, {settings.seeds.max()} seeds")
    axis.legend()
    return figure


@styled
def cost_against_accuracy(settings: pd.DataFrame, chosen: str, by: str) -> Figure:
    """Draw validation accuracy (%) over training time (s) of each setting, ± 1 sd over seeds.

    Takes `sweeps.by_configuration`, the setting to mark, and the column that chooses the colour.
    """
    figure, axis = plt.subplots(figsize=(7, 4))
    for i, (value, group) in enumerate(settings.groupby(by, sort=False)):
        label = value if isinstance(value, str) else f"{by} {value:g}"
        axis.errorbar(
            group.training_s,
            100 * group.accuracy,
            yerr=100 * group.accuracy_sd,
            fmt="osD^vP"[i % 6],
            color=f"C{i}",
            capsize=3,
            linestyle="none",
            label=label,
        )
    _mark(axis, settings, chosen, "training_s")
    axis.set(xlabel="training time of a run (s)", ylabel="validation accuracy (%)", xlim=(0, None))
    axis.set_title(f"mean ± sd over {settings.seeds.max()} seeds")
    axis.legend()
    return figure


def _mark(axis: plt.Axes, settings: pd.DataFrame, chosen: str, x: str) -> None:
    best = settings[settings.configuration == chosen]
    style = {"markersize": 16, "markerfacecolor": "none", "markeredgecolor": INK}
    axis.plot(best[x], 100 * best.accuracy, "o", **style, linestyle="none", label="chosen")


PARTS = {
    "test_seen": "test, heard speakers",
    "test_unseen": "test, stranger",
}


@styled
def accuracy_over_grid(means: pd.DataFrame, study: tuple[int, int]) -> Figure:
    """Draw test accuracy (%) over channels and steps, for heard speakers and for strangers.

    Takes `comparison.over_seeds` and the (channels, steps) to frame.
    """
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True)
    for axis, part in zip(axes, ("test_seen", "test_unseen"), strict=True):
        mean, half = (
            means.pivot(index="channels", columns="steps", values=name)
            for name in (part, f"{part}_ci95")
        )
        text = mean.map("{:.0f}".format) + "\n± " + half.map("{:.0f}".format)
        sns.heatmap(
            mean, annot=text, fmt="", cmap="viridis", linewidths=1, annot_kws={"fontsize": 8},
            cbar_kws={"label": "accuracy (%)"}, ax=axis,
        )  # fmt: skip
        place = mean.columns.get_loc(study[1]), mean.index.get_loc(study[0])
        axis.add_patch(plt.Rectangle(place, 1, 1, fill=False, edgecolor="C3", linewidth=3))
        axis.set(xlabel="steps in 1 s", ylabel="channels", title=PARTS[part])
        axis.tick_params(axis="y", rotation=0)
    axes[0].invert_yaxis()
    axes[1].set_ylabel("")
    figure.suptitle(f"mean ± half its 95 % interval, {means.seeds.max()} seeds", fontsize=10)
    return figure


@styled
def accuracy_along_axes(means: Mapping[str, pd.DataFrame], study: tuple[int, int]) -> Figure:
    """Draw test accuracy (%) over channels and over steps, through the study's size.

    Takes `comparison.over_seeds` of each data set, by its name, and the (channels, steps) at which
    the row and the column cross. Bands are 95 % intervals.
    """
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True)
    for axis, name, other, value in zip(
        axes, ("channels", "steps"), ("steps", "channels"), (study[1], study[0]), strict=True
    ):
        for color, (data, table) in enumerate(means.items()):
            line = table[table[other] == value].sort_values(name)
            for part, style in (("test_seen", "o-"), ("test_unseen", "s--")):
                label = f"{data}, {PARTS[part].removeprefix('test, ')}"
                axis.plot(line[name], line[part], style, color=f"C{color}", label=label)
                low, high = line[part] - line[f"{part}_ci95"], line[part] + line[f"{part}_ci95"]
                axis.fill_between(line[name], low, high, color=f"C{color}", alpha=0.15)
        axis.set(xscale="log", xlabel=f"{name} (at {value} {other})")
        axis.set_xticks(sorted(set(line[name])), [str(x) for x in sorted(set(line[name]))])
        axis.set_xticks([], minor=True)
    axes[0].set(ylabel="accuracy (%)")
    axes[1].legend(fontsize=8)
    return figure


@styled
def accuracy_over_threshold(means: pd.DataFrame) -> Figure:
    """Draw test accuracy (%) over the pooling threshold for each input size, with 95 % intervals.

    Takes `comparison.over_seeds` by channels, steps and threshold.
    """
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), sharex=True)
    for axis, part in zip(axes, ("test_seen", "test_unseen"), strict=True):
        for i, (size, group) in enumerate(means.groupby(level=["channels", "steps"], sort=False)):
            threshold = group.index.get_level_values("pool_threshold") + 0.05 * (i - 1.5)
            axis.errorbar(
                threshold, group[part], group[f"{part}_ci95"], marker="osD^"[i], capsize=2,
                label=f"{size[0]} x {size[1]}",
            )  # fmt: skip
        axis.set(xlabel="active cells that a block needs", ylabel="accuracy (%)", title=PARTS[part])
        axis.set_xticks(sorted(set(means.index.get_level_values("pool_threshold"))))
    axes[0].legend(title="channels x steps", fontsize=8)
    return figure


@styled
def accuracy_over_cost(means: pd.DataFrame, on_front: Mapping[str, np.ndarray]) -> Figure:
    """Draw test accuracy (%) over synaptic operations (log axis), each part's Pareto front as line.

    Takes `comparison.over_seeds` with a column `family` (colour) and optionally `label`, and for
    each part which rows are on its front.
    """
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.5))
    for axis, part in zip(axes, ("test_seen", "test_unseen"), strict=True):
        for i, (family, group) in enumerate(means.groupby("family", sort=False)):
            bars = group[group.label != ""]  # all of them would hide each other
            axis.plot(
                group.effective_acs, group[part], "osD^v"[i], color=f"C{i}", markersize=5,
                label=family,
            )  # fmt: skip
            axis.errorbar(
                bars.effective_acs, bars[part], bars[f"{part}_ci95"], fmt="none", ecolor=f"C{i}"
            )
        front = means[on_front[part]].sort_values("effective_acs")
        axis.plot(
            front.effective_acs, front[part], "-", color=INK, linewidth=1, label="Pareto front"
        )
        for row in means[means.label != ""].itertuples():
            axis.annotate(
                row.label, (row.effective_acs, getattr(row, part)), fontsize=8,
                xytext=(6, -4 if row.label == "study" else 4), textcoords="offset points",
            )  # fmt: skip
        axis.set(xscale="log", xlabel="accumulates per utterance", ylabel="accuracy (%)")
        axis.set(title=PARTS[part], xlim=(None, 6 * means.effective_acs.max()))
    axes[0].legend(fontsize=8, loc="lower right")
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
    axes[-1, 0].set(xlabel="accuracy (%)")
    return figure


@styled
def accuracy_of_models(means: pd.DataFrame, lines: Mapping[str, str]) -> Figure:
    """Draw each model's test accuracy (%), heard and stranger, with 95 % intervals over seeds.

    Takes `comparison.over_seeds` indexed by the model's name, the last at the bottom, and the names
    of those whose means are drawn as lines, with the lines' styles.
    """
    figure, axes = plt.subplots(1, 2, figsize=(10, 0.4 * len(means) + 1.4), sharey=True)
    for axis, part in zip(axes, ("test_seen", "test_unseen"), strict=True):
        y = np.arange(len(means))
        axis.errorbar(means[part], y, xerr=means[f"{part}_ci95"], fmt="o", capsize=3)
        for name, style in lines.items():
            axis.axvline(means[part][name], color=INK, linestyle=style, linewidth=1)
        axis.set_yticks(y, means.index)
        axis.set(xlabel="accuracy (%)", title=PARTS[part])
    axes[0].invert_yaxis()
    return figure
