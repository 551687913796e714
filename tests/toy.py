"""Toy data in SHD's layout, and the small data set that notebooks run on in tests."""

import atexit
import re
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from nbformat import NotebookNode

from shd_corpus.class_names import ENGLISH, GERMAN
from shd_corpus.shd_file import write_shd


@cache
def small_data() -> str:
    """Return the folder of the data set on which tests run notebooks and sweeps.

    It has the speakers that any sweep of the study names, 0 to 11. Each process writes its own.
    """
    folder = Path(tempfile.mkdtemp(prefix="shd_small_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    write_toy(folder, seed=0, takes=1, speakers=16)
    return str(folder)


def with_small_data(cell: NotebookNode) -> None:
    """Let a notebook's cell train on the small data set, for one or two epochs."""
    small = small_data()
    for there, here in {
        r'^dataset = "digits"': f"dataset = {small!r}",
        r"^epochs = \d+": "epochs = 2",
        r"^updates = \d+": "updates = 2",
        r"dataset: digits,": f"dataset: {small},",  # of a sweep
        r"grid: \{.+\}": "grid: {lr: [4.0e-3], epochs: [1]}",
        r"^rescue\((\d+, .+)\)$": rf"rescue(\1, {small!r}, epochs=1)",
        r"^experiment\(recipe\)": "experiment(recipe, epochs=2)",
    }.items():
        cell.source = re.sub(there, here, cell.source, flags=re.MULTILINE)


@cache
def small_runs() -> str:
    """Return the folder for the run folders and figures of such notebooks."""
    folder = tempfile.mkdtemp(prefix="shd_small_runs_")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def write_toy(
    folder: Path, seed: int, takes: int = 3, speakers: int = 4, name: str = "toy"
) -> None:
    """Write ``<name>_train.h5`` and ``<name>_test.h5``: classes are ridges over units and time.

    The training file has `takes` utterances of each of 20 classes by each of the speakers, 4 or
    more; the test file has one of each class by the first four speakers and by one more.
    """
    rng = np.random.default_rng(seed)
    tested = (*range(4), speakers)
    for part, voices_here, takes_here in (("train", range(speakers), takes), ("test", tested, 1)):
        rows = [
            (word, speaker, *_ridge(word, speaker, rng))
            for word in range(20)
            for speaker in voices_here
            for _ in range(takes_here)
        ]
        labels, voices, times, units = zip(*rows, strict=True)
        write_shd(folder / f"{name}_{part}.h5", times, units, labels, voices, ENGLISH + GERMAN)


def _ridge(word: int, speaker: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    n_spikes = rng.integers(1500, 2500)
    times = np.sort(rng.uniform(0, 0.7, n_spikes))
    start = 200 + 45 * (word % 10)
    end = 650 - 40 * (word % 10) * (1 if word < 10 else -0.5)
    center = start + (end - start) * times / 0.7 + 8 * speaker
    return times, np.clip(np.round(rng.normal(center, 12)), 0, 699).astype(np.int64)
