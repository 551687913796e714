"""The look of all figures, and the checks that find what makes a figure hard to read."""

import matplotlib.pyplot as plt
import pytest

from shd_helpers import figures


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_the_look_comes_with_the_first_figure():
    assert plt.rcParams["axes.spines.top"] is False  # not matplotlib's
    assert {"save", "heat_map"} <= {*figures.__all__} <= {*dir(figures)}
    for name in figures.__all__:
        assert getattr(figures, name) is not None
