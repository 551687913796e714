"""Every figure on small data: no text collides or leaves the canvas, and each is shown once."""

import inspect
import sys
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
from matplotlib.figure import Figure

from shd_helpers import figures
from shd_helpers.events.downsample import Downsampling
from shd_helpers.events.toy import write_toy
from shd_helpers.figures import data, explorers, runs, style
from shd_helpers.source.shd_file import LANGUAGES, N_CHANNELS, read_shd
from shd_helpers.study import record_examples
from tests.imports import loaded_by
from tests.networks import spiking_network
from tests.overlaps import overlaps, same_in_grey, unlabelled
from tests.test_engine import random_events

ENGLISH, BOTH = LANGUAGES["english"], LANGUAGES["both"]
SOURCE = "data: a_name_of_some_length, english; seed 0; training file"
STUDY = Downsampling()


def spikes(seed, end_s=0.4, n=300):
    rng = np.random.default_rng(seed)
    return np.sort(rng.uniform(0, end_s, n)), rng.integers(0, N_CHANNELS, n)


def wave(n=2400):
    return np.sin(np.linspace(0, 300, n)) * np.hanning(n)


def word_to_spikes():
    velocity = np.random.default_rng(0).normal(size=(1201, N_CHANNELS))
    return data.word_to_spikes(
        wave(), 24_000, velocity, abs(velocity) / 30, *spikes(0, 0.1), channels=(300, 450, 600)
    )


def pooled(grid):
    rng = np.random.default_rng(0)
    matrix = np.zeros((grid.n_steps, grid.n_units))
    matrix[: grid.n_steps // 3] = rng.random((grid.n_steps // 3, grid.n_units)) < 0.1
    return matrix


def matrix_beside_spikes(grid):
    return data.scatter_and_matrix(*spikes(1), pooled(grid), grid)


def weights(n_classes=10, epochs=30):
    rng = np.random.default_rng(0)
    spread = 0.05 * np.sqrt(1 + np.arange(epochs + 1))[:, None, None]
    return [
        rng.normal(0, 1, (epochs + 1, *shape)) * spread for shape in ((64, 40), (n_classes, 64))
    ]


def predictions(class_names, n=300):
    rng = np.random.default_rng(0)
    label = rng.integers(0, len(class_names), n)
    predicted = np.where(rng.random(n) < 0.7, label, rng.integers(0, len(class_names), n))
    names = np.array(class_names)
    table = {
        "speaker": rng.integers(0, 12, n),
        "label": names[label],
        "predicted": names[predicted],
    }
    for quantity, mean in (("input_events", 1500), ("hidden_spikes", 800), ("output_spikes", 90)):
        table[quantity] = rng.normal(mean, mean / 5, n).round()
    return pd.DataFrame(table)


def confusion(class_names, unseen=(4, 5)):
    table = predictions(class_names)
    return runs.confusion(table, class_names, ~table.speaker.isin(unseen))


def example_of(n, readout="spikes"):
    rng = np.random.default_rng(0)
    example = {"input": rng.random((333, 183)) < 0.02, "hidden": rng.random((333, 256)) < 0.01}
    example |= {"mem": rng.normal(0, 2, (333, n))}
    example["spk"] = rng.random((333, n)) < (0.05 if readout == "spikes" else 0)
    scores = example["spk"].sum(0) if readout == "spikes" else example["mem"].mean(0)
    return example | {"scores": scores}


def one_utterance(class_names, right, readout="spikes"):
    example = example_of(len(class_names), readout)
    answer = class_names[example["scores"].argmax()]
    word = answer if right else next(name for name in class_names if name != answer)
    return runs.one_utterance(example, class_names, word, 3.0)


def speakers(n, unseen):
    seen = ~np.isin(np.arange(n), unseen)
    columns = {"speaker": np.arange(n), "seen": seen, "accuracy": 80.0, "low": 60.0, "high": 98.0}
    return runs.accuracy_per_speaker(pd.DataFrame(columns))


def history(epochs, n_classes):
    t = np.arange(1, epochs + 1)
    columns = {"epoch": t, "train_loss": 2 / t, "validation_loss": 2 / t + 0.5}
    columns |= {"train_accuracy": 1 - 0.8 / t, "validation_accuracy": 0.9 - 0.8 / t}
    return runs.accuracy_loss(pd.DataFrame(columns), n_classes)


def toy_explorer(grid):
    with TemporaryDirectory() as folder:
        write_toy(Path(folder), seed=0)
        toy = read_shd(Path(folder) / "toy_train.h5")
    return explorers.downsizing(toy, grid, "english")


def utterance_explorer(n_classes):
    events = random_events(4, 30, 20, n_classes, 0.1)
    generator = torch.Generator().manual_seed(0)
    network = spiking_network([20, 30, n_classes], 0.9, "atan", 2.0, generator)
    names = [events.class_names[label] for label in events.labels]
    answers = pd.DataFrame({"speaker": 11, "label": names, "predicted": names[::-1]})
    return explorers.utterances(network, events, answers, 3.0)


def inputs_explorer(class_names):
    n = len(class_names)
    means = pd.DataFrame({"units": 12, "seeds": 3}, index=["a", "b"])
    for name in ("test_seen", "test_unseen", "test_seen_ci95", "test_unseen_ci95"):
        means[name] = [70.0, 40.0]
    means["effective_acs"], means["parameters"], means["hidden_spikes"] = [2e6, 1e5], 49_674, 800
    label, predicted = np.indices((n, n)).reshape(2, -1)
    parts = [
        pd.DataFrame({"input": "a", "seen": seen, "label": label, "predicted": predicted,
                      "utterances": np.clip(100 - 40 * abs(label - predicted), 0, 99)})
        for seen in (True, False)
    ]  # fmt: skip
    return explorers.inputs(means, pd.concat(parts), class_names, "a")


distance = np.random.default_rng(0).normal(-0.8, 0.5, 5000)
curves = {"true gradient of the step": [5.8] * 60}
curves |= {f"fast_sigmoid, slope {k}": np.linspace(5.8, k / 30, 60) for k in (25, 2, 5, 1)}
blocks_of_3 = Downsampling(pool_steps=10, pool_threshold=1)
blocks_of_1 = Downsampling(pool_units=1, pool_steps=1, pool_threshold=1)


def word_to_digit(class_names, sound=True, readout="spikes"):
    example = example_of(len(class_names), readout)
    with BytesIO() as file:
        soundfile.write(file, wave(), 24_000, format="WAV")
        wav = file.getvalue()
    return data.word_to_digit(wav if sound else None, spikes(0, 0.36), example, class_names, 3.0)


CASES = {
    "spike_histograms": [
        lambda: data.spike_histograms(spikes(0)[1], spikes(0)[0], 150, 1.0),
        lambda: data.spike_histograms(spikes(0)[1], spikes(0, 1.4)[0], 0, 0.5),
    ],
    "digit_rasters": [
        lambda: data.digit_rasters({w: spikes(i, 0.52) for i, w in enumerate(ENGLISH)}),
        lambda: data.digit_rasters({w: spikes(i, 1.2) for i, w in enumerate(BOTH)}),
    ],
    "word_to_spikes": [word_to_spikes],
    "word_to_digit": [
        lambda: word_to_digit(ENGLISH),
        lambda: word_to_digit(BOTH, sound=False),
        lambda: word_to_digit(ENGLISH, readout="membrane"),
    ],
    "one_neuron": [lambda: data.one_neuron(np.arange(333) % 9, np.arange(333) % 13 / 10, 3.0)],
    "windows": [
        lambda: data.windows(
            {
                name: (wave(), *spikes(i, 0.1, 20_000))
                for i, name in enumerate(("ramps of 30 ms", "Hann window over the track"))
            },
            24_000,
        )
    ],
    "scatter_and_matrix": [lambda: matrix_beside_spikes(blocks_of_1)],
    "pooling_thresholds": [
        lambda: data.pooling_thresholds(dict.fromkeys(range(1, 5), pooled(STUDY)), STUDY),
        lambda: data.pooling_thresholds(dict.fromkeys((1, 2, 3), pooled(blocks_of_3)), blocks_of_3),
        lambda: data.pooling_thresholds({1: pooled(blocks_of_1)}, blocks_of_1),
    ],
    "surrogate_curves": [
        lambda: runs.surrogate_curves("fast_sigmoid", (2.0, 5.0, 25.0)),
        lambda: runs.surrogate_curves("atan", (2.0, 5.0, 10.0)),
        lambda: runs.surrogate_curves("sigmoid", (2.0, 5.0, 25.0)),
    ],
    "surrogate_reach": [
        lambda: runs.surrogate_reach(distance, "fast_sigmoid", (2.0, 5.0, 25.0)),
    ],
    "learning_by_gradient": [lambda: runs.learning_by_gradient(curves)],
    "accuracy_loss": [lambda: history(30, 10), lambda: history(2, 20)],
    "weights_over_epochs": [
        lambda: runs.weights_over_epochs(weights()[0], "fc1"),
        lambda: runs.weights_over_epochs(weights(epochs=1)[1], "fc2"),
    ],
    "weight_matrices": [
        lambda: runs.weight_matrices(*(w[-1] for w in weights()), 30, ENGLISH),
        lambda: runs.weight_matrices(*(w[-1] for w in weights(20)), 1, BOTH),
    ],
    "confusion": [
        lambda: confusion(ENGLISH),
        lambda: confusion(BOTH),
        lambda: confusion(ENGLISH, unseen=range(12)),
    ],
    "one_utterance": [
        lambda: one_utterance(ENGLISH, right=True),
        lambda: one_utterance(BOTH, right=False),
        lambda: one_utterance(ENGLISH, right=False, readout="membrane"),
    ],
    "firing_rates": [lambda: runs.firing_rates(predictions(ENGLISH), 256, 10, 333)],
    "accuracy_per_speaker": [
        lambda: speakers(12, (4, 5)),
        lambda: speakers(12, (7,)),
        lambda: speakers(4, ()),
    ],
}
EXPLORERS = {
    "downsizing": [lambda: toy_explorer(STUDY), lambda: toy_explorer(blocks_of_3)],
    "surrogate_reach": [lambda: explorers.surrogate_reach(distance, "fast_sigmoid", 2.0)],
    "utterances": [lambda: utterance_explorer(10), lambda: utterance_explorer(20)],
    "inputs": [lambda: inputs_explorer(ENGLISH), lambda: inputs_explorer(BOTH)],
}


@pytest.fixture
def img(tmp_path, monkeypatch):
    monkeypatch.setattr(style, "img_dir", lambda: tmp_path / "img")
    return tmp_path / "img"


@pytest.mark.parametrize("name", CASES)
def test_figure_is_legible_as_it_is_saved(name, img):
    for draw in CASES[name]:
        figure = draw()
        assert plt.get_fignums() == [], "an open figure is shown once more at the end of a cell"
        assert overlaps(figure, lambda figure=figure: style.save(figure, name, SOURCE)) == []
        assert (img / f"{name}.png").stat().st_size > 1000
        assert unlabelled(figure) == [] and same_in_grey(figure) == []


@pytest.mark.parametrize("name", EXPLORERS)
def test_explorer_is_legible(name):
    for draw in EXPLORERS[name]:
        figure = draw()
        assert plt.get_fignums() == []
        assert overlaps(figure) == []
        assert unlabelled(figure) == [] and same_in_grey(figure) == []


def test_the_answer_in_a_picture_is_the_network_s():
    """Output neurons that never spike, and one membrane that a bias raises: that of "three"."""
    generator = torch.Generator().manual_seed(0)
    network = spiking_network([20, 30, 10], 0.9, "atan", 2.0, generator, readout="membrane")
    for parameter in network.parameters():
        parameter.data.zero_()
    network.fc2.bias.data[3] = 1
    words = random_events(1, 30, 20, 10, 0.1)
    (example,) = record_examples(network, words).values()
    assert not example["spk"].any()
    figure = data.word_to_digit(None, spikes(0), example, ENGLISH, 3.0)
    assert figure.axes[-1].get_title("left") == "three"
    for said, answer in (("three", []), ("two", ["wrong answer: three"])):
        axis = runs.one_utterance(example, ENGLISH, said, 3.0).axes[2]
        labels = axis.get_legend_handles_labels()[1]  # there is no threshold either
        assert labels == [*answer, f"spoken word: {said}"]


def test_one_figure_does_not_wait_for_all_others():
    """A run of a sweep draws its curves; it needs neither controls nor statistics for that."""
    assert {"speakers", "save", "accuracy_loss"} <= {*figures.__all__} <= {*dir(figures)}
    for name in figures.__all__:
        assert getattr(figures, name) is not None
    assert figures.speakers is sys.modules["shd_helpers.figures.speakers"]
    with pytest.raises(AttributeError, match="attribute nothing"):
        _ = figures.nothing
    code = "from shd_helpers import figures; figures.accuracy_loss"
    heavy = {"ipywidgets", "anywidget", "scipy.stats"}
    assert loaded_by(code, heavy | {"matplotlib"}) == {"matplotlib"}


def test_no_figure_is_forgotten():
    for module, cases in ((data, CASES), (runs, CASES), (explorers, EXPLORERS)):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            draws = hasattr(function, "__wrapped__") and function.__module__ == module.__name__
            assert not draws or cases[name], f"{module.__name__}.{name}"


def broken(what):
    figure = Figure(figsize=(4, 3))
    axis = figure.add_subplot()
    axis.plot([0, 1], [0, 1], label="rising")
    if what == "a title that is too long":
        axis.set_title("a title of many words that can't fit on a canvas four inches wide, ever")
    elif what == "tick labels":
        axis.set_xticks(np.linspace(0, 1, 9), ["a label that is long"] * 9)
    elif what == "annotations":
        for y in (0.5, 0.52):
            axis.annotate("a point", (0.2, y))
    elif what == "a legend on a line":
        axis.legend(loc="upper right")
    elif what == "a legend on a text":
        axis.legend(loc="upper left")
        axis.text(0.02, 0.93, "a note")
    elif what == "a legend on a point":
        axis.plot([0.1], [0.95], "o", linestyle="none")
        axis.legend(loc="upper left")
    return figure


@pytest.mark.parametrize(
    ("what", "finding"),
    [
        ("nothing", None),
        ("a title that is too long", "leaves the canvas"),
        ("tick labels", "'a label that is long' overlaps 'a label that is long'"),
        ("annotations", "'a point' overlaps 'a point'"),
        ("a legend on a line", "'rising' runs through a legend"),
        ("a legend on a text", "'a note' overlaps a legend"),
        ("a legend on a point", "runs through a legend"),
    ],
)
def test_check_finds_what_is_broken(what, finding):
    found = overlaps(broken(what))
    assert any(finding in line for line in found) if finding else found == []


def test_labels_and_grey_are_checked():
    figure = broken("nothing")
    assert overlaps(figure) == []  # drawn
    axis = figure.axes[0]
    assert unlabelled(figure) == ["an x axis has no label", "a y axis has no label"]
    axis.set(xlabel="time (ms)", ylabel="share (%)")
    assert unlabelled(figure) == []
    axis.plot([0, 1], [1, 0], color="C1", label="falling")
    axis.lines[0].set_color("C1")
    axis.lines[1].set_linestyle(axis.lines[0].get_linestyle())
    assert same_in_grey(figure) == ["'rising' and 'falling' look the same in grey"]
    axis.lines[1].set_linestyle("--")
    assert same_in_grey(figure) == []
