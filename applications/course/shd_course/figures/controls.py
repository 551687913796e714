"""Controls above a figure in JupyterLab, the figure alone everywhere else.

Papermill, nbconvert and nbval get one static figure from the same call.
"""

import asyncio
import io
from collections.abc import Callable
from inspect import signature
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from shd_course.figures.style import describe
from shd_helpers.command import from_extra

with from_extra("study"):
    import ipywidgets as widgets
    from IPython import get_ipython
    from IPython.display import display

WAIT_S = 0.02  # changes that come within it share one frame


def is_live() -> bool:
    """Return whether a person runs the cell in JupyterLab, Notebook 7 or VS Code.

    Their front ends send the cell's id with the request. Programs that run all cells don't.
    """
    kernel = getattr(get_ipython(), "kernel", None)
    return bool(kernel and kernel.get_parent().get("metadata", {}).get("cellId"))


def png(figure: Figure) -> bytes:
    """Return a figure as the content of a PNG file, which is made quickly rather than small."""
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
    recorder: widgets.DOMWidget | None = None,
    sound: Callable[..., bytes] | None = None,
    **choices: Any,
) -> Figure | None:
    """Show a figure under controls that change it; without a person, return the figure alone.

    `update` takes the controls' values by name, has a default for each, changes the figure and
    returns a line of text. A new `number` of the `recorder` updates the figure, too. `sound` takes
    the same values as `update`, and returns a WAV file. Each of `choices` is a control, as
    ipywidgets abbreviates it.

    Dragging a slider sends many changes. While a frame is drawn they wait in the kernel's queue,
    and only the last one is drawn next.
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
            audio.value = sound(**values)

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
