"""Runs with `ensemble_size`: one language of their classes, and the figure of an utterance."""

from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from shd_corpus.class_names import LANGUAGES
from shd_corpus.speech import SPEECH_RATE_HZ, synthesize
from shd_course.figures import controls, listening
from shd_course.figures.playback import Playback
from shd_helpers.events import Subsets
from shd_helpers.network import build_network
from shd_helpers.study import (
    evaluate,
    load_network,
)
from shd_helpers.study.one_run import RunWriter
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.run_folder import read_run
from tests.builders.events import random_events

SETTINGS = {"n_hidden": 12, "pool_steps": 10, "language": "both", "ensemble_size": 3}
SETTINGS |= {"readout": "membrane"}
DATA = {"name": "hand", "train_sha256": "1", "test_sha256": "2"}
SEVEN = synthesize("seven", "en-us+m3"), SPEECH_RATE_HZ


def events_of(recipe):
    """Return random utterances of the classes of a recipe's language."""
    class_names = LANGUAGES[recipe.language]
    grid = recipe.input
    events = random_events(9, grid.n_steps, grid.n_units, len(class_names), 0.2)
    return replace(events, class_names=class_names)


def write(folder):
    """Write a run of an untrained ensemble whose weights are large enough to spike."""
    recipe = Recipe.from_flat(SETTINGS)
    events = replace(events_of(recipe), speakers=np.resize((0, 1), 9))
    generator = torch.Generator().manual_seed(recipe.seed)
    n_classes = len(events.class_names)
    grid = recipe.input
    model = build_network(recipe.network, grid.n_units, n_classes, grid.step_ms, generator)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name.endswith("weight"):
                parameter *= 3
    parts = Subsets(events.take(range(5)), events.take(range(5, 9)), None)
    run = RunWriter(folder, recipe.flat(), DATA, parts, model)
    predictions = pd.DataFrame({"speaker": [0, 1], "label": "one", "predicted": "two"})
    run.finish(model, {"test": 0.5}, predictions, {}, {})
    return read_run(folder)


@pytest.fixture
def ensemble(tmp_path):
    """The network of a run."""
    return load_network(write(tmp_path / "run"))


def test_an_ensemble_can_answer_in_one_language(ensemble):
    events = events_of(Recipe.from_flat(SETTINGS))
    ensemble.about["confidence_threshold"] = 0.7
    german = ensemble.speaking("german")
    assert german.about["confidence_threshold"] == 0.7
    assert german.class_names == LANGUAGES["german"]
    wanted = evaluate(ensemble.network, events).class_scores[:, 10:]
    few = replace(events, labels=events.labels % 10, class_names=german.class_names)
    found = evaluate(german.network, few)
    assert torch.equal(found.class_scores, wanted)


def test_the_figure_of_an_ensemble_shows_means_of_its_networks(ensemble, monkeypatch, capsys):
    monkeypatch.setattr(controls, "widgets", None)  # for a person; it would raise
    grid = ensemble.grid
    events = events_of(Recipe.from_flat(SETTINGS))
    size = (grid.n_units, grid.n_steps)
    playback = Playback(ensemble.network, size, ensemble.class_names, grid.step_ms, {"ahead": "C1"})
    scores = evaluate(ensemble.network, events).class_scores[0].numpy()
    assert playback.load(events, 0) == ensemble.class_names[scores.argmax()]
    _, leader, highest = playback.seek(playback.end_ms)
    assert leader == ensemble.class_names[scores.argmax()]
    assert highest == pytest.approx(scores.max(), abs=1e-6)
    plt.close(playback.figure)  # tests of other figures expect no open one
    listening.say_a_word(ensemble, *SEVEN, "Right at times.")
    assert "is ahead with a mean membrane of" in capsys.readouterr().out
