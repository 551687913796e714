"""Code that computes something else than its version numbers say is found out.

`MUTATIONS` has one change for each stage and for constants that matter. Each is made in a copy of
the package, and the check must name the number to raise. ``make slow`` tries the first one,
``make mutations`` tries them all, and the check as another processor would compute it.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import shd_helpers
from shd_helpers import versions
from shd_helpers.events import Augmentation, split
from shd_helpers.network import config
from shd_helpers.study import Recipe, behavior, behavior_cases, training

PACKAGE = Path(shd_helpers.__file__).parent


class Mutation(NamedTuple):
    """A text of the package, what takes its place, and the number that has to be raised."""

    file: str
    old: str
    new: str
    number: str = "NUMERICS"


MUTATIONS = {
    "the input current is doubled": Mutation(
        "network/kernels.py",
        "(beta * mem[row - 1, j] + mem[row, j]) - reset",
        "(beta * mem[row - 1, j] + 2 * mem[row, j]) - reset",
    ),
    "the reset subtracts twice": Mutation(
        "network/kernels.py", "+ mem[row, j]) - reset", "+ mem[row, j]) - 2 * reset"
    ),
    "the fast sigmoid's derivative isn't squared": Mutation(
        "network/kernels.py", "spike_errors[slot, j] / (x * x)", "spike_errors[slot, j] / x"
    ),
    "the arctangent loses its factor": Mutation(
        "network/kernels.py", "ONE / (x * x + ONE) * half_slope", "ONE / (x * x + ONE)"
    ),
    "the gradient of a learned threshold ignores the reset": Mutation(
        "network/kernels.py", "[THRESHOLDS, j] -= if_reset if", "[THRESHOLDS, j] -= ZERO if"
    ),
    "the adaptation is added to the current": Mutation(
        "network/kernels.py", "mem[row, j] -= adaptation[j]", "mem[row, j] += adaptation[j]"
    ),
    "the gradient of the adaptation ignores its decay": Mutation(
        "network/kernels.py",
        "d_fed[j] = (ONE - neurons[LEFT, j]) * d_adaptation[j]",
        "d_fed[j] = d_adaptation[j]",
    ),
    "late copies of hidden spikes get the gradient of another step": Mutation(
        "network/kernels.py", "row > 0 and arrival <= n_steps:", "row > 0 and arrival < n_steps:"
    ),
    "the loop's membrane readout is a sum": Mutation(
        "network/spiking.py", "return recording.mem.mean(0)", "return recording.mem.sum(0)"
    ),
    "the first weights are drawn from a normal distribution": Mutation(
        "network/spiking.py", "xavier_uniform_(fc.weight", "xavier_normal_(fc.weight"
    ),
    "copies of the input come earlier": Mutation(
        "network/config.py", "DELAY_MS = 30.0", "DELAY_MS = 27.0"
    ),
    "beta belongs to another step": Mutation(
        "network/config.py", "STUDY_STEP_MS = 3.0", "STUDY_STEP_MS = 2.9"
    ),
    "the learning rate falls less": Mutation(
        "study/training.py", "LR_GAMMA = 0.5", "LR_GAMMA = 0.6"
    ),
    "low-precision weights leave less headroom": Mutation(
        "network/quantization.py", "SPREAD = 4.0", "SPREAD = 2.0"
    ),
    "the convolutional network sees smaller blocks": Mutation(
        "network/convolutional.py", "BLOCK = (6, 3)", "BLOCK = (3, 3)"
    ),
    "pooling needs more than the threshold": Mutation(
        "events/downsampling.py", "active >= grid.pool_threshold", "active > grid.pool_threshold"
    ),
    "more utterances of seen speakers test": Mutation(
        "events/split.py", "SEEN_SHARE = 0.1", "SEEN_SHARE = 0.12"
    ),
    "stretched events are rounded otherwise": Mutation(
        "events/augmentation.py", "(t + 0.5) * changes.factor[i]", "t * changes.factor[i]"
    ),
    "a spike that comes too late costs something": Mutation(
        "network/operation_counts.py", "+ delay < events.n_steps", "+ delay < 2 * events.n_steps"
    ),
    "sounds are softer": Mutation("cochlea/sound.py", "RMS = 0.32", "RMS = 0.3", "SPIKES"),
    "hair cells release less": Mutation(
        "cochlea/hair_cell.py", "FIRE = 50_000.0", "FIRE = 47_000.0", "SPIKES"
    ),
    "the membrane is damped more": Mutation(
        "cochlea/response.py", "RELATIVE_DAMPING = 0.15", "RELATIVE_DAMPING = 0.16", "SPIKES"
    ),
    "bushy cells integrate for longer": Mutation(
        "cochlea/bushy_cell.py", "TAU_POTENTIAL_S = 1e-3", "TAU_POTENTIAL_S = 1.1e-3", "SPIKES"
    ),
    "speeds reach further": Mutation(
        "data/waveform_augmentation.py", "SPEED = (0.82, 1.22)", "SPEED = (0.8, 1.22)", "WAVEFORMS"
    ),
    "noise is louder": Mutation(
        "data/waveform_augmentation.py",
        "NOISE_DB = (8.0, 35.0)",
        "NOISE_DB = (6.0, 35.0)",
        "WAVEFORMS",
    ),
    "the band ends more softly": Mutation(
        "data/waveform_augmentation.py", "ORDER = 4", "ORDER = 3", "WAVEFORMS"
    ),
    "rooms decay faster": Mutation(
        "data/waveform_augmentation.py", "10 ** (-3 * t", "10 ** (-4 * t", "WAVEFORMS"
    ),
}


def checked(home: Path, data_dir: Path, **environment: str) -> subprocess.CompletedProcess:
    """Run the check of the package that lies in a folder."""
    command = [sys.executable, "-m", "shd_helpers.study.behavior"]
    own = {"PYTHONPATH": str(home), "SHD_DATA_DIR": str(data_dir)}
    return subprocess.run(
        command, cwd=home, env=os.environ | own | environment, capture_output=True, text=True
    )


def test_this_code_computes_what_its_numbers_say():
    assert behavior.report() == ""


def test_the_number_of_threads_changes_nothing(data_dir):
    for threads in ("1", "3"):
        found = checked(PACKAGE.parent, data_dir, OMP_NUM_THREADS=threads)
        assert found.returncode == 0, found.stderr


@pytest.mark.parametrize(
    ("module", "name", "value"),
    [(training, "LR_GAMMA", 0.6), (split, "SEEN_SHARE", 0.12), (config, "DELAY_MS", 27.0)],
)
def test_a_changed_constant_is_found_and_the_message_says_what_to_do(
    monkeypatch, module, name, value
):
    monkeypatch.setattr(module, name, value)
    message = behavior.report()
    assert message.startswith(f"shd_helpers/versions.py: NUMERICS is {versions.NUMERICS}, but")
    assert f"raise NUMERICS to {versions.NUMERICS + 1}" in message
    assert "no row of a table and no run folder counts as done any more" in message


def test_the_same_code_is_checked_once_and_other_code_again(monkeypatch, tmp_path):
    """What is kept belongs to the text of the package and to the packages below it."""
    monkeypatch.setenv("SHD_DATA_DIR", str(tmp_path / "data"))
    copy = tmp_path / "package"
    shutil.copytree(PACKAGE, copy)
    monkeypatch.setattr(behavior, "VALUES", copy / behavior.VALUES.name)
    checks = []
    monkeypatch.setattr(behavior, "check_behavior", lambda: checks.append(None))
    for _ in range(2):
        behavior.check_code()
    assert len(checks) == 1
    with (copy / "network" / "config.py").open("a") as file:
        file.write("# another text\n")
    behavior.check_code()
    monkeypatch.setattr(behavior, "version", lambda name: "0.0")
    behavior.check_code()
    assert len(checks) == 3 and len([*(tmp_path / "data" / "cache").iterdir()]) == 1


@pytest.mark.parametrize(
    ("case", "settings"),
    [("augmentation", {"shift_units": 3}), ("shared weights", {"kernel_size": 9, "n_hidden": 16})],
)
def test_a_run_is_checked_for_what_it_uses(monkeypatch, case, settings):
    """A change of what it doesn't use can't change it, and takes long to compile at first."""
    if case == "augmentation":
        monkeypatch.setattr(behavior_cases, "AUGMENTATION", Augmentation(shift_units=9))
    else:
        changed = behavior_cases.NETWORKS[case] | {"stride": 4}
        monkeypatch.setitem(behavior_cases.NETWORKS, case, changed)
    for recipe, is_used in ((Recipe(), False), (Recipe.from_flat(settings), True)):
        message = behavior.report(("NUMERICS",), behavior.idle_cases(recipe))
        assert (case in message) == is_used
    assert case in behavior.report(("NUMERICS",))  # as a sweep checks, whatever it runs


def test_a_check_that_fails_is_not_remembered(monkeypatch, tmp_path):
    monkeypatch.setenv("SHD_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(behavior, "report", lambda *_: "wrong")
    behavior.check_behavior.cache_clear()
    for _ in range(2):
        with pytest.raises(behavior.BehaviorError, match="wrong"):
            behavior.check_code()


def test_a_number_that_was_raised_asks_for_new_values(monkeypatch):
    monkeypatch.setattr(versions, "WAVEFORMS", versions.WAVEFORMS + 1)
    message = behavior.report()
    assert f"has the results of WAVEFORMS {versions.WAVEFORMS - 1}" in message
    assert "--write" in message


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.slow if i == 0 else pytest.mark.mutations)
        for i, name in enumerate(MUTATIONS)
    ],
)
def test_a_mutation_of_the_code_is_found(name, tmp_path):
    """The copy keeps compiled code: numba compiles only the file that was changed."""
    mutation = MUTATIONS[name]
    shutil.copytree(PACKAGE, tmp_path / PACKAGE.name)
    path = tmp_path / PACKAGE.name / mutation.file
    text = path.read_text(encoding="utf-8")
    assert text.count(mutation.old) == 1, f"{mutation.file} has {text.count(mutation.old)} of it"
    path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    found = checked(tmp_path, tmp_path / "data")
    assert found.returncode == 1, found.stdout
    number = f"{mutation.number} is {getattr(versions, mutation.number)}, but"
    assert found.stderr.startswith(f"shd_helpers/versions.py: {number}")


@pytest.mark.mutations  # compiles everything anew, which takes minutes
def test_another_processor_computes_the_same_within_the_tolerance(tmp_path):
    environment = {"NUMBA_CPU_NAME": "generic", "ATEN_CPU_CAPABILITY": "default"}
    environment["NUMBA_CACHE_DIR"] = str(tmp_path / "numba")
    found = checked(PACKAGE.parent, tmp_path / "data", **environment)
    assert found.returncode == 0, found.stderr
