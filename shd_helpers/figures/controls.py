"""Controls above a figure in JupyterLab, the figure alone everywhere else.

Papermill, nbconvert and nbval get one static figure from the same call.
"""

import asyncio
import io
from collections.abc import Callable
from inspect import signature
from typing import Any

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
from IPython import get_ipython
from IPython.display import Audio, display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

WAIT_S = 0.02  # changes that come within it share one frame


def is_live() -> bool:
    """Tell whether a person's front end runs the cell: those name it, programs that run all don't.

    JupyterLab, Notebook 7 and VS Code send the cell's id with the request.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    return bool(kernel and kernel.get_parent().get("metadata", {}).get("cellId"))


def player(wave: np.ndarray, rate_hz: int) -> Audio | None:
    """Return a player for a sound where a person can press it, else None: no sound in files."""
    return Audio(wave, rate=rate_hz) if is_live() else None


def png(figure: Figure) -> bytes:
    """Return a figure as a PNG file; quick to make rather than small."""
    with io.BytesIO() as file:  # savefig would lay every text out twice
        FigureCanvasAgg(figure).print_png(file, pil_kwargs={"compress_level": 1})
        return file.getvalue()


def explore(
    figure: Figure,
    update: Callable[..., str],
    sound: Callable[..., bytes | None] | None = None,
    recorder: widgets.DOMWidget | None = None,
    **choices: Any,
) -> Figure | None:
    """Show a figure under controls that change it, or without a person return the figure alone.

    Dragging a slider sends many changes; while a frame is drawn they wait in the kernel's queue,
    and only the last of them is drawn next.

    `update` changes the figure: it takes the controls' values by name, begins with its defaults,
    and returns a line of text. `sound` takes the same values and returns a WAV file, or None. A
    `recorder` stands above the controls; where its `number` changes, the figure does, too. What a
    control may be is in ipywidgets' abbreviations: (lowest, highest, step) for a slider, a list for
    a menu, a bool for a box to tick.
    """
    line = update()
    png(figure)
    figure.set_layout_engine("none")  # settled; doing it again for each frame is slow
    plt.close(figure)
    if not is_live():
        print(line)
        return figure
    start = {name: of.default for name, of in signature(update).parameters.items()}
    boxes = {
        name: widgets.interactive.widget_from_abbrev(of, start[name])
        for name, of in choices.items()
    }
    for name, box in boxes.items():
        box.description = name
        box.style.description_width, box.layout.width = "initial", "21em"
    wide = widgets.Layout(max_width="100%")
    image, text = widgets.Image(layout=wide), widgets.HTML(layout=wide)
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
