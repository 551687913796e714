"""Values as they stand in messages."""

import time

import pytest

from shd_corpus.checks import listed, quoted


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
