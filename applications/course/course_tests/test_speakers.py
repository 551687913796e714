"""The figures of notebook 7 draw the numbers that they are given."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from shd_corpus.shd_file import read_shd
from shd_course.figures import speakers, style

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


@pytest.fixture(autouse=True)
def saved(tmp_path, monkeypatch):
    monkeypatch.setattr(style, "img_dir", lambda: tmp_path)
    yield tmp_path
    plt.close("all")


def people():
    """Return numbers of utterances and accuracies of people who differ."""
    rng = np.random.default_rng(0)
    utterances = rng.integers(1, 20, 300)
    right = rng.binomial(utterances, rng.choice([0.3, 0.95], 300))
    return pd.Series(utterances), pd.Series(right / utterances, name="delays")


def test_the_line_of_the_histogram_is_what_equal_people_would_get():
    utterances, right = people()
    figure = speakers.histogram(utterances, right)
    (line,) = figure.axes[0].patches[-1:]
    expected = line.get_data().values
    assert expected.sum() == pytest.approx(len(utterances))
    share = (utterances * right).sum() / utterances.sum()
    rng = np.random.default_rng(1)
    drawn = rng.binomial(utterances, share, (4000, len(utterances))) / utterances.to_numpy()
    counts = [
        ((drawn >= low / 10) & ((drawn < (low + 1) / 10) | (low == 9))).sum(1).mean()
        for low in range(10)
    ]
    np.testing.assert_allclose(expected, counts, atol=0.6)
    low = (right < 0.5).sum()
    wanted = f"{low} people are below half; by luck alone it would be {sum(expected[:5]):.0f}"
    assert figure.get_suptitle().startswith(wanted)


def test_two_utterances_are_shown_side_by_side(toy_dir, monkeypatch):
    seen = {}
    monkeypatch.setattr(
        speakers, "explore", lambda figure, update, **_: seen.update(figure=figure, update=update)
    )
    data = read_shd(toy_dir / "toy_train.h5")
    first, second = np.unique(data.speakers)[:2].tolist()
    speakers.side_by_side(data, NAMES, first, second)
    assert (
        seen["update"](left="one", take=2)
        == f"one by speaker {first} beside two by speaker {second}"
    )
    for axis, digit, speaker, take in zip(
        seen["figure"].axes, ("one", "two"), (first, second), (2, 2), strict=True
    ):
        is_said = (data.labels == data.keys.index(digit)) & (data.speakers == speaker)
        times, units = data.spikes(np.flatnonzero(is_said)[take - 1])
        np.testing.assert_array_equal(axis.lines[0].get_ydata(), units)
        np.testing.assert_allclose(axis.lines[0].get_xdata(), 1000 * times)
