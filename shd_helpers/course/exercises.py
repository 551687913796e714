"""Check what the reader of notebooks 1 to 4 writes: right, or a hint that fits the mistake.

A common mistake is a change in the text of the notebook's own solution; exercises.yaml lists these
changes, each with its hint. A check calls the reader's function, the solution, and then the changed
solutions until one of them computes the same as the reader's. The inputs are small multiples of
powers of two, so that every correct order of a sum gives the same bits.
"""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from shd_helpers.course import my_network
from shd_helpers.extras import from_extra

with from_extra("study"):
    from ruamel.yaml import YAML

UNWRITTEN = "your lines go here"  # what an untouched function raises


class Exercise(NamedTuple):
    """How one exercise is checked.

    Parameters
    ----------
    run : callable
        Calls a function with the check's inputs and returns the values that are compared.
    praise : str
        What is said about the right function.
    tolerance : float
        Relative difference that counts as equal.
    """

    run: Callable[[Callable], Sequence[Any]]
    praise: str
    tolerance: float = 0.0


def check(function: Callable, solution: Callable) -> Callable:
    """Print whether the reader's function is right; return the one that the notebook goes on with.

    Parameters
    ----------
    function : callable
        What the reader wrote. If it still raises NotImplementedError, it counts as not tried yet.
    solution : callable
        The notebook's own, whose name is that of the exercise with ``_solution``.

    Returns
    -------
    callable
        The reader's function if it is right, else the solution.
    """
    verdict = feedback(function, solution)
    if not verdict.startswith("right"):
        print(f"{verdict}\nThe notebook goes on with the study's own.")
        return solution
    print(verdict)
    _keep(function, solution)
    return function


def _keep(function: Callable, solution: Callable) -> None:
    """Keep a right function's text for the reader's own file, if it needs nothing else there."""
    name = function.__name__
    try:
        text = inspect.getsource(function)
    except OSError:  # typed where no text is kept
        return
    alone = dict(my_network.IMPORTED)
    exec(text, alone)
    if feedback(alone[name], solution).startswith("right"):
        my_network.keep(name, text)
    else:
        print("It isn't kept for my_network.py, because it needs something from other cells.")


def feedback(function: Callable, solution: Callable) -> str:
    """Return what to say about the reader's function, compared with the solution.

    Parameters
    ----------
    function, solution : callable
        As in `check`.

    Returns
    -------
    str
        ``not tried yet``, ``not yet right: <hint>`` or ``right: <praise>``.
    """
    name = solution.__name__.removesuffix("_solution")
    exercise = EXERCISES[name]
    if function is solution:
        return "not tried yet. (After a change, run the cell of your function again, too.)"
    try:
        outcome = _outcome(exercise, function)
    except NotImplementedError:
        return "not tried yet."
    if outcome[0] is None:
        return "not yet right: nothing comes back; is there a return?"
    wanted = _outcome(exercise, solution)
    agreements = _agreements(outcome, wanted, exercise.tolerance)
    if all(agreements):
        return f"right: {exercise.praise}"
    # What comes after the first difference is wrong for the same reason.
    first = agreements.index(False)
    return f"not yet right: {_hint(exercise, solution, outcome, wanted, first)}"


def _hint(
    exercise: Exercise, solution: Callable, outcome: Any, wanted: Sequence[Any], first: int
) -> str:
    """Return what to say about an outcome whose value number `first` is the first wrong one."""
    name = solution.__name__.removesuffix("_solution")
    for mistake in MISTAKES[name]:
        mistaken = _outcome(exercise, changed(solution, *mistake["change"]))
        if isinstance(outcome, str):
            is_this_mistake = outcome == mistaken
        else:
            agreements = _agreements(outcome, mistaken, exercise.tolerance)
            is_this_mistake = all(agreements[: first + 1])
        if is_this_mistake:
            return mistake["hint"]
    if isinstance(outcome, str):
        return outcome
    if len(outcome) != len(wanted):
        return f"{len(outcome)} values come out, and {len(wanted)} are asked for."
    return _difference(outcome[first], wanted[first])


def _agreements(values: Sequence[Any], others: Sequence[Any], tolerance: float) -> list[bool]:
    """Return for each pair of values whether they agree; one False if there are more of one."""
    if len(values) != len(others):
        return [False]
    return [_same(value, other, tolerance) for value, other in zip(values, others, strict=True)]


def _outcome(exercise: Exercise, function: Callable) -> Sequence[Any]:
    """Return the values that a function computes for the check's inputs, or the error it raises."""
    try:
        return [*exercise.run(function)]
    except Exception as error:  # whatever a reader may write
        if isinstance(error, NotImplementedError) and str(error) == UNWRITTEN:
            raise
        return f"it stops with {type(error).__name__}: {error}"


def changed(function: Callable, old: str, new: str) -> Callable:
    """Return a function whose text is that of another one with a small change.

    Parameters
    ----------
    function : callable
        The other function; its text must be available.
    old, new : str
        What is replaced, and by what.

    Returns
    -------
    callable
        The changed function.

    Raises
    ------
    ValueError
        If the function's text doesn't have `old`.
    """
    text = inspect.getsource(function)
    if old not in text:
        raise ValueError(f"{function.__name__}: has no {old!r}")
    names = dict(function.__globals__)
    exec(text.replace(old, new), names)
    return names[function.__name__]


def _array(value: Any) -> np.ndarray | None:
    """Return numbers as an array; None if it is something else."""
    if isinstance(value, torch.Tensor):
        value = value.detach()
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError):
        return None


def _same(value: Any, other: Any, tolerance: float) -> bool:
    numbers = _array(value)
    wanted = _array(other)
    if numbers is None or wanted is None or numbers.shape != wanted.shape:
        return False
    return np.allclose(numbers, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)


def _difference(value: Any, wanted: Any) -> str:
    """Say in what a value differs from the wanted one."""
    numbers = _array(value)
    right = np.asarray(_array(wanted))
    if numbers is None:
        return f"no numbers come out but {type(value).__name__}."
    if numbers.shape != right.shape:
        return f"the shape {numbers.shape} comes out, and {right.shape} is asked for."
    index = np.unravel_index(np.argmax(numbers != right), right.shape)
    return f"{numbers[index]:g} comes out where {right[index]:g} is right; read the task again."


def _pool(function: Callable) -> list:
    entries = np.random.default_rng(0).random((2, 14, 11)) < 0.4  # no whole number of blocks
    pooled = [function(entries[0], 3, 2, 2), function(entries[1], 2, 5, 3)]
    if isinstance(pooled[0], list):
        raise TypeError("a list comes back; return an array")
    return pooled


class _Spike(torch.autograd.Function):
    """A step whose gradient is replaced by a power of two."""

    @staticmethod
    def forward(ctx: Any, distance: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(distance)
        return (distance > 0).float()

    @staticmethod
    def backward(ctx: Any, *errors: torch.Tensor) -> torch.Tensor:
        (distance,) = ctx.saved_tensors
        return errors[0] * torch.where(distance.abs() < 0.5, 1.0, 0.25)


def _lif(function: Callable) -> list:
    """Return spikes and membranes for two utterances, and the gradient of their currents."""
    currents = torch.randint(-4, 20, (7, 2, 4), generator=torch.Generator().manual_seed(0)) / 16
    currents[:2, 0, 0] = torch.tensor([1.0, 0.5])  # just at the threshold
    returned = function(currents.requires_grad_(), 0.75, _Spike.apply)
    if returned is None:
        return [None] * 3
    if isinstance(returned, torch.Tensor):
        raise TypeError("one tensor comes back; return two: spikes, membranes")
    spikes, membranes = returned
    if isinstance(spikes, torch.Tensor) and spikes.requires_grad:
        errors = torch.arange(spikes.numel()).reshape(spikes.shape) % 5 - 2.0
        (spikes * errors).sum().backward()
    return [spikes, membranes, 0.0 if currents.grad is None else currents.grad]


def _surrogate_gradient(function: Callable) -> list:
    distance = torch.tensor([-3.5, -1.5, -0.5, 0.0, 0.5, 1.5, 3.5])
    error = torch.tensor([1.0, -0.5, 0.75, 0.25, 2.0, -3.0, 1.5])
    return [function(error, distance, 2.0), function(error, 2 * distance, 1.0)]


def _gradient_by_hand(function: Callable) -> list:
    return [function([1.0, -0.5, 2.0], [0.25, 1.0, 0.0625], [0.5, 1.0, 2.0], 0.75)]


def _train_epoch(function: Callable) -> list:
    """Return weights and loss after three batches, of which the last one is smaller."""
    generator = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 2, (6, 5, 4), generator=generator).float()
    start = torch.randint(-12, 24, (4, 3), generator=generator) / 16
    weight = torch.nn.Parameter(start.clone())
    labels = torch.tensor([0, 2, 1, 1, 0])
    batches = [(frames[:, i], labels[i]) for i in torch.arange(5).split(2)]
    optimizer = torch.optim.SGD([weight], lr=0.25)
    loss = function(lambda x: _Spike.apply(x @ weight - 1), batches, optimizer)
    if loss is None:
        return [None if torch.equal(weight, start) else weight, np.nan]
    if isinstance(loss, torch.Tensor):
        raise TypeError("the loss is a tensor; return a number: loss.item()")
    return [weight, loss]


def _interval_by_speaker(function: Callable) -> Sequence:
    speaker = np.repeat([0, 3, 4, 7, 9], [4, 8, 4, 16, 8])
    chance_of_speaker = np.array([0.9, 0.7, 0.2, 0.7, 0.5])[speaker // 2]
    is_right = np.random.default_rng(0).random(40) < chance_of_speaker
    returned = function(is_right, speaker)
    if returned is None:
        return [None, None]
    return [*np.atleast_1d(returned)]


EXERCISES = {
    "pool": Exercise(_pool, "your events are ours, to the last one."),
    "lif": Exercise(_lif, "your spikes are ours, to the last bit."),
    "gradient_by_hand": Exercise(_gradient_by_hand, "your gradient is ours, to the last bit."),
    "surrogate_gradient": Exercise(_surrogate_gradient, "your gradient is ours, to the last bit."),
    "train_epoch": Exercise(_train_epoch, "your weights and your loss are ours.", 1e-5),
    "interval_by_speaker": Exercise(_interval_by_speaker, "your interval is ours.", 1e-4),
}
# For each exercise: hints, and the change of the solution's text that makes the mistake.
MISTAKES = YAML(typ="safe", pure=True).load(Path(__file__).with_name("exercises.yaml"))
