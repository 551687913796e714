"""Time an epoch with and without augmentation, and one speaker left out after the other."""

import json
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import torch

from evidence.benchmarks.bench_engine import speech
from shd_helpers.data import obtain
from shd_helpers.events import Augmentation, Downsampling, Split, load_subsets
from shd_helpers.network import NetworkConfig, build_network
from shd_helpers.study import TrainConfig
from shd_helpers.study.jobs import Workers
from shd_helpers.study.training import train_epoch
from shd_helpers.sweeps.runner import run_sweep

AUGMENTATION = Augmentation(shift_units=8, shift_ms=60.0, stretch=0.2, dropout=0.2)
WORKERS = 2
EPOCHS = 30


def seconds(action: Callable[[], object], repeats: int) -> float:
    """Return the median time of an action."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return median(times)


@contextmanager
def environment(**values: str) -> Iterator[None]:
    """Set environment variables for a while; workers inherit them."""
    before = dict(os.environ)
    os.environ |= values
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def rows(repeats: int = 5) -> list[dict]:
    """Time on `bench_engine.speech`; six minutes on the Heidelberg Digits."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = obtain(speech())[0].parent
        with environment(SHD_DATA_DIR=str(folder / "data")):
            return [*epochs(data, repeats), left_out(data, folder)]


def epochs(data: Path, repeats: int) -> list[dict]:
    """Time the study's training on one core, and what augmentation adds to an epoch."""
    grid = Downsampling()
    config = NetworkConfig()
    generator = torch.Generator().manual_seed(0)
    training = load_subsets(obtain(str(data)), grid, "english", Split(), 0).training
    model = build_network(config, grid.n_units, 10, grid.step_ms, generator)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def train():
        train_epoch(model, training, optimizer, TrainConfig(), generator)

    torch.set_num_threads(1)
    train()  # compiles
    AUGMENTATION(training, generator)
    train_s = seconds(train, repeats)
    augment_s = seconds(lambda: AUGMENTATION(training, generator), repeats)
    shared = {"benchmark": "epoch", "batch": len(training), "note": f"{data.name}, one core"}
    return [
        {**shared, "variant": "training", "median_s": train_s, "ratio": 1.0},
        {**shared, "variant": "augmentation", "median_s": augment_s, "ratio": augment_s / train_s},
    ]


def left_out(data: Path, folder: Path) -> dict:
    """Time a run for every speaker; the ratio is the share of the workers' time not in training."""
    fixed = {"dataset": str(data), "protocol": "leave_one_speaker_out", "epochs": EPOCHS}
    sweep: dict = {"name": "left_out", "notebook": "train", "fixed": fixed}
    parts = load_subsets(obtain(str(data)), Downsampling(), "english", Split(), 0)
    speakers = {int(speaker) for part in parts if part for speaker in part.speakers}
    sweep |= {"grid": {"held_out": sorted(speakers)}, "seeds": [0]}
    path = folder / "left_out.yaml"
    path.write_text(json.dumps(sweep))  # which is YAML, too
    with environment(SHD_RUNS_DIR=str(folder / "runs"), SHD_RESULTS_DIR=str(folder / "results")):
        start = time.perf_counter()
        table = run_sweep(path, workers=Workers(processes=WORKERS))
        wall_s = time.perf_counter() - start
    assert (table.status == "done").all(), table.error.max()
    return {
        "benchmark": "speakers left out",
        "variant": f"{WORKERS} workers",
        "batch": len(table),
        "median_s": wall_s,
        "ratio": 1 - table.training_s.sum() / (WORKERS * wall_s),
        "note": f"{data.name}, {EPOCHS} epochs; ratio: share that isn't training",
    }


if __name__ == "__main__":
    for row in rows():
        print(row)
