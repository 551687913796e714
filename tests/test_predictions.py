"""Predictions of runs, collected from where they are and counted by hand."""

import pandas as pd
import pytest

from shd_helpers.study import collect_predictions, count_correct, speaker_accuracies
from shd_helpers.study.predictions import predictions_path
from shd_helpers.study.tables import TableError
from shd_helpers.sweeps.runner import run_sweep
from shd_helpers.sweeps.spec import read_sweep


@pytest.fixture
def table(home):
    """Two runs of two utterances, "one" by speaker 3, who is seen in training, and "two" by 5."""
    home.write(grid={"x": [1.0]})
    for run, predicted in zip(
        read_sweep(home.yaml).runs, (["one", "two"], ["two", "one"]), strict=True
    ):
        home.finish(run, predicted=predicted)
    run_sweep(home.yaml, progress=False)
    rows = pd.read_csv(home.table)
    rows.assign(dataset="digits", language="english").to_csv(home.table, index=False)
    return home.table


def test_predictions_come_from_the_run_folders(table):
    found = collect_predictions(table)
    assert found.seed.tolist() == [0, 0, 1, 1] and set(found.configuration) == {"x=1.0"}
    assert found.row.tolist() == [0, 1] * 2 and set(found.part) == {"test"}
    assert found.label.tolist() == [1, 2] * 2 and found.predicted.tolist() == [1, 2, 2, 1]
    assert found.seen.tolist() == [True, False] * 2


def test_or_from_beside_the_table(table, home):
    before = collect_predictions(table)
    home.write(grid={"x": [1.0]}, keep_predictions=True)
    run_sweep(home.yaml, progress=False)
    for run in read_sweep(home.yaml).runs:
        (run.folder / "predictions.csv").unlink()
    rows = pd.read_csv(table).assign(dataset="digits", language="english")
    rows.to_csv(table, index=False)
    pd.testing.assert_frame_equal(collect_predictions(table), before)


def test_a_circuit_s_answers_come_along(table, home):
    """One of two runs has a circuit."""
    path = home.runs / "x=1.0,seed=1" / "predictions.csv"
    pd.read_csv(path).assign(integer_predicted=["one", "two"]).to_csv(path, index=False)
    home.write(grid={"x": [1.0]}, keep_predictions=True)
    for kept in (False, True):
        if kept:
            run_sweep(home.yaml, progress=False)
            rows = pd.read_csv(home.table)
            rows.assign(dataset="digits", language="english").to_csv(home.table, index=False)
            path.unlink()
        found = collect_predictions(table)
        assert found.integer_predicted.tolist() == [-1, -1, 1, 2]
        assert found.predicted.tolist() == [1, 2, 2, 1]


def test_a_run_that_has_its_row_alone_is_named_with_the_way_to_repeat_it(table, home):
    (home.runs / "x=1.0,seed=1" / "predictions.csv").unlink()
    with pytest.raises(TableError) as error:
        collect_predictions(table)
    text = str(error.value)
    assert "sweeps/trial/x=1.0,seed=1" in text and "make sweep SWEEP=trial DATASET=" in text
    assert "--again 'x=1.0,seed=1'" in text


def test_counts_are_those_of_the_hand(table):
    found = count_correct(collect_predictions(table), ["seen", "label", "predicted"])
    rows = {(r.seen, r.label, r.predicted): (r.utterances, r.correct) for r in found.itertuples()}
    assert rows == {
        (True, 1, 1): (1, 1), (True, 1, 2): (1, 0), (False, 2, 2): (1, 1), (False, 2, 1): (1, 0),
    }  # fmt: skip
    by_speaker = count_correct(collect_predictions(table), ["speaker"]).set_index("speaker")
    assert by_speaker.utterances.to_dict() == {3: 2, 5: 2}
    assert by_speaker.correct.to_dict() == {3: 1, 5: 1}


def test_each_speaker_is_unseen_once_and_seen_in_all_other_runs(tmp_path):
    """Three speakers, counted by hand."""
    table, columns = tmp_path / "t.csv", {"dataset": "hd", "language": "english", "status": "done"}
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
    names = ["hash", "part", "row", "speaker", "seen", "label", "predicted"]
    pd.DataFrame(rows, columns=names).to_csv(predictions_path(table), index=False)
    found = speaker_accuracies(table).set_index("speaker").sort_index()
    assert found.input.unique() == ["small"] and found.seed.unique() == [4]
    assert found.test_unseen_accuracy.tolist() == [1 / 2, 2 / 4, 0]
    assert found.test_seen_accuracy.tolist() == [2 / 3, 1 / 4, 3 / 4]
    runs.rename(columns={"input": "model"}).to_csv(table, index=False)
    assert speaker_accuracies(table, "model").set_index("speaker").sort_index().equals(found)
