"""Read the YAML file of a sweep, and check its keys. `spec` describes such a file."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from shd_corpus.checks import quoted
from shd_helpers.extras import from_extra
from shd_helpers.paths import ROOT
from shd_helpers.study.tables import read_plans

with from_extra("study"):
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

SWEEPS = ROOT / "sweeps"
# The keys of a file and the types of their values.
_REQUIRED: dict[str, Any] = {
    "name": str,
    "notebook": str,
    "fixed": dict,
    "grid": dict,
    "seeds": (list, dict),
}
_OPTIONAL: dict[str, Any] = {"keep_predictions": bool, "keep_scores": bool, "plan": dict}
_DEFAULTS: dict[str, Any] = {"keep_predictions": False, "keep_scores": False, "plan": {}}
_TYPE_NAMES: dict[Any, str] = {
    str: "a string",
    dict: "a mapping",
    (list, dict): "a list or a mapping",
    bool: "true or false",
}


class SweepError(ValueError):
    """A sweep can't start or continue; the message names the file and the key, or the remedy."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a sweep's file, and check its keys and the types of their values."""
    if not path.exists():
        raise SweepError(_why_missing(path))
    try:
        if not path.is_file():  # reading a pipe or a device may never end
            raise OSError("not a file")
        written = YAML(typ="safe", pure=True).load(path.read_bytes())
    except OSError as error:
        why = error.strerror or error
        raise SweepError(f"{path}: can't be read ({why}). Check the file.") from error
    except (YAMLError, ValueError, TypeError, RecursionError) as error:
        raise SweepError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    with named(path):
        return _check_content(written)


def _why_missing(path: Path) -> str:
    """Return the message about a file that isn't there, which may be that of a frozen table."""
    if path.parent == SWEEPS and path.stem in read_plans():
        return (
            f"{path.stem}: its table is frozen (results/README.md says how it was made). To run "
            f"it on other data, name its file: evidence/sweeps/{path.name}"
        )
    there = ", ".join(sorted(file.stem for file in SWEEPS.glob("*.yaml")))
    return f"{path}: no such file. In sweeps/ there are {there}"


def _check_content(written: Any) -> dict[str, Any]:
    """Return a file's content with defaults; ValueError if a key or a type is wrong."""
    is_mapping = isinstance(written, dict)
    content = _DEFAULTS | written if is_mapping else {}
    types = _REQUIRED | _OPTIONAL
    if set(content) != set(types):
        keys = ", ".join(map(str, written)) if is_mapping else "none"
        raise ValueError(
            f"the keys must be {', '.join(types)} ({', '.join(_OPTIONAL)} may be left out). "
            f"Found: {keys}"
        )
    for key, kind in types.items():
        if not isinstance(content[key], kind):
            raise ValueError(f"{key}: {quoted(content[key])} must be {_TYPE_NAMES[kind]}")
    if not re.fullmatch(r"\w[\w-]{0,99}", content["name"]):
        raise ValueError(f"name: {quoted(content['name'])} must be letters, digits, _ and -")
    return content


@contextmanager
def named(where: object) -> Iterator[None]:
    """Turn a ValueError of the block into a SweepError."""
    try:
        yield
    except ValueError as error:
        raise SweepError(f"{where}: {error}") from None
