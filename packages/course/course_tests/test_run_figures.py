"""The figures of notebook 4: legible, and titles that are true for the run."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from shd_corpus.class_names import ENGLISH
from shd_course.figures.run_figures import RunFigures, explained_by_digit
from shd_helpers.study import Recipe
from shd_helpers.study.run_folder import Run
from tests.overlaps import overlaps, same_in_gray, unlabeled

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
        "data": {"name": "spoken"},
        "class_names": list(ENGLISH),
    }
    return Run(tmp_path, info, epochs, weights, {}, predictions, {})


FIGURES = [
    "accuracy_and_loss",
    "weights_over_epochs",
    "weight_matrices",
    "confusion_matrices",
    "accuracy_per_speaker",
]


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_legible_and_saved(name, run, tmp_path):
    figure = getattr(RunFigures(run), name)()
    assert plt.get_fignums() == [] and figure.get_suptitle()
    assert overlaps(figure) == []
    assert unlabeled(figure) == [] and same_in_gray(figure) == []
    assert len([*tmp_path.glob("*.png")]) == 1


def test_titles_are_computed_from_the_run(run):
    draw = RunFigures(run)
    assert "80 % of the training utterances" in draw.accuracy_and_loss().get_suptitle()
    largest = np.abs(run.weights["fc1/weight"]).max((1, 2))
    title = draw.weights_over_epochs().get_suptitle()
    assert f"from {largest[0]:.2f} to {largest[-1]:.2f} (fc1)" in title
    assert "unseen speakers: 'eight' as 'six' (2 of 2)" in draw.confusion_matrices().get_suptitle()
    title = draw.accuracy_per_speaker().get_suptitle()
    assert title == "Accuracy: 90 to 100 % for seen speakers, 90 % for unseen speakers"


def test_curves_are_those_of_the_run(run):
    left, right = RunFigures(run).accuracy_and_loss().axes
    lines = {line.get_label(): line.get_xydata() for line in left.lines}
    table = run.epochs
    of = table.validation_accuracy * 100
    np.testing.assert_allclose(lines["validation"], np.transpose([table.epoch, of]))
    assert lines["chance"][0][1] == 10
    np.testing.assert_allclose(right.lines[0].get_ydata(), table.train_loss)


def test_a_run_without_unseen_speakers_has_its_figures(run):
    run.info["seen_speakers"] = [*range(12)]
    draw = RunFigures(run)
    draw.accuracy_per_speaker()
    assert "unseen" not in draw.confusion_matrices().get_suptitle()


def test_the_digit_explains_all_only_where_each_digit_has_one_spectrum(toy_dir):
    events = Recipe.from_flat({"dataset": str(toy_dir)}).load().training
    shares = explained_by_digit(events)
    assert list(shares) == sorted(shares)
    same = [int(np.flatnonzero(events.labels == label)[0]) for label in (0, 0, 1, 1)]
    alike = events.take(same)
    alike.speakers[:] = 7
    assert explained_by_digit(alike)[7] == pytest.approx(100)
