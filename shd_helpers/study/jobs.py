"""Do the jobs that are left: train many networks, in processes here or as a share of a job array.

Whatever trains many networks does it with `run_jobs`: sweeps, `judge`, and the plans of evidence/.
A job keeps its result in a file or a folder of its own, and does nothing if the result is there.
So a command that was stopped goes on where it was, and two commands at the same time share the
jobs. A job that another process has begun comes last.
"""

import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeVar
from unittest.mock import patch

import joblib
from filelock import FileLock, Timeout
from joblib.externals.loky.process_executor import TerminatedWorkerError
from tqdm import tqdm

from shd_corpus.checks import quoted
from shd_helpers.paths import folder_variables

RESUME = "What has ended is kept: the same command does only the rest."
IDLE_S = 10  # until a process without a job ends
PARENT_S = 1.0  # between two looks whether the parent is there
FOREVER_S = -1.0  # of a lock: it waits as long as it takes
# Each job has one process with one thread. So the jobs share the cores well, and no result depends
# on how many cores a machine has.
_ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}
# By default glibc returns the memory of large arrays to the system at every step, and asks for it
# again. That took half of the time of the inputs' comparison.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "1073741824"}
_BAR = "{desc} {n_fmt}/{total_fmt} |{bar:20}| {elapsed} so far, {remaining} left{postfix}"
Item = TypeVar("Item")


class JobError(ValueError):
    """Jobs can't start or continue; the message says what to do."""


class Job(Protocol):
    """What is done once: called, it keeps a result, unless that is there, and may return it."""

    @property
    def lock(self) -> FileLock:
        """Return a lock that lets one process do the job."""

    def __call__(self) -> Any:
        """Do the job."""


class Shard(NamedTuple):
    """One share of all jobs: every `total`-th, beginning with number `number`, from 1.

    A share depends on the list of all jobs alone, not on what has finished. So a task of a job
    array that was killed has the same share when it starts again, and no two shares have a job in
    common.
    """

    number: int
    total: int

    @classmethod
    def read(cls, text: str) -> "Shard":
        """Read a share as the command line gives it, such as ``3/20``."""
        if not re.fullmatch(r"[0-9]{1,6}/[0-9]{1,6}", text):
            raise JobError(
                f"--shard {quoted(text)}: must be like 3/20, which is the third of 20 shares"
            )
        return cls(*map(int, text.split("/")))

    def __str__(self) -> str:
        """Return the share as the command line gives it."""
        return f"{self.number}/{self.total}"


@dataclass(frozen=True)
class Workers:
    """Which jobs are done here, and by how many processes.

    Without an argument, one process for each core of this machine does all jobs.

    Parameters
    ----------
    processes : int, optional
        The number of processes on this machine. Default with a share: one.
    shard : Shard, optional
        The share of the jobs that is done here.

    Raises
    ------
    JobError
        If the number of processes is too small, or there is no such share.
    """

    processes: int | None = None
    shard: Shard | None = None

    def __post_init__(self) -> None:
        """Check that there are such workers, and such a share."""
        if self.processes is not None and self.processes < 1:
            raise JobError(f"--workers {self.processes}: must be at least 1")
        if self.shard is not None and not 1 <= self.shard.number <= self.shard.total:
            raise JobError(
                f"--shard {self.shard}: the shares have the numbers 1 to {self.shard.total}. Start "
                "the whole job array. Tasks that have nothing to do end at once."
            )

    @property
    def n_processes(self) -> int:
        """Return the number of processes on this machine; one is this process."""
        usual = joblib.cpu_count() if self.shard is None else 1
        return usual if self.processes is None else self.processes

    def share_of(self, jobs: Sequence[Item]) -> list[Item]:
        """Return those of all jobs that are done here."""
        number, total = self.shard or (1, 1)
        return list(jobs[number - 1 :: total])


def run_jobs(
    jobs: Sequence[Job],
    n_processes: int,
    what: str,
    n_kept: int = 0,
    *,
    end_s: float = float("inf"),
    has_failed: Callable[[Any], bool] = lambda _: False,
) -> Iterator[tuple[int, Any]]:
    """Do jobs; yield the number and the result of each when it has ended.

    Parameters
    ----------
    jobs : sequence of Job
        What is left to do.
    n_processes : int
        How many are done at the same time. With 1, this process does them.
    what : str
        The title of the progress bar.
    n_kept : int
        How many more jobs were done before.
    end_s : float
        A time of the monotonic clock after which no job begins, seconds.
    has_failed : callable
        Tells whether a result is a failure, for the progress bar.

    Yields
    ------
    tuple of int and object
        A job's number in `jobs`, and what the call returned. They come in any order.

    Raises
    ------
    JobError
        If a process was killed. Whatever a job raises ends the others, too.
    """
    left = dict(enumerate(jobs))
    n_failed = 0
    with (
        tqdm(
            desc=what,
            bar_format=_BAR,
            initial=n_kept,
            total=n_kept + len(jobs),
            smoothing=0,  # time left by the mean job, because several end at the same time
        ) as bar,
        patch.dict(os.environ, job_environment()),
    ):
        parallel = joblib.Parallel(
            max(1, min(n_processes, len(jobs))),
            return_as="generator_unordered",
            batch_size=1,
            pre_dispatch="n_jobs",  # what is queued is done even if this process is killed
            initializer=_follow,
            initargs=(os.getpid(),),
            idle_worker_timeout=IDLE_S,
        )
        for wait_s in (0.0, FOREVER_S):
            if not left:
                return
            calls = (
                joblib.delayed(_do)(number, job, wait_s)
                for number, job in list(left.items())
                if time.monotonic() < end_s
            )
            try:
                for number, result in parallel(calls):
                    if result is _BUSY:
                        continue
                    del left[number]
                    n_failed += has_failed(result)
                    if n_failed:
                        bar.set_postfix_str(f"{n_failed} failed", refresh=False)
                    bar.update()
                    yield number, result
            except TerminatedWorkerError:
                raise JobError(
                    f"a process was killed, most likely because there was no memory left. {RESUME} "
                    "With fewer processes it needs less memory."
                ) from None


_BUSY = ...  # in place of a result: another process does the job


def _do(number: int, job: Job, wait_s: float) -> tuple[int, Any]:
    """Do a job, and return its number with its result, because results come in any order."""
    try:
        with job.lock.acquire(timeout=wait_s):
            return number, job()
    except Timeout:
        return number, _BUSY


def _follow(parent: int) -> None:
    """Let a process end with its parent, and only then.

    A terminal interrupts both, and the parent ends its processes itself. If it is killed, a kernel
    that a process has started notices that this process is gone, and ends, too.
    """

    def end_with_parent() -> None:
        while os.getppid() == parent:
            time.sleep(PARENT_S)
        os._exit(1)

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    threading.Thread(target=end_with_parent, daemon=True).start()


def job_environment() -> dict[str, str]:
    """Return the environment variables with which jobs are done."""
    own = {name: value for name, value in os.environ.items() if name.startswith("SHD_")}
    return own | folder_variables() | _ONE_THREAD | _KEEP_MEMORY


def set_environment(environment: Mapping[str, str]) -> None:
    """Set the environment variables of jobs; a process may still have those of earlier ones."""
    for name in list(os.environ):
        if name.startswith("SHD_"):
            del os.environ[name]
    os.environ.update(environment)
