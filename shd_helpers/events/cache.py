"""What takes long is made once, by one process, and kept in a file."""

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TypeVar

from filelock import FileLock

from shd_helpers.files import reading, writing
from shd_helpers.source.shd_file import DatasetError

Content = TypeVar("Content")
AGAIN = "It is made again."


def made_once(
    path: Path,
    read: Callable[[Path], Content],
    make: Callable[[], Content],
    write: Callable[[Content, IO[bytes]], None],
) -> Content:
    """Return what a file holds; where there is none, make it, while other processes wait.

    Parameters
    ----------
    path : Path
        The file; its lock lies beside it. A damaged one is made again, with a warning.
    read, make, write : callable
        From the file, anew, and into the file.

    Raises
    ------
    DatasetError
        If the file can't be written, or its lock is no file.
    """
    if path.exists():
        with suppress(DatasetError), reading(path, DatasetError, AGAIN):
            return read(path)  # a damaged one may just now be made anew by another process
    with _locked(path.with_suffix(".lock")):
        if path.exists():
            try:
                with reading(path, DatasetError, AGAIN):
                    return read(path)
            except DatasetError as error:
                warnings.warn(str(error), stacklevel=4)
        content = make()
        with writing(path, DatasetError) as file:
            write(content, file)
    return content


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock; name the file where it can't be one."""
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except OSError as error:
        raise DatasetError(f"{path}: can't be locked ({error}). Remove it.") from error
    try:
        yield
    finally:
        lock.release()
