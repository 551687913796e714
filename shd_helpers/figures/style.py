"""The look that all figures share, and how they are saved."""

from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from shd_helpers.paths import img_dir

STYLE = Path(__file__).with_name("study.mplstyle")
styled = plt.style.context(STYLE)  # works as a decorator: the style holds for one figure only
INK = "0.15"


@styled
def save(figure: Figure, name: str, source: str) -> Figure:
    """Write the data's name under a figure, save it as ``img/<name>.png`` and return it once.

    Parameters
    ----------
    figure : Figure
        From one of this module's functions.
    name : str
        File name without ending.
    source : str
        Which data and run the figure shows.
    """
    figure.supxlabel(source, fontsize=8, color="0.4", x=1, ha="right")
    path = img_dir() / f"{name}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)  # the notebook shows the returned figure; open ones it would show twice
    return figure
