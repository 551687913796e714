"""Read the YAML file of a sweep: its keys, and the axes and seeds of its grid.

`spec` describes such a file, and lists the runs that it asks for.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from shd_corpus.checks import quoted
from shd_corpus.files import reading
from shd_helpers.data import NAMED
from shd_helpers.extras import from_extra
from shd_helpers.paths import ROOT
from shd_helpers.study.identity import references
from shd_helpers.study.parameters import check_parameters, literal
from shd_helpers.study.tables import COLUMNS, read_plans
from shd_helpers.user_code import with_absolute_path

with from_extra("study"):
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

SWEEPS = ROOT / "sweeps"
# The keys of a file, with the type of each one's value and what messages call it.
_KEYS: dict[str, tuple[type, str]] = {
    "name": (str, "a string"),
    "notebook": (str, "a string"),
    "fixed": (dict, "a mapping"),
    "grid": (dict, "a mapping"),
    "seeds": (list, "a list"),
    "repeats": (bool, "true or false"),
    "plan": (dict, "a mapping"),
}
_DEFAULTS: dict[str, Any] = {"repeats": False, "plan": {}}


class SweepError(ValueError):
    """A sweep can't start or continue; the message names the file and the key, or the remedy."""


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a sweep's file, and check its keys and the types of their values."""
    if not path.exists():
        raise SweepError(_why_missing(path))
    with reading(path, SweepError, "Check the file."):
        try:
            written = YAML(typ="safe", pure=True).load(path.read_bytes())
        except (YAMLError, ValueError, TypeError, RecursionError) as error:
            raise SweepError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    with named(path):
        return _check_content(written)


def _why_missing(path: Path) -> str:
    """Return the message about a file that isn't there, which may be that of a frozen table."""
    if path.parent == SWEEPS and path.stem in read_plans():
        return f"{path.stem}: its table is frozen (results/README.md says how it was made)"
    sweeps, plans = (
        ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        for folder in (SWEEPS, SWEEPS.parent / "evidence" / "plans")
    )
    return f"{path}: no such file. In sweeps/ there are {sweeps}, and plans are {plans}"


def _check_content(written: Any) -> dict[str, Any]:
    """Return a file's content with defaults; ValueError if a key or a type is wrong."""
    content = _DEFAULTS | (written if isinstance(written, dict) else {})
    if set(content) != set(_KEYS):
        raise ValueError(
            f"the keys must be {', '.join(_KEYS)} ({', '.join(_DEFAULTS)} may be left out). "
            f"Found: {', '.join(map(str, content))}"
        )
    for key, (kind, kind_name) in _KEYS.items():
        if not isinstance(content[key], kind):
            raise ValueError(f"{key}: {quoted(content[key])} must be {kind_name}")
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


class AxisValue(NamedTuple):
    """One value on an axis of the grid."""

    name: str
    parameters: dict[str, Any]  # what it sets: one parameter, or several that go together


@dataclass(frozen=True)
class Grid:
    """The axes of a sweep, each with its values, and the seeds."""

    axes: dict[str, list[AxisValue]]
    seeds: list[int]

    def parameters(self) -> list[str]:
        """List the parameters that each axis sets, one axis after the other."""
        return [
            name
            for axis in self.axes.values()
            for name in dict.fromkeys(name for value in axis for name in value.parameters)
        ]


def read_grid(path: Path, content: Mapping[str, Any], defaults: Mapping[str, object]) -> Grid:
    """Return the axes and the seeds of a sweep's file, which set each parameter once."""
    axes = {}
    for key, written in content["grid"].items():
        name = str(key)  # YAML reads an unquoted 183 as a number
        with named(f"grid.{name}"):
            axes[name] = [
                value._replace(parameters=with_absolute_paths(path, value.parameters))
                for value in _read_axis(name, written, defaults)
            ]
    with named("seeds"):
        grid = Grid(axes, _check_values("seed", content["seeds"], defaults))
    for name, n_axes in Counter(grid.parameters()).items():
        if name in content["fixed"] or n_axes > 1:
            raise ValueError(
                f"grid: {name} is set more than once. Set it on one axis of the grid, or in fixed"
            )
    return grid


def _read_axis(name: str, written: Any, defaults: Mapping[str, object]) -> list[AxisValue]:
    """Return the values of one axis, checked.

    An axis is written as a list of values of the parameter of its name. Or, under a name that no
    parameter has, it is a mapping from the names of its values to the parameters that each sets.
    """
    if name in defaults or not isinstance(written, dict):
        values = _check_values(name, written, defaults)
        return [AxisValue(str(value), {name: value}) for value in values]
    if name in COLUMNS:
        raise ValueError("this is a column of the table, which would replace the axis. Rename it.")
    if not written or not all(isinstance(parameters, dict) for parameters in written.values()):
        raise ValueError(f"{quoted(written)} must be named values, each a mapping of parameters")
    return [
        AxisValue(str(value_name), check_each(f"{value_name}.", parameters, defaults))
        for value_name, parameters in written.items()
    ]


def check_each(
    where: str, written: Mapping[str, Any], defaults: Mapping[str, object]
) -> dict[str, Any]:
    """Return values of parameters, checked; messages put `where` before a parameter's name."""
    checked = {}
    for key, value in written.items():
        with named(f"{where}{key}"):
            (checked[key],) = _check_values(key, [value], defaults)
    return checked


def read_overrides(
    overrides: Mapping[str, object], defaults: Mapping[str, object], grid: Grid
) -> dict[str, Any]:
    """Return the values that replace those in the file."""
    for key in grid.parameters():
        if key in overrides:
            raise ValueError(f"--set {key}: the grid sets it already. Change the grid in the file")
    values = {
        key: literal(given, defaults.get(key)) if isinstance(given, str) else given
        for key, given in overrides.items()
    }
    return check_each("--set ", values, defaults)


def with_absolute_paths(path: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters whose paths mean the same in a worker's working directory.

    A relative path of a Python file, or of a data set's folder, counts from the sweep's file first.
    """
    folder = path.parent.resolve()
    changed = dict(parameters)
    for name, text in references(parameters).items():
        with named(name):
            changed[name] = with_absolute_path(text, folder)
    dataset = changed.get("dataset")
    if isinstance(dataset, str) and dataset not in ("", *NAMED) and (folder / dataset).is_dir():
        changed["dataset"] = str(folder / dataset)
    return changed


def _check_values(key: str, values: Any, defaults: Mapping[str, object]) -> list:
    """Return a list of different values of a parameter, checked.

    A whole number becomes a float where the parameter's default is one, so that `1` and `1.0` give
    the same run.
    """
    is_list = isinstance(values, list) and len(values) > 0
    if not is_list or len(set(map(repr, values))) < len(values):
        raise ValueError(f"{quoted(values)} must be a list of different values")
    for value in values:
        check_parameters({key: value}, defaults)
    if not isinstance(defaults[key], float):
        return values
    # A whole number beyond 1e300 may be no float. It stays, and the recipe refuses it.
    return [float(value) if abs(value) < 1e300 else value for value in values]
