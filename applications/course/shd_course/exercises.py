"""Check what the reader of the notebooks writes: right, or a hint that fits the mistake.

A common mistake is a change in the text of the notebook's own solution; exercises.yaml lists these
changes, each with its hint. A check calls the reader's function, the solution, and then the changed
solutions until one of them computes the same as the reader's. Each call gets copies of the inputs,
and the reader's function must leave them unchanged. The inputs
of each check are in `array_exercises` and `torch_exercises`.
"""

import ast
import contextlib
import copy
import inspect
import linecache
import signal
import sys
import textwrap
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shd_course import array_exercises
from shd_course.array_exercises import Case, Exercise, WrongKindError
from shd_helpers.command import from_extra

TIMES_SLOWER = 20
AT_LEAST_S = 2.0


class TooSlowError(BaseException):
    """A function takes too long; no `Exception`, which the function itself may catch."""


def call_in_time(function: Callable, other: Callable, argument: Any) -> Any:
    """Call a function for at most twenty times as long as another one takes.

    A function that takes longer gets a second chance.
    """
    for _ in range(2):
        start = time.process_time()
        other(argument)
        usual = time.process_time() - start
        limit = max(AT_LEAST_S, TIMES_SLOWER * usual)
        with contextlib.suppress(TooSlowError), _time_limit(limit):
            return function(argument)
    raise TooSlowError(
        f"it takes more than {limit:.1f} s, and the solution takes {usual:.1g} s. Is there a loop "
        "that never ends, or a loop over single entries instead of an operation on whole arrays?"
    )


@contextlib.contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise TooSlowError after some seconds, or at the end where Python can't be interrupted."""
    is_main = threading.current_thread() is threading.main_thread()
    start = time.process_time()
    if is_main and sys.platform != "win32":  # which has no such signal
        before = signal.signal(signal.SIGPROF, _stop)
        try:
            signal.setitimer(signal.ITIMER_PROF, seconds)
            yield
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.signal(signal.SIGPROF, before)
    else:
        yield
    if time.process_time() - start > seconds:
        raise TooSlowError


def _stop(*_: object) -> None:
    raise TooSlowError


with from_extra("study"):
    from ruamel.yaml import YAML

UNWRITTEN = "your lines go here"  # what an untouched function raises
MOST_SHOWN = 24  # numbers of an example that a message shows


class Failure(NamedTuple):
    """The error that a function raised instead of returning values."""

    text: str
    line: str = ""  # number and text of the line of the reader's own code, if it is known


Outcome = Sequence[Any] | Failure  # for one case: the values, or the error


def check(solution: Callable) -> Callable:
    """Print whether the reader's function is right; return the one that the notebook goes on with.

    The reader's function, or class, is the one with the exercise's name in the notebook of the
    solution. If it still raises NotImplementedError, it counts as not tried yet.

    Parameters
    ----------
    solution : callable
        The notebook's own, whose name is that of the exercise with ``_solution``.

    Returns
    -------
    callable
        The reader's function if it is right, else the solution.
    """
    name = _exercise_name(solution)
    function = _written(solution).__globals__.get(name, solution)
    if getattr(function, "__name__", "") == solution.__name__:
        verdict = (
            f"no {name} of yours is defined. Run the cell in which you write it. If it stops with "
            "an error, correct that first."
        )
    else:
        verdict = feedback(function, solution)
    if not verdict.startswith("right"):
        print(f"{name}: {verdict}\nThe notebook goes on with the study's own solution.")
        return solution
    print(f"{name}: {verdict}")
    return function


def check_answer(name: str, answer: Any, right: float, hint: str) -> None:
    """Print whether the reader's answer to a question is right, when rounded to 0.1.

    Parameters
    ----------
    name : str
        The name of the answer in the notebook.
    answer : Any
        The reader's answer; None if there is none yet.
    right : float
        The right answer.
    hint : str
        What helps with a wrong answer.
    """
    if answer is None:
        print(f"{name}: not tried yet.")
        return
    number = _array(answer)
    if number is not None and number.shape == () and round(float(number), 1) == round(right, 1):
        print(f"{name}: right, it is {round(right, 1):g}.")
    else:
        plain = answer.tolist() if hasattr(answer, "tolist") else answer  # no np.float64(...)
        print(f"{name}: {plain!r} is not yet right: {hint}")


def _exercise_name(solution: Callable) -> str:
    """Return an exercise's name, which its solution's name begins with."""
    return solution.__name__.removesuffix("_solution")


def feedback(function: Callable, solution: Callable) -> str:
    """Return what to say about the reader's function, compared with the solution.

    It is ``not tried yet.``, ``not yet right: <hint>`` with the smallest input that fails, or
    ``right: <praise>``.
    """
    exercise = exercise_of(_exercise_name(solution))
    try:
        hint = _hint(exercise, function, solution)
    except NotImplementedError:
        return "not tried yet."
    if hint is None:
        return f"right: {exercise.praise}{_slowness(exercise, function, solution)}"
    return f"not yet right: {hint}"


def _slowness(exercise: Exercise, function: Callable, solution: Callable) -> str:
    """Return a word on the speed of a right function that is slow, else an empty text."""
    if exercise.large_case is None:
        return ""
    case = exercise.large_case()
    try:
        call_in_time(
            partial(_outcome, exercise, function), partial(_outcome, exercise, solution), case
        )
    except TooSlowError as error:
        return f" It is slow, though. For {case.about}, {error}"
    return ""


def _hint(exercise: Exercise, function: Callable, solution: Callable) -> str | None:
    """Return what is wrong with the reader's function and where; None if it is right."""
    cases = exercise.cases()
    outcomes = []
    for case in cases:
        try:
            outcome = call_in_time(
                partial(_outcome, exercise, function), partial(_outcome, exercise, solution), case
            )
        except TooSlowError as error:
            return f"{error}\n{_input_of(case)}"
        outcomes.append(outcome)
    wanted = [_outcome(exercise, solution, case) for case in cases]
    failing = _first_difference(outcomes, wanted, exercise)
    if failing is None:
        return None
    first, quantity = failing
    outcome = outcomes[first]
    if not isinstance(outcome, Failure) and outcome[0] is None:
        return "nothing comes back; is there a return?"
    hint = _known_hint(exercise, solution, cases, outcomes, quantity)
    if hint is None:
        hint = _description(exercise, outcome, wanted[first], quantity)
    example = _example(exercise, cases[first], outcome, wanted[first], quantity)
    return f"{hint}\n{example}"


def exercise_of(name: str) -> Exercise:
    """Return how an exercise is checked."""
    if name in array_exercises.EXERCISES:
        return array_exercises.EXERCISES[name]
    from shd_course import torch_exercises  # notebook 1 can be read without torch

    return torch_exercises.EXERCISES[name]


def _known_hint(
    exercise: Exercise,
    solution: Callable,
    cases: Sequence[Case],
    outcomes: Sequence[Outcome],
    quantity: int,
) -> str | None:
    """Return the hint for a common mistake that computes the same; None if there is none.

    What comes after the first wrong quantity is wrong for the same reason. So a mistake that agrees
    up to there fits if no mistake agrees in everything.
    """
    mistakes = MISTAKES[_exercise_name(solution)]
    functions = [changed(solution, *mistake["change"]) for mistake in mistakes]
    mistaken = [[_outcome(exercise, each, case) for case in cases] for each in functions]
    for n_quantities in (len(exercise.quantities), quantity + 1):
        for mistake, those in zip(mistakes, mistaken, strict=True):
            if _agree(outcomes, those, n_quantities, exercise.tolerance):
                return mistake["hint"]
    return None


def _first_difference(
    outcomes: Sequence[Outcome], wanted: Sequence[Outcome], exercise: Exercise
) -> tuple[int, int] | None:
    """Return case and quantity of the first difference; None if there is no difference."""
    for case, (outcome, right) in enumerate(zip(outcomes, wanted, strict=True)):
        for quantity in range(len(exercise.quantities)):
            if not _agree([outcome], [right], quantity + 1, exercise.tolerance):
                return case, quantity
    return None


def _agree(
    outcomes: Sequence[Outcome], others: Sequence[Outcome], n_quantities: int, tolerance: float
) -> bool:
    """Return whether outcomes agree in the first quantities of all cases."""
    for outcome, other in zip(outcomes, others, strict=True):
        if isinstance(outcome, Failure) or isinstance(other, Failure):
            both_fail = isinstance(outcome, Failure) and isinstance(other, Failure)
            if not both_fail or outcome[0] != other[0]:
                return False
            continue
        if len(outcome) != len(other):
            return False
        for k in range(n_quantities):
            if not _same(outcome[k], other[k], tolerance):
                return False
    return True


def _outcome(exercise: Exercise, function: Callable, case: Case) -> Outcome:
    """Return the values that a function computes from copies of an input, or what went wrong."""
    given = copy.deepcopy(case.arguments)
    try:
        values = [*exercise.run(function, **given)]
    except WrongKindError as error:
        return Failure(str(error))
    except Exception as error:  # whatever a reader may write
        if isinstance(error, NotImplementedError) and str(error) == UNWRITTEN:
            raise
        text = f"it stops with {type(error).__name__}: {error}"
        return Failure(text, _line_of(error, function))
    for name, value in case.arguments.items():
        if not _is_unchanged(given[name], value):
            return Failure(f"it changes its argument `{name}`: work on a copy.")
    return values


def _is_unchanged(value: Any, before: Any) -> bool:
    """Return whether an argument is what it was before a call."""
    if isinstance(before, list | tuple):
        return len(value) == len(before) and all(map(_is_unchanged, value, before))
    if hasattr(value, "detach"):  # a tensor
        value = value.detach()
    return callable(before) or np.array_equal(value, before)


def _line_of(error: Exception, function: Callable) -> str:
    """Return the line of the reader's own code at which an error arose; empty if unknown."""
    file = _file_of(function)
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if not own:
        return ""
    place = f"line {own[-1].lineno}"
    return f"{place}: {own[-1].line}" if own[-1].line else f"{place}."


def _written(function: Callable) -> Any:
    """Return a function, or the first method of a class."""
    if inspect.isclass(function):
        return next(filter(inspect.isfunction, vars(function).values()), None)
    return function


def _file_of(function: Callable) -> str | None:
    """Return the file, or the notebook's cell, that a function was written in."""
    code = getattr(_written(function), "__code__", None)
    return code.co_filename if code else None


def source_of(function: Callable) -> str | None:
    """Return the text of a function or a class, also of one from a notebook's cell.

    Python's `inspect` finds no class of a notebook.
    """
    file = _file_of(function)
    lines = linecache.getlines(file) if file else []
    if not lines:
        return None
    if not inspect.isclass(function):
        return textwrap.dedent(inspect.getsource(function))
    for node in ast.walk(ast.parse("".join(lines))):
        if isinstance(node, ast.ClassDef) and node.name == function.__name__:
            return textwrap.dedent("".join(lines[node.lineno - 1 : node.end_lineno]))
    return None


def changed(function: Callable, old: str, new: str) -> Callable:
    """Return a function whose text is that of another one, with `new` in place of `old`."""
    text = source_of(function) or ""
    if old not in text:
        raise ValueError(f"{function.__name__}: has no {old!r}")
    names = dict(_written(function).__globals__)
    exec(text.replace(old, new), names)
    return names[function.__name__]


def _array(value: Any) -> np.ndarray | None:
    """Return numbers as an array; None if it is something else."""
    if hasattr(value, "detach"):  # a tensor, whose module may not be imported yet
        value = value.detach()
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError):
        return None


def _same(value: Any, other: Any, tolerance: float) -> bool:
    if isinstance(other, str):
        return value == other
    numbers = _array(value)
    wanted = _array(other)
    if numbers is None or wanted is None or numbers.shape != wanted.shape:
        return False
    return np.allclose(numbers, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)


def _description(exercise: Exercise, outcome: Outcome, wanted: Outcome, quantity: int) -> str:
    """Say what is wrong with an outcome that no common mistake explains."""
    if isinstance(outcome, Failure):
        return outcome.text
    if len(outcome) != len(wanted):
        values = "value" if len(outcome) == 1 else "values"
        return f"Your function returns {len(outcome)} {values} instead of {len(wanted)}."
    name = exercise.quantities[quantity]
    value = outcome[quantity]
    right = wanted[quantity]
    numbers = _array(value)
    if isinstance(right, str):
        return f"{name}: names or shapes aren't right; read the task again."
    if numbers is None:
        kind = type(value).__name__
        return f"{name}: your function returns an object of type {kind} instead of numbers."
    right_numbers = np.asarray(_array(right))
    if numbers.shape != right_numbers.shape:
        return (
            f"{name}: your function returns the shape {numbers.shape} instead of "
            f"{right_numbers.shape}."
        )
    if numbers.ndim == 0:
        return f"{name}: the number isn't right; read the task again."
    return f"{name}: the shape is right, the numbers aren't; read the task again."


def _example(
    exercise: Exercise, case: Case, outcome: Outcome, wanted: Outcome, quantity: int
) -> str:
    """Show the input at which the reader's function fails, and what it computes there."""
    lines = [_input_of(case)]
    if isinstance(outcome, Failure):
        if outcome.line:
            lines.append(f"It stops in {outcome.line}")
    elif len(outcome) == len(wanted):
        lines.append(
            _comparison(exercise.quantities[quantity], outcome[quantity], wanted[quantity])
        )
    return "\n".join(lines)


def _input_of(case: Case) -> str:
    """Name the input at which the reader's function fails."""
    shown = {name: _shown(value) for name, value in case.arguments.items()}
    inputs = ", ".join(f"{name} = {text}" for name, text in shown.items() if text)
    return f"The smallest input of the check that fails: {case.about or inputs}."


def _comparison(name: str, value: Any, wanted: Any) -> str:
    """Put a value beside the right one: whole if both are short, else the first difference."""
    if isinstance(wanted, str):
        return f"Right {name}: {wanted}. Yours: {value}."
    numbers = _array(value)
    right = np.asarray(_array(wanted))
    if numbers is None or max(numbers.size, right.size) <= MOST_SHOWN:
        yours = _nested(numbers) if numbers is not None else f"a {type(value).__name__}"
        return f"Right {name}: {_shown(wanted)}. Yours: {yours}."
    if numbers.shape != right.shape:
        return f"Right shape of {name}: {right.shape}. Yours: {numbers.shape}."
    first = np.unravel_index(np.argmax(numbers != right), right.shape)
    where = [int(i) for i in first]
    return f"Right {name} at {where}: {right[first]:g}. Yours: {numbers[first]:g}."


def _shown(value: Any) -> str:
    """Return numbers as text, or only their shape if they are many; empty for anything else."""
    numbers = _array(value)
    if numbers is None or value is None:
        return ""
    if numbers.size > MOST_SHOWN:
        return f"an array of shape {numbers.shape}"
    return _nested(numbers)


def _nested(numbers: np.ndarray) -> str:
    """Return an array as nested lists, without superfluous digits."""
    if numbers.ndim == 0:
        return f"{float(numbers):.6g}"
    return f"[{', '.join(_nested(each) for each in numbers)}]"


# For each exercise: hints, and the change of the solution's text that makes the mistake.
MISTAKES = YAML(typ="safe", pure=True).load(Path(__file__).with_name("exercises.yaml"))
