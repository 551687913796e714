"""What the reader of notebooks 1 to 4 writes, checked: right, or a hint that fits the mistake.

A usual mistake is a change in the text of the notebook's own solution: exercises.yaml lists them.
The checks' inputs are small multiples of powers of two, so that every correct order of sums gives
the same bits.
"""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from ruamel.yaml import YAML

from shd_helpers.course import my_network

UNWRITTEN = "your lines go here"  # what an untouched function says


class Exercise(NamedTuple):
    """What a function makes of the check's inputs, and what is said about it."""

    run: Callable[[Callable], Sequence[Any]]
    praise: str
    tolerance: float = 0.0  # relative


def check(function: Callable, solution: Callable) -> Callable:
    """Print what is to be said about the reader's function; return the one to go on with.

    That is the reader's if it is right, else the notebook's own `solution`, whose name is the
    exercise's with ``_solution``. A function that still raises NotImplementedError counts as not
    tried yet.
    """
    verdict = judge(function, solution)
    is_right = verdict.startswith("right")
    print(verdict if is_right else f"{verdict}\nThe notebook goes on with the study's own.")
    if is_right:
        _keep(function, solution)
    return function if is_right else solution


def _keep(function: Callable, solution: Callable) -> None:
    """Keep a right function's text for the reader's own file, if it needs nothing else there."""
    name, alone = function.__name__, {**my_network.IMPORTED}
    try:
        text = inspect.getsource(function)
    except OSError:  # typed where no text is kept
        return
    exec(text, alone)
    if judge(alone[name], solution).startswith("right"):
        my_network.keep(name, text)
    else:
        print("It isn't kept for my_network.py, for it needs what stands in other cells.")


def judge(function: Callable, solution: Callable) -> str:
    """Return ``not tried yet``, ``not yet right: <hint>`` or ``right: <praise>``; see `check`."""
    name = solution.__name__.removesuffix("_solution")
    exercise = EXERCISES[name]
    if function is solution:
        return "not tried yet. (After a change, run the cell of your function again, too.)"
    try:
        found = _outcome(exercise, function)
    except NotImplementedError:
        return "not tried yet."
    if found[0] is None:
        return "not yet right: nothing comes back; is there a return?"
    wanted = _outcome(exercise, solution)

    def agree(one: Sequence[Any], other: Sequence[Any]) -> list[bool]:
        if len(one) != len(other):
            return [False]
        return [_same(*pair, exercise.tolerance) for pair in zip(one, other, strict=True)]

    if all(right := agree(found, wanted)):
        return f"right: {exercise.praise}"
    first = right.index(False)  # what comes after it is wrong for the same reason
    for mistake in MISTAKES[name]:
        other = _outcome(exercise, changed(solution, *mistake["change"]))
        if found == other if isinstance(found, str) else all(agree(found, other)[: first + 1]):
            return f"not yet right: {mistake['hint']}"
    if isinstance(found, str):
        return f"not yet right: {found}"
    if len(found) != len(wanted):
        return f"not yet right: {len(found)} values come out, and {len(wanted)} are asked for."
    return f"not yet right: {_difference(found[first], wanted[first])}"


def _outcome(exercise: Exercise, function: Callable) -> Sequence[Any]:
    """Return what a function makes of the check's inputs, or by which error it stops."""
    try:
        return [*exercise.run(function)]
    except Exception as error:  # whatever a reader may write
        if isinstance(error, NotImplementedError) and str(error) == UNWRITTEN:
            raise
        return f"it stops with {type(error).__name__}: {error}"


def changed(function: Callable, old: str, new: str) -> Callable:
    """Return a function with one text in the place of another."""
    text = inspect.getsource(function)
    if old not in text:
        raise ValueError(f"{function.__name__}: has no {old!r}")
    names = dict(function.__globals__)
    exec(text.replace(old, new), names)
    return names[function.__name__]


def _array(part: Any) -> np.ndarray | None:
    """Return numbers as an array; None if it is something else."""
    part = part.detach() if isinstance(part, torch.Tensor) else part
    try:
        return np.asarray(part, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError):
        return None


def _same(part: Any, other: Any, tolerance: float) -> bool:
    one, two = _array(part), _array(other)
    if one is None or two is None or one.shape != two.shape:
        return False
    return np.allclose(one, two, rtol=tolerance, atol=tolerance, equal_nan=True)


def _difference(part: Any, wanted: Any) -> str:
    found, right = _array(part), np.asarray(_array(wanted))
    if found is None:
        return f"no numbers come out but {type(part).__name__}."
    if found.shape != right.shape:
        return f"the shape {found.shape} comes out, and {right.shape} is asked for."
    place = np.unravel_index(np.argmax(found != right), right.shape)
    return f"{found[place]:g} stands where {right[place]:g} is right; read the task again."


def _pool(function: Callable) -> list:
    entries = np.random.default_rng(0).random((2, 14, 11)) < 0.4  # no whole number of blocks
    found = [function(entries[0], 3, 2, 2), function(entries[1], 2, 5, 3)]
    if isinstance(found[0], list):
        raise TypeError("a list comes back; return an array")
    return found


class _Spike(torch.autograd.Function):
    """A step that is lent a power of two as its gradient."""

    @staticmethod
    def forward(ctx: Any, distance: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(distance)
        return (distance > 0).float()

    @staticmethod
    def backward(ctx: Any, *errors: torch.Tensor) -> torch.Tensor:
        (distance,) = ctx.saved_tensors
        return errors[0] * torch.where(distance.abs() < 0.5, 1.0, 0.25)


def _lif(function: Callable) -> list:
    """Give spikes and membranes of two words' neurons, and the gradient by their currents."""
    currents = torch.randint(-4, 20, (7, 2, 4), generator=torch.Generator().manual_seed(0)) / 16
    currents[:2, 0, 0] = torch.tensor([1.0, 0.5])  # just at the threshold
    found = function(currents.requires_grad_(), 0.75, _Spike.apply)
    if found is None:
        return [None] * 3
    if isinstance(found, torch.Tensor):
        raise TypeError("one tensor comes back; return two: spikes, membranes")
    spikes, membranes = found
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
    """Give weights and loss after three batches, the last of them smaller."""
    generator = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 2, (6, 5, 4), generator=generator).float()
    start = torch.randint(-12, 24, (4, 3), generator=generator) / 16
    weight, labels = torch.nn.Parameter(start.clone()), torch.tensor([0, 2, 1, 1, 0])
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
    right = np.random.default_rng(0).random(40) < np.array([0.9, 0.7, 0.2, 0.7, 0.5])[speaker // 2]
    found = function(right, speaker)
    return [None, None] if found is None else [*np.atleast_1d(found)]


EXERCISES = {
    "pool": Exercise(_pool, "your events are ours, to the last one."),
    "lif": Exercise(_lif, "your spikes are ours, to the last bit."),
    "gradient_by_hand": Exercise(_gradient_by_hand, "your gradient is ours, to the last bit."),
    "surrogate_gradient": Exercise(_surrogate_gradient, "your gradient is ours, to the last bit."),
    "train_epoch": Exercise(_train_epoch, "your weights and your loss are ours.", 1e-5),
    "interval_by_speaker": Exercise(_interval_by_speaker, "your interval is ours.", 1e-4),
}
# by exercise: hints, and a text of the solution with what a mistake puts in its place
MISTAKES = YAML(typ="safe", pure=True).load(Path(__file__).with_name("exercises.yaml"))
