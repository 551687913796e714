"""The steps of a run in notebook 3, and how notebook 4 reads what they leave."""

import numpy as np
import pandas as pd
import pytest
import torch

from shd_helpers.network import build_network
from shd_helpers.study import (
    Recipe,
    finish_run,
    fit,
    list_utterances,
    read_spiking_run,
    score,
    shown_accuracies,
    start_run,
)
from shd_helpers.study.run_folder import RunError


@pytest.fixture
def recipe(toy_dir, tmp_path, monkeypatch):
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path))
    return Recipe.from_flat({"dataset": str(toy_dir), "epochs": 1, "run_name": "mine"})


def network_of(recipe, parts):
    sizes = parts.training.n_units, len(parts.training.class_names), recipe.input.step_ms
    return build_network(recipe.network, *sizes, torch.Generator().manual_seed(0))


def test_the_list_of_utterances_has_each_part_with_its_speakers(recipe):
    parts = recipe.load()
    table = list_utterances(recipe, parts).data
    assert [*table.index] == ["training", "validation", "test"]
    assert [*table.utterances] == [len(part) for part in parts]
    assert table.speakers["training"] == ", ".join(map(str, np.unique(parts.training.speakers)))
    assert [*list_utterances(recipe, parts._replace(test=None)).data.index] == [*table.index[:2]]


def test_a_run_is_scored_written_and_read(recipe):
    parts = recipe.load()
    model = network_of(recipe, parts)
    run = start_run(recipe, parts, model)
    fit(
        model, parts.training, parts.validation, recipe.training, torch.Generator(),
        on_epoch=run.epoch,
    )  # fmt: skip
    scored = score(model, parts)
    right = (scored.predictions.label == scored.predictions.predicted).to_numpy()
    is_seen = np.isin(parts.test.speakers, parts.training.speakers)
    assert scored.accuracies["test"] == right.mean()
    assert scored.accuracies["test_seen"] == right[is_seen].mean()
    assert scored.accuracies["test_unseen"] == right[~is_seen].mean()
    unseen = sorted({*parts.test.speakers} - {*parts.training.speakers})
    assert [*scored.table().data] == [
        "train",
        "validation",
        "test_seen",
        *(f"unseen speaker {each}" for each in unseen),
    ]
    finish_run(run, model, scored)
    read = read_spiking_run("mine")
    assert read.info["scores"] == scored.accuracies
    assert read.info["costs"]["effective_acs"] > 0
    assert {*read.examples} == {*parts.test.class_names}


def answers_of(right_by_speaker):
    """Return predictions in which each speaker has ten utterances, some of them right."""
    rows = [
        (speaker, "one", "one" if number < n_right else "two")
        for speaker, n_right in right_by_speaker.items()
        for number in range(10)
    ]
    return pd.DataFrame(rows, columns=["speaker", "label", "predicted"])


MEASURED = {"train": 0.99, "validation": 0.9, "test": 0.7, "test_seen": 0.8, "test_unseen": 0.6}


def test_few_unseen_speakers_are_shown_one_by_one_without_any_mean():
    predictions = answers_of({0: 8, 1: 8, 7: 9, 4: 3})
    integer = {"integer_test": 0.5, "integer_test_unseen": 0.4, "integer_agreement": 0.9}
    assert shown_accuracies(MEASURED | integer, predictions, seen=[0, 1]) == {
        "train": 0.99,
        "validation": 0.9,
        "test_seen": 0.8,
        "integer_agreement": 0.9,
        "unseen speaker 4": 0.3,
        "unseen speaker 7": 0.9,
    }


@pytest.mark.parametrize("n_unseen", [6, 7])
def test_more_than_six_unseen_speakers_have_a_mean(n_unseen):
    predictions = answers_of(dict.fromkeys(range(n_unseen), 5))
    shown = shown_accuracies(MEASURED, predictions, seen=[9])
    assert ("test_unseen" in shown) == ("test" in shown) == (n_unseen == 7)
    assert ("unseen speaker 0" in shown) == (n_unseen == 6)


def test_a_run_that_tests_nobody_shows_no_speaker():
    nothing = dict.fromkeys(("test", "test_seen", "test_unseen"))
    shown = shown_accuracies(MEASURED | nothing, answers_of({3: 5}), seen=[0])
    assert shown == MEASURED | nothing


def test_without_a_test_the_validation_utterances_are_predicted(recipe):
    parts = recipe.load()._replace(test=None)
    scored = score(network_of(recipe, parts), parts)
    assert scored.tested is None and scored.last is scored.validated
    assert len(scored.predictions) == len(parts.validation)
    assert scored.accuracies["test_unseen"] is None


def test_notebook_4_refuses_what_it_cannot_show(recipe):
    with pytest.raises(ValueError, match=r"run_name '\.\./mine'"):
        read_spiking_run("../mine")
    with pytest.raises(RunError, match=r"run\.json: no such file"):
        read_spiking_run("mine")
    parts = recipe.load()
    reference = "tests/tried/own_module/gru.py:SmallGRU"
    without_spikes = Recipe.from_flat(recipe.flat() | {"network": reference})
    model = network_of(without_spikes, parts)
    run = start_run(without_spikes, parts, model)
    scored = score(model, parts)
    finish_run(run, model, scored)
    with pytest.raises(RunError, match="no spikes were recorded; train with network = 'spiking'"):
        read_spiking_run("mine")
