"""Declare settings and check their values.

A wrong value raises a ValueError of one line, which names the setting, its value and what is
allowed.

A setting at its default isn't part of a run's hash (`study.identity`). So a new setting whose
default changes nothing leaves all earlier runs as they are. If you change a default, increase
`NUMERICS`, because earlier runs that left it at its default had another value.
"""

import reprlib
from collections.abc import Sequence
from dataclasses import field, fields
from math import inf, isfinite
from numbers import Integral
from typing import Any

MOST_LISTED = 3  # things of a kind that a message lists; it only counts the others


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


# A list that contains another one many times takes little memory, but its `repr` may be longer than
# any memory.
_shortened = reprlib.Repr()
_shortened.maxlevel = 3
_shortened.maxlist = _shortened.maxdict = 30
_shortened.maxstring = _shortened.maxother = _shortened.maxlong = 1000  # `quoted` cuts them


def quoted(value: object) -> str:
    """Return a value as messages show it: on one line and shortened.

    Parameters
    ----------
    value : object
        Any value.

    Returns
    -------
    str
        At most 80 characters.
    """
    text = _shortened.repr(value)
    return text if len(text) <= 80 else f"{text[:60]}..."


def listed(items: Sequence[str], most: int = MOST_LISTED, separator: str = ", ") -> str:
    """Return the first of some texts in a row, and how many more there are.

    Parameters
    ----------
    items : sequence of str
        The texts, one or more.
    most : int
        How many of them are listed.
    separator : str
        What comes between two of them.

    Returns
    -------
    str
        Such as ``"a, b, c, and 2 more"``.
    """
    parts = list(items[:most])
    if len(items) > most:
        parts.append(f"and {len(items) - most} more")
    return separator.join(parts)


def check_choice(name: str, value: object, choices: Sequence) -> None:
    """Check a value that must be one of a few.

    Parameters
    ----------
    name : str
        What messages call it.
    value : object
        The value.
    choices : sequence
        The values that are allowed, all of one type.

    Raises
    ------
    ValueError
        If it is none of them, or equal to one but of another type.
    """
    if not isinstance(value, type(choices[0])) or value not in choices:
        allowed = ", ".join(map(str, choices))
        raise ValueError(f"{name} {quoted(value)}: must be one of {allowed}")


def check_number(name: str, value: float, low: float, high: float = inf) -> None:
    """Check a number.

    Parameters
    ----------
    name : str
        What messages call it.
    value : float
        The value.
    low, high : float
        The lowest and the highest value that are allowed.

    Raises
    ------
    ValueError
        If it is no number, not finite, or out of range.
    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or abs(value) == inf or value != value:  # an int may be too large for a float
        raise ValueError(f"{name} {quoted(value)}: must be a finite number")
    if not low <= value <= high:
        most = f", at most {high:g}" if isfinite(high) else ""
        raise ValueError(f"{name} {quoted(value)}: must be at least {low:g}{most}")


def check_whole(name: str, value: int, low: int, high: float = inf) -> None:
    """Check a whole number.

    Parameters
    ----------
    name : str
        What messages call it.
    value : int
        The value.
    low, high : float
        The lowest and the highest value that are allowed.

    Raises
    ------
    ValueError
        If it is out of range, or isn't an int of Python's or numpy's. 1.0 is a float.
    """
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ValueError(f"{name} {quoted(value)}: must be a whole number")
    check_number(name, int(value), low, high)
