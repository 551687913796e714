"""Hand a sweep's runs to a cluster and store them as they end."""

import errno
import os
import queue
import threading
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
from tqdm import tqdm

from shd_helpers.files import is_disk_full
from shd_helpers.sweeps.clusters import Cluster
from shd_helpers.sweeps.spec import RunSpec, Sweep
from shd_helpers.sweeps.state import RESUME, store
from shd_helpers.sweeps.worker import CODE, Stale, execute
from shd_helpers.sweeps.yaml_file import SweepError

if TYPE_CHECKING:
    from distributed import Future

QUIET_S = 60.0  # without a worker, until a line says why
TICK_S = 1.0
# A process a run, a thread a process: the cores are shared without quarrel, and a number doesn't
# depend on how many the machine has.
_ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS", "NUMBA")}
# glibc would hand big arrays back at every step: half of the comparison's time went into new pages.
_KEEP_MEMORY = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "1073741824"}
_BAR = "{desc} {n_fmt}/{total_fmt} |{bar:20}| {elapsed} so far, {remaining} left{postfix}"


class Follower:
    """Follows the runs of a sweep on a cluster.

    Parameters
    ----------
    sweep : Sweep
        Whose table is written.
    cluster : Cluster
        Where they are executed.
    best : float
        Best validation accuracy so far; NaN for none.
    progress : bool
        Show a bar.

    Attributes
    ----------
    errors : dict
        Tracebacks by run name, of the runs that failed.
    done : list
        The runs that ended well.
    """

    def __init__(self, sweep: Sweep, cluster: Cluster, best: float, progress: bool) -> None:
        self._sweep, self._cluster, self._best, self._progress = sweep, cluster, best, progress
        self._futures: dict[Future, RunSpec] = {}
        self._ended: queue.SimpleQueue[Future | None] = queue.SimpleQueue()  # None: no more
        self._results: queue.SimpleQueue = queue.SimpleQueue()
        self._alive = self._told = time.monotonic()
        self._line = ""
        self.errors: dict[str, str] = {}
        self.done: list[RunSpec] = []

    def run(self, todo: Mapping[RunSpec, bool], timeout_s: float) -> None:
        """Execute runs, each stored when it ends.

        Parameters
        ----------
        todo : mapping
            From `state.missing`.
        timeout_s : float
            Time that one run may take, seconds.

        Raises
        ------
        SweepError
            If the scheduler or all workers are lost, the disk is full, or the workers are stale.
        """
        total = len(self._sweep.runs)
        options = {"initial": total - len(todo), "total": total, "disable": not self._progress}
        options["smoothing"] = 0  # time left by the mean run: a bar looked at often forgets it
        with tqdm(desc=self._sweep.name, bar_format=_BAR, **options) as bar:
            self._cluster.tend(len(todo))
            self._submit(todo, timeout_s)
            threading.Thread(target=self._fetch, daemon=True).start()
            try:
                tick = 0.0
                while self._futures:
                    if time.monotonic() >= tick:  # not for each run: it asks the scheduler
                        self._look(bar)
                        tick = time.monotonic() + TICK_S
                    bar.update(self._store(self._wait(tick)))
                self._look(bar)
            finally:
                self._ended.put(None)

    def _submit(self, todo: Mapping[RunSpec, bool], timeout_s: float) -> None:
        """Hand the runs to the workers, in the grid's order."""
        environment = {k: v for k, v in os.environ.items() if k.startswith("SHD_")}
        environment |= _ONE_THREAD | _KEEP_MEMORY
        for i, (run, again) in enumerate(todo.items()):
            # Two sweeps on one cluster share what is the same, in the same folder. By the first
            # part Dask knows that all take about as long; else it moves runs as if those that
            # wait took no time.
            key = ("again" if again else "run", str(run.folder), run.hash)
            task = (execute, self._sweep.notebook, run, timeout_s, environment, again, CODE)
            future = self._cluster.client.submit(*task, key=key, priority=-i)
            self._futures[future] = run
            future.add_done_callback(self._ended.put)

    def _fetch(self) -> None:
        """Fetch what ended runs return, many by one request; in a thread of its own.

        A result that is lost with its worker comes when the run has been done again, and jobs must
        be replaced meanwhile.
        """
        while (ended := _all_of(self._ended)) and None not in ended:
            try:
                found = self._cluster.client.gather(dict(enumerate(ended)), errors="skip")
                if any(future.status == "cancelled" for future in ended):
                    raise ConnectionError("no connection")
                # a future fails only if it has lost its worker again and again
                results = [found[i] or repr(ended[i].exception()) for i in range(len(ended))]
                self._results.put([*zip(ended, results, strict=True)])
                del ended, found, results  # else the workers keep them
            except BaseException as error:  # of a client that is closed, too
                return self._results.put(error)

    def _wait(self, until: float) -> list[tuple["Future", dict[str, float] | str]]:
        """Return what has ended, once something has or a time is over."""
        try:
            found = self._results.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            return []
        if isinstance(found, BaseException):
            raise SweepError(f"the scheduler is lost ({found!r}). {RESUME}") from found
        return found

    def _store(self, ended: list[tuple["Future", dict[str, float] | str]]) -> int:
        """Put ended runs into the table; return how many."""
        results = {self._futures.pop(future): result for future, result in ended}
        for run, result in results.items():
            if isinstance(result, str):
                self._refuse(run, result)
                self.errors[run.run_name] = result
            else:
                self.done.append(run)
                self._best = float(np.fmax(self._best, result["validation_accuracy"]))
        store(self._sweep, results)
        return len(results)

    def _refuse(self, run: RunSpec, error: str) -> None:
        """End the sweep where all other runs would fail, too."""
        if is_disk_full(error, run.folder):
            raise SweepError(f"{run.folder}: {os.strerror(errno.ENOSPC)}. {RESUME}")
        if isinstance(error, Stale):
            raise SweepError(f"{error}. {RESUME}")

    def _look(self, bar: tqdm) -> None:
        """Show how far the sweep is; tend the workers, and tell if there are none."""
        try:
            workers = self._cluster.client.processing()
        except OSError as error:
            raise SweepError(f"the scheduler is lost ({error}). {RESUME}") from error
        idle = [address for address, keys in workers.items() if not keys]
        running, left = len(workers) - len(idle), len(self._futures)
        done = bar.total - left - len(self.errors)
        state = f"{done} finished, {len(self.errors)} failed, {running} running"
        best = f", best validation {self._best:.1%}" if self._best == self._best else ""
        bar.set_postfix_str(state + best)
        if not left:
            return
        self._cluster.tend(left)
        if idle and running == left:
            self._cluster.release(idle)  # nothing waits
        now = time.monotonic()
        if workers:
            self._alive, self._told, self._line = now, now, ""
        elif now - self._alive > self._cluster.patience_s:
            raise SweepError(
                f"no worker came back in {self._cluster.patience_s:g} s: {self._cluster.why()}. "
                f"{RESUME}"
            )
        elif now - self._told > QUIET_S:
            self._told, line = now, self._cluster.why()
            if line != self._line:
                bar.write(f"No worker for {now - self._alive:.0f} s: {line}")
            self._line = line


def _all_of(waiting: queue.SimpleQueue) -> list:
    """Return what is in a queue, once there is something."""
    found = [waiting.get()]
    while not waiting.empty():
        found.append(waiting.get_nowait())
    return found
