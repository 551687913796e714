"""Which runs of a sweep are executed here, and by which processes.

A sweep may be divided into shares, each for one task of a cluster's job array. The runs are
executed one after the other, or by several processes behind a Dask scheduler: `connect` starts them
on this machine, or takes a scheduler that somebody runs.
"""

import logging
import math
import re
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, NamedTuple

from shd_helpers.checks import quoted
from shd_helpers.extras import from_extra
from shd_helpers.sweeps.spec import RunSpec
from shd_helpers.sweeps.sweep_file import SweepError

if TYPE_CHECKING:
    from distributed import Client

EXTRAS = "study,sweeps"  # of the package: what Dask's workers need
CONNECT_S = 30.0  # most time for a scheduler's answer
NO_WORKER_S = 120.0  # without any process on this machine, until the sweep ends
_STOPPING = (signal.SIGINT, signal.SIGHUP)


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

    def take(self, runs: Sequence[RunSpec]) -> list[RunSpec]:
        """Return the runs of this share.

        Parameters
        ----------
        runs : sequence of RunSpec
            All runs of the sweep.

        Returns
        -------
        list of RunSpec
            Every `total`-th of them.
        """
        return list(runs[self.number - 1 :: self.total])

    def __str__(self) -> str:
        """Return the share as the command line gives it."""
        return f"{self.number}/{self.total}"


@dataclass(frozen=True)
class Workers:
    """Which runs are executed, and by which processes; at most one of the first two is given.

    Without any of the three, all runs are executed by one process for each core of this machine.

    Parameters
    ----------
    processes : int, optional
        The number of processes on this machine.
    scheduler : str, optional
        The address of a Dask scheduler whose workers have one thread each.
    shard : Shard, optional
        The share of the runs that is executed. Without `processes`, its runs are executed one after
        the other.
    """

    processes: int | None = None
    scheduler: str | None = None
    shard: Shard | None = None

    @property
    def need_dask(self) -> bool:
        """Return whether the runs are handed to other processes."""
        return self.shard is None or self.processes is not None or self.scheduler is not None

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
        return self.shard.take(runs)

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


@dataclass(frozen=True)
class Cluster:
    """A Dask client, and what is known about its workers."""

    client: "Client"
    why_none: str  # what to say where there is no worker
    patience_s: float = math.inf  # how long a sweep waits without a worker, until it ends


@contextmanager
def connect(workers: Workers) -> Iterator[Cluster]:
    """Connect to a Dask cluster for a sweep, or start one that ends with the block.

    Parameters
    ----------
    workers : Workers
        Which workers execute the runs.

    Yields
    ------
    Cluster
        The client and its workers.

    Raises
    ------
    SweepError
        If a scheduler doesn't answer.
    MissingExtraError
        If Dask isn't installed.
    """
    if workers.scheduler is not None:
        connected = _existing(workers.scheduler)
    else:
        connected = _on_this_machine(workers.processes)
    with connected as cluster:
        yield cluster


@contextmanager
def _existing(scheduler: str) -> Iterator[Cluster]:
    """Yield a client of a Dask scheduler that runs already."""
    with from_extra(EXTRAS):
        from distributed import Client

    try:
        client = Client(scheduler, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        raise SweepError(
            f"--scheduler {scheduler}: no answer ({error}). Check the address, and that it runs"
        ) from error
    with client:
        yield Cluster(client, f"start some: dask worker {scheduler} --nthreads 1")


@contextmanager
def _on_this_machine(n_processes: int | None) -> Iterator[Cluster]:
    """Yield a client of processes of this machine, one for each core unless a number is given."""
    with from_extra(EXTRAS):
        import dask
        from distributed import Client, LocalCluster

    settings: dict[str, object] = {
        # A worker gets its next run when it is free: given two, it may keep one from another.
        "distributed.scheduler.worker-saturation": 1.0,
        # A process that was killed starts anew. On a busy machine, or where packages come over a
        # network, that may take longer than Dask's 15 s, after which it would be given up.
        "distributed.deploy.lost-worker-timeout": "5 minutes",
        # When a laptop wakes up after some minutes of sleep, no process has reported for so long.
        # Dask would take all of them for lost, and their runs would begin again.
        "distributed.scheduler.worker-ttl": None,
        # Runs take minutes. By default, Dask looks at each worker's stack a hundred times in a
        # second and at its own clock fifty times, which takes time from the training.
        "distributed.worker.profile.enabled": False,
        "distributed.admin.tick.interval": "500ms",
    }
    with dask.config.set(settings), _uninterrupted() as free:
        processes = LocalCluster(
            n_workers=n_processes,
            threads_per_worker=1,
            scheduler_port=0,  # one that is free, so that two sweeps don't meet
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.ERROR,
        )
        with processes, Client(processes) as client:
            free()
            yield Cluster(client, "all processes are lost", NO_WORKER_S)


@contextmanager
def _uninterrupted() -> Iterator[Callable[[], object]]:
    """Block Ctrl-C until the yielded function is called; what starts meanwhile never gets it.

    A terminal sends it to workers, too. A worker that dies of it while the cluster is closed would
    be started again.
    """
    resource_tracker.ensure_running()  # it would lift the block
    free = partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, _STOPPING)
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPPING)
    try:
        yield free
    finally:
        free()
