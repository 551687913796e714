"""The exercises of the reader's copies: their solutions and their untouched functions."""

import linecache
import re

import nbformat
import numpy as np
import pandas as pd
import snntorch as snn
import torch
from scipy import stats

from shd_course import exercises
from shd_course.student_copy import student_copy
from shd_helpers.paths import NOTEBOOKS

PATHS = sorted(NOTEBOOKS.glob("*.ipynb"))
NAMES = {"np": np, "pd": pd, "snn": snn, "stats": stats, "torch": torch}


def cells(tag):
    """Return the code of all cells with this tag, by notebook, if it has any."""
    found = {}
    for path in PATHS:
        of_notebook = nbformat.reads(student_copy(path), as_version=4).cells
        tagged = [cell.source for cell in of_notebook if tag in cell.metadata.get("tags", [])]
        if tagged:
            found[path.stem] = tagged
    return found


def imported():
    """Return the names that each notebook imports, of those in `NAMES`."""
    found = {}
    for path in PATHS:
        code = "\n".join(cell.source for cell in nbformat.read(path, as_version=4).cells)
        lines = re.findall(r"^(?:from|import) .*", code, re.MULTILINE)
        last_words = {line.split()[-1] for line in lines}
        found[path.stem] = {name: NAMES[name] for name in NAMES if name in last_words}
    return found


def defined(source, imports=NAMES, **given):
    """Return the function or class of a cell; its text can be looked up, as a notebook's can."""
    file = f"<cell {hash(source)}>"
    names = {"__name__": "__main__"} | imports | given
    before = {*names, "__builtins__"}
    linecache.cache[file] = len(source), None, source.splitlines(keepends=True), file
    exec(compile(source, file, "exec"), names)
    (function,) = (value for name, value in names.items() if name not in before)
    return function


def check(function, name):
    """Check a function that a reader has written into the notebook of an exercise."""
    solution = SOLUTIONS[name]
    notebook = exercises._written(solution).__globals__
    notebook[name] = function
    try:
        return exercises.check(solution)
    finally:
        del notebook[name]


def solutions():
    """Return the notebooks' solutions by the exercise's name."""
    found = {}
    names = imported()
    for notebook, sources in cells("solution").items():
        for source in sources:
            solution = defined(source, names[notebook])
            found[solution.__name__.removesuffix("_solution")] = solution
    return found


SOLUTIONS = solutions()


UNTOUCHED = {
    function.__name__: function
    for sources in cells("exercise").values()
    for function in map(defined, sources)
}
