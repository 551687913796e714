"""Hygiene of the committed notebooks; nbval runs them."""

import ast
import math
import re
from importlib import import_module
from importlib.util import find_spec

import nbformat
import pandas as pd
import papermill
import pytest

from shd_course import exercises
from shd_course.figures import people
from shd_helpers.paths import NOTEBOOKS
from shd_helpers.study.parameters import notebook_parameters

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
WITHOUT_SETTINGS = ("00_", "05_", "06_", "07_", "08_")
EXPERIMENTS = (5, 6, 7, 8)
MOST_WORDS = 660
MOST_LINES = 95  # of code, without blank lines and comments


@pytest.fixture(params=PATHS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def numbered(number):
    (path,) = NOTEBOOKS.glob(f"{number:02d}_*.ipynb")
    return nbformat.read(path, as_version=4)


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


def exercise(notebook):
    """Return the text of a notebook's exercise, and the cells of the answer and of its check."""
    cells = notebook.cells
    (i,) = [i for i, cell in enumerate(cells) if "**Exercise.**" in cell.source]
    return cells[i].source, *cells[i + 1 : i + 3]


@pytest.mark.parametrize("number", range(9))
def test_each_figure_has_an_alternative_text(number):
    images = [
        output
        for cell in numbered(number).cells
        for output in cell.get("outputs", [])
        if "image/png" in output.get("data", {})
    ]
    assert images
    for image in images:
        assert len(image.metadata["image/png"]["alt"]) > 20


@pytest.mark.parametrize("number", range(1, 5))
def test_the_course_says_its_aims_and_how_long_it_takes(number):
    cells = numbered(number).cells
    for words in ("**After this you can**", "**You need**", "\n| time to read | ", "\n| time for "):
        assert words in cells[0].source
    code = "".join(cell.source for cell in cells if cell.cell_type == "code")
    assert not re.search(r"smoke|startswith", code)


@pytest.mark.parametrize("number", range(9))
def test_a_committed_notebook_is_solved(number):
    """The copies with gaps are tested in `test_student_copy`, and their checks in
    `test_exercises`."""
    for cell in numbered(number).cells:
        assert "NotImplementedError" not in cell.source and "_solution" not in cell.source
        assert "not tried yet" not in str(cell.get("outputs", ""))
        tags = cell.metadata.get("tags", ())
        assert ("gap" in cell.metadata) <= ("answer" in tags or "exercise" in tags)


# The figures of the original study, by notebook
ORIGINAL_FIGURES = [
    (1, "shares_of_spikes"),
    (2, "surrogates"),
    (4, "accuracy_loss_plot"),
    (4, "weights_SNN_change_over_epochs"),
    (4, "weight_matrices"),
]


@pytest.mark.parametrize(("number", "figure"), ORIGINAL_FIGURES)
def test_a_figure_of_the_original_study_is_a_cell_of_ten_lines(number, figure):
    drawing = f'figures.save(figure, "{figure}"'
    (cell,) = [cell for cell in numbered(number).cells if drawing in cell.source]
    lines = [line for line in cell.source.splitlines() if not line.startswith("predict(")]
    assert len(lines) <= 10


def names_of_the_packages(notebook):
    """Return the functions of the packages that a notebook uses, by their names there."""
    modules, names = set(), set()
    study = ("shd_helpers", "shd_corpus", "shd_course")
    code = "\n".join(cell.source for cell in code_cells(notebook))
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.ImportFrom) and node.module.startswith(study):
            for alias in node.names:
                # only packages have modules
                is_package = hasattr(import_module(node.module), "__path__")
                is_module = is_package and find_spec(f"{node.module}.{alias.name}")
                (modules if is_module else names).add(alias.asname or alias.name)
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", None) in modules:
            names.add(f"{node.value.id}.{node.attr}")
    return names


@pytest.mark.parametrize("number", range(1, 9))
def test_a_notebook_uses_few_names_of_the_packages(number):
    names = names_of_the_packages(numbered(number))
    assert 5 < len(names) <= 19, sorted(names)


@pytest.mark.parametrize("number", EXPERIMENTS)
def test_an_experiment_is_short_and_asks_before_it_answers(number):
    cells = numbered(number).cells
    markdown = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    code = "\n".join(cell.source for cell in cells if cell.cell_type == "code")
    lines = [line for line in code.splitlines() if line.strip() and line.lstrip()[0] != "#"]
    assert len(markdown.split()) <= MOST_WORDS
    assert len(lines) <= MOST_LINES
    assert len(re.findall(r"\*\*Predict\.\*\*", markdown)) >= 2
    tags = [tag for cell in cells for tag in cell.metadata.get("tags", ())]
    assert {"answer", "exercise"} & {*tags}, "the reader has nothing to do"
    assert not any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(code)))
    assert "Markdown" not in code, "tables and prose are written, not generated"


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
    (6, {"people": people, "cells": CELLS, "contrasts": CONTRASTS}, 4.04, 2.5),
]


@pytest.mark.parametrize(("number", "there", "right", "wrong"), EXERCISES)
def test_an_exercise_takes_the_right_answer_and_hints_at_a_wrong_one(
    number, there, right, wrong, capsys
):
    code = "\n".join(cell.source for cell in exercise(numbered(number))[1:])
    for answer, verdict in (
        ("None", "not tried yet"),
        (right, ": right"),
        (wrong, "not yet right"),
    ):
        answered = re.sub(r"^(\w+ = ).*", rf"\g<1>{answer}", code, count=1)
        exec(answered, {"exercises": exercises, **there})
        assert verdict in capsys.readouterr().out
