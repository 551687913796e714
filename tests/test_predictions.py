"""Predictions of runs, kept beside their sweep's table, read and counted."""

import pandas as pd

from shd_helpers.study import speaker_accuracies
from shd_helpers.study.tables import predictions_path


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
