"""Figures of what accuracy costs a circuit; each returns the figure."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from shd_helpers.figures.style import INK, legend_beside, styled


@styled
def accuracy_over_cost(
    validated: pd.DataFrame,
    on_front: Sequence[bool],
    tested: pd.DataFrame,
    study: tuple[int, int, int],
) -> Figure:
    """Draw accuracy (%) over accumulates (log axis): validation with its Pareto front, and test.

    Takes a summary of many configurations, which of them are on the front, and the summary by
    input of the few that were tested. The study's channels, steps and threshold have a ring.
    """
    figure, axes = plt.subplots(1, 2, figsize=(12, 4.6))
    front = validated[on_front].sort_values("effective_acs")
    axes[0].plot(
        front.effective_acs, front.validation, color=INK, linewidth=1, label="Pareto front"
    )
    for i, (threshold, group) in enumerate(validated.groupby("pool_threshold")):
        label = f"pool_threshold {threshold}"
        axes[0].plot(group.effective_acs, group.validation, "os^"[i], color=f"C{i}", label=label)
    sizes = front.drop_duplicates(["channels", "steps"])  # of two thresholds the first is named
    for row in sizes.itertuples():
        axes[0].annotate(
            f"{row.channels} x {row.steps}", (row.effective_acs, row.validation), fontsize=7,
            xytext=(-5, 3), textcoords="offset points", ha="right",
        )  # fmt: skip
    sizes = validated[["channels", "steps", "pool_threshold"]]
    ringed = validated[(sizes == [*study]).all(axis=1)]
    ring = {"mfc": "none", "mec": INK, "ms": 13, "label": f"{study[0]} x {study[1]}, the study's"}
    axes[0].plot(ringed.effective_acs, ringed.validation, "o", **ring)
    axes[0].set(ylabel="validation accuracy (%)")
    axes[0].set_title("validation: speakers 8 and 9", loc="left")
    axes[0].legend(loc="lower right")
    for i, row in enumerate(tested.itertuples()):
        look: dict[str, Any] = {"fmt": "osD^v"[i % 5], "color": f"C{i}", "label": row.Index}
        axes[1].errorbar(
            row.effective_acs, row.test_unseen, row.test_unseen_ci95, capsize=3, **look
        )
    axes[1].set(ylabel="test accuracy of a new speaker (%)")
    axes[1].set_title("each input with its own recipe", loc="left")
    legend_beside(axes[1])
    for axis in axes:
        axis.set(xscale="log", xlabel="accumulates per utterance")
        axis.margins(x=0.2, y=0.1)
    axes[1].xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes[1].xaxis.set_major_formatter(lambda x, _: f"{x / 1e6:g}")
    axes[1].xaxis.set_minor_formatter("")
    axes[1].set_xlabel("accumulates per utterance (millions)")
    return figure


@styled
def accuracy_over_parameters(models: pd.DataFrame, published: pd.DataFrame, goal: float) -> Figure:
    """Draw test accuracy (%) over learned numbers (log axis), and networks from papers.

    Takes the summary by model; sizes of one network, ``name, size``, are joined by a line. From
    papers come `network`, `accuracy` and `parameters`; those without parameters are left out.
    """
    figure, axis = plt.subplots(figsize=(9.5, 4.4))
    axis.axhline(goal, color="0.5", linestyle=":", linewidth=1, label=f"{goal:g} %")
    families = models.index.str.split(",").str[0]
    for i, (name, family) in enumerate(models.groupby(families, sort=False)):
        family = family.sort_values("parameters")
        axis.errorbar(
            family.parameters, family.test, family.test_ci95, color=f"C{i}", fmt="osD^v"[i % 5],
            linestyle="-", linewidth=1, capsize=3, label=name,
        )  # fmt: skip
    drawn = published.dropna(subset="parameters")
    for i, paper in enumerate(drawn.itertuples()):
        axis.plot(
            paper.parameters, paper.accuracy, "*PX"[i % 3], color=INK, mfc="none", ms=10,
            linestyle="none", label=f"{paper.network} (paper)",
        )  # fmt: skip
    axis.set(xscale="log", xlabel="parameters", ylabel="test accuracy (%)")
    axis.set_title("the official test file, 20 classes", loc="left")
    axis.margins(x=0.1, y=0.1)
    legend_beside(axis)
    return figure
