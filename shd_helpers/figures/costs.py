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
def accuracy_over_parameters(
    models: pd.DataFrame, published: pd.DataFrame, aims: Sequence[float]
) -> Figure:
    """Draw test accuracy (%) over learned numbers (log axis), and networks from papers.

    Takes the summary by model; sizes of one network, ``name, 128 neurons``, are joined by a line,
    and one seed is a hollow mark. From papers come `network`, `accuracy`, `parameters` and
    `chosen_on`; those that don't say how they chose are left out, and one without parameters is a
    line.
    """
    figure, axis = plt.subplots(figsize=(9.5, 4.4))
    for i, aim in enumerate(aims):
        label = f"aims: {' and '.join(f'{each:g}' for each in aims)} %" if i == 0 else None
        axis.axhline(aim, color="0.5", linestyle=":", linewidth=1, label=label)
    families = models.index.str.replace(r", \d+ .*", "", regex=True)
    for i, (name, family) in enumerate(models.groupby(families, sort=False)):
        family = family.sort_values("parameters")
        mark: dict[str, Any] = {"color": f"C{i}", "marker": "osD^v<>"[i % 7]}
        axis.errorbar(
            family.parameters, family.test, family.test_ci95, linestyle="-", linewidth=1,
            capsize=3, mfc="none", **mark,
        )  # fmt: skip
        several = family[family.seeds > 1]
        of, fill = (several, f"C{i}") if len(several) else (family, "none")
        axis.plot(of.parameters, of.test, linestyle="none", mfc=fill, label=name, **mark)
    for i, paper in enumerate(published.dropna(subset="chosen_on").itertuples()):
        label = f"{paper.network}:\npaper, chosen on {paper.chosen_on}"
        if pd.isna(paper.parameters):
            axis.axhline(paper.accuracy, color=INK, linestyle="--", linewidth=1, label=label)
        else:
            axis.plot(
                paper.parameters, paper.accuracy, "*PX"[i % 3], color=INK, mfc="none", ms=10,
                linestyle="none", label=label,
            )  # fmt: skip
    axis.set(xscale="log", xlabel="parameters", ylabel="test accuracy (%)")
    axis.set_title("the official test file, 20 classes", loc="left")
    axis.margins(x=0.1, y=0.1)
    legend_beside(axis)
    return figure
