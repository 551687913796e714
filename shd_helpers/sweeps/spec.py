"""A sweep's YAML file: read, checked and spread into points, before anything runs."""

import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

from shd_helpers.events.toy import smoke_sized
from shd_helpers.paths import NOTEBOOKS, ROOT, is_smoke, results_dir, runs_dir
from shd_helpers.source.datasets import NAMED, dataset_name, fingerprint, locate
from shd_helpers.study.identity import check_parameters, code_version, notebook_parameters, run_hash

SWEEPS = ROOT / "sweeps"


class SweepError(ValueError):
    """A sweep that can't start or go on; the message names the file and the key, or the remedy."""


@dataclass(frozen=True)
class RunSpec:
    """One run of a sweep."""

    setting: str  # the point of the grid in words, the same for all seeds
    parameters: dict[str, object]  # all that the notebook has, with `run_name`
    data: dict[str, str]  # from datasets.fingerprint; empty if the notebook has no data set
    hash: str  # from provenance.run_hash

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
    points: list[RunSpec]

    @property
    def table(self) -> Path:
        """Return the table's file."""
        return results_dir() / f"{self.name}.csv"


def read_sweep(name: str | Path, overrides: Mapping[str, object] | None = None) -> Sweep:
    """Read a sweep and check everything that can be known before it runs.

    Parameters
    ----------
    name : str or Path
        A file in ``sweeps/``, without its ending, or the path of a ``.yaml`` file. The file's
        `notebook` is one of the study's, or the path of an ``.ipynb`` from where the file is.
    overrides : mapping, optional
        Values to replace those in the file that are not in the grid. They become part of the
        sweep's name, a data set by its own name, so that nothing is overwritten.

    Raises
    ------
    SweepError
        If a key, a parameter's name or a value's type is wrong; the message names file and key.
    DatasetError
        If a data set can't be found.
    """
    path = Path(name) if str(name).endswith(".yaml") else SWEEPS / f"{name}.yaml"
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        there = ", ".join(sorted(file.stem for file in SWEEPS.glob("*.yaml")))
        raise SweepError(f"{path}: no such file; in sweeps/ there are {there}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SweepError(f"{path}: not YAML ({error})") from error
    _check_layout(path, content)
    fixed, grid, notebook = content["fixed"], content["grid"], content["notebook"]
    notebook = path.parent / notebook if ".ipynb" in notebook else NOTEBOOKS / f"{notebook}.ipynb"
    if not notebook.is_file():
        raise SweepError(f"{path}: notebook: there is no {notebook}")
    defaults = notebook_parameters(notebook)
    for section, key, values in (
        *(("fixed", key, [value]) for key, value in fixed.items()),
        ("seeds", "seed", content["seeds"]),
    ):
        _check_values(f"{path}: {section}.{key}", key, values, defaults, section == "seeds")
    axes = [_axis(f"{path}: grid.{key}", key, values, defaults) for key, values in grid.items()]
    swept = [key for axis in axes for key in {key for _, values in axis for key in values}]
    for key in swept:
        if key in fixed or swept.count(key) > 1:
            raise SweepError(f"{path}: grid: {key} is in fixed, too, or twice in the grid")
    overrides = overrides or {}
    for key, value in overrides.items():
        if key in swept:
            raise SweepError(f"--set {key}: the grid of {path} has it")
        _check_values(f"--set {key}", key, [value], defaults)

    base = defaults | {key: _typed(value, defaults[key]) for key, value in fixed.items()}
    changed = {
        key: _typed(value, defaults[key]) for key, value in overrides.items() if value != base[key]
    }
    name = "_".join([content["name"], *(_words(*item) for item in changed.items())])
    points = list(_points(name, base | changed, axes, content["seeds"], code_version(notebook)))
    if len({point.run_name for point in points}) < len(points):
        raise SweepError(f"{path}: grid: two values that give the same name of a run folder")
    return Sweep(name, notebook.resolve(), points)


def _check_layout(path: Path, content: object) -> None:
    wanted = {"name": str, "notebook": str, "fixed": dict, "grid": dict, "seeds": list}
    if not isinstance(content, dict) or set(content) != set(wanted):
        found = ", ".join(map(str, content)) if isinstance(content, dict) else "none"
        raise SweepError(f"{path}: the keys must be {', '.join(wanted)}; found: {found}")
    for key, kind in wanted.items():
        if not isinstance(content[key], kind):
            raise SweepError(f"{path}: {key}: {content[key]!r} is no {kind.__name__}")
    if not re.fullmatch(r"\w[\w-]*", content["name"]):
        raise SweepError(f"{path}: name: {content['name']!r} must be letters, digits, _ and -")


def _check_values(
    where: str, key: str, values: object, defaults: Mapping[str, object], is_seed: bool = False
) -> None:
    if not isinstance(values, list) or not values or len(set(map(repr, values))) < len(values):
        raise SweepError(f"{where}: {values!r} must be a list of different values")
    if key in ("seed", "run_name") and not is_seed:
        raise SweepError(f"{where}: the sweep itself sets it (seeds: under `seeds`)")
    for value in values:
        try:
            check_parameters({key: value}, defaults)
        except ValueError as error:
            raise SweepError(f"{where}: {error}{_hint(value)}") from None


def _axis(where: str, key: str, axis: object, defaults: Mapping) -> list[tuple[str, dict]]:
    """Return the places of an axis of the grid, checked: name and values of its parameters.

    It is a list of values of one parameter, or, under a name that no parameter has, a mapping from
    the places' names to the values of parameters that go together; what a place leaves out keeps
    its fixed or default value.
    """
    if key in defaults or not isinstance(axis, dict):
        _check_values(where, key, axis, defaults)
        values = [_typed(value, defaults[key]) for value in axis]
        return [(_words(key, value), {key: value}) for value in values]
    if not axis:
        raise SweepError(f"{where}: {axis!r} has no places")
    for name, values in axis.items():
        if not isinstance(values, dict):
            raise SweepError(f"{where}.{name}: {values!r} is no mapping of parameters")
        for parameter, value in values.items():
            _check_values(f"{where}.{name}.{parameter}", parameter, [value], defaults)
    return [
        (_words(key, name), {k: _typed(value, defaults[k]) for k, value in values.items()})
        for name, values in axis.items()
    ]


def _typed(value: object, default: object) -> object:
    """Return YAML's 1 as the notebook's 1.0."""
    return float(value) if isinstance(default, float) else value


def _hint(value: object) -> str:
    """Tell how to write a number so that YAML reads a number."""
    if not re.fullmatch(r"[+-]?\d+(\.\d*)?[eE][+-]?\d+", str(value)):
        return ""
    digits, exponent = re.split("[eE]", str(value))
    point = "" if "." in digits else ".0"
    return f"; YAML reads {value} as text, write {digits}{point}e{int(exponent):+d}"


def _words(key: str, value: object) -> str:
    """Return what a value is called in the name of a file."""
    if key == "dataset":
        return value if value in NAMED else dataset_name(locate(value))
    return f"{key}=" + re.sub(r"[^\w.+-]", "-", str(value))


def _points(
    name: str,
    base: Mapping,
    axes: Sequence[list[tuple[str, dict]]],
    seeds: Sequence[int],
    code: str,
) -> Iterator[RunSpec]:
    small = cache(smoke_sized)  # both read or write whole data sets
    hashed = cache(lambda dataset, language: fingerprint(locate(dataset, language)))
    for places in itertools.product(*axes):
        chosen = {key: value for _, values in places for key, value in values.items()}
        setting = ",".join(words for words, _ in places)
        for seed in seeds:
            run_name = f"sweeps/{name}/{setting},seed={seed}"
            parameters = {**base, **chosen, "seed": seed, "run_name": run_name}
            if is_smoke() and {"dataset", "epochs"} <= parameters.keys():
                sizes = small(parameters["dataset"], parameters["epochs"])
                parameters["dataset"], parameters["epochs"] = sizes
            data = {}
            if "dataset" in parameters:
                data = hashed(parameters["dataset"], parameters.get("language", "english"))
            yield RunSpec(setting, parameters, data, run_hash(parameters, data, code))
