"""What an exercise is: inputs on which it is checked, and how a function is called with them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple


class Case(NamedTuple):
    """One input of a check.

    Parameters
    ----------
    arguments : mapping of str to Any
        What the reader's function is called with.
    about : str
        The input in words, for arguments that can't be printed.
    """

    arguments: Mapping[str, Any]
    about: str = ""


class Exercise(NamedTuple):
    """How one exercise is checked.

    Parameters
    ----------
    cases : callable
        Returns the check's inputs, the smallest first.
    run : callable
        Calls a function with one input's arguments and returns the values that are compared.
    quantities : sequence of str
        What these values are.
    praise : str
        What is said about the right function.
    tolerance : float
        Relative difference that counts as equal.
    large_case : callable, optional
        Returns an input so large that a slow function takes too long. Only a function that is right
        for all other inputs gets it.
    """

    cases: Callable[[], Sequence[Case]]
    run: Callable[..., Sequence[Any]]
    quantities: Sequence[str]
    praise: str
    tolerance: float = 0.0
    large_case: Callable[[], Case] | None = None


class WrongKindError(Exception):
    """Something else comes back than the exercise asks for; the message is the hint."""
