"""The look that all figures share, and how they are saved."""

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from shd_helpers.paths import img_dir

STYLE = Path(__file__).with_name("study.mplstyle")
INK = "0.15"
DOT = {"marker": ".", "markersize": 1.2, "linestyle": "none", "color": INK}  # one spike
SEEN, UNSEEN = "seen speakers", "unseen speakers"

P = ParamSpec("P")
FigureOrNone = TypeVar("FigureOrNone", bound=Figure | None)


def styled(draw: Callable[P, FigureOrNone]) -> Callable[P, FigureOrNone]:
    """Decorate a function that draws: it draws in the study's style and closes its figure.

    The inline backend shows every figure that is still open when a cell ends; a figure that is
    also the cell's value would be shown twice.
    """

    @wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> FigureOrNone:
        with plt.style.context(STYLE):
            figure = draw(*args, **kwargs)
        if figure is not None:
            plt.close(figure)
        return figure

    return drawn


@styled
def save(figure: Figure, name: str, source: str) -> Figure:
    """Write the data's name under a figure, save it as ``<name>.png`` and return it.

    Parameters
    ----------
    figure : Figure
        From one of the functions that draw.
    name : str
        File name without ending; the folder is `paths.img_dir`.
    source : str
        Which data and run the figure shows.
    """
    figure.supxlabel(source, fontsize=8, color="0.4", x=1, ha="right")
    path = img_dir() / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    return figure


def percent_axis(axis: Axes, label: str, chance: float | None = None) -> None:
    """Label an axis of percentages from 0 to 100, and draw the level of chance (percent)."""
    axis.set(ylabel=f"{label} (%)", ylim=(0, 102))  # a cap or a line at 100 stays whole
    if chance is not None:
        axis.axhline(chance, color="0.5", linestyle=":", linewidth=1, label="chance")


def legend_above(axis: Axes, title: str = "") -> None:
    """Put the legend in one row above the axes, where no line crosses it, right of the title."""
    handles, labels = axis.get_legend_handles_labels()
    row = {"ncols": len(labels), "columnspacing": 1.2, "handlelength": 1.8, "handletextpad": 0.5}
    place = {"bbox_to_anchor": (1, 1), "borderaxespad": 0.2}
    axis.legend(handles, labels, loc="lower right", **place, **row)
    axis.set_title(title, loc="left")


def legend_beside(axis: Axes, **look: Any) -> Legend:
    """Put the legend, with matplotlib's options, right of the axes, where no line crosses it."""
    return axis.legend(loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0, **look)
