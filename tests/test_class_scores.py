"""Class scores that are kept beside a sweep's table, and the ensembles that are made of them."""

import shutil

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from shd_helpers.network import Ensemble, NetworkConfig, SpikingNetwork
from shd_helpers.study import evaluate
from shd_helpers.study.class_scores import (
    SCORES,
    ClassScores,
    behind_the_winner,
    collect_scores,
    mean_of_scores,
)
from shd_helpers.study.tables import TableError
from shd_helpers.sweeps import results, reuse
from shd_helpers.sweeps.runner import run_sweep
from shd_helpers.sweeps.spec import read_sweep
from tests.builders.events import random_events

BY_SEED = {0: [[0.5, 2.0], [3.0, -1.0]], 1: [[1.0, 0.0], [0.0, 1e9]]}


def softmax(values):
    powers = np.exp(values - values.max())
    return powers / powers.sum()


@settings(deadline=None)
@given(
    st.lists(
        st.lists(st.floats(-(2.0**100), 2.0**100, width=32), min_size=4, max_size=4),
        min_size=1,
        max_size=9,
    )
)
def test_stored_scores_have_the_same_answer_and_the_same_confidence(values):
    exact = np.array(values, np.float32)
    stored = behind_the_winner(exact)
    assert stored.dtype == np.float16
    assert np.isfinite(stored).all()
    assert stored.max(axis=1).tolist() == [0] * len(exact)
    for before, after in zip(exact, stored, strict=True):
        # all winners, and only these, have 0
        assert (before == before.max()).tolist() == (after == 0).tolist()
        np.testing.assert_allclose(
            softmax(after.astype(np.float64)), softmax(before.astype(np.float64)), atol=5e-3
        )


def test_scores_beyond_the_range_of_float16_are_stored_as_its_lowest_number():
    stored = behind_the_winner(np.array([[0.0, 70_000.0, 65_000.0, -3e38]], np.float32))
    assert stored.tolist() == [[-65504.0, 0.0, -5000.0, -65504.0]]
    nearly = np.array([[1.0, np.nextafter(np.float32(1e-9), np.float32(0)), 1e-9]], np.float32)
    assert behind_the_winner(nearly[:, 1:]).tolist() == [[-(2.0**-24), 0.0]]


@pytest.fixture
def swept(home):
    """Two runs, of seeds 0 and 1, whose scores are kept. Utterances are by speakers 3 and 5."""
    home.write(grid={"x": [1.0]}, keep_predictions=True, keep_scores=True)
    for run in read_sweep(home.yaml).runs:
        seed = run.parameters["seed"]
        words = ["one" if scores[0] >= scores[1] else "two" for scores in BY_SEED[seed]]
        home.finish(run, predicted=words, scores=BY_SEED[seed])
    run_sweep(home.yaml)
    return home


def test_a_sweep_keeps_the_scores_of_its_runs(swept):
    runs = read_sweep(swept.yaml).runs
    found = collect_scores(swept.table)
    assert set(found) == {run.hash for run in runs} == {*SCORES.read(swept.scores)}
    first, second = (found[run.hash] for run in runs)
    assert first.scores.tolist() == [[-1.5, 0], [0, -4]]
    assert second.scores.tolist() == [[0, -1], [-65504, 0]]
    assert first.class_names == ("one", "two")
    assert first.label.tolist() == [0, 1]
    assert first.is_correct.tolist() == [False, False]
    assert second.is_correct.tolist() == [True, True]
    assert first.file.tolist() == [1, 1] and first.row.tolist() == [0, 1]
    assert first.speaker.tolist() == [3, 5]


def test_kept_scores_survive_their_run_folders_and_other_runs_join_them(swept):
    before = swept.scores.read_bytes()
    shutil.rmtree(swept.runs)
    sweep = read_sweep(swept.yaml)
    assert not reuse.find_pending_runs(sweep, sweep.runs).pending
    swept.write(grid={"x": [2.0]}, seeds=[0], keep_predictions=True, keep_scores=True)
    sweep = read_sweep(swept.yaml)
    swept.finish(sweep.runs[0], predicted=["one", "one"], scores=[[1, 0], [2, 0]])
    results.store_predictions(sweep, sweep.runs)
    assert len({*SCORES.read(swept.scores)}) == 3
    with h5py.File(swept.scores, "r+") as file:
        del file[sweep.runs[0].hash]
    assert len({*SCORES.read(swept.scores)}) == 2
    SCORES.save(swept.scores, {})
    swept.scores.write_bytes(before)  # the same runs make the same file
    swept.write(grid={"x": [1.0]}, keep_predictions=True, keep_scores=True)
    for run in read_sweep(swept.yaml).runs:
        swept.finish(run, predicted=["one", "one"], scores=BY_SEED[run.parameters["seed"]])
    results.store_predictions(read_sweep(swept.yaml), read_sweep(swept.yaml).runs)
    assert swept.scores.read_bytes() == before


def test_missing_and_damaged_scores_are_reported(swept):
    good = swept.scores.read_bytes()
    with h5py.File(swept.scores, "r+") as file:
        del file[read_sweep(swept.yaml).runs[0].hash]
    with pytest.raises(TableError, match=r"scores\.h5: 1 runs are missing\. Run the sweep again"):
        collect_scores(swept.table)
    swept.scores.write_bytes(good[: len(good) // 2])
    with pytest.raises(TableError, match=r"trial_scores\.h5: damaged"):
        collect_scores(swept.table)
    swept.scores.write_bytes(good)
    with h5py.File(swept.scores, "r+") as file:
        run = file[read_sweep(swept.yaml).runs[0].hash]
        run.attrs["class_names"] = ["one", "two", "three"]
    with pytest.raises(TableError, match=r"trial_scores\.h5: damaged.*sizes of .* don't match"):
        collect_scores(swept.table)


def member(scores, **changes):
    n = len(scores)
    columns = {"label": [0] * n, "file": [1] * n, "row": range(n), "speaker": [2] * n} | changes
    arrays = {name: np.array(values) for name, values in columns.items()}
    return ClassScores(np.array(scores, np.float16), class_names=("a", "b"), **arrays)


def test_an_ensemble_of_stored_scores_answers_as_the_ensemble_of_networks_does():
    """The oracle runs the networks themselves."""
    events = random_events(60, 20, 8, 2, 0.3)
    networks = [
        SpikingNetwork(
            (8, 6, 2), NetworkConfig(readout="membrane"), torch.Generator().manual_seed(seed)
        )
        for seed in range(3)
    ]
    members = [
        member(
            behind_the_winner(evaluate(network, events).class_scores.numpy()),
            label=events.labels,
        )
        for network in networks
    ]
    together = evaluate(Ensemble(networks), events)
    found = mean_of_scores(members)
    assert (found.is_correct == (together.answers == events.labels)).all()
    exact = together.class_scores.double().numpy()
    exact -= exact.max(axis=1, keepdims=True)
    np.testing.assert_allclose(found.scores, exact, atol=2e-3)
    assert len({tuple(each.is_correct) for each in (*members, found)}) > 2  # they differ


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_stored_scores_that_are_not_finite_are_refused(swept, value):
    with h5py.File(swept.scores, "r+") as file:
        name = next(iter(file))
        file[name]["scores"][0, 1] = value
    with pytest.raises(TableError, match=rf"trial_scores\.h5: damaged .*{name} has class scores"):
        collect_scores(swept.table)


def test_scores_of_a_network_that_diverged_are_not_stored(home):
    run = read_sweep(home.yaml).runs[0]
    home.finish(run, predicted=["one", "two"], scores=[[np.nan, 1], [0, 1]])
    with pytest.raises(TableError, match=r"class scores aren't finite, because .* diverged"):
        SCORES.save(home.scores, {run.hash: run.folder})
    assert not home.scores.exists()


def test_members_are_matched_by_utterance():
    first = member([[0, -1], [-3, 0]])
    turned = member([[0, -4], [-5, 0]], row=[1, 0])
    mean = mean_of_scores([first, turned])
    assert mean.row.tolist() == [0, 1]
    assert mean.scores.tolist() == [[-2.0, 0.0], [0.0, -0.5]]


def test_some_utterances_are_taken_by_index_or_by_truth_value():
    scores = member([[0, -1], [-2, 0], [-3, 0]], label=[0, 1, 1], speaker=[4, 5, 6])
    turned = scores.take(np.array([2, 0]))
    assert turned.scores.tolist() == [[-3, 0], [0, -1]] and turned.label.tolist() == [1, 0]
    assert turned.row.tolist() == [2, 0] and turned.file.tolist() == [1, 1]
    chosen = scores.take(scores.speaker > 4)
    assert chosen.speaker.tolist() == [5, 6] and chosen.scores.tolist() == [[-2, 0], [-3, 0]]
    assert turned.class_names == chosen.class_names == ("a", "b")


@pytest.mark.parametrize("change", [{"row": [0, 2]}, {"file": [0, 1]}, {"label": [0, 1]}])
def test_members_of_different_utterances_are_no_ensemble(change):
    with pytest.raises(ValueError, match="they have scored different utterances"):
        mean_of_scores([member([[0, -1], [-3, 0]]), member([[0, -1], [-3, 0]], **change)])
    with pytest.raises(ValueError, match="needs at least one network"):
        mean_of_scores([])


def test_damaged_scores_of_a_run_folder_are_named_with_one_remedy(home):
    run = read_sweep(home.yaml).runs[0]
    home.finish(run, predicted=["one", "two"], scores=BY_SEED[0])
    path = run.folder / "class_scores.h5"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(
        TableError, match=r"class_scores\.h5: damaged .* this run again\."
    ) as raised:
        SCORES.save(home.scores, {run.hash: run.folder})
    assert "predictions.csv" not in str(raised.value) and "Run 03" not in str(raised.value)
