"""Hygiene of the committed notebooks; nbval runs them."""

import ast
import math
import re

import nbformat
import pandas as pd
import papermill
import pytest

from shd_course import exercises
from shd_course.figures import people
from shd_helpers.paths import NOTEBOOKS
from shd_helpers.study.parameters import notebook_parameters
from tests.builders.notebooks import cells_of

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
WITHOUT_SETTINGS = ("00_", "05_", "06_", "07_", "08_")


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def test_executed_in_order_from_a_clean_kernel_and_small(notebook, path):
    cells = code_cells(notebook)
    assert [c.execution_count for c in cells] == list(range(1, len(cells) + 1))
    for output in (output for cell in cells for output in cell.outputs):
        assert output.output_type != "error"
        assert output.get("name") != "stderr", output.text
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata
    assert path.stat().st_size < 1.6e6


def test_one_parameters_cell_that_papermill_reads_whole(notebook, path):
    tagged = [c for c in code_cells(notebook) if "parameters" in c.metadata.get("tags", [])]
    if path.stem.startswith(WITHOUT_SETTINGS):
        assert tagged == []
        return
    assert len(tagged) == 1
    assigned = {
        node.targets[0].id: ast.literal_eval(node.value)
        for node in ast.parse(tagged[0].source).body
    }
    assert all(type(value) in (str, int, float, bool) for value in assigned.values())
    found = papermill.inspect_notebook(path)
    by_papermill = {name: ast.literal_eval(entry["default"]) for name, entry in found.items()}
    assert by_papermill == assigned == notebook_parameters(path)


def test_no_paths_of_a_machine_and_no_installs(notebook):
    for cell in notebook.cells:
        text = cell.source + "".join(map(str, cell.get("outputs", [])))
        assert not re.search(r"(?<![\w.:/])/(home|root|Users|work|tmp|usr|mnt)/", text), text[:300]
        assert "pip install" not in cell.source
        assert "sys.path" not in cell.source


def exercise(number):
    """Return the cells of a notebook's exercise in which it is answered and checked."""
    cells = cells_of(number)
    (i,) = [i for i, cell in enumerate(cells) if "**Exercise.**" in cell.source]
    return cells[i + 1 : i + 3]


@pytest.mark.parametrize("number", range(9))
def test_each_figure_has_an_alternative_text(number):
    images = [
        output
        for cell in cells_of(number)
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert images
    for image in images:
        assert len(image.metadata["image/png"]["alt"]) > 20


@pytest.mark.parametrize("number", range(9))
def test_a_committed_notebook_is_solved(number):
    """The copies with gaps are tested in `test_student_copy`, and their checks in
    `test_exercises`."""
    for cell in cells_of(number):
        assert "NotImplementedError" not in cell.source and "_solution" not in cell.source
        assert "not tried yet" not in str(cell.get("outputs", ""))
        tags = cell.metadata.get("tags", ())
        assert ("gap" in cell.metadata) <= ("answer" in tags or "exercise" in tags)


# Two inputs are cheaper than 183 x 333 with threshold 2. The cheapest excludes only larger losses.
FULL, SMALL = "700 x 1000", "183 x 333, threshold 2"
CELLS = pd.DataFrame(
    {
        "question": ["cost", "cost", "size", "size"],
        "cell": [FULL, SMALL, "77 x 100", "30 x 30"],
        "effective_acs": [4e6, 3e6, 2e6, 1e6],
        "input_events": 1000,
        "parameters": 1000,
    }
)
CONTRASTS = pd.DataFrame(
    {
        "first": [SMALL, "77 x 100", "30 x 30"],
        "second": FULL,
        "difference": [1.0, -2.5, -6.0],
        "excluded_loss": [0.5, 4.04, 8.0],
    }
)
EXERCISES = [
    # 2 x (1.96 x 3 / 2)^2 is 17.3; with the variance of one mean alone it is half of that
    (5, {"spread": 3.0, "math": math}, 18, 9),
    (6, {"people": people, "cells": CELLS, "contrasts": CONTRASTS}, 4.1, 2.5),
]


@pytest.mark.parametrize(("number", "there", "right", "wrong"), EXERCISES)
def test_an_exercise_takes_the_right_answer_and_hints_at_a_wrong_one(
    number, there, right, wrong, capsys
):
    code = "\n".join(cell.source for cell in exercise(number))
    for answer, verdict in (
        ("None", "not tried yet"),
        (right, ": right"),
        (wrong, "not yet right"),
    ):
        answered = re.sub(r"^(\w+ = ).*", rf"\g<1>{answer}", code, count=1)
        exec(answered, {"exercises": exercises, **there})
        assert verdict in capsys.readouterr().out
