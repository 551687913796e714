"""Controls above a figure in JupyterLab, the figure alone everywhere else.

Papermill, nbconvert and nbval get one static figure from the same call.
"""

import asyncio
import io
import re
from collections.abc import Callable, Mapping
from typing import Any

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython
from IPython.display import Audio, display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from shd_helpers.figures.recorder import Recorder
from shd_helpers.figures.style import STYLE

WAIT_S = 0.02  # events that come within it share one frame


def is_live() -> bool:
    """Tell whether a person's front end runs the cell: those name it, programs that run all don't.

    JupyterLab, Notebook 7 and VS Code send the cell's id with the request.
    """
    shell = get_ipython()
    kernel = getattr(shell, "kernel", None)
    return bool(kernel and kernel.get_parent().get("metadata", {}).get("cellId"))


def player(wave: np.ndarray, rate_hz: int) -> Audio | None:
    """Return a player for a sound where a person can press it, else None: no sound in files."""
    return Audio(wave, rate=rate_hz) if is_live() else None


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG file; quick to make rather than small."""
    canvas = figure.canvas
    if not isinstance(canvas, FigureCanvasAgg):  # it was closed
        canvas = FigureCanvasAgg(figure)
    canvas.draw()  # savefig lays every text out twice
    with io.BytesIO() as file:
        picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
        picture.save(file, "PNG", compress_level=1)
        return file.getvalue()


class Frames:
    """Draws when the controls have changed, at most one frame behind them.

    Dragging sends many changes; while a frame is drawn they wait in the kernel's queue, and only
    the last of them is drawn next.

    Parameters
    ----------
    draw : callable
        Draws the present state.
    """

    def __init__(self, draw: Callable[[], None]) -> None:
        self._draw, self._is_due = draw, False

    def changed(self, *_: object) -> None:
        """Ask for a frame, unless one is due already."""
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_later(WAIT_S, self._now)

    def _now(self) -> None:
        self._is_due = False
        self._draw()


def explore(
    figure: Figure,
    update: Callable[..., str],
    controls: Mapping[str, tuple[str, object, Any]],
    sound: Callable[..., bytes | None] | None = None,
    recorder: Recorder | None = None,
) -> Figure | None:
    """Show a figure under controls that change it, or without a person the figure alone.

    Parameters
    ----------
    figure : Figure
        What `update` changes.
    update : callable
        Takes the controls' values by name and returns a line of text about them.
    controls : mapping
        By name: label; start value; what it may be: (lowest, highest) or (lowest, highest, step)
        for a slider, a list for a menu, None for a box to tick.
    sound : callable, optional
        Takes the same values; returns a WAV file to be heard, or None.
    recorder : Recorder, optional
        Stands above the controls; a new sound in it changes the figure, too.

    Returns
    -------
    Figure or None
        The figure with the start values; None where it is shown with controls.
    """
    start = {name: value for name, (_, value, _) in controls.items()}
    line = update(**start)
    with plt.style.context(STYLE):
        figure.canvas.draw()
    figure.set_layout_engine("none")  # settled; doing it again for each frame is slow
    plt.close(figure)  # else the notebook would show it a second time
    if not is_live():
        print(re.sub("<[^>]+>", "", line))
        return figure
    boxes = {name: _control(*control) for name, control in controls.items()}
    wide = widgets.Layout(max_width="100%")
    image = widgets.Image(value=png(figure), layout=wide)
    image.add_class("shd-figure")
    text = widgets.HTML(f"<div role='status'>{line}</div>", layout=wide)
    audio = widgets.Audio(format="wav", autoplay=False)
    if sound:
        audio.value = sound(**start) or b""

    def draw() -> None:
        values = {name: box.value for name, box in boxes.items()}
        text.value = f"<div role='status'>{update(**values)}</div>"
        image.value = png(figure)
        if sound:
            audio.value = sound(**values) or b""

    frames = Frames(draw)
    for box in boxes.values():
        box.observe(frames.changed, "value")
    row = widgets.Layout(flex_flow="row wrap", max_width="100%")
    shown = [widgets.Box([*boxes.values()], layout=row), text, image, *([audio] if sound else [])]
    if recorder:
        recorder.observe(frames.changed, "number")
        shown.insert(0, recorder)
    display(widgets.VBox(shown, layout=wide))
    return None


def _control(label: str, value: object, choices: Any) -> widgets.Widget:
    common = {
        "value": value,
        "description": label,
        "style": {"description_width": "initial"},
        "layout": widgets.Layout(width="21em", max_width="95%"),
    }
    if choices is None:
        return widgets.Checkbox(indent=False, **common)
    if isinstance(choices, list):
        return widgets.Dropdown(options=choices, **common)
    low, high, *step = choices
    whole = isinstance(value, int)
    kind = widgets.IntSlider if whole else widgets.FloatSlider
    return kind(min=low, max=high, step=step[0] if step else (1 if whole else 0.1), **common)
