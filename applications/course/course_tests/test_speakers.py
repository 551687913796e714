"""The figures of notebook 7 draw the numbers that they are given, and are legible."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from shd_corpus.shd_file import read_shd
from shd_course.figures import speakers, style
from tests.overlaps import overlaps

NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
STEPS = [
    "original",
    "threshold 1",
    "recipe",
    "membrane readout",
    "delays",
    "three networks averaged",
]


@pytest.fixture(autouse=True)
def saved(tmp_path, monkeypatch):
    monkeypatch.setattr(style, "img_dir", lambda: tmp_path)
    yield tmp_path
    plt.close("all")


def cells():
    """Return made-up accuracies of some steps."""
    accuracy = [0.5, 0.4, 0.7, 0.72, 0.76, 0.84]
    costs = np.linspace(0.5e6, 15e6, len(STEPS))
    columns = {"cell": STEPS, "accuracy": accuracy, "effective_acs": costs}
    return pd.DataFrame(columns).assign(ci95=0.02)


def changes():
    """Return made-up contrasts of each step with the one before."""
    verdicts = ["shown", "shown", "undecided", "shown", "shown"]
    columns = {"first": STEPS[1:], "second": STEPS[:-1], "difference": [-10.0, 30, 2, 4, 8]}
    return pd.DataFrame(columns).assign(ci95_adjusted=3.0, verdict=verdicts)


def people():
    """Return numbers of utterances and accuracies of people who differ."""
    rng = np.random.default_rng(0)
    utterances = rng.integers(1, 20, 300)
    right = rng.binomial(utterances, rng.choice([0.3, 0.95], 300))
    return pd.Series(utterances), pd.Series(right / utterances, name="delays")


def accuracies():
    """Return made-up accuracies of twelve speakers with three networks, two of them missing."""
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"study": rng.uniform(40, 90, 12)})
    table = table.assign(small=table.study + 8, nested=table.study + 9)
    table.loc[[4, 5], "nested"] = np.nan
    return table


def answers():
    """Return answers of which every fourth *two* and one *six* are wrong."""
    label = np.repeat(NAMES, 12)
    predicted = label.copy()
    predicted[24:27] = "three"
    predicted[72] = "eight"
    return pd.DataFrame({"label": label, "predicted": predicted})


CASES = {
    "steps": lambda: speakers.steps(cells(), changes()),
    "the first steps": lambda: speakers.steps(cells()[:3], changes()[:0]),
    "histogram": lambda: speakers.histogram(*people()),
    "one by one": lambda: speakers.one_by_one(accuracies()),
    "digits": lambda: speakers.digits(answers(), NAMES),
}


@pytest.mark.parametrize("name", CASES)
def test_a_figure_is_legible_as_it_is_saved(name, saved, monkeypatch):
    save = style.save
    faults = []

    def check(figure, *arguments):
        faults.extend(overlaps(figure, lambda: save(figure, *arguments)))
        return figure

    monkeypatch.setattr(speakers, "save", check)
    CASES[name]()
    assert faults == []
    (path,) = saved.glob("*.png")
    assert path.stat().st_size > 1000
    assert plt.get_fignums() == []


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
    assert overlaps(seen["figure"]) == []
