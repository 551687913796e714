"""Users' surrogates and networks in a sweep's file: paths, identity, and changes on the way."""

import sys

import pytest

from shd_helpers.study.recipe import Recipe
from shd_helpers.sweeps.runner import check_unchanged, run_sweep
from shd_helpers.sweeps.sweep_file import read_sweep
from tests.sweep_home import as_yaml
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
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("SHD_RESULTS_DIR", str(tmp_path / "results"))
    folder = tmp_path / "my folder"
    folder.mkdir()
    (folder / "amount.py").write_text("AMOUNT = 3.0\n")
    (folder / "mine.py").write_text(CODE)
    content = {
        "name": "mine",
        "notebook": "train",
        "fixed": {"dataset": small_data(), "epochs": 1, "n_hidden": 8},
        "grid": {"surrogate": ["fast_sigmoid", "mine.py:steep"]},
        "seeds": [0],
    }
    (folder / "mine.yaml").write_text(as_yaml(content))
    yield folder
    sys.modules.pop("amount", None)


def test_a_path_counts_from_the_sweeps_file_and_names_show_no_folder(folder):
    ordinary, own = read_sweep(folder / "mine.yaml").runs
    assert own.parameters["surrogate"] == f"{folder}/mine.py:steep"
    assert own.configuration == "surrogate=mine.py-steep"
    assert own.data["user_code_sha256"].startswith("mine.py ")
    assert "user_code_sha256" not in ordinary.data
    assert Recipe.from_flat(own.parameters).network.surrogate == own.parameters["surrogate"]


def test_a_file_that_changes_while_the_sweep_runs_fails_the_run(folder):
    run = read_sweep(folder / "mine.yaml").runs[1]
    check_unchanged(run)
    (folder / "mine.py").write_text(f"{CODE}\nsteep = surrogate.fast_sigmoid(slope=9)\n")
    with pytest.raises(RuntimeError, match=r"mine.py:steep: changed while the sweep ran. Start"):
        check_unchanged(run)


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
