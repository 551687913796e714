"""The figures of notebook 4: titles that are true for the run."""

import numpy as np
import pandas as pd
import pytest

from shd_corpus.class_names import ENGLISH
from shd_course.figures.run_figures import RunFigures
from shd_helpers.study import Recipe
from shd_helpers.study.run_folder import Run

N_EPOCHS = 4


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("SHD_IMG_DIR", str(tmp_path))
    rng = np.random.default_rng(0)
    grow = np.linspace(0.1, 0.5, N_EPOCHS + 1)[:, None, None]
    weights = {
        "fc1/weight": grow * rng.normal(size=(1, 256, 183)),
        "fc2/weight": grow * rng.normal(size=(1, 10, 256)),
    }
    weights["fc1/weight"][:, :, 20:60] *= 3
    epoch = np.arange(1, N_EPOCHS + 1)
    epochs = pd.DataFrame({"epoch": epoch, "train_loss": 2 / epoch, "validation_loss": 2 / epoch})
    epochs["train_accuracy"] = 0.2 * epoch
    epochs["validation_accuracy"] = 0.15 * epoch
    label = np.tile(ENGLISH, 12)
    speaker = np.repeat(np.arange(12), 10)
    predicted = label.copy()
    predicted[(label == "eight") & (speaker > 6)] = "six"
    predictions = pd.DataFrame({"speaker": speaker, "label": label, "predicted": predicted})
    info = {
        "parameters": Recipe().flat(),
        "seen_speakers": [*range(10)],
        "data": {"name": "digits"},
        "class_names": list(ENGLISH),
    }
    return Run(tmp_path, info, epochs, weights, {}, predictions, {})


def test_titles_are_computed_from_the_run(run):
    draw = RunFigures(run)
    assert "unseen speakers: 'eight' as 'six' (2 of 2)" in draw.confusion_matrices().get_suptitle()
    title = draw.accuracy_per_speaker().get_suptitle()
    assert title == "Accuracy: 90 to 100 % for seen speakers, 90 % for unseen speakers"


def test_a_run_without_unseen_speakers_has_its_figures(run):
    run.info["seen_speakers"] = [*range(12)]
    draw = RunFigures(run)
    draw.accuracy_per_speaker()
    assert "unseen" not in draw.confusion_matrices().get_suptitle()
