"""The flat parameters of notebooks, as cells, sweeps and the command line give them."""

import ast
import difflib
import json
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from shd_corpus.checks import quoted
from shd_helpers.paths import TRAIN

_INJECTED = "# Parameters\n"  # the first line of the cell that papermill inserts
_TYPE_NAMES = {bool: "True or False", int: "a whole number", float: "a number", str: "a string"}


def notebook_parameters(notebook: Path) -> dict[str, Any]:
    """Return the parameters of a notebook, with their defaults.

    Papermill can do this, too, but takes seconds to import.
    """
    try:
        source = _parameters_cell(notebook)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{notebook}: can't be read as a notebook of format 4 ({type(error).__name__}: "
            f"{error}). Restore the file, or save it in JupyterLab, which converts older formats"
        ) from error
    try:
        assignments = _assignments(source)
    except SyntaxError as error:
        raise ValueError(
            f"{notebook}: the cell tagged 'parameters' isn't valid Python (line {error.lineno}: "
            f"{error.msg}). Write only assignments, such as lr = 1e-3"
        ) from error
    return {name: _literal_value(notebook, name, value) for name, value in assignments}


def _parameters_cell(notebook: Path) -> str:
    """Return the source of the cell tagged ``parameters``; empty if a notebook has none."""
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if "parameters" in cell["metadata"].get("tags", ()):
            return "".join(cell["source"])
    return ""


def _literal_value(notebook: Path, name: str, value: ast.expr) -> Any:
    """Return the value of a parameter; ValueError if it is computed instead of written out."""
    try:
        return ast.literal_eval(value)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{notebook}: parameter {name!r}: {quoted(ast.unparse(value))} isn't a literal. Write "
            "the value itself, such as 8 instead of 2 ** 3"
        ) from error


def _assignments(source: str) -> list[tuple[str, ast.expr]]:
    """Return the names that a cell assigns at its top level, each with its value's expression."""
    assignments: list[tuple[str, ast.expr]] = []
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            # the latter is such as lr: float = 1e-3
            assignments.extend(
                (target.id, statement.value)
                for target in (
                    statement.targets if isinstance(statement, ast.Assign) else [statement.target]
                )
                if isinstance(target, ast.Name)
            )
    return assignments


def check_injected() -> None:
    """Check the values that papermill injected into the notebook that calls this.

    Papermill inserts a cell with its values below the notebook's parameters cell. It only warns of
    a name that the notebook doesn't have, and the notebook would run with its defaults. Each
    notebook calls this right below that cell and before its slow imports, so that a misspelled name
    stops it within a second. Where papermill has inserted nothing, as in JupyterLab, nothing
    happens.
    """
    from IPython import get_ipython  # a notebook's kernel has imported it

    kernel = get_ipython()
    # the sources of the cells, in order of execution; none if the notebook's code is a program
    executed = kernel.user_ns["In"] if kernel else []
    inserted = [i for i, source in enumerate(executed) if source.startswith(_INJECTED)]
    if not inserted:
        return
    defaults: dict[str, Any] = {}
    for source in executed[: inserted[-1]]:
        # In JupyterLab any cell may have been executed before, even one that isn't valid Python
        with suppress(SyntaxError, ValueError):
            defaults |= {name: ast.literal_eval(value) for name, value in _assignments(source)}
    injected = [name for name, _ in _assignments(executed[inserted[-1]])]
    check_parameters({name: kernel.user_ns[name] for name in injected}, defaults)


def _why_unknown(name: str, names: Iterable[str]) -> str:
    """Return what to do about a name that a notebook doesn't have, as the end of a sentence."""
    if TRAIN.is_file() and name in notebook_parameters(TRAIN):
        return (
            "this notebook doesn't have it, but evidence/train.ipynb has. Set it with `make study "
            "ARGS='-p name value'`, or in a sweep with `notebook: train`"
        )
    meant = difflib.get_close_matches(name.lower().replace("-", "_"), list(names), 1)
    question = f"Did you mean {meant[0]!r}? " if meant else ""
    return f"unknown. {question}The parameters are: {', '.join(names)}"


def check_parameters(parameters: Mapping[str, object], defaults: Mapping[str, object]) -> None:
    """Check names and types of parameters; papermill would only warn."""
    for name, value in parameters.items():
        if name not in defaults:
            raise ValueError(f"parameter {name!r}: {_why_unknown(name, defaults)}")
        wanted = type(defaults[name])
        is_whole_for_float = type(value) is int and wanted is float
        if type(value) is not wanted and not is_whole_for_float:
            remedy = ""
            if wanted is str and isinstance(value, int | float):
                remedy = f". Write it in quotes ('{value}'), or with papermill as -r {name} {value}"
            kind = _TYPE_NAMES.get(wanted, f"of the type {wanted.__name__}")
            raise ValueError(
                f"parameter {name!r}: {quoted(value)} must be {kind}, as the default "
                f"{defaults[name]!r} is{remedy}"
            )


def literal(text: str, default: object = None) -> Any:
    """Read the value of a parameter from a command line."""
    if isinstance(default, str):
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
