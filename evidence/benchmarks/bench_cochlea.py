"""Time the cochlea beside its reference, ``lauscher``, on the same clip."""

import time
from statistics import median

import numpy as np
import soundfile
from lauscher.audiowaves import MonoAudioWave
from lauscher.transformations.wave2spike import Wave2Spike

from shd_corpus.cochlea import encode
from shd_corpus.compiled import on_all_cores
from shd_helpers.paths import ROOT

RATE_HZ = 48_000
CLIP = ROOT / "packages" / "circuit" / "shd_circuit" / "sound" / "sample.flac"  # 0.72 s


def clip() -> np.ndarray:
    """Return a recording of the Heidelberg Digits, which is part of the repository."""
    return soundfile.read(CLIP)[0]


def seconds(action, repeats: int) -> float:
    """Return the median time of an action."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        action()
        times.append(time.perf_counter() - start)
    return median(times)


def rows(batch: int = 8, repeats: int = 9) -> list[dict]:
    """Time one run of the reference (on all cores, minutes), one clip and a batch of clips."""
    wave = clip()
    encode(wave, RATE_HZ, 0)  # compiles, and makes the membrane's table
    one_s = seconds(lambda: encode(wave, RATE_HZ, 0), repeats)

    def many():
        on_all_cores(lambda i: encode(wave, RATE_HZ, i), range(batch), "")

    many_s = seconds(many, repeats)
    reference_s = seconds(lambda: Wave2Spike(700)(MonoAudioWave(wave.copy(), RATE_HZ)), 1)
    timed = [("lauscher", 1, reference_s), ("encode", 1, one_s), ("encode", batch, many_s)]
    return [
        {
            "benchmark": "cochlea",
            "variant": variant,
            "batch": n,
            "median_s": time_s,
            "ratio": reference_s * n / time_s,
        }
        for variant, n, time_s in timed
    ]


if __name__ == "__main__":
    for row in rows():
        print(row)
