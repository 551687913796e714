"""Read a sweep's YAML file, check it, and list the runs that it asks for.

A sweep executes one notebook once for every combination of values in a grid, and with every seed.
Such a file, ``sweeps/widths.yaml``, says so (YAML 1.2, so ``5e-4`` is a number and ``no`` a text)::

    name: widths
    notebook: 03_model_training
    fixed: {dataset: hd, language: german}  # parameters that all runs share
    grid:
      slope: [2.0, 5.0]                      # an axis: values of one parameter
      size:                                  # an axis: named values, each of several parameters
        narrow: {n_hidden: 64}
        wide: {n_hidden: 512, lr: 5e-4}
    seeds: {wide: [0, 1], others: [0]}       # or one list for all
    keep_predictions: true                   # may be left out, as `keep_scores` and `plan` may

Each combination of values is a *configuration*, and each configuration with a seed is a run:

    slope=2.0,size=narrow,seed=0
    slope=2.0,size=wide,seed=0
    slope=2.0,size=wide,seed=1
    slope=5.0,size=narrow,seed=0
    slope=5.0,size=wide,seed=0
    slope=5.0,size=wide,seed=1

The sweep's name is ``widths_hd``, because the data set is part of it. Their run folders are in
``runs/sweeps/widths_hd/``, and their table is ``results/widths_hd.csv``. The table of a file that
isn't in ``sweeps/`` is ``widths_hd.csv`` in the working directory, and the columns that vary come
first in it. What a run leaves open keeps the default of the notebook.

`read_sweep` checks all that can be known before the first run starts. A mistake that shows up only
in the last of a hundred runs would cost hours.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf, prod
from pathlib import Path
from typing import Any, NamedTuple

from shd_helpers.checks import quoted
from shd_helpers.data.datasets import NAMED, dataset_name, locate, n_channels_of
from shd_helpers.extras import from_extra
from shd_helpers.objects import is_reference, parse_reference, with_absolute_path
from shd_helpers.paths import (
    NOTEBOOKS,
    OF_A_RUN,
    ROOT,
    CheckoutError,
    need_checkout,
    own_tables_dir,
    results_dir,
    runs_dir,
)
from shd_helpers.small import is_small, small_version
from shd_helpers.study.class_scores import scores_path
from shd_helpers.study.identity import identify_data, references, run_hash
from shd_helpers.study.parameters import as_run_name, check_parameters, literal, notebook_parameters
from shd_helpers.study.predictions import predictions_path
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.tables import COLUMNS, MEASURED

with from_extra("study"):
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError
    from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

SWEEPS = ROOT / "sweeps"
OTHERS = "others"  # under `seeds`: all values that aren't named there
MOST_RUNS = 10_000  # of a sweep; with 2 minutes each, one core would take two weeks
MOST_VALUES = 100_000  # in a file, each alias (*name) written out
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
    str: "text",
    dict: "mapping",
    (list, dict): "list or a mapping",
    bool: "truth value",
}


class SweepError(ValueError):
    """A sweep can't start or continue; the message names the file and the key, or the remedy."""


# Runs are keys of dictionaries. Without `eq=False`, Python would compute a run's hash from all its
# fields, and fail, because a dictionary such as `parameters` can't be hashed. With it, each object
# is a key of its own. That is enough, because `read_sweep` makes one object for each run.
@dataclass(frozen=True, eq=False)
class RunSpec:
    """One run of a sweep."""

    configuration: str  # its values, such as "slope=2.0,size=wide"; the same for all seeds
    named_values: dict[str, str]  # on the axes that aren't parameters: {"size": "wide"}
    parameters: dict[str, Any]  # all that the notebook has, with `seed` and `run_name`
    data: dict[str, str]  # from identity.identify_data; empty if the notebook has no data set
    hash: str  # from identity.run_hash
    folder: Path  # the run folder; a worker may have another `runs_dir`

    @property
    def run_name(self) -> str:
        """Return the run folder's path below ``runs/``."""
        return self.parameters["run_name"]


class PendingRun(NamedTuple):
    """A run that a sweep has to execute."""

    run: RunSpec
    ignore_finished_folder: bool  # execute the run even if its folder has a finished one by then


@dataclass(frozen=True)
class Sweep:
    """A notebook, and the runs of it that a file asks for."""

    name: str
    notebook: Path
    runs: list[RunSpec]
    table: Path
    predictions: Path | None  # the file of the runs' predictions, if they are saved
    scores: Path | None = None  # the file of the runs' class scores, if they are saved
    first_columns: tuple[str, ...] = ()  # of the table; in the committed tables they aren't moved


class AxisValue(NamedTuple):
    """One value on an axis of the grid."""

    name: str
    parameters: dict[str, Any]  # what it sets: one parameter, or several that go together


@dataclass(frozen=True)
class Grid:
    """The axes of a sweep, each with its values, and the seeds."""

    axes: dict[str, list[AxisValue]]
    seeds: dict[str, list[int]]  # by the name of a value; under `OTHERS` those of all others

    def combinations(self) -> Iterator[tuple[AxisValue, ...]]:
        """Combine one value of each axis in all ways; the last axis changes fastest.

        Returns
        -------
        iterator of tuple of AxisValue
            The combinations, each with a value of each axis, in the axes' order.
        """
        return itertools.product(*self.axes.values())

    def seeds_of(self, combination: Sequence[AxisValue]) -> list[int]:
        """Return the seeds of a combination.

        Parameters
        ----------
        combination : sequence of AxisValue
            One value of each axis.

        Returns
        -------
        list of int
            The seeds of its first value that has seeds of its own, or those of all others.
        """
        for value in combination:
            if value.name in self.seeds:
                return self.seeds[value.name]
        return self.seeds[OTHERS]

    def parameters(self) -> list[str]:
        """List the parameters that the axes set.

        Returns
        -------
        list of str
            Their names. One that two axes set appears twice.
        """
        names: list[str] = []
        for axis in self.axes.values():
            names_on_axis: list[str] = []
            for value in axis:
                for name in value.parameters:
                    if name not in names_on_axis:
                        names_on_axis.append(name)
            names += names_on_axis
        return names


# --- The file --------------------------------------------------------------------------------


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a sweep's file, and check its keys and the types of their values.

    Parameters
    ----------
    path : Path
        A YAML file (version 1.2: `no` is a text, `1e-3` a number).

    Returns
    -------
    dict
        The file's content. A sweep doesn't use its `plan`: that says what will be compared with
        what, and is written before the runs.

    Raises
    ------
    SweepError
        If there is no such file, or a key is missing, unknown or there twice, or a value is of
        another type.
    """
    if not path.exists():
        there = ", ".join(sorted(file.stem for file in SWEEPS.glob("*.yaml")))
        raise SweepError(f"{path}: no such file. In sweeps/ there are {there}")
    try:
        if not path.is_file():  # reading a pipe or a device may never end
            raise OSError("not a file")
        written = _parse(path.read_bytes())
    except OSError as error:
        why = error.strerror or error
        raise SweepError(f"{path}: can't be read ({why}). Check the file.") from error
    except (YAMLError, ValueError, TypeError, RecursionError) as error:
        raise SweepError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    with _named(path):
        return _check_content(written)


def _parse(text: bytes) -> Any:
    """Return what a YAML text holds; ValueError, if its aliases stand for too many values.

    A few lines of aliases of aliases may stand for billions of values, which would take all memory.
    """
    if _n_values(YAML(typ="safe", pure=True).compose(text), {}) > MOST_VALUES:
        raise ValueError(
            f"its aliases (*name) stand for more than {MOST_VALUES:,} values. Write the values out"
        )
    return YAML(typ="safe", pure=True).load(text)


def _n_values(node: Node | None, counts: dict[int, float]) -> float:
    """Count the values below a node of YAML, each alias written out.

    `counts` holds the counts of nodes so far, by `id`, because a node is counted once however many
    aliases lead to it. A node that contains itself has infinitely many values.
    """
    if id(node) not in counts:
        counts[id(node)] = inf  # the count, should the node come again below itself
        children: list[Node] = []
        if isinstance(node, MappingNode):
            for key, value in node.value:
                children += [key, value]
        elif isinstance(node, SequenceNode):
            children = node.value
        counts[id(node)] = 1 + sum(_n_values(child, counts) for child in children)
    return counts[id(node)]


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
            raise ValueError(f"{key}: {quoted(content[key])} must be a {_TYPE_NAMES[kind]}")
    if not re.fullmatch(r"\w[\w-]{0,99}", content["name"]):
        raise ValueError(f"name: {quoted(content['name'])} must be letters, digits, _ and -")
    return content


def plan_of(sweep: str) -> dict[str, Any]:
    """Return the `plan` of a sweep: what will be compared, written before its first run.

    Parameters
    ----------
    sweep : str
        A file in ``sweeps/``, without its ending.

    Returns
    -------
    dict
        The plan as the file has it, empty if there is none.
    """
    return read_yaml(SWEEPS / f"{sweep}.yaml")["plan"]


# --- The sweep -------------------------------------------------------------------------------


def read_sweep(name: str | Path, overrides: Mapping[str, object] | None = None) -> Sweep:
    """Read a sweep, and check everything that can be known before it runs.

    Parameters
    ----------
    name : str or Path
        A file in ``sweeps/``, without its ending, or the path of a ``.yaml`` or ``.yml`` file. The
        file's `notebook` is one of the study's, or the path of an ``.ipynb`` relative to the file.
    overrides : mapping, optional
        Values that replace those in the file, of parameters that are not in the grid. A text is
        read as on a command line, by `study.parameters.literal`. They become part of the sweep's
        name, as the name of its data set always is, so that nothing is overwritten.

    Returns
    -------
    Sweep
        The notebook, its runs in the grid's order, and the files for their results. The table of a
        file that isn't in ``sweeps/`` is written to the working directory.

    Raises
    ------
    SweepError
        If a key, a parameter's name or a value is wrong, or a run's data can't be used. The message
        names file and key.
    DatasetError
        If the data set of all runs can't be found.
    """
    path = _sweep_file(name)
    content = read_yaml(path)
    notebook = _notebook(path, content["notebook"])
    defaults = _notebook_defaults(notebook)
    grid = _read_grid(path, content, defaults)
    fixed = _read_fixed(path, content["fixed"], defaults)
    _check_set_once(path, grid, fixed)
    base = defaults | fixed
    given = _read_overrides(path, overrides or {}, defaults, grid)
    changed = {key: value for key, value in given.items() if value != base[key]}
    base = _with_absolute_paths(path, base | changed)
    changed = {key: base[key] for key in changed}
    full_name = _sweep_name(content["name"], base, changed, grid)
    _check_size(path, grid)
    planned = list(_planned_runs(full_name, base, grid))
    _check_planned_runs(path, notebook, planned)
    # Last, because this may download and encode a data set, which takes minutes or hours.
    runs = [_identified(path, each) for each in planned]
    is_own = path.resolve().parent != SWEEPS
    table = _tables_dir(is_own) / f"{full_name}.csv"
    return Sweep(
        full_name,
        notebook,
        runs,
        table,
        predictions=predictions_path(table) if content["keep_predictions"] else None,
        scores=scores_path(table) if content["keep_scores"] else None,
        first_columns=_varying(grid) if is_own else (),
    )


def _sweep_file(name: str | Path) -> Path:
    """Return a sweep's file by its path, or by its name in ``sweeps/``."""
    if str(name).endswith((".yaml", ".yml")):
        return Path(name)
    try:
        need_checkout(f"{quoted(str(name))} names a sweep of the study's repository")
    except CheckoutError as error:
        raise SweepError(f"{error} Or write a .yaml file of your own.") from None
    return SWEEPS / f"{name}.yaml"


def _tables_dir(is_own: bool) -> Path:
    """Return the folder of a sweep's table; one that isn't the study's own isn't in results/."""
    if is_small():
        return runs_dir() / "results"
    return own_tables_dir() if is_own else results_dir()


def _varying(grid: "Grid") -> tuple[str, ...]:
    """Return the columns that say what differs between runs, and then what was measured."""
    swept: list[str] = []
    for axis, values in grid.axes.items():
        swept.append(axis)
        for value in values:
            swept.extend(value.parameters.keys())
    with_repeats = [*swept, "seed", *MEASURED]
    return tuple(dict.fromkeys(with_repeats))  # each name once, where it is first


def _notebook(path: Path, written: str) -> Path:
    """Return a sweep's notebook: of the study, or a path relative to the sweep's file."""
    if ".ipynb" in written:
        notebook = path.parent / written
    else:
        with _named(f"{path}: notebook"):
            need_checkout(f"{quoted(written)} is a notebook of the study's repository")
        notebook = NOTEBOOKS / f"{written}.ipynb"
    notebook = notebook.resolve()
    if not notebook.is_file():
        raise SweepError(
            f"{path}: notebook: there is no {notebook}. Name one of the study's notebooks, or a "
            "path relative to this file"
        )
    return notebook


def _notebook_defaults(notebook: Path) -> dict[str, Any]:
    """Return a notebook's parameters with their defaults; none may hide a column of the table."""
    defaults = notebook_parameters(notebook)
    hidden = sorted(COLUMNS & defaults.keys())
    if hidden:
        raise SweepError(
            f"{notebook}: parameter {hidden[0]!r}: this is a column of the table, which would "
            "replace its value. Rename the parameter."
        )
    return defaults


def _read_grid(path: Path, content: Mapping[str, Any], defaults: Mapping[str, object]) -> Grid:
    """Return the axes and the seeds of a file, checked."""
    axes = {}
    for key, written in content["grid"].items():
        name = str(key)  # YAML reads an unquoted 183 as a number
        axis = _read_axis(f"{path}: grid.{name}", name, written, defaults)
        axes[name] = [
            value._replace(parameters=_with_absolute_paths(path, value.parameters))
            for value in axis
        ]
    seeds = _read_seeds(f"{path}: seeds", content["seeds"], axes, defaults)
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


def _read_seeds(
    where: str,
    written: list | dict,
    axes: Mapping[str, Sequence[AxisValue]],
    defaults: Mapping[str, object],
) -> dict[str, list[int]]:
    """Return the seeds by the name of the value that has them; those of all others too."""
    if isinstance(written, list):
        seeds = {OTHERS: written}
    else:
        seeds = {str(name): values for name, values in written.items()}
    n_values = Counter(value.name for axis in axes.values() for value in axis)
    for name, values in seeds.items():
        if name != OTHERS and n_values[name] != 1:
            once = ", ".join(quoted(value) for value, n in n_values.items() if n == 1)
            raise SweepError(
                f"{where}.{name}: must be {OTHERS}, or a value of exactly one axis of the grid: "
                f"{once or 'there is none'}"
            )
        _check_values(f"{where}.{name}", "seed", values, defaults, is_seed=True)
    if OTHERS not in seeds:
        raise SweepError(
            f"{where}: the key {OTHERS} is missing. It has the seeds of the values that aren't "
            "named here"
        )
    return seeds


def _read_fixed(
    path: Path, written: Mapping[str, Any], defaults: Mapping[str, object]
) -> dict[str, Any]:
    """Return the parameters that all runs share, checked."""
    fixed = {}
    for key, value in written.items():
        fixed[key] = _check_value(f"{path}: fixed.{key}", key, value, defaults)
    return fixed


def _check_set_once(path: Path, grid: Grid, fixed: Mapping[str, object]) -> None:
    """Raise SweepError if two axes, or an axis and `fixed`, set the same parameter."""
    n_axes = Counter(grid.parameters())
    for key, n in n_axes.items():
        if key in fixed or n > 1:
            raise SweepError(
                f"{path}: grid: {key} is set more than once. Set it on one axis of the grid, or "
                "in fixed"
            )


def _read_overrides(
    path: Path, overrides: Mapping[str, object], defaults: Mapping[str, object], grid: Grid
) -> dict[str, Any]:
    """Return the values that were set from outside, checked."""
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


def _with_absolute_paths(path: Path, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters whose paths mean the same in a worker's working directory.

    A relative path of a Python file, or of a data set's folder, counts from the sweep's file first.
    """
    folder = path.parent.resolve()
    changed = dict(parameters)
    for name, text in references(parameters).items():
        with _named(f"{path}: {name}"):
            changed[name] = with_absolute_path(text, folder)
    dataset = changed.get("dataset")
    if isinstance(dataset, str) and dataset not in ("", *NAMED) and (folder / dataset).is_dir():
        changed["dataset"] = str(folder / dataset)
    return changed


def _sweep_name(
    written: str, base: Mapping[str, Any], changed: Mapping[str, Any], grid: Grid
) -> str:
    """Return a sweep's full name, with its data set and what was overridden."""
    named = {}
    if "dataset" in base and "dataset" not in grid.parameters():
        named["dataset"] = base["dataset"]
    named |= changed
    return "_".join([written, *(_label(key, value) for key, value in named.items())])


def _check_size(path: Path, grid: Grid) -> None:
    """Raise SweepError if a grid has too many runs, before they are listed."""
    # Each configuration has one seed at least. A grid of 100^4 would take hours to go through.
    n_runs = prod(len(axis) for axis in grid.axes.values())
    if n_runs <= MOST_RUNS:
        n_runs = sum(len(grid.seeds_of(combination)) for combination in grid.combinations())
    if n_runs > MOST_RUNS:
        raise SweepError(
            f"{path}: grid: {n_runs:,} runs, but a sweep may have {MOST_RUNS:,}. Take fewer values "
            "or seeds, or write several files."
        )


class _PlannedRun(NamedTuple):
    """A run whose data aren't identified yet; the fields are those of `RunSpec`."""

    configuration: str
    named_values: dict[str, str]
    parameters: dict[str, Any]


def _planned_runs(sweep: str, base: Mapping[str, Any], grid: Grid) -> Iterator[_PlannedRun]:
    """Yield the run of every combination of values and seed.

    `base` has the parameters outside the grid: the notebook's defaults and what replaces them.
    """
    for combination in grid.combinations():
        values = dict(zip(grid.axes, combination, strict=True))
        for seed in grid.seeds_of(combination):
            yield _planned_run(sweep, base, values, seed)


def _planned_run(
    sweep: str, base: Mapping[str, Any], values: Mapping[str, AxisValue], seed: int
) -> _PlannedRun:
    """Return the run with one value of each axis (by the axis's name) and a seed."""
    labels = []
    for axis, value in values.items():
        labels.append(_label(axis, value.parameters.get(axis, value.name)))
    configuration = ",".join(labels)
    run_name = f"sweeps/{sweep}/{configuration},seed={seed}"
    parameters = dict(base)
    for value in values.values():
        parameters |= value.parameters
    parameters |= {"seed": seed, "run_name": run_name}
    if is_small() and {"dataset", "epochs"} <= parameters.keys():
        dataset, epochs = small_version(parameters["dataset"], parameters["epochs"])
        parameters |= {"dataset": dataset, "epochs": epochs}
    named_values = {axis: value.name for axis, value in values.items() if axis not in base}
    return _PlannedRun(configuration, named_values, parameters)


def _check_planned_runs(path: Path, notebook: Path, runs: Sequence[_PlannedRun]) -> None:
    """Raise SweepError if two runs share a folder, or the study would refuse a run's settings."""
    if len({run.parameters["run_name"] for run in runs}) < len(runs):
        raise SweepError(
            f"{path}: grid: two values have the same name in a run folder's name. Name the values "
            "of the axis"
        )
    if notebook in OF_A_RUN:
        for run in runs:
            with _named(f"{path}: {run.configuration}"):
                n_channels = n_channels_of(run.parameters["dataset"])
                Recipe.from_flat(run.parameters, n_channels)


def _identified(path: Path, planned: _PlannedRun) -> RunSpec:
    """Return a run with the hashes of its data, which are made or downloaded where needed."""
    parameters = planned.parameters
    with _named(f"{path}: {planned.configuration}"):
        data = identify_data(parameters) if "dataset" in parameters else {}
        digits = run_hash(parameters, data)
    return RunSpec(
        configuration=planned.configuration,
        named_values=planned.named_values,
        parameters=parameters,
        data=data,
        hash=digits,
        folder=runs_dir() / parameters["run_name"],
    )


# --- Values ----------------------------------------------------------------------------------


@contextmanager
def _named(where: object) -> Iterator[None]:
    """Turn a ValueError into a SweepError that names the file, and the key in it."""
    try:
        yield
    except ValueError as error:
        raise SweepError(f"{where}: {error}") from None


def _check_value(where: str, key: str, value: Any, defaults: Mapping[str, object]) -> Any:
    """Return a value of a parameter, checked as `_check_values` does."""
    (checked,) = _check_values(where, key, [value], defaults)
    return checked


def _check_values(
    where: str, key: str, values: Any, defaults: Mapping[str, object], is_seed: bool = False
) -> list:
    """Return a list of different values of a parameter, checked.

    A whole number becomes a float where the parameter's default is one, so that `1` and `1.0` give
    the same run.
    """
    with _named(where):
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


def _label(key: str, value: Any) -> str:
    """Return how a parameter's value is written in the name of a file or folder."""
    if key == "dataset":
        return value if value in NAMED else as_run_name(dataset_name(locate(value)))
    written = parse_reference(value).label if is_reference(value) else str(value)
    text = re.sub(r"[^\w.+-]", "-", written)
    return f"{as_run_name(key)}={text}"
