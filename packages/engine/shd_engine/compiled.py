"""How numba compiles the kernels, and keeps their machine code.

numba stores a function's machine code beside its source and compiles it again when this file
changes. It doesn't notice changes of other files, so everything that a compiled function uses must
be in its own file.
"""

import sys
import warnings
from collections.abc import Callable
from typing import Any

import numba

_OPTIONS: dict[str, Any] = {
    "error_model": "numpy",
    "nogil": True,
    # LLVM leaves some of the functions that a loop calls at each step as calls, and more of them
    # the more arguments they have: a training step then takes up to a fifth longer.
    "forceinline": True,
    "no_cfunc_wrapper": True,  # nothing calls it from C, and compiling takes less time without
}


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a function when it is first called; a decorator.

    The function releases Python's lock, so threads run it at the same time. A division by zero
    gives an infinity as in numpy and raises no error: Python's check of each division would keep
    loops from becoming vector instructions.
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


def inner(function: Callable[..., Any]) -> Any:
    """Compile a function that only compiled functions call, never Python; a decorator.

    Without a way in from Python, and without a cache of its own, no machine code is made of it but
    within its callers.
    """
    options = _OPTIONS | {"no_cpython_wrapper": True}
    return numba.njit(function, **options)


def inlined(function: Callable[..., Any]) -> Any:
    """Make a function a part of its only caller; a decorator.

    The optimizer then goes through it once, and not again for the caller. Numba itself takes long
    to inline, so this pays for the largest functions alone.
    """
    return numba.njit(function, inline="always", **_OPTIONS)


def announce(function: Any, *arguments: Any) -> None:
    """Say before a call of a function that it takes long, if numba has to compile it."""
    kind = (function, *map(type, arguments))
    if kind in _called or not hasattr(function, "signatures"):
        return
    _called.add(kind)
    signature = tuple(map(numba.typeof, arguments))
    cache_file = getattr(function._cache, "_cache_file", None)
    kept = {key[0] for key in cache_file._load_index()} if cache_file else set()
    if signature not in kept and signature not in function.signatures:
        print(
            "shd_engine: compiling loops to machine code. This takes up to half a minute, once: "
            "later starts read it from a cache. `python -m shd_engine` does it beforehand.",
            file=sys.stderr,
            flush=True,
        )


_called: set[tuple] = set()  # functions, with the classes of their arguments
