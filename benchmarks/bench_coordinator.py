"""Time what a sweep costs the process that leads it: its start, and each run that ends.

The runs are null runs: a worker returns at once what it would have measured. So the workers, many
in one process beside, do what as many machines would: they ask for the next run.
"""

import asyncio
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import yaml
from bench_sweeps import environment

from shd_helpers.events.toy import write_toy
from shd_helpers.study.tables import MEASURED
from shd_helpers.sweeps import clusters, follow
from shd_helpers.sweeps.clusters import Cluster, Places
from shd_helpers.sweeps.runner import run_sweep
from shd_helpers.sweeps.spec import Sweep

RUNS = 10_000
WORKERS = (10, 100)  # a thousand of them need more than two cores for their heartbeats alone


def null_run(*_: object) -> dict[str, float]:
    """Return what a run measured, without a run."""
    return dict.fromkeys(MEASURED, 0.5)


async def serve(address: str, n: int) -> None:
    """Be many workers of one thread, until the scheduler goes."""
    from distributed import Worker

    options: dict = {"nthreads": 1, "memory_limit": 0, "dashboard": False}
    workers = [Worker(address, name=str(i), **options) for i in range(n)]
    for i in range(0, n, 20):
        await asyncio.gather(*workers[i : i + 20])
    await asyncio.gather(*(worker.finished() for worker in workers))


@contextmanager
def many(places: Places, sweep: Sweep, timeout_s: float) -> Iterator[Cluster]:
    """Stand in for `clusters.connect`: a scheduler here, the workers in one process beside."""
    with clusters._own(n_workers=0, host="127.0.0.1") as (client, scheduler):
        n = places.workers or 1
        command = [sys.executable, __file__, scheduler.address, str(n)]
        beside = subprocess.Popen(command)
        try:
            while len(scheduler.workers) < n:  # the client's wait asks for all of them each time
                time.sleep(0.2)
            yield Cluster(client, lambda: "none")
        finally:
            beside.kill()
            beside.wait()


def rows(n_runs: int = RUNS, workers: tuple[int, ...] = WORKERS) -> list[dict]:
    """Lead a sweep of null runs, and start it again when all of them are there.

    Returns
    -------
    list of dict
        `benchmark`, `variant`, `batch` (runs), `median_s`: processor time of the leading process
        (scheduler, client, table) for each run; or the whole time of a start that finds all runs.
    """
    found = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_toy(folder / "toy", seed=0)
        content: dict = {"name": "null", "notebook": "03_model_training"}
        content |= {"fixed": {"dataset": str(folder / "toy")}, "grid": {"slope": [2.0]}}
        content |= {"seeds": list(range(n_runs))}
        path = folder / "null.yaml"
        path.write_text(yaml.safe_dump(content))
        places = {f"SHD_{x}_DIR": str(folder / x) for x in ("DATA", "RUNS", "RESULTS")}
        with environment(**places), mock.patch("shd_helpers.sweeps.runner.connect", many):
            for n in workers:
                shutil.rmtree(folder / "RESULTS", ignore_errors=True)
                spent: list[float] = []
                run = follow.Follower.run

                def timed(follower, todo, timeout_s, run=run, spent=spent):
                    start = time.process_time()
                    run(follower, todo, timeout_s)
                    spent.append(time.process_time() - start)

                with (
                    mock.patch.object(follow.Follower, "run", timed),
                    mock.patch.object(follow, "execute", null_run),
                ):
                    table = run_sweep(path, places=Places(workers=n), progress=False)
                assert (table.status == "done").all() and len(table) == n_runs
                row = {"benchmark": "a run's cost to the leader", "variant": f"{n} workers"}
                found.append(row | {"batch": n_runs, "median_s": spent[0] / n_runs})
            start = time.perf_counter()
            run_sweep(path, progress=False)
            row = {"benchmark": "start, all runs there", "variant": ""}
            found.append(row | {"batch": n_runs, "median_s": time.perf_counter() - start})
    return found


if __name__ == "__main__":
    if len(sys.argv) == 3:
        asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
    else:
        for row in rows():
            print(row)
