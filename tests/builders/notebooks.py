"""What the committed notebooks say."""

import nbformat

from shd_helpers.paths import NOTEBOOKS


def cells_of(number: int, *kinds: str) -> list[nbformat.NotebookNode]:
    """Return a notebook's cells of some kinds, of all kinds if none is named."""
    (path,) = NOTEBOOKS.glob(f"{number:02d}_*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    return [cell for cell in cells if not kinds or cell.cell_type in kinds]


def prose_of(number: int) -> str:
    """Return the text of a notebook's Markdown cells, with single spaces."""
    return " ".join(" ".join(cell.source for cell in cells_of(number, "markdown")).split())
