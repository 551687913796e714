"""What a worker does: execute one run of a sweep, and go before its job's time is over."""

import asyncio
import os
import time
import traceback
from collections.abc import Mapping
from functools import cache
from multiprocessing.util import Finalize
from pathlib import Path
from typing import TYPE_CHECKING

from distributed.diagnostics.plugin import WorkerPlugin
from filelock import FileLock

from shd_helpers.paths import ROOT
from shd_helpers.study.kernels import Kernel, source_hash
from shd_helpers.study.recipe import run_hash
from shd_helpers.study.tables import finished_run
from shd_helpers.sweeps.spec import RunSpec

if TYPE_CHECKING:
    from distributed import Worker

FETCH_S = 10.0
CODE = source_hash(), str(ROOT)  # of this process, whatever the files become while it lives


class Stale(str):
    """What a worker says that can execute no run of a sweep."""


def execute(
    notebook: Path,
    run: RunSpec,
    timeout_s: float,
    environment: Mapping,
    again: bool,
    code: tuple[str, str],
) -> dict[str, float] | str:
    """Execute a run, on a worker; return what it measured, or the traceback of what failed.

    Only one process executes a run; others wait and reuse its result.

    Parameters
    ----------
    notebook : Path
        What is executed.
    run : RunSpec
        Its parameters, and where it goes.
    timeout_s : float
        Seconds that it may take.
    environment : mapping
        The sweep's environment variables.
    again : bool
        Whether it is executed although a run folder has it already.
    code : tuple of str
        The sweep's `CODE`. Where the worker's own differs and the run fails, it may be for that.

    Returns
    -------
    dict or str
        From `tables.finished_run`, or the text for the table's column `error`.
    """
    from distributed import get_worker
    from papermill.exceptions import PapermillExecutionError

    limit_s = timeout_s
    has, wants = " of ".join(CODE), " of ".join(code)
    stale = Stale(f"this worker has code {has}, the sweep wants {wants}: restart the workers")
    try:
        if get_worker().state.nthreads != 1:
            raise RuntimeError("a worker needs exactly one thread: dask worker --nthreads 1")
        if code[1] != CODE[1] or run_hash(run.parameters, run.data) != run.hash:
            return stale  # it would take the run for another one, or write elsewhere
        for name in [name for name in os.environ if name.startswith("SHD_")]:
            del os.environ[name]  # of an earlier sweep on this worker
        os.environ.update(environment)  # the kernel inherits it
        run.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(run.folder.with_name(f".{run.folder.name}.study")):
            if again or finished_run(run.folder, run.hash) is None:
                limit_s = _limit(timeout_s)
                _execute_notebook(notebook, run, time.monotonic() + limit_s)
        if measured := finished_run(run.folder, run.hash):
            return measured
        error = "run.json is not complete, or of other parameters or data"
    except PapermillExecutionError as caught:
        error = str(caught)  # holds the cell's traceback
    except TimeoutError as caught:
        error = f"{caught}\ntime-out: more than {limit_s:.4g} s{_what_limits()}"
    except Exception:  # whatever a run dies of, the others go on and the table tells
        error = traceback.format_exc()
    return error if code == CODE else f"{error.rstrip()}\n{stale}"


@cache
def _kernel() -> Kernel:
    """Return this process's kernel, which ends with it: imports take longer than a short run."""
    kernel = Kernel()
    # unlike what is registered with atexit, it is called in processes of multiprocessing, too
    Finalize(None, kernel.close, exitpriority=0)
    return kernel


def _limit(timeout_s: float) -> float:
    """Return how long a run may take: less than its job, or it would start for ever."""
    end = os.environ.get("SLURM_JOB_END_TIME")
    return min(timeout_s, float(end) - FETCH_S - time.time()) if end else timeout_s


def _what_limits() -> str:
    in_job = "SLURM_JOB_ID" in os.environ
    return ", what a job's time leaves for one run: --sbatch time=, --timeout" if in_job else ""


def _execute_notebook(notebook: Path, run: RunSpec, end: float) -> None:
    """Execute a notebook in this worker's kernel, until a time of the monotonic clock."""
    _kernel().execute(
        notebook,
        run.folder / notebook.name,
        run.parameters,
        progress_bar=False,
        # a fixed limit would hold for each cell; 0 would mean none
        timeout_func=lambda cell: max(0.1, end - time.monotonic()),
    )


class LastStart(WorkerPlugin):
    """Lets a job's worker begin no run that the job may have no time left for, and end then.

    Parameters
    ----------
    time_s : float
        A job's time, seconds.
    keep_s : float
        Of that, what is kept for one run and for start and end.
    """

    def __init__(self, time_s: float, keep_s: float) -> None:
        self._time_s, self._keep_s = time_s, keep_s

    def setup(self, worker: "Worker") -> None:
        """Wait for the time of the last start."""
        end = time.time() + self._time_s
        end = min(end, float(os.environ.get("SLURM_JOB_END_TIME", end)))  # it began earlier
        worker.loop.call_later(max(0.0, end - self._keep_s - time.time()), self._go, worker)

    async def _go(self, worker: "Worker") -> None:
        from distributed.core import Status

        state = worker.state
        while not state.executing_count + state.executed_count:
            await asyncio.sleep(0.2)  # a start may take long, and each job must bring a sweep on
        # begins no other run; with a memory limit of its own, Dask would lift that again
        worker.status = Status.paused
        while state.executing_count:
            await asyncio.sleep(0.2)
        end = time.monotonic() + FETCH_S
        while worker.data and time.monotonic() < end:  # what the last run measured is fetched
            await asyncio.sleep(0.2)
        await worker.close_gracefully(reason="no time for another run")
