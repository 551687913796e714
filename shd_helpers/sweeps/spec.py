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
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from shd_corpus.checks import quoted
from shd_helpers.data import NAMED, dataset_name, obtain
from shd_helpers.paths import (
    NOTEBOOKS,
    OF_A_RUN,
    TRAIN,
    as_run_name,
    need_checkout,
    own_tables_dir,
    results_dir,
    runs_dir,
)
from shd_helpers.study.identity import obtain_and_identify, run_hash
from shd_helpers.study.parameters import notebook_parameters
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.tables import COLUMNS
from shd_helpers.sweeps.sweep_file import (
    SWEEPS,
    Grid,
    SweepError,
    check_each,
    named,
    read_grid,
    read_overrides,
    read_yaml,
    with_absolute_paths,
)
from shd_helpers.user_code import is_reference, label_of

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
