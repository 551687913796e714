"""Controls above a figure in JupyterLab, the figure alone everywhere else.

Papermill, nbconvert and nbval get one static figure from the same call.
"""

import asyncio
import io
from collections.abc import Callable
from inspect import signature
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from shd_helpers.extras import from_extra
from shd_helpers.figures.style import describe

with from_extra("study"):
    import ipywidgets as widgets
    from IPython import get_ipython
    from IPython.display import Audio, display

WAIT_S = 0.02  # changes that come within it share one frame


def is_live() -> bool:
    """Return whether a person runs the cell in JupyterLab, Notebook 7 or VS Code.

    Their front ends send the cell's id with the request. Programs that run all cells don't.

    Returns
    -------
    bool
        False without a kernel, too.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    return bool(kernel and kernel.get_parent().get("metadata", {}).get("cellId"))


def player(wave: np.ndarray, rate_hz: int) -> Audio | None:
    """Return an audio player, but only where a person runs the cell.

    Parameters
    ----------
    wave : (samples,) array
        The sound.
    rate_hz : int
        Its sampling rate.

    Returns
    -------
    Audio or None
        None if no person runs the cell, so that no sound is stored in the notebook's file.
    """
    return Audio(wave, rate=rate_hz) if is_live() else None


def png(figure: Figure) -> bytes:
    """Return a figure as the content of a PNG file, which is made quickly rather than small.

    Parameters
    ----------
    figure : Figure
        Any figure.

    Returns
    -------
    bytes
        The file's content.
    """
    with io.BytesIO() as file:  # savefig would lay every text out twice
        FigureCanvasAgg(figure).print_png(file, pil_kwargs={"compress_level": 1})
        return file.getvalue()


def _boxes(update: Callable[..., str], choices: dict[str, Any]) -> dict[str, widgets.Widget]:
    """Return a control for each choice, at the default value that `update` has for it."""
    parameters = signature(update).parameters
    boxes = {}
    for name, choice in choices.items():
        box = widgets.interactive.widget_from_abbrev(choice, parameters[name].default)
        box.description = name
        box.style.description_width = "initial"
        box.layout.width = "21em"
        boxes[name] = box
    return boxes


def explore(
    figure: Figure,
    update: Callable[..., str],
    sound: Callable[..., bytes | None] | None = None,
    recorder: widgets.DOMWidget | None = None,
    **choices: Any,
) -> Figure | None:
    """Show a figure under controls that change it; without a person, return the figure alone.

    Dragging a slider sends many changes. While a frame is drawn they wait in the kernel's queue,
    and only the last one is drawn next.

    Parameters
    ----------
    figure : Figure
        What `update` changes.
    update : callable
        Changes the figure. It takes the controls' values by name, has a default for each, with
        which the figure begins, and returns a line of text.
    sound : callable, optional
        Takes the same values and returns a WAV file, or None.
    recorder : widget, optional
        Is shown above the controls. When its `number` changes, the figure is updated.
    **choices
        A control for each value, as ipywidgets abbreviates it: (lowest, highest, step) for a
        slider, a list for a menu, a bool for a checkbox.

    Returns
    -------
    Figure or None
        The figure if no person runs the cell. None if the controls are displayed.
    """
    line = update()
    describe(figure, line)
    png(figure)
    figure.set_layout_engine("none")  # settled; doing it again for each frame is slow
    plt.close(figure)
    if not is_live():
        print(line)
        return figure
    boxes = _boxes(update, choices)
    wide = widgets.Layout(max_width="100%")
    image = widgets.Image(layout=wide)
    text = widgets.HTML(layout=wide)
    image.add_class("shd-figure")
    audio = widgets.Audio(format="wav", autoplay=False)
    is_due = False

    def draw() -> None:
        nonlocal is_due
        is_due = False
        values = {name: box.value for name, box in boxes.items()}
        text.value = f"<div role='status'>{update(**values)}</div>"
        image.value = png(figure)
        if sound:
            audio.value = sound(**values) or b""

    def changed(_: object) -> None:
        nonlocal is_due
        if not is_due:
            is_due = True
            asyncio.get_running_loop().call_later(WAIT_S, draw)

    for box in boxes.values():
        box.observe(changed, "value")
    row = widgets.Box([*boxes.values()], layout=widgets.Layout(flex_flow="row wrap"))
    panel = [row, text, image]
    if sound:
        panel.append(audio)
    if recorder:
        recorder.observe(changed, "number")
        panel.insert(0, recorder)
    draw()
    display(widgets.VBox(panel, layout=wide))
    return None
