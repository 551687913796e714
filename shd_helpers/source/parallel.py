"""Do many independent things on all cores."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numba
from tqdm import tqdm


def in_threads(do: Callable, items: Sequence, what: str, progress: bool = True) -> Iterable:
    """Call a function on each item, side by side in threads, and yield the results in order.

    Threads are enough for work that leaves Python (compiled loops, transforms, C libraries). Their
    number is numba's: all cores, or ``$NUMBA_NUM_THREADS``.

    Parameters
    ----------
    do : callable
        Takes an item.
    items : sequence
        The items.
    what : str
        Text of the progress bar.
    progress : bool
        Whether to show it.

    Yields
    ------
    object
        ``do(item)``; the first error of any item ends it all.
    """
    pool = ThreadPoolExecutor(min(numba.get_num_threads(), 8))
    try:
        yield from tqdm(pool.map(do, items), desc=what, total=len(items), disable=not progress)
    finally:
        pool.shutdown(cancel_futures=True)
