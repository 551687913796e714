"""Read the YAML file of a sweep: its keys, and the axes and seeds of its grid.

`spec` describes such a file, and lists the runs that it asks for.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from shd_corpus.checks import quoted
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
# The keys of a file and the types of their values.
_REQUIRED: dict[str, Any] = {
    "name": str,
    "notebook": str,
    "fixed": dict,
    "grid": dict,
    "seeds": list,
}
_OPTIONAL: dict[str, Any] = {"repeats": bool, "plan": dict}
_DEFAULTS: dict[str, Any] = {"repeats": False, "plan": {}}
_TYPE_NAMES: dict[Any, str] = {
    str: "a string",
    dict: "a mapping",
    list: "a list",
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
        return f"{path.stem}: its table is frozen (results/README.md says how it was made)"
    sweeps, plans = (
        ", ".join(sorted(file.stem for file in folder.glob("*.yaml")))
        for folder in (SWEEPS, SWEEPS.parent / "evidence" / "plans")
    )
    return f"{path}: no such file. In sweeps/ there are {sweeps}, and plans are {plans}"


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


class AxisValue(NamedTuple):
    """One value on an axis of the grid."""

    name: str
    parameters: dict[str, Any]  # what it sets: one parameter, or several that go together


@dataclass(frozen=True)
class Grid:
    """The axes of a sweep, each with its values, and the seeds."""

    axes: dict[str, list[AxisValue]]
    seeds: list[int]

    def combinations(self) -> Iterator[tuple[AxisValue, ...]]:
        """Combine one value of each axis in all ways; the last axis changes fastest."""
        return itertools.product(*self.axes.values())

    def parameters(self) -> list[str]:
        """List the parameters that the axes set."""
        names: list[str] = []
        for axis in self.axes.values():
            names_on_axis: list[str] = []
            for value in axis:
                for name in value.parameters:
                    if name not in names_on_axis:
                        names_on_axis.append(name)
            names += names_on_axis
        return names


def read_grid(path: Path, content: Mapping[str, Any], defaults: Mapping[str, object]) -> Grid:
    """Return the axes and the seeds of a sweep's file."""
    axes = {}
    for key, written in content["grid"].items():
        name = str(key)  # YAML reads an unquoted 183 as a number
        axis = _read_axis(f"{path}: grid.{name}", name, written, defaults)
        axes[name] = [
            value._replace(parameters=with_absolute_paths(path, value.parameters)) for value in axis
        ]
    seeds = _check_values(f"{path}: seeds", "seed", content["seeds"], defaults, is_seed=True)
    return Grid(axes, seeds)


def _read_axis(
    where: str, name: str, written: Any, defaults: Mapping[str, object]
) -> list[AxisValue]:
    """Return the values of one axis, checked.

    An axis is written as a list of values of the parameter of its name. Or, under a name that no
    parameter has, it is a mapping from the names of its values to the parameters that each sets.
    """
    if name in defaults or not isinstance(written, dict):
        values = _check_values(where, name, written, defaults)
        return [AxisValue(str(value), {name: value}) for value in values]
    if name in COLUMNS:
        raise SweepError(
            f"{where}: this is a column of the table, which would replace the axis. Rename it."
        )
    if not written or not all(isinstance(parameters, dict) for parameters in written.values()):
        raise SweepError(
            f"{where}: {quoted(written)} must be named values, each a mapping of parameters"
        )
    axis = []
    for value_name, parameters in written.items():
        checked = {}
        for key, value in parameters.items():
            checked[key] = _check_value(f"{where}.{value_name}.{key}", key, value, defaults)
        axis.append(AxisValue(str(value_name), checked))
    return axis


def read_fixed(
    path: Path, written: Mapping[str, Any], defaults: Mapping[str, object]
) -> dict[str, Any]:
    """Return the parameters that all runs share."""
    fixed = {}
    for key, value in written.items():
        fixed[key] = _check_value(f"{path}: fixed.{key}", key, value, defaults)
    return fixed


def check_set_once(path: Path, grid: Grid, fixed: Mapping[str, object]) -> None:
    """Check that each parameter is set in one place only."""
    n_axes = Counter(grid.parameters())
    for key, n in n_axes.items():
        if key in fixed or n > 1:
            raise SweepError(
                f"{path}: grid: {key} is set more than once. Set it on one axis of the grid, or "
                "in fixed"
            )


def read_overrides(
    path: Path, overrides: Mapping[str, object], defaults: Mapping[str, object], grid: Grid
) -> dict[str, Any]:
    """Return the values that replace those in the file."""
    swept = grid.parameters()
    checked = {}
    for key, given in overrides.items():
        if key in swept:
            raise SweepError(
                f"--set {key}: the grid of {path} sets it already. Change the grid in the file"
            )
        value = literal(given, defaults.get(key)) if isinstance(given, str) else given
        checked[key] = _check_value(f"--set {key}", key, value, defaults)
    return checked


def with_absolute_paths(path: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters whose paths mean the same in a worker's working directory.

    A relative path of a Python file, or of a data set's folder, counts from the sweep's file first.
    """
    folder = path.parent.resolve()
    changed = dict(parameters)
    for name, text in references(parameters).items():
        with named(f"{path}: {name}"):
            changed[name] = with_absolute_path(text, folder)
    dataset = changed.get("dataset")
    if isinstance(dataset, str) and dataset and dataset not in NAMED:
        beside_file = folder / dataset
        if beside_file.is_dir():
            changed["dataset"] = str(beside_file)
    return changed


def _check_value(where: str, key: str, value: Any, defaults: Mapping[str, object]) -> Any:
    (checked,) = _check_values(where, key, [value], defaults)
    return checked


def _check_values(
    where: str, key: str, values: Any, defaults: Mapping[str, object], is_seed: bool = False
) -> list:
    """Return a list of different values of a parameter, checked.

    A whole number becomes a float where the parameter's default is one, so that `1` and `1.0` give
    the same run.
    """
    with named(where):
        is_list = isinstance(values, list) and len(values) > 0
        if not is_list or len(set(map(repr, values))) < len(values):
            raise ValueError(f"{quoted(values)} must be a list of different values")
        if key in ("seed", "run_name") and not is_seed:
            raise ValueError("the sweep itself sets it (seeds: under `seeds`)")
        for value in values:
            check_parameters({key: value}, defaults)
        if not isinstance(defaults[key], float):
            return values
        # A whole number beyond 1e300 may be no float. It stays, and the recipe refuses it.
        return [float(value) if abs(value) < 1e300 else value for value in values]
