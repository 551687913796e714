"""The look that all figures share, and how they are saved."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from shd_helpers.paths import img_dir

INK = "0.15"
# spikes
DOT: dict[str, Any] = {"marker": ".", "markersize": 1.2, "linestyle": "none", "color": INK}

# of a figure, above its panels
TITLE: dict[str, Any] = {"fontsize": 12, "x": 0.01, "ha": "left"}

# of all that a notebook draws; seaborn takes it, too
plt.style.use(Path(__file__).with_name("study.mplstyle"))


def save(figure: Figure, name: str, source: str, title: str = "") -> Figure:
    """Write title and source on a figure, and save it as ``<name>.png``."""
    figure.supxlabel(source, fontsize=8, color="0.4", x=1, ha="right")
    if title:
        figure.suptitle(title, **TITLE)
        describe(figure, title)
    path = img_dir() / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
    return figure


def describe(figure: Figure, text: str) -> None:
    """Give a figure an alternative text, which notebooks store beside the image.

    Screen readers read it aloud in the notebooks' web pages.
    """

    def mimebundle(**_: Any) -> tuple[dict, dict]:
        return {}, {"image/png": {"alt": text}}

    # IPython asks each object for this. The image itself still comes from Matplotlib's backend.
    figure._repr_mimebundle_ = mimebundle  # type: ignore[attr-defined]


def legend_above(axis: Axes, title: str = "") -> None:
    """Put the legend in one row above the axes, where no line crosses it."""
    handles, labels = axis.get_legend_handles_labels()
    row = {"ncols": len(labels), "columnspacing": 1.2, "handlelength": 1.8, "handletextpad": 0.5}
    corner = {"bbox_to_anchor": (1, 1), "borderaxespad": 0.2}
    axis.legend(handles, labels, loc="lower right", **corner, **row)
    axis.set_title(title, loc="left")


def legend_beside(axis: Axes) -> None:
    """Put the legend right of the axes, where no line crosses it."""
    axis.legend(loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0)


def point_at(axis: Axes, text: str, tip: tuple[float, float], start: tuple[float, float]) -> None:
    """Draw an arrow from a text to what a reader must find."""
    arrow = {"arrowstyle": "->", "color": "C3", "linewidth": 2}
    box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none", "alpha": 0.9}
    found = axis.annotate(text, tip, start, color="C3", arrowprops=arrow, bbox=box, zorder=5)
    if found.arrow_patch:  # a white rim keeps it apart from dots, also in gray
        found.arrow_patch.set_path_effects([withStroke(linewidth=5, foreground="white")])
