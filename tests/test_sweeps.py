"""Sweeps under every fault that was thought of; most runs are of a small stand-in notebook.

Nothing here waits for a fixed time: a test waits until a file or a word says that a run is where
it is wanted, and for a long time at most.
"""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import psutil
import pytest
import yaml
from distributed import LocalCluster
from nbformat.v4 import new_code_cell, new_notebook

from shd_helpers.figures import comparisons as comparison_plots
from shd_helpers.paths import NOTEBOOKS
from shd_helpers.study.identity import code_version, notebook_parameters
from shd_helpers.sweeps import runner as sweeps
from shd_helpers.sweeps import spec as plan
from shd_helpers.sweeps.runner import by_configuration, choose, run_sweep
from shd_helpers.sweeps.spec import SweepError, read_sweep

LONG_S = 120

# Says in `log` that it has begun, does what the file named after its point tells, and leaves a
# run.json whose hash is computed here a second time.
STAND_IN = (
    'x = 1.0\nword = "a"\nseed = 0\nrun_name = "default"',
    "import hashlib, json, os, time\n"
    "from pathlib import Path\n"
    'home = Path(os.environ["SHD_STAND_IN"])\n'
    'folder = Path(os.environ["SHD_RUNS_DIR"]) / "smoke" / run_name\n'
    'names = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS", "SHD_MARK")\n'
    'seen = "".join(os.environ.get(name, "-") for name in names)\n'
    'with (home / "log").open("a") as log:\n'
    '    log.write(f"{x:g} {seed} {os.getpid()} {seen}\\n")\n'
    'order = home / f"{x:g} {seed}"\n'
    'while order.exists() and order.read_text() == "wait":\n'
    "    time.sleep(0.02)\n"
    'order = order.read_text() if order.exists() else ""\n'
    'if order == "slow":\n'
    "    time.sleep(4)\n",
    'if order == "slow":\n'
    "    time.sleep(4)\n"
    'if order == "fail":\n'
    '    raise ZeroDivisionError("no luck today")\n'
    'if order == "disk":\n'
    '    with open("/dev/full", "w") as full:\n'
    '        full.write("x")\n',
    "counted = {'x': x, 'word': word, 'seed': seed}\n"
    'code = (home / "code").read_text()\n'
    "text = json.dumps([counted, {}, code], sort_keys=True)\n"
    "info = {'complete': True, 'parameters': {**counted, 'run_name': run_name}, 'data': {}}\n"
    "info |= {'code': code, 'hash': hashlib.sha256(text.encode()).hexdigest()[:16]}\n"
    "info |= {'scores': {'validation': x / 10 + seed / 100, 'test': 0.5, 'test_seen': None}}\n"
    "info |= {'wall_s': {'training': 1.0, 'total': 2.0}}\n"
    '(folder / "run.json").write_text(json.dumps(info))\n',
)


def wait_until(condition, what):
    end = time.monotonic() + LONG_S
    while not condition():
        assert time.monotonic() < end, f"waited too long until {what}"
        time.sleep(0.05)


def is_alive(pid):
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def nothing_left(pids):
    wait_until(lambda: not any(map(is_alive, pids)), f"the processes {pids} have ended")


class Home:
    """A folder with the stand-in, a sweep of it, orders for its points and commands' outputs."""

    def __init__(self, folder):
        self.folder, self.commands = folder, []
        tagged = {"metadata": {"tags": ["parameters"]}}
        cells = [new_code_cell(s, **(tagged if i == 0 else {})) for i, s in enumerate(STAND_IN)]
        self.notebook = folder / "stand_in.ipynb"
        python = {"kernelspec": {"name": "python3", "display_name": "", "language": "python"}}
        nbformat.write(new_notebook(cells=cells, metadata=python), self.notebook)
        (folder / "code").write_text(code_version(self.notebook))
        self.runs = folder / "runs" / "smoke" / "sweeps" / "trial"
        self.table = folder / "runs" / "smoke" / "results" / "trial.csv"
        self.yaml = folder / "a sweep.yaml"
        self.write()

    def write(self, **changes):
        content = {"name": "trial", "notebook": self.notebook.name, "fixed": {}}
        content |= {"grid": {"x": [1.0, 2.0]}, "seeds": [0, 1]} | changes
        self.yaml.write_text(yaml.safe_dump(content, sort_keys=False))

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

    def command(self, *arguments):
        """Start the command as a terminal does, in a process group of its own."""
        out = self.folder / f"out{len(self.commands)}"
        process = subprocess.Popen(
            [sys.executable, "-m", "shd_helpers.sweeps.runner", str(self.yaml), *arguments],
            stdout=out.open("w"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        process.out = out
        self.commands.append(process)
        return process


def call(monkeypatch, *arguments):
    """Run the command in this process, which saves its imports; return its exit status."""
    monkeypatch.setattr(sys, "argv", ["sweeps", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        sweeps.main()
    return end.value.code


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


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("SHD_SMOKE", "1")  # the table goes below SHD_RUNS_DIR, too
    monkeypatch.setenv("SHD_STAND_IN", str(tmp_path))
    home = Home(tmp_path)
    with stopped(home.commands):
        yield home


@pytest.fixture(scope="module")
def scheduler(tmp_path_factory):
    """A scheduler and two workers, started by hand; returns the address."""
    folder = tmp_path_factory.mktemp("cluster")
    file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    here = ["--host", "127.0.0.1", "--scheduler-file", str(file), "--no-dashboard"]
    worker = [*dask, "worker", *here, "--nthreads", "1"]
    commands = [
        [*dask, "scheduler", *here, "--port", "0"],
        *[[*worker, "--local-directory", str(folder / name)] for name in "ab"],
    ]
    processes = []
    with stopped(processes):
        for command in commands:
            log = (folder / f"log{len(processes)}").open("w")
            processes.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=folder))
            wait_until(file.exists, "the scheduler has written its file")
        yield json.loads(file.read_text())["address"]


def test_scheduler_by_hand_and_local_cluster_end_with_the_same_table(home, scheduler):
    far = run_sweep(home.yaml, scheduler=scheduler, progress=False)
    assert far.status.tolist() == ["done"] * 4
    assert home.begun() == [(1.0, 0), (1.0, 1), (2.0, 0), (2.0, 1)]
    assert {seen for *_, seen in home.log()} == {"11-"}  # one thread for OpenMP and for numba
    first = home.table.read_text()
    for folder in home.runs.iterdir():
        assert (folder / "stand_in.ipynb").is_file()
        (folder / "run.json").unlink()
    command = home.command("--workers", "2")
    assert command.wait(LONG_S) == 0
    assert len(home.begun()) == 8
    assert home.table.read_text() == first
    out = command.out.read_text()
    assert "Dask dashboard: http://127.0.0.1:" in out
    assert "4 finished, 0 failed, 0 running, best validation 21.0%" in out
    assert "Validation chooses x=2.0: 20.5%" in out
    assert "50" not in out.split("Validation chooses")[1]  # no test score


def test_a_long_run_holds_up_none_behind_it(home):
    home.write(grid={"x": [1.0, 2.0, 3.0, 4.0]}, seeds=[0])
    home.order(1.0, 0, "wait")
    command = home.command("--workers", "2")
    wait_until(lambda: len(home.rows()) == 3, "all others have ended")
    home.order(1.0, 0, "")
    assert command.wait(LONG_S) == 0
    assert len(home.rows()) == 4


def test_the_table(home, scheduler):
    home.write(grid={"x": [1, 2.0], "word": ["a/b"]})
    table = run_sweep(home.yaml, scheduler=scheduler, progress=False)
    assert table.columns.tolist() == [
        *(
            "configuration",
            "x",
            "word",
            "seed",
            "run_name",
            "train_accuracy",
            "validation_accuracy",
        ),
        *(
            "test_accuracy",
            "test_seen_accuracy",
            "test_unseen_accuracy",
            *sweeps.COSTS,
            "training_s",
        ),
        *("total_s", "hash", "status", "error"),
    ]
    assert (table.status == "done").all(), table.error.max()
    assert table.configuration.tolist() == ["x=1.0,word=a-b"] * 2 + ["x=2.0,word=a-b"] * 2
    assert table.seed.tolist() == [0, 1, 0, 1]
    np.testing.assert_allclose(table.validation_accuracy, [0.1, 0.11, 0.2, 0.21])
    assert table.test_seen_accuracy.isna().all() and (table.test_accuracy == 0.5).all()
    assert table.run_name[3] == "sweeps/trial/x=2.0,word=a-b,seed=1"
    stored = pd.read_csv(home.table, keep_default_na=False)
    assert stored.hash.tolist() == table.hash.tolist()
    assert stored.validation_accuracy.tolist() == table.validation_accuracy.tolist()


def test_workers_take_the_sweep_s_environment_and_leave_it(home, scheduler, monkeypatch):
    monkeypatch.setenv("SHD_MARK", "!")
    home.write(grid={"x": [1.0]})
    home.order(1.0, 0, "wait")
    home.order(1.0, 1, "wait")
    command = home.command("--scheduler", scheduler)
    wait_until(lambda: len(home.log()) == 2, "both workers are at it")
    home.order(1.0, 0, "")
    home.order(1.0, 1, "")
    assert command.wait(LONG_S) == 0
    monkeypatch.delenv("SHD_MARK")
    home.write(grid={"x": [2.0]})
    run_sweep(home.yaml, scheduler=scheduler, progress=False)
    assert [seen for *_, seen in home.log()] == ["11!", "11!", "11-", "11-"]


def test_worker_of_two_threads_is_refused(home):
    options = {"processes": False, "dashboard_address": "127.0.0.1:0", "threads_per_worker": 2}
    with LocalCluster(n_workers=1, **options) as cluster:
        table = run_sweep(home.yaml, scheduler=cluster.scheduler_address, progress=False)
    assert table.status.tolist() == ["failed"] * 4
    assert table.error.str.contains("--nthreads 1").all() and home.log() == []


def test_one_failing_point_does_not_stop_the_rest(home, scheduler, monkeypatch, capsys):
    home.order(1.0, 1, "fail")
    assert call(monkeypatch, home.yaml, "--scheduler", scheduler) == 1
    assert home.rows().status.tolist() == ["done", "failed", "done", "done"]
    error = home.rows().error[1]
    assert "Traceback" in error and "ZeroDivisionError" in error and "no luck today" in error
    out, bar = capsys.readouterr()
    assert "ZeroDivisionError: no luck today" in out and "3 finished, 1 failed" in bar
    home.order(1.0, 1, "")
    assert call(monkeypatch, home.yaml, "--scheduler", scheduler) == 0
    assert home.rows().status.tolist() == ["done"] * 4
    assert home.begun() == [(1.0, 0), (1.0, 1), (1.0, 1), (2.0, 0), (2.0, 1)]


def test_time_out_is_for_the_whole_run_and_leaves_no_kernel(home, scheduler):
    """Each of two cells stays below the limit, both together don't."""
    home.write(grid={"x": [1.0]}, seeds=[0])
    home.order(1.0, 0, "slow")
    table = run_sweep(home.yaml, scheduler=scheduler, timeout_s=6, progress=False)
    assert table.status.tolist() == ["failed"]
    assert "time-out: more than 6 s" in table.error[0]
    nothing_left([pid for _, _, pid, _ in home.log()])


def test_killed_worker_is_replaced_and_its_point_runs_again(home):
    home.order(1.0, 0, "wait")
    home.order(1.0, 1, "wait")
    command = home.command("--workers", "2")
    wait_until(lambda: len(home.log()) == 2, "two points are running")
    x, seed, kernel, _ = home.log()[0]
    worker = psutil.Process(kernel).ppid()
    os.kill(worker, signal.SIGKILL)
    nothing_left([worker, kernel])
    wait_until(lambda: home.begun().count((x, seed)) == 2, "the point runs again")
    home.order(1.0, 0, "")
    home.order(1.0, 1, "")
    assert command.wait(LONG_S) == 0
    assert home.rows().status.tolist() == ["done"] * 4
    other = (1.0, 1 - seed)
    assert home.begun() == sorted([(x, seed), (x, seed), other, (2.0, 0), (2.0, 1)])


def test_killed_sweep_runs_only_what_is_missing(home, scheduler):
    home.order(2.0, 0, "wait")
    command = home.command("--workers", "1")
    wait_until(lambda: (2.0, 0) in home.begun(), "the third point is running")
    assert (
        home.rows().run_name.str.contains("x=1.0").tolist() == [True] * 2
    )  # written as the runs ended
    children = family(command)
    assert len(children) >= 2  # worker and kernel
    command.kill()
    command.wait(LONG_S)
    nothing_left(children)
    home.order(2.0, 0, "")
    before = (home.runs / "x=1.0,seed=0" / "run.json").stat().st_mtime_ns
    table = run_sweep(home.yaml, scheduler=scheduler, progress=False)
    assert table.status.tolist() == ["done"] * 4
    assert home.begun() == [(1.0, 0), (1.0, 1), (2.0, 0), (2.0, 0), (2.0, 1)]
    assert (home.runs / "x=1.0,seed=0" / "run.json").stat().st_mtime_ns == before


def test_only_a_complete_run_of_the_same_hash_counts(home, scheduler):
    run_sweep(home.yaml, scheduler=scheduler, progress=False)
    good = {path.name: path / "run.json" for path in home.runs.iterdir()}
    text = good["x=1.0,seed=0"].read_text()
    good["x=1.0,seed=1"].write_text(text[: len(text) // 2])  # damaged
    good["x=2.0,seed=0"].write_text(text)  # another point's
    changed = json.loads(good["x=2.0,seed=1"].read_text())
    changed["complete"] = False
    good["x=2.0,seed=1"].write_text(json.dumps(changed))
    run_sweep(home.yaml, scheduler=scheduler, progress=False)
    again = [(1.0, 1), (2.0, 0), (2.0, 1)]
    assert home.begun() == sorted([(1.0, 0), *again * 2])
    # the same file with another parameter in it, or without a score
    for key, value in (("parameters", {"x": 3.0}), ("scores", None), ("complete", 1)):
        good["x=1.0,seed=0"].write_text(json.dumps(json.loads(text) | {key: value}))
        assert sweeps.read_finished(read_sweep(home.yaml).points[0]) is None
    good["x=1.0,seed=0"].write_text(text)
    assert sweeps.read_finished(read_sweep(home.yaml).points[0]) is not None
    # other code
    notebook = nbformat.read(home.notebook, as_version=4)
    notebook.cells[-1].source += "\nx = 5"
    nbformat.write(notebook, home.notebook)
    assert all(sweeps.read_finished(point) is None for point in read_sweep(home.yaml).points)


def test_notebook_that_leaves_no_such_run_fails(home, scheduler):
    home.write(grid={"x": [1.0]}, seeds=[0])
    (home.folder / "code").write_text("of yesterday")
    table = run_sweep(home.yaml, scheduler=scheduler, progress=False)
    assert table.status.tolist() == ["failed"] and "run.json" in table.error[0]


def test_two_sweeps_at_once_run_every_point_once(home):
    home.order(1.0, 0, "wait")
    commands = [home.command("--workers", "1"), home.command("--workers", "1")]
    for command in commands:  # one has begun the point, the other waits for its lock
        wait_until(lambda c=command: "1 running" in c.out.read_text(), "both work")
    wait_until(lambda: home.log(), "the point has begun")
    home.order(1.0, 0, "")
    assert [command.wait(LONG_S) for command in commands] == [0, 0]
    assert home.begun() == [(1.0, 0), (1.0, 1), (2.0, 0), (2.0, 1)]
    assert home.rows().status.tolist() == ["done"] * 4


def test_full_disk_in_a_run_ends_the_sweep_and_keeps_what_there_is(home, scheduler):
    home.write(grid={"x": [1.0]})
    run_sweep(home.yaml, scheduler=scheduler, progress=False)
    before = home.table.read_text()
    home.write(grid={"x": [1.0, 2.0]})
    home.order(2.0, 0, "disk")
    home.order(2.0, 1, "disk")
    with pytest.raises(SweepError, match=r"No space left on device.*are kept"):
        run_sweep(home.yaml, scheduler=scheduler, progress=False)
    assert home.table.read_text() == before
    home.order(2.0, 0, "")
    home.order(2.0, 1, "")
    assert (run_sweep(home.yaml, scheduler=scheduler, progress=False).status == "done").all()
    assert home.begun().count((1.0, 0)) == 1


def test_full_disk_under_the_table_keeps_the_table(home, scheduler, monkeypatch):
    run_sweep(home.yaml, scheduler=scheduler, progress=False)
    before = home.table.read_text()

    def full(frame, path, **options):
        Path(path).write_text("setting,x")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    with pytest.raises(SweepError, match=r"trial.csv: No space left on device.*are kept"):
        run_sweep(home.yaml, scheduler=scheduler, progress=False)
    assert home.table.read_text() == before
    assert [path.name for path in home.table.parent.iterdir()] == ["trial.csv"]


def test_ctrl_c_ends_cleanly(home):
    """The signal goes to the whole process group, as a terminal sends it."""
    home.order(1.0, 1, "wait")
    # where the tests run in the background they ignore Ctrl-C, and a child would inherit that
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        command = home.command("--workers", "1")
    finally:
        signal.signal(signal.SIGINT, before)
    wait_until(lambda: (1.0, 1) in home.begun(), "the second point is running")
    wait_until(lambda: len(home.rows()) == 1, "the first point is in the table")
    children = family(command)
    os.killpg(command.pid, signal.SIGINT)
    assert command.wait(LONG_S) == 130
    nothing_left(children)
    out = command.out.read_text()
    assert "Interrupted. Runs that have ended are kept" in out and "Traceback" not in out
    assert home.rows().status.tolist() == ["done"]


def test_scheduler_that_does_not_answer(home, monkeypatch):
    monkeypatch.setattr(sweeps, "CONNECT_S", 0.2)
    with pytest.raises(SweepError, match=r"--scheduler tcp://127.*: no answer"):
        run_sweep(home.yaml, scheduler="tcp://127.0.0.1:1", progress=False)
    assert home.log() == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"grid": {"lx": [1.0]}}, "grid.lx: parameter 'lx': unknown"),
        ({"fixed": {"wort": "b"}}, "fixed.wort: parameter 'wort': unknown"),
        ({"grid": {"x": [1.0, "one"]}}, "grid.x: parameter 'x': 'one' is of type str"),
        ({"grid": {"x": [True]}}, "grid.x: parameter 'x': True is of type bool"),
        ({"grid": {"x": 1.0}}, "grid.x: 1.0 must be a list"),
        ({"grid": {"x": []}}, "grid.x: .* must be a list"),
        ({"grid": {"x": [1.0, 1.0]}}, "grid.x: .* different"),
        ({"grid": {"word": ["a/b", "a-b"]}}, "grid: two values that give the same name"),
        ({"grid": {"seed": [1]}}, "grid.seed: the sweep itself sets it"),
        ({"fixed": {"run_name": "a"}}, "fixed.run_name: the sweep itself sets it"),
        ({"fixed": {"x": 1.0}}, "grid: x is in fixed, too"),
        ({"grid": {"x": [1.0], "both": {"a": {"x": 2.0}}}}, "grid: x is .*twice in the grid"),
        ({"grid": {"both": {"a": {"lx": 1.0}}}}, "grid.both.a.lx: parameter 'lx': unknown"),
        ({"grid": {"both": {"a": {"x": "1e-3"}}}}, "grid.both.a.x: .* is of type str"),
        ({"grid": {"both": {"a": 1.0}}}, "grid.both.a: 1.0 is no mapping"),
        ({"grid": {"x": {"a": {"x": 1.0}}}}, "grid.x: .* must be a list"),
        ({"seeds": [0.5]}, "seeds.seed: parameter 'seed': 0.5"),
        ({"seeds": [0, 0]}, "seeds.seed: .* different"),
        ({"seeds": 3}, "seeds: 3 is no list"),
        ({"name": "../up"}, "name: '../up' must be letters"),
        ({"notebook": "04_absent"}, "notebook: there is no .*04_absent.ipynb"),
        ({"girds": {}}, "the keys must be name, notebook, fixed, grid, seeds; found: .*girds"),
    ],
)
def test_a_mistake_is_named_before_anything_starts(home, changes, message):
    home.write(**changes)
    with pytest.raises(SweepError, match=message) as error:
        run_sweep(home.yaml)
    assert str(home.yaml) in str(error.value)
    assert home.log() == [] and not home.runs.exists()


@pytest.mark.parametrize(
    ("written", "better"), [("1e-3", "1.0e-3"), ("2.5e4", "2.5e+4"), ("-3E5", "-3.0e+5")]
)
def test_number_that_yaml_reads_as_text(home, written, better):
    home.yaml.write_text(home.yaml.read_text().replace("- 1.0", f"- {written}"))
    with pytest.raises(SweepError, match=r"grid\.x: .*as text") as error:
        read_sweep(home.yaml)
    assert str(error.value).endswith(f"write {better}")
    assert yaml.safe_load(better) == float(written)


def test_typo_on_the_command_line(home, monkeypatch):
    message = call(monkeypatch, home.yaml, "--set", "wort=b")  # printed, and the status is 1
    assert "--set wort: parameter 'wort': unknown" in message
    assert home.log() == []


def test_parameters_that_go_together_are_one_axis(home):
    home.write(grid={"pair": {"low": {"x": 1, "word": "b"}, "high one": {"x": 2.0}}})
    points = [p for p in read_sweep(home.yaml).points if p.parameters["seed"] == 0]
    default = notebook_parameters(home.notebook)["word"]
    found = [(p.configuration, p.parameters["x"], p.parameters["word"]) for p in points]
    assert default != "b" and isinstance(found[0][1], float)
    assert found == [("pair=low", 1.0, "b"), ("pair=high-one", 2.0, default)]
    with pytest.raises(SweepError, match="--set word: the grid"):
        read_sweep(home.yaml, {"word": "c"})


def test_overrides_are_part_of_the_name(home):
    sweep = read_sweep(home.yaml, {"word": "b"})
    assert sweep.name == "trial_word=b" and sweep.points[0].parameters["word"] == "b"
    assert sweep.points[0].folder.parent.name == "trial_word=b"
    assert sweep.points[0].hash != read_sweep(home.yaml).points[0].hash
    assert read_sweep(home.yaml, {"word": "a"}).name == "trial"
    with pytest.raises(SweepError, match="--set x: the grid of"):
        read_sweep(home.yaml, {"x": 3.0})


@pytest.mark.parametrize("name", [path.stem for path in plan.SWEEPS.glob("*.yaml")])
def test_the_study_s_sweeps(name, home):
    sweep = read_sweep(name)
    assert sweep.name == name and len(sweep.points) <= 126
    assert len(set(sweep.points[0].parameters)) == len(notebook_parameters(sweep.notebook))
    seeds = {  # these only choose
        "downsizing_tuning": 2,
        "buying_back_validation": 1,
        "convolutional_reference_validation": 1,
    }
    assert len({point.parameters["seed"] for point in sweep.points}) >= seeds.get(name, 3)


def test_the_real_notebook_in_small(home, scheduler):
    home.write(
        notebook="03_model_training",
        fixed={"n_hidden": 16, "batch_size": 32},
        grid={"lr": [2.0e-3]},
        seeds=[3],
    )
    table = run_sweep(home.yaml, scheduler=scheduler, progress=False)
    assert table.status.tolist() == ["done"], table.error[0]
    assert table.dataset[0] == "toy" and table.seed[0] == 3 and table.lr[0] == 2e-3
    info = json.loads((home.runs / "lr=0.002,seed=3" / "run.json").read_text())
    assert info["hash"] == table.hash[0] and info["threads"] == 1
    assert info["code"] == code_version(NOTEBOOKS / "03_model_training.ipynb")
    assert table.validation_accuracy[0] == info["scores"]["validation"]
    executed = nbformat.read(home.runs / "lr=0.002,seed=3" / "03_model_training.ipynb", 4)
    assert all(cell.execution_count for cell in executed.cells if cell.cell_type == "code")


def table_of(rows):
    """Make a table of (setting, seed, validation, status)."""
    table = pd.DataFrame(rows, columns=["configuration", "seed", "validation_accuracy", "status"])
    table["lr"] = table.configuration.str.removeprefix("lr=").astype(float)
    rest = (*sweeps.SCORES, "training_s", "total_s", "run_name", "hash", "error")
    return table.assign(**{name: 0.0 for name in rest if name not in table})


def test_choose_takes_the_best_mean_over_all_seeds():
    rows = [("lr=1", 0, 0.5, "done"), ("lr=1", 1, 0.7, "done")]
    rows += [("lr=2", 0, 0.1, "done"), ("lr=2", 1, 0.9, "done")]  # the best single run
    rows += [("lr=3", 0, 0.8, "done"), ("lr=3", 1, np.nan, "failed")]  # one seed only
    table = table_of(rows)
    assert choose(table).configuration.tolist() == ["lr=1", "lr=1"]
    means = by_configuration(table)
    assert means.configuration.tolist() == ["lr=1", "lr=2", "lr=3"] and means.lr.tolist() == [
        1,
        2,
        3,
    ]
    assert means.seeds.tolist() == [2, 2, 1]
    np.testing.assert_allclose(means.accuracy, [0.6, 0.5, 0.8])
    np.testing.assert_allclose(means.accuracy_sd[:2], [np.sqrt(0.02), np.sqrt(0.32)])
    assert "test_accuracy" not in means
    assert len(choose(table_of([("lr=1", 0, np.nan, "failed")]))) == 0


def settings_of(**columns):
    """Make what `by_configuration` returns; two values of the first column, two of the second."""
    settings = pd.DataFrame(columns)
    first, second = settings.columns[:2]
    settings["configuration"] = settings[first].astype(str) + "," + settings[second].astype(str)
    numbers = {"accuracy": [0.5, 0.6, 0.7, 0.8], "accuracy_sd": [0.01, 0.02, 0.03, 0.04]}
    return settings.assign(**numbers, seeds=3, training_s=[1.0, 2.0, 3.0, 4.0])


def test_heat_map_shows_each_mean_in_its_place_and_frames_the_chosen():
    settings = settings_of(lr=[1e-3, 1e-3, 2e-3, 2e-3], epochs=[10, 20, 10, 20])
    axis = comparison_plots.learning_rate_epochs(settings, "0.002,10").axes[0]
    cells = {text.get_position(): text.get_text() for text in axis.texts}
    assert cells[(0.5, 0.5)] == "50.0\n± 1.0" and cells[(0.5, 1.5)] == "70.0\n± 3.0"
    assert axis.patches[-1].get_xy() == (0, 1)


def test_band_is_the_confidence_interval_of_the_mean():
    settings = settings_of(surrogate=["atan", "atan", "sigmoid", "sigmoid"], slope=[1.0, 2.0] * 2)
    axis = comparison_plots.accuracy_over_slope(settings, "sigmoid,2.0").axes[0]
    low, high = axis.collections[0].get_paths()[0].get_extents().intervaly
    t, n = 4.302653, 3  # Student's t, 97.5 %, two degrees of freedom, from a printed table
    assert low == pytest.approx(min(50 - t * 1 / n**0.5, 60 - t * 2 / n**0.5), abs=1e-4)
    assert high == pytest.approx(max(50 + t * 1 / n**0.5, 60 + t * 2 / n**0.5), abs=1e-4)
    (mark,) = [line for line in axis.lines if line.get_label() == "chosen"]
    assert mark.get_xydata().tolist() == [[2.0, 80.0]]


def test_cost_is_the_training_time():
    settings = settings_of(batch_size=[8, 8, 32, 32], slope=[1.0, 2.0] * 2)
    axis = comparison_plots.cost_against_accuracy(settings, "8,2.0", "batch_size").axes[0]
    (mark,) = [line for line in axis.lines if line.get_label() == "chosen"]
    assert mark.get_xydata().tolist() == [[2.0, 60.0]]
    assert axis.get_legend_handles_labels()[1] == ["chosen", "batch_size 8", "batch_size 32"]
