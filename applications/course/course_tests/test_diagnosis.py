"""Four networks that don't learn: each broken one fails its check, and each mended one passes."""

import numpy as np
import pytest

from shd_course import diagnosis
from shd_helpers.study import Recipe

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
