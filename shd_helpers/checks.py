"""Settings and their checks: one line that names the setting, its value and what is allowed."""

import reprlib
from collections.abc import Sequence
from dataclasses import field, fields
from math import inf, isfinite
from typing import Any


def setting(default: Any, allowed: tuple) -> Any:
    """Return the field of a dataclass for a setting, with a text's choices or a number's limits."""
    return field(default=default, metadata={"allowed": allowed})


def later(default: Any, allowed: tuple = (), *, counts_with: str = "") -> Any:
    """Return the field of a `setting` that joined when there were results.

    A run's hash holds it only where it isn't at its default, which changes nothing: so earlier runs
    stay valid. One that `counts_with` another setting is held, whatever its value, where that other
    one isn't at its default.
    """
    key, value = ("counts_with", counts_with) if counts_with else ("neutral", default)
    return field(default=default, metadata={"allowed": allowed, key: value})


def check_settings(settings: Any) -> None:
    """Raise ValueError if a field of a dataclass holds another kind of value, or one not allowed.

    What has no limits is checked where it is used.
    """
    for each in fields(settings):
        value, allowed = getattr(settings, each.name), each.metadata.get("allowed")
        if isinstance(each.default, bool):
            check_choice(each.name, value, (True, False))
        elif allowed and isinstance(each.default, str):
            check_choice(each.name, value, allowed)
        elif allowed:
            check = check_whole if isinstance(each.default, int) else check_number
            check(each.name, value, *allowed)


class _Repr(reprlib.Repr):
    """Writes values as `repr`, but only so much of them as a message may show.

    A list that contains lists may stand for a text of any length, though it takes little memory.
    """

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = 30
        self.maxstring = self.maxother = self.maxlong = 1000

    def repr_int(self, x: int, level: int) -> str:
        """Describe a number that Python refuses to write because that would take long."""
        is_long = x.bit_length() > 4000
        return f"a whole number of {x.bit_length()} bits" if is_long else repr(x)


_repr = _Repr().repr


def quoted(value: object) -> str:
    """Return a value as it stands in a message: on one line, and not longer than that."""
    text = _repr(value)
    return text if len(text) <= 80 else f"{text[:60]}..."


def check_choice(name: str, value: object, choices: Sequence) -> None:
    """Raise ValueError if a value is not among the choices, or of another type."""
    if not isinstance(value, type(choices[0])) or value not in choices:
        there = ", ".join(map(str, choices))
        raise ValueError(f"{name} {quoted(value)}: must be one of {there}")


def check_number(name: str, value: float, low: float, high: float = inf) -> None:
    """Raise ValueError if a number isn't finite or not in low..high."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or abs(value) == inf or value != value:  # an int may be too large for a float
        raise ValueError(f"{name} {quoted(value)}: must be a finite number")
    if not low <= value <= high:
        most = f", at most {high:g}" * isfinite(high)
        raise ValueError(f"{name} {quoted(value)}: must be at least {low:g}{most}")


def check_whole(name: str, value: int, low: int, high: float = inf) -> None:
    """Raise ValueError if a value is no whole number of low..high."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} {quoted(value)}: must be a whole number")
    check_number(name, value, low, high)
