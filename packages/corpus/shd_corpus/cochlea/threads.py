"""Use all cores: run a function that releases Python's lock in several threads."""

import os
from collections.abc import Callable, Iterable
from typing import Any

try:
    import numba
except ModuleNotFoundError:
    numba = None  # type: ignore[assignment]

# Don't ask numba.get_num_threads(): it starts numba's own threads, which nothing here uses. They
# would make torch split every small product of this process among as many threads, which is slow.
N_THREADS: int = numba.config.NUMBA_NUM_THREADS if numba else os.cpu_count() or 1  # type: ignore[attr-defined]


def on_all_cores(function: Callable[[Any], Any], items: Iterable, what: str, **bar: Any) -> list:
    """Call a function for each item, with several threads and under a progress bar.

    Threads run at the same time only while a function has released Python's lock. Compiled
    functions and most of numpy do.

    Parameters
    ----------
    function : callable
        Takes one item.
    items : iterable
        The items.
    what : str
        Text before the progress bar.
    **bar
        Further arguments of tqdm's progress bar.

    Returns
    -------
    list
        The function's results, in the order of the items.
    """
    # Whoever encodes a single sound doesn't wait for these.
    from tqdm import tqdm
    from tqdm.contrib.concurrent import thread_map

    return thread_map(function, items, max_workers=N_THREADS, tqdm_class=tqdm, desc=what, **bar)
