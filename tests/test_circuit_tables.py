"""The circuit's tables: rows from run folders, no run twice, and what is no run passed over."""

import importlib.util
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

import hardware
from shd_helpers.events import Downsampling, Split, load_parts
from shd_helpers.events.toy import write_toy
from shd_helpers.network import NetworkConfig, build_network
from shd_helpers.paths import NOTEBOOKS, ROOT
from shd_helpers.source import fingerprint, locate
from shd_helpers.study import RunWriter, evaluate, record_examples, seen_and_unseen_accuracy
from shd_helpers.study.identity import notebook_parameters, settings

SPEC = importlib.util.spec_from_file_location(
    "circuit_tables", ROOT / "tools" / "circuit_tables.py"
)
tables = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(tables)


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Two run folders of untrained networks, the second with a circuit; speaker 3 is left out."""
    monkeypatch.setenv("SHD_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("SHD_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.delenv("SHD_SMOKE", raising=False)
    monkeypatch.setattr(tables, "STRENGTHS", (0.1,))
    monkeypatch.setattr(tables, "SLOWER", (0.5,))
    monkeypatch.setattr(tables, "MARGINS", (0, 2))
    monkeypatch.setattr(tables, "SILENCES", (0, 10))
    write_toy(tmp_path / "toy", seed=0)
    defaults = notebook_parameters(NOTEBOOKS / "03_model_training.ipynb")
    defaults |= {"dataset": str(tmp_path / "toy"), "protocol": "leave_one_out", "held_out": 3}
    defaults |= {"n_hidden": 16, "beta": 0.9375}
    bits = {"circuit": "4-8-12"}
    for name, more in (("a", {"seed": 0}), ("b", {"seed": 1, **bits})):
        p = defaults | more
        files, grid, split = locate(p["dataset"]), settings(Downsampling, p), settings(Split, p)
        parts = load_parts(files, grid, "english", split, p["seed"])
        generator = torch.Generator().manual_seed(p["seed"])
        config, n_classes = settings(NetworkConfig, p), len(parts.test.class_names)
        model = build_network(config, grid.n_units, n_classes, grid.step_ms, generator)
        for fc, _ in model.layers:
            fc.weight.data *= 3
        run = RunWriter(tmp_path / "runs" / name, p, fingerprint(files), parts, model)
        tested = evaluate(model, parts.test)
        scores = seen_and_unseen_accuracy(tested, run.info["seen_speakers"])
        examples = record_examples(model, parts.test)
        run.finish(model, scores, tested.predictions(), examples, {})
    return tmp_path


def make(monkeypatch, *arguments):
    monkeypatch.setattr("sys.argv", ["circuit_tables.py", *arguments])
    tables.main()


def test_disturbances(home, monkeypatch):
    make(monkeypatch, "disturbances", "a")
    path = home / "results" / "circuit_disturbances.csv"
    first = path.read_text()
    with monkeypatch.context() as patch:  # nothing is called for what is there
        patch.setitem(tables.TABLES, "disturbances", None)
        make(monkeypatch, "disturbances", "a")
    assert path.read_text() == first
    make(monkeypatch, "disturbances", "*")
    table = pd.read_csv(path, dtype={"run": str})
    assert path.read_text().startswith(first)
    kinds = hardware.DISTURBANCES
    n_slow = sum("clock" in kind for kind in kinds)
    assert (table.groupby("run").size() == 1 + 3 * (len(kinds) - n_slow) + n_slow).all()
    assert set(table.speaker) == {3} and set(table.seed) == {0, 1}
    info = tables.read_run(home / "runs" / "a").info
    own = table[(table.run == info["hash"]) & (table.kind == "none")].iloc[0]
    for name in ("test", "test_seen", "test_unseen"):
        assert own[f"{name}_accuracy"] == pytest.approx(info["scores"][name], rel=1e-4)


def test_stopping(home, monkeypatch):
    make(monkeypatch, "stopping", "*")
    table = pd.read_csv(home / "results" / "circuit_stopping.csv", dtype={"run": str})
    assert table.groupby(["seed", "network"]).size().to_dict() == {
        (0, "floats"): 4, (1, "floats"): 4, (1, "integers"): 4
    }  # fmt: skip
    whole = table[(table.margin == 0) & (table.silence == 0)]
    assert (whole.test_unseen_steps == 333).all() and (table.test_unseen_steps <= 333).all()
    run = tables.read_run(home / "runs" / "b")
    test = tables.load_utterances(run).test
    new = test.take(np.flatnonzero(test.speakers == 3))
    answers = hardware.circuit_of(tables.of_run(run)).count(new)[0].argmax(1)
    own = whole[whole.network == "integers"].iloc[0]
    assert own.test_unseen_accuracy == pytest.approx(np.mean(answers == new.labels), rel=1e-4)
    assert own.circuit == "4-8-12"


@pytest.mark.slow
def test_budget(home, monkeypatch):
    """Bytes and spikes are counted again from the circuit; yosys' cells can only be there."""
    make(monkeypatch, "budget", "*")
    table = pd.read_csv(home / "results" / "circuit_budget.csv", dtype={"run": str})
    assert table.groupby("seed").circuit.first().tolist() == ["8-8-16", "4-8-12"]
    few = table[table.seed == 1].set_index("quantity").value
    assert few["bytes: weights, layer 1"] == 183 * 16 * 4 / 8
    assert few["bytes: membranes"] == 26 * 12 / 8
    assert few["neuron_updates"] == 333 * 26
    run = tables.read_run(home / "runs" / "b")
    test = tables.load_utterances(run).test
    own = hardware.circuit_of(tables.of_run(run))
    words = [
        own.run_pooled(test.steps[low:high], test.units[low:high])
        for low, high in pairwise(test.offsets)
    ]
    hidden = np.mean([word.spk[0].sum() for word in words])
    assert few["hidden_spikes"] == pytest.approx(hidden, rel=1e-4)
    # at least a cycle an event, and a neuron update
    assert few["clock cycles"] > few["neuron_updates"] and few["cells: LUT4"] > 100
    assert few["clock cycles"] / 333 < few["cycles, busiest step"] < few["cycles, worst step"]
    assert 0 < few["events, fullest step"] <= few["events, two steps"]


def test_a_folder_without_a_run_is_passed_over_and_none_at_all_is_an_error(
    home, monkeypatch, capsys
):
    (home / "runs" / "b" / "run.json").unlink()
    make(monkeypatch, "stopping", "*")
    table = pd.read_csv(home / "results" / "circuit_stopping.csv")
    assert set(table.seed) == {0}
    with pytest.raises(SystemExit):
        make(monkeypatch, "stopping", "missing")
    assert "no run folder" in capsys.readouterr().err
