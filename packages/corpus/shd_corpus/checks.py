"""Check values, and say in one line what is wrong with them and what is allowed."""

import reprlib
from collections.abc import Sequence
from math import inf, isfinite
from numbers import Integral


class DatasetError(ValueError):
    """A data set can't be used; the message names the file and the remedy."""


# A list that contains another one many times takes little memory, but its `repr` may be longer than
# any memory.
_shortened = reprlib.Repr()
_shortened.maxlevel = 3
_shortened.maxlist = _shortened.maxdict = 30
_shortened.maxstring = _shortened.maxother = _shortened.maxlong = 1000  # `quoted` cuts them


def quoted(value: object) -> str:
    """Return a value as messages show it: on one line, in at most 80 characters."""
    text = _shortened.repr(value)
    return text if len(text) <= 80 else f"{text[:60]}..."


def listed(items: Sequence[str], most: int = 3, separator: str = ", ") -> str:
    """Return the first texts in a row and how many more there are: ``"a, b, c, and 2 more"``."""
    parts = list(items[:most])
    if len(items) > most:
        parts.append(f"and {len(items) - most} more")
    return separator.join(parts)


def check_choice(name: str, value: object, choices: Sequence) -> None:
    """Raise ValueError if a value isn't one of a few, all of one type. Messages call it `name`."""
    if not isinstance(value, type(choices[0])) or value not in choices:
        allowed = ", ".join(map(str, choices))
        raise ValueError(f"{name} {quoted(value)}: must be one of {allowed}")


def check_number(name: str, value: float, low: float, high: float = inf) -> None:
    """Raise ValueError if a value is no finite number between `low` and `high`, both included."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or abs(value) == inf or value != value:  # an int may be too large for a float
        raise ValueError(f"{name} {quoted(value)}: must be a finite number")
    if not low <= value <= high:
        most = f", at most {high:g}" if isfinite(high) else ""
        raise ValueError(f"{name} {quoted(value)}: must be at least {low:g}{most}")


def check_whole(name: str, value: int, low: int, high: float = inf) -> None:
    """Raise ValueError if a value is no int of Python's or numpy's in this range (1.0 is not)."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise ValueError(f"{name} {quoted(value)}: must be a whole number")
    check_number(name, int(value), low, high)
