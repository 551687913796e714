"""Connect to the processes that execute a sweep's runs.

They are started on this machine, or as jobs on SLURM, or they exist already behind a Dask scheduler
whose address is given. In each case `connect` yields a Dask client.
"""

import hashlib
import logging
import math
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from shd_helpers.checks import quoted
from shd_helpers.paths import runs_dir
from shd_helpers.sweeps.spec import SWEEPS, Sweep, SweepError

if TYPE_CHECKING:
    from dask_jobqueue import SLURMCluster
    from distributed import Client

SITE = SWEEPS / "cluster" / "slurm.yaml"
LAST_START = "LAST_START"  # a job's variable: after this time its worker begins no run
RUN_S = 6 * 3600.0  # most time for a run, unless it is given
CONNECT_S = 30.0  # most time for an answer of a scheduler or of SLURM
NO_WORKER_S = 120.0  # without any process on this machine, until the sweep ends
POLL_S = 5.0  # between two questions to SLURM
MARGIN_S = 30.0  # of a job's time, for its start and its end
DEATHS = 3  # of jobs in a row that never reach the scheduler, for each that is wanted
_STOPPING = (signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True)
class Workers:
    """Which workers execute a sweep's runs; at most one of the first three is given."""

    processes: int | None = None  # on this machine; without any of the three, one for each core
    scheduler: str | None = None  # address of a Dask scheduler whose workers have one thread each
    jobs: int | None = None  # on SLURM
    sbatch: tuple[str, ...] = ()  # its options, as in `slurm_options`

    def check(self, timeout_s: float | None) -> float:
        """Check what was asked for, and return how long a run may take.

        Parameters
        ----------
        timeout_s : float or None
            Most time for one run in seconds, or None for the default.

        Returns
        -------
        float
            Most time for one run in seconds. The default is 6 hours, or half of a job's time.

        Raises
        ------
        SweepError
            If a number is too small, or there is no SLURM here, or its jobs are too short.
        """
        for option, number in (("--workers", self.processes), ("--slurm", self.jobs)):
            if number is not None and number < 1:
                raise SweepError(f"{option} {number}: must be 1 at least")
        if timeout_s is not None and not 0 < timeout_s < math.inf:
            raise SweepError(f"--timeout {timeout_s:g}: must be seconds above 0")
        if self.jobs is None:
            return timeout_s or RUN_S
        if shutil.which("sbatch") is None:
            raise SweepError("--slurm: there is no sbatch here; start on a machine that has it")
        available_s = seconds(slurm_options(self.sbatch)["time"]) - MARGIN_S
        if max(timeout_s or 0, 1) > available_s:
            raise SweepError(
                f"--timeout: a job has room for {available_s:g} s; more: --sbatch time="
            )
        return timeout_s or available_s / 2


@dataclass(frozen=True)
class Cluster:
    """A Dask client, and what is known about its workers."""

    client: "Client"
    look: Callable[[], str]  # called each second; returns why there is no worker
    patience_s: float = math.inf  # how long a sweep waits without a worker, until it ends


@contextmanager
def connect(workers: Workers, sweep: Sweep, timeout_s: float) -> Iterator[Cluster]:
    """Connect to a Dask cluster for a sweep; a cluster that is started here ends with the block.

    Parameters
    ----------
    workers : Workers
        Which workers execute the runs.
    sweep : Sweep
        The sweep. SLURM's jobs get its name.
    timeout_s : float
        Most time for one run, in seconds.

    Yields
    ------
    Cluster
        The client and its workers.

    Raises
    ------
    SweepError
        If a scheduler doesn't answer.
    """
    import dask

    if workers.scheduler is not None:
        with _existing(workers.scheduler) as cluster:
            yield cluster
        return
    settings: dict[str, object] = {
        # A worker gets its next run when it is free: given two, it may keep one from another.
        "distributed.scheduler.worker-saturation": 1.0,
        # as many jobs as runs, up to the limit, though nobody knows yet how long they take
        "distributed.scheduler.unknown-task-duration": "1h",
    }
    if workers.jobs is None:
        # A process that was killed starts anew; on a busy machine, or where packages come over a
        # network, that may take longer than dask's 15 s, after which it would be given up.
        settings["distributed.deploy.lost-worker-timeout"] = "5 minutes"
    with dask.config.set(settings), _uninterrupted() as free:
        if workers.jobs is not None:
            started = _on_slurm(workers, sweep, timeout_s)
        else:
            started = _on_this_machine(workers.processes)
        with started as cluster:
            free()
            yield cluster


@contextmanager
def _existing(scheduler: str) -> Iterator[Cluster]:
    """Yield a client of a Dask scheduler that runs already."""
    from distributed import Client

    try:
        client = Client(scheduler, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        raise SweepError(f"--scheduler {scheduler}: no answer ({error})") from error
    why = f"start some: dask worker {scheduler} --nthreads 1"
    with client:
        yield Cluster(client, lambda: why)


@contextmanager
def _on_this_machine(n_processes: int | None) -> Iterator[Cluster]:
    """Yield a client of processes of this machine, one for each core unless a number is given."""
    from distributed import Client, LocalCluster

    processes = LocalCluster(
        n_workers=n_processes,
        threads_per_worker=1,
        scheduler_port=0,  # one that is free, so that two sweeps don't meet
        dashboard_address="127.0.0.1:0",
        silence_logs=logging.ERROR,
    )
    with processes, Client(processes) as client:
        yield Cluster(client, lambda: "all processes are lost", NO_WORKER_S)


@contextmanager
def _on_slurm(workers: Workers, sweep: Sweep, timeout_s: float) -> Iterator[Cluster]:
    """Yield a client of workers that are jobs on SLURM."""
    from distributed import Client

    jobs = _Jobs(workers, sweep, timeout_s)
    with jobs.cluster, Client(jobs.cluster) as client:
        yield Cluster(client, jobs.look)


@contextmanager
def _uninterrupted() -> Iterator[Callable[[], object]]:
    """Block Ctrl-C until the yielded function is called; what starts meanwhile never gets it.

    A terminal sends it to workers and to `sbatch`, too. A worker that dies of it while the cluster
    is closed would be started again, and a job whose number is lost couldn't be cancelled.
    """
    resource_tracker.ensure_running()  # it would lift the block
    free = partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, _STOPPING)
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield free
    finally:
        free()


class _Jobs:
    """A dask-jobqueue cluster of one worker a job, and what SLURM says about the jobs.

    The adaptive mode of dask-jobqueue submits jobs for those that ended, and cancels those that
    nobody needs. But a job that dies before its worker reaches the scheduler is one that it takes
    for a job that still waits. `look` finds such jobs. Closing `cluster` cancels all jobs.
    """

    def __init__(self, workers: Workers, sweep: Sweep, timeout_s: float) -> None:
        # Two clones of the study may run the same sweep, so their jobs get different names.
        clone = hashlib.sha256(str(sweep.table).encode()).hexdigest()[:6]
        self._name = re.sub(r"[^\w.=+-]", "-", sweep.name) + f"-{clone}"
        self._logs = runs_dir() / "sweeps" / sweep.name / "slurm"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._n_jobs = workers.jobs or 1
        self._arrived: set[str] = set()  # ids of jobs whose workers have reached the scheduler
        # Ids of jobs that died before, since the last worker arrived, in order (a dict, because a
        # set has none).
        self._dead: dict[str, None] = {}
        self._asked_s = -math.inf  # when SLURM was asked last, by time.monotonic()
        self._why = ""  # there is no worker
        self._warn_of_earlier_jobs()
        self.cluster = self._submitted(workers, timeout_s)

    def _warn_of_earlier_jobs(self) -> None:
        """Print which jobs of the same name are queued already."""
        queue = self._squeue()
        if not queue:
            return
        listed = ", ".join(f"{job_id} ({state})" for job_id, (state, _) in queue.items())
        print(
            f"Jobs of an earlier start, or of one elsewhere, are still queued: {listed}. They "
            f"end by themselves when they find no scheduler; at once: scancel {' '.join(queue)}"
        )

    def _submitted(self, workers: Workers, timeout_s: float) -> "SLURMCluster":
        """Return the cluster, which submits as many jobs as there are runs, up to the limit."""
        from distributed.utils import get_ip

        ctrl_c = signal.getsignal(signal.SIGINT)
        from dask_jobqueue import SLURMCluster  # and lets Ctrl-C end the process with status 0

        signal.signal(signal.SIGINT, ctrl_c)
        options = slurm_options(workers.sbatch)
        host = options.pop("host", None) or get_ip()
        last_start_s = seconds(options["time"]) - timeout_s - MARGIN_S
        options["output"] = f'"{self._logs}/%j.log"'
        directives = []
        for name, value in options.items():
            directives.append(f"--{name}={value}" if value else f"--{name}")
        cluster = SLURMCluster(
            job_cls=_job_class(),  # type: ignore[arg-type]
            job_name=self._name,
            cores=1,
            memory="64 GiB",  # SLURM watches a job's memory, by its own option
            job_directives_skip=["#SBATCH --mem=", "#SBATCH -t "],
            job_extra_directives=directives,
            job_script_prologue=[f"export {LAST_START}=$(($(date +%s) + {last_start_s:.0f}))"],
            # quoted, which dask-jobqueue doesn't; a shell that waits would die alone of scancel
            python=f"exec {shlex.quote(sys.executable)}",
            nanny=False,
            worker_extra_args=["--no-dashboard"],
            scheduler_options={"host": host, "port": 0, "dashboard_address": "127.0.0.1:0"},
        )
        cluster.adapt(maximum=workers.jobs, interval=POLL_S, wait_count=2, target_duration="1s")
        return cluster

    def look(self) -> str:
        """Let jobs be replaced that died before their workers arrived.

        Returns
        -------
        str
            Why there is no worker, as far as SLURM says.

        Raises
        ------
        SweepError
            If sbatch refuses the first jobs, or too many died and none is left.
        """
        if time.monotonic() - self._asked_s < POLL_S:
            return self._why
        self._asked_s = time.monotonic()
        # before SLURM is asked: a job that is submitted meanwhile would seem to have ended
        jobs = dict(self.cluster.workers)
        try:
            queue = self._squeue()
        except SweepError as error:  # the jobs go on, whatever SLURM's controller does
            self._why = str(error)
            return self._why
        connected = {each["name"] for each in self.cluster.scheduler_info["workers"].values()}
        gone = {
            name: job
            for name, job in jobs.items()
            if job.refused or (job.job_id and job.job_id not in queue and name not in connected)
        }
        self._count_dead(jobs, connected, gone)
        alive = [queue[job.job_id] for job in jobs.values() if job.job_id in queue]
        refused = {job.refused for job in gone.values() if job.refused}
        self._why = "; ".join([*self._lines(alive), *refused]) or "no job"
        may_die = self._n_jobs * (DEATHS if self._arrived else 1)
        too_many = len(self._dead) >= may_die
        is_hopeless = too_many or (refused and not self._arrived)
        if is_hopeless and not alive and not connected:
            raise SweepError(self._why)
        if not too_many:
            self._forget(gone)
        return self._why

    def _count_dead(
        self, jobs: Mapping[str, Any], connected: Set[str], gone: Mapping[str, Any]
    ) -> None:
        """Note whose workers have arrived, and which jobs died before; see `_dead`.

        Jobs are given by the names of their workers.
        """
        ids = {job.job_id for name, job in jobs.items() if name in connected}
        if ids - self._arrived:
            self._arrived |= ids
            self._dead = {}
        for job in gone.values():
            if job.job_id and job.job_id not in self._arrived:
                self._dead[job.job_id] = None

    def _lines(self, alive: Sequence[tuple[str, str]]) -> list[str]:
        """Describe the jobs in SLURM's queue, by their states and reasons, and those that died."""
        lines = []
        for (state, reason), n in Counter(alive).items():
            noun = "jobs" if n > 1 else "job"
            lines.append(f"{n} {noun} {state} ({reason})")
        if any(state == "RUNNING" for state, _ in alive):
            lines.append(f"workers must reach {self.cluster.scheduler_address}")
        if self._dead:
            last = list(self._dead)[-1]
            log = self._logs / f"{last}.log"
            lines.append(f"{len(self._dead)} died before a worker came: {log}: {_last_line(log)}")
        return lines

    def _forget(self, gone: Mapping[str, Any]) -> None:
        """Remove jobs from the cluster, so that its adaptive mode submits others."""
        from distributed.core import Status

        for name, job in gone.items():
            job.status = Status.closed
            self.cluster.workers.pop(name, None)

    def _squeue(self) -> dict[str, tuple[str, str]]:
        """Return the state and its reason of each of the sweep's jobs that are alive, by job id."""
        command = ["squeue", "--noheader", f"--name={self._name}", "--format=%i|%T|%r"]
        try:
            ended = subprocess.run(
                command, capture_output=True, text=True, timeout=CONNECT_S, start_new_session=True
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SweepError(f"squeue: {error}") from error
        if ended.returncode:
            raise SweepError(f"squeue: {' '.join(ended.stderr.split())}")
        queue = {}
        for line in ended.stdout.splitlines():
            job_id, state, reason = line.split("|")
            if state != "COMPLETING":
                queue[job_id] = (state, reason)
        return queue


def _job_class() -> type:
    """Return dask-jobqueue's class of a job, with a memory for why sbatch refused it.

    A function, because dask-jobqueue takes long to import and most sweeps need none of it.
    """
    from dask_jobqueue.slurm import SLURMJob
    from distributed.core import Status

    class Job(SLURMJob):
        """A job that remembers why sbatch refused it, and that it was closed."""

        refused = ""

        async def start(self) -> None:
            try:
                await super().start()
            except RuntimeError as error:
                self.refused = " ".join(str(error).partition("stderr:")[2].split())
                self.status = Status.running

        async def close(self) -> None:
            await super().close()
            self.status = Status.closed

    return Job


def _last_line(log: Path) -> str:
    """Return the last line of a job's log that says something."""
    if not log.exists():
        return "no log (cancelled before it began?)"
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    telling = [line for line in lines if line and not line.endswith("End worker")]
    return telling[-1] if telling else "empty"


def slurm_options(given: Sequence[str] = ()) -> dict[str, str]:
    """Return the options of sbatch: those of the site's file, and those that replace them.

    Parameters
    ----------
    given : sequence of str
        Options from the command line, such as ``"partition=cpu,time=02:00:00"``. An option without
        a value ends with its ``=``.

    Returns
    -------
    dict
        Values by the options' long names. `host` is no option of sbatch: jobs reach this machine by
        it.

    Raises
    ------
    SweepError
        If something isn't an option on one line, or there is no `time`.
    """
    options = _site_options()
    for text in given:
        # A comma ends an option only where a name follows: in nodelist=a,b it belongs to the value.
        for pair in re.split(r",(?=[a-z-]+=)", text):
            name, equals, value = pair.partition("=")
            if not equals or not re.fullmatch(r"[a-z][a-z-]+", name):
                raise SweepError(f"--sbatch {pair}: must be NAME=VALUE, with sbatch's long names")
            options[name] = value
    for name, value in options.items():
        if not f"{name}{value}".isprintable():  # the next line would be one of the job's script
            raise SweepError(f"--sbatch or {SITE}: {quoted(f'{name}={value}')} must be one line")
    if "time" not in options:
        raise SweepError(f"No job time limit: set `time` with --sbatch, or in {SITE}.")
    return options


def _site_options() -> dict[str, str]:
    """Return the options of sbatch in `SITE`; none if there is no such file."""
    if not SITE.exists():
        return {}
    try:
        written = YAML(typ="safe", pure=True).load(SITE) or {}
        return {name: str(value) for name, value in written.items()}
    except (OSError, YAMLError, AttributeError, ValueError) as error:
        raise SweepError(f"{SITE}: must be options of sbatch, one a line ({error})") from error


def seconds(text: str) -> float:
    """Convert sbatch's notation of a time to seconds.

    Parameters
    ----------
    text : str
        Minutes, or HH:MM:SS, or D-HH:MM:SS.

    Returns
    -------
    float
        The time in seconds.

    Raises
    ------
    SweepError
        If the text is no such time.
    """
    if text.isdecimal():
        return float(text) * 60
    match = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", text)
    if match is None:
        raise SweepError(f"--sbatch time={text}: must be minutes, HH:MM:SS or D-HH:MM:SS")
    days, hours, minutes, rest = (float(number or 0) for number in match.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + rest
