"""Values as they stand in messages."""

import time

import numpy as np
import pytest

from shd_helpers.checks import listed, quoted
from shd_helpers.events import Downsampling


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


def test_a_number_of_numpy_s_is_refused_with_the_remedy():
    """It can't be written into a run's JSON."""
    with pytest.raises(
        ValueError, match=r"pool_steps .*3.*: must be Python's int, .*int\(\.\.\.\)"
    ):
        Downsampling(pool_steps=np.int64(3))
