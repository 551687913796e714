"""The steps of a run in notebook 3, and how notebook 4 reads what they leave."""

import numpy as np
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
    assert scored.table().data.shape == (1, 5)
    sizes = finish_run(run, model, scored)
    assert {"run.json", "weights.h5", "predictions.csv"} <= {*sizes}
    assert all((run.folder / name).stat().st_size == 1e6 * size for name, size in sizes.items())
    read = read_spiking_run("mine")
    assert read.info["scores"] == scored.accuracies
    assert read.info["costs"]["effective_acs"] > 0
    assert {*read.examples} == {*parts.test.class_names}


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
    convolutional = Recipe.from_flat(recipe.flat() | {"network": "convolutional"})
    model = network_of(convolutional, parts)
    run = start_run(convolutional, parts, model)
    scored = score(model, parts)
    finish_run(run, model, scored)
    with pytest.raises(RunError, match="no spikes were recorded; train with network = 'spiking'"):
        read_spiking_run("mine")
