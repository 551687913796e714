"""Run a sweep on SLURM: python sweeps/cluster/slurm.py NAME [JOBS]; see sweeps/README.md."""

import sys

from dask_jobqueue import SLURMCluster

from shd_helpers.sweeps.runner import run_sweep


def main(name: str, jobs: int = 8) -> None:
    """Let `jobs` jobs of one core each work through the sweep `name`."""
    with SLURMCluster(
        cores=1,  # one thread: a worker runs one notebook at a time
        processes=1,
        memory="4GB",
        walltime="04:00:00",
        # your partition and account: queue="cpu", account="my_project",
        worker_extra_args=["--lifetime", "235m"],  # stop before SLURM does; the run starts again
    ) as cluster:
        cluster.scale(jobs=jobs)
        table = run_sweep(name, scheduler=cluster.scheduler_address)
    print(table.status.value_counts().to_string())


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
