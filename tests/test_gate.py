"""The gate: whatever a parameter's value, it passes or is refused by a line that names it."""

from dataclasses import fields
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from shd_helpers import study
from shd_helpers.events import Augmentation, Downsampling, Split
from shd_helpers.events.split import split_validation
from shd_helpers.network import NetworkConfig, Quantisation, build_network
from shd_helpers.network.convolutional import ConvolutionalNetwork
from shd_helpers.network.limits import FREE, LIMITS
from shd_helpers.paths import NOTEBOOKS
from shd_helpers.study import TrainConfig, fit
from shd_helpers.study.gate import check_parts, check_settings
from shd_helpers.study.identity import notebook_parameters
from tests.test_engine import random_events

DEFAULTS = notebook_parameters(NOTEBOOKS / "03_model_training.ipynb")
BITS = {"circuit": "3-8-12", "beta": 0.9375}
VALUES = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers())),
    *(st.integers(0, 3), st.floats(0, 2), st.sampled_from([v for v in DEFAULTS.values() if v])),
)
NAMES = ("a", "Größe_1.5", "lr=0.1,seed=+1-", "sweeps/trial_spoken/x=1.0,seed=0", "a" * 200)
NO_NAMES = (
    *(
        "",
        ".",
        "..",
        "../evil",
        "a/../../b",
        "a/b",
        "/abs",
        "a b",
        "a\n",
        "a\\b",
        "~",
        "a:b",
        "a\0",
    ),
    *(".a.unfinished", "sweeps/", "sweeps/a", "sweeps/a/..", "sweeps/../a", "sweeps//a"),
    *("sweeps/a/b/c", "runs/a/b", "a" * 201, "ö" * 101, None, 3, b"a"),
)


def test_the_defaults_pass():
    check_settings(DEFAULTS)


def test_a_notebook_may_have_some_of_the_parameters():
    check_settings({"language": "german", "updates": 3})
    for name, value in (("language", "latin"), ("updates", 0), ("beta", 2.0), ("run_name", "")):
        with pytest.raises(ValueError, match=f"^{name} "):
            check_settings({name: value})


@given(st.sampled_from(sorted(DEFAULTS)), VALUES)
@example("shift_units", 500)
@example("duration_s", float("nan"))
@example("validation_speakers", None)
@example("validation_speakers", "9" * 30)
@example("duration_s", 5e-324)
@example("slope", 10**400)
@example("seed", 10**5000)
@example("language", "x" * 5000)
def test_any_value_passes_or_is_refused_by_a_line_that_names_it(name, value):
    try:
        check_settings({**DEFAULTS, name: value})
    except ValueError as error:
        assert name in str(error) and "\n" not in str(error) and len(str(error)) < 1000


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(DEFAULTS)), VALUES)
@example("n_delays", 3)
@example("slope", 1e6)
@example("beta", 0)
def test_what_passes_ends_in_numbers_that_are_finite(name, value):
    """Or in a line that says which epoch diverged; on noise of the size that is asked for."""
    p = {**DEFAULTS, "pool_units": 50, "pool_steps": 50, "n_hidden": 8, "epochs": 1, name: value}
    generator = torch.Generator().manual_seed(0)
    try:
        check_settings(p)
        grid, split = (study.settings(kind, p) for kind in (Downsampling, Split))
        config, training = (study.settings(kind, p) for kind in (NetworkConfig, TrainConfig))
        assume(grid.n_steps * grid.n_units * config.n_hidden * training.epochs < 1e5)
        events = random_events(40, grid.n_steps, grid.n_units, 10, 0.1)
        parts = [events.take(part) for part in split_validation(events, split, 0)]
        check_parts(p, SimpleNamespace(training=parts[0]))
        model = build_network(config, grid.n_units, 10, grid.step_ms, generator)
        changed = study.settings(Augmentation, p)
        history = fit(model, *parts, training, generator, augmentation=changed)
    except ValueError as error:
        assert name in str(error) or "epoch 1: a loss" in str(error)
        return
    for epoch in history:
        assert all(np.isfinite(number) for number in epoch.values())
        assert 0 <= epoch["train_accuracy"] <= 1 and 0 <= epoch["validation_accuracy"] <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_delays": 35}, "n_delays 35: the last copy is 1020 ms late; .* after 999 ms"),
        ({"n_delays": 3, "pool_steps": 100}, "n_delays 3: two copies, 30 ms apart, fall on one"),
        ({"kernel_size": 184}, "kernel_size 184: the input has 183 units"),
        ({"shift_units": 183}, "shift_units 183: must be below the input's 183 units"),
        ({"shift_units": 20, "pool_units": 50}, "shift_units 20: must be below the input's 11"),
        ({"shift_ms": 999.0}, "shift_ms 999: the utterance ends after 999 ms"),
        ({"seed": -1}, "seed -1: must be at least 0"),
        ({**BITS, "beta": 0.95}, "beta 0.9500 a step: leak 'shift' needs 1 - 2"),
        ({**BITS, "pool_steps": 4}, "beta 0.9175 a step: leak 'shift'"),
        ({**BITS, "network": "convolutional"}, "network 'convolutional': a circuit"),
        ({**BITS, "readout": "membrane"}, "readout 'membrane': a circuit counts output spikes"),
        ({**BITS, "kernel_size": 9}, "kernel_size 9: a circuit's first layer is full"),
        ({**BITS, "stop_ms": 60.0}, "stop_ms 60.0: a circuit runs all steps"),
        ({**BITS, "adapt_ms": 300.0}, "adapt_ms 300.0: a circuit has no adaptation"),
        ({**BITS, "learn_beta": True}, "learn_beta True: a circuit has one leak"),
        ({**BITS, "circuit": "3/8/12"}, "circuit '3/8/12': must be like 3-8-12"),
        ({**BITS, "circuit": "1-8-12"}, "circuit 1-8-12: weights have 2 to 16 bits"),
        ({"language": "latin"}, "language 'latin': unknown"),
    ],
)
def test_what_goes_together(changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        check_settings({**DEFAULTS, **changes})
    lasting = {"seed", "language", "circuit"}
    if not lasting & set(changes):
        idle = {"n_delays": 1, "kernel_size": 0, "shift_units": 0, "shift_ms": 0.0}
        check_settings({**DEFAULTS, **changes, **idle})


def test_a_refusal_lists_every_reason():
    wrong = {**BITS, "readout": "membrane", "adapt_ms": 300.0}
    wrong |= {"beta": 0.95, "shift_units": 183}
    begins = [
        *("readout 'membrane': a circuit", "adapt_ms 300.0: a circuit"),
        *("beta 0.9500 a step: leak", "shift_units 183: must be below"),
    ]
    with pytest.raises(ValueError, match="shift_units 183") as told:
        check_settings({**DEFAULTS, **wrong})
    for begin in begins:
        assert f"; {begin}" in f"; {told.value}"


def test_every_option_has_limits_or_is_free():
    """Whoever adds one has to say who can't do with it."""
    kinds = (Downsampling, Split, NetworkConfig, TrainConfig, Quantisation, Augmentation)
    options = {field.name: field.default for kind in kinds for field in fields(kind)}
    assert {*options} == {*LIMITS} | FREE and not {*LIMITS} & FREE
    for name, limit in LIMITS.items():
        assert any(limit[1:]), f"{name} has no limits"
        assert options[name] == limit.neutral


@pytest.mark.parametrize("steps_units", [(23, 700), (500, 11), (24, 12), (47, 23)])
def test_convolutions_need_room(steps_units):
    """The oracle is torch: the network itself, one utterance to train on."""
    steps, units = steps_units
    grid = {"first_unit": 700 - units, "pool_units": 1, "duration_s": steps / 1000, "pool_steps": 1}
    grid |= {"network": "convolutional", "pool_threshold": 1}
    with pytest.raises(ValueError, match=f"^network 'convolutional': .* has {steps} x {units}$"):
        check_settings({**DEFAULTS, **grid})
    model = ConvolutionalNetwork(10, torch.Generator().manual_seed(0))
    with pytest.raises((RuntimeError, ValueError)):
        model(torch.zeros(steps, 1, units))
    for enough in ((24, 24), (48, 12)):
        check_settings(
            {**DEFAULTS, **grid, "duration_s": enough[0] / 1000, "first_unit": 700 - enough[1]}
        )
        model(torch.zeros(enough[0], 1, enough[1]))


def test_a_network_larger_than_the_memory(monkeypatch):
    """At the study's size a run takes 55 MB for certain; the measured peak is above."""
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=60e6))
    check_settings(DEFAULTS)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(total=50e6))
    check_settings({**DEFAULTS, "network": "convolutional"})
    check_settings(DEFAULTS, elsewhere=True)
    with pytest.raises(ValueError, match=r"^n_hidden 256, .*183 units x 333 steps .* of memory"):
        check_settings(DEFAULTS)
