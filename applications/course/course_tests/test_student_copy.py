"""The reader's own copy of the notebooks: without outputs, and never overwritten.

What the README says of shd_course, and what importing it costs.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from shd_course import student_copy
from shd_course.student_copy import make_copies
from shd_helpers.paths import NOTEBOOKS

FIRST = "01_data_preprocessing.ipynb"
TRAIN = NOTEBOOKS / "03_model_training.ipynb"


@pytest.fixture
def folders(tmp_path):
    """Return a folder of two of the study's notebooks, and the name of one for the copies."""
    source = tmp_path / "notebooks"
    source.mkdir()
    for name in (FIRST, "02_surrogate_visualization.ipynb"):
        shutil.copy(NOTEBOOKS / name, source)
    return source, tmp_path / "my_notebooks"


def test_copies_have_no_outputs_and_empty_exercises(folders):
    source, folder = folders
    (sentence,) = make_copies(source, folder)
    assert sentence.startswith(f"my_notebooks/: copied {FIRST}, 02_surr")
    for path in source.iterdir():
        original = nbformat.read(path, as_version=4)
        copy = nbformat.read(folder / path.name, as_version=4)
        code = [cell for cell in copy.cells if cell.cell_type == "code"]
        assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
        nbformat.validate(copy)
        solved = {cell.id: cell.source for cell in original.cells}
        gaps = [
            i
            for i, cell in enumerate(copy.cells)
            if solved.get(cell.id) != cell.source
            and cell.cell_type == "code"
            and not cell.id.endswith("-answer")
        ]
        functions = [i for i in gaps if "exercise" in copy.cells[i].metadata.get("tags", ())]
        assert len(functions) * 3 == len(gaps) and len(copy.cells) > len(original.cells)
        for i in functions:
            gap, solution, check = copy.cells[i : i + 3]
            (name,) = re.findall(r"^(?:def|class) (\w+)\(", solved[gap.id], re.MULTILINE)
            assert gap.source.splitlines()[-1].strip().startswith("raise NotImplementedError")
            assert solution.source.endswith(solved[gap.id].replace(name, f"{name}_solution", 1))
            assert solution.metadata.jupyter.source_hidden
            assert check.source.endswith(f"{name} = exercises.check({name}_solution)")


def test_what_is_said_below_a_prediction_appears_when_its_cell_is_run():
    original = nbformat.read(NOTEBOOKS / FIRST, as_version=4)
    copy = nbformat.reads(student_copy.student_copy(NOTEBOOKS / FIRST), as_version=4)
    text = next(cell for cell in original.cells if "alike in their ridges" in cell.source)
    shown = [cell for cell in copy.cells if "alike in their ridges" in cell.source]
    assert [cell.cell_type for cell in shown] == ["code"]
    assert shown[0].metadata.jupyter.source_hidden
    said = {}
    exec(shown[0].source.replace("Markdown(", "said = ("), said)
    (below,) = [cell.source for cell in copy.cells if cell.id == text.id]
    assert f"{said['said']}\n\n{below}" == text.source and below.startswith("## ")


def test_an_answer_is_taken_out():
    copy = nbformat.reads(student_copy.student_copy(TRAIN), as_version=4)
    (gap,) = [cell for cell in copy.cells if "answer" in cell.metadata.get("tags", ())]
    assert gap.source.startswith('faults = {"A": None, "B": None, "C": None, "D": None}')
    (answer,) = [cell for cell in nbformat.read(TRAIN, 4).cells if cell.id == gap.id]
    assert "None" not in answer.source and "gap" not in gap.metadata


def test_what_is_there_is_kept(folders):
    source, folder = folders
    folder.mkdir()
    (folder / FIRST).write_text("mine")
    made, kept = make_copies(source, folder)
    assert made == "my_notebooks/: copied 02_surrogate_visualization.ipynb, without outputs."
    assert kept.startswith(f"my_notebooks/: kept {FIRST}. Delete or rename one")
    assert (folder / FIRST).read_text() == "mine"
    assert len(make_copies(source, folder)) == 1


PACKAGE = Path(__file__).resolve().parents[1]


def run(*arguments):
    """Return what a new Python process prints."""
    return subprocess.run(
        [sys.executable, *arguments], check=True, capture_output=True, text=True
    ).stdout


def test_the_lines_of_the_readme_print_what_it_says(tmp_path, monkeypatch):
    page = (PACKAGE / "README.md").read_text(encoding="utf-8")
    code, printed = re.findall(r"```(?:python)?\n(.*?)```", page, re.S)
    assert len([line for line in code.splitlines() if line]) == 10
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path))
    file = tmp_path / "lines.py"
    file.write_text(code, encoding="utf-8")
    assert run(file) == printed
