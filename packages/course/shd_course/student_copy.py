"""Make the reader's own copy of the notebooks: `my_notebooks`, without outputs.

``make lab`` opens this copy, so that the reader can write into it without changing files that git
tracks. A file that the reader has changed is never overwritten.
"""

import argparse
import hashlib
import json
from pathlib import Path

import nbformat

from shd_corpus.files import atomic
from shd_helpers.command import run
from shd_helpers.paths import NOTEBOOKS, ROOT

COPIES = ROOT / "my_notebooks"
WRITTEN = ".written.json"  # the hash of each copy as it was written, by the file's name
REMARKS = {
    "copied": "without outputs.",
    "updated": "which you hadn't changed.",
    "kept": "which you have changed or run. To start one again, delete or rename it.",
}


def student_copy(path: Path) -> str:
    """Return the text of a notebook without its outputs.

    The functions of its exercises are empty: they are committed so, each with a solution in a
    folded cell below.
    """
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None
    return nbformat.writes(notebook) + "\n"


def make_copies(source: Path = NOTEBOOKS, folder: Path = COPIES) -> list[str]:
    """Copy the missing notebooks, update copies that nobody has changed, and say what was done."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder}: isn't a folder, so no notebook was copied. Rename it.")
    folder.mkdir(exist_ok=True)
    written = _read_written(folder)
    names: dict[str, list[str]] = {"copied": [], "updated": [], "kept": []}
    for path in sorted(source.glob("*.ipynb")):
        content = student_copy(path).encode()
        copy = folder / path.name
        own = _hash(copy.read_bytes()) if copy.exists() else None
        if own == _hash(content):
            continue
        if own and own != written.get(path.name):
            names["kept"].append(path.name)
            continue
        names["updated" if own else "copied"].append(path.name)
        written[path.name] = _hash(content)
        for file, new in ((copy, content), (folder / WRITTEN, json.dumps(written).encode())):
            with atomic(file) as unfinished:
                unfinished.write_bytes(new)
    sentences = [
        f"{folder.name}/: {what} {', '.join(names[what])}, {REMARKS[what]}"
        for what in names
        if names[what]
    ]
    return sentences or [f"{folder.name}/: every notebook is there, as it was copied."]


def _read_written(folder: Path) -> dict[str, str]:
    """Return the hashes of the copies as they were written; none if the file is missing or broken.

    Without a hash a copy counts as changed, so that it is kept.
    """
    try:
        written = json.loads((folder / WRITTEN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return written if isinstance(written, dict) else {}


def _hash(content: bytes) -> str:
    """Return what recognizes a file that the reader hasn't changed."""
    return hashlib.sha256(content).hexdigest()


def main() -> None:
    """Make the copies and print what was done."""
    argparse.ArgumentParser(
        prog="python -m shd_course.student_copy", description=__doc__
    ).parse_args()
    try:
        sentences = make_copies()
    except OSError as error:
        raise SystemExit(str(error)) from error
    print(*sentences, sep="\n")
    print(
        f"Start with {COPIES.name}/00_first_look.ipynb, or with 01_data_preprocessing.ipynb, where "
        "the exercises begin. Run cell by cell (Shift+Enter). "
        f"{NOTEBOOKS.name}/ has the same notebooks with all outputs, for comparison."
    )


if __name__ == "__main__":
    run(main)
