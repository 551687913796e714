"""Load a data set of the size of the Spiking Speech Commands (SSC), and print memory and time.

SSC has 75,466 utterances of 35 classes on 700 channels, in the layout of SHD. This program writes
synthetic utterances of that size with about 8,000 spikes each, loads them by `load_events`, and
removes them. It needs some gigabytes below the folder for temporary files. The spikes are random:
they say nothing about accuracies.

Run it by ``python -m evidence.benchmarks.bench_large_data``.
"""

import argparse
import os
import resource
import tempfile
import time
from pathlib import Path

import h5py
import numpy as np

from shd_corpus.shd_file import N_CHANNELS
from shd_helpers.events import load_events

CLASSES = (
    "backward", "bed", "bird", "cat", "dog", "down", "eight", "five", "follow", "forward", "four",
    "go", "happy", "house", "learn", "left", "marvin", "nine", "no", "off", "on", "one", "right",
    "seven", "sheila", "six", "stop", "three", "tree", "two", "up", "visual", "wow", "yes", "zero",
)  # fmt: skip
N_TRAIN = 60_000
N_TEST = 15_000
N_SPEAKERS = 2000
SPIKES = 8000  # of an utterance, on average
ROWS_AT_ONCE = 1000


def write(path: Path, n_utterances: int, rng: np.random.Generator) -> None:
    """Write a file of random utterances, some at a time."""
    with h5py.File(path, "w") as file:
        times = file.create_dataset("spikes/times", (n_utterances,), h5py.vlen_dtype(np.float16))
        units = file.create_dataset("spikes/units", (n_utterances,), h5py.vlen_dtype(np.uint16))
        file["labels"] = np.arange(n_utterances) % len(CLASSES)
        file["extra/speaker"] = rng.integers(0, N_SPEAKERS, n_utterances)
        file["extra/keys"] = np.array([name.encode() for name in CLASSES])
        for first in range(0, n_utterances, ROWS_AT_ONCE):
            n_rows = min(ROWS_AT_ONCE, n_utterances - first)
            rows_of_times = np.empty(n_rows, object)
            rows_of_units = np.empty(n_rows, object)
            for row in range(n_rows):
                rows_of_times[row], rows_of_units[row] = _spikes(rng)
            times[first : first + n_rows] = rows_of_times
            units[first : first + n_rows] = rows_of_units


def _spikes(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the spikes of an utterance: as many, and about as close to each other, as in SHD."""
    n_spikes = rng.poisson(SPIKES)
    times = np.sort(rng.random(n_spikes)) * 0.9
    bands = 180 + 100 * rng.integers(0, 5, n_spikes) + 30 * np.sin(6 * times)
    units = np.clip(np.rint(rng.normal(bands, 5)), 0, N_CHANNELS - 1)
    return times.astype(np.float16), units.astype(np.uint16)


def peak_gb() -> float:
    """Return the most memory that this process has had, in gigabytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def main() -> None:
    """Write, load twice (the second time from the cache), and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--share",
        type=float,
        default=1.0,
        help="utterances, as a fraction of those of the Spiking Speech Commands; default: 1",
    )
    share = parser.parse_args().share
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(prefix="shd_large_") as name:
        folder = Path(name)
        os.environ["SHD_DATA_DIR"] = str(folder / "data")
        start_s = time.perf_counter()
        files = folder / "large_train.h5", folder / "large_test.h5"
        for path, n_utterances in zip(files, (N_TRAIN, N_TEST), strict=True):
            write(path, int(share * n_utterances), rng)
        size_gb = sum(path.stat().st_size for path in files) / 1e9
        written_s = time.perf_counter() - start_s
        print(f"written: {size_gb:.1f} GB in {written_s:.0f} s; peak {peak_gb():.1f} GB of memory")
        for what in ("downsampled", "loaded from the cache"):
            start_s = time.perf_counter()
            start_cpu_s = time.process_time()
            events = load_events(files)
            loaded_s = time.perf_counter() - start_s
            cpu_s = time.process_time() - start_cpu_s
            held_gb = (events.steps.nbytes + events.units.nbytes) / 1e9
            print(
                f"{what}: {len(events.steps):,} events ({held_gb:.2f} GB) in {loaded_s:.0f} s, "
                f"{cpu_s:.0f} s of them on a core; peak {peak_gb():.1f} GB of memory"
            )


if __name__ == "__main__":
    main()
