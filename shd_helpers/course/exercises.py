"""Check what the reader of notebooks 1 to 4 writes: right, or a hint that fits the mistake.

A common mistake is a change in the text of the notebook's own solution; exercises.yaml lists these
changes, each with its hint. A check calls the reader's function, the solution, and then the changed
solutions until one of them computes the same as the reader's. The inputs are small multiples of
powers of two, so that every correct order of a sum gives the same bits. They begin with the
smallest, so that the first one that fails is short enough to be shown.
"""

import ast
import inspect
import linecache
import textwrap
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from shd_helpers.course import my_network
from shd_helpers.extras import from_extra

with from_extra("study"):
    from ruamel.yaml import YAML

UNWRITTEN = "your lines go here"  # what an untouched function raises
MOST_SHOWN = 24  # numbers of an example that a message shows


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
        Returns the check's inputs, the smallest first; new ones each time, because a function may
        change its arguments.
    run : callable
        Calls a function with one input's arguments and returns the values that are compared.
    quantities : sequence of str
        What these values are.
    praise : str
        What is said about the right function.
    tolerance : float
        Relative difference that counts as equal.
    """

    cases: Callable[[], Sequence[Case]]
    run: Callable[..., Sequence[Any]]
    quantities: Sequence[str]
    praise: str
    tolerance: float = 0.0


class Failure(NamedTuple):
    """The error that a function raised instead of returning values.

    Parameters
    ----------
    text : str
        What happened.
    line : str
        Number and text of the line of the reader's own code; empty if it isn't known.
    """

    text: str
    line: str = ""


class WrongKindError(Exception):
    """Something else comes back than the exercise asks for; the message is the hint."""


Outcome = Sequence[Any] | Failure  # for one case: the values, or the error


def check(function: Callable, solution: Callable) -> Callable:
    """Print whether the reader's function is right; return the one that the notebook goes on with.

    Parameters
    ----------
    function : callable
        What the reader wrote, a function or a class. If it still raises NotImplementedError, it
        counts as not tried yet.
    solution : callable
        The notebook's own, whose name is that of the exercise with ``_solution``.

    Returns
    -------
    callable
        The reader's function if it is right, else the solution.
    """
    name = _exercise_name(solution)
    verdict = feedback(function, solution)
    print(f"{name}: {verdict}")
    if not verdict.startswith("right"):
        print("The notebook goes on with the study's own solution.")
        return solution
    _keep(function, solution)
    return function


def check_answer(name: str, answer: Any, right: Any, hint: str) -> None:
    """Print whether the reader's answer to a question is right.

    Parameters
    ----------
    name : str
        The name of the answer in the notebook.
    answer : Any
        The reader's answer; None if there is none yet.
    right : Any
        The right answer.
    hint : str
        What helps with a wrong answer.
    """
    if answer is None:
        print(f"{name}: not tried yet.")
    elif _same_answer(answer, right):
        print(f"{name}: right, it is {right}.")
    else:
        print(f"{name}: {answer!r} is not yet right: {hint}")


def _same_answer(answer: Any, right: Any) -> bool:
    """Return whether an answer is the right text, or the right number except for rounding."""
    if isinstance(right, str) or isinstance(answer, str):
        return answer == right
    numbers = _array(answer)
    return numbers is not None and numbers.shape == () and bool(np.isclose(numbers, right))


def _exercise_name(solution: Callable) -> str:
    """Return an exercise's name, which its solution's name begins with."""
    return solution.__name__.removesuffix("_solution")


def _keep(function: Callable, solution: Callable) -> None:
    """Keep a right function's text for the reader's own file, if it needs nothing else there."""
    name = _exercise_name(solution)
    text = source_of(function)
    if text is None:  # typed where no text is kept
        return
    alone = my_network.namespace()
    exec(text, alone)
    written = alone.get(function.__name__, solution)
    if feedback(written, solution).startswith("right"):
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
        ``not tried yet``, ``not yet right: <hint>`` with the smallest input that fails, or
        ``right: <praise>``.
    """
    exercise = EXERCISES[_exercise_name(solution)]
    if function is solution:
        return "not tried yet. (After a change, run the cell of your function again, too.)"
    try:
        outcomes = _outcomes(exercise, function)
    except NotImplementedError:
        return "not tried yet."
    wanted = _outcomes(exercise, solution)
    failing = _first_difference(outcomes, wanted, exercise)
    if failing is None:
        return f"right: {exercise.praise}"
    case, quantity = failing
    outcome = outcomes[case]
    if not isinstance(outcome, Failure) and outcome[0] is None:
        return "not yet right: nothing comes back; is there a return?"
    hint = _known_hint(exercise, solution, outcomes, quantity)
    if hint is None:
        hint = _description(exercise, outcome, wanted[case], quantity)
    example = _example(exercise, case, outcome, wanted[case], quantity)
    return f"not yet right: {hint}\n{example}"


def _known_hint(
    exercise: Exercise, solution: Callable, outcomes: Sequence[Outcome], quantity: int
) -> str | None:
    """Return the hint for a common mistake that computes the same; None if there is none.

    What comes after the first wrong quantity is wrong for the same reason. So a mistake that agrees
    up to there fits if no mistake agrees in everything.
    """
    mistakes = MISTAKES[_exercise_name(solution)]
    mistaken = [_outcomes(exercise, changed(solution, *each["change"])) for each in mistakes]
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


def _outcomes(exercise: Exercise, function: Callable) -> list[Outcome]:
    """Return for each case the values that a function computes, or the error it raises."""
    outcomes: list[Outcome] = []
    for case in exercise.cases():
        try:
            outcomes.append([*exercise.run(function, **case.arguments)])
        except WrongKindError as error:
            outcomes.append(Failure(str(error)))
        except Exception as error:  # whatever a reader may write
            if isinstance(error, NotImplementedError) and str(error) == UNWRITTEN:
                raise
            text = f"it stops with {type(error).__name__}: {error}"
            outcomes.append(Failure(text, _line_of(error, function)))
    return outcomes


def _line_of(error: Exception, function: Callable) -> str:
    """Return the line of the reader's own code at which an error arose; empty if unknown."""
    file = _file_of(function)
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    if not own:
        return ""
    place = f"line {own[-1].lineno}"
    return f"{place}: {own[-1].line}" if own[-1].line else f"{place}."


def _code_of(function: Callable) -> Any:
    """Return the code of a function, or of a class's first method; None if it has none."""
    candidates = [function, *vars(function).values()] if inspect.isclass(function) else [function]
    codes = [candidate.__code__ for candidate in candidates if hasattr(candidate, "__code__")]
    return codes[0] if codes else None


def _file_of(function: Callable) -> str | None:
    """Return the file, or the notebook's cell, that a function was written in."""
    code = _code_of(function)
    return code.co_filename if code else None


def source_of(function: Callable) -> str | None:
    """Return the text of a function or a class, also of one from a notebook's cell.

    Python's `inspect` finds no class of a notebook.

    Parameters
    ----------
    function : callable
        A function or a class.

    Returns
    -------
    str or None
        None if the text isn't known.
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
    """Return a function whose text is that of another one with a small change.

    Parameters
    ----------
    function : callable
        The other function, or a class; its text must be available.
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
    text = source_of(function) or ""
    if old not in text:
        raise ValueError(f"{function.__name__}: has no {old!r}")
    names = dict(_globals_of(function))
    exec(text.replace(old, new), names)
    return names[function.__name__]


def _globals_of(function: Callable) -> dict[str, Any]:
    """Return the names that a function, or a class's methods, may use."""
    if not inspect.isclass(function):
        return function.__globals__
    methods = [value for value in vars(function).values() if inspect.isfunction(value)]
    return methods[0].__globals__


def _array(value: Any) -> np.ndarray | None:
    """Return numbers as an array; None if it is something else."""
    if isinstance(value, torch.Tensor):
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
        return f"{len(outcome)} values come out, and {len(wanted)} are asked for."
    name = exercise.quantities[quantity]
    value = outcome[quantity]
    right = wanted[quantity]
    numbers = _array(value)
    if isinstance(right, str):
        return f"{name}: {value} where {right} is right; read the task again."
    if numbers is None:
        return f"{name}: no numbers come out but {type(value).__name__}."
    right_numbers = np.asarray(_array(right))
    if numbers.shape != right_numbers.shape:
        return f"{name}: the shape {numbers.shape} comes out, and {right_numbers.shape} is right."
    return f"{name}: the shape is right, the numbers aren't; read the task again."


def _example(
    exercise: Exercise, case: int, outcome: Outcome, wanted: Outcome, quantity: int
) -> str:
    """Show the input at which the reader's function fails, and what it computes there."""
    there = exercise.cases()[case]
    shown = {name: _shown(value) for name, value in there.arguments.items()}
    inputs = ", ".join(f"{name} = {text}" for name, text in shown.items() if text)
    lines = [f"The smallest input of the check that fails: {there.about or inputs}."]
    if isinstance(outcome, Failure):
        if outcome.line:
            lines.append(f"It stops in {outcome.line}")
    elif len(outcome) == len(wanted):
        lines.append(
            _comparison(exercise.quantities[quantity], outcome[quantity], wanted[quantity])
        )
    return "\n".join(lines)


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


def _pool(
    function: Callable, entries: np.ndarray, steps: int, units: int, threshold: int
) -> list[Any]:
    pooled = function(entries, steps, units, threshold)
    if isinstance(pooled, list):
        raise WrongKindError("a list comes back; return an array.")
    return [pooled]


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


def _lif_cases() -> list[Case]:
    """Return the inputs on which `lif` is checked, the smallest first."""
    many = torch.randint(-4, 20, (7, 2, 4), generator=torch.Generator().manual_seed(0)) / 16
    many[:2, 0, 0] = torch.tensor([1.0, 0.5])  # just at the threshold
    single = torch.tensor([1.0, 0.5, 1.5, 0.25])  # one neuron
    spike = _Spike.apply
    return [
        Case({"currents": single, "beta": 0.75, "spike": spike}),
        Case({"currents": many, "beta": 0.75, "spike": spike}),
    ]


def _lif(function: Callable, currents: torch.Tensor, beta: float, spike: Callable) -> list[Any]:
    """Return spikes and membranes, and the gradient of the currents."""
    currents = currents.clone().requires_grad_()
    returned = function(currents, beta, spike)
    if returned is None:
        return [None] * 3
    if isinstance(returned, torch.Tensor) or len(returned) != 2:
        raise WrongKindError("return two tensors: spikes, membranes.")
    spikes, membranes = returned
    if isinstance(spikes, torch.Tensor) and spikes.requires_grad:
        errors = torch.arange(spikes.numel()).reshape(spikes.shape) % 5 - 2.0
        (spikes * errors).sum().backward()
    return [spikes, membranes, 0.0 if currents.grad is None else currents.grad]


def _surrogate_cases() -> list[Case]:
    """Return the inputs on which `surrogate_gradient` is checked, the smallest first."""
    distance = torch.tensor([-3.5, -1.5, -0.5, 0.0, 0.5, 1.5, 3.5])
    error = torch.tensor([1.0, -0.5, 0.75, 0.25, 2.0, -3.0, 1.5])
    return [
        Case({"error": error[1:4], "distance": distance[1:4], "slope": 2.0}),
        Case({"error": error, "distance": 2 * distance, "slope": 1.0}),
    ]


def _surrogate_gradient(
    function: Callable, error: torch.Tensor, distance: torch.Tensor, slope: float
) -> list[Any]:
    return [function(error, distance, slope)]


def _gradient_cases() -> list[Case]:
    """Return the inputs on which `gradient_by_hand` is checked, the smallest first."""
    errors = [1.0, -0.5, 2.0, 0.25, -1.0]
    lent = [0.25, 1.0, 0.0625, 0.5, 0.125]
    x = [0.5, 1.0, 2.0, 0.0, 1.5]
    return [
        Case({"errors": errors[-n:], "lent": lent[-n:], "x": x[-n:], "beta": 0.75})
        for n in (1, 2, 3, 5)
    ]


def _gradient_by_hand(
    function: Callable, errors: list[float], lent: list[float], x: list[float], beta: float
) -> list[Any]:
    return [function([*errors], [*lent], [*x], beta)]


class _SmallNetwork(torch.nn.Module):
    """One layer without memory: frames (steps, utterances, 4) to class scores (utterances, 3)."""

    def __init__(self, weight: torch.Tensor) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(weight.clone())

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        return _Spike.apply(frames @ self.weight - 1).sum(0)


def _train_epoch_cases() -> list[Case]:
    """Return the inputs on which `train_epoch` is checked, the smallest first."""
    generator = torch.Generator().manual_seed(1)
    frames = torch.randint(0, 2, (6, 5, 4), generator=generator).float()
    weight = torch.randint(-12, 24, (4, 3), generator=generator) / 16
    labels = torch.tensor([0, 2, 1, 1, 0])
    batches = [(frames[:, i], labels[i]) for i in torch.arange(5).split(2)]
    return [
        Case({"weight": weight, "batches": batches[:1]}, "a single batch of two utterances"),
        Case(
            {"weight": weight, "batches": batches},
            "three batches of two, two and one utterances",
        ),
    ]


def _train_epoch(
    function: Callable, weight: torch.Tensor, batches: list[tuple[torch.Tensor, torch.Tensor]]
) -> list[Any]:
    """Return the weights and the loss after all batches."""
    model = _SmallNetwork(weight)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.25)
    loss = function(model, batches, optimizer)
    if loss is None:
        return [None if torch.equal(model.weight, weight) else model.weight, np.nan]
    if isinstance(loss, torch.Tensor):
        raise WrongKindError("the loss is a tensor; return a number: loss.item().")
    return [model.weight, loss]


def _two_layer_cases() -> list[Case]:
    """Return the inputs on which `TwoLayerSNN` is checked, the smallest first."""
    generator = torch.Generator().manual_seed(2)
    frames = torch.randint(0, 2, (8, 3, 4), generator=generator).float()
    return [
        Case(
            {"sizes": (1, 2, 3), "frames": frames[:4, :1, :1]},
            "one input, two hidden neurons, three classes",
        ),
        Case(
            {"sizes": (4, 5, 3), "frames": frames},
            "four inputs, five hidden neurons, three classes",
        ),
    ]


def _two_layers(function: Callable, sizes: tuple[int, int, int], frames: torch.Tensor) -> list[Any]:
    """Return what parameters a network has, its class scores, and the gradients of its weights."""
    model = function(*sizes, 0.75, _Spike.apply)
    parameters = sorted(model.named_parameters())
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():  # the same multiples of 1/8 for every network
        for _, parameter in parameters:
            parameter.copy_(torch.randint(-3, 8, parameter.shape, generator=generator) / 8)
    names = ", ".join(f"{name} {[*parameter.shape]}" for name, parameter in parameters)
    scores = model(frames)
    if scores is None:
        return [None] * 3
    if isinstance(scores, tuple):
        raise WrongKindError("`forward` returns several things; return the class scores alone.")
    gradients = []
    if scores.requires_grad:
        errors = torch.arange(scores.numel()).reshape(scores.shape) % 5 - 2.0
        (scores * errors).sum().backward()
    for _, parameter in parameters:
        gradient = parameter.grad
        gradients.append(torch.zeros_like(parameter) if gradient is None else gradient)
    return [names, scores, torch.cat([each.flatten() for each in gradients])]


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


EXERCISES = {
    "pool": Exercise(_pool_cases, _pool, ["events"], "your events equal those of the solution."),
    "lif": Exercise(
        _lif_cases,
        _lif,
        ["spikes", "membranes", "gradient of the currents"],
        "your spikes equal those of the solution, to the last bit.",
    ),
    "gradient_by_hand": Exercise(
        _gradient_cases,
        _gradient_by_hand,
        ["gradient"],
        "your gradient equals that of the solution, to the last bit.",
    ),
    "surrogate_gradient": Exercise(
        _surrogate_cases,
        _surrogate_gradient,
        ["gradient"],
        "your gradient equals that of the solution, to the last bit.",
    ),
    "TwoLayerSNN": Exercise(
        _two_layer_cases,
        _two_layers,
        ["parameters", "class scores", "gradient of the parameters"],
        "your class scores and gradients equal those of the solution, to the last bit.",
    ),
    "train_epoch": Exercise(
        _train_epoch_cases,
        _train_epoch,
        ["weights after the updates", "mean loss"],
        "your weights and your loss equal those of the solution.",
        1e-5,
    ),
    "interval_by_speaker": Exercise(
        _interval_cases,
        _interval_by_speaker,
        ["mean", "half of the interval"],
        "your interval equals that of the solution.",
        1e-4,
    ),
}
# For each exercise: hints, and the change of the solution's text that makes the mistake.
MISTAKES = YAML(typ="safe", pure=True).load(Path(__file__).with_name("exercises.yaml"))
