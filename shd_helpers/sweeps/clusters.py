"""The processes that execute a sweep's runs: on this machine, or behind a Dask scheduler."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING

from shd_helpers.sweeps.yaml_file import SweepError

if TYPE_CHECKING:
    from distributed import Client

CONNECT_S = 30.0


@contextmanager
def connect(scheduler: str | None, workers: int | None) -> Iterator["Client"]:
    """Yield a Dask client, with a cluster of processes of this machine if no scheduler is named.

    Parameters
    ----------
    scheduler : str or None
        Address of a scheduler whose workers have one thread each.
    workers : int or None
        How many processes of this machine; None for one a core.

    Raises
    ------
    SweepError
        If the scheduler doesn't answer, or there are to be no workers.
    """
    import dask
    from distributed import Client, LocalCluster

    if workers is not None and workers < 1:
        raise SweepError(f"--workers {workers}: must be 1 at least")
    if scheduler is None:
        # port 0 is one that is free, so that two sweeps don't meet
        options = {"scheduler_port": 0, "dashboard_address": "127.0.0.1:0"}
        options |= {"threads_per_worker": 1, "silence_logs": logging.ERROR}
        # A worker gets its next run when it is free: given two, it may keep one from another.
        fair = dask.config.set({"distributed.scheduler.worker-saturation": 1.0})
        # A terminal sends Ctrl-C to the workers, too; one that dies of it while the cluster is
        # closed is started again. What starts while the signal is blocked never gets it.
        resource_tracker.ensure_running()  # it would lift the block
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            with (
                fair,
                LocalCluster(n_workers=workers, **options) as cluster,
                Client(cluster) as client,
            ):
                signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
                yield client
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
    else:
        try:
            client = Client(scheduler, timeout=CONNECT_S)
        except (OSError, ValueError) as error:
            raise SweepError(f"--scheduler {scheduler}: no answer ({error})") from error
        with client:
            yield client
