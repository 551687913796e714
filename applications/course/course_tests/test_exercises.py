"""The exercises: solutions from the notebooks against the study, and a hint for each mistake.

Four networks that don't learn: each broken one fails its check, and each mended one passes.
"""

import signal

import numpy as np
import pytest
import torch

from course_tests.solutions import NAMES, SOLUTIONS, UNTOUCHED, cells, check, defined
from shd_circuit.integer import _run_layer
from shd_course import array_exercises, diagnosis, exercises, torch_exercises
from shd_course.exercises import MISTAKES, changed, check_answer, feedback, source_of
from shd_helpers.study import Recipe
from shd_judge import interval

EXERCISES = array_exercises.EXERCISES | torch_exercises.EXERCISES


def test_there_is_an_exercise_with_a_solution_in_each_notebook():
    assert [*SOLUTIONS] == [*UNTOUCHED] == [*MISTAKES]
    assert {*EXERCISES} == {*MISTAKES}
    numbers = {name[:2]: len(sources) for name, sources in cells("exercise").items()}
    assert numbers == {"01": 1, "02": 3, "03": 2, "04": 1, "08": 1}
    for name, solution in SOLUTIONS.items():
        text, empty = (source_of(f) for f in (solution, UNTOUCHED[name]))
        lines = [line for line in text.splitlines() if line.strip() and '"""' not in line]
        most = 18 if name == "TwoLayerSNN" else 11
        assert len(lines) <= most, "the first line and ten to write, or a class of snnTorch"
        head, what, *_ = text.replace("_solution", "", 1).splitlines()
        assert empty.splitlines()[:2] == [head, what]


@pytest.mark.parametrize("name", EXERCISES)
def test_untouched_and_right(name, capsys):
    untouched = UNTOUCHED[name]
    solution = SOLUTIONS[name]
    for empty, verdict in (
        (untouched, "not tried yet.\n"),
        (solution, f"no {name} of yours is defined. Run the cell in which you write it."),
        (returns_nothing(name), "not yet right: nothing comes back; is there a return?\n"),
        (lambda *_: torch.ones(1) ^ 2, "not yet right: it stops with NotImplementedError: "),
    ):
        assert check(empty, name) is solution
        assert capsys.readouterr().out.startswith(f"{name}: {verdict}")
    own = written_as(name, "return ", "return ")
    assert check(own, name) is own
    assert capsys.readouterr().out.startswith(f"{name}: right: ")


def test_a_failed_attempt_is_not_replaced_by_the_solution(capsys):
    """The cell of the attempt stops at its syntax, at first and after a right attempt."""
    (source,) = cells("solution")["01_data_preprocessing"]
    (untouched,) = cells("exercise")["01_data_preprocessing"]
    notebook = NAMES | {"exercises": exercises}
    for attempt in (None, untouched, None):
        if attempt:
            exec(attempt, notebook)
        exec(source, notebook)
        exec("pool = exercises.check(pool_solution)", notebook)
        said = capsys.readouterr().out
        wanted = "not tried yet" if attempt else "no pool of yours is defined"
        assert said.startswith(f"pool: {wanted}.")
        assert said.endswith("The notebook goes on with the study's own solution.\n")
        assert notebook["pool"] is notebook["pool_solution"]


def sorts_its_argument(right, speaker):
    mean_and_half = SOLUTIONS["interval_by_speaker"](right, speaker)
    right.sort()
    return mean_and_half


@pytest.mark.parametrize(
    ("name", "written", "argument"),
    [
        ("interval_by_speaker", sorts_its_argument, "right"),
        ("pool", lambda entries, *_: entries.fill(1), "entries"),
    ],
)
def test_a_function_that_changes_its_argument_is_not_right(name, written, argument):
    hint = f"it changes its argument `{argument}`: work on a copy.\nThe smallest input"
    assert feedback(written, SOLUTIONS[name]).startswith(f"not yet right: {hint}")


def takes_single_entries(entries, steps, units, threshold):
    shape = entries.shape[0] // steps, entries.shape[1] // units
    pooled = np.zeros(shape, dtype=bool)
    for row, column in np.ndindex(shape):
        n_active = 0
        for step in range(row * steps, (row + 1) * steps):
            for unit in range(column * units, (column + 1) * units):
                n_active += entries[step, unit]
        pooled[row, column] = n_active >= threshold
    return pooled


def never_ends(*_):
    while True:
        pass


@pytest.fixture
def short_of_time(monkeypatch):
    monkeypatch.setattr(exercises, "AT_LEAST_S", 0.1)
    monkeypatch.setattr(exercises, "TIMES_SLOWER", 2)
    before = signal.getsignal(signal.SIGPROF)
    yield
    assert signal.getsignal(signal.SIGPROF) == before
    assert signal.getitimer(signal.ITIMER_PROF) == (0, 0)


def test_a_slow_function_is_right_with_a_word_on_speed(short_of_time):
    verdict = feedback(takes_single_entries, SOLUTIONS["pool"])
    assert verdict.startswith("right: your events equal those of the solution. It is slow, though.")
    assert "For the entries of 50 utterances, each 1000 x 550, it takes more than 0." in verdict


def test_a_function_that_never_ends_is_stopped(short_of_time):
    verdict = feedback(never_ends, SOLUTIONS["pool"])
    assert verdict.startswith("not yet right: it takes more than 0.")
    where = "entries = [[1, 0, 0, 0], [0, 1, 0, 1]], steps = 2"
    assert f"The smallest input of the check that fails: {where}" in verdict


@pytest.mark.parametrize("seed", range(3))
def test_the_integer_neuron_is_that_of_the_circuit(seed):
    """Its sums spike often, go below zero, and saturate on both sides."""
    sums = np.random.default_rng(seed).integers(-200, 230, 300)
    neuron = {"bias": 3, "threshold": 41, "shift": 3, "highest": 127}
    mem = np.zeros((len(sums) + 1, 1), np.int64)
    in_step_t_input_t = np.arange(len(sums) + 1, dtype=np.int32)
    _run_layer(
        weights=sums[:, None],
        bias=np.array([neuron["bias"]]),
        threshold=np.array([neuron["threshold"]]),
        high=neuron["highest"],
        leaks=np.array([neuron["shift"]]),
        factor_bits=0,
        start=in_step_t_input_t,
        inputs=in_step_t_input_t[:-1],
        mem=mem,
    )
    membranes = SOLUTIONS["integer_neuron"](sums.tolist(), **neuron)
    assert membranes == mem[1:, 0].tolist()
    assert {-128, 127} < {*membranes} and 41 < np.median(mem[mem > 0])


def test_a_neuron_that_rounds_to_zero_sees_the_smallest_input_and_the_right_membranes():
    own = written_as("integer_neuron", "(mem >> shift)", "int(mem / 2**shift)")
    assert feedback(own, SOLUTIONS["integer_neuron"]) == (
        "not yet right: `>>` rounds down, also below zero: -19 >> 3 is -3.\n"
        "The smallest input of the check that fails: sums = [-20, 0], bias = 1, threshold = 30, "
        "shift = 3, highest = 127.\n"
        "Right membranes: [-19, -15]. Yours: [-19, -16]."
    )


def returns_nothing(name):
    return written_as(name, "return ", "") if name == "TwoLayerSNN" else lambda *_: None


def written_as(name, old, new):
    """Return what a reader writes who changes a solution's text."""
    text = source_of(SOLUTIONS[name]).replace("_solution", "").replace(old, new)
    return defined(text)


@pytest.mark.parametrize(
    ("name", "mistake"), [(name, row) for name in MISTAKES for row in MISTAKES[name]]
)
def test_each_usual_mistake_gets_its_hint(name, mistake):
    solution = SOLUTIONS[name]
    verdict = feedback(changed(solution, *mistake["change"]), solution)
    assert verdict.startswith(f"not yet right: {mistake['hint']}\nThe smallest input")


def binomial(right, speaker):
    """Have the mean of the mistake, and another interval."""
    p = np.mean(right)
    return 100 * p, 196 * np.sqrt(p * (1 - p) / len(right))


def changed_network(old, new):
    return written_as("TwoLayerSNN", old, new)


@pytest.mark.parametrize(
    ("name", "written", "hint"),
    [
        ("surrogate_gradient", lambda e, x, k: e * (1 + k * abs(x)) ** -1, "squared"),
        ("interval_by_speaker", binomial, "take speakers' accuracies"),
        ("pool", lambda *_: np.zeros((4, 4)), "returns the shape (4, 4)"),
        ("gradient_by_hand", lambda *_: 7.0, "the number isn't right; read the task again"),
        ("pool", lambda *_: "events", "instead of numbers"),
        ("pool", lambda *_: 1 / 0, "ZeroDivisionError"),
        ("pool", lambda *_: [[True]], "returns the shape (1, 1)"),
        ("lif", lambda currents, *_: currents, "return two tensors: spikes, membranes"),
        ("lif", lambda c, *_: (c.detach(), c.detach()), "read the task"),
        ("interval_by_speaker", lambda right, _: 50.0, "returns 1 value instead of 2"),
        (
            "lif",
            lambda currents, *_: ([*currents], [*currents]),
            "an object of type list instead of numbers",
        ),
        ("train_epoch", lambda *_: torch.ones(1), "return a number: loss.item()"),
        ("TwoLayerSNN", changed_network("torch.stack(spikes)", "spikes"), "by torch.stack"),
        ("TwoLayerSNN", changed_network(", torch.stack(membranes)", ""), "return two tensors"),
        ("TwoLayerSNN", changed_network("fc1", "layer1"), "names or shapes aren't right"),
        ("TwoLayerSNN", changed_network("lif2(", "lif1("), "use lif2 after fc2"),
    ],
)
def test_what_somebody_writes_otherwise_gets_a_hint(name, written, hint):
    assert hint in feedback(written, SOLUTIONS[name])


def trains_as_pytorch_tutorials_do(model, batches, optimizer):
    model.train()
    losses = []
    for frames, labels in batches:
        assert all(parameter.requires_grad for parameter in model.parameters())
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(frames)[0].sum(0), labels)
        loss.backward()
        optimizer.step()
        losses += [loss.item()] * len(labels)
    model.eval()
    return sum(losses) / len(losses)


def test_the_model_of_the_training_loop_is_a_module():
    assert feedback(trains_as_pytorch_tutorials_do, SOLUTIONS["train_epoch"]).startswith("right: ")


RIGHT_NETWORKS = {
    "currents of all steps at once": [
        ("for frame in frames:", "for current in self.fc1(frames):"),
        ("self.lif1(self.fc1(frame), mem1)", "self.lif1(current, mem1)"),
    ],
    "steps counted": [
        ("for frame in frames:", "for t in range(len(frames)):\n            frame = frames[t]")
    ],
    "the neurons keep their membranes": [("self.fc1(frame), mem1)", "self.fc1(frame))")],
    "zeros of its own": [
        ("self.lif1.reset_mem()", "torch.zeros(frames.shape[1], self.fc1.out_features)")
    ],
    "snntorch's old name": [(".reset_mem()", ".init_leaky()")],
    "dim by name": [("torch.stack(spikes)", "torch.stack(spikes, dim=0)")],
}


@pytest.mark.parametrize("name", RIGHT_NETWORKS)
def test_a_network_that_is_right_otherwise_is_not_refused(name):
    text = source_of(SOLUTIONS["TwoLayerSNN"]).replace("_solution", "")
    for old, new in RIGHT_NETWORKS[name]:
        assert old in text
        text = text.replace(old, new)
    assert feedback(defined(text), SOLUTIONS["TwoLayerSNN"]).startswith("right: ")


def test_the_smallest_input_that_fails_is_shown_with_what_is_compared():
    verdict = feedback(lambda *_: np.array([[1, 1]]), SOLUTIONS["pool"])
    assert verdict.splitlines()[1:] == [
        "The smallest input of the check that fails: entries = [[1, 0, 0, 0], [0, 1, 0, 1]], "
        "steps = 2, units = 2, threshold = 2.",
        "Right events: [[1, 0]]. Yours: [[1, 1]].",
    ]
    for exercise in EXERCISES.values():
        sizes = [
            sum(len(np.ravel(value)) for value in case.arguments.values() if not callable(value))
            for case in exercise.cases()
            if not case.about  # whose inputs are modules and batches
        ]
        assert sizes == sorted(sizes)


@pytest.mark.parametrize(
    ("answer", "right", "verdict"),
    [
        (None, 9.6, "loss: not tried yet.\n"),
        (9.6, np.float64(9.6), "loss: right, it is 9.6.\n"),
        (0.3, 0.1 + 0.2, "loss: right"),
        (6.0749, 6.1, "loss: right, it is 6.1.\n"),
        (np.float64(6.0749), 6.0749, "loss: right, it is 6.1.\n"),
        (np.float64(-7.5), 9.6, "loss: -7.5 is not yet right: use all twelve.\n"),
        (9.7, 9.6, "loss: 9.7 is not yet right: use all twelve.\n"),
        ([9.6], 9.6, "loss: [9.6] is not yet right"),
        ("p08", 9.6, "loss: 'p08' is not yet right"),
    ],
)
def test_an_answer_is_confirmed_or_gets_a_hint(answer, right, verdict, capsys):
    check_answer("loss", answer, right, "use all twelve.")
    assert capsys.readouterr().out.startswith(verdict)


def test_the_interval_is_the_studys():
    right = np.random.default_rng(1).random(90) < 0.7
    speaker = np.arange(90) % 9
    shares = np.array([100 * right[speaker == s].mean() for s in range(9)])
    wanted = interval(shares[:, None])
    assert SOLUTIONS["interval_by_speaker"](right, speaker) == pytest.approx(wanted)


FAULTS = {"A": "hidden_bias", "B": "labels", "C": "threshold", "D": "lr"}


@pytest.fixture(scope="module")
def parts(toy_dir):
    return Recipe(str(toy_dir)).load()


@pytest.fixture(scope="module")
def broken(parts):
    return diagnosis.BrokenNetworks(parts.training, parts.validation)


def test_no_broken_network_learns(broken):
    assert [*broken.trials] == [*FAULTS]
    for trial in broken.trials.values():
        assert not trial.learns
        too_sure = "its loss is above that of guessing, 2.30"
        ends = too_sure if trial.beats_guessing else "no better than guessing"
        assert str(trial).endswith(ends)
    assert not broken.trials["B"].beats_guessing


def test_each_shows_its_own_symptom(broken):
    share_of_spikes = {name: trial.hidden_spk.mean() for name, trial in broken.trials.items()}
    assert share_of_spikes["A"] > 0.9
    assert share_of_spikes["C"] == 0
    assert 0 < share_of_spikes["B"] == share_of_spikes["D"] < 0.1  # the same healthy start
    guessing = np.log(10)
    labels = broken.trials["B"]
    assert labels.train_loss[-1] < 0.8 * guessing and labels.validation_loss[-1] > guessing
    assert max(broken.trials["D"].train_loss) > 10 * guessing


def test_only_the_right_diagnosis_makes_a_network_learn(broken, capsys):
    capsys.readouterr()  # of the training
    broken.check(FAULTS)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    for line, (name, fault) in zip(lines, FAULTS.items(), strict=True):
        assert line.startswith(f"network {name} with healthy {fault}: ")
        assert line.endswith(": it learns. Right.")
    wrong = {"A": "lr", "B": "threshold", "C": "labels", "D": "hidden_bias"}
    broken.check(wrong)
    for line, hint in zip(
        capsys.readouterr().out.splitlines(), diagnosis.HINTS.values(), strict=True
    ):
        assert line.endswith(f". Something else is broken. {hint}") and "it learns" not in line


def test_no_answer_and_an_unknown_setting_are_named(broken, capsys):
    capsys.readouterr()  # of the training
    broken.check({"A": None, "B": "labesl", "C": None})
    assert capsys.readouterr().out.splitlines() == [
        "network A: not tried yet.",
        "network B: 'labesl' isn't a setting. Choose from: threshold, hidden_bias, lr, labels.",
        "network C: not tried yet.",
        "network D: not tried yet.",
    ]
