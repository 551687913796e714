"""What trains many networks: processes that are killed, stopped or at the same job, and shares."""

import itertools
import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from shd_helpers.paths import ROOT
from shd_helpers.study.jobs import JobError, Shard, Workers, run_jobs
from tests.example_jobs import NAMES, Example, left
from tests.sweep_home import LONG_S, family, nothing_left, stopped, wait_until

pytestmark = pytest.mark.xdist_group("sweeps")  # they start many processes


class Folder:
    """A folder with jobs and the commands that do them."""

    def __init__(self, path, commands):
        self.path = path
        self.commands = commands

    def wait(self, *names):
        for name in names:
            (self.path / f"wait {name}").touch()

    def go(self, *names):
        for name in names:
            (self.path / f"wait {name}").unlink()

    def begun(self):
        path = self.path / "log"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def names_begun(self):
        return [name for name, *_ in self.begun()]

    def start(self, n_processes):
        """Begin what is left in a process of its own, with a session like a terminal's."""
        out = (self.path / f"out {len(self.commands)}").open("w")
        command = subprocess.Popen(
            [sys.executable, "-m", "tests.example_jobs", self.path, str(n_processes)],
            cwd=ROOT,
            stdout=out,
            stderr=out,
            start_new_session=True,
            # a shell's background jobs, of which these tests may be one, ignore SIGINT
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        self.commands.append(command)
        return command


@pytest.fixture
def folder(tmp_path):
    commands = []
    with stopped(commands):
        yield Folder(tmp_path, commands)


def test_two_processes_do_all_jobs_with_one_thread_each(folder, capsys):
    environment = dict(os.environ)
    jobs = left(folder.path)
    results = dict(run_jobs(jobs, 2, "examples"))
    assert [results[number] for number in range(len(jobs))] == [*NAMES]
    assert {threads for *_, threads in folder.begun()} == {"1"}
    assert sorted(folder.names_begun()) == [*NAMES] and dict(os.environ) == environment
    assert "examples 6/6 |" in capsys.readouterr().err
    assert list(run_jobs([], 2, "nothing")) == []


def test_a_killed_process_is_reported_and_what_is_left_is_done_next_time(folder):
    folder.wait("b", "c")
    command = folder.start(2)
    wait_until(lambda: {"b", "c"} <= {*folder.names_begun()}, "two jobs are going on")
    children = family(command)
    process = next(int(pid) for name, pid, _ in folder.begun() if name == "b")
    os.kill(process, signal.SIGKILL)
    assert command.wait(LONG_S) == 1
    nothing_left(children)
    out = (folder.path / "out 0").read_text()
    assert "JobError: a process was killed" in out and "What has ended is kept" in out
    folder.go("b", "c")
    for _ in run_jobs(left(folder.path), 1, "examples"):
        pass
    assert folder.names_begun().count("a") == 1 and folder.names_begun().count("b") == 2


def test_what_is_killed_at_random_loses_and_repeats_nothing_that_was_finished(folder):
    """Of each command, at most the jobs that were going on are begun again."""
    rng = np.random.default_rng(0)
    order = rng.permutation(NAMES).tolist()
    for name in order[:3]:
        folder.wait(name)
        command = folder.start(2)
        wait_until(lambda name=name: name in folder.names_begun(), "the job has begun")
        children = family(command)
        command.kill()
        command.wait(LONG_S)
        nothing_left(children)
        finished = {*NAMES} - {job.name for job in left(folder.path)}
        before = [name for name in folder.names_begun() if name in finished]
        folder.go(name)
    for _ in run_jobs(left(folder.path), 1, "examples"):
        pass
    assert left(folder.path) == []
    assert [name for name in folder.names_begun() if name in finished] == before


def test_ctrl_c_ends_all_processes(folder):
    folder.wait("a", "b")
    command = folder.start(2)
    wait_until(lambda: len(folder.begun()) == 2, "two jobs are going on")
    children = family(command)
    os.killpg(command.pid, signal.SIGINT)
    assert command.wait(LONG_S) != 0
    nothing_left(children)
    assert "KeyboardInterrupt" in (folder.path / "out 0").read_text()


def test_a_job_that_another_process_is_at_comes_last_and_is_done_once(folder):
    folder.wait("a", "c")
    with ThreadPoolExecutor() as pool:
        other = pool.submit(lambda: list(run_jobs([Example(folder.path, "a")], 1, "other")))
        wait_until(lambda: "a" in folder.names_begun(), "the other is at the first job")
        command = folder.start(1)
        wait_until(lambda: "c" in folder.names_begun(), "it has left out the first job")
        folder.go("c")
        wait_until(lambda: (folder.path / "f is done").exists(), "all others are done")
        folder.go("a")
        assert command.wait(LONG_S) == 0 and len(other.result(LONG_S)) == 1
    assert folder.names_begun() == [*NAMES]


def test_no_job_begins_after_the_end(folder):
    assert list(run_jobs(left(folder.path), 1, "late", end_s=0.0)) == []
    assert folder.begun() == []


@pytest.mark.parametrize("total", [1, 2, 3, 7])
def test_shares_have_every_job_once_whatever_is_done(total):
    jobs = [*range(6)]
    shares = [Workers(shard=Shard(number + 1, total)).share_of(jobs) for number in range(total)]
    assert sorted(itertools.chain(*shares)) == jobs
    assert shares[0] == jobs[::total]


@pytest.mark.parametrize("text", ["0/4", "5/4", "1/0", "-1/4", "1", "1/4/2", "one/4", "1/4 ", ""])
def test_a_share_that_is_none_is_refused(text):
    with pytest.raises(JobError, match="--shard "):
        Workers(shard=Shard.read(text))
