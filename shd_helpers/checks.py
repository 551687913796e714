"""Checks of parameters: one line that names the parameter, its value and what is allowed."""

from dataclasses import field
from math import inf, isfinite
from typing import Any


def later(default: Any, *, counts_with: str = "") -> Any:
    """Return the field of a dataclass for a setting that joined when there were results.

    A run's hash holds it only where it isn't at its default, which changes nothing: so earlier runs
    stay valid. One that `counts_with` another setting is held, whatever its value, where that other
    one isn't at its default.
    """
    key, value = ("counts_with", counts_with) if counts_with else ("neutral", default)
    return field(default=default, metadata={key: value})


def quoted(value: object) -> str:
    """Return a value as it stands in a message: on one line, and not longer than that."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:60]}..."


def check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    """Raise ValueError if a value is not among the choices."""
    if value not in choices:
        raise ValueError(f"{name} {quoted(value)}: unknown; take one of {', '.join(choices)}")


def check_number(
    name: str, value: float, low: float, high: float = inf, above: bool = False
) -> None:
    """Raise ValueError if a number isn't finite or not in low..high; `above` excludes low."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not is_number or abs(value) == inf or value != value:  # an int may be too large for a float
        raise ValueError(f"{name} {quoted(value)}: must be a finite number")
    if low <= value <= high and not (above and value == low):
        return
    start = f"above {low:g}" if above else f"at least {low:g}"
    raise ValueError(
        f"{name} {quoted(value)}: must be {start}{f', at most {high:g}' * isfinite(high)}"
    )


def check_whole(name: str, value: int, low: int, high: float = inf) -> None:
    """Raise ValueError if a value is no whole number of low..high."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name} {quoted(value)}: must be a whole number")
    check_number(name, value, low, high)


def check_switch(name: str, value: bool) -> None:
    """Raise ValueError if a value is neither True nor False."""
    if not isinstance(value, bool):
        raise ValueError(f"{name} {quoted(value)}: must be True or False")
