"""The processes that execute a sweep's runs: here, behind a Dask scheduler, or on SLURM."""

import logging
import math
import signal
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from shd_helpers.sweeps import slurm
from shd_helpers.sweeps.jobs import Jobs
from shd_helpers.sweeps.spec import Sweep
from shd_helpers.sweeps.worker import LastStart
from shd_helpers.sweeps.yaml_file import SweepError

if TYPE_CHECKING:
    from distributed import Client

CONNECT_S = 30.0
NO_WORKER_S = 120.0
TIMEOUT_S = 6 * 3600.0


@dataclass(frozen=True)
class Places:
    """Where runs may be executed; at most one of the three is given.

    Parameters
    ----------
    workers : int, optional
        How many processes of this machine; without any of the three, one for each core.
    scheduler : str, optional
        Address of a Dask scheduler whose workers have one thread each.
    jobs : int, optional
        How many jobs on SLURM, with `sbatch`'s options as in `slurm.read_options`.
    """

    workers: int | None = None
    scheduler: str | None = None
    jobs: int | None = None
    sbatch: tuple[str, ...] = ()

    def check(self, timeout_s: float | None) -> float:
        """Return how long a run may take, seconds, or refuse what can be known before a start.

        Raises
        ------
        SweepError
            If the places aren't one, or there would be none.
        """
        given = {"--workers": self.workers, "--scheduler": self.scheduler, "--slurm": self.jobs}
        named = [name for name, value in given.items() if value is not None]
        if len(named) > 1:
            raise SweepError(f"{' and '.join(named)}: a sweep runs in one place")
        for name, value in given.items():
            if isinstance(value, int) and value < 1:
                raise SweepError(f"{name} {value}: must be 1 at least")
        if timeout_s is not None and not 0 < timeout_s < math.inf:
            raise SweepError(f"--timeout {timeout_s:g}: must be seconds above 0")
        if self.jobs is None:
            if self.sbatch:
                raise SweepError("--sbatch: only with --slurm")
            return TIMEOUT_S if timeout_s is None else timeout_s
        slurm.check_commands()
        return slurm.run_limit(slurm.seconds(slurm.read_options(self.sbatch)["time"]), timeout_s)


@dataclass(frozen=True)
class Cluster:
    """A client, and what is known of its workers."""

    client: "Client"
    why: Callable[[], str]  # there is no worker
    tend: Callable[[int], None] = lambda n_left: None  # called each second
    release: Callable[[Collection[str]], object] = lambda idle: None  # workers at their addresses
    patience_s: float = math.inf  # without a worker


@contextmanager
def connect(places: Places, sweep: Sweep, timeout_s: float) -> Iterator[Cluster]:
    """Yield a client of a Dask cluster; a cluster that was started here ends with the block.

    Parameters
    ----------
    places : Places
        Checked.
    sweep : Sweep
        What is run.
    timeout_s : float
        How long a run may take, seconds.

    Raises
    ------
    SweepError
        If the scheduler doesn't answer, or no job can be submitted.
    """
    if places.scheduler is not None:
        with _far(places.scheduler) as cluster:
            yield cluster
    elif places.jobs is not None:
        with _on_slurm(places, places.jobs, sweep, timeout_s) as cluster:
            yield cluster
    else:
        with _own(n_workers=places.workers) as (client, _):
            lost = "all processes of this machine are lost"
            yield Cluster(client, lambda: lost, patience_s=NO_WORKER_S)


@contextmanager
def _own(**options: Any) -> Iterator[tuple["Client", Any]]:
    """Yield a client of a scheduler in this process, and the scheduler."""
    import dask
    from distributed import Client, LocalCluster

    # port 0 is one that is free, so that two sweeps don't meet
    options |= {"scheduler_port": 0, "dashboard_address": "127.0.0.1:0"}
    options |= {"threads_per_worker": 1, "silence_logs": logging.ERROR}
    # A worker gets its next run when it is free: given two, it may keep one from another.
    fair = dask.config.set({"distributed.scheduler.worker-saturation": 1.0})
    # A terminal sends Ctrl-C to the workers, too; one that dies of it while the cluster is
    # closed is started again. What starts while the signal is blocked never gets it.
    resource_tracker.ensure_running()  # it would lift the block
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        with fair, LocalCluster(**options) as cluster, Client(cluster) as client:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
            yield client, cluster.scheduler
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def _far(address: str) -> Iterator[Cluster]:
    from distributed import Client

    try:
        client = Client(address, timeout=CONNECT_S)
    except (OSError, ValueError) as error:
        raise SweepError(f"--scheduler {address}: no answer ({error})") from error
    with client:
        yield Cluster(client, lambda: f"start some: dask worker {address} --nthreads 1")


@contextmanager
def _on_slurm(places: Places, n_jobs: int, sweep: Sweep, timeout_s: float) -> Iterator[Cluster]:
    from distributed.utils import get_ip

    options = slurm.read_options(places.sbatch)
    host, time_s = options.pop("host", None) or get_ip(), slurm.seconds(options["time"])
    with _own(n_workers=0, host=host) as (client, scheduler):
        client.register_plugin(LastStart(time_s, timeout_s + slurm.MARGIN_S))
        jobs = Jobs(sweep, n_jobs, options, scheduler.address)
        if left_over := jobs.left_over():
            print(left_over, flush=True)

        def tend(n_left: int) -> None:
            jobs.tend(n_left, {str(worker.name) for worker in [*scheduler.workers.values()]})

        def release(idle: Collection[str]) -> None:
            client.retire_workers([*idle])

        try:
            yield Cluster(client, jobs.why, tend, release)
        finally:
            jobs.cancel()
