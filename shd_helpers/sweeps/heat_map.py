"""The heat map of a sweep over two settings."""

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.figure import Figure


def heat_map(rows: pd.DataFrame, x: str, y: str) -> Figure:
    """Draw the validation accuracy of each combination of two settings, as a mean over seeds.

    `rows` has a row for each run, as a sweep's table has them, and `x` and `y` are columns of it.
    """
    accuracies = rows.astype({"validation_accuracy": float})
    means = 100 * accuracies.pivot_table("validation_accuracy", index=y, columns=x)
    height, width = means.shape
    size = (max(6.5, 3 + 1.1 * width), 1.6 + 0.6 * height)
    figure, axis = plt.subplots(figsize=size, layout="constrained")
    image = axis.imshow(means, cmap="cividis", aspect="auto")
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
    figure.suptitle(
        f"The highest mean over seeds is {means.max().max():.0f} %, with {x} {best_x:g} and "
        f"{y} {best_y:g}"
    )
    plt.close(figure)
    return figure
