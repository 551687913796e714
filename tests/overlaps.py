"""Find texts of a figure that collide or leave the canvas."""

from collections.abc import Callable
from itertools import combinations
from unittest.mock import patch

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

SLACK = 1  # pixels that the boxes of two texts may share


def overlaps(figure: Figure, draw: Callable[[], object] | None = None) -> list[str]:
    """Draw a figure, or call what draws it, and return what is wrong, one line for each fault.

    The boxes are those of the Agg renderer, taken while it draws: texts that are not drawn, such
    as tick labels beyond the axes, don't count.
    """
    texts: dict[Text, Bbox] = {}
    size = []

    def draw_text(self, renderer, *args, **kwargs):
        if self.get_visible() and self.get_text().strip():
            texts[self] = Text.get_window_extent(self, renderer).padded(-SLACK / 2)
            size[:] = renderer.get_canvas_width_height()
        return original_text(self, renderer, *args, **kwargs)

    original_text = Text.draw
    with patch.object(Text, "draw", draw_text):
        draw() if draw else FigureCanvasAgg(figure).draw()
    return _colliding_texts(texts, size)


def _colliding_texts(texts: dict[Text, Bbox], size: list[float]) -> list[str]:
    """Return which texts leave the canvas or overlap each other."""
    faults = []
    for text, box in texts.items():
        if box.x0 < 0 or box.y0 < 0 or box.x1 > size[0] or box.y1 > size[1]:
            faults.append(f"{text.get_text()!r} leaves the canvas")
    for (one, box), (other, its_box) in combinations(texts.items(), 2):
        if box.overlaps(its_box):
            faults.append(f"{one.get_text()!r} overlaps {other.get_text()!r}")
    return faults
