"""What makes two runs the same: parameters, data and a number raised by hand, on any Python."""

import json
import shutil
import subprocess
import sys

import pytest

from shd_helpers.paths import NOTEBOOKS, ROOT
from shd_helpers.study import identity
from shd_helpers.study.identity import (
    NEUTRAL,
    check_parameters,
    literal,
    notebook_parameters,
    run_hash,
)

TRAINING = notebook_parameters(NOTEBOOKS / "03_model_training.ipynb")
DATA = {"name": "d", "train_sha256": "0", "test_sha256": "1"}
# Parameters that the study had from its beginning: they count whatever their value.
FIRST = {
    *("dataset", "language", "first_unit", "pool_units", "pool_steps"),
    *("pool_threshold", "n_hidden", "beta", "surrogate", "slope", "epochs", "batch_size", "lr"),
    *("lr_step", "validation", "validation_fraction", "seed", "run_name"),
}
# Recorded once, with NUMERICS 1: today's code must still find these runs.
RECORDED = {
    "edbaf84c61338214": {},
    "8dce60886859ec0e": {"slope": 25.0, "lr_step": 5, "batch_size": 128, "seed": 4},
    "4521d9360ba16189": {"n_delays": 8, "delay_ms": 30.0, "readout": "membrane", "dropout": 0.2},
    "bccb3fce9bc6549d": {"protocol": "leave_one_out", "held_out": 3, "score_test": False},
}
DEFAULTS = {
    "dataset": "spoken", "language": "english", "first_unit": 150, "bin_ms": 1.0,
    "duration_s": 1.0, "pool_units": 3, "pool_steps": 3, "pool_threshold": 2, "n_hidden": 256,
    "beta": 0.95, "surrogate": "fast_sigmoid", "slope": 2.0, "epochs": 30, "batch_size": 8,
    "lr": 1e-3, "lr_step": 10, "lr_gamma": 0.5, "validation": "random",
    "validation_fraction": 0.1, "seed": 0, "run_name": "default",
}  # fmt: skip


def hashed(**changes):
    return run_hash({**TRAINING, **changes}, DATA)


@pytest.mark.parametrize(("recorded", "changes"), RECORDED.items())
def test_recorded_runs_are_found_again(monkeypatch, recorded, changes):
    monkeypatch.setattr(identity, "NUMERICS", 1)
    assert run_hash(DEFAULTS | changes, DATA) == recorded


def test_every_later_parameter_has_a_neutral_value():
    """A parameter added to notebook 3 needs an entry in NEUTRAL, or every run counts as new."""
    settings = identity.with_circuit(TRAINING | {"circuit": "3-8-12"})
    assert set(settings) - FIRST == set(NEUTRAL) | set(identity._IDLE) - {"delay_ms"}
    for name, value in NEUTRAL.items():
        assert type(value) is type(settings[name]), name


def test_neutral_values_and_idle_parameters_do_not_count():
    without = {name: value for name, value in TRAINING.items() if name in FIRST}
    assert run_hash(without | NEUTRAL, DATA) == run_hash(without, DATA)
    assert hashed(stride=3) == hashed()
    assert hashed(stride=3, kernel_size=9) != hashed(kernel_size=9)


def test_a_circuit_counts_by_what_its_name_says():
    """A run from before circuits had names has the same hash; the constants count, too."""
    bits = {"fc1_bits": 3, "fc2_bits": 8, "mem_bits": 12}
    old = {name: value for name, value in TRAINING.items() if name != "circuit"} | bits
    old |= {"weight_scale": "neuron", "headroom": 4.0, "rounding": "floor"}
    for name, more in {
        "3-8-12": {"leak": "shift", "quantised_epochs": 0},
        "3-8-12 product": {"leak": "product", "quantised_epochs": 0},
        "3-8-12 product tuned": {"leak": "product", "quantised_epochs": 10},
    }.items():
        assert hashed(circuit=name) == run_hash(old | more, DATA) != hashed()
    assert hashed(circuit="3-8-12") != hashed(circuit="3-8-12 tuned")
    for wrong in ("3-8", "3-8-12 shift", "3-8-12 tuned product"):
        with pytest.raises(ValueError, match="must be like 3-8-12"):
            hashed(circuit=wrong)


def test_a_changed_default_makes_no_old_run_look_new():
    """The values count, not that they are the defaults."""
    assert run_hash({**TRAINING, "readout": "membrane"}, DATA) != hashed()


def test_what_counts(monkeypatch):
    other = {int: 77, float: 0.77, str: "other", bool: True}
    for name, value in TRAINING.items():
        changed = not value if isinstance(value, bool) else other[type(value)]
        changed = "3-8-12 tuned" if name == "circuit" else changed
        switch = identity._IDLE.get(name)
        base = {switch: other[type(TRAINING[switch])]} if switch else {}
        differs = hashed(**base, **{name: changed}) != hashed(**base)
        assert differs == (name not in ("dataset", "run_name")), name
    assert run_hash(TRAINING, DATA | {"name": "renamed"}) == hashed()
    for name in ("train_sha256", "test_sha256"):
        assert run_hash(TRAINING, DATA | {name: "2"}) != hashed()
    assert run_hash(dict(reversed(TRAINING.items())), DATA) == hashed()
    before = hashed()
    monkeypatch.setattr(identity, "NUMERICS", identity.NUMERICS + 1)
    assert hashed() != before


def test_same_hash_on_every_python():
    """The module needs nothing but the standard library for it, so any interpreter will do."""
    module = ROOT / "shd_helpers" / "study" / "identity.py"
    code = (
        "import importlib.util, json, sys\n"
        f"sys.path.insert(0, {str(ROOT)!r})\n"
        f"spec = importlib.util.spec_from_file_location('identity', {str(module)!r})\n"
        "identity = importlib.util.module_from_spec(spec)\n"
        "spec.loader.exec_module(identity)\n"
        "parameters, data = json.loads(sys.stdin.read())\n"
        "print(identity.run_hash(parameters, data))\n"
    )
    names = [f"python3.{minor}" for minor in range(11, 16)]
    others = {path for path in map(shutil.which, names) if path}
    for python in {sys.executable, *others}:
        version = [python, "-c", "import sys; print(sys.version_info >= (3, 11))"]
        if subprocess.run(version, capture_output=True, text=True, check=False).stdout != "True\n":
            continue  # a stand-in that finds no interpreter
        ended = subprocess.run(
            [python, "-c", code], input=json.dumps([TRAINING, DATA]),
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.stdout.strip() == hashed(), (python, ended.stderr)


@pytest.mark.parametrize("parameters", [{"y": 1.0}, {"x": "1e-3"}, {"x": True}, {"n": 1.0}])
def test_wrong_parameters_are_refused(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"parameter '{name}'"):
        check_parameters(parameters, {"x": 1.0, "n": 1})


def test_right_parameters_pass():
    check_parameters({"x": 1, "n": 2}, {"x": 1.0, "n": 1, "more": ""})
    assert literal("3", "") == "3"
    assert [literal(text) for text in ("1e-3", "3", "True", "shd")] == [0.001, 3, True, "shd"]
