"""The look that all figures share, and how they are saved."""

from math import ceil
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from shd_corpus.cochlea import resonance_hz
from shd_corpus.shd_file import N_CHANNELS
from shd_helpers.events.downsampling import Downsampling
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


CHANNEL = "unit (cochlea channel)"  # the label of their axes
HZ = (200, 500, 1000, 2000, 5000, 10_000, 20_000)


def label_hz(axis: Axes, n_channels: int = N_CHANNELS) -> None:
    """Label the right side of an axis of channels with their resonance frequencies.

    These are known only for the 700 channels of the cochlea: any other axis stays as it is.
    """
    if n_channels != N_CHANNELS:
        return
    frequencies = resonance_hz(N_CHANNELS)  # falls with the channel, and interp wants it to rise
    channels = np.interp(HZ, frequencies[::-1], np.arange(N_CHANNELS)[::-1])
    right = axis.secondary_yaxis("right")
    right.set_yticks(channels, [f"{hz:,}" for hz in HZ])
    right.set_ylabel("resonance (Hz)")


def last_ms(times_s: np.ndarray, grid: Downsampling | None = None) -> float:
    """Return where the time axis of an utterance can end: the last spike, rounded up to 50 ms.

    Milliseconds from seconds. The axis doesn't go on beyond the duration of `grid`.
    """
    last = 50.0
    if len(times_s):
        last *= ceil(20 * float(times_s.max()) + 1e-9)
    if grid:
        last = min(last, 1000 * grid.duration_s)
    return last


def draw_blocks(axis: Axes, matrix: np.ndarray, grid: Downsampling) -> None:
    """Draw a pooled matrix over milliseconds and cochlea channels, its blocks in true size.

    The matrix is (steps, units), and an earlier one is removed. Blocks finer than a pixel come out
    gray.
    """
    for image in axis.images:
        image.remove()
    top = grid.first_unit + grid.n_units * grid.pool_units
    axis.grid(False)
    axis.imshow(
        matrix.T,
        extent=(0, grid.n_steps * grid.step_ms, grid.first_unit, top),
        cmap="Greys",
        vmin=0,
        vmax=0.8,
        origin="lower",
        interpolation="antialiased",
    )
