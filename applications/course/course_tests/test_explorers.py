"""Explorers in a kernel, without a browser: static form, what controls change, frames that wait."""

import re
from inspect import signature

import matplotlib.pyplot as plt
import numpy as np
import pytest
import snntorch
import torch
from matplotlib.figure import Figure

from shd_corpus.shd_file import read_shd
from shd_course.figures import controls, explorers, surrogate_visualization
from shd_helpers.events.downsampling import Downsampling, downsample
from shd_helpers.network.config import SURROGATES
from shd_helpers.study import training
from tests.builders.events import random_events
from tests.networks import spiking_network

N_EVENTS = np.where(np.arange(100) < 60, 20, 0).astype(np.float32)
DISTANCE = np.random.default_rng(0).normal(-0.8, 0.5, (5, 1000))


@pytest.fixture
def caught(monkeypatch):
    """Catch what an explorer hands to `explore`."""
    seen = {}

    def catch(figure, update, **choices):
        assert {*choices} == {*signature(update).parameters}
        seen.update(figure=figure, update=update)

    monkeypatch.setattr(explorers, "explore", catch)
    yield seen
    plt.close("all")


@pytest.fixture(scope="module")
def toy(toy_dir):
    return read_shd(toy_dir / "toy_train.h5")


def network(n_classes):
    generator = torch.Generator().manual_seed(0)
    return spiking_network([20, 30, n_classes], 0.9, "atan", 2.0, generator)


def snntorchs(currents, beta, _spike=None):
    """Return spikes and membrane potentials of snnTorch's own neuron."""
    leaky = snntorch.Leaky(beta=beta)
    mem = torch.zeros(())
    spks, mems = [], []
    for current in currents:
        spk, mem = leaky(current, mem)
        spks.append(spk)
        mems.append(mem)
    return torch.stack(spks).detach(), torch.stack(mems).detach()


def test_without_a_person_there_is_one_static_figure_and_no_widget(toy, capsys, monkeypatch):
    monkeypatch.setattr(controls, "widgets", None)  # would raise
    figure = explorers.downsampling(toy, Downsampling(), "english")
    assert isinstance(figure, Figure) and plt.get_fignums() == []
    assert "183 units x 333 steps" in capsys.readouterr().out


def test_the_explorer_reports_what_downsample_does(toy, caught):
    explorers.downsampling(toy, Downsampling(), "german")
    line = caught["update"](label="drei", speaker=2, take=2, pool_steps=10)
    i = np.flatnonzero((toy.labels == toy.keys.index("drei")) & (toy.speakers == 2))[1]
    german = np.flatnonzero(toy.labels >= 10)
    events = downsample(toy, Downsampling(pool_steps=10), "german").take(
        [np.flatnonzero(german == i)[0]]
    )
    assert f"183 units x 100 steps with {len(events.steps)} events" in line
    (image,) = caught["figure"].axes[1].images
    np.testing.assert_array_equal(image.get_array(), events.to_frames([0])[:, 0].T)
    assert "threshold 1 " in caught["update"](pool_threshold=9, pool_units=1, pool_steps=1)


def test_the_neuron_is_drawn_as_snntorch_computes_it(caught):
    explorers.neuron(snntorchs, N_EVENTS, 3.0)
    above, middle, below = caught["figure"].axes
    numbers = []
    for weight, beta in ((0.02, 0.95), (0.05, 0.9), (0.001, 0.5)):
        spk, mem = snntorchs(torch.tensor(np.float32(weight) * N_EVENTS), beta)
        line = caught["update"](weight, beta)
        numbers.append(int(spk.sum()))
        assert line.endswith(f"the neuron spikes {numbers[-1]} times")
        np.testing.assert_allclose(above.patches[0].get_data().values, weight * N_EVENTS, 1e-6)
        np.testing.assert_allclose(middle.lines[0].get_ydata(), mem, atol=1e-5)
        (lines,) = below.collections
        spike_ms = [segment[0, 0] for segment in lines.get_segments()]
        assert spike_ms == [3.0 * step for step in np.flatnonzero(spk)]
    assert numbers[1] > numbers[0] > numbers[2] == 0


@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("log2_slope", [-1.0, 3.0, 6.0])
def test_surrogate_s_mean_is_that_of_the_membranes(caught, surrogate, log2_slope):
    explorers.surrogate_reach(DISTANCE, "fast_sigmoid", 2.0)
    line = caught["update"](surrogate, log2_slope)
    mean, typical = (float(value) for value in re.findall(r"is (\d\.\d+)", line))
    derivative = surrogate_visualization.derivative(surrogate, DISTANCE, 2.0**log2_slope)
    assert mean == pytest.approx(derivative.mean(), rel=1e-3, abs=6e-5)
    at_median = surrogate_visualization.derivative(surrogate, np.median(DISTANCE), 2.0**log2_slope)
    assert typical == pytest.approx(at_median, abs=6e-5)


def test_scores_add_up_to_the_answer(caught):
    events = random_events(12, 30, 20, 5, 0.1)
    model = network(5)
    training.overfit(model, events, 20)
    predictions = training.evaluate(model, events).predictions()
    wrong = predictions[predictions.label != predictions.predicted]
    assert 0 < len(wrong) < 12
    explorers.utterances(model, events, predictions, 3.0)
    for i in range(12):
        line = caught["update"](False, i + 1, 90)
        assert f"answer {predictions.predicted[i]};" in line
        assert f"90 ms {predictions.predicted[i]} is ahead" in line
    line = caught["update"](True, 1, 30)
    assert f"utterance {wrong.index[0]} (1 of {len(wrong)} misclassified)" in line
