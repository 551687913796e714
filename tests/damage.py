"""Damaged files of the study's own: each is named, with the remedy, or made again; none hangs."""

import os
from pathlib import Path

import h5py
import numpy as np
import pytest

from shd_helpers.study import load_network
from shd_helpers.study.predictions import collect_predictions, keep_predictions
from shd_helpers.study.run_folder import RunError, read_run
from shd_helpers.study.tables import TableError, finished_run, read_rows, read_table
from shd_helpers.sweeps.runner import missing, run_sweep
from shd_helpers.sweeps.spec import SweepError, read_sweep
from tests.test_run_folder import write_run


def replaced(create):
    def attack(path):
        path.unlink()
        create(path)

    return attack


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path):
    """Some bits of every seventh byte."""
    content = np.frombuffer(path.read_bytes(), np.uint8).copy()
    content[::7] ^= 0x55
    path.write_bytes(content.tobytes())


WAYS = {
    "gone": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut": cut,
    "flipped": flipped,
    "a folder": replaced(Path.mkdir),
    "a pipe": replaced(os.mkfifo),
    "a device": replaced(lambda path: path.symlink_to("/dev/zero")),
    "a link to nowhere": replaced(lambda path: path.symlink_to("gone")),
    "a link to itself": replaced(lambda path: path.symlink_to(path)),
}
of_all_ways = pytest.mark.parametrize("way", WAYS)


@pytest.fixture
def runs(tmp_path):
    write_run(tmp_path / "run")
    return tmp_path


@of_all_ways
@pytest.mark.parametrize(
    "name", ["run.json", "weights.h5", "state_dict.pt", "examples.h5", "predictions.csv"]
)
def test_a_run_that_is_damaged_is_named(runs, way, name):
    path = runs / "run" / name
    WAYS[way](path)
    with pytest.raises(RunError) as error:
        read_run(runs / "run")
    text = str(error.value)
    assert str(path) in text and "Run 03_model_training" in text and "\n" not in text


@pytest.mark.parametrize("content", ["[]", "{}", '{"parameters": 97}', '{"seen_speakers": "3"}'])
def test_a_run_json_of_other_content_is_named(runs, content):
    (runs / "run" / "run.json").write_text(content)
    with pytest.raises(RunError, match=r"run\.json: damaged"):
        read_run(runs / "run")


def test_a_network_of_parameters_that_cannot_be(runs):
    run = read_run(runs / "run")
    for language in (97, "latin"):
        run.info["parameters"]["language"] = language
        with pytest.raises(RunError, match=r"run\.json: damaged"):
            load_network(run)


def test_weights_that_claim_more_than_is_in_the_file(runs):
    with h5py.File(runs / "run" / "weights.h5", "a") as file:
        file.create_dataset("more", (10**10,), "f4", chunks=(1000,))
    with pytest.raises(RunError, match=r"weights\.h5: .*more takes more than can be in the file"):
        read_run(runs / "run")


@of_all_ways
def test_a_table_that_is_damaged_is_named(home, way):
    home.finish_all()
    run_sweep(home.yaml, progress=False)
    WAYS[way](home.table)
    if way in ("gone", "a link to nowhere", "a link to itself"):
        with pytest.raises(TableError, match=r"trial\.csv: no such table; run its sweep"):
            read_table(home.table)
        return
    with pytest.raises(TableError, match=r"trial\.csv: .*Restore it"):
        read_table(home.table)


@pytest.mark.parametrize(
    ("column", "value"),
    [("train_accuracy", "high"), ("status", ""), ("run_name", "sweeps/trial/x=1.0,seed=0")],
)
def test_a_value_that_no_run_has_left_is_named(home, column, value):
    home.finish_all()
    run_sweep(home.yaml, progress=False)
    rows = read_rows(home.table).astype(object)
    rows.loc[2, column] = value
    rows.to_csv(home.table, index=False)
    before = home.table.read_bytes()
    for read in (read_rows, lambda _: run_sweep(home.yaml, progress=False)):
        with pytest.raises(TableError, match=r"trial\.csv: damaged .*Restore it"):
            read(home.table)
    assert home.table.read_bytes() == before


@of_all_ways
def test_a_run_json_in_the_way_of_a_sweep_does_not_hang(home, way):
    run = read_sweep(home.yaml).runs[0]
    home.finish(run)
    WAYS[way](run.folder / "run.json")
    assert finished_run(run.folder, run.hash) is None
    assert len(missing(read_sweep(home.yaml))) == 4


@of_all_ways
def test_predictions_that_are_damaged_are_named(home, way):
    home.write(keep_predictions=True, grid={"x": [1.0, 2.0]}, seeds=[0])
    home.finish_all(predicted=["one", "one"])
    run_sweep(home.yaml, progress=False)
    run = read_sweep(home.yaml).runs[0]
    path = run.folder / "run.json"
    path.write_text(path.read_text().replace('"validation": 0.5', '"test": 0.5'))
    WAYS[way](run.folder / "predictions.csv")
    with pytest.raises(TableError, match=r"predictions\.csv: damaged .*Remove .*runs it again"):
        keep_predictions(home.predictions, {run.hash: run.folder})
    if way not in ("gone", "a link to nowhere", "a link to itself"):
        WAYS[way](home.predictions)
        with pytest.raises(TableError, match=r"trial_predictions\.csv\.gz: damaged .*Restore"):
            run_sweep(home.yaml, progress=False)


def test_predictions_of_words_that_there_are_not(home):
    home.write(keep_predictions=True, grid={"x": [1.0]}, seeds=[0], fixed={})
    home.finish_all(predicted=["one", "eins"])
    run_sweep(home.yaml, progress=False)
    rows = read_rows(home.table).assign(language="english")
    rows.to_csv(home.table, index=False)
    with pytest.raises(TableError, match=r"predictions\.csv\.gz: a word of another language"):
        collect_predictions(home.table)


@of_all_ways
def test_a_sweep_s_file_that_is_damaged_is_named(home, way):
    WAYS[way](home.yaml)
    with pytest.raises(SweepError, match=r"a sweep\.yaml: "):
        read_sweep(home.yaml)


@pytest.mark.parametrize(
    "text",
    ["[" * 5000, "a: &x [*x]", "name: " + "x" * 300, "? [1]\n: 2", "{a: {b: 2}: 3}", "x: !!int x"],
)
def test_a_sweep_s_file_of_strange_content_is_named(home, text):
    good = home.yaml.read_text()
    for content in (text, good.replace("name: trial", text) if "name" in text else text):
        home.yaml.write_text(content)
        with pytest.raises(SweepError, match=r"a sweep\.yaml: ") as error:
            read_sweep(home.yaml)
        assert len(str(error.value)) < 1000
