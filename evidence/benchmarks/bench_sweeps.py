"""Time a sweep on a local cluster of two processes beside the same runs one after the other."""

import json
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shd_helpers import data as datasets
from shd_helpers.events import Downsampling, load_pair
from shd_helpers.paths import TRAIN
from shd_helpers.study.notebooks import execute_run
from shd_helpers.sweeps.runner import run_sweep
from shd_helpers.sweeps.spec import read_sweep
from shd_helpers.sweeps.workers import Workers
from tests.toy import write_toy


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set environment variables for a while; kernels and workers inherit them."""
    before = dict(os.environ)
    os.environ |= values
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def write_sweep(folder: Path, points: int, epochs: int) -> Path:
    """Write toy data and a sweep of them."""
    write_toy(folder / "toy", seed=0, takes=10)
    fixed = {"dataset": str(folder / "toy"), "language": "both", "epochs": epochs}
    sweep: dict = {"name": "bench", "notebook": TRAIN.stem, "fixed": fixed}
    sweep |= {"grid": {"slope": [2.0]}, "seeds": list(range(points))}
    path = folder / "bench.yaml"
    path.write_text(json.dumps(sweep))  # which is YAML, too
    return path


def one_after_the_other(path: Path) -> None:
    """Execute a sweep's notebooks as a loop would."""
    for run in read_sweep(path).runs:
        execute_run({TRAIN: run.parameters}, run.folder)


def sweep_on_two_workers(path: Path) -> None:
    """Run a sweep, with the start and the end of its cluster."""
    table = run_sweep(path, workers=Workers(processes=2))
    assert (table.status == "done").all(), table.error.max()


def rows(points: int = 8, epochs: int = 30) -> list[dict]:
    """Time the same runs both ways, once each, about four minutes on two cores.

    The loop's runs may use all cores, as the notebook by itself does; a worker's use one.
    """
    variants = {
        "one after the other": one_after_the_other,
        "sweep on 2 workers": sweep_on_two_workers,
    }
    timed = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = write_sweep(folder, points, epochs)
        with environment(SHD_DATA_DIR=str(folder / "data")):
            files = datasets.obtain(str(folder / "toy"))
            load_pair(files, Downsampling(), "both")  # fills the cache
            for variant, run in variants.items():
                place = str(folder / variant)
                with environment(SHD_RUNS_DIR=place, SHD_RESULTS_DIR=place):
                    start = time.perf_counter()
                    run(path)
                    timed[variant] = time.perf_counter() - start
    return [
        {
            "benchmark": "sweeps",
            "variant": variant,
            "batch": points,
            "median_s": time_s,
            "ratio": timed["one after the other"] / time_s,
        }
        for variant, time_s in timed.items()
    ]


if __name__ == "__main__":
    for row in rows():
        print(row)
