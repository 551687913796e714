"""The flat parameters of notebooks, as cells, sweeps and the command line give them."""

import ast
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shd_helpers.checks import quoted

_NAME = r"(?!\.)[\w.,=+-]+"


def notebook_parameters(notebook: Path) -> dict[str, Any]:
    """Return the names and default values of a notebook's parameters cell."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))[
        "cells"
    ]  # papermill's inspection is slow to import
    found = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", ())]
    lines = ast.parse("".join(found[0]["source"])).body if found else []
    return {
        target.id: ast.literal_eval(line.value)
        for line in lines
        if isinstance(line, ast.Assign)
        for target in line.targets
        if isinstance(target, ast.Name)
    }


def check_parameters(parameters: Mapping[str, object], defaults: Mapping[str, object]) -> None:
    """Refuse what the parameters cell doesn't have; papermill would only warn.

    ValueError, if a name isn't among the defaults, or a value is of another type than the default
    (an integer may stand for a float).
    """
    for name, value in parameters.items():
        if name not in defaults:
            raise ValueError(f"parameter {name!r}: unknown; there are {', '.join(defaults)}")
        wanted = type(defaults[name])
        if type(value) is not wanted and (type(value), wanted) != (int, float):
            raise ValueError(
                f"parameter {name!r}: {quoted(value)} is of type {type(value).__name__}, "
                f"but the notebook's default {defaults[name]!r} is {wanted.__name__}"
            )


def check_run_name(name: object) -> None:
    """Refuse what is no run folder below ``runs/``, nor a sweep's own ``sweeps/<sweep>/<run>``.

    ValueError, if it is empty, too long, or has anything but letters, digits and ``_.,=+-``.
    """
    parts = name.split("/") if isinstance(name, str) else []
    is_one = len(parts) == 1 or (len(parts) == 3 and parts[0] == "sweeps")
    is_short = all(len(part.encode(errors="replace")) <= 200 for part in parts)
    if not is_one or not is_short or not all(re.fullmatch(_NAME, part) for part in parts):
        raise ValueError(
            f"run_name {quoted(name)}: must be letters, digits and _ . , = + - (200 at most, no "
            "dot at the beginning); sweeps call theirs sweeps/<sweep>/<run>"
        )


def as_run_name(text: str) -> str:
    """Return a text with "-" in the place of what a run's name can't have."""
    return re.sub(r"^\.|[^\w.,=+-]", "-", text)


def literal(text: str, default: object = None) -> Any:
    """Read a number or True/False (``1e-3`` is a number) of a command line; all else stays a text.

    So does everything where the parameter's default is one.
    """
    if isinstance(default, str):
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
