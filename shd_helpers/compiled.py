"""Compile a function with numba, and keep what is compiled.

numba keeps a function's machine code beside its source and makes it anew when this file changes.
What the function takes from other files, other compiled functions and numbers, it doesn't watch: so
all that a compiled function uses stands in its own file. A test holds it.
"""

import warnings
from collections.abc import Callable
from typing import Any

from numba import njit

_OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    "nogil": True,
    "no_cfunc_wrapper": True,  # nothing calls it from C, and compiling takes less time without
}


def compiled(function: Callable[..., Any]) -> Any:
    """Return the function compiled when it is first called; without Python's lock.

    Python's check of each division for 0 would keep loops out of vector instructions: numpy's
    error model has none. Where the machine code can't be kept, a warning names the remedy.
    """
    try:
        return njit(function, cache=True, **_OPTIONS)
    except RuntimeError:  # numba: neither the file's folder nor the user's cache can be written to
        warnings.warn(
            "numba finds no folder to keep compiled code in, so that every start takes up to a "
            "minute longer: set NUMBA_CACHE_DIR to a folder that can be written to.",
            stacklevel=2,
        )
        return njit(function, **_OPTIONS)
