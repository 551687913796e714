"""Values as they stand in messages."""

import json
import time
from dataclasses import asdict

import numpy as np
import pytest

from shd_corpus.checks import listed, quoted
from shd_helpers.events import Downsampling
from shd_helpers.study.recipe import TrainConfig


@pytest.mark.parametrize(
    "value",
    ["a word", 'a "quoted"\nline', 0.1, 10**30, True, None, [1, [2.5, "x"]], {"a": {"b": 1}}],
)
def test_a_short_value_is_quoted_whole(value):
    assert quoted(value) == repr(value)


@pytest.mark.parametrize(
    "value", ["x" * 81, "x" * 10**6, list(range(100)), {i: i for i in range(50)}]
)
def test_a_long_value_is_cut(value):
    assert quoted(value) == repr(value)[:60] + "..."


@pytest.mark.parametrize("kind", [list, tuple, lambda pair: dict(enumerate(pair))])
def test_a_value_that_contains_another_again_and_again_takes_no_time(kind):
    value = "lol"
    for _ in range(40):  # a trillion texts
        value = kind([value] * 2)
    start = time.monotonic()
    assert len(quoted(value)) <= 80
    assert time.monotonic() - start < 5
    endless = []
    endless.append(endless)
    assert quoted(endless).startswith("[[")


def test_the_first_things_are_listed_and_the_others_counted():
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b, c"
    assert listed(list("abcde")) == "a, b, c, and 2 more"
    assert listed(list("abc"), 1, "; ") == "a; and 2 more"


def test_numbers_of_numpy_s_become_python_s():
    """A run's JSON can't store numpy's."""
    reduction = Downsampling(pool_steps=np.int64(3))
    config = TrainConfig(epochs=np.uint8(2), lr=np.float32(0.5), schedule=np.str_("step"))
    assert config == TrainConfig(epochs=2, lr=0.5, schedule="step")
    assert json.loads(json.dumps(asdict(config))) == asdict(config)
    assert type(reduction.pool_steps) is int


@pytest.mark.parametrize("value", [np.float64(2), np.array([2]), np.bool_(True), 2.0, "2"])
def test_what_is_no_whole_number_of_numpy_s_is_refused(value):
    with pytest.raises(ValueError, match=r"^epochs .*: must be a whole number$"):
        TrainConfig(epochs=value)
