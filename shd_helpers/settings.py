"""Declare settings as fields of dataclasses, and check their values.

A wrong value raises a ValueError of one line, which names the setting, its value and what is
allowed.

A setting at its default isn't part of a run's hash (`study.identity`). So a new setting whose
default changes nothing leaves all earlier runs as they are. If you change a default, increase
`NUMERICS`, because earlier runs that left it at its default had another value.
"""

from dataclasses import field, fields
from typing import Any

import numpy as np

from shd_corpus.checks import check_choice, check_number, check_whole


def setting(default: Any, allowed: tuple) -> Any:
    """Declare a setting as a field of a dataclass, with the values that it may have.

    Parameters
    ----------
    default : str, int or float
        Value of a setting that isn't given.
    allowed : tuple
        For a text, its choices. For a number, the lowest and the highest value, or only the lowest.

    Returns
    -------
    dataclasses.Field
        The field, which `check_settings` checks.
    """
    return field(default=default, metadata={"allowed": allowed})


def from_data(default: Any) -> Any:
    """Declare a field that the data set decides, so that it is no setting of a run.

    It has no name on the command line, and a run's hash contains the data set's content instead.

    Parameters
    ----------
    default : int
        Value of the study's own data sets.

    Returns
    -------
    dataclasses.Field
        The field, which `setting_names` leaves out.
    """
    return field(default=default, metadata={"from_data": True})


def setting_names(kind: Any) -> list[str]:
    """Return the names of a dataclass's fields that are settings.

    Parameters
    ----------
    kind : dataclass
        The class, or an object of it.

    Returns
    -------
    list of str
        All names but those that `from_data` has declared.
    """
    return [each.name for each in fields(kind) if "from_data" not in each.metadata]


def check_settings(settings: Any) -> None:
    """Check truth values, and the settings that were declared by `setting`.

    Numbers of numpy's become Python's, because JSON can't store the former.

    Parameters
    ----------
    settings : dataclass
        An object with the settings.

    Raises
    ------
    ValueError
        If one of them has a value of another type, or one that is not allowed.
    """
    for each in fields(settings):
        value = getattr(settings, each.name)
        if isinstance(value, np.generic):
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
