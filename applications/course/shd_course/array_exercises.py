"""What an exercise is, and the exercises that need NumPy alone, of notebooks 1, 2, 4 and 8.

An exercise's inputs begin with the smallest, so that the first one that fails is short enough to be
shown.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np


class Case(NamedTuple):
    """One input of a check."""

    arguments: Mapping[str, Any]  # what the reader's function is called with
    about: str = ""  # the input in words, for arguments that can't be printed


class Exercise(NamedTuple):
    """How one exercise is checked."""

    cases: Callable[[], Sequence[Case]]  # returns the check's inputs
    run: Callable[..., Sequence[Any]]  # calls a function and returns the values that are compared
    quantities: Sequence[str]  # what these values are
    praise: str  # what is said about the right function
    tolerance: float = 0.0  # relative difference that counts as equal
    # Returns an input so large that a slow function takes too long. Only a function that is right
    # for all other inputs gets it.
    large_case: Callable[[], Case] | None = None


class WrongKindError(Exception):
    """Something else comes back than the exercise asks for; the message is the hint."""


def _pool_cases() -> list[Case]:
    """Return the inputs on which `pool` is checked, the smallest first."""
    entries = np.random.default_rng(0).random((3, 14, 11)) < 0.4  # no whole number of blocks
    two_blocks = np.array([[1, 0, 0, 0], [0, 1, 0, 1]], dtype=bool)
    return [
        Case({"entries": two_blocks, "steps": 2, "units": 2, "threshold": 2}),
        Case({"entries": two_blocks.T, "steps": 2, "units": 2, "threshold": 1}),
        Case({"entries": entries[2, :5, :4], "steps": 2, "units": 3, "threshold": 2}),
        Case({"entries": entries[0], "steps": 3, "units": 2, "threshold": 2}),
        Case({"entries": entries[1], "steps": 2, "units": 5, "threshold": 3}),
    ]


def _large_pool_case() -> Case:
    """Return utterances of the size of the data set's, as many as show who is slow."""
    entries = np.zeros((50, 1000, 550), dtype=bool)
    active = np.random.default_rng(0).integers(entries.size, size=400_000)
    entries.flat[active] = True
    arguments = {"entries": entries, "steps": 3, "units": 3, "threshold": 2}
    return Case(arguments, "the entries of 50 utterances, each 1000 x 550")


def _pool(
    function: Callable, entries: np.ndarray, steps: int, units: int, threshold: int
) -> list[Any]:
    if entries.ndim == 3:  # utterances first
        return [[function(each, steps, units, threshold) for each in entries]]
    return [function(entries, steps, units, threshold)]


def _gradient_cases() -> list[Case]:
    """Return the inputs on which `gradient_by_hand` is checked, the smallest first."""
    errors = [1.0, -0.5, 2.0, 0.25, -1.0]
    derivatives = [0.25, 1.0, 0.0625, 0.5, 0.125]
    x = [0.5, 1.0, 2.0, 0.0, 1.5]
    return [
        Case({"errors": errors[-n:], "derivatives": derivatives[-n:], "x": x[-n:], "beta": 0.75})
        for n in (1, 2, 3, 5)
    ]


def _gradient_by_hand(
    function: Callable, errors: list[float], derivatives: list[float], x: list[float], beta: float
) -> list[Any]:
    return [function(errors, derivatives, x, beta)]


def _interval_cases() -> list[Case]:
    """Return the inputs on which `interval_by_speaker` is checked, the smallest first."""
    speaker = np.repeat([0, 3, 4, 7, 9], [4, 8, 4, 16, 8])
    chance_of_speaker = np.array([0.9, 0.7, 0.2, 0.7, 0.5])[speaker // 2]
    right = np.random.default_rng(0).random(40) < chance_of_speaker
    few = np.array([1, 1, 0, 1, 1, 1, 0], dtype=bool)
    return [
        Case({"right": few, "speaker": np.array([0, 0, 1, 1, 2, 2, 2])}),
        Case({"right": right, "speaker": speaker}),
    ]


def _interval_by_speaker(function: Callable, right: np.ndarray, speaker: np.ndarray) -> Sequence:
    returned = function(right, speaker)
    if returned is None:
        return [None, None]
    return [*np.atleast_1d(returned)]


def _integer_neuron_cases() -> list[Case]:
    """Return the inputs on which `integer_neuron` is checked, the smallest first."""
    cases = [
        [20, 0],  # leaks
        [-20, 0],  # leaks below zero, where rounding down isn't rounding to zero
        [29, 0],  # just at the threshold
        [40, 0],  # a spike, and its reset
        [40, 120],  # its reset brings the sum back into the range
        [300, 0, -300, 0],  # saturates on both sides
    ]
    cases.append(np.random.default_rng(0).integers(-60, 70, 24).tolist())
    rest = {"bias": 1, "threshold": 30, "shift": 3, "highest": 127}
    return [Case({"sums": sums, **rest}) for sums in cases]


def _integer_neuron(
    function: Callable, sums: list[int], bias: int, threshold: int, shift: int, highest: int
) -> list[Any]:
    return [function(sums, bias, threshold, shift, highest)]


EXERCISES = {
    "pool": Exercise(
        _pool_cases,
        _pool,
        ["events"],
        "your events equal those of the solution.",
        large_case=_large_pool_case,
    ),
    "gradient_by_hand": Exercise(
        _gradient_cases,
        _gradient_by_hand,
        ["gradient"],
        "your gradient equals that of the solution, to the last bit.",
    ),
    "interval_by_speaker": Exercise(
        _interval_cases,
        _interval_by_speaker,
        ["mean", "half of the interval"],
        "your interval equals that of the solution.",
        1e-4,
    ),
    "integer_neuron": Exercise(
        _integer_neuron_cases,
        _integer_neuron,
        ["membranes"],
        "your membranes equal those of the solution, bit for bit.",
    ),
}
