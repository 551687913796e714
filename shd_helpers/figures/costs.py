"""Figures of what accuracy costs a circuit; each returns the figure."""

from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from shd_helpers.figures.style import INK, legend_beside, styled


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
