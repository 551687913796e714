"""Read a sweep's YAML file, check it, and list the runs that it asks for.

A sweep executes one notebook once for every combination of values in a grid, and with every seed.
Such a file, ``sweeps/widths.yaml``, says so (YAML 1.2, so ``5e-4`` is a number and ``no`` a text)::

    name: widths
    notebook: train  # it has all settings; 03_model_training has the most important ones
    fixed: {dataset: hd, language: german}  # parameters that all runs share
    grid:
      slope: [2.0, 5.0]                      # an axis: values of one parameter
      size:                                  # an axis: named values, each of several parameters
        narrow: {n_hidden: 64}
        wide: {n_hidden: 512, lr: 5e-4}
    seeds: [0, 1]
    repeats: true                            # may be left out, as `plan` may

Each combination of values is a *configuration*, and each configuration with a seed is a run:

    slope=2.0,size=narrow,seed=0
    slope=2.0,size=narrow,seed=1
    slope=2.0,size=wide,seed=0
    slope=2.0,size=wide,seed=1
    slope=5.0,size=narrow,seed=0
    slope=5.0,size=narrow,seed=1
    slope=5.0,size=wide,seed=0
    slope=5.0,size=wide,seed=1

The sweep's name is ``widths_hd``, because the data set is part of it. Their run folders are in
``runs/sweeps/widths_hd/``, and their table is ``results/widths_hd.csv``. The table of a file that
isn't in ``sweeps/`` is ``widths_hd.csv`` in the working directory. With ``repeats: true`` all runs
are executed here, even if that table has them: theirs is ``runs/sweeps/widths_hd.csv``, and the two
are shown side by side. What a run leaves open keeps the default of the notebook.

`read_sweep` checks all that can be known before the first run starts. A mistake that shows up only
in the last of a hundred runs would cost hours.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from shd_corpus.checks import quoted
from shd_corpus.files import reading
from shd_helpers.command import from_extra
from shd_helpers.data import NAMED, dataset_name, obtain
from shd_helpers.paths import (
    NOTEBOOKS,
    OF_A_RUN,
    ROOT,
    TRAIN,
    as_run_name,
    need_checkout,
    own_tables_dir,
    results_dir,
    runs_dir,
)
from shd_helpers.study.parameters import check_parameters, literal, notebook_parameters
from shd_helpers.study.recipe import Recipe, obtain_and_identify, references, run_hash
from shd_helpers.study.tables import COLUMNS, read_plans
from shd_helpers.user_code import is_reference, label_of, with_absolute_path

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


FROZEN = "frozen.csv"  # beside tables: which of them stay as they are, and of which commit


# Runs are keys of dictionaries. Without `eq=False`, Python would compute a run's hash from all its
# fields, and fail, because a dictionary such as `parameters` can't be hashed. With it, each object
# is a key of its own. That is enough, because `read_sweep` makes one object for each run.
@dataclass(frozen=True, eq=False)
class RunSpec:
    """One run of a sweep."""

    configuration: str  # its values, such as "slope=2.0,size=wide"; the same for all seeds
    named_values: dict[str, str]  # on the axes that aren't parameters: {"size": "wide"}
    parameters: dict[str, Any]  # all that the notebook has, with `seed` and `run_name`
    # From identity.obtain_and_identify; empty if the notebook has no data set.
    data: dict[str, str] = field(default_factory=dict)
    hash: str = ""  # from identity.run_hash, once the data are identified
    folder: Path = Path()  # the run folder; a worker may have another `runs_dir`

    @property
    def run_name(self) -> str:
        """Return the run folder's path below ``runs/``."""
        return self.parameters["run_name"]


@dataclass(frozen=True)
class Sweep:
    """A notebook, and the runs of it that a file asks for."""

    name: str
    notebook: Path
    runs: list[RunSpec]
    table: Path
    repeated: Path | None = None  # the table with the results of the same runs elsewhere


def read_sweep(name: str | Path, overrides: Mapping[str, object] | None = None) -> Sweep:
    """Read a sweep, and check everything that can be known before it runs."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        need_checkout(f"{quoted(str(name))} is a sweep of the study's repository, no .yaml file")
        path = SWEEPS / f"{name}.yaml"
    content = read_yaml(path)
    with named(path):
        return _sweep_of(path, content, overrides or {})


def _sweep_of(path: Path, content: Mapping[str, Any], overrides: Mapping[str, object]) -> Sweep:
    """Return the sweep that the content of a file describes."""
    with named("notebook"):
        notebook = _notebook(path, content["notebook"])
        defaults = _notebook_defaults(notebook)
    grid = read_grid(path, content, defaults)
    for name in ("seed", "run_name"):
        if name in (*content["fixed"], *overrides, *grid.parameters()):
            raise SweepError(f"{name}: the sweep itself sets it (seeds: under `seeds`)")
    base = defaults | check_each("fixed.", content["fixed"], defaults)
    given = read_overrides(overrides, defaults, grid)
    changed = [key for key, value in given.items() if value != base[key]]
    base = with_absolute_paths(path, base | given)
    full_name = _sweep_name(content["name"], base, changed, grid)
    folder = results_dir() if path.resolve().parent == SWEEPS else own_tables_dir()
    table = folder / f"{full_name}.csv"
    _check_not_frozen(table)
    planned = list(_planned_runs(full_name, base, grid))
    _check_planned_runs(notebook, planned)
    # Last, because this may download and encode a data set, which takes minutes or hours.
    runs = [_identified(each) for each in planned]
    if content["repeats"]:
        own_table = runs_dir() / "sweeps" / table.name
        return Sweep(full_name, notebook, runs, own_table, repeated=table)
    return Sweep(full_name, notebook, runs, table)


def _check_not_frozen(table: Path) -> None:
    """Raise SweepError if a table was computed at an earlier commit and stays as it is.

    Its rows have hashes that today's code doesn't compute, so all runs would be executed again.
    """
    frozen = table.with_name(FROZEN)
    lines = frozen.read_text(encoding="utf-8").splitlines()[1:] if frozen.exists() else []
    commits = dict(line.split(",") for line in lines)
    if table.stem in commits:
        raise SweepError(
            f"{table}: this table is complete and frozen, because its runs were hashed by the "
            f"code of commit {commits[table.stem]}, which finds all of them. To execute the runs "
            "again, name other folders: SHD_RESULTS_DIR=again SHD_RUNS_DIR=again/runs"
        )


def _notebook(path: Path, written: str) -> Path:
    """Return a sweep's notebook: of the study, or a path relative to the sweep's file."""
    if ".ipynb" in written:
        notebook = path.parent / written
    else:
        need_checkout(f"{quoted(written)} is a notebook of the study's repository")
        notebook = TRAIN if written == TRAIN.stem else NOTEBOOKS / f"{written}.ipynb"
    notebook = notebook.resolve()
    if not notebook.is_file():
        raise SweepError(
            f"there is no {notebook}. Name one of the study's notebooks, or a path relative to "
            "this file"
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


def _sweep_name(written: str, base: Mapping[str, Any], changed: list[str], grid: Grid) -> str:
    """Return a sweep's full name, with its data set and what was overridden."""
    has_dataset = "dataset" in base and "dataset" not in grid.parameters()
    keys = dict.fromkeys(["dataset", *changed] if has_dataset else changed)
    return "_".join([written, *(_label(key, base[key]) for key in keys)])


def _planned_runs(sweep: str, base: Mapping[str, Any], grid: Grid) -> Iterator[RunSpec]:
    """Yield the run of every combination of values and seed; the last axis changes fastest.

    `base` has the parameters outside the grid: the notebook's defaults and what replaces them.
    """
    for combination in itertools.product(*grid.axes.values()):
        values = dict(zip(grid.axes, combination, strict=True))
        configuration = ",".join(
            _label(axis, value.parameters.get(axis, value.name)) for axis, value in values.items()
        )
        named_values = {axis: value.name for axis, value in values.items() if axis not in base}
        parameters = dict(base)
        for value in combination:
            parameters |= value.parameters
        for seed in grid.seeds:
            run_name = f"sweeps/{sweep}/{configuration},seed={seed}"
            own = {"seed": seed, "run_name": run_name}
            yield RunSpec(configuration, named_values, parameters | own)


def _check_planned_runs(notebook: Path, runs: Sequence[RunSpec]) -> None:
    """Raise SweepError if two runs share a folder, or the study would refuse a run's settings."""
    if len({run.run_name for run in runs}) < len(runs):
        raise SweepError(
            "grid: two values have the same name in a run folder's name. Name the values of the "
            "axis"
        )
    if notebook in (*OF_A_RUN, TRAIN):
        for run in runs:
            with named(run.configuration):
                Recipe.from_notebook(run.parameters)


def _identified(planned: RunSpec) -> RunSpec:
    """Return a run with the hashes of its data, which are made or downloaded where needed."""
    parameters = planned.parameters
    with named(planned.configuration):
        data = obtain_and_identify(parameters) if "dataset" in parameters else {}
        digits = run_hash(parameters, data)
    return replace(planned, data=data, hash=digits, folder=runs_dir() / planned.run_name)


def _label(key: str, value: Any) -> str:
    """Return how a parameter's value is written in the name of a file or folder."""
    if key == "dataset":
        return value if value in NAMED else as_run_name(dataset_name(obtain(value)))
    written = label_of(value) if is_reference(value) else str(value)
    text = re.sub(r"[^\w.+-]", "-", written)
    return f"{as_run_name(key)}={text}"
