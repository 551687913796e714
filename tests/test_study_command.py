"""The command behind `make study`, in small and from a foreign working directory."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import papermill
import pytest
from papermill.exceptions import PapermillExecutionError

from shd_corpus.class_names import ENGLISH
from shd_helpers.paths import OF_A_RUN, TRAIN
from shd_helpers.study import notebooks, shown_accuracies
from shd_helpers.study.notebooks import (
    NotebookError,
    execute_run,
    main,
    read_notebook,
    report,
)
from shd_helpers.study.run_folder import lock_beside


def study(cwd, *arguments):
    environment = os.environ | {
        "SHD_RUNS_DIR": str(cwd / "runs here"),
        "SHD_DATA_DIR": str(cwd / "data here"),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "shd_helpers.study.notebooks", *arguments]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_the_command_runs_the_whole_study(tmp_path, toy_dir):
    given = {"dataset": toy_dir, "run_name": "a_b", "lr": "1e-2", "epochs": 2}
    ended = study(tmp_path, *(str(x) for item in given.items() for x in ("-p", *item)))
    assert ended.returncode == 0, ended.stderr[-3000:]
    lines = ended.stdout.splitlines()
    assert {path.stem for path in OF_A_RUN} <= {*lines}
    assert "not tried yet" not in ended.stdout + ended.stderr
    folder = tmp_path / "runs here" / "a_b"
    info = json.loads(folder.joinpath("run.json").read_text())
    predictions = pd.read_csv(folder / "predictions.csv")
    accuracies = shown_accuracies(info["scores"], predictions, info["seen_speakers"])
    said = report(accuracies, "toy", ENGLISH, "english", 0)
    assert said in ended.stdout
    assert not (folder.parent / "my_network").exists()  # the lessons were skipped
    for path in OF_A_RUN:
        executed = nbformat.read(folder / path.name, as_version=4)
        assert all(c.execution_count for c in executed.cells if c.cell_type == "code")
    figures = {path.name for path in folder.joinpath("img").glob("*.png")}
    assert {"surrogates.png", "accuracy_loss_plot.png", "weight_matrices.png"} <= figures


@pytest.mark.parametrize("path", OF_A_RUN, ids=lambda path: path.stem)
def test_without_lessons_what_the_study_needs_is_left(path):
    notebook = read_notebook(path, lessons=True)
    exercises = [cell for cell in notebook.cells if "exercise" in cell.metadata.get("tags", ())]
    assert exercises
    notebook = read_notebook(path, lessons=False)
    assert all(cell in notebook.cells for cell in exercises)
    code = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "code")
    code = code.replace("study.score(", "")  # which the run needs
    for text in ("score(", "experiment(", "say_a_digit(", "own_voice.record"):
        assert text not in code


@pytest.mark.parametrize("given", [{}, {"lr": 2e-3}, {"pool_steps": 10}, {"n_delays": 8}])
def test_what_notebook_3_does_not_have_is_trained_with_the_notebook_of_all_settings(
    given, tmp_path, monkeypatch
):
    """With the defaults of notebook 3, of which one is another."""
    executed = {}
    monkeypatch.setattr(notebooks, "execute_run", lambda chain, *_, **__: executed.update(chain))
    notebooks._run_study({**given, "seed": 3}, tmp_path / "run")
    *_, trains, analyzes = executed
    assert analyzes == OF_A_RUN[3]
    is_known = given.keys() <= {"lr", "pool_steps"}
    assert trains == (OF_A_RUN[2] if is_known else TRAIN)
    assert executed[trains].items() >= {**given, "seed": 3}.items()
    assert executed[trains].get("lr_step") == (None if is_known else 5)


VALIDATES_7 = "-p", "validation", "speaker", "-p", "validation_speakers", "7"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("-p", "dataset", "no/such/folder"), "no such folder"),
        (("-p", "dataset", "{toy}", "-p", "slop", "2.0"), "parameter 'slop': unknown"),
        (("-p", "dataset", "{toy}", "-p", "slope", "steep"), "'steep' must be a number"),
        (("-p", "dataset", "{toy}", "-p", "shift_units", "500"), "shift_units 500: must be below"),
        (("-p", "dataset", "{toy}", "-p", "run_name", "a b"), "run_name 'a b': must be letters"),
        (("-p", "dataset", "{toy}", *VALIDATES_7), "validation_speakers 7: no such speaker here"),
    ],
)
def test_a_mistake_ends_the_study_before_it_starts(
    tmp_path, toy_dir, monkeypatch, data_dir, arguments, message
):
    """The command runs in this process, which saves its imports."""
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path / "runs here"))
    given = [text.format(toy=toy_dir) for text in arguments]
    monkeypatch.setattr(sys, "argv", ["study", *given])
    with pytest.raises(SystemExit, match=re.escape(message)):
        main()
    assert not (tmp_path / "runs here").exists()


def test_executed_notebooks_stay_until_all_of_their_successors_have_ended(tmp_path, monkeypatch):
    """Instead of papermill, a function writes the file and may fail."""
    monkeypatch.setattr(os, "environ", os.environ.copy())
    orders = [""] * 4
    lessons = []

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
    folder = tmp_path / "run"
    place = tmp_path / ".run.notebooks"
    four = {path: {} for path in OF_A_RUN}
    execute_run(four, folder, lessons=False)
    execute_run(four, folder)
    assert lessons == [False] * 4 + [True] * 4
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
    held = lock_beside(tmp_path / "runs" / "toy", "study")
    with (
        held,
        pytest.raises(SystemExit, match=r"toy: another process runs the study there.*run_name"),
    ):
        main()
