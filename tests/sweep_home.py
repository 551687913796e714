"""A folder with a small stand-in for notebook 3 and a sweep of it, for the tests of sweeps."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time

import nbformat
import pandas as pd
import psutil
from nbformat.v4 import new_code_cell, new_notebook
from ruamel.yaml import YAML

from shd_corpus.files import sha256
from shd_helpers.sweeps.sweep_file import read_sweep
from shd_helpers.versions import NUMERICS

LONG_S = 300

# Says in `log` that it has begun, does what the file named after its x and seed tells, and leaves a
# run.json whose hash is computed here a second time.
STAND_IN = (
    'x = 1.0\nword = "a"\nseed = 0\nrun_name = "default"',
    "import hashlib, json, os, time\n"
    "from pathlib import Path\n"
    'home = Path(os.environ["SHD_STAND_IN"])\n'
    'folder = Path(os.environ["SHD_RUNS_DIR"]) / run_name\n'
    'names = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")\n'
    'seen = "".join(os.environ.get(name, "-") for name in names)\n'
    'with (home / "log").open("a") as log:\n'
    '    log.write(f"{x:g} {seed} {os.getpid()} {seen}\\n")\n'
    'order = home / f"{x:g} {seed}"\n'
    'while order.exists() and order.read_text() == "wait":\n'
    "    time.sleep(0.02)\n"
    'order = order.read_text() if order.exists() else ""\n'
    'if order == "slow":\n'
    "    time.sleep(2)\n",
    'if order == "slow":\n'
    "    time.sleep(2)\n"
    'if order == "fail":\n'
    '    raise ZeroDivisionError("no luck: No space left on device")\n',
    "counted = {'x': x, 'word': word, 'seed': seed}\n"
    "different = {name: value for name, value in counted.items() if (name, value) != ('seed', 0)}\n"
    f"text = json.dumps([different, {{}}, {NUMERICS}], sort_keys=True)\n"
    "folder.mkdir(parents=True, exist_ok=True)\n"
    "info = {'complete': True, 'parameters': {**counted, 'run_name': run_name}, 'data': {}}\n"
    "info |= {'hash': hashlib.sha256(text.encode()).hexdigest()[:16]}\n"
    "info |= {'scores': {'validation': x / 10 + seed / 100, 'test': 0.5, 'test_seen': None}}\n"
    "info |= {'wall_s': {'training': 1.0, 'total': 2.0}}\n"
    '(folder / "run.json").write_text(json.dumps(info))\n',
)


def wait_until(condition, what):
    """Wait until a file or a word says that something is where it is wanted."""
    end = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < end, f"waited too long until {what}"
        time.sleep(0.05)


def as_yaml(content):
    """Return the text of a YAML file, its keys in the given order."""
    text = io.StringIO()
    YAML(pure=True).dump(content, text)
    return text.getvalue()


def is_alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def nothing_left(pids):
    wait_until(lambda: not any(map(is_alive, pids)), f"the processes {pids} have ended")


def family(process):
    return [child.pid for child in psutil.Process(process.pid).children(recursive=True)]


@contextlib.contextmanager
def stopped(processes):
    """Stop what is still running, with its children, whatever happened."""
    try:
        yield
    finally:
        for process in processes:
            left = [process.pid, *family(process)] if process.poll() is None else []
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait(LONG_S)


class Home:
    """The folder, orders for its runs, and the commands that were started."""

    def __init__(self, folder):
        self.folder = folder
        self.commands = []
        tagged = {"metadata": {"tags": ["parameters"]}}
        cells = [new_code_cell(s, **(tagged if i == 0 else {})) for i, s in enumerate(STAND_IN)]
        self.notebook = folder / "stand_in.ipynb"
        python = {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}}
        nbformat.write(new_notebook(cells=cells, metadata=python), self.notebook)
        self.runs = folder / "runs" / "sweeps" / "trial"
        self.table = folder / "results" / "trial.csv"
        self.predictions = self.table.with_name("trial_predictions.csv.gz")
        self.yaml = folder / "a sweep.yaml"
        self.write()

    def write(self, **changes):
        content = {"name": "trial", "notebook": self.notebook.name, "fixed": {}}
        content |= {"grid": {"x": [1.0, 2.0]}, "seeds": [0, 1]} | changes
        self.yaml.write_text(as_yaml(content))

    def order(self, x, seed, what):
        (self.folder / f"{x:g} {seed}").write_text(what)

    def log(self):
        """Return x, seed, process and some environment of every execution that was begun."""
        path = self.folder / "log"
        lines = path.read_text().splitlines() if path.exists() else []
        return [(float(x), int(seed), int(pid), n) for x, seed, pid, n in map(str.split, lines)]

    def begun(self):
        return sorted((x, seed) for x, seed, _, _ in self.log())

    def rows(self):
        return pd.read_csv(self.table) if self.table.exists() else pd.DataFrame()

    def finish(self, run, validation=0.5, predicted=(), **more):
        """Leave a finished run folder without running anything; words are "one" and "two"."""
        run.folder.mkdir(parents=True, exist_ok=True)
        info = {"complete": True, "parameters": run.parameters, "data": run.data}
        info |= {"hash": run.hash, "scores": {"validation": validation}, "seen_speakers": [3]}
        info |= {"wall_s": {"training": 0.1 + 0.2, "total": 1.0}, "class_names": ["one", "two"]}
        if predicted:
            columns = {"file": "test", "row": range(len(predicted)), "speaker": [3, 5]}
            columns |= {"label": ["one", "two"], "predicted": predicted, "input_events": 7}
            columns |= more
            pd.DataFrame(columns).to_csv(run.folder / "predictions.csv", index=False)
        info |= {"files": {path.name: sha256(path) for path in run.folder.iterdir()}}
        (run.folder / "run.json").write_text(json.dumps(info))

    def finish_all(self, **values):
        for run in read_sweep(self.yaml).runs:
            self.finish(run, **values)

    def command(self, *arguments):
        return self.start(sys.executable, "-m", "shd_helpers.sweeps.runner", self.yaml, *arguments)

    def start(self, *command):
        """Start a command as a terminal does, in a process group of its own.

        Ctrl-C may come: where the tests run in the background they ignore it, and a child would
        inherit that.
        """
        out = self.folder / f"out{len(self.commands)}"
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            with out.open("w") as output:
                process = subprocess.Popen(
                    [*map(str, command)],
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
        finally:
            signal.signal(signal.SIGINT, before)
        process.out = out
        self.commands.append(process)
        return process
