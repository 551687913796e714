"""A sweep's YAML file: read, checked and spread into points, before anything runs."""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from shd_helpers.checks import quoted
from shd_helpers.events import Downsampling
from shd_helpers.paths import NOTEBOOKS, OF_A_RUN, is_smoke, results_dir, runs_dir
from shd_helpers.study.parameters import (
    as_run_name,
    check_parameters,
    literal,
    notebook_parameters,
)
from shd_helpers.study.predictions import predictions_path
from shd_helpers.study.recipe import Recipe, run_hash
from shd_helpers.study.tables import DATA, MEASURED
from shd_helpers.sweeps.yaml_file import SWEEPS, SweepError, read_yaml, typed

OTHERS = "others"  # under `seeds`: the places that aren't named there
_COLUMNS = ("configuration", *MEASURED, *DATA, "hash", "status", "error")


@dataclass(frozen=True, eq=False)
class RunSpec:
    """One run of a sweep."""

    configuration: str  # the place in the grid in words, the same for all seeds
    places: dict[str, str]  # on the axes that have a name of their own
    parameters: dict[str, Any]  # all that the notebook has, with `run_name`
    data: dict[str, str]  # from datasets.fingerprint; empty if the notebook has no data set
    hash: str  # from recipe.run_hash

    @property
    def run_name(self) -> str:
        """Return the run folder's path below ``runs/``."""
        return self.parameters["run_name"]

    @property
    def folder(self) -> Path:
        """Return the run folder."""
        return runs_dir() / self.run_name


@dataclass(frozen=True)
class Sweep:
    """A notebook and the runs that are wanted of it."""

    name: str
    notebook: Path
    runs: list[RunSpec]
    predictions_are_kept: bool

    @property
    def table(self) -> Path:
        """Return the table's file; in smoke tests a throw-away one."""
        folder = runs_dir() / "results" if is_smoke() else results_dir()
        return folder / f"{self.name}.csv"

    @property
    def predictions(self) -> Path | None:
        """Return the file of the runs' predictions, None where they aren't kept."""
        return predictions_path(self.table) if self.predictions_are_kept else None


def read_sweep(name: str | Path, overrides: Mapping[str, object] | None = None) -> Sweep:
    """Read a sweep and check everything that can be known before it runs.

    Parameters
    ----------
    name : str or Path
        A file in ``sweeps/``, without its ending, or the path of a ``.yaml`` file. The file's
        `notebook` is one of the study's, or the path of an ``.ipynb`` from where the file is.
    overrides : mapping, optional
        Values to replace those in the file that are not in the grid; a text is read as on a
        command line, by `study.parameters.literal`. They become part of the
        sweep's name, as the name of its data set always is, so that nothing is overwritten.

    Raises
    ------
    SweepError
        If a key, a parameter's name or a value's type is wrong; the message names file and key.
    DatasetError
        If a data set can't be found.
    """
    path = Path(name) if str(name).endswith(".yaml") else SWEEPS / f"{name}.yaml"
    content = read_yaml(path)
    fixed, grid, notebook = content["fixed"], content["grid"], content["notebook"]
    notebook = path.parent / notebook if ".ipynb" in notebook else NOTEBOOKS / f"{notebook}.ipynb"
    if not notebook.is_file():
        raise SweepError(f"{path}: notebook: there is no {notebook}")
    defaults = notebook_parameters(notebook)
    if not {"seed", "run_name"} <= defaults.keys():
        raise SweepError(
            f"{path}: notebook: {notebook.name} leaves no run to measure: it has no parameters "
            "seed and run_name. Take 03_model_training"
        )
    for key, value in fixed.items():
        _check_values(f"{path}: fixed.{key}", key, [value], defaults)
    axes = {key: _axis(f"{path}: grid.{key}", key, axis, defaults) for key, axis in grid.items()}
    seeds = _seeds(f"{path}: seeds", content["seeds"], axes, defaults)
    without = _without(f"{path}: without", content["without"], axes)
    swept = [key for axis in axes.values() for key in {key for place in axis for key in place[1]}]
    for key in swept:
        if key in fixed or swept.count(key) > 1:
            raise SweepError(f"{path}: grid: {key} is in fixed, too, or twice in the grid")
    overrides = {
        key: literal(value, defaults.get(key)) if isinstance(value, str) else value
        for key, value in (overrides or {}).items()
    }
    for key, value in overrides.items():
        if key in swept:
            raise SweepError(f"--set {key}: the grid of {path} has it")
        _check_values(f"--set {key}", key, [value], defaults)

    base = defaults | {key: typed(value, defaults[key]) for key, value in fixed.items()}
    changed = {
        key: typed(value, defaults[key]) for key, value in overrides.items() if value != base[key]
    }
    base |= changed
    named = {key: base[key] for key in ("dataset",) if key in base and key not in swept} | changed
    name = "_".join([content["name"], *(_words(*item) for item in named.items())])
    runs = list(_runs(name, base, axes, seeds, without))
    if len({run.run_name for run in runs}) < len(runs):
        raise SweepError(f"{path}: grid: two values that give the same name of a run folder")
    if notebook.resolve() in OF_A_RUN:
        for run in runs:
            with _named(path, run):
                Recipe.from_flat(run.parameters)
    return Sweep(name, notebook.resolve(), runs, content["keep_predictions"])


def check_todo(sweep: Sweep, runs: Iterable[RunSpec], *, elsewhere: bool) -> None:
    """Refuse runs that the machine has no room for, or that don't go with their data.

    Parameters
    ----------
    sweep : Sweep
        Of which only the study's own notebooks are known.
    runs : iterable of RunSpec
        Those of its runs that will be executed.
    elsewhere : bool
        Whether other machines execute them: then their memory counts.

    Raises
    ------
    SweepError
        The message names run and parameter, or file and remedy.
    """
    if sweep.notebook not in OF_A_RUN:
        return
    largest: dict[tuple, tuple[RunSpec, Recipe]] = {}  # batch of each split
    for run in runs:
        recipe = Recipe.from_flat(run.parameters)
        if not elsewhere:
            with _named(sweep.name, run):
                recipe.check_memory()
        split = recipe.dataset, recipe.language, recipe.split
        _, found = largest.setdefault(split, (run, recipe))
        if recipe.training.batch_size > found.training.batch_size:
            largest[split] = run, recipe
    inputs: dict[str, Downsampling] = {}  # the first with these data: no split depends on it
    for run, recipe in largest.values():
        with _named(sweep.name, run):
            recipe.load(inputs.setdefault(recipe.dataset, recipe.input))


@contextmanager
def _named(where: object, run: RunSpec) -> Iterator[None]:
    """Turn what the gate refuses into a SweepError that names the run."""
    try:
        yield
    except ValueError as error:
        raise SweepError(f"{where}: {run.configuration}: {error}") from None


def _check_values(
    where: str, key: str, values: object, defaults: Mapping[str, object], is_seed: bool = False
) -> None:
    if not isinstance(values, list) or not values or len(set(map(repr, values))) < len(values):
        raise SweepError(f"{where}: {quoted(values)} must be a list of different values")
    if key in ("seed", "run_name") and not is_seed:
        raise SweepError(f"{where}: the sweep itself sets it (seeds: under `seeds`)")
    for value in values:
        try:
            check_parameters({key: value}, defaults)
        except ValueError as error:
            raise SweepError(f"{where}: {error}") from None


def _axis(where: str, key: str, axis: Any, defaults: Mapping) -> list[tuple[str, dict]]:
    """Return the places of an axis of the grid, checked: name, and values of its parameters.

    It is a list of values of one parameter, or, under a name that no parameter has, a mapping from
    the places' names to the values of parameters that go together; what a place leaves out keeps
    its fixed or default value.
    """
    if key in defaults or not isinstance(axis, dict):
        _check_values(where, key, axis, defaults)
        values = [typed(value, defaults[key]) for value in axis]
        return [(str(value), {key: value}) for value in values]
    if not re.fullmatch(r"\w[\w -]*", str(key)) or key in _COLUMNS:
        raise SweepError(
            f"{where}: the axis needs another name: letters, digits, _ and -, not one of the "
            f"table's own columns ({', '.join(_COLUMNS)})"
        )
    if not axis:
        raise SweepError(f"{where}: {quoted(axis)} has no places")
    for name, values in axis.items():
        if not isinstance(values, dict):
            raise SweepError(f"{where}.{name}: {quoted(values)} is no mapping of parameters")
        for parameter, value in values.items():
            _check_values(f"{where}.{name}.{parameter}", parameter, [value], defaults)
    return [
        (str(name), {k: typed(value, defaults[k]) for k, value in values.items()})
        for name, values in axis.items()
    ]


def _seeds(where: str, seeds: Any, axes: Mapping, defaults: Mapping) -> dict[str, list[int]]:
    """Return the seeds of the places that have some of their own, and those of all others."""
    seeds = {OTHERS: seeds} if isinstance(seeds, list) else {str(k): v for k, v in seeds.items()}
    places = [name for axis in axes.values() for name, _ in axis]
    for name, values in seeds.items():
        if name != OTHERS and places.count(name) != 1:
            raise SweepError(f"{where}.{name}: must be a place of one axis of the grid")
        _check_values(f"{where}.{name}", "seed", values, defaults, is_seed=True)
    if OTHERS not in seeds:
        raise SweepError(f"{where}: without {OTHERS}, the seeds of the places that aren't named")
    return seeds


def _without(where: str, rules: Sequence, axes: Mapping) -> list[dict[str, str]]:
    """Return the combinations of places that aren't run."""
    found = []
    for rule in rules:
        named = {str(k): str(v) for k, v in rule.items()} if isinstance(rule, dict) else {}
        wrong = [k for k, v in named.items() if v not in {name for name, _ in axes.get(k, [])}]
        if wrong or not named:
            raise SweepError(f"{where}: {quoted(rule)}: must be places by their axes of the grid")
        found.append(named)
    return found


def _words(key: str, value: Any) -> str:
    """Return what a value is called in the name of a file."""
    from shd_helpers.source.datasets import NAMED, dataset_name, locate

    if key == "dataset":
        return value if value in NAMED else as_run_name(dataset_name(locate(value)))
    return f"{as_run_name(key)}=" + re.sub(r"[^\w.+-]", "-", str(value))


def _runs(
    name: str,
    base: Mapping,
    axes: Mapping[str, list[tuple[str, dict]]],
    seeds: Mapping[str, Sequence[int]],
    without: Sequence[Mapping[str, str]],
) -> Iterator[RunSpec]:
    from shd_helpers.events.toy import smoke_sized  # these two take seconds to import
    from shd_helpers.source.datasets import fingerprint, locate

    small = cache(smoke_sized)  # both read or write whole data sets
    hashed = cache(lambda dataset, language: fingerprint(locate(dataset, language)))
    for places in itertools.product(*axes.values()):
        chosen = {key: value for _, values in places for key, value in values.items()}
        at = dict(zip(axes, (place for place, _ in places), strict=True))
        configuration = ",".join(_words(key, chosen.get(key, place)) for key, place in at.items())
        if any(rule.items() <= at.items() for rule in without):
            continue
        own = [place for place in at.values() if place in seeds]
        for seed in seeds[own[0] if own else OTHERS]:
            run_name = f"sweeps/{name}/{configuration},seed={seed}"
            parameters = {**base, **chosen, "seed": seed, "run_name": run_name}
            if is_smoke() and {"dataset", "epochs"} <= parameters.keys():
                sizes = small(parameters["dataset"], parameters["epochs"])
                parameters["dataset"], parameters["epochs"] = sizes
            data = {}
            if "dataset" in parameters:
                data = hashed(parameters["dataset"], parameters.get("language", "english"))
            yield RunSpec(
                configuration,
                {key: place for key, place in at.items() if key not in base},
                parameters,
                data,
                run_hash(parameters, data),
            )
