"""Write files so that nothing is ever half-written, and read files that may be damaged.

Neither a crash nor a power cut leaves half a file under the final name (`atomic`). Whatever
a damaged file raises becomes an error that names it (`reading`).
"""

import errno
import hashlib
import os
import stat
import sys
import traceback
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

from filelock import FileLock, Timeout

from shd_corpus.checks import DatasetError

# Other errors than these, such as EINVAL, come from a damaged file, too.
_OF_THE_SYSTEM = (errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ESTALE)
_OWN_PACKAGES = (
    "shd_helpers", "shd_circuit", "shd_corpus", "shd_course", "shd_engine", "shd_judge",
)  # fmt: skip
Made = TypeVar("Made")


@contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Write a file at a temporary path, which is moved to the final one when it is complete.

    The content is on the disk before it gets the final name. If the block raises an error, the
    final path stays as it was. A file that is replaced keeps its permissions. If the path is a link
    to a file, that file is replaced and the link stays.

    Each call has a temporary file of its own.
    """
    path = Path(path)
    if path.is_symlink() and path.is_file():
        path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{path.name}.{uuid.uuid4().hex[:16]}.part")
    try:
        yield unfinished
        if path.is_file():
            # The file may be another user's, and some disks have no permissions.
            with suppress(PermissionError):
                unfinished.chmod(stat.S_IMODE(path.stat().st_mode))
        sync(unfinished)
        unfinished.replace(path)
        sync(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Bring a file's content, or the names in a folder, onto the disk.

    On Windows the system decides when, because a folder can't be opened there.
    """
    if sys.platform == "win32":
        return
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


@contextmanager
def reading(path: Path, kind: type[ValueError], remedy: str) -> Iterator[None]:
    """Turn whatever is raised while a file is read into an error of a `kind` that names the file.

    The message says whether the file is damaged, can't be read, or doesn't fit into the memory, and
    ends with the `remedy` for a damaged or missing one. A mistake in the study's own code
    (`_OWN_PACKAGES`) is raised as it is. A folder, a pipe or a device at the path is refused,
    because reading it may never end.
    """
    try:
        if path.exists() and not path.is_file():
            raise OSError("not a file")
        yield
    except kind:
        raise
    except Exception as error:  # h5py, zipfile, pickle and pandas all raise errors of their own
        frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
        raised_in = frames[-1].f_globals.get("__package__") or ""
        is_ours = raised_in.partition(".")[0] in _OWN_PACKAGES
        if is_ours and isinstance(error, TypeError | AttributeError | NameError):
            raise
        raise kind(f"{path}: {_trouble(error, remedy)}") from error


def _trouble(error: Exception, remedy: str) -> str:
    """Return what is wrong with a file whose reading raised an error, and what to do."""
    if isinstance(error, FileNotFoundError):
        return f"no such file. {remedy}"
    if isinstance(error, PermissionError) or getattr(error, "errno", None) in _OF_THE_SYSTEM:
        return f"can't be read ({error}). Check its permissions and the disk."
    if isinstance(error, MemoryError):  # or a damaged file names a size that no memory has
        return f"doesn't fit into the memory, or is damaged. Free some memory. Or else: {remedy}"
    why = (str(error).splitlines() or [""])[0]
    return f"damaged ({type(error).__name__}: {why}). {remedy}"


@contextmanager
def exclusive(
    folder: Path, lock_name: str = ".lock", remedy: str = "take another folder (SHD_DATA_DIR)"
) -> Iterator[None]:
    """Let one process at a time make the files of a folder, while other processes wait.

    Raise DatasetError if something can't be written or read, as on a full disk. `remedy` says how
    the files can be written to another folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / lock_name)
        try:
            held = lock.acquire(timeout=0)
        except Timeout:
            print(f"{folder}: another process makes these files. Waiting for it.", flush=True)
            held = lock.acquire()
        with held:
            yield
    except OSError as error:
        raise DatasetError(
            f"{folder}: a file can't be written or read ({error}). Free some space, or {remedy}, "
            "and start again: it continues where it stopped."
        ) from error


def is_made(paths: Iterable[Path], receipt: Path, content: str) -> bool:
    """Tell whether the files are there and were made as the receipt's expected content says."""
    found = receipt.read_text(encoding="utf-8") if receipt.is_file() else ""
    return found == content and all(path.is_file() for path in paths)


def made_once(
    paths: Sequence[Path],
    receipt: Path,
    content: str,
    make: Callable[[], Made],
    write: Callable[[Made], None],
) -> None:
    """Make the files of a data set, unless the receipt says that they are made already.

    The receipt's `content` says how they are made. `make` takes long, and `write` writes the files.
    If two processes call it at once, one waits. Files without a receipt are somebody's own, and are
    neither read nor replaced: DatasetError.
    """
    if is_made(paths, receipt, content):
        return
    with exclusive(receipt.parent):
        # Another process has made them while this one waited, or an older version has.
        if is_made(paths, receipt, content):
            return
        unknown = [path for path in paths if path.exists()]
        if unknown and not receipt.exists():
            raise DatasetError(
                f"{unknown[0]}: was not made by this program, because {receipt.name} isn't beside "
                "it. Move it into another folder, and name that folder as the data set "
                "(DATASET=folder). Or remove it, and it is made from the recordings."
            )
        made = make()
        # First a receipt that fits no file: if the writing stops half-way, they are made again.
        receipt.write_text("unfinished\n", encoding="utf-8")
        write(made)
        with atomic(receipt) as unfinished:
            unfinished.write_text(content, encoding="utf-8")


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's content in hexadecimal digits."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
