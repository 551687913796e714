"""The heat map of a sweep over two settings."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure

from shd_helpers.figures.style import TITLE, describe


def heat_map(rows: pd.DataFrame, x: str, y: str) -> Figure:
    """Draw the validation accuracy of each combination of two settings, as a mean over seeds.

    `rows` has a row for each run, as a sweep's table has them, and `x` and `y` are columns of it.
    The figure is closed, so that a notebook shows it once.
    """
    accuracies = rows.astype({"validation_accuracy": float})
    means = 100 * accuracies.pivot_table("validation_accuracy", index=y, columns=x)
    height, width = means.shape
    figure, axis = plt.subplots(figsize=(max(6.5, 3 + 1.1 * width), 1.6 + 0.6 * height))
    image = axis.imshow(means, cmap="cividis")
    axis.grid(False)
    axis.set_xticks(range(width), [f"{value:g}" for value in means.columns])
    axis.set_yticks(range(height), [f"{value:g}" for value in means.index])
    axis.set(xlabel=x, ylabel=y)
    middle = (means.min().min() + means.max().max()) / 2
    for row, values in enumerate(means.to_numpy()):
        for column, value in enumerate(values):
            color = "white" if value < middle else "black"
            axis.text(column, row, f"{value:.0f}", ha="center", va="center", color=color)
    figure.colorbar(image, ax=axis, label="validation accuracy (%)")
    best_y, best_x = means.stack().idxmax()
    title = (
        f"The highest mean over seeds is {means.max().max():.0f} %, with {x} {best_x:g} and "
        f"{y} {best_y:g}"
    )
    figure.suptitle(title, **TITLE)
    describe(figure, title)
    plt.close(figure)
    return figure
