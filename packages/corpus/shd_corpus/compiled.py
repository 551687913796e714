"""Compute fast: compile functions with numba and store the machine code, and use all cores.

numba stores a function's machine code beside its source and compiles it again when this file
changes. It doesn't notice changes of other files, with compiled functions or constants that the
function uses. Therefore everything that a compiled function uses must be in its own file. A test
checks this.
"""

import sys
import warnings
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

import numba
from numba.core import event

# Don't ask numba.get_num_threads(): it starts numba's own threads, which nothing here uses. They
# would make torch split every small product of this process among as many threads, which is slow.
N_THREADS: int = numba.config.NUMBA_NUM_THREADS  # type: ignore[attr-defined]

FIRST_START = "Compiling for this computer. Only the first start does, and it takes up to a minute."
_OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    "nogil": True,
    "no_cfunc_wrapper": True,  # nothing calls it from C, and compiling takes less time without
}


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called; a decorator.

    The function releases Python's lock, so threads run it at the same time. A division by zero
    gives an infinity as in numpy and raises no error: Python's check of each division would keep
    loops from becoming vector instructions. If the machine code can't be stored, a warning names
    the remedy.
    """
    try:
        return numba.njit(function, cache=True, **_OPTIONS)
    except RuntimeError:  # neither the file's folder nor the user's cache can be written to
        warnings.warn(
            "numba finds no folder to keep compiled code in, so that every start takes up to a "
            "minute longer: set NUMBA_CACHE_DIR to a folder that can be written to.",
            stacklevel=2,
        )
        return numba.njit(function, **_OPTIONS)


@cache
def announce_compilation() -> None:
    """Let the first compilation in this process print a line, before it takes up to a minute.

    For commands, because whoever started one would otherwise wait without knowing why. Machine code
    that was stored by an earlier start is loaded without a line.
    """

    class Announcement(event.Listener):
        is_made = False

        def on_start(self, event: Any) -> None:
            if not self.is_made:
                print(FIRST_START, file=sys.stderr, flush=True)
            self.is_made = True

        def on_end(self, event: Any) -> None:
            pass

    event.register("numba:compile", Announcement())


def on_all_cores(function: Callable[[Any], Any], items: Iterable, what: str, **bar: Any) -> list:
    """Call a function for each item, with several threads and under a progress bar.

    Threads run at the same time only while a function has released Python's lock. Compiled
    functions and most of numpy do.
    """
    # Whoever encodes a single sound doesn't wait for these.
    from tqdm import tqdm
    from tqdm.contrib.concurrent import thread_map

    return thread_map(function, items, max_workers=N_THREADS, tqdm_class=tqdm, desc=what, **bar)
