"""Whole sweeps on a small SLURM of their own (`make slurm`)."""

import os
import signal
import sys
from pathlib import Path

import pytest

from tests import slurm_site
from tests.sweep_home import LONG_S, Home, nothing_left, stopped, wait_until
from tests.toy import small_data

pytestmark = pytest.mark.slurm
# the command, with less patience
QUICKLY = """
import sys
from shd_helpers.sweeps import clusters, runner
clusters.POLL_S = runner.TICK_S = 0.3
runner.QUIET_S = 1.0
sys.executable = sys.argv.pop(1)
runner.main()
"""


@pytest.fixture(scope="module")
def daemons(tmp_path_factory):
    if absent := slurm_site.missing():
        pytest.exit(f"there is no {', '.join(absent)}. As root: {slurm_site.INSTALL}", 1)
    with slurm_site.real(tmp_path_factory.mktemp("slurm")) as site:
        yield site


@pytest.fixture
def site(daemons):
    """A site whose queue is empty."""
    yield daemons
    daemons.clear()


@pytest.fixture
def there(site, tmp_path, monkeypatch):
    """A sweep in a folder with a space in its name, and the command for it."""
    folder = tmp_path / "a folder"
    folder.mkdir()
    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("SHD_RUNS_DIR", str(folder / "runs"))
    monkeypatch.setenv("SHD_SMALL_DATA", small_data())
    monkeypatch.setenv("SHD_STAND_IN", str(folder))
    home = There(folder)
    with stopped(home.commands):
        yield home


class There(Home):
    """A sweep's folder, and a Python whose path has a space, too."""

    def __init__(self, folder):
        super().__init__(folder)
        environment = Path(sys.executable).parents[1]
        (folder / "the environment").symlink_to(environment, target_is_directory=True)
        self.python = folder / "the environment" / "bin" / Path(sys.executable).name

    def sweep(self, *arguments, jobs=2, sbatch="time=10", python=None):
        options = ["--slurm", jobs, "--sbatch", f"host=127.0.0.1,{sbatch}", *arguments]
        return self.start(self.python, "-c", QUICKLY, python or self.python, self.yaml, *options)


def said(command, text):
    wait_until(lambda: text in command.out.read_text(), f"the sweep says {text!r}")


def test_two_jobs_finish_a_sweep_though_both_were_cancelled(there, site):
    there.order(1.0, 0, "wait")
    there.order(2.0, 0, "wait")
    command = there.sweep()
    wait_until(lambda: len(there.log()) == 2, "both jobs are at a run")
    first = site.jobs()
    assert len(first) == 2
    site.cancel(first)
    wait_until(lambda: len(set(site.jobs()) - set(first)) == 2, "both are replaced")
    there.order(1.0, 0, "")
    there.order(2.0, 0, "")
    assert command.wait(LONG_S) == 0, command.out.read_text()
    assert there.rows().status.tolist() == ["done"] * 4
    assert "4 finished, 0 failed, 0 running" in command.out.read_text()
    assert site.jobs() == {}
    logs = [path.name for path in (there.runs / "slurm").iterdir()]
    assert {f"{job}.log" for job in first} < set(logs) and len(logs) >= 4


def test_killed_sweep_leaves_jobs_that_end_and_that_the_next_start_names(there, site):
    there.order(1.0, 0, "wait")
    command = there.sweep(jobs=1, sbatch="time=10")
    wait_until(lambda: len(there.log()) == 1, "the job is at a run")
    kernel = there.log()[0][2]
    os.kill(command.pid, signal.SIGSTOP)  # the job must live for the next start to name it
    again = there.sweep(jobs=1)
    (job,) = site.jobs()
    said(again, f"are still queued: {job} (RUNNING)")
    os.kill(command.pid, signal.SIGKILL)
    nothing_left([kernel])
    there.order(1.0, 0, "")
    assert again.wait(LONG_S) == 0, again.out.read_text()
    wait_until(lambda: site.jobs() == {}, "the queue is empty")


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_stopped_sweep_leaves_no_job(there, site, number):
    command = there.sweep(sbatch="time=10,partition=down")
    wait_until(lambda: len(site.jobs()) == 2, "two jobs wait")
    said(command, "2 jobs PENDING (PartitionDown)")
    os.killpg(command.pid, getattr(signal, number))
    assert command.wait(LONG_S) == 130
    assert site.jobs() == {}
    assert "Interrupted. Runs that have ended are kept" in command.out.read_text()
    assert "Traceback" not in command.out.read_text()


def test_wrong_partition(there, site):
    command = there.sweep(sbatch="time=10,partition=nope")
    assert command.wait(LONG_S) == 1
    assert "invalid partition specified: nope" in command.out.read_text()
    assert "Traceback" not in command.out.read_text()
    assert site.jobs() == {}


def test_jobs_that_die_before_their_first_run_end_the_sweep(there, site):
    python = there.folder / "no python"
    python.write_text(
        "#!/bin/sh\necho libpython.so: cannot open shared object file >&2\nexit 127\n"
    )
    python.chmod(0o755)
    command = there.sweep(python=python)
    assert command.wait(LONG_S) == 1
    out = command.out.read_text()
    assert (
        "died before a worker came" in out
        and "Traceback" not in out
        and "libpython.so: cannot open" in out
    )
    assert there.log() == []


def test_jobs_end_before_their_time_and_others_go_on(there, site):
    """A job of two minutes begins runs in its first seconds only; one that is too long fails."""
    there.write(grid={"x": [1.0]}, seeds=[0, 1, 2])
    there.order(1.0, 0, "wait")  # as long as it may
    there.order(1.0, 1, "slow")
    there.order(1.0, 2, "slow")
    command = there.sweep("--timeout", "60", jobs=1, sbatch="time=2")
    assert command.wait(LONG_S) == 1
    assert there.rows().status.tolist() == ["failed", "done", "done"], command.out.read_text()
    assert "time-out: more than 60 s" in there.rows().error[0]
    assert len(list((there.runs / "slurm").iterdir())) >= 2  # the first took only the first run
