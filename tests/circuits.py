"""Small circuits of random integers, and words for them; nothing is trained."""

import numpy as np

from hardware.integer import IntegerLayer, IntegerNetwork
from hardware.sources import Word
from shd_helpers.events.downsample import Downsampling

COARSE = Downsampling(100, 0.6, 5, 7, 4)
RAW = Downsampling(0, 0.1, 1, 1, 1)
# each differs from the study's circuit where an implementation may go wrong
CIRCUITS = {
    "study": {},
    "delays": {"delays": (0, 10, 20)},
    "late delays": {"delays": (2, 5)},
    "leak by product": {"leak": (0, 243)},
    "saturation": {"mem_bits": 7, "shifts": (1, 2), "grid": COARSE},
    "wide": {"bits": (8, 12), "mem_bits": 16},
    "no pooling": {"grid": RAW, "n_hidden": 6},
    "little leak": {"leak": (8, 0), "n_hidden": 12, "grid": COARSE},
}


def random_circuit(
    seed=0, grid=None, delays=(0,), leak=(4, 0), bits=(3, 8), mem_bits=12, shifts=(0, 0),
    n_hidden=24, n_classes=5,
):  # fmt: skip
    """Return a circuit whose neurons spike now and then."""
    rng = np.random.default_rng(seed)
    grid = grid or Downsampling()

    def layer(n_in, n, b, threshold, shift):
        high = (1 << (b - 1)) - 1
        weight = rng.integers(-high, high + 1, (n, n_in))
        threshold = min(threshold, (1 << (mem_bits - 1)) - 1)
        return IntegerLayer(
            weight,
            rng.integers(-5, 20, n),
            rng.integers((threshold + 1) // 2, threshold + 1, n),
            shift,
        )

    first = layer(grid.n_units * len(delays), n_hidden, bits[0], 12, shifts[0])
    second = layer(n_hidden, n_classes, bits[1], 150, shifts[1])
    return IntegerNetwork(grid, delays, (first, second), mem_bits, *leak)


def random_words(n, seed=0, n_events=2000, end_ms=1100):
    """Return words, the first without events: ridges over noise, some events after the window."""
    rng = np.random.default_rng(seed)
    words = []
    for i in range(n):
        size = int(rng.integers(n_events // 2, n_events)) if i else 0
        ms = np.sort(rng.integers(0, end_ms, size))
        ridge = np.clip(rng.integers(200, 600) + ms // 9 + rng.integers(-8, 9, size), 0, 699)
        units = np.where(rng.random(size) < 0.7, ridge, rng.integers(0, 700, size))
        words.append(Word(ms, units, i % 5))
    return words
