"""Sweeps in real processes, and what befalls them; most runs are of a small stand-in notebook.

Nothing here waits for a fixed time: a test waits until a file or a word says that a run is where
it is wanted, and for a long time at most.
"""

import json
import sys

import nbformat
import pytest

from shd_helpers.study.jobs import Shard, Workers
from shd_helpers.sweeps import runner
from shd_helpers.sweeps.runner import run_sweep
from tests import found
from tests.sweep_home import LONG_S, family, nothing_left, wait_until
from tests.toy import small_data

pytestmark = pytest.mark.xdist_group("sweeps")  # they start many processes


def call(monkeypatch, *arguments):
    """Run the command in this process, which saves its imports; return its exit status."""
    monkeypatch.setattr(sys, "argv", ["sweeps", *map(str, arguments)])
    try:
        runner.main()
    except SystemExit as end:
        return end.code
    return 0


TWO = Workers(processes=2)


@pytest.mark.slow
def test_two_processes_and_a_command_that_goes_on_end_with_the_same_table(home):
    table = run_sweep(home.yaml, workers=TWO)
    assert table.status.tolist() == ["done"] * 4, table.error.max()
    assert home.begun() == [(1.0, 0), (1.0, 1), (2.0, 0), (2.0, 1)]
    assert {seen for *_, seen in home.log()} == {"11"}  # one thread for OpenMP and for numba
    first = home.table.read_text()
    assert table.validation_accuracy.tolist() == [0.1, 0.11, 0.2, 0.2 + 0.01]
    assert table.test_seen_accuracy.isna().all() and (table.test_accuracy == 0.5).all()
    for folder in found("x=*", folder=home.runs):
        assert (folder / "stand_in.ipynb").is_file()
        if folder.name.startswith("x=2.0"):  # the others are done, which a table needn't say
            (folder / "run.json").unlink()
    home.table.unlink()
    # by processes of its own, where one long run holds up none behind it
    home.order(2.0, 0, "wait")
    command = home.command("--workers", "2")
    wait_until(lambda: len(home.rows()) == 3, "all others have ended")
    home.order(2.0, 0, "")
    assert command.wait(LONG_S) == 0
    assert len(home.begun()) == 6
    assert home.table.read_text() == first
    assert "(2 of them from run folders), 2 executed, 0 failed" in command.out.read_text()


def test_a_run_that_fails_does_not_stop_the_others(home, monkeypatch, capsys):
    """Not even if its error only talks of a full disk."""
    home.write(grid={"x": [1.0]}, seeds=[0, 1, 2])
    home.order(1.0, 0, "fail")
    assert call(monkeypatch, home.yaml, "--workers", "2") == 1
    assert home.rows().status.tolist() == ["failed", "done", "done"]
    error = home.rows().error[0]
    assert "Traceback" in error and "ZeroDivisionError" in error and "no luck" in error
    out, bar = capsys.readouterr()
    assert "ZeroDivisionError: no luck" in out and "trial 3/3 |" in bar and "1 failed" in bar
    home.order(1.0, 0, "")
    assert call(monkeypatch, home.yaml, "--workers", "1") == 0
    assert home.rows().status.tolist() == ["done"] * 3
    assert home.begun() == [(1.0, 0), (1.0, 0), (1.0, 1), (1.0, 2)]


@pytest.mark.slow
def test_shards_run_every_nth_run_and_fill_one_table(home, monkeypatch, capsys):
    first = [(1.0, 0), (2.0, 0)]
    assert call(monkeypatch, home.yaml, "--shard", "1/2", "--workers", "2") == 0
    assert home.begun() == first and home.rows().status.tolist() == ["done"] * 2
    assert call(monkeypatch, home.yaml, "--shard", "2/2") == 0
    assert "shard 2/2: 0 of 2 rows reused, 2 executed" in capsys.readouterr().out
    assert home.begun() == sorted([*first, (1.0, 1), (2.0, 1)])
    assert {seen for *_, seen in home.log()} == {"11"}  # one thread for OpenMP and for numba
    assert home.rows().status.tolist() == ["done"] * 4
    assert home.rows().seed.tolist() == [0, 1] * 2  # in the sweep's order


def test_the_timeout_is_for_the_whole_run_and_leaves_no_kernel(home):
    """Each of two cells stays below the limit, both together don't."""
    home.write(grid={"x": [1.0]}, seeds=[0])
    home.order(1.0, 0, "slow")
    table = run_sweep(home.yaml, workers=TWO, timeout_s=3.5)
    assert table.status.tolist() == ["failed"]
    assert "time-out: more than 3.5 s" in table.error[0]
    nothing_left([pid for _, _, pid, _ in home.log()])


@pytest.mark.slow
def test_a_killed_sweep_leaves_no_process_and_the_next_one_runs_what_is_missing(home):
    home.order(2.0, 0, "wait")
    home.order(1.0, 1, "wait")
    command = home.command("--workers", "2")
    wait_until(lambda: len(home.rows()) == 1 and len(home.log()) == 3, "two runs are going on")
    children = family(command)
    command.kill()
    command.wait(LONG_S)
    nothing_left(children)
    home.order(2.0, 0, "")
    home.order(1.0, 1, "")
    table = run_sweep(home.yaml, workers=Workers(shard=Shard(1, 1)))
    assert table.status.tolist() == ["done"] * 4
    assert home.begun() == sorted([(1.0, 0), *[(1.0, 1), (2.0, 0)] * 2, (2.0, 1)])


@pytest.mark.slow
def test_a_sweep_of_a_notebook_that_trains(home):
    """One of notebook 3 is in notebook 5, which nbval executes."""
    small = {"dataset": small_data(), "epochs": 1, "n_hidden": 16, "batch_size": 32, "n_delays": 2}
    home.write(notebook="train", fixed=small, grid={"lr": [2.0e-3]}, seeds=[3])
    table = run_sweep(home.yaml, workers=TWO)
    assert table.status.tolist() == ["done"], table.error[0]
    assert table.dataset[0] == "toy" and table.seed[0] == 3 and table.lr[0] == 2e-3
    folder = home.runs.with_name("trial_toy") / "lr=0.002,seed=3"
    info = json.loads((folder / "run.json").read_text())
    assert info["hash"] == table.hash[0] and info["threads"] == 1
    assert info["data"]["test_sha256"] == table.test_sha256[0]
    for part in ("train", "validation", "test", "test_seen", "test_unseen"):
        assert table[f"{part}_accuracy"][0] == info["scores"][part]
    executed = nbformat.read(folder / "train.ipynb", 4)
    assert all(cell.execution_count for cell in executed.cells if cell.cell_type == "code")
