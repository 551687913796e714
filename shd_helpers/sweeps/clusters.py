"""The processes that execute a sweep's runs: here, behind a Dask scheduler, or on SLURM."""

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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TYPE_CHECKING

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from shd_helpers.checks import quoted
from shd_helpers.paths import runs_dir
from shd_helpers.sweeps.spec import SWEEPS, Sweep, SweepError

if TYPE_CHECKING:
    from distributed import Client

SITE = SWEEPS / "cluster" / "slurm.yaml"
LAST_START = "LAST_START"  # a job's variable: after this time its worker begins no run
RUN_S = 6 * 3600.0
CONNECT_S = 30.0
NO_WORKER_S = 120.0
POLL_S = 5.0
MARGIN_S = 30.0  # of a job's time, for its start and its end
DEATHS = 3  # of jobs in a row that never reach the scheduler, for each that is wanted
_STOPPING = (signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True)
class Places:
    """Where runs may be executed; at most one of the first three is given."""

    workers: int | None = None  # processes of this machine; without any, one for each core
    scheduler: str | None = None  # address of a Dask scheduler whose workers have one thread each
    jobs: int | None = None  # on SLURM
    sbatch: tuple[str, ...] = ()  # its options, as in `slurm_options`

    def check(self, timeout_s: float | None) -> float:
        """Return how long a run may take, seconds; SweepError for what can't work."""
        for name, value in (("--workers", self.workers), ("--slurm", self.jobs)):
            if value is not None and value < 1:
                raise SweepError(f"{name} {value}: must be 1 at least")
        if timeout_s is not None and not 0 < timeout_s < math.inf:
            raise SweepError(f"--timeout {timeout_s:g}: must be seconds above 0")
        if self.jobs is None:
            return timeout_s or RUN_S
        if shutil.which("sbatch") is None:
            raise SweepError("--slurm: there is no sbatch here; start on a machine that has it")
        room_s = seconds(slurm_options(self.sbatch)["time"]) - MARGIN_S
        if max(timeout_s or 0, 1) > room_s:
            raise SweepError(f"--timeout: a job has room for {room_s:g} s; more: --sbatch time=")
        return timeout_s or room_s / 2


@dataclass(frozen=True)
class Cluster:
    """A client, and what is known of its workers."""

    client: "Client"
    look: Callable[[], str]  # called each second; why there is no worker
    patience_s: float = math.inf  # without a worker


@contextmanager
def connect(places: Places, sweep: Sweep, timeout_s: float) -> Iterator[Cluster]:
    """Yield a client of a Dask cluster for a sweep whose runs may take `timeout_s` seconds.

    A cluster that was started here ends with the block. SweepError, if a scheduler doesn't answer.
    """
    import dask
    from distributed import Client, LocalCluster

    if places.scheduler is not None:
        try:
            client = Client(places.scheduler, timeout=CONNECT_S)
        except (OSError, ValueError) as error:
            raise SweepError(f"--scheduler {places.scheduler}: no answer ({error})") from error
        with client:
            why = f"start some: dask worker {places.scheduler} --nthreads 1"
            yield Cluster(client, lambda: why)
        return
    settings: dict[str, object] = {
        # A worker gets its next run when it is free: given two, it may keep one from another.
        "distributed.scheduler.worker-saturation": 1.0,
        # as many jobs as runs, up to the limit, though nobody knows yet how long they take
        "distributed.scheduler.unknown-task-duration": "1h",
    }
    if places.jobs is None:
        # A process that was killed starts anew; on a busy machine, or where packages come over a
        # network, that may take longer than dask's 15 s, after which it would be given up.
        settings["distributed.deploy.lost-worker-timeout"] = "5 minutes"
    with dask.config.set(settings), _uninterrupted() as free:
        if places.jobs is not None:
            jobs = _Jobs(places, sweep, timeout_s)
            with jobs.cluster, Client(jobs.cluster) as client:
                free()
                yield Cluster(client, jobs.look)
        else:
            with (
                LocalCluster(
                    n_workers=places.workers,
                    threads_per_worker=1,
                    scheduler_port=0,  # one that is free, so that two sweeps don't meet
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.ERROR,
                ) as cluster,
                Client(cluster) as client,
            ):
                free()
                yield Cluster(client, lambda: "all processes are lost", NO_WORKER_S)


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

    The adaptive mode replaces jobs that ended and cancels those that wait for nothing. But one
    that dies before its worker reaches the scheduler it takes for one that still waits. Closing
    `cluster` cancels all jobs.
    """

    def __init__(self, places: Places, sweep: Sweep, timeout_s: float) -> None:
        from distributed.core import Status
        from distributed.utils import get_ip

        ctrl_c = signal.getsignal(signal.SIGINT)
        from dask_jobqueue import SLURMCluster  # and lets Ctrl-C end the process with status 0
        from dask_jobqueue.slurm import SLURMJob

        signal.signal(signal.SIGINT, ctrl_c)

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

        place = hashlib.sha256(str(sweep.table).encode()).hexdigest()[:6]  # another clone's differ
        self._name = re.sub(r"[^\w.=+-]", "-", sweep.name) + f"-{place}"
        self._logs = runs_dir() / "sweeps" / sweep.name / "slurm"
        self._logs.mkdir(parents=True, exist_ok=True)
        self._n_jobs = places.jobs or 1
        self._worked: set[str] = set()  # jobs whose worker has come
        self._dead: dict[str, None] = {}  # those that died before, since the last one came
        self._asked, self._why = -math.inf, ""
        if there := self._squeue():
            listed = ", ".join(f"{job} ({state})" for job, (state, _) in there.items())
            print(
                f"Jobs of an earlier start, or of one elsewhere, are still queued: {listed}. They "
                f"end by themselves when they find no scheduler; at once: scancel {' '.join(there)}"
            )
        options = slurm_options(places.sbatch)
        host = options.pop("host", None) or get_ip()
        last_start_s = seconds(options["time"]) - timeout_s - MARGIN_S
        options["output"] = f'"{self._logs}/%j.log"'
        self.cluster = SLURMCluster(
            job_cls=Job,  # type: ignore[arg-type]
            job_name=self._name,
            cores=1,
            memory="64 GiB",  # SLURM watches a job's memory, by its own option
            job_directives_skip=["#SBATCH --mem=", "#SBATCH -t "],
            job_extra_directives=[f"--{k}={v}" if v else f"--{k}" for k, v in options.items()],
            job_script_prologue=[f"export {LAST_START}=$(($(date +%s) + {last_start_s:.0f}))"],
            # quoted, which dask-jobqueue doesn't; a shell that waits would die alone of scancel
            python=f"exec {shlex.quote(sys.executable)}",
            nanny=False,
            worker_extra_args=["--no-dashboard"],
            scheduler_options={"host": host, "port": 0, "dashboard_address": "127.0.0.1:0"},
        )
        self.cluster.adapt(maximum=places.jobs, interval=POLL_S, wait_count=2, target_duration="1s")

    def look(self) -> str:
        """Let jobs be replaced that died before their worker came; return why there is no worker.

        SweepError, if sbatch refuses the first jobs, or too many died and none is left.
        """
        from distributed.core import Status

        if time.monotonic() - self._asked < POLL_S:
            return self._why
        self._asked = time.monotonic()
        jobs = dict(self.cluster.workers)
        try:
            queue = self._squeue()
        except SweepError as error:  # the jobs go on, whatever SLURM's controller does
            self._why = str(error)
            return self._why
        names = {worker["name"] for worker in self.cluster.scheduler_info["workers"].values()}
        came = {job.job_id for name, job in jobs.items() if name in names} - self._worked
        if came:
            self._worked, self._dead = self._worked | came, {}
        gone = {
            name: job
            for name, job in jobs.items()
            if job.refused or (job.job_id and job.job_id not in queue and name not in names)
        }
        died = {job.job_id: None for job in gone.values() if job.job_id}
        self._dead |= {job: None for job in died if job not in self._worked}
        too_many = len(self._dead) >= self._n_jobs * (DEATHS if self._worked else 1)
        alive = Counter(queue[job.job_id] for job in jobs.values() if job.job_id in queue)
        lines = [f"{n} job{'s' * (n > 1)} {state} ({why})" for (state, why), n in alive.items()]
        if any(state == "RUNNING" for state, _ in alive):
            lines.append(f"workers must reach {self.cluster.scheduler_address}")
        if self._dead:
            log = self._logs / f"{[*self._dead][-1]}.log"
            lines.append(f"{len(self._dead)} died before a worker came: {log}: {_last_line(log)}")
        refused = {job.refused for job in gone.values()} - {""}
        self._why = "; ".join([*lines, *refused]) or "no job"
        if (too_many or (refused and not self._worked)) and not alive and not names:
            raise SweepError(self._why)
        for name, job in gone.items() if not too_many else ():
            job.status = Status.closed
            self.cluster.workers.pop(name, None)  # the adaptive mode submits another one
        return self._why

    def _squeue(self) -> dict[str, tuple[str, str]]:
        """Return state and reason of the sweep's jobs that are alive."""
        command = ["squeue", "--noheader", f"--name={self._name}", "--format=%i|%T|%r"]
        try:
            ended = subprocess.run(
                command, capture_output=True, text=True, timeout=CONNECT_S, start_new_session=True
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise SweepError(f"squeue: {error}") from error
        if ended.returncode:
            raise SweepError(f"squeue: {' '.join(ended.stderr.split())}")
        jobs = [line.split("|") for line in ended.stdout.splitlines()]
        return {job: (state, why) for job, state, why in jobs if state != "COMPLETING"}


def _last_line(log: Path) -> str:
    """Return what a job's log ends with."""
    if not log.exists():
        return "no log (cancelled before it began?)"
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines()]
    telling = [line for line in lines if line and not line.endswith("End worker")]
    return telling[-1] if telling else "empty"


def slurm_options(given: Sequence[str] = ()) -> dict[str, str]:
    """Return sbatch's options by their long names: those in `SITE`, and what replaces them.

    These are texts of ``name=value`` with commas between; an option without a value ends with its
    ``=``. Besides sbatch's options there may be `host`, by which jobs reach this machine.
    SweepError, if it isn't so, or there is no `time`.
    """
    try:
        options = YAML(typ="safe", pure=True).load(SITE) if SITE.exists() else {}
        options = {name: str(value) for name, value in (options or {}).items()}
    except (OSError, YAMLError, AttributeError, ValueError) as error:
        raise SweepError(f"{SITE}: must be options of sbatch, one a line ({error})") from error
    for pairs in given:
        # a comma belongs to the value where no name follows: nodelist=a,b
        for pair in re.split(r",(?=[a-z-]+=)", pairs):
            name, equals, value = pair.partition("=")
            if not equals or not re.fullmatch(r"[a-z][a-z-]+", name):
                raise SweepError(f"--sbatch {pair}: must be NAME=VALUE, with sbatch's long names")
            options[name] = value
    for name, value in options.items():
        if not f"{name}{value}".isprintable():  # the next line would be one of the job's script
            raise SweepError(f"--sbatch or {SITE}: {quoted(f'{name}={value}')} must be one line")
    if "time" not in options:
        raise SweepError(f"--sbatch or {SITE}: without time, how long a job may last")
    return options


def seconds(text: str) -> float:
    """Return the length of sbatch's `time`: minutes, HH:MM:SS or D-HH:MM:SS; else SweepError."""
    found = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)|(\d+)", text)
    if not found:
        raise SweepError(f"--sbatch time={text}: must be minutes, HH:MM:SS or D-HH:MM:SS")
    days, hours, minutes, secs, only_minutes = (float(part or 0) for part in found.groups())
    return ((days * 24 + hours) * 60 + minutes + only_minutes) * 60 + secs
