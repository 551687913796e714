"""The recipe: what it refuses, in a line that names the parameter; and what makes two runs one."""

import json
from dataclasses import asdict

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from shd_helpers.events import Downsampling
from shd_helpers.events.loading import split_validation
from shd_helpers.network import NetworkConfig, build_network
from shd_helpers.paths import OF_A_RUN, TRAIN
from shd_helpers.study import TrainConfig, TrainOptions, fit
from shd_helpers.study.parameters import notebook_parameters
from shd_helpers.study.recipe import (
    Recipe,
    run_hash,
)
from tests.builders.events import random_events

DEFAULTS = notebook_parameters(TRAIN)
BITS = {"circuit": "3-8-12", "beta": 0.9375}
VALUES = st.one_of(
    *(st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.integers())),
    *(st.integers(0, 3), st.floats(0, 2), st.sampled_from([v for v in DEFAULTS.values() if v])),
)


def test_the_defaults_are_those_of_the_notebook_with_all_settings():
    own = Recipe().flat()
    assert own == DEFAULTS
    assert {name: type(value) for name, value in own.items()} == {
        name: type(value) for name, value in DEFAULTS.items()
    }
    assert Recipe.from_flat(DEFAULTS) == Recipe()


def test_notebook_3_has_few_settings_and_their_defaults_but_the_documents_schedule():
    """The original study halves the learning rate every 5 epochs."""
    few = notebook_parameters(OF_A_RUN[2])
    assert len(few) <= 20
    assert {**few, "lr_step": 10} == {name: DEFAULTS[name] for name in few}
    assert few["lr_step"] == 5


def test_a_notebook_may_have_some_of_the_parameters():
    assert Recipe.from_flat({"language": "german"}) == Recipe(language="german")
    for name, value in (("language", "latin"), ("beta", 2.0), ("run_name", "")):
        with pytest.raises(ValueError, match=f"^{name} "):
            Recipe.from_flat({name: value})


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(sorted(DEFAULTS)), VALUES)
@example("shift_units", 500)
@example("duration_s", float("nan"))
@example("duration_s", 5e-324)
@example("pool_steps", 65535)
@example("validation_speakers", None)
@example("validation_speakers", "9" * 30)
@example("language", "x" * 5000)
@example("n_delays", 3)
@example("slope", 10**400)
@example("slope", 1e6)
@example("beta", 0)
def test_any_value_is_refused_by_a_line_that_names_it_or_ends_in_finite_numbers(name, value):
    """Or in a line that says which epoch diverged; on noise of the size that is asked for."""
    p = {**DEFAULTS, "pool_units": 50, "pool_steps": 50, "n_hidden": 8, "epochs": 1, name: value}
    generator = torch.Generator().manual_seed(0)
    try:
        recipe = Recipe.from_flat(p)
        grid = recipe.input
        config = recipe.network
        training = recipe.training
        assume(grid.n_steps * grid.n_units * config.n_hidden * training.epochs < 1e5)
        events = random_events(40, grid.n_steps, grid.n_units, 10, 0.1)
        parts = [events.take(part) for part in split_validation(events, recipe.split, 0)]
        model = build_network(config, grid.n_units, 10, grid.step_ms, generator)
        history = fit(model, *parts, training, generator, options=TrainOptions(recipe.augmentation))
    except ValueError as error:
        assert name in str(error) or "epoch 1: a loss" in str(error)
        assert "\n" not in str(error) and len(str(error)) < 1000
        return
    for epoch in history:
        assert all(np.isfinite(number) for number in epoch.values())
        assert 0 <= epoch["train_accuracy"] <= 1 and 0 <= epoch["validation_accuracy"] <= 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_delays": 35}, "n_delays 35: the last copy is 1020 ms late; .* after 999 ms"),
        (
            {"n_delays": 3, "pool_steps": 100},
            "n_delays 3: delays are 30 ms apart, but a step lasts 100 ms",
        ),
        ({"hidden_delays": "35"}, "hidden_delays '35': the last copy is 1020 ms late; .* 999 ms"),
        (
            {"hidden_delays": "3", "pool_steps": 100},
            "hidden_delays '3': delays are 30 ms apart, but a step lasts 100 ms",
        ),
        (
            {"hidden": "64,32", "hidden_delays": "2"},
            "hidden_delays '2': gives numbers of copies for 1 hidden layer",
        ),
        (
            {"neuron": "mine.py:synaptic", "learn_beta": True},
            "learn_beta True: the neuron mine.py:synaptic decides itself what it learns",
        ),
        ({**BITS, "neuron": "adaptive"}, "neuron 'adaptive': a circuit has leaky neurons only"),
        ({**BITS, "neuron": "mine.py:it"}, "neuron 'mine.py:it': a circuit has leaky neurons"),
        ({**BITS, "network": "mine.py:it"}, "network 'mine.py:it': a circuit needs spiking"),
        ({**BITS, "hidden": "64,32"}, "hidden '64,32': a circuit has one hidden layer"),
        ({**BITS, "hidden_delays": "2"}, "hidden_delays '2': a circuit delays its input only"),
        ({"kernel_size": 184}, "kernel_size 184: the input has 183 units"),
        ({"shift_units": 183}, "shift_units 183: must be below the input's 183 units"),
        ({"shift_units": 20, "pool_units": 50}, "shift_units 20: must be below the input's 11"),
        ({"shift_ms": 999.0}, "shift_ms 999: the utterance ends after 999 ms"),
        ({"seed": -1}, "seed -1: must be at least 0"),
        ({**BITS, "beta": 0.95}, "beta 0.9500 for one step: a leak by shift needs 1 - 2"),
        ({**BITS, "pool_steps": 4}, "beta 0.9175 for one step: a leak by shift"),
        ({**BITS, "network": "mine.py:other"}, "network 'mine.py:other': a circuit"),
        (
            {**BITS, "learn_beta": True},
            "learn_beta True: a leak by shift is the same for all neurons",
        ),
        ({**BITS, "circuit": "3/8/12"}, "circuit '3/8/12': must be like 3-8-12"),
        ({**BITS, "circuit": "1-8-12"}, "circuit 1-8-12: out of range; weights have 2 to 16 bits"),
        ({"protocol": "leave_one_speaker_out"}, "held_out -1: protocol"),
        ({"protocol": "everybody"}, "score_test True: protocol"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(changes, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Recipe.from_flat({**DEFAULTS, **changes})


OUT_OF_RANGE = {
    "epochs": (0, -1, 1.5, True),
    "batch_size": (0, "8"),
    "lr": (0.0, -1e-3, float("inf"), float("nan")),
    "lr_step": (0, -1),
    "shift_units": (-1, 0.5, 1000),
    "shift_ms": (-1.0, float("nan")),
    "stretch": (-0.1, 1.0),
    "dropout": (-0.1, 1.0, float("nan")),
    "network": ("deep",),
    "n_hidden": (0, 2.0, True),
    "beta": (-0.1, 1.1, float("nan")),
    "surrogate": ("step",),
    "slope": (0.0, -1.0, float("inf"), 1e9),
    "readout": ("max",),
    "neuron": ("lif", "", 3, "mine.txt:it"),
    "adapt_ms": (0.0, -1.0, float("nan"), "100"),
    "hidden": ("128,,64", "0", "128,0", "-1", "128,64,", ",128", "128, 64", "1e3", "100001", 128),
    "hidden_delays": ("0", "4,,1", "1001", 2, ",".join(21 * "1")),
    "learn_beta": (1,),
    "n_delays": (0,),
    "kernel_size": (-1,),
    "stride": (0,),
    "pool_threshold": (10, 0),
    "first_unit": (700, -1),
    "pool_units": (0, 701),
    "duration_s": (-1.0,),
    "protocol": ("mine",),
    "held_out": (3, -2),
    "validation": ("words",),
    "validation_fraction": (0.0,),
    "validation_speakers": ("3", "3;4"),
    "score_test": (1,),
}


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_a_value_out_of_range_is_refused(name):
    for value in OUT_OF_RANGE[name]:
        with pytest.raises(ValueError, match=f"^{name} "):
            Recipe.from_flat({**DEFAULTS, name: value})


def test_several_hidden_layers_are_listed():
    config = NetworkConfig(hidden="128,64", hidden_delays="4,1")
    assert config.hidden_sizes == (128, 64)
    assert config.hidden_copies == (4, 1)
    assert config.later_layer_delays(15.0) == ((0, 2, 4, 6), (0,))
    assert NetworkConfig(n_hidden=7).hidden_sizes == (7,)
    model = build_network(config, 20, 5, 3.0, torch.Generator())
    assert [fc.weight.shape for fc, _ in model.layers] == [(128, 20), (64, 512), (5, 64)]


def test_numbers_of_numpy_s_become_python_s():
    """A run's JSON can't store numpy's."""
    reduction = Downsampling(pool_steps=np.int64(3))
    config = TrainConfig(epochs=np.uint8(2), lr=np.float32(0.5))
    assert config == TrainConfig(epochs=2, lr=0.5)
    assert json.loads(json.dumps(asdict(config))) == asdict(config)
    assert type(reduction.pool_steps) is int


@pytest.mark.parametrize("value", [np.float64(2), np.array([2]), np.bool_(True), 2.0, "2"])
def test_what_is_no_whole_number_of_numpy_s_is_refused(value):
    with pytest.raises(ValueError, match=r"^epochs .*: must be a whole number$"):
        TrainConfig(epochs=value)


# --- the hash: what counts ------------------------------------------------------------------------

DATA = {"name": "d", "train_sha256": "0", "test_sha256": "1"}


def hashed(**changes):
    return run_hash({**DEFAULTS, **changes}, DATA)


def test_a_circuit_counts_by_its_name():
    names = ("3-8-12", "3-8-12 product", "3-8-12 QAT", "3-8-12 product QAT")
    assert len({hashed(circuit=name) for name in ("", *names)}) == 5
    for name in names:
        assert Recipe.from_flat({"circuit": name, "beta": 0.9375}).flat()["circuit"] == name
    for wrong in ("3-8", "3-8-12 shift", "3-8-12 QAT product"):
        with pytest.raises(ValueError, match="must be like 3-8-12"):
            Recipe.from_flat({"circuit": wrong})


def test_a_data_set_of_few_channels_says_what_to_give():
    with pytest.raises(
        ValueError, match=r"first_unit 150: .* because the file has 64 channels\. .*give"
    ):
        Recipe.from_flat({"dataset": "own"}, 64)
    assert Recipe.from_flat({"first_unit": 0, "pool_units": 1}, 64).input.n_units == 64
    assert Recipe.from_flat({"first_unit": 800}, 1000).input.n_channels == 1000
    with pytest.raises(ValueError, match=r"^pool_steps 0: must be at least 1, at most 65535$"):
        Recipe.from_flat({"pool_steps": 0}, 64)
