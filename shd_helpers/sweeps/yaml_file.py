"""The YAML file of a sweep, or the line that says what is wrong with it."""

import re
from pathlib import Path
from typing import Any, ClassVar

import yaml

from shd_helpers.checks import check_path, quoted
from shd_helpers.paths import ROOT

SWEEPS = ROOT / "sweeps"


class SweepError(ValueError):
    """A sweep that can't start or go on; the message names the file and the key, or the remedy."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that stands twice; YAML's own loader would silently take the last.

    Numbers and truth values are those of YAML 1.2: for 1.1 `0100` is 64, `1:30` 90, `no` False, and
    `1e-3` a text.
    """

    yaml_implicit_resolvers: ClassVar[dict] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        """Return a mapping with different keys."""
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        for (key, _), value in zip(node.value, keys, strict=True):
            if keys.count(value) > 1:
                problem = f"the key {key.value} stands twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
        return super().construct_mapping(node, deep)


for _kind, _pattern in (
    ("null", r"~|null|"),
    ("bool", r"[Tt]rue|[Ff]alse"),
    ("int", r"[-+]?(0|[1-9][0-9]*)"),
    ("float", r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?"),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_kind}", re.compile(f"({_pattern})$"), None)


def read_yaml(path: Path) -> dict[str, Any]:
    """Return a sweep's file, its keys and their kinds checked; what may be absent is filled in.

    Parameters
    ----------
    path : Path
        The file. Its `plan` isn't read by the sweep: it says what will be compared with what, and
        is written before the runs.

    Raises
    ------
    SweepError
        If it isn't there or isn't such a file.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError("not a file")
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        there = ", ".join(sorted(file.stem for file in SWEEPS.glob("*.yaml")))
        raise SweepError(f"{path}: no such file; in sweeps/ there are {there}") from None
    except (OSError, yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        raise SweepError(f"{path}: not YAML ({' '.join(str(error).split())})") from error
    wanted: dict[str, type | tuple[type, ...]] = {
        "name": str,
        "notebook": str,
        "fixed": dict,
        "grid": dict,
        "seeds": (list, dict),
        "without": list,
        "keep_predictions": bool,
        "plan": dict,
    }
    may_be_absent = {"without": [], "keep_predictions": False, "plan": {}}
    if isinstance(content, dict):
        content = may_be_absent | content
    if not isinstance(content, dict) or set(content) != set(wanted):
        found = ", ".join(map(str, content)) if isinstance(content, dict) else "none"
        raise SweepError(
            f"{path}: the keys must be {', '.join(wanted)} ({', '.join(may_be_absent)} may be "
            f"left out); found: {found}"
        )
    for key, kind in wanted.items():
        if not isinstance(content[key], kind):
            kinds = kind if isinstance(kind, tuple) else (kind,)
            named = " or ".join(kind.__name__ for kind in kinds)
            raise SweepError(f"{path}: {key}: {quoted(content[key])} is no {named}")
    if not re.fullmatch(r"\w[\w-]{0,99}", content["name"]):
        raise SweepError(
            f"{path}: name: {quoted(content['name'])} must be letters, digits, _ and -, 100 at most"
        )
    try:
        check_path("notebook:", content["notebook"])
    except ValueError as error:  # a name that no file can have
        raise SweepError(f"{path}: {error}") from None
    return content


def plan_of(sweep: str) -> dict[str, Any]:
    """Return what a sweep of the study says will be compared: the `plan` in its file.

    Raises
    ------
    SweepError
        As `read_yaml`.
    """
    return read_yaml(SWEEPS / f"{sweep}.yaml")["plan"]


def typed(value: Any, default: object) -> Any:
    """Return YAML's 1 as the notebook's 1.0."""
    is_number = isinstance(default, float) and abs(value) < 1e300  # beyond it may be no float
    return float(value) if is_number else value
