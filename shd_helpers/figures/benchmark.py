"""The figure of notebook 7 that compares accuracies on SHD's official test file."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from shd_helpers.figures.style import INK

TEST_FILE = "test file"
# How each kind of published number is drawn; what `_kind` returns.
LOOKS: dict[str, dict[str, Any]] = {
    "selected on held-out data": {"marker": "o", "color": INK},
    "selected on the test file": {"marker": "s", "color": INK, "mfc": "white"},
    "baseline of Cramer et al.": {"marker": "^", "color": "C2", "ms": 8},
    "selection not known": {"marker": "x", "color": "0.45"},
}
OURS: dict[str, dict[str, Any]] = {"this study, ± over seeds": {"marker": "D", "color": "C0"}}


def benchmark(ours: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """Draw accuracies on the official test file, 20 classes, one row for each network.

    Parameters
    ----------
    ours : DataFrame
        From `study.summarize`, indexed by network: `test` in percent, `test_ci95` over seeds,
        `parameters`.
    published : DataFrame
        The table ``results/published.csv``: `network`, `accuracy` (%), `parameters`, and
        `selected_on`, which is empty where it isn't known. Other columns don't matter.

    Returns
    -------
    Figure
        The highest accuracy is on top.
    """
    papers = published[["network", "accuracy", "parameters"]].copy()
    papers["kind"] = [_kind(row) for row in published.itertuples()]
    own = pd.DataFrame({"network": "this study: " + ours.index, "accuracy": ours.test.to_numpy()})
    own["parameters"] = ours.parameters.to_numpy()
    own["ci95"] = ours.test_ci95.to_numpy()
    rows = pd.concat([papers, own.assign(kind=next(iter(OURS)))])
    rows = rows.sort_values("accuracy").reset_index(drop=True)
    figure, axis = plt.subplots(figsize=(11, 0.27 * len(rows) + 1.8))
    for kind, look in (LOOKS | OURS).items():
        of_kind = rows[rows.kind == kind]
        if len(of_kind):
            axis.plot(of_kind.accuracy, of_kind.index, linestyle="none", label=kind, **look)
    axis.hlines(rows.index, rows.accuracy - rows.ci95, rows.accuracy + rows.ci95, color="C0")
    axis.set_yticks(np.arange(len(rows)), [_label(row) for row in rows.itertuples()])
    axis.set(xlabel="accuracy on the official test file, 20 classes (%)")
    axis.legend(loc="upper left")  # few networks have a low accuracy
    return figure


def _kind(row) -> str:
    """Return how a published network was selected, as a key of `LOOKS`."""
    if "Cramer et al." in row.network:
        return "baseline of Cramer et al."
    if pd.isna(row.selected_on):
        return "selection not known"
    return (
        "selected on the test file" if row.selected_on == TEST_FILE else "selected on held-out data"
    )


def _label(row) -> str:
    """Return a network's name with the number of its parameters, where it is known."""
    if pd.isna(row.parameters):
        return row.network
    return f"{row.network}, {row.parameters / 1000:.0f}k"
