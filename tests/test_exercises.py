"""The exercises: solutions from the notebooks against the study, and a hint for each mistake."""

import inspect

import numpy as np
import pytest
import torch

from shd_helpers.course.exercises import EXERCISES, MISTAKES, changed, check, feedback
from shd_helpers.study import interval
from tests.builders.exercises import SOLUTIONS, UNTOUCHED, cells


def test_there_is_an_exercise_with_a_solution_in_each_notebook():
    assert [*SOLUTIONS] == [*UNTOUCHED] == [*EXERCISES] == [*MISTAKES]
    numbers = {name[:2]: len(sources) for name, sources in cells("exercise").items()}
    assert numbers == {"01": 1, "02": 3, "03": 1, "04": 1}
    for name, solution in SOLUTIONS.items():
        text, empty = (inspect.getsource(f) for f in (solution, UNTOUCHED[name]))
        lines = [line for line in text.splitlines() if line.strip() and '"""' not in line]
        assert len(lines) <= 11, "the first line and ten to write"
        head, what, *_ = text.replace("_solution", "", 1).splitlines()
        assert empty.splitlines()[:2] == [head, what]


@pytest.mark.parametrize("name", EXERCISES)
def test_untouched_and_right(name, capsys):
    untouched = UNTOUCHED[name]
    solution = SOLUTIONS[name]
    for empty, verdict in (
        (untouched, "not tried yet.\n"),
        (solution, "not tried yet. (After a change, run the cell"),
        (lambda *_: None, "not yet right: nothing comes back; is there a return?\n"),
        (lambda *_: torch.ones(1) ^ 2, "not yet right: it stops with NotImplementedError: "),
    ):
        assert check(empty, solution) is solution
        assert capsys.readouterr().out.startswith(verdict)
    own = changed(solution, "return ", "return ")
    assert check(own, solution) is own
    assert capsys.readouterr().out.startswith("right: ")


@pytest.mark.parametrize(
    ("name", "mistake"), [(name, row) for name in MISTAKES for row in MISTAKES[name]]
)
def test_each_usual_mistake_gets_its_hint(name, mistake):
    solution = SOLUTIONS[name]
    assert feedback(changed(solution, *mistake["change"]), solution) == (
        f"not yet right: {mistake['hint']}"
    )


def resets_at_once(currents, beta, spike):
    mem = torch.zeros_like(currents[0])
    pairs = []
    for t in range(len(currents)):
        mem = mem * beta + currents[t]
        spk = spike(mem - 1)
        pairs.append((spk, mem))
        mem = mem - spk.detach()
    return tuple(torch.stack(parts) for parts in zip(*pairs, strict=True))


def forgets_to_return(model, batches, optimizer):
    for frames, labels in batches:
        loss = torch.nn.functional.cross_entropy(model(frames).sum(0), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def binomial(right, speaker):
    """Have the mean of the mistake, and another interval."""
    p = np.mean(right)
    return 100 * p, 196 * np.sqrt(p * (1 - p) / len(right))


@pytest.mark.parametrize(
    ("name", "written", "hint"),
    [
        ("lif", resets_at_once, "one step later"),
        ("surrogate_gradient", lambda e, x, k: e * (1 + k * abs(x)) ** -1, "squared"),
        ("train_epoch", forgets_to_return, "return the mean loss"),
        ("interval_by_speaker", binomial, "take speakers' accuracies"),
        ("pool", lambda *_: np.zeros((4, 4)), "the shape (4, 4) comes out"),
        ("pool", lambda *_: "events", "no numbers"),
        ("pool", lambda *_: 1 / 0, "ZeroDivisionError"),
        ("pool", lambda *_: [[True]], "a list comes back; return an array"),
        ("lif", lambda currents, *_: currents, "return two: spikes, membranes"),
        ("lif", lambda c, *_: (c.detach(), c.detach()), "read the task"),
        ("interval_by_speaker", lambda right, _: 50.0, "1 values come out, and 2 are asked for"),
        ("lif", lambda currents, *_: ([*currents], [*currents]), "no numbers come out but list"),
        ("train_epoch", lambda *_: torch.ones(1), "return a number: loss.item()"),
    ],
)
def test_what_somebody_writes_otherwise_gets_a_hint(name, written, hint):
    assert hint in feedback(written, SOLUTIONS[name])


def otherwise_right(currents, beta, spike):
    mem = 0
    spk = torch.zeros(())
    spks = []
    mems = []
    for current in currents:
        mem = current - (spk.detach() - mem * beta)
        spk = spike(-(1 - mem))
        spks += [spk]
        mems += [mem]
    return [torch.stack(spks), torch.stack(mems)]


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("lif", otherwise_right),
        ("surrogate_gradient", lambda e, x, k: (1 / (k * x.abs() + 1)) ** 2 * e),
        ("gradient_by_hand", lambda e, h, x, b: sum(
            e[t] * h[t] * b ** (t - s) * x[s] for t in range(3) for s in range(t + 1)
        )),
    ],
)  # fmt: skip
def test_another_order_of_sums_is_right_to_the_last_bit(name, written):
    assert feedback(written, SOLUTIONS[name]).startswith("right: ")


def test_the_interval_is_the_studys():
    right = np.random.default_rng(1).random(90) < 0.7
    speaker = np.arange(90) % 9
    shares = np.array([100 * right[speaker == s].mean() for s in range(9)])
    wanted = interval(shares[:, None])
    assert SOLUTIONS["interval_by_speaker"](right, speaker) == pytest.approx(wanted)
