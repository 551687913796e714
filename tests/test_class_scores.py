"""Class scores as files keep them, in float16."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from evidence.plan_jobs import behind_the_winner


def softmax(values):
    powers = np.exp(values - values.max())
    return powers / powers.sum()


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=4, max_size=4),
        min_size=1,
        max_size=9,
    )
)
def test_stored_scores_have_the_same_answer_and_the_same_confidence(values):
    exact = np.array(values, np.float32)
    stored = behind_the_winner(exact)
    assert stored.dtype == np.float16
    assert np.isfinite(stored).all()
    assert stored.max(axis=1).tolist() == [0] * len(exact)
    for before, after in zip(exact, stored, strict=True):
        # all winners, and only these, have 0
        assert (before == before.max()).tolist() == (after == 0).tolist()
        np.testing.assert_allclose(
            softmax(after.astype(np.float64)), softmax(before.astype(np.float64)), atol=5e-3
        )


def test_scores_beyond_the_range_of_float16_are_stored_as_its_lowest_number():
    stored = behind_the_winner(np.array([[0.0, 70_000.0, 65_000.0, -3e38]], np.float32))
    assert stored.tolist() == [[-65504.0, 0.0, -5000.0, -65504.0]]
    nearly = np.array([[1.0, np.nextafter(np.float32(1e-9), np.float32(0)), 1e-9]], np.float32)
    assert behind_the_winner(nearly[:, 1:]).tolist() == [[-(2.0**-24), 0.0]]
