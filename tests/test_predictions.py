"""Predictions of runs, kept beside their sweep's table, read and counted."""

import pandas as pd
import pytest

from shd_helpers.study import collect_predictions, speaker_accuracies
from shd_helpers.study.tables import TableError, predictions_path
from shd_helpers.sweeps.results import store_predictions
from shd_helpers.sweeps.runner import run_sweep
from shd_helpers.sweeps.spec import read_sweep


@pytest.fixture
def table(home):
    """Two runs of two utterances, "one" by speaker 3, who is seen in training, and "two" by 5.

    One of the runs has a circuit.
    """
    home.write(grid={"x": [1.0]}, keep_predictions=True)
    first, second = read_sweep(home.yaml).runs
    home.finish(first, predicted=["one", "two"])
    home.finish(second, predicted=["two", "one"], integer_predicted=["one", "two"])
    run_sweep(home.yaml)
    home.predictions.unlink()
    for run in (first, second):  # the first one's file has a column less
        store_predictions(read_sweep(home.yaml), [run])
    return home.table


def test_predictions_are_collected_with_the_settings_of_their_runs(table):
    found = collect_predictions(table)
    assert found.seed.tolist() == [0, 0, 1, 1] and set(found.configuration) == {"x=1.0"}
    assert found.row.tolist() == [0, 1] * 2 and set(found.file) == {"test"}
    assert found.label.tolist() == ["one", "two"] * 2
    assert found.predicted.tolist() == ["one", "two", "two", "one"]
    assert found.seen.tolist() == [True, False] * 2
    assert found.integer_predicted.tolist() == ["", "", "one", "two"]


def test_a_run_without_predictions_is_reported(table):
    kept = pd.read_csv(predictions_path(table))
    kept[kept["hash"] == kept["hash"][0]].to_csv(predictions_path(table), index=False)
    with pytest.raises(TableError, match=r"gz: 1 runs are missing\. Run the sweep again"):
        collect_predictions(table)
    kept.drop(columns="hash").to_csv(predictions_path(table), index=False)
    with pytest.raises(TableError, match=r"predictions\.csv\.gz: damaged.*'hash' not found"):
        collect_predictions(table)


def test_each_speaker_is_unseen_once_and_seen_in_all_other_runs(tmp_path):
    """Three speakers, counted by hand."""
    table = tmp_path / "t.csv"
    columns = {"dataset": "hd", "language": "english", "status": "done"}
    runs = pd.DataFrame({"hash": [*"abc"], "held_out": [0, 1, 2]}).assign(**columns)
    runs = runs.assign(input="small", seed=4, configuration=runs.hash, error="")
    runs = runs.assign(run_name=runs.hash + ",seed=4")
    runs.to_csv(table, index=False)
    said = [  # run, speaker, right answers, wrong ones
        *(("a", 0, 1, 1), ("a", 1, 1, 0), ("a", 2, 0, 1)),
        *(("b", 1, 2, 2), ("b", 0, 1, 1), ("b", 2, 3, 0)),
        *(("c", 2, 0, 4), ("c", 0, 1, 0), ("c", 1, 0, 3)),
    ]
    held_out = dict(zip(runs["hash"], runs.held_out, strict=True))
    rows = [
        (run, "test", 0, speaker, held_out[run] != speaker, "one", word)
        for run, speaker, right, wrong in said
        for word in ["one"] * right + ["two"] * wrong
    ]
    names = ["hash", "file", "row", "speaker", "seen", "label", "predicted"]
    pd.DataFrame(rows, columns=names).to_csv(predictions_path(table), index=False)
    found = speaker_accuracies(table).set_index("speaker").sort_index()
    assert found.input.unique() == ["small"] and found.seed.unique() == [4]
    assert found.test_unseen_accuracy.tolist() == [1 / 2, 2 / 4, 0]
    assert found.test_seen_accuracy.tolist() == [2 / 3, 1 / 4, 3 / 4]
    runs.rename(columns={"input": "model"}).to_csv(table, index=False)
    assert speaker_accuracies(table, "model").set_index("speaker").sort_index().equals(found)
