"""The circuit's tables: rows from run folders, and no run twice."""

import numpy as np
import pandas as pd
import pytest
from run_builders import run_of

import shd_circuit
from evidence import circuit_tables as tables
from evidence.networks import save_pretrained
from shd_circuit import export
from shd_helpers.study import load_network, load_utterances, read_run
from shd_helpers.study.recipe import Recipe
from tests.toy import write_toy


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Two run folders, the second with a circuit; speaker 3 is left out."""
    for name in ("data", "runs", "results"):
        monkeypatch.setenv(f"SHD_{name.upper()}_DIR", str(tmp_path / name))
    for name, values in (("STRENGTHS", (0.1,)), ("SLOWER", (0.5,)), ("FAULTY", (0.1,))):
        monkeypatch.setattr(tables, name, values)
    write_toy(tmp_path / "toy", seed=0)
    p = Recipe().flat() | {"dataset": str(tmp_path / "toy"), "epochs": 1, "n_hidden": 16}
    p |= {"protocol": "leave_one_speaker_out", "held_out": 3, "beta": 0.9375}
    run_of(p | {"run_name": "a"}, tmp_path / "runs" / "a")
    run_of(p | {"run_name": "b", "seed": 1, "circuit": "4-8-12"}, tmp_path / "runs" / "b")
    return tmp_path


def make(monkeypatch, table, *names):
    monkeypatch.setattr("sys.argv", ["circuit_tables.py", table, *names])
    tables.main()


def test_a_table_has_each_disturbance_once_and_no_run_twice(home, monkeypatch, capsys):
    path = home / "results" / "circuit_disturbances.csv"
    make(monkeypatch, "disturbances", "a")
    first = path.read_text()
    make(monkeypatch, "disturbances", "*")
    table = pd.read_csv(path, dtype={"run": str})
    assert path.read_text().startswith(first)
    n_slow = sum("clock" in kind for kind in shd_circuit.DISTURBANCES)
    n_rows = 1 + 3 * (len(shd_circuit.DISTURBANCES) - n_slow) + n_slow
    assert table.groupby("seed").size().to_dict() == {0: n_rows, 1: n_rows}
    info = read_run(home / "runs" / "a").info
    own = table[(table.run == info["hash"]) & (table.kind == "none")].iloc[0]
    for name in ("test", "test_seen", "test_unseen"):
        assert own[f"{name}_accuracy"] == pytest.approx(info["scores"][name], rel=1e-4)


def test_faults_are_those_of_a_run_or_of_its_kept_network(home, monkeypatch, capsys):
    kept = home / "results" / "networks" / "kept.npz"
    kept.parent.mkdir(parents=True)
    save_pretrained(read_run(home / "runs" / "b"), kept)
    make(monkeypatch, "faults", "b")
    path = home / "results" / "circuit_faults.csv"
    table = pd.read_csv(path)
    assert table.groupby("kind").size().to_dict() == {"none": 1} | dict.fromkeys(
        shd_circuit.FAULTS, 3
    )
    assert table.circuit.unique().tolist() == ["b: 4-8-12"]
    trained = load_network(read_run(home / "runs" / "b"))
    events = load_utterances(trained).predicted
    right = shd_circuit.circuit_of(trained).evaluate(events)[0].argmax(1) == events.labels
    assert table.accuracy[table.kind == "none"].item() == pytest.approx(right.mean(), rel=1e-4)
    monkeypatch.setattr(tables, "load_pretrained", lambda name: trained)  # its data has no name
    make(monkeypatch, "faults", "kept")  # the same run
    assert len(pd.read_csv(path)) == len(table)


def test_circuits_of_more_bits_agree_more_often(home, monkeypatch, capsys):
    """Of utterances of unseen speakers. With many bits hardly an answer differs."""
    monkeypatch.setattr(tables, "SMALL_CHOSEN", ("8-8-16 product", "2-8-16 product"))
    make(monkeypatch, "bits_small", "a")
    table = pd.read_csv(home / "results" / "circuit_bits_small.csv").set_index("circuit")
    info = read_run(home / "runs" / "a").info
    assert table.float_accuracy.tolist() == 2 * [pytest.approx(info["scores"]["test_unseen"], 1e-4)]
    many = table.loc["8-8-16 product"]
    few = table.loc["2-8-16 product"]
    assert many.agreement > few.agreement and many.agreement > 0.9
    assert many.bytes - few.bytes == 183 * 16 * 6 / 8


def test_unseen_people_have_a_row_each(home, monkeypatch, capsys):
    make(monkeypatch, "people", "a")
    (row,) = pd.read_csv(home / "results" / "circuit_people.csv").to_dict("records")
    info = read_run(home / "runs" / "a").info
    assert row["person"] == 3
    assert row["float_accuracy"] == pytest.approx(info["scores"]["test_unseen"], rel=1e-4)
    trained = load_network(read_run(home / "runs" / "a"))
    events = load_utterances(trained).predicted
    own = events.take(np.flatnonzero(events.speakers == 3))
    circuit = shd_circuit.circuit_of(trained, export.quantization_of(trained, "5-8-16 product"))
    right = circuit.evaluate(own)[0].argmax(1) == own.labels
    assert (row["utterances"], row["accuracy"]) == (len(own), pytest.approx(right.mean(), 1e-4))
