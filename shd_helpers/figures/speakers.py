"""Figures of what single speakers get; each returns the figure."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from shd_helpers.figures.style import INK, legend_above


def ladder(accuracies: pd.DataFrame, steps: pd.DataFrame, followed: Sequence[int] = ()) -> Figure:
    """Draw each speaker's accuracy (%) on every rung, and what a rung adds to the one above it.

    Takes a row a speaker and a column a rung, the first on top; `study.contrasts` of each rung
    with the one before; and the speakers whose lines are dark.
    """
    rungs, means = [*accuracies.columns], accuracies.mean()
    size = (11, 0.42 * len(rungs) + 1.4)
    figure, axes = plt.subplots(1, 2, figsize=size, sharey=True, width_ratios=(3, 2))
    y = np.arange(len(rungs))[::-1]
    few = f"speaker{'s' * (len(followed) > 1)} {' and '.join(map(str, followed))}"
    names = {True: few, False: "a speaker, by number"}
    for speaker in accuracies.index:
        look = {"color": "0.3", "zorder": 2.1} if speaker in followed else {"color": "0.75"}
        label = names.pop(speaker in followed, None)  # each name once
        axes[0].plot(accuracies.loc[speaker], y, ".-", linewidth=0.8, label=label, **look)
    axes[0].plot(means, y, "o-", color="C0", label="mean")
    for rung, at, va in ((rungs[0], y[0] + 0.15, "bottom"), (rungs[-1], y[-1] - 0.2, "top")):
        place = -np.inf
        for speaker, accuracy in accuracies[rung].sort_values().items():
            place = max(accuracy, place + 2.5)  # side by side
            axes[0].text(place, at, f"{speaker}", fontsize=8, ha="center", va=va)
    axes[0].set_yticks(y, rungs)
    axes[0].set(xlabel="accuracy as a new speaker (%)", ylim=(-0.7, len(y) - 0.3))
    legend_above(axes[0])
    at = [y[rungs.index(rung)] for rung, _ in steps.index]
    axes[1].axvline(0, color=INK, linewidth=1)
    axes[1].errorbar(steps["mean"], at, xerr=steps.ci95, fmt="o", capsize=3, color="C0")
    axes[1].set(xlabel="difference from the rung above (percent points)")
    return figure


def accuracy_over_voice(speakers: pd.DataFrame, voices: Mapping[str, str]) -> Figure:
    """Draw each speaker's accuracy (%) over what the voice is like, a panel a quantity.

    Takes a table by speaker with `accuracy` and the quantities, and the quantities' axis labels.
    """
    figure, axes = plt.subplots(1, len(voices), figsize=(3 * len(voices), 3.2), sharey=True)
    for axis, (name, label) in zip(np.atleast_1d(axes), voices.items(), strict=True):
        axis.plot(speakers[name], speakers.accuracy, "o", color="C0", markersize=4)
        near = 0.06 * np.ptp(speakers[["accuracy", name]].to_numpy(), axis=0)
        for speaker, row in speakers.iterrows():
            right = speakers[["accuracy", name]] - row[["accuracy", name]]
            is_left = ((right.abs() < near).all(axis=1) & (right[name] > 0)).any()  # of two dots
            axis.annotate(
                str(speaker), (row[name], row.accuracy), fontsize=8, va="center_baseline",
                xytext=(-4 if is_left else 4, 0), textcoords="offset points",
                ha="right" if is_left else "left",
            )  # fmt: skip
        axis.set_xlabel(label)
        axis.margins(0.12)
    np.atleast_1d(axes)[0].set_ylabel("accuracy as a new speaker (%)")
    return figure
