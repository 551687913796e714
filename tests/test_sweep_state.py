"""What a sweep skips and what its table keeps, without executing anything.

The heat map in which a sweep over two settings ends.
"""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from corpus_tests.damage import damages
from shd_helpers.study import recipe, tables
from shd_helpers.study.tables import (
    COSTS,
    DATA,
    INTEGER,
    PROVENANCE,
    SCORES,
    TableError,
    read_rows,
    read_table,
)
from shd_helpers.sweeps import runner
from shd_helpers.sweeps.runner import RunResult, finished_run, heat_map, run_sweep
from shd_helpers.sweeps.sweep_file import SweepError, read_sweep
from tests.toy import write_toy


def found(home, again=None):
    sweep = read_sweep(home.yaml)
    return runner.find_pending_runs(sweep, sweep.runs, again)


def missing(home, again=None):
    return [run.configuration for run in found(home, again).pending]


def store(home, ended):
    """Store what runs measured, or their tracebacks, by their place in the sweep."""
    sweep = read_sweep(home.yaml)
    by_run = {}
    for i, result in ended.items():
        has_failed = isinstance(result, str)
        by_run[sweep.runs[i]] = RunResult(error=result) if has_failed else RunResult(result)
    runner.store(sweep, by_run)


def measured(home, validation):
    """Return what a finished run folder says; one that is not in the sweep's way."""
    run = read_sweep(home.yaml).runs[0]
    home.finish(run, validation)
    found = finished_run(run.folder, run.hash)
    shutil.rmtree(run.folder)
    return found


def test_the_table_has_a_row_for_each_run(home):
    home.write(grid={"x": [1, 2.0], "kind": {"low one": {"word": "a/b"}, "high": {}}}, seeds=[3])
    home.finish_all(validation=0.1 + 0.2)
    table = run_sweep(home.yaml)
    wanted = {"x", "kind", "word", "seed", "configuration", "run_name", "hash", "status", "error"}
    wanted |= {*SCORES, *INTEGER, *COSTS, "training_s", "total_s", *PROVENANCE, *DATA}
    assert set(table.columns) == wanted
    assert table.configuration[:2].tolist() == ["x=1.0,kind=low-one", "x=1.0,kind=high"]
    assert table.kind.tolist() == ["low one", "high"] * 2
    assert table.word[:2].tolist() == ["a/b", "a"]
    assert table.run_name[3] == "sweeps/trial/x=2.0,kind=high,seed=3"
    assert (table.validation_accuracy == 0.1 + 0.2).all() and table.test_seen_accuracy.isna().all()
    assert (table.status == "done").all() and (table.error == "").all()
    stored = read_rows(home.table)
    assert stored.validation_accuracy.tolist() == [0.30000000000000004] * 4
    assert stored.hash.tolist() == [run.hash for run in read_sweep(home.yaml).runs]


def test_a_row_counts_as_done_without_a_run_folder(home):
    home.finish_all()
    run_sweep(home.yaml)
    shutil.rmtree(home.runs)
    assert missing(home) == []
    assert run_sweep(home.yaml).status.tolist() == ["done"] * 4
    home.table.unlink()
    assert missing(home) == ["x=1.0", "x=2.0", "x=1.0", "x=2.0"]  # first seeds first


def test_nothing_is_reused_when_the_computing_code_has_changed(home, monkeypatch, capsys):
    """Neither a row of the table nor a run folder."""
    home.finish_all()
    run_sweep(home.yaml)
    assert missing(home) == []
    monkeypatch.setattr(runner, "COMPUTING_CODE", "of yesterday")
    pending = found(home).pending
    assert len(pending) == 4 and all(pending.values())
    monkeypatch.setattr(runner, "run_jobs", lambda *_, **__: ())
    capsys.readouterr()
    run_sweep(home.yaml)
    first, last = capsys.readouterr().out.splitlines()
    assert first == f"trial: {runner.CHANGED_CODE}"
    assert "0 of 4 rows reused, 0 executed, 0 failed, 4 not run" in last


def test_a_row_says_where_and_with_which_code_its_run_was_made(home):
    home.finish_all(validation=0.5)
    run = read_sweep(home.yaml).runs[0]
    info = json.loads((run.folder / "run.json").read_text())
    info |= {"processor": "some processor", "versions": {"python": "3.11.7", "torch": "2.13.0"}}
    (run.folder / "run.json").write_text(json.dumps(info | {"git_commit": "abc-dirty"}))
    row, older, *_ = run_sweep(home.yaml)[[*PROVENANCE]].itertuples(index=False, name=None)
    assert row == ("some processor", "python=3.11.7 torch=2.13.0", "abc-dirty")
    assert older == ("", "", "")


def test_a_row_of_another_hash_or_one_that_failed_is_missing(home, monkeypatch):
    store(home, dict.fromkeys(range(3), measured(home, 0.5)) | {3: "no luck"})
    assert missing(home) == ["x=2.0"]
    home.write(grid={"x": [1.0, 3.0]})
    assert missing(home) == ["x=3.0", "x=3.0"]
    home.write()
    monkeypatch.setattr(recipe, "NUMERICS", -1)  # the code gives other results
    assert len(missing(home)) == 4


def test_again_takes_runs_whose_name_contains_the_text(home):
    home.finish_all()
    run_sweep(home.yaml)
    assert missing(home, "x=2.0,seed=1") == ["x=2.0"]
    assert missing(home, "seed=0") == ["x=1.0", "x=2.0"]
    again = found(home, "seed=0").pending
    assert all(again.values())
    with pytest.raises(SweepError, match=r"no run's name contains .* sweeps/trial/x=1\.0,seed=0"):
        run_sweep(home.yaml, again="x=2.0, seed=1")


def test_a_sweep_that_repeats_executes_all_runs_and_shows_both_tables(home, capsys):
    home.finish_all(validation=0.5)
    run_sweep(home.yaml)
    before = home.table.read_bytes()
    shutil.rmtree(home.runs)
    assert missing(home) == []
    home.write(repeats=True)
    assert len(missing(home)) == 4
    home.finish_all(validation=0.75)
    capsys.readouterr()
    table = run_sweep(home.yaml)
    assert (table.validation_accuracy == 0.75).all() and home.table.read_bytes() == before
    lines = capsys.readouterr().out.splitlines()
    row = next(line for line in lines if line.startswith("x=2.0") and "75.0" in line)
    assert row.split()[-2:] == ["75.0", "50.0"]
    assert missing(home) == []  # the second time it goes on


def test_rows_of_other_runs_stay_to_the_letter(home):
    home.finish_all()
    run_sweep(home.yaml)
    before = home.table.read_text().splitlines()
    home.write(grid={"x": [2.0, 7.0]}, seeds=[1])
    home.finish_all(validation=0.9)
    table = run_sweep(home.yaml)
    assert table.x.tolist() == [2.0, 7.0]  # the sweep's own
    after = home.table.read_text().splitlines()
    assert set(before) <= set(after) and len(after) == len(before) + 1
    x = read_rows(home.table).x.tolist()
    seed = read_rows(home.table).seed.tolist()
    assert list(zip(x, seed, strict=True)) == [(2, 1), (7, 1), (1, 0), (1, 1), (2, 0)]


def test_results_of_another_data_set_are_not_replaced(home, tmp_path, monkeypatch):
    """Of a folder, only the files' name is part of the table's name."""
    monkeypatch.setenv("SHD_RESULTS_DIR", str(tmp_path))
    for folder, seed in (("first", 0), ("second", 1)):
        write_toy(tmp_path / folder, seed)
    home.write(notebook="03_model_training", grid={"slope": [2.0]}, seeds=[0])
    sweep = read_sweep(home.yaml, {"dataset": str(tmp_path / "first")})
    (run,) = sweep.runs
    runner.store(sweep, {run: RunResult(dict.fromkeys(tables.MEASURED, 0.5))})
    before = sweep.table.read_text()
    with pytest.raises(
        SweepError, match=r"trial_toy\.csv: the row of .* was computed from another data set"
    ):
        run_sweep(home.yaml, {"dataset": str(tmp_path / "second")})
    assert sweep.table.read_text() == before
    shutil.copytree(tmp_path / "first", tmp_path / "moved")
    same = read_sweep(home.yaml, {"dataset": str(tmp_path / "moved")})
    runner.check_data(same, same.runs)
    assert runner.find_pending_runs(same, same.runs).n_in_table == 1


def test_a_result_stays_until_its_successor_has_ended_well(home, monkeypatch):
    store(home, {0: measured(home, 0.5)})
    before = home.table.read_text().splitlines()[1]
    monkeypatch.setattr(recipe, "NUMERICS", -1)
    store(home, {0: "no luck", 1: "no luck either"})
    assert read_rows(home.table).status.tolist() == ["done", "failed"]
    assert before in home.table.read_text().splitlines()
    sweep = read_sweep(home.yaml)
    own = runner.own_rows(sweep, sweep.runs, dict.fromkeys(sweep.runs, RunResult(error="no")))
    assert own.status.tolist() == ["failed"] * 4  # what has just happened is reported
    store(home, {0: measured(home, 0.75), 1: measured(home, 0.25)})
    rows = read_rows(home.table)
    assert rows.validation_accuracy.tolist() == [0.75, 0.25] and (rows.status == "done").all()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("parameters", {"x": 3.0}),
        ("scores", None),
        ("hash", "0"),
    ],
)
def test_only_a_complete_run_of_the_same_hash_counts(home, key, value):
    run, other, *_ = read_sweep(home.yaml).runs
    home.finish(run)
    path = run.folder / "run.json"
    good = path.read_text()
    assert finished_run(run.folder, run.hash) is not None
    assert finished_run(run.folder, other.hash) is None
    path.write_text(json.dumps(json.loads(good) | {key: value}))
    assert finished_run(run.folder, run.hash) is None


@damages
def test_a_table_that_is_damaged_is_named(home, damage):
    home.finish_all()
    run_sweep(home.yaml)
    damage(home.table)
    with pytest.raises(TableError, match=r"trial\.csv: (damaged .*git checkout|no such table)"):
        read_table(home.table)


@pytest.mark.parametrize(
    ("column", "value"),
    [("status", ""), ("run_name", "sweeps/trial/x=1.0,seed=0")],
)
def test_a_value_that_no_run_has_left_is_named(home, column, value):
    home.finish_all()
    run_sweep(home.yaml)
    rows = read_rows(home.table).astype(object)
    rows.loc[2, column] = value
    rows.to_csv(home.table, index=False)
    before = home.table.read_bytes()
    with pytest.raises(TableError, match=r"trial\.csv: damaged .*Restore it"):
        run_sweep(home.yaml)
    assert home.table.read_bytes() == before


@damages
def test_a_run_json_that_is_damaged_makes_its_run_missing(home, damage):
    home.finish_all()
    damage(read_sweep(home.yaml).runs[0].folder / "run.json")
    assert [run.hash for run in found(home).pending] == [read_sweep(home.yaml).runs[0].hash]


ROWS = pd.DataFrame(
    {
        "lr": [1e-3, 1e-3, 2e-3, 2e-3] * 2,
        "epochs": [10] * 4 + [20] * 4,
        "seed": [0, 1] * 4,
        "validation_accuracy": [0.5, 0.6, 0.2, 0.3, 0.7, 0.9, 0.1, 0.3],
    }
)


def test_a_cell_is_the_mean_over_seeds():
    figure = heat_map(ROWS, "lr", "epochs")
    axis = figure.axes[0]
    shown = axis.collections[0].get_array()
    np.testing.assert_allclose(shown, [[55, 25], [80, 20]])
    assert [text.get_text() for text in axis.texts] == ["55", "25", "80", "20"]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["0.001", "0.002"]
    assert figure.get_suptitle() == (
        "The highest mean over seeds is 80 %, with lr 0.001 and epochs 20"
    )
