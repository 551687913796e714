"""Declare settings as fields of dataclasses, and check their values.

A wrong value raises a ValueError of one line, which names the setting, its value and what is
allowed.

A setting at its default isn't part of a run's hash (`study.recipe.run_hash`). So a new setting
whose default changes nothing leaves all earlier runs as they are. If you change a default, increase
`NUMERICS`, because earlier runs that left it at its default had another value.
"""

from dataclasses import field, fields
from typing import Any

from shd_corpus.checks import check_choice, check_number, check_whole


def setting(default: Any, allowed: tuple) -> Any:
    """Declare a setting as a field of a dataclass, with the values that it may have.

    `allowed` has the choices of a text, or the lowest and perhaps the highest value of a number.
    """
    return field(default=default, metadata={"allowed": allowed})


def from_data(default: Any) -> Any:
    """Declare a field that the data set decides, so that it is no setting of a run.

    It has no name on the command line, and a run's hash contains the data set's content instead.
    """
    return field(default=default, metadata={"from_data": True})


def setting_names(kind: Any) -> list[str]:
    """Return the names of a dataclass's fields that are settings: all but those of `from_data`."""
    return [each.name for each in fields(kind) if "from_data" not in each.metadata]


def check_settings(settings: Any) -> None:
    """Check truth values, and the settings that were declared by `setting`.

    Numbers of numpy's become Python's, because JSON can't store the former. Raise ValueError if a
    value has another type or isn't allowed.
    """
    for each in fields(settings):
        value = getattr(settings, each.name)
        if type(value).__module__ == "numpy" and value.ndim == 0:  # numpy isn't imported here
            value = value.item()
            object.__setattr__(settings, each.name, value)  # it is frozen
        allowed = each.metadata.get("allowed")
        if isinstance(each.default, bool):
            check_choice(each.name, value, (True, False))
        elif allowed and isinstance(each.default, str):
            check_choice(each.name, value, allowed)
        elif allowed:
            check = check_whole if isinstance(each.default, int) else check_number
            check(each.name, value, *allowed)
