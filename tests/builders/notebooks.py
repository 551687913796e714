"""What the committed notebooks say."""

import nbformat

from shd_helpers.paths import NOTEBOOKS


def prose_of(number: int) -> str:
    """Return the text of a notebook's Markdown cells, with single spaces."""
    (path,) = NOTEBOOKS.glob(f"{number:02d}_*.ipynb")
    cells = nbformat.read(path, as_version=4).cells
    text = " ".join(cell.source for cell in cells if cell.cell_type == "markdown")
    return " ".join(text.split())
