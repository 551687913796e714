"""What a run is made of: the notebook's parameters, the data and the code that counts."""

import ast
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import nbformat
import papermill

_PACKAGE = Path(__file__).parent
# Modules that say where and how things are stored and drawn, but change no number of a run.
_NO_NUMBERS = {"files", "paths", "plots", "provenance", "results", "smoke"}


def notebook_parameters(notebook: Path) -> dict[str, object]:
    """Return the names and default values of a notebook's parameters cell."""
    found = papermill.inspect_notebook(notebook)
    return {name: ast.literal_eval(entry["default"]) for name, entry in found.items()}


def check_parameters(parameters: Mapping[str, object], defaults: Mapping[str, object]) -> None:
    """Refuse a name or type that the parameters cell doesn't have; papermill would only warn.

    Parameters
    ----------
    parameters : mapping
        Values by name.
    defaults : mapping
        From `notebook_parameters`.

    Raises
    ------
    ValueError
        If a name is unknown or a value is of another type than the default (an integer may
        stand for a float).
    """
    for name, value in parameters.items():
        if name not in defaults:
            raise ValueError(f"parameter {name!r}: unknown; there are {', '.join(defaults)}")
        wanted = type(defaults[name])
        if type(value) is not wanted and (type(value), wanted) != (int, float):
            raise ValueError(
                f"parameter {name!r}: {value!r} is of type {type(value).__name__}, "
                f"but the notebook's default {defaults[name]!r} is {wanted.__name__}"
            )


def literal(text: str) -> object:
    """Read a number or True/False; anything else is text (``1e-3`` is a number)."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def code_version(notebook: Path) -> str:
    """Return a hash of the code that determines a run's numbers, as 16 hexadecimal digits.

    It covers the notebook's code cells but the parameters cell (whose values count by
    themselves), and the modules of this package that they import, directly or not, except those
    that only store and draw. Comments, docstrings and layout don't count, nor does the commit:
    editing prose or a figure leaves earlier runs valid.

    Parameters
    ----------
    notebook : Path
        Its cells are plain Python.
    """
    cells = nbformat.read(notebook, as_version=4).cells
    source = "\n".join(
        cell.source
        for cell in cells
        if cell.cell_type == "code" and "parameters" not in cell.metadata.get("tags", [])
    )
    code, todo = {"": ast.parse(source)}, [""]
    while todo:
        new = set(_imported(code[todo.pop()])) - _NO_NUMBERS - set(code)
        code |= {name: ast.parse((_PACKAGE / f"{name}.py").read_bytes()) for name in new}
        todo += new
    text = "\n".join(f"{name}\n{_without_docstrings(tree)}" for name, tree in sorted(code.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "shd_helpers":
            names = [f"shd_helpers.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        else:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        yield from (name.split(".")[1] for name in names if name.startswith("shd_helpers."))


def _without_docstrings(tree: ast.Module) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            if ast.get_docstring(node, clean=False) is not None:
                node.body = node.body[1:] or [ast.Pass()]
    return ast.unparse(tree)


def run_hash(parameters: Mapping[str, object], data: Mapping[str, str], code: str) -> str:
    """Return the hash that makes two runs the same run, as 16 hexadecimal digits.

    Parameters
    ----------
    parameters : mapping
        All parameters of the notebook. `run_name` doesn't count, and `dataset`, a path, counts by
        the files' content.
    data : mapping
        From `datasets.fingerprint`.
    code : str
        From `code_version`.
    """
    counted = {k: v for k, v in parameters.items() if k not in ("run_name", "dataset")}
    text = json.dumps([counted, dict(data), code], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
