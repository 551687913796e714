"""Jobs on SLURM, followed without any worker: by the stand-in commands, and what Dask would say."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading

import pytest

from shd_helpers.sweeps import jobs as sweep_jobs
from shd_helpers.sweeps import slurm
from shd_helpers.sweeps.clusters import Places
from shd_helpers.sweeps.jobs import Jobs
from shd_helpers.sweeps.spec import read_sweep
from shd_helpers.sweeps.yaml_file import SweepError
from tests.slurm_site import StandIn
from tests.sweep_home import wait_until

ADDRESS = "tcp://127.0.0.1:8786"


@pytest.fixture
def site(home, tmp_path, monkeypatch):
    site = StandIn(tmp_path / "queue")
    for name, value in site.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sweep_jobs, "POLL_S", 0.0)
    yield site
    site.clear()


@pytest.fixture
def python(tmp_path, monkeypatch):
    """Return a function that puts a shell script, with a space in its path, in Python's place."""

    def put(script):
        path = tmp_path / "a python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    put("sleep 60")
    return put


@pytest.fixture
def jobs(home, site, python):
    """Return a function that makes the sweep's jobs."""
    return lambda n=2, **options: Jobs(read_sweep(home.yaml), n, {"time": "10"} | options, ADDRESS)


def names(site):
    return {f"job {job}" for job in site.jobs()}


def ended(site, then):
    wait_until(lambda: not site.jobs(), "all jobs have ended")
    return then()


def test_a_job_runs_one_worker_of_one_thread_of_this_python(jobs, python, site, home):
    python('for word; do echo "$word"; done; sleep 60')
    made = jobs()
    made.tend(4, ())
    assert set(site.jobs()) == {"101_0", "101_1"}
    log = home.runs / "slurm" / "101_1.log"
    wait_until(lambda: log.exists() and "job 101_1" in log.read_text(), "the job has begun")
    words = log.read_text().splitlines()
    assert words[:3] == ["-m", "distributed.cli.dask_worker", ADDRESS]
    assert words[words.index("--nthreads") + 1] == "1" and words[-2:] == ["--name", "job 101_1"]
    options = shlex.split((site.queue / "101.options").read_text())
    assert {"--time=10", "--array=0-1", "--parsable"} <= set(options)


def test_jobs_that_worked_and_ended_are_replaced_as_long_as_runs_are_left(jobs, site):
    made = jobs()
    made.tend(4, ())
    made.tend(4, names(site))
    first = site.jobs()
    site.cancel(["101_0"])
    made.tend(4, {"job 101_1"})
    assert set(site.jobs()) == {"101_1", "102_0"}
    made.tend(1, {"job 101_1"})
    site.cancel(["101"])
    made.tend(1, ())
    assert set(site.jobs()) == {"102_0"} and len(first) == 2  # one run needs one job


def test_what_waits_for_nothing_is_cancelled(jobs, site):
    made = jobs(partition="down")
    made.tend(4, ())
    assert made.why() == "2 jobs PENDING"
    made.tend(4, ())
    assert made.why() == "2 jobs PENDING (PartitionDown)"
    made.tend(1, ())
    assert len(site.jobs()) == 1


def test_all_jobs_die_before_a_worker_comes(jobs, python, site):
    python("echo no module named distributed >&2; exit 1")
    made = jobs()
    made.tend(4, ())
    with pytest.raises(SweepError, match=r"all jobs died .*101_[01]\.log: no module named distr"):
        ended(site, lambda: made.tend(4, ()))
    assert not site.jobs()


def test_later_ones_that_die_are_replaced_a_few_times_with_pauses(jobs, python, site, monkeypatch):
    monkeypatch.setattr(sweep_jobs, "POLL_S", 0.01)
    made = jobs(1)
    made.tend(4, ())
    made.tend(4, names(site))
    python("exit 1")
    site.cancel(["101"])

    def until_it_ends():
        while True:
            made.tend(4, ())

    with pytest.raises(SweepError, match="all jobs died"):
        until_it_ends()
    submitted = int((site.queue / "last").read_text()) - 100
    assert submitted == 1 + sweep_jobs.ROUNDS


def test_a_controller_that_is_silent_for_a_while_submits_no_job_twice(jobs, site):
    made = jobs()
    made.tend(4, ())
    (site.queue / "silent").touch()
    made.tend(4, ())
    assert "Unable to contact slurm controller" in made.why()
    (site.queue / "silent").unlink()
    made.tend(4, ())
    assert len(site.jobs()) == 2 and "Unable" not in made.why()


def test_jobs_of_an_earlier_start_are_named_and_left_alone(jobs, site):
    jobs().tend(4, ())
    later = jobs()
    assert "101_0 (RUNNING), 101_1 (RUNNING)" in later.left_over()
    assert "scancel 101" in later.left_over()
    later.tend(4, ())
    later.cancel()
    assert set(site.jobs()) == {"101_0", "101_1"}


def test_another_folder_s_jobs_are_not_ours(jobs, site, home, tmp_path, monkeypatch):
    jobs().tend(4, ())
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path / "another"))
    assert jobs().left_over() == ""


def test_what_stops_the_sweep_waits_until_a_job_is_known(site, jobs, monkeypatch):
    """The signal comes while sbatch has submitted the jobs, and has not said so yet."""

    def call(*command, script=None):
        printed = real(*command, script=script)
        os.kill(os.getpid(), signal.SIGTERM)
        return printed

    def stop(number, frame):
        raise KeyboardInterrupt

    real, before = slurm.call, signal.signal(signal.SIGTERM, stop)
    made = jobs()
    try:
        with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
            patched.setattr(slurm, "call", call)
            made._submit(2)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(site.jobs()) == 2
    made.cancel()
    assert not site.jobs() and threading.current_thread() is threading.main_thread()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("5", 300), ("5:30", 330), ("04:00:00", 14400), ("4:00:00", 14400), ("1-0", 86400)),
        *(("1-2:30", 95400), ("2-01:00:01", 176401)),
    ],
)
def test_the_six_notations_of_time(text, expected):
    assert slurm.seconds(text) == expected


def test_options_of_the_site_and_of_the_command(tmp_path, monkeypatch):
    monkeypatch.setattr(slurm, "SITE", tmp_path / "slurm.yaml")
    slurm.SITE.write_text("time: 4:00:00\nmem: 4G\n")
    found = slurm.read_options(["partition=cpu,nodelist=a,b,exclusive=", "mem=2G"])
    assert found == {
        "time": "4:00:00", "mem": "2G", "partition": "cpu", "nodelist": "a,b", "exclusive": ""
    }  # fmt: skip
    for given, message in {
        "partition": "must be NAME=VALUE",
        "p=cpu": "no long name",
        "array=1-9": "the sweep itself sets it",
        "time=soon": "must be minutes, HH:MM:SS",
    }.items():
        with pytest.raises(SweepError, match=message):
            slurm.read_options([given])
    slurm.SITE.unlink()
    with pytest.raises(SweepError, match="without time"):
        slurm.read_options()


def test_what_a_job_has_no_room_for_is_refused(site):
    def allowed(timeout_s):
        return Places(jobs=2, sbatch=("time=60",)).check(timeout_s)

    assert allowed(3000.0) == 3000.0 and allowed(None) == (3600 - slurm.MARGIN_S) / 2
    with pytest.raises(SweepError, match="no room in a job of 3600 s; at most 3570"):
        allowed(3600.0)


def test_places_that_can_not_be(home, tmp_path, monkeypatch):
    for places, message in {
        Places(jobs=2, workers=2): "--workers and --slurm: a sweep runs in one place",
        Places(jobs=0): "--slurm 0: must be 1 at least",
        Places(sbatch=("time=1",)): "--sbatch: only with --slurm",
    }.items():
        with pytest.raises(SweepError, match=message):
            places.check(None)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SweepError, match="no sbatch, squeue, scancel here"):
        Places(jobs=2).check(None)


def test_the_stand_in_says_what_sbatch_says(jobs, site):
    with pytest.raises(SweepError, match=r"no job was submitted: .*invalid partition specified"):
        jobs(partition="nope").tend(4, ())
    assert shutil.which("sbatch") and not site.jobs()
    with pytest.raises(subprocess.CalledProcessError):
        subprocess.run(["sbatch", "--array=0-0", "--partition=nope"], check=True)
