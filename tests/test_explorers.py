"""Explorers without a browser: the static form, what the controls change, and frames that wait."""

import asyncio
import re
import time

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from shd_helpers.events import toy as smoke
from shd_helpers.events.downsample import Downsampling, downsize
from shd_helpers.figures import controls, explorers
from shd_helpers.network import surrogates
from shd_helpers.source.shd_file import read_shd
from shd_helpers.study import training
from tests.networks import spiking_network
from tests.test_engine import random_events


@pytest.fixture
def caught(monkeypatch):
    """Catch what an explorer hands to `explore`."""
    seen = {}

    def catch(figure, update, choices, sound=None):
        start = {name: value for name, (_, value, _) in choices.items()}
        seen.update(figure=figure, update=update, start=start, sound=sound)
        return figure

    monkeypatch.setattr(explorers, "explore", catch)
    return seen


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("toy")
    smoke.write_toy(folder, seed=0)
    return read_shd(folder / "toy_train.h5")


def test_without_a_person_there_is_one_static_figure_and_no_widget(toy, capsys, monkeypatch):
    monkeypatch.setattr(controls, "_control", None)  # would raise
    figure = explorers.downsizing(toy, Downsampling(), "english")
    assert isinstance(figure, Figure)
    out = capsys.readouterr().out
    assert "183 units x 333 steps" in out and "<" not in out


def test_downsizing_tells_what_downsize_does(toy, caught):
    explorers.downsizing(toy, Downsampling(), "german")
    values = caught["start"] | {"word": "drei", "speaker": 2, "take": 2, "pool_steps": 10}
    line = caught["update"](**values)
    i = np.flatnonzero((toy.labels == toy.keys.index("drei")) & (toy.speakers == 2))[1]
    german = np.flatnonzero(toy.labels >= 10)
    events = downsize(toy, Downsampling(pool_steps=10), "german").take(
        [np.flatnonzero(german == i)[0]]
    )
    assert f"183 units x 100 steps with {len(events.steps)} events" in line
    image = caught["figure"].axes[2].images[0].get_array()
    np.testing.assert_array_equal(image, events.to_frames([0])[:, 0].T)
    assert caught["update"](**values | {"pool_threshold": 9, "pool_units": 1, "pool_steps": 1})


@pytest.mark.parametrize("surrogate", surrogates.SURROGATES)
@pytest.mark.parametrize("log_slope", [-1.0, 3.0, 6.0])
def test_surrogate_s_mean_is_that_of_the_membranes(caught, surrogate, log_slope):
    distance = np.random.default_rng(0).normal(-0.8, 0.5, (5, 1000))
    explorers.surrogate_reach(distance, "fast_sigmoid", 2.0)
    line = caught["update"](surrogate, log_slope)
    mean, typical = (float(value) for value in re.findall("<b>([0-9.]+)</b>", line))
    derivative = surrogates.derivative(surrogate, distance, 2.0**log_slope)
    assert mean == pytest.approx(derivative.mean(), rel=1e-3, abs=6e-5)
    at_median = surrogates.derivative(surrogate, np.median(distance), 2.0**log_slope)
    assert typical == pytest.approx(at_median, abs=6e-5)
    assert f"{len(distance.ravel()):,} membranes" in line


def test_scores_add_up_to_the_answer(caught):
    events = random_events(12, 30, 20, 5, 0.1)
    model = spiking_network([20, 30, 5], 0.9, "atan", 2.0, torch.Generator().manual_seed(0))
    training.overfit(model, events, 20)
    predictions = training.evaluate(model, events).predictions()
    wrong = predictions[predictions.label != predictions.predicted]
    assert 0 < len(wrong) < 12
    explorers.utterances(model, events, predictions, 3.0)
    for i in range(12):
        line = caught["update"](False, i + 1, 90)
        assert f"answer {predictions.predicted[i]};" in line
        assert f"90 ms {predictions.predicted[i]} is ahead" in line
    assert f"utterance {wrong.index[0]} " in caught["update"](True, 1, 30)
    assert f"1 of {len(wrong)} misclassified" in caught["update"](True, 1, 30)


def test_point_shows_its_confusions(caught):
    means = pd.DataFrame(
        {"units": 12, "seeds": 3, "effective_acs": [2e5, 1e5]}, index=["183 x 333", "61 x 100"]
    )
    for name in ("test_seen", "test_seen_ci95", "test_unseen", "test_unseen_ci95"):
        means[name] = 50.0
    means["parameters"], means["hidden_spikes"] = 10, 20
    confusions = pd.DataFrame(
        {"input": ["61 x 100"] * 2, "seen": True, "label": [1, 1], "predicted": [1, 0],
         "utterances": [3, 1]}
    )  # fmt: skip
    explorers.inputs(means, confusions, ["no", "yes"], "183 x 333")
    assert caught["start"] == {"point": "183 x 333"}
    assert "61 x 100" in caught["update"]("61 x 100")
    seen, unseen = caught["figure"].axes[1:]
    np.testing.assert_array_equal(seen.images[0].get_array(), [[0, 0], [25, 75]])
    assert [text.get_text() for text in seen.texts] == ["25", "75"]
    assert "most frequent answer yes (75%)" in caught["update"]("61 x 100")
    caught["update"]("183 x 333")  # without confusions: the numbers go
    assert not seen.texts and not unseen.texts


def test_fast_dragging_draws_few_frames_and_the_last_value():
    value, drawn = [0], []

    def draw():
        time.sleep(0.05)  # while it blocks, changes wait as messages in a kernel's queue
        drawn.append(value[0])

    async def drag():
        frames = controls.Frames(draw)
        for i in range(1, 201):
            value[0] = i
            frames.changed()
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.2)

    asyncio.run(drag())
    assert drawn[-1] == 200 and 1 < len(drawn) < 100
