"""Find what makes a figure hard to read.

Texts that collide, leave the canvas or are crossed; axes without a label; lines alike in gray.
"""

import re
from collections.abc import Callable
from itertools import combinations
from unittest.mock import patch

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import Bbox

SLACK = 1  # pixels that the boxes of two texts may share


def overlaps(figure: Figure, draw: Callable[[], object] | None = None) -> list[str]:
    """Draw a figure, or call what draws it, and return what is wrong, one line for each fault.

    The boxes are those of the Agg renderer, taken while it draws: texts that are not drawn, such
    as tick labels beyond the axes, don't count.
    """
    texts: dict[Text, Bbox] = {}
    legends: dict[Legend, Bbox] = {}
    faults: list[str] = []
    size = []

    def draw_text(self, renderer, *args, **kwargs):
        if self.get_visible() and self.get_text().strip():
            texts[self] = Text.get_window_extent(self, renderer).padded(-SLACK / 2)
            size[:] = renderer.get_canvas_width_height()
        return original_text(self, renderer, *args, **kwargs)

    def draw_legend(self, renderer, *args, **kwargs):
        legends[self] = self.get_window_extent(renderer).padded(-SLACK / 2)
        faults.extend(_crossed(figure, legends[self]))
        return original_legend(self, renderer, *args, **kwargs)

    original_text = Text.draw
    original_legend = Legend.draw
    with patch.object(Text, "draw", draw_text), patch.object(Legend, "draw", draw_legend):
        draw() if draw else FigureCanvasAgg(figure).draw()
    return faults + _colliding_texts(texts, size) + _colliding_legends(texts, legends)


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


def _colliding_legends(texts: dict[Text, Bbox], legends: dict[Legend, Bbox]) -> list[str]:
    """Return which texts overlap a legend that isn't theirs, and which legends overlap."""
    faults = []
    for legend, box in legends.items():
        own = set(legend.findobj(Text))
        for text, its_box in texts.items():
            if text not in own and box.overlaps(its_box):
                faults.append(f"{text.get_text()!r} overlaps a legend")
    for box, its_box in combinations(legends.values(), 2):
        if box.overlaps(its_box):
            faults.append("two legends overlap")
    return faults


def _crossed(figure: Figure, legend: Bbox) -> list[str]:
    """Tell which lines, areas and bars of a figure reach into the box of a legend."""
    found = []
    for axis in figure.axes:
        inside = Bbox.intersection(legend, axis.bbox)
        if inside is None or inside.width <= 0 or inside.height <= 0:
            continue
        paths = [(line, line.get_path(), False) for line in axis.lines]
        paths += [(bar, bar.get_path(), True) for bar in axis.patches]
        paths += [(area, path, True) for area in axis.collections for path in area.get_paths()]
        for artist, path, filled in paths:
            drawn = artist.get_transform().transform_path(path)
            points = drawn.vertices
            if getattr(artist, "get_linestyle", str)() in ("None", ""):  # markers alone
                meets = inside.count_contains(points) > 0
            else:
                meets = drawn.intersects_bbox(inside, filled=filled)
            if meets:
                found.append(f"{artist.get_label()!r} runs through a legend")
    return found


def unlabeled(figure: Figure) -> list[str]:
    """Return which axes have numbers but no label; those that share one have it once."""
    found = []
    for axis in figure.axes:
        for name, group in (("x", axis.get_shared_x_axes()), ("y", axis.get_shared_y_axes())):
            ticks = getattr(axis, f"{name}axis").get_major_ticks()
            numbers = [
                tick.label1.get_text()
                for tick in ticks
                if tick.label1.get_visible() or tick.label2.get_visible()
            ]
            is_read = any(re.fullmatch(r"[\d.,\u2212-]+", text) for text in numbers)
            alike = [other for other in figure.axes if group.joined(axis, other)]
            labels = [getattr(each, f"get_{name}label")() for each in (axis, *alike)]
            labels += [figure.get_supylabel()] * (name == "y")
            if is_read and not any(labels):
                found.append(f"the {name} axis has no label")
    return found


def same_in_gray(figure: Figure) -> list[str]:
    """Return the pairs of lines in a legend that look the same when printed in gray."""
    found = []
    for axis in figure.axes:
        lines = [line for line in axis.lines if not line.get_label().startswith("_")]
        for one, other in combinations(lines, 2):
            looks = [(line.get_linestyle(), line.get_marker()) for line in (one, other)]
            if looks[0] == looks[1] and abs(_gray(one) - _gray(other)) < 0.1:
                found.append(f"{one.get_label()!r} and {other.get_label()!r} look the same in gray")
    return found


def _gray(line: Line2D) -> float:
    """Return how light a line is, 0 to 1 (ITU-R BT.601)."""
    return float(np.dot(to_rgb(line.get_color()), (0.299, 0.587, 0.114)))
