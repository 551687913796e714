"""Which runs of a sweep are executed here, by which processes, and how one run is executed.

A sweep may be divided into shares, each for one task of a cluster's job array. joblib executes the
runs, in this process one after the other, or in several processes of this machine. Only one process
executes a run. Others wait until it has ended, and reuse its result.
"""

import os
import re
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import joblib
from filelock import Timeout

from shd_corpus.checks import quoted
from shd_helpers.paths import folder_variables
from shd_helpers.study.identity import identify_user_code, references, run_hash
from shd_helpers.study.notebooks import NotebookError, execute_run, execution_lock
from shd_helpers.study.tables import USER_CODE_SHA256
from shd_helpers.sweeps.results import RunResult, finished_run
from shd_helpers.sweeps.spec import PendingRun, RunSpec
from shd_helpers.sweeps.sweep_file import SweepError

IDLE_S = 10  # until a process without a run ends
PARENT_S = 1.0  # between two looks whether the parent is there
FOREVER_S = -1.0  # of a lock: it waits as long as it takes
_NO_RESULT = (
    "The notebook ran to its end, but didn't leave the expected run. Its run.json is missing or "
    "damaged, or describes other parameters, other data or another network. Check that the "
    "notebook passes all its parameters to start_run."
)
# Each run has one process with one thread. So the runs share the cores well, and no result depends
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


class Shard(NamedTuple):
    """One share of a sweep's runs: every N-th run, beginning with run number `number`.

    A share depends on the sweep's file alone, not on what has finished. So a task that was killed
    has the same share when it starts again, and no two shares have a run in common.

    Parameters
    ----------
    number : int
        1 for the first share.
    total : int
        How many shares there are.
    """

    number: int
    total: int

    @classmethod
    def read(cls, text: str) -> "Shard":
        """Read a share as the command line gives it.

        Parameters
        ----------
        text : str
            Such as ``"3/20"``: the third of twenty shares.

        Returns
        -------
        Shard
            The share.

        Raises
        ------
        SweepError
            If the text is something else, or there is no such share.
        """
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
        if match is None:
            raise SweepError(
                f"--shard {quoted(text)}: must be like 3/20, which is the third of 20 shares"
            )
        shard = cls(int(match[1]), int(match[2]))
        shard.check()
        return shard

    def check(self) -> None:
        """Check that there is such a share.

        Raises
        ------
        SweepError
            If the number isn't one of 1 to `total`.
        """
        if not 1 <= self.number <= self.total:
            raise SweepError(
                f"--shard {self}: the shares have the numbers 1 to {self.total}. Start the whole "
                "job array. Tasks that have nothing to do end at once."
            )

    def __str__(self) -> str:
        """Return the share as the command line gives it."""
        return f"{self.number}/{self.total}"


@dataclass(frozen=True)
class Workers:
    """Which runs are executed, and by how many processes.

    Without an argument, all runs are executed by one process for each core of this machine.

    Parameters
    ----------
    processes : int, optional
        The number of processes on this machine.
    shard : Shard, optional
        The share of the runs that is executed. Without `processes`, its runs are executed one after
        the other.
    """

    processes: int | None = None
    shard: Shard | None = None

    @property
    def n_processes(self) -> int:
        """Return the number of processes on this machine; one is this process."""
        if self.processes is not None:
            return self.processes
        return joblib.cpu_count() if self.shard is None else 1

    def share_of(self, runs: Sequence[RunSpec]) -> list[RunSpec]:
        """Return those runs of a sweep that are executed here.

        Parameters
        ----------
        runs : sequence of RunSpec
            All runs of the sweep.

        Returns
        -------
        list of RunSpec
            The runs of the share, or all if there are no shares.
        """
        if self.shard is None:
            return list(runs)
        return list(runs[self.shard.number - 1 :: self.shard.total])

    def check(self) -> None:
        """Check that there are such workers, and such a share.

        Raises
        ------
        SweepError
            If the number of processes is too small, or there is no such share.
        """
        if self.processes is not None and self.processes < 1:
            raise SweepError(f"--workers {self.processes}: must be at least 1")
        if self.shard is not None:
            self.shard.check()


def connect(workers: Workers, n_runs: int) -> joblib.Parallel:
    """Return what executes runs: called with joblib's delayed calls, it yields their results.

    A result comes when its run has ended, in any order. Processes that are started end when they
    have had nothing to do for a while.
    """
    return joblib.Parallel(
        min(workers.n_processes, n_runs),
        return_as="generator_unordered",
        batch_size=1,
        pre_dispatch="n_jobs",
        initializer=_follow,
        initargs=(os.getpid(),),
        idle_worker_timeout=IDLE_S,
    )


def _follow(parent: int) -> None:
    """Let a process of a sweep end with its parent, and only then.

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


def run_environment() -> dict[str, str]:
    """Return the environment variables with which a sweep's runs are executed."""
    environment = {name: value for name, value in os.environ.items() if name.startswith("SHD_")}
    return environment | folder_variables() | _ONE_THREAD | _KEEP_MEMORY


def execute(
    pending: PendingRun,
    notebook: Path,
    timeout_s: float,
    environment: Mapping[str, str],
    wait_s: float,
) -> RunResult | None:
    """Execute a run in this process, whose environment variables it changes."""
    run = pending.run
    try:
        check_unchanged(run)
        _set_environment(environment)
        with execution_lock(run.folder).acquire(timeout=wait_s):
            if pending.ignore_finished_folder or finished_run(run.folder, run.hash) is None:
                notebooks = {notebook: run.parameters}
                execute_run(notebooks, run.folder, timeout_s=timeout_s, lessons=False)
        measured = finished_run(run.folder, run.hash)
    except Timeout:  # of the lock
        return None
    except NotebookError as error:
        return RunResult.failure(str(error.__cause__))  # has the cell's traceback
    except TimeoutError as error:
        return RunResult.failure(f"{error}\ntime-out: more than {timeout_s:.4g} s")
    except Exception:  # whatever ends a run, the others go on and the table has the reason
        return RunResult.failure(traceback.format_exc())
    if measured is None:
        return RunResult.failure(_NO_RESULT)
    return RunResult(measured)


def _set_environment(environment: Mapping[str, str]) -> None:
    """Set the environment variables of a sweep, which the notebook's kernel inherits."""
    for name in list(os.environ):
        if name.startswith("SHD_"):
            del os.environ[name]  # of an earlier sweep on this worker
    os.environ.update(environment)


def check_unchanged(run: RunSpec) -> None:
    """Check that this process would execute what the sweep wants."""
    if run_hash(run.parameters, run.data) != run.hash:
        raise RuntimeError("this worker has other code than the sweep: restart the workers")
    if identify_user_code(run.parameters).get(USER_CODE_SHA256) != run.data.get(USER_CODE_SHA256):
        files = ", ".join(references(run.parameters).values())
        raise RuntimeError(f"{files}: changed while the sweep ran. Start the sweep again.")
