"""Users' surrogates and networks in a sweep's file: paths, identity, and changes on the way."""

import json
import sys

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from shd_helpers.objects import parse_reference
from shd_helpers.study.recipe import Recipe
from shd_helpers.sweeps import execution, results, reuse
from shd_helpers.sweeps.runner import run_sweep
from shd_helpers.sweeps.spec import read_sweep
from shd_helpers.sweeps.sweep_file import SweepError
from tests.sweep_home import as_yaml
from tests.test_any_data import write_ridges
from tests.toy import small_data

CODE = """
import torch
from snntorch import surrogate
from amount import AMOUNT

steep = surrogate.fast_sigmoid(slope=AMOUNT)

class Sum(torch.nn.Module):
    def __init__(self, n_units, n_classes):
        super().__init__()
        self.fc = torch.nn.Linear(n_units, n_classes)

    def forward(self, frames):
        return self.fc(frames.sum(0))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A user's folder with mine.py, what it imports, and mine.yaml, which names two surrogates."""
    monkeypatch.setenv("SHD_SMALL_DATA", small_data())
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path / "runs"))
    folder = tmp_path / "my folder"
    folder.mkdir()
    (folder / "amount.py").write_text("AMOUNT = 3.0\n")
    (folder / "mine.py").write_text(CODE)
    content = {
        "name": "mine",
        "notebook": "03_model_training",
        "fixed": {"epochs": 1, "n_hidden": 8},
        "grid": {"surrogate": ["fast_sigmoid", "mine.py:steep"]},
        "seeds": [0],
    }
    (folder / "mine.yaml").write_text(as_yaml(content))
    yield folder
    sys.modules.pop("amount", None)


def fresh_process():
    """Forget what was imported from the user's files, as a new process has."""
    for name in list(sys.modules):
        if name == "amount" or name.startswith("shd_object_"):
            del sys.modules[name]


def test_a_path_counts_from_the_sweeps_file_and_names_show_no_folder(folder):
    ordinary, own = read_sweep(folder / "mine.yaml").runs
    assert own.parameters["surrogate"] == f"{folder}/mine.py:steep"
    assert own.configuration == "surrogate=mine.py-steep"
    assert own.data["objects_sha256"].startswith("mine.py ")
    assert "objects_sha256" not in ordinary.data
    assert Recipe.from_flat(own.parameters).network.surrogate == own.parameters["surrogate"]


def test_a_row_shows_the_object_without_its_folder(folder):
    run = read_sweep(folder / "mine.yaml").runs[1]
    row = results._row(run, results.RunResult.failure("an error"))
    assert row["surrogate"] == "mine.py:steep" == parse_reference(row["surrogate"]).label
    assert row["objects_sha256"] == run.data["objects_sha256"]


def test_a_file_that_changes_while_the_sweep_runs_fails_the_run(folder):
    run = read_sweep(folder / "mine.yaml").runs[1]
    execution.check_unchanged(run)
    (folder / "mine.py").write_text(f"{CODE}\nsteep = surrogate.fast_sigmoid(slope=9)\n")
    with pytest.raises(RuntimeError, match=r"mine.py:steep: changed while the sweep ran. Start"):
        execution.check_unchanged(run)


def test_a_changed_import_is_noticed_before_rows_are_reused(folder):
    sweep = read_sweep(folder / "mine.yaml")
    reuse.check_objects(sweep)
    reuse.check_objects(sweep)
    fresh_process()
    (folder / "amount.py").write_text("AMOUNT = 44.0\n")
    with pytest.raises(SweepError, match=r"mine.py:steep returns different values than before"):
        reuse.check_objects(sweep)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("mine.py:stepe", r"there is no stepe in it. It has: .*steep"),
        ("mine.py:Sum", "Sum"),
        ("yours.py:steep", r"there is no file yours.py in"),
        ("mine.py:steep(2)", "pass keyword arguments"),
    ],
)
def test_a_wrong_reference_stops_the_sweep_with_a_sentence(folder, written, message):
    path = folder / "mine.yaml"
    path.write_text(path.read_text().replace("mine.py:steep", written))
    with pytest.raises(SweepError, match=message):
        run_sweep(path)


def test_a_file_with_an_exception_in_it_stops_the_sweep_with_its_line(folder):
    (folder / "mine.py").write_text("x = 1\nboom\n")
    with pytest.raises(SweepError, match=r"mine.py: importing it raised NameError: .* in line 2"):
        run_sweep(folder / "mine.yaml")


# Has as many inputs as the data set has units, and says so in its class scores.
COUNTING = """
import torch

class Counting(torch.nn.Module):
    def __init__(self, n_units, n_classes):
        super().__init__()
        self.register_buffer("n_units", torch.full((n_classes,), float(n_units)))

    def forward(self, frames):
        assert frames.shape[2] == self.n_units[0]
        return self.n_units.expand(frames.shape[1], -1)
"""


def sampled_units(folder, content):
    """Return how many units the network had whose sample the sweep's check has stored."""
    (folder / "mine.py").write_text(COUNTING)
    (folder / "mine.yaml").write_text(as_yaml({"name": "mine", "seeds": [0], **content}))
    sweep = read_sweep(folder / "mine.yaml")
    reuse.check_objects(sweep)
    path = sweep.table.with_name(f"{sweep.table.stem}_objects.json")
    (sample,) = json.loads(path.read_text()).values()
    (n_units,) = np.unique(sample)
    return n_units


@pytest.mark.parametrize(
    ("n_channels", "settings", "n_units"),
    [
        (700, {}, 183),  # (700 - 150) / 3, rounded down
        (1000, {"first_unit": 800, "pool_units": 10}, 20),
        (50, {"first_unit": 10, "pool_units": 4}, 10),
    ],
)
def test_a_network_is_sampled_with_the_units_of_its_data(
    folder, monkeypatch, n_channels, settings, n_units
):
    write_ridges(folder / "data", n_channels)
    monkeypatch.setenv("SHD_SMALL_DATA", str(folder / "data"))
    fixed = {"dataset": str(folder / "data"), **settings}
    grid = {"network": ["mine.py:Counting"]}
    content = {"notebook": "03_model_training", "fixed": fixed, "grid": grid}
    assert sampled_units(folder, content) == n_units


@pytest.mark.parametrize(
    ("written", "n_units"),
    [
        ("heat = 0.5", 183),
        ("heat = 0.5; first_unit = 0; pool_units = 7", 100),
        ("heat = 0.5; first_unit = 700", 700),  # the study's downsampling leaves no unit
    ],
)
def test_a_users_own_notebook_may_have_parameters_that_are_no_settings(folder, written, n_units):
    source = f'{written}\ndataset = "spoken"\nnetwork = ""\nseed = 0\nrun_name = ""'
    parameters = new_code_cell(source.replace("; ", "\n"), metadata={"tags": ["parameters"]})
    nbformat.write(new_notebook(cells=[parameters]), folder / "own.ipynb")
    grid = {"network": ["mine.py:Counting"]}
    content = {"notebook": "own.ipynb", "fixed": {}, "grid": grid}
    assert sampled_units(folder, content) == n_units


@pytest.mark.slow
def test_a_sweep_trains_with_users_objects_and_reuses_their_rows(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    path = folder / "mine.yaml"
    text = path.read_text().replace("surrogate:", "network:").replace("fast_sigmoid", "spiking")
    path.write_text(text.replace("mine.py:steep", "mine.py:Sum").replace("name: mine", "name: sum"))
    table = run_sweep(path)
    assert table.status.tolist() == ["done", "done"], table.error.max()
    assert table.network.tolist() == ["spiking", "mine.py:Sum"]
    assert "0 of 2 rows reused, 2 executed" in capsys.readouterr().out
    run_sweep(path)
    assert "2 of 2 rows reused" in capsys.readouterr().out
    (folder / "mine.py").write_text(f"{CODE}\n# changed\n")
    run_sweep(path)
    assert "1 of 2 rows reused" in capsys.readouterr().out
