"""Time the downsizing of as many spikes as the official training file holds."""

import os
import tempfile
import time
from pathlib import Path

import numpy as np

from shd_corpus.class_names import LANGUAGES
from shd_corpus.shd_file import Utterances
from shd_corpus.speech import make_spoken
from shd_helpers.events.downsampling import Downsampling, downsample

UTTERANCES = 8156
SPIKES = 8000


def rows() -> list[dict]:
    """Time 8156 utterances of 8000 random spikes, and the making of `spoken` from nothing."""
    rng = np.random.default_rng(0)
    n = UTTERANCES * SPIKES
    speech = Utterances(
        rng.uniform(0, 1, n).astype(np.float16),
        rng.integers(0, 700, n, dtype=np.uint16),
        np.arange(UTTERANCES + 1) * SPIKES,
        rng.integers(0, 10, UTTERANCES),
        np.zeros(UTTERANCES, dtype=np.int64),
        LANGUAGES["both"],
    )
    start = time.perf_counter()
    events = downsample(speech, Downsampling())
    downsample_s = time.perf_counter() - start
    megabytes = sum(a.nbytes for a in vars(events).values() if isinstance(a, np.ndarray)) / 1e6
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        make_spoken(Path(folder))
        spoken_s = time.perf_counter() - start
    cores = f"{os.cpu_count()} cores"
    return [
        row("downsizing to 183 x 333", UTTERANCES, downsample_s, f"{megabytes:.0f} MB of events"),
        row("making spoken, English", 1360, spoken_s, cores),
    ]


def row(variant: str, batch: int, median_s: float, note: str) -> dict:
    """Return one row of the table."""
    return {
        "benchmark": "data", "variant": variant, "batch": batch, "median_s": median_s, "note": note,
    }  # fmt: skip
