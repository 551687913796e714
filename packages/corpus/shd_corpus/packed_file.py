"""Open and hash HDF5 files, which may be packed by gzip or zip."""

import gzip
import hashlib
import io
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import h5py

from shd_corpus.checks import DatasetError
from shd_corpus.files import reading

SIGNATURE = b"\x89HDF\r\n\x1a\n"  # the first bytes of every HDF5 file
MOST_UNPACKED_BYTES = 2 * 10**9  # in memory; the official training file has 0.3 * 10**9


@contextmanager
def opened_hdf5(path: str | Path) -> Iterator[h5py.File]:
    """Open an HDF5 file, packed (``.h5.gz``, ``.h5.zip``) or not, for reading.

    Errors within the block become DatasetErrors that name the file.
    """
    path = Path(path)
    is_packed = path.suffix in (".gz", ".zip")
    with named_errors(path), _opened(path) as stream:
        # h5py jumps to and fro in a file, which a packed one doesn't allow.
        readable = io.BytesIO(_unpacked(stream)) if is_packed else stream
        with h5py.File(readable, "r") as file:
            yield file


def content_hash(path: str | Path, algorithm: str = "sha256") -> str:
    """Return the hash of an HDF5 file's bytes in hexadecimal digits, whether it is packed or not.

    In one process, a file that hasn't changed since the last call isn't read again.
    """
    path = Path(path)
    with named_errors(path):
        return _hash_of(path, file_version(path), algorithm)


def file_version(path: Path) -> tuple[int, int, int]:
    """Return what two versions of a file differ in: number on the disk, size, time of change."""
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


@cache
def _hash_of(path: Path, _version: tuple[int, int, int], algorithm: str) -> str:
    """Return the hash of a file in one of its versions."""
    with _opened(path) as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn whatever is raised while a file is read into a DatasetError that names it."""
    if not path.is_file():
        raise DatasetError(f"{path}: no such file. Check `dataset`, or get it again.")
    with reading(path, DatasetError, "Copy or download it again."):
        yield


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Yield the bytes of the HDF5 file, taken out of gzip or zip where it is packed."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.endswith(".h5")]
            # macOS puts files of its own, "._*.h5", into archives.
            members = [name for name in members if not Path(name).name.startswith("._")]
            if len(members) != 1:
                raise DatasetError(f"{path}: {len(members)} .h5 files inside, but one is needed.")
            with archive.open(members[0]) as stream:
                yield stream
    else:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            yield stream


def _unpacked(stream: Any) -> bytes:
    """Return the content of a packed file. Raise ValueError if it isn't HDF5 or is too large.

    A few megabytes may unpack to more than the memory has.
    """
    start = stream.read(len(SIGNATURE))
    if start != SIGNATURE:
        raise ValueError("what is packed in it is not HDF5")
    content = start + stream.read(MOST_UNPACKED_BYTES)
    if len(content) > MOST_UNPACKED_BYTES:
        raise ValueError(
            f"unpacks to more than {MOST_UNPACKED_BYTES / 1e9:g} GB. Unpack it by hand"
        )
    return content
