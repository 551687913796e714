"""What is attacked: a small study in a folder, and what is done with it; see `random_attacks`."""

import contextlib
import hashlib
import json
import os
import pickle
import shutil
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import papermill
import soundfile
import yaml
from papermill.exceptions import PapermillExecutionError

from shd_helpers.events.toy import write_toy
from shd_helpers.paths import NOTEBOOKS
from shd_helpers.source import recordings
from shd_helpers.source.shd_file import DatasetError, read_shd
from shd_helpers.study import (
    accuracy_per_speaker,
    collect_predictions,
    evaluate,
    load_network,
    load_utterances,
    notebooks,
    read_run,
    read_table,
    summarise,
)
from shd_helpers.study.parameters import notebook_parameters
from shd_helpers.study.tables import finished_run
from shd_helpers.sweeps import runner, spec
from tests.test_recordings import sound

TRAINING = NOTEBOOKS / "03_model_training.ipynb"
DEFAULTS = notebook_parameters(TRAINING)
SMALL = {"pool_units": 20, "pool_steps": 20, "n_hidden": 12, "epochs": 2}


def seconds(act: Callable[[], object]) -> float:
    start = time.monotonic()
    act()
    return time.monotonic() - start


def full(*_):
    raise OSError("no space")


class Home:
    """A folder with data, recordings, run folders, a sweep and its tables."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.toy, self.runs = folder, folder / "toy", folder / "runs"
        self.yaml, self.table = folder / "trial.yaml", folder / "results" / "trial_toy.csv"
        self.small = {"dataset": str(self.toy), **SMALL}
        for name in ("runs", "data", "results"):
            os.environ[f"SHD_{name.upper()}_DIR"] = str(folder / name)
        os.environ["SHD_IMG_DIR"] = str(folder / "img")

    def make(self, again: bool = False) -> dict[str, float]:
        """Do everything once, as it should go; return how many seconds it took."""
        if again:
            shutil.rmtree(self.folder)
        write_toy(self.toy, seed=0, takes=1)
        (self.folder / "recorded").mkdir()
        for i, name in enumerate(("one_ann_0", "two_ann_0", "zero_bob_0", "six_bob_0")):
            wave = sound(i, 24_000, 0.05)
            soundfile.write(
                self.folder / "recorded" / f"{name}.{('wav', 'flac')[i % 2]}", wave, 24_000
            )
        grid = {"slope": [2.0, 3.0]}
        content = {"name": "trial", "notebook": TRAINING.stem, "fixed": self.small, "grid": grid}
        content |= {"seeds": [0], "keep_predictions": True}
        self.yaml.write_text(yaml.safe_dump(content, sort_keys=False))
        spans = {name: seconds(self.acts()[name]) for name in ("keep", "encode")}
        with contextlib.suppress(PapermillExecutionError):
            self.train(run_name="cut", stop="scores = ")
        with contextlib.suppress(DatasetError), mock.patch.object(recordings, "_write_pair", full):
            self.encode(name="half")
        return spans | {"sweep": seconds(self.sweep)}

    def train(self, stop: str = "", **parameters: object) -> None:
        """Execute notebook 3 without a kernel; `stop` begins the first cell that isn't run."""
        execute(TRAINING, None, self.small | parameters, stop=stop)

    def study(self, *arguments: str, whole: bool = False) -> None:
        """Call the command behind `make study`; not whole, notebook 3 is the only one executed."""
        given = [text for name, value in SMALL.items() for text in ("-p", name, str(value))]
        argv = ["study", "--dataset", str(self.toy), *given, *arguments]

        def one(_notebook, out, parameters, **_):
            stop = "" if whole or out.name == TRAINING.name else "import"
            execute(NOTEBOOKS / out.name, out, parameters, stop=stop)

        with (
            mock.patch.object(sys, "argv", argv),
            mock.patch.object(papermill, "execute_notebook", one),
        ):
            notebooks.main()

    def encode(self, **settings: object) -> None:
        given = {"folder": self.folder / "recorded", "out": self.folder / "out", "name": "mine"}
        given |= {"test_speakers": ["bob"], "progress": False}
        recordings.encode_recordings(**given | settings)

    def sweep(self, path: Path | None = None, **overrides: object) -> None:
        """Do what `run_sweep` does, without a cluster and kernels."""
        swept = spec.read_sweep(path or self.yaml, overrides)
        todo = runner.missing(swept)
        spec.check_todo(swept, todo, elsewhere=False)
        errors = {}
        for run in todo:
            try:
                execute(swept.notebook, None, run.parameters)
            except PapermillExecutionError as error:
                errors[run.run_name] = clean(error)
            result = errors.get(run.run_name) or finished_run(run.folder, run.hash)
            runner.store(swept, {run: result or "the run folder is gone"})
        runner.store_predictions(swept, [run for run in todo if run.run_name not in errors])
        assert len(runner.own_rows(swept, errors)) == len(swept.runs)

    def analyse(self) -> None:
        """Read everything that notebooks 4 to 6 read."""
        run = read_run(self.runs / "keep")
        accuracy_per_speaker(run.predictions, run.info["seen_speakers"])
        trained = load_network(run)
        found = evaluate(trained.network, load_utterances(trained).predicted)
        assert (found.predictions().predicted == run.predictions.predicted).all()

    def read_tables(self) -> None:
        table = read_table(self.table)
        summarise(table)
        collect_predictions(self.table)

    def read_data(self) -> None:
        for path in (self.folder / "out").glob("*.h5"):
            read_shd(path)

    def acts(self) -> dict[str, Callable[[], object]]:
        """Return what writes, each of which may be killed and done again."""
        return {
            "keep": lambda: self.train(run_name="keep"),
            "cut": lambda: self.train(run_name="cut"),
            "encode": self.encode,
            "half": lambda: self.encode(name="half"),
            "sweep": self.sweep,
            "study": lambda: self.study("--name", "keep"),
        }

    def forget(self) -> None:
        """Remove what only saves time, so that it has to be made again."""
        for name in ("data", "results", "runs/sweeps"):
            shutil.rmtree(self.folder / name, ignore_errors=True)

    def results(self) -> dict[str, str | None]:
        """Return what doing it again must give again, to the last bit."""
        run = read_run(self.runs / "keep")
        content = pickle.dumps([run.weights, run.info["scores"], run.predictions.to_csv()])
        found = {"keep": hashlib.sha256(content).hexdigest()}
        for part in ("train", "test"):
            for name in ("mine", "half"):
                path = self.folder / "out" / f"{name}_{part}.h5"
                content = path.read_bytes() if path.exists() else b""
                found[f"{name}_{part}"] = hashlib.sha256(content).hexdigest() if content else None
        columns = ["hash", "status", "validation_accuracy", "test_accuracy", "hidden_spikes"]
        found["sweep"] = read_table(self.table)[columns].to_csv() if self.table.exists() else None
        return found

    def is_whole(self, folder: str) -> bool:
        """Tell whether a folder holds a complete run whose parts belong together."""
        run = read_run(self.folder / folder)
        epochs = {len(values) for values in run.weights.values()}
        losses = run.epochs[["train_loss", "validation_loss"]].to_numpy()
        scores = [score for score in run.info["scores"].values() if score is not None]
        is_right = np.isfinite(losses).all() and all(0 <= score <= 1 for score in scores)
        return epochs == {len(run.epochs) + 1} and len(run.predictions) > 0 and bool(is_right)

    @staticmethod
    def rows(folder: Path) -> set[str]:
        """Return the names of the runs that the table has."""
        path = folder / "results" / "trial_toy.csv"
        text = path.read_text(errors="replace") if path.is_file() else ""
        lines = [line.split('"') for line in text.splitlines() if ",done," in line]
        return {parts[1] for parts in lines if len(parts) > 1}  # a damaged line may have no name


def execute(path: Path, out: Path | None, parameters: dict, stop: str = "") -> None:
    """Execute a notebook's cells in this process; papermill's errors, without a kernel."""
    content = path.read_text(encoding="utf-8")
    space = {"display": lambda *shown: None}
    cells = [cell for cell in json.loads(content)["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(cells, start=1):
        source = "".join(cell["source"])
        if stop and stop in source:
            if out:
                break
            raise PapermillExecutionError(number, number, "", "KeyboardInterrupt", "", [])
        try:
            exec(compile(source, f"{path.stem}, cell {number}", "exec"), space)
        except Exception as error:
            traceback.print_exc()
            name, text = type(error).__name__, str(error)
            raise PapermillExecutionError(number, number, "", name, text, []) from error
        if "parameters" in cell["metadata"].get("tags", []):
            space.update({k: v for k, v in parameters.items() if out is None or k in space})
    if out:
        out.write_text(content, encoding="utf-8")


def clean(error: BaseException) -> str:
    """Return the one line that an error is for the user; what has none is raised again."""
    name = error.ename if isinstance(error, PapermillExecutionError) else type(error).__name__
    text = error.evalue if isinstance(error, PapermillExecutionError) else str(error)
    if isinstance(error, notebooks.NotebookError):
        name = text.split(": ")[1]
    ours = ("DatasetError", "RunError", "TableError", "SweepError", "RecordingError", "ValueError")
    if isinstance(error, SystemExit) and error.code == 2:
        return "usage"  # of argparse
    if name not in (*ours, "SystemExit") or not text or len(text.splitlines()) > 4:
        raise error
    return text


def hashes(folder: Path) -> dict[str, str]:
    """Return the hash of every file of a folder that matters to its reader."""
    files = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.name != ".lock")
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}
