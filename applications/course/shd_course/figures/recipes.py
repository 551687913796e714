"""The figures of notebook 5: recipes with their accuracies, and what luck looks like."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from shd_course.figures.controls import explore
from shd_course.figures.style import INK, TITLE

MARKERS = "osD^v>"
STEP_MS = 3  # of `beta`
N_DRAWN = 4000  # searches whose luck is averaged


def settings(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the settings of each recipe, with names that can be read.

    `runs` has the columns `recipe`, `slope`, `beta`, `lr`, `batch_size` and `lr_step`.
    """
    recipes = runs.drop_duplicates("recipe").set_index("recipe")
    columns = {
        "slope": recipes.slope.map("{:.3g}".format),
        "time constant (ms)": (-STEP_MS / np.log(recipes.beta)).map("{:.0f}".format),
        "learning rate": recipes.lr.map("{:.4f}".format),
        "batch": recipes.batch_size.astype(int),
        "halved after (epochs)": recipes.lr_step.astype(int),
    }
    return pd.DataFrame(columns)


def search(recipes: pd.DataFrame, accuracies: pd.DataFrame, guess: str | None = None) -> Figure:
    """Draw the accuracy of each recipe at each input, beside the recipe's settings.

    `recipes` is from `settings`. The accuracies are in percent, indexed by recipe, with a column
    for each input. The row of the recipe that the reader guessed is marked.
    """
    order = accuracies.mean(axis=1).sort_values().index
    if guess is not None and guess not in order:
        raise ValueError(
            f"guess: there is no recipe {guess!r}; choose {min(order)} to {max(order)}"
        )
    rows = np.arange(len(order))
    shown = recipes.loc[order]
    size = (11, 0.32 * len(order) + 1.6)
    figure, (left, right) = plt.subplots(1, 2, figsize=size, sharey=True)
    ranks = shown.astype(float).rank(pct=True)
    left.imshow(ranks, cmap="Greys", vmin=0.2, vmax=3, origin="lower")
    for row, values in enumerate(shown.to_numpy()):
        for column, value in enumerate(values):
            left.text(column, row, value, ha="center", va="center", color=INK)
    left.set_xticks(range(len(shown.columns)), [name.replace(" ", "\n", 1) for name in shown])
    left.set_yticks(rows, order)
    left.set_ylabel("recipe")
    left.tick_params(length=0)
    left.grid(False)
    ordered = accuracies.loc[order]
    right.hlines(rows, ordered.min(axis=1), ordered.max(axis=1), color="0.75", linewidth=1)
    for i, (name, values) in enumerate(ordered.items()):
        look = {"color": f"C{i}", "mfc": "none", "mew": 1.5}
        right.plot(values, rows, MARKERS[i], label=name, **look)
    if guess:
        right.axhspan(*(rows[order == guess] + [-0.5, 0.5]), color="C1", alpha=0.3)
    right.set_xlabel("validation accuracy (%)")
    right.legend(loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0)
    return figure


def mean_luck(n_recipes: int, spread: float) -> float:
    """Return by how much the best of equally good recipes looks too good, on average.

    `spread` is the standard deviation over seeds.
    """
    drawn = np.random.default_rng(0).normal(0, spread, (N_DRAWN, n_recipes))
    return float(drawn.max(axis=1).mean())


def luck(spread: float) -> Figure | None:
    """Let the reader search among recipes that are equally good, and run the best one again.

    Parameters
    ----------
    spread : float
        Standard deviation of accuracy over seeds, in percentage points.

    Returns
    -------
    Figure or None
        As `explore` does.
    """
    figure, axis = plt.subplots(figsize=(9, 3))

    def update(recipes: int = 16, search: int = 1) -> str:
        first, again = np.random.default_rng(search).normal(0, spread, (2, recipes))
        best = first.argmax()
        axis.clear()
        axis.plot(first, np.ones(recipes), "o", color="0.6", mfc="none", label="a recipe")
        axis.plot(again, np.zeros(recipes), "o", color="0.6", mfc="none")
        ends = [first[best], again[best]]
        axis.plot(ends, [1, 0], "-", color="C0", marker="D", ms=8, label="the search's best")
        mean = mean_luck(recipes, spread)
        axis.axvline(mean, color="C1", linestyle="--", label="the best, on average")
        axis.axvline(0, color=INK, linestyle=":", label="true accuracy of all")
        axis.set_yticks([1, 0], ["in the search", "with another seed"])
        axis.set(ylim=(-0.5, 1.5), xlim=(-4 * spread, 4 * spread))
        axis.set_xlabel("measured minus true accuracy (percentage points)")
        axis.legend(loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0)
        line = f"The best of {recipes} equal recipes looks {ends[0]:.1f} percentage points too good"
        figure.suptitle(line, **TITLE)
        return f"{line}, and with another seed {ends[1]:+.1f}"

    return explore(figure, update, recipes=(1, 64), search=(1, 20))
