"""A sweep's YAML file, checked and spread into runs before anything is executed."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf, prod
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, Node, SequenceNode

from shd_helpers.checks import quoted
from shd_helpers.data.datasets import NAMED, dataset_name, locate
from shd_helpers.paths import NOTEBOOKS, OF_A_RUN, ROOT, results_dir, runs_dir
from shd_helpers.small import is_small, small_version
from shd_helpers.study.identity import identify_data, run_hash
from shd_helpers.study.parameters import as_run_name, check_parameters, literal, notebook_parameters
from shd_helpers.study.predictions import predictions_path
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.tables import COLUMNS

SWEEPS = ROOT / "sweeps"
OTHERS = "others"  # under `seeds`: the places that aren't named there
MOST_RUNS = 10_000  # of a sweep; with 2 minutes each, one core would take two weeks
MOST_VALUES = 100_000  # in a file, each alias (*name) written out
_OPTIONAL: dict[str, Any] = {"keep_predictions": False, "plan": {}}
_KINDS: dict[str, Any] = {"name": str, "notebook": str, "fixed": dict, "grid": dict}
_KINDS |= {"seeds": (list, dict)} | {key: type(value) for key, value in _OPTIONAL.items()}


class SweepError(ValueError):
    """A sweep that can't start or go on; the message names the file and the key, or the remedy."""


@dataclass(frozen=True, eq=False)
class RunSpec:
    """One run of a sweep."""

    configuration: str  # the place in the grid in words, the same for all seeds
    places: dict[str, str]  # on the axes that have a name of their own
    parameters: dict[str, Any]  # all that the notebook has, with `run_name`
    data: dict[str, str]  # from identity.identify_data; empty if the notebook has no data set
    hash: str  # from identity.run_hash
    folder: Path  # the run folder; a worker may have another `runs_dir`

    @property
    def run_name(self) -> str:
        """Return the run folder's path below ``runs/``."""
        return self.parameters["run_name"]


@dataclass(frozen=True)
class Sweep:
    """A notebook and the runs that are wanted of it."""

    name: str
    notebook: Path
    runs: list[RunSpec]
    table: Path
    predictions: Path | None  # the file of the runs' predictions, if they are kept


def read_yaml(path: Path) -> dict[str, Any]:
    """Return the content of a sweep's YAML file (version 1.2: `no` is a text, `1e-3` a number).

    Its `plan` isn't read by the sweep: it says what will be compared with what, and is written
    before the runs. SweepError, if the file isn't there, a key is missing, unknown or there twice,
    or a value is of another kind.
    """
    if not path.exists():
        there = ", ".join(sorted(file.stem for file in SWEEPS.glob("*.yaml")))
        raise SweepError(f"{path}: no such file; in sweeps/ there are {there}")
    try:
        if not path.is_file():  # a pipe or a device may never end
            raise OSError("not a file")
        content = _content(path.read_bytes())
    except (OSError, YAMLError, ValueError, TypeError, RecursionError) as error:
        raise SweepError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    found = _OPTIONAL | content if isinstance(content, dict) else {}
    if set(found) != set(_KINDS):
        named = ", ".join(map(str, content)) if isinstance(content, dict) else "none"
        raise SweepError(
            f"{path}: the keys must be {', '.join(_KINDS)} ({', '.join(_OPTIONAL)} may be left "
            f"out); found: {named}"
        )
    for key, kind in _KINDS.items():
        if not isinstance(found[key], kind):
            raise SweepError(f"{path}: {key}: {quoted(found[key])} is of the wrong type")
    with _named(path):
        if not re.fullmatch(r"\w[\w-]{0,99}", found["name"]):
            raise ValueError(f"name: {quoted(found['name'])} must be letters, digits, _ and -")
    return found


def _content(text: bytes) -> Any:
    """Return what a YAML file holds; ValueError, if its aliases stand for too many values."""
    if _n_values(YAML(typ="safe", pure=True).compose(text), {}) > MOST_VALUES:
        raise ValueError(
            f"its aliases (*name) stand for more than {MOST_VALUES:,} values. Write the values out"
        )
    return YAML(typ="safe", pure=True).load(text)


def _n_values(node: Node | None, counted: dict[int, float]) -> float:
    """Count the values below a node of YAML, each alias written out.

    It is infinite where a node contains itself; `counted` has the nodes that were counted.
    """
    if id(node) not in counted:
        counted[id(node)] = inf  # should it come again below itself
        parts: list[Node] = []
        if isinstance(node, MappingNode):
            parts = [part for pair in node.value for part in pair]
        elif isinstance(node, SequenceNode):
            parts = node.value
        counted[id(node)] = 1 + sum(_n_values(part, counted) for part in parts)
    return counted[id(node)]


def plan_of(sweep: str) -> dict[str, Any]:
    """Return what a sweep of the study says will be compared: the `plan` in its file."""
    return read_yaml(SWEEPS / f"{sweep}.yaml")["plan"]


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
    notebook = content["notebook"]
    notebook = path.parent / notebook if ".ipynb" in notebook else NOTEBOOKS / f"{notebook}.ipynb"
    notebook = notebook.resolve()
    if not notebook.is_file():
        raise SweepError(f"{path}: notebook: there is no {notebook}")
    defaults = notebook_parameters(notebook)
    if lost := sorted(COLUMNS & defaults.keys()):
        raise SweepError(
            f"{notebook}: parameter {lost[0]!r}: this is a column of the table, which would "
            "replace its value. Rename the parameter."
        )
    grid = {str(key): axis for key, axis in content["grid"].items()}
    axes = {k: _axis(f"{path}: grid.{k}", k, axis, defaults) for k, axis in grid.items()}
    seeds = _seeds(f"{path}: seeds", content["seeds"], axes, defaults)
    fixed = {
        key: _values(f"{path}: fixed.{key}", key, [value], defaults)[0]
        for key, value in content["fixed"].items()
    }
    swept = [key for axis in axes.values() for key in {key for place in axis for key in place[1]}]
    for key in swept:
        if key in fixed or swept.count(key) > 1:
            raise SweepError(f"{path}: grid: {key} is in fixed, too, or twice in the grid")
    base, changed = defaults | fixed, {}
    for key, value in (overrides or {}).items():
        if key in swept:
            raise SweepError(f"--set {key}: the grid of {path} has it")
        value = literal(value, defaults.get(key)) if isinstance(value, str) else value
        (value,) = _values(f"--set {key}", key, [value], defaults)
        if value != base[key]:
            changed[key] = value
    base |= changed
    named = {key: base[key] for key in ("dataset",) if key in base and key not in swept} | changed
    name = "_".join([content["name"], *(_words(*item) for item in named.items())])
    if (n_runs := _n_runs(axes, seeds)) > MOST_RUNS:
        raise SweepError(
            f"{path}: grid: {n_runs:,} runs, but a sweep may have {MOST_RUNS:,}. Take fewer values "
            "or seeds, or write several files."
        )
    runs = list(_runs(name, base, axes, seeds))
    if len({run.run_name for run in runs}) < len(runs):
        raise SweepError(f"{path}: grid: two values that give the same name of a run folder")
    if notebook in OF_A_RUN:
        for run in runs:
            with _named(f"{path}: {run.configuration}"):
                Recipe.from_flat(run.parameters)
    table = (runs_dir() / "results" if is_small() else results_dir()) / f"{name}.csv"
    predictions = predictions_path(table) if content["keep_predictions"] else None
    return Sweep(name, notebook, runs, table, predictions)


@contextmanager
def _named(where: object) -> Iterator[None]:
    """Turn a ValueError into a SweepError that names the place."""
    try:
        yield
    except ValueError as error:
        raise SweepError(f"{where}: {error}") from None


def _values(
    where: str, key: str, values: Any, defaults: Mapping[str, object], is_seed: bool = False
) -> list:
    """Return values of a parameter, checked; an integer becomes a float where the default is."""
    with _named(where):
        if not isinstance(values, list) or not values or len(set(map(repr, values))) < len(values):
            raise ValueError(f"{quoted(values)} must be a list of different values")
        if key in ("seed", "run_name") and not is_seed:
            raise ValueError("the sweep itself sets it (seeds: under `seeds`)")
        for value in values:
            check_parameters({key: value}, defaults)
        is_float = isinstance(defaults[key], float)
        # beyond it may be no float, which the recipe refuses
        return [float(x) if is_float and abs(x) < 1e300 else x for x in values]


def _axis(where: str, key: str, axis: Any, defaults: Mapping) -> list[tuple[str, dict]]:
    """Return the places of an axis of the grid, checked: name, and values of its parameters.

    It is a list of values of one parameter, or, under a name that no parameter has, a mapping from
    the places' names to the values of parameters that go together; what a place leaves out keeps
    its fixed or default value.
    """
    if key in defaults or not isinstance(axis, dict):
        return [(str(value), {key: value}) for value in _values(where, key, axis, defaults)]
    if key in COLUMNS:
        raise SweepError(
            f"{where}: this is a column of the table, which would replace the axis. Rename it."
        )
    if not axis or not all(isinstance(place, dict) for place in axis.values()):
        raise SweepError(f"{where}: {quoted(axis)} must have places, each a mapping of parameters")
    return [
        (str(name), {k: _values(f"{where}.{name}.{k}", k, [v], defaults)[0] for k, v in p.items()})
        for name, p in axis.items()
    ]


def _seeds(where: str, seeds: Any, axes: Mapping, defaults: Mapping) -> dict[str, list[int]]:
    """Return the seeds of the places that have some of their own, and those of all others."""
    seeds = {OTHERS: seeds} if isinstance(seeds, list) else {str(k): v for k, v in seeds.items()}
    places = [name for axis in axes.values() for name, _ in axis]
    for name, values in seeds.items():
        if name != OTHERS and places.count(name) != 1:
            raise SweepError(f"{where}.{name}: must be a place of one axis of the grid")
        _values(f"{where}.{name}", "seed", values, defaults, is_seed=True)
    if OTHERS not in seeds:
        raise SweepError(f"{where}: without {OTHERS}, the seeds of the places that aren't named")
    return seeds


def _words(key: str, value: Any) -> str:
    """Return what a value is called in the name of a file."""
    if key == "dataset":
        return value if value in NAMED else as_run_name(dataset_name(locate(value)))
    return f"{as_run_name(key)}=" + re.sub(r"[^\w.+-]", "-", str(value))


def _n_runs(axes: Mapping[str, list[tuple[str, dict]]], seeds: Mapping[str, Sequence[int]]) -> int:
    """Count what `_runs` yields: where places of two axes have seeds, the first axis's count."""
    n_runs = 0
    n_before = 1  # combinations of places on the axes so far that have no seeds of their own
    n_behind = prod(len(axis) for axis in axes.values())
    for axis in axes.values():
        n_behind //= len(axis)
        own = [len(seeds[name]) for name, _ in axis if name in seeds]
        n_runs += n_before * sum(own) * n_behind
        n_before *= len(axis) - len(own)
    return n_runs + n_before * len(seeds[OTHERS])


def _runs(
    name: str,
    base: Mapping,
    axes: Mapping[str, list[tuple[str, dict]]],
    seeds: Mapping[str, Sequence[int]],
) -> Iterator[RunSpec]:
    """Yield every combination of places with its seeds."""
    for places in itertools.product(*axes.values()):
        chosen = {key: value for _, values in places for key, value in values.items()}
        at = dict(zip(axes, (place for place, _ in places), strict=True))
        configuration = ",".join(_words(key, chosen.get(key, place)) for key, place in at.items())
        own = [place for place in at.values() if place in seeds]
        for seed in seeds[own[0] if own else OTHERS]:
            run_name = f"sweeps/{name}/{configuration},seed={seed}"
            parameters = {**base, **chosen, "seed": seed, "run_name": run_name}
            if is_small() and {"dataset", "epochs"} <= parameters.keys():
                sizes = small_version(parameters["dataset"], parameters["epochs"])
                parameters["dataset"], parameters["epochs"] = sizes
            data = {}
            if "dataset" in parameters:
                data = identify_data(parameters)
            yield RunSpec(
                configuration,
                {key: place for key, place in at.items() if key not in base},
                parameters,
                data,
                run_hash(parameters, data),
                runs_dir() / run_name,
            )
