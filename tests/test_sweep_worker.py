"""What a worker does with one run, without a cluster around it."""

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import distributed
import nbformat
import pytest
from distributed.core import Status

from shd_helpers.study import kernels, recipe
from shd_helpers.sweeps import worker
from shd_helpers.sweeps.spec import read_sweep
from tests.sweep_home import is_alive

# A kernel that, as long as the file `occupied` has a line left, finds a port in use that was free
# when it was chosen.
KERNEL = """
import json, os, socket, sys
from pathlib import Path
home = Path(os.environ["SHD_STAND_IN"])
print("a word of the kernel's own", file=sys.stderr, flush=True)
with (home / "starts").open("a") as starts:
    starts.write("+")
left = (home / "occupied").read_text().splitlines()
(home / "occupied").write_text("\\n".join(left[1:]))
if left:
    port = json.loads(Path(sys.argv[2]).read_text())[left[0]]
    taken = socket.create_server(("127.0.0.1", port))
from ipykernel.kernelapp import IPKernelApp
IPKernelApp.launch_instance()
"""
OTHER = "ddb4", worker.CODE[1]


@pytest.fixture
def execute(home, monkeypatch):
    """Execute the sweep's first run as a worker of one thread does."""

    def executed(threads=1, code=worker.CODE, run=None):
        state = SimpleNamespace(nthreads=threads)
        monkeypatch.setattr(distributed, "get_worker", lambda: SimpleNamespace(state=state))
        environment = {k: v for k, v in os.environ.items() if k.startswith("SHD_")}
        run = run or read_sweep(home.yaml).runs[0]
        return worker.execute(home.notebook, run, 60.0, environment, False, code)

    return executed


@pytest.fixture
def occupy(home, monkeypatch):
    """Let kernels find these of their ports in use, one a start."""
    kernel = home.folder / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.py").write_text(KERNEL)
    argv = [sys.executable, str(kernel / "kernel.py"), "-f", "{connection_file}"]
    spec = {"argv": argv, "display_name": "Python", "language": "python"}
    (kernel / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(home.folder / "jupyter"))

    def occupied(*ports):
        (home.folder / "occupied").write_text("\n".join(ports))

    return occupied


def starts(home):
    return len((home.folder / "starts").read_text())


def test_kernel_that_dies_at_its_start_is_started_again(home, execute, occupy):
    occupy("shell_port", "control_port")
    assert execute()["validation_accuracy"] == 0.1
    assert starts(home) == 3 and home.begun() == [(1.0, 0)]


def test_kernel_that_always_dies_at_its_start_ends_the_run(home, execute, occupy):
    occupy(*["stdin_port"] * 9)
    assert "Kernel died before replying" in execute()
    assert starts(home) == kernels.STARTS and home.begun() == []


def test_kernel_that_dies_in_a_cell_is_not_started_again(home, execute, occupy):
    occupy()
    home.order(1.0, 0, "die")
    assert "Kernel died" in execute()
    assert starts(home) == 1 and home.begun() == [(1.0, 0)]


def test_kernel_speaks_into_a_file_that_stays_where_the_run_fails(home, execute, occupy, capfd):
    """On the terminal its tracebacks would stand between the lines of the progress bar."""
    occupy()
    home.order(1.0, 0, "die")
    log = home.runs / "x=1.0,seed=0" / "stand_in.log"
    assert str(log) in execute()
    assert "a word of the kernel's own" in log.read_text()
    home.order(1.0, 0, "")
    assert execute()["validation_accuracy"] == 0.1
    assert not log.exists()
    assert "a word of the kernel's own" not in "".join(capfd.readouterr())


def test_the_next_run_is_executed_in_the_same_kernel_and_finds_nothing_of_the_last(home, execute):
    runs = read_sweep(home.yaml).runs
    home.order(2.0, 0, "leave")
    home.order(2.0, 1, "find")
    *measured, error = [execute(run=run) for run in runs]
    assert [each["validation_accuracy"] for each in measured] == [0.1, 0.11, 0.2]
    assert "NameError: name 'left_behind' is not defined" in error
    assert len({pid for _, _, pid, _ in home.log()}) == 1
    cells = nbformat.read(runs[2].folder / "stand_in.ipynb", 4).cells
    counts = [cell.execution_count for cell in cells]
    assert counts == [*range(1, len(cells) + 1)]


@pytest.mark.parametrize("what", ["fail", "die"])
def test_after_a_run_that_failed_the_kernel_is_another_one(home, execute, what):
    home.order(1.0, 0, what)
    for run in read_sweep(home.yaml).runs[:2]:
        execute(run=run)
    (*_, first, _), (*_, second, _) = home.log()
    assert first != second and not is_alive(first)


def test_a_kernel_that_died_while_it_waited_is_started_again(home, execute):
    first, second, *_ = read_sweep(home.yaml).runs
    execute(run=first)
    os.kill(home.log()[0][2], signal.SIGKILL)
    assert execute(run=second)["validation_accuracy"] == 0.11


def test_another_environment_needs_another_kernel(home, execute, monkeypatch):
    for run, mark in zip(read_sweep(home.yaml).runs, ["a", "a", "b"], strict=False):
        monkeypatch.setenv("SHD_MARK", mark)
        execute(run=run)
    pids, seen = zip(*[(pid, n[-1]) for _, _, pid, n in home.log()], strict=True)
    assert pids[0] == pids[1] != pids[2] and seen == ("a", "a", "b")


def test_other_code_needs_another_kernel(home, execute, monkeypatch):
    first, second, third, _ = read_sweep(home.yaml).runs
    for run in (first, second):
        execute(run=run)
    monkeypatch.setattr(kernels, "source_hash", lambda: "edited")
    execute(run=third)
    pids = [pid for _, _, pid, _ in home.log()]
    assert pids[0] == pids[1] != pids[2]


def test_the_source_is_told_apart_by_its_text(tmp_path, monkeypatch):
    package = tmp_path / "package"
    (package / "study").mkdir(parents=True)
    monkeypatch.setattr(kernels, "__file__", str(package / "study" / "kernels.py"))
    found = []
    for text in ("a = 1", "a = 2", "a = 1"):
        (package / "module.py").write_text(text)
        found.append(kernels.source_hash())
    assert found[0] == found[2] != found[1]


def test_a_failing_cell_leaves_what_its_kernel_said_and_not_what_one_before_it_did(
    home, execute, occupy
):
    occupy()
    home.order(1.0, 0, "die")
    home.order(1.0, 1, "fail")
    first, second, *_ = read_sweep(home.yaml).runs
    for run in (first, second):
        execute(run=run)
        log = (run.folder / "stand_in.log").read_text()
        assert log.count("a word of the kernel's own") == 1


def test_worker_of_two_threads_is_refused(home, execute):
    assert "--nthreads 1" in execute(threads=2)
    assert home.log() == []


def test_notebook_that_leaves_no_such_run_fails(home, execute):
    home.order(1.0, 0, "other")
    assert "run.json" in execute()
    assert home.begun() == [(1.0, 0)]


def test_worker_of_other_code_says_so_before_it_begins(home, execute, monkeypatch):
    with monkeypatch.context() as newer:
        newer.setattr(recipe, "NUMERICS", -1)
        run = read_sweep(home.yaml).runs[0]
    assert execute(code=OTHER, run=run) == (
        f"this worker has code {' of '.join(worker.CODE)}, the sweep wants {' of '.join(OTHER)}: "
        "restart the workers"
    )
    assert home.log() == []


def test_worker_of_another_checkout_says_so_before_it_begins(home, execute):
    said = execute(code=(worker.CODE[0], "/copied"))
    assert isinstance(said, worker.Stale) and "of /copied: restart the workers" in said
    assert home.log() == [] and not home.runs.exists()


def test_other_code_that_gives_the_same_runs_counts(home, execute):
    assert execute(code=OTHER)["validation_accuracy"] == 0.1


def test_a_failed_run_names_the_other_code_in_its_last_line(home, execute):
    home.order(1.0, 0, "other")
    first, last = execute(code=OTHER).splitlines()
    assert first.startswith("run.json") and last.endswith(": restart the workers")


def wait_for(path):
    import time
    from pathlib import Path

    while not Path(path).exists():
        time.sleep(0.05)


def test_a_job_s_worker_takes_no_run_when_its_time_is_short(tmp_path):
    """It ends the run that it is at, its first in any case, and goes; another does the rest."""

    async def sweep(late_s):
        async with (
            distributed.Scheduler(
                port=0, dashboard_address="127.0.0.1:0", host="127.0.0.1"
            ) as scheduler,
            distributed.Worker(scheduler.address, nthreads=1, memory_limit=0) as old,
            distributed.Client(scheduler.address, asynchronous=True) as client,
        ):
            await client.register_plugin(worker.LastStart(10.0, 10.0 - late_s), name="last start")
            long = client.submit(wait_for, path := str(tmp_path / f"go {late_s}"))
            others = client.map(lambda i: i, range(3), priority=-1)
            while old.status != Status.paused:
                await asyncio.sleep(0.05)
            Path(path).touch()
            await long
            del long
            await old.finished()
            assert {future.status for future in others} == {"pending"}
            await client.unregister_worker_plugin("last start")
            async with distributed.Worker(scheduler.address, nthreads=1):
                return await client.gather(others)

    assert asyncio.run(sweep(0.5)) == [0, 1, 2]
    assert asyncio.run(sweep(-5.0)) == [0, 1, 2]  # its start has taken too long for a second run


def test_a_run_ends_before_its_job(home, execute, monkeypatch):
    home.order(1.0, 0, "wait")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    monkeypatch.setenv("SLURM_JOB_END_TIME", str(time.time() + worker.FETCH_S + 5))
    told = execute().splitlines()[-1]
    assert told.startswith("time-out: more than") and told.endswith("--sbatch time=, --timeout")
    assert home.begun() == [(1.0, 0)]
