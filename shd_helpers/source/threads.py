"""Sounds on all cores, side by side."""

from collections.abc import Callable, Iterable
from typing import Any

import numba
from tqdm import tqdm
from tqdm.contrib.concurrent import thread_map

# Not numba.get_num_threads(): it starts numba's own threads, which nothing here uses, and makes
# torch share every small product of this process among as many.
N_THREADS: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]


def on_all_cores(function: Callable[[Any], Any], items: Iterable, what: str, **bar: Any) -> list:
    """Return a function's results in the order of its items; `bar` is for tqdm's named `what`."""
    return thread_map(function, items, max_workers=N_THREADS, tqdm_class=tqdm, desc=what, **bar)
