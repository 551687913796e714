"""Small circuits of random integers, and words for them; nothing is trained."""

from dataclasses import replace

import numpy as np
from shd_circuit.integer import IntegerLayer, IntegerNetwork
from shd_circuit.sources import Word

from shd_helpers.events.downsampling import Downsampling

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
FINE = Downsampling(pool_threshold=1)
# and these have what the study's circuit hasn't, together and one by one
SMALL = {
    "small": {"kernel": 64, "stride": 16, "delays": (0, 10, 20, 70), "leak": None,
              "is_membrane": True, "mem_bits": 16, "shifts": (2, 1), "n_hidden": 4, "grid": FINE},
    "narrow windows": {"kernel": 9, "stride": 4, "delays": (2, 5), "n_hidden": 6, "grid": COARSE},
    "own leaks": {"leak": None},
    "membranes": {"is_membrane": True, "mem_bits": 9, "n_hidden": 12},
}  # fmt: skip


def random_circuit(
    seed=0, grid=None, delays=(0,), leak=(4, 0), bits=(3, 8), mem_bits=12, shifts=(0, 0),
    n_hidden=24, n_classes=5, kernel=0, stride=1, is_membrane=False,
):  # fmt: skip
    """Return a circuit whose neurons spike now and then; no leak: each has its own."""
    rng = np.random.default_rng(seed)
    grid = grid or Downsampling()
    n_places = (grid.n_units - kernel) // stride + 1 if kernel else 1

    def layer(n_in, n, b, threshold, shift, n_places=1):
        high = (1 << (b - 1)) - 1
        weight = rng.integers(-high, high + 1, (n, n_in))
        threshold = min(threshold, (1 << (mem_bits - 1)) - 1)
        return IntegerLayer(
            weight,
            rng.integers(-5, 20, n * n_places),
            rng.integers((threshold + 1) // 2, threshold + 1, n * n_places),
            shift,
            rng.integers(3000, 4097, n * n_places) if leak is None else None,
        )

    units = kernel or grid.n_units
    first = layer(units * len(delays), n_hidden, bits[0], 12, shifts[0], n_places)
    second = layer(n_hidden * n_places, n_classes, bits[1], 150, shifts[1])
    if is_membrane:
        never = np.full_like(second.threshold, (1 << (mem_bits - 1)) - 1)
        second = replace(second, threshold=never, bias=second.bias - 40)  # all below 0
    window = kernel, stride, is_membrane
    return IntegerNetwork(grid, delays, (first, second), mem_bits, *(leak or (0, 0)), *window)


def named(name):
    """Return the random circuit of a name above."""
    return random_circuit(seed=len(name), **(CIRCUITS | SMALL)[name])


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
