"""The command behind `make study`, in small and from a foreign working directory."""

import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from shd_helpers.paths import OF_A_RUN
from shd_helpers.study.notebooks import NotebookError, execute_run, execution_lock, main


def study(cwd, *arguments):
    environment = os.environ | {
        "SHD_SMOKE": "1",
        "SHD_RUNS_DIR": str(cwd / "runs here"),
        "SHD_DATA_DIR": str(cwd / "data here"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "shd_helpers.study.notebooks", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_whole_study(tmp_path, toy_dir):
    given = {"dataset": toy_dir, "run_name": "a_b", "lr": "1e-2"}
    ended = study(tmp_path, *(str(x) for item in given.items() for x in ("-p", *item)))
    assert ended.returncode == 0, ended.stderr[-3000:]
    lines = ended.stdout.splitlines()
    assert lines[0].startswith("Data set:")
    assert any("epoch   2/2" in line for line in lines)  # progress while it works
    assert lines[-3].split() == ["train", "validation", "test", "test_seen", "test_unseen"]
    assert all(score.endswith("%") for score in lines[-2].split())
    folder = tmp_path / "runs here" / "smoke" / "a_b"
    assert lines[-1] == f"Executed notebooks: {os.path.relpath(folder, tmp_path)}"
    assert len(OF_A_RUN) == 4
    assert sorted(path.name for path in folder.parent.glob(".*")) == [".a_b.lock", ".a_b.study"]
    for path in OF_A_RUN:
        executed = nbformat.read(folder / path.name, as_version=4)
        assert all(c.execution_count for c in executed.cells if c.cell_type == "code")
    figures = {path.name for path in folder.joinpath("img").glob("*.png")}
    assert {"fast_sigmoid_func.png", "arctan_func.png", "sigmoid_func.png"} <= figures
    assert {"accuracy_loss_plot.png", "epoch1_weight_matrix.png"} <= figures
    assert {f"weights_SNN_change_over_epochs_FC{i}.png" for i in (1, 2)} <= figures


VALIDATES_7 = "-p", "validation", "speaker", "-p", "validation_speakers", "7"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-p", "dataset", "no/such/folder"), "no such folder"),
        (("-p", "dataset", "{toy}", "-p", "slop", "2.0"), "parameter 'slop': unknown"),
        (("-p", "dataset", "{toy}", "-p", "slope", "steep"), "is of type str"),
        (("-p", "dataset", "{toy}", "-p", "shift_units", "500"), "shift_units 500: must be below"),
        (("-p", "dataset", "{toy}", "-p", "run_name", "a b"), "run_name 'a b': must be letters"),
        (("-p", "dataset", "{toy}", *VALIDATES_7), "validation_speakers 7: no such speaker here"),
    ],
)
def test_mistakes_end_it_before_it_starts(
    tmp_path, toy_dir, monkeypatch, data_dir, arguments, message
):
    """The command runs in this process, which saves its imports."""
    monkeypatch.delenv("SHD_SMOKE", raising=False)
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path / "runs here"))
    given = [text.format(toy=toy_dir) for text in arguments]
    monkeypatch.setattr(sys, "argv", ["study", *given])
    with pytest.raises(SystemExit, match=re.escape(message)):
        main()
    assert not (tmp_path / "runs here").exists()


def test_executed_notebooks_stay_until_all_of_their_successors_have_ended(tmp_path, monkeypatch):
    """In the place of papermill stands a function that writes the file and may fail."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    orders, lessons = [""] * 4, []

    def execute(notebook, out, *_, **__):
        tags = [tag for cell in notebook.cells for tag in cell.metadata.get("tags", ())]
        lessons.append("lesson" in tags)
        order = orders[[path.name for path in OF_A_RUN].index(out.name)]
        out.write_text(order)
        img = Path(os.environ["SHD_IMG_DIR"])
        img.mkdir(exist_ok=True)
        (img / "figure.png").write_text(orders[0])
        if order == "fail":
            raise PapermillExecutionError(3, 7, "", "ZeroDivisionError", "no luck", [])

    def contents():
        files = [*(folder / path.name for path in OF_A_RUN), folder / "img" / "figure.png"]
        return [file.read_text() for file in files]

    monkeypatch.setattr(papermill, "execute_notebook", execute)
    folder, place = tmp_path / "run", tmp_path / ".run.notebooks"
    four = {path: {} for path in OF_A_RUN}
    execute_run(four, folder, lessons=False)
    execute_run(four, folder)
    assert lessons == [False] * 4 + [False, False, True, False]
    (folder / "run.json").write_text("another's")
    assert contents() == [""] * 5
    orders[:] = ["2", "2", "fail", "2"]
    failed = rf"^03_model_training, cell 7: ZeroDivisionError: no luck\n.* {place}/03_model"
    with pytest.raises(NotebookError, match=failed):
        execute_run(four, folder)
    assert contents() == [""] * 5
    assert [path.name for path in OF_A_RUN[:3]] == sorted(p.name for p in place.glob("*.ipynb"))
    orders[2] = "2"
    execute_run(four, folder)
    assert contents() == ["2"] * 5 and not place.exists()
    assert (folder / "run.json").read_text() == "another's"


def test_a_run_that_another_process_executes_is_left_alone(
    tmp_path, toy_dir, monkeypatch, data_dir
):
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path / "runs"))
    given = ["-p", "dataset", str(toy_dir), "-p", "batch_size", "8"]
    monkeypatch.setattr(sys, "argv", ["study", *given])
    held = execution_lock(tmp_path / "runs" / "toy")
    with held, pytest.raises(SystemExit, match=r"toy: another process runs the study there"):
        main()


def test_a_run_folder_that_is_a_link_is_refused_before_the_first_notebook(
    tmp_path, toy_dir, monkeypatch, data_dir
):
    runs = tmp_path / "runs"
    runs.mkdir()
    (runs / "toy").symlink_to(tmp_path)
    monkeypatch.setenv("SHD_RUNS_DIR", str(runs))
    given = ["-p", "dataset", str(toy_dir), "-p", "batch_size", "8"]
    monkeypatch.setattr(sys, "argv", ["study", *given])
    with pytest.raises(SystemExit, match=r"runs/toy: is a link to .*Take another run_name"):
        main()


def test_a_kernel_that_dies_before_its_first_cell_is_started_again(tmp_path, monkeypatch):
    """In the place of papermill stands a function that fails as it does then, or later."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    calls = []

    def execute(_notebook, out, *_, on_notebook_start, **__):
        calls.append(out.name)
        if len(calls) == 5:  # the third notebook, for the second time
            on_notebook_start(notebook=None)
        if len(calls) in (1, 4, 5):
            raise RuntimeError("Kernel died before replying to kernel_info")
        out.write_text("")

    monkeypatch.setattr(papermill, "execute_notebook", execute)
    first, second, third, *_ = OF_A_RUN
    with pytest.raises(RuntimeError, match="Kernel died"):
        execute_run({path: {} for path in OF_A_RUN}, tmp_path / "run")
    assert calls == [path.name for path in (first, first, second, third, third)]


def test_data_only(tmp_path, toy_dir):
    ended = study(tmp_path, "-p", "dataset", str(toy_dir), "--data-only")
    assert ended.returncode == 0
    assert "english: 120 training and 50 test utterances" in ended.stdout
    assert len(list((tmp_path / "data here" / "cache").glob("toy_*.npz"))) == 2
