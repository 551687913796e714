"""Train spiking networks on spoken digits, and judge them on speakers they weren't trained on.

The public names are listed in ``__init__.pyi``. Each is imported when it is asked for, because some
of them take a second. docs/extend.md shows how to use them with objects and data of your own.
"""

import os
import warnings

import lazy_loader

__version__ = "0.1.0"  # of the package; pyproject.toml reads it here

# numba refuses such a number when it is imported, with a traceback that doesn't name the variable
_threads = os.environ.get("NUMBA_NUM_THREADS")
if _threads is not None and not (_threads.isdecimal() and int(_threads) > 0):
    warnings.warn(
        f"NUMBA_NUM_THREADS={_threads} is ignored: it must be a whole number of 1 or more. "
        "Set it to one, or unset it.",
        stacklevel=2,
    )
    del os.environ["NUMBA_NUM_THREADS"]

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
