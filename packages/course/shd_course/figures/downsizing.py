"""The figure of notebook 6 on where the loss comes from, and its message."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from shd_helpers.figures.style import legend_beside

POOLING_MARKERS = {"no pooling": "o", "threshold 1": "s", "threshold 2": "D"}
CHANNEL_COLORS = {"700 channels": "C0", "550 channels": "C1"}


def accuracy_over_entries(inputs: pd.DataFrame) -> Figure:
    """Draw accuracy for unseen speakers against active entries, one point for each input.

    The inputs are rows of `summarize`, with names such as ``"550 channels, threshold 2"``.
    """
    figure, axis = plt.subplots(figsize=(9, 4))
    for name, of in inputs.iterrows():
        channels, pooling = name.split(", ")
        color = CHANNEL_COLORS[channels]
        filling = color if channels == "700 channels" else "white"
        axis.errorbar(
            of.input_events,
            of.test_unseen,
            of.test_unseen_ci95,
            marker=POOLING_MARKERS[pooling],
            markersize=9,
            mew=2,
            mfc=filling,
            color=color,
            linestyle="none",
            capsize=3,
            label=name,
        )
    axis.set(xlabel="active entries in the input of one utterance (mean)")
    axis.set(ylabel="accuracy, unseen speakers (%)")
    axis.margins(x=0.1)
    legend_beside(axis)
    return figure


def message_of_causes(
    contrasts: pd.DataFrame | None, n_rows: int, n_planned: int
) -> tuple[str, str]:
    """Say what the sweep `causes` shows, without a full stop.

    Returns a title, and a sentence that has numbers, too. The contrasts are those of
    `shd_judge.weighted_contrasts`, or None while rows of the table are missing.
    """
    if contrasts is None:
        title = "Which step loses accuracy is open"
        return title, (f"{title}, because the table is not complete: {n_rows} of {n_planned} rows")
    shown = contrasts[contrasts.verdict == "shown"]
    if len(shown):
        title = f"Shown: {'; '.join(shown.index)}"
        named = [f"{name} ({row['mean']:+.1f})" for name, row in shown.iterrows()]
        return title, f"Shown, in percentage points: {'; '.join(named)}"
    title = "We could not tell which step loses accuracy"
    name = contrasts.p_holm.idxmin()
    closest = contrasts.loc[name]
    return title, (
        f"{title}: {name} comes closest ({closest['mean']:+.1f} ± {closest.ci_holm:.1f} percentage "
        f"points, adjusted p {closest.p_holm:.2f})"
    )
