"""Make the reader's own copy of the notebooks: `my_notebooks`, without outputs.

``make lab`` opens this copy, so that the reader can write into it without changing files that git
tracks. A file that is there is never overwritten.
"""

import argparse
import ast
from pathlib import Path

import nbformat
from nbformat.v4 import new_code_cell

from shd_corpus.files import atomic
from shd_helpers.command import run
from shd_helpers.paths import NOTEBOOKS, ROOT

COPIES = ROOT / "my_notebooks"


def student_copy(path: Path) -> str:
    """Return the text of a notebook without its outputs, and with gaps to fill.

    An answer is replaced by the gap that its cell's metadata have. Each exercise becomes an empty
    function, the solution in a folded cell, and a check. What is said below a prediction appears
    when its cell is run, so that nobody reads it before.
    """
    notebook = nbformat.read(path, as_version=4)
    cells = []
    asked = False
    for cell in notebook.cells:
        if asked and cell.cell_type == "markdown":
            cells.append(_said_when_run(cell))
            if not cell.source:
                continue
        asked = cell.cell_type == "code" and "predict(" in cell.source
        if cell.cell_type == "code":
            cell.outputs = []
            cell.execution_count = None
        solved = cell.source
        cell.source = cell.metadata.pop("gap", _empty(solved) if _is_exercise(cell) else solved)
        cells.append(cell)
        if _is_exercise(cell):
            cells += _solution_and_check(solved, cell.id)
    notebook.cells = cells
    return nbformat.writes(notebook) + "\n"


def _said_when_run(cell: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Move a text above its first heading into a folded cell, and return that cell."""
    text, heading, others = f"\n{cell.source}".partition("\n## ")
    cell.source = f"{heading}{others}".strip()
    said = "# run this after your prediction\nfrom IPython.display import Markdown\n\n"
    said += f"Markdown({text.strip()!r})"
    folded = {"jupyter": {"source_hidden": True}, "tags": ["hide-input", "lesson"]}
    answer = new_code_cell(said, metadata=folded)
    answer.id = f"{cell.id}-answer"
    return answer


def _is_exercise(cell: nbformat.NotebookNode) -> bool:
    return "exercise" in cell.metadata.get("tags", ())


def _empty(function: str) -> str:
    """Return a function's first line and docstring, and a line that says what is missing."""
    lines = function.splitlines()[:2]
    return "\n".join([*lines, '    raise NotImplementedError("your lines go here")'])


def _solution_and_check(solved: str, name: str) -> list[nbformat.NotebookNode]:
    """Return the cells below an exercise: its solution, folded, and the check."""
    (definition,) = ast.parse(solved).body
    assert isinstance(definition, ast.FunctionDef | ast.ClassDef)
    function = definition.name
    text = solved.replace(function, f"{function}_solution", 1)
    folded = {"jupyter": {"source_hidden": True}, "tags": ["hide-input", "solution"]}
    solution = new_code_cell(
        f"# a solution: unfold it when you have tried\n{text}", metadata=folded
    )
    check = new_code_cell(
        f"from shd_course import exercises\n\n{function} = exercises.check({function}_solution)"
    )
    solution.id, check.id = f"{name}-solution", f"{name}-check"
    return [solution, check]


def make_copies(source: Path = NOTEBOOKS, folder: Path = COPIES) -> list[str]:
    """Copy the notebooks that aren't there, and say what was done."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder}: isn't a folder, so no notebook was copied. Rename it.")
    folder.mkdir(exist_ok=True)
    paths = sorted(source.glob("*.ipynb"))
    missing = [path.name for path in paths if not (folder / path.name).exists()]
    kept = [path.name for path in paths if path.name not in missing]
    for name in missing:
        with atomic(folder / name) as unfinished:
            unfinished.write_text(student_copy(source / name), encoding="utf-8")
    sentences = []
    if missing:
        sentences.append(f"{folder.name}/: copied {', '.join(missing)}, without outputs.")
    if kept:
        sentences.append(
            f"{folder.name}/: kept {', '.join(kept)}. Delete or rename one, and it is copied again."
        )
    return sentences


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
        f"{NOTEBOOKS.name}/ has the same notebooks with all outputs and solutions, for comparison."
    )


if __name__ == "__main__":
    run(main)
