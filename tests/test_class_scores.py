"""Class scores that are kept beside a sweep's table, from which ensembles can be judged."""

import shutil

import h5py
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shd_helpers.study.tables import TableError
from shd_helpers.sweeps import results
from shd_helpers.sweeps.runner import run_sweep
from shd_helpers.sweeps.saved import SCORES, behind_the_winner
from shd_helpers.sweeps.spec import read_sweep

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
    with h5py.File(swept.scores) as file:
        assert set(file) == {run.hash for run in runs}
        first, second = (file[run.hash] for run in runs)
        assert first["scores"][:].tolist() == [[-1.5, 0], [0, -4]]
        assert second["scores"][:].tolist() == [[0, -1], [-65504, 0]]
        assert list(first.attrs["class_names"]) == ["one", "two"]
        assert first["label"][:].tolist() == [0, 1]
        assert first["file"][:].tolist() == [1, 1] and first["row"][:].tolist() == [0, 1]
        assert first["speaker"][:].tolist() == [3, 5]


def test_kept_scores_survive_their_run_folders_and_other_runs_join_them(swept):
    before = swept.scores.read_bytes()
    shutil.rmtree(swept.runs)
    sweep = read_sweep(swept.yaml)
    assert not results.find_pending_runs(sweep, sweep.runs).pending
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


def test_a_run_without_its_scores_is_run_again(home):
    """Its row and its predictions are there, as of a sweep that kept no scores at first."""
    home.write(grid={"x": [1.0]}, keep_predictions=True)
    first, second = read_sweep(home.yaml).runs
    home.finish(first, predicted=["one", "one"])
    home.finish(second, predicted=["two", "one"])
    run_sweep(home.yaml)
    home.write(grid={"x": [1.0]}, keep_predictions=True, keep_scores=True)
    sweep = read_sweep(home.yaml)
    found = results.find_pending_runs(sweep, sweep.runs)
    assert [each.ignore_finished_folder for each in found.pending] == [True, True]
    home.finish(second, predicted=["two", "one"], scores=BY_SEED[0])
    found = results.find_pending_runs(sweep, sweep.runs)
    assert [each.run.hash for each in found.pending] == [first.hash]
    results.store_predictions(sweep, found.only_in_folders)
    assert {*SCORES.read(home.scores)} == {second.hash}


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
