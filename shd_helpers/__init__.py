"""Helpers behind the notebooks: each module is one step on the way of the data."""

import os
import warnings

__version__ = "0.1.0"  # of the package; pyproject.toml reads it here

# numba refuses such a number when it is imported, with a traceback that doesn't name the variable
_threads = os.environ.get("NUMBA_NUM_THREADS")
if _threads is not None and not (_threads.isdecimal() and int(_threads) > 0):
    warnings.warn(
        f"NUMBA_NUM_THREADS={_threads} is passed over: it must be a whole number of 1 or more. "
        "Set it to one, or unset it.",
        stacklevel=2,
    )
    del os.environ["NUMBA_NUM_THREADS"]
