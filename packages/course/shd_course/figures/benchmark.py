"""The figure of notebook 7 that compares accuracies on SHD's official test file."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from shd_helpers.figures.style import INK

TEST_FILE = "test file"
LAST_EPOCH = "last epoch, from a public log"
# How each kind of published number is drawn; what `_kind` returns.
LOOKS: dict[str, dict[str, Any]] = {
    "selected on held-out data": {"marker": "o", "color": INK},
    "selected on the test file": {"marker": "s", "color": INK, "mfc": "white"},
    LAST_EPOCH: {"marker": "v", "color": INK, "mfc": "0.7"},
    "baseline of Cramer et al.": {"marker": "^", "color": "C2", "ms": 8},
    "selection not known": {"marker": "x", "color": "0.45"},
}
OURS: dict[str, dict[str, Any]] = {"this study, ± over seeds": {"marker": "D", "color": "C0"}}


TICKS = (50, 60, 70, 80, 85, 90, 92, 94, 95, 96, 97)


def _stretch(accuracy: np.ndarray) -> np.ndarray:
    """Return minus the logarithm of the error, in which halving the errors is always one length."""
    return -np.log10(np.maximum(100 - accuracy, 0.01))


def _unstretch(position: np.ndarray) -> np.ndarray:
    """Return the accuracy (%) at a position; the inverse of `_stretch`."""
    return 100 - 10.0**-position


def benchmark(ours: pd.DataFrame, published: pd.DataFrame) -> Figure:
    """Draw accuracies on the official test file, 20 classes, one row for each network.

    A line joins what was reported for the same network with different selections: the epoch that is
    best on the test file, and the last epoch or one that was selected without the test file.

    `ours` is from `summarize`, indexed by network. `published` is the table
    ``results/published.csv``.
    """
    papers = _reports(published)
    own = pd.DataFrame({"network": "this study: " + ours.index, "accuracy": ours.test.to_numpy()})
    own["parameters"] = ours.parameters.to_numpy()
    own["ci95"] = ours.test_ci95.to_numpy()
    rows = pd.concat([papers, own.assign(kind=next(iter(OURS)))]).sort_values("accuracy")
    # A network has one row, whose height its highest accuracy decides.
    networks = rows.drop_duplicates("network", keep="last").reset_index(drop=True)
    height = pd.Series(networks.index, index=networks.network)
    figure, axis = plt.subplots(figsize=(11, 0.27 * len(networks) + 1.8))
    for network, reports in rows.groupby("network"):
        if len(reports) > 1:
            of_network = [height[network]] * 2
            ends = [reports.accuracy.min(), reports.accuracy.max()]
            axis.plot(ends, of_network, color="0.6", linewidth=1, linestyle="-", zorder=1)
    for kind, look in (LOOKS | OURS).items():
        of_kind = rows[rows.kind == kind]
        if len(of_kind):
            y = height[of_kind.network]
            axis.plot(of_kind.accuracy, y, linestyle="none", label=kind, **look)
    low = networks.accuracy - networks.ci95
    high = networks.accuracy + networks.ci95
    axis.hlines(networks.index, low, high, color="C0")
    axis.set_yticks(networks.index, [_label(row) for row in networks.itertuples()])
    axis.set_xscale("function", functions=(_stretch, _unstretch))
    axis.set_xticks(TICKS)
    axis.set_xlim(right=97.5)
    axis.set_xlabel("accuracy on the official test file, 20 classes (%, errors on a log scale)")
    axis.legend(loc="upper left")  # few networks have a low accuracy
    return figure


def _reports(published: pd.DataFrame) -> pd.DataFrame:
    """Return `network`, `accuracy`, `parameters` and `kind` of each report, also of last epochs."""
    reports = published[["accuracy", "parameters"]].copy()
    reports["network"] = published.same_network_as.fillna(published.network)
    reports["kind"] = [_kind(row) for row in published.itertuples()]
    last = published[published.last_epoch.notna()]
    of_last_epochs = pd.DataFrame({"network": last.network, "accuracy": last.last_epoch})
    return pd.concat([reports, of_last_epochs.assign(kind=LAST_EPOCH)])


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
