"""What takes long is made once, by one process, and kept in a file."""

import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from filelock import FileLock

from shd_helpers.files import atomic

Content = TypeVar("Content")

_DAMAGED = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


def made_once(
    path: Path,
    read: Callable[[Path], Content],
    make: Callable[[], Content],
    write: Callable[[Content, Path], None],
) -> Content:
    """Return what a file holds; where there is none, make it, while other processes wait.

    Parameters
    ----------
    path : Path
        The file; its lock lies beside it. A damaged one is made again, with a warning.
    read, make, write : callable
        From the file, anew, and into the file.
    """
    if path.exists():
        try:
            return read(path)
        except _DAMAGED:
            pass  # unless another process makes it anew just now
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if path.exists():
            try:
                return read(path)
            except _DAMAGED as error:
                warnings.warn(f"{path}: damaged ({error}); it is made again.", stacklevel=4)
        content = make()
        with atomic(path) as part:
            write(content, part)
    return content
