"""Write files so that neither a crash nor a power cut leaves half a file under the final name."""

import errno
import glob
import hashlib
import os
import platform
import re
import shutil
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

ROOM_BYTES = 2**24  # less than that on a disk is no room for a run


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` and move it there when the block ends without error.

    Its folder is made if it is missing. The content is on the disk before it gets the final name.
    The temporary name holds machine and process id, so that two processes don't write into one
    file; what killed processes of this machine left of the same file is removed.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    start = f"{path.name}.{platform.node()}."
    for left in path.parent.glob(f"{glob.escape(start)}*.part"):
        pid = left.name.removeprefix(start).partition(".")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            left.unlink(missing_ok=True)
    part = path.with_name(f"{start}{os.getpid()}.part")
    try:
        yield part
        sync(part)
        part.replace(path)
        sync(path.parent)
    finally:
        part.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Bring a file's content, or a folder's names, onto the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def is_mount(folder: Path) -> bool:
    """Tell whether a disk, or a folder of the same disk, is mounted on a folder.

    `os.path.ismount` compares devices and doesn't recognize a folder of the same disk.
    """
    mounted = {each.mountpoint for each in psutil.disk_partitions(all=True)}
    return os.path.ismount(folder) or os.path.realpath(folder) in mounted


@contextmanager
def reading(path: Path, kind: type[ValueError], remedy: str) -> Iterator[None]:
    """Turn whatever a damaged file raises when it is read into an error that names it.

    A mistake in this package's own code passes as it is, as does an error of this `kind`; `remedy`
    ends the message. A folder, a pipe or a device in the file's place is refused: they may never
    end.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError("not a file")
        yield
    except kind:
        raise
    except Exception as error:  # h5py, zipfile, pickle, pandas: each has its own
        *_, (last, _) = traceback.walk_tb(error.__traceback__)
        is_ours = Path(last.f_code.co_filename).is_relative_to(Path(__file__).parent)
        if is_ours and isinstance(error, TypeError | AttributeError | NameError):
            raise
        why = (str(error).splitlines() or [""])[0]
        raise kind(f"{path}: damaged ({type(error).__name__}: {why}). {remedy}") from error


def is_disk_full(error: str, folder: Path) -> bool:
    """Tell from a traceback whether something failed for want of disk.

    By the error's number and by the folder's disk: a number alone may be of another disk.
    """
    found = re.search(r"^OSError: .*(?:\[Errno|errno =) (\d+)\b", error, re.MULTILINE)
    number = int(found[1]) if found else 0
    is_full = shutil.disk_usage(folder).free < ROOM_BYTES
    return number == errno.EDQUOT or (number == errno.ENOSPC and is_full)


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
