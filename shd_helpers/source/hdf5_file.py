"""Open an HDF5 file, packed or not, within bounds: no special files, no links, no false sizes."""

import gzip
import io
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import h5py
import numpy as np

from shd_helpers.files import LARGEST_RATIO, SMALL_BYTES

# what lies in the place of a row: how many numbers it has, and where they are
_HEAD = np.dtype([("length", "<u4"), ("heap", "<u8"), ("number", "<u4")])
_DAMAGE: tuple[type[Exception], ...] = (OSError, EOFError, zlib.error, zipfile.BadZipFile)
_DAMAGE += (KeyError, RuntimeError, TypeError, ValueError, MemoryError, OverflowError)  # by h5py


class DatasetError(ValueError):
    """A data set that can't be used; the message names the file and the remedy."""


@contextmanager
def named_errors(path: Path) -> Iterator[None]:
    """Turn errors of reading into a DatasetError that names the file and the remedy."""
    if path.is_symlink() and not path.exists():
        raise DatasetError(f"{path}: a link to nowhere. Check `dataset`, or get the file again.")
    if path.exists() and not path.is_file():
        raise DatasetError(f"{path}: not a file. Check `dataset`.")
    try:
        yield
    except FileNotFoundError:
        raise DatasetError(f"{path}: no such file. Check `dataset`, or get it again.") from None
    except DatasetError:
        raise
    except _DAMAGE as error:
        raise DatasetError(
            f"{path}: not a complete HDF5 file ({error}). Copy or download it again."
        ) from error


def refuse_size(path: Path, what: str, claimed: int, in_file: int) -> None:
    """Raise DatasetError if something claims far more bytes than there are in its file."""
    limit = max(SMALL_BYTES, LARGEST_RATIO * in_file)
    if claimed > limit:
        raise DatasetError(
            f"{path}: {what} takes more than {limit / 1e6:.0f} MB, from {in_file} bytes in the "
            "file; no spikes are packed so tightly. Copy or download it again."
        )


class _Bounded(io.RawIOBase):
    """Reads a packed stream, as long as it stays within bounds."""

    def __init__(self, stream: Any, path: Path) -> None:
        self.stream, self.path, self.count = stream, path, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n = self.stream.readinto(buffer)
        self.count += n
        refuse_size(self.path, "its unpacked content", self.count, self.path.stat().st_size)
        return n


@contextmanager
def unpacked(path: Path) -> Iterator[Any]:
    """Yield the bytes of the HDF5 file, taken out of gzip or zip where it is packed."""
    if path.suffix == ".gz":
        with gzip.open(path) as stream:
            yield _Bounded(stream, path)
    elif path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            members = [n for n in archive.namelist() if n.endswith(".h5")]
            members = [n for n in members if not Path(n).name.startswith("._")]  # from macOS
            if len(members) != 1:
                raise DatasetError(f"{path}: {len(members)} .h5 files inside; one is needed.")
            with archive.open(members[0]) as stream:
                yield _Bounded(stream, path)
    else:
        with path.open("rb") as stream:
            yield stream


@contextmanager
def open_hdf5(path: Path) -> Iterator[tuple[h5py.File, BinaryIO]]:
    """Yield the file and its bytes; unpacked in memory, so that a crash leaves no second file."""
    with io.BytesIO() as memory:
        if path.suffix in (".gz", ".zip"):
            with unpacked(path) as stream:
                shutil.copyfileobj(stream, memory, 2**20)
        packed = memory.tell() > 0
        with memory if packed else path.open("rb") as raw:
            with h5py.File(memory if packed else path, "r") as file:
                yield file, raw


def n_bytes(raw: BinaryIO) -> int:
    """Return the size of an open file."""
    return raw.seek(0, io.SEEK_END)


def find(path: Path, file: h5py.File, name: str, raw: BinaryIO) -> h5py.Dataset | h5py.Group | None:
    """Return what stands under a name, or None; DatasetError if it is elsewhere or too large."""
    found: Any = file
    for step in name.split("/"):
        if not isinstance(found, h5py.Group) or found.get(step, getlink=True) is None:
            return None
        if not isinstance(found.get(step, getlink=True), h5py.HardLink):
            raise DatasetError(f"{path}: {name} is a link. Copy what it points to into the file.")
        found = found[step]
    if isinstance(found, h5py.Dataset):
        if found.external or found.is_virtual:
            raise DatasetError(f"{path}: {name} lies in another file. Copy it into this one.")
        refuse_size(path, name, (found.size or 0) * found.dtype.itemsize, n_bytes(raw))
        text = h5py.check_string_dtype(found.dtype)
        row = "S1" if text and text.length is None else h5py.check_vlen_dtype(found.dtype)
        if row:  # HDF5 takes the memory that a row claims before it looks whether that is there
            stored = _stored(found, raw)
            heads = np.frombuffer(stored[: len(stored) // _HEAD.itemsize * _HEAD.itemsize], _HEAD)
            claimed = int(heads["length"].sum(dtype=np.int64))
            refuse_size(path, name, claimed * np.dtype(row).itemsize, n_bytes(raw))
            for place in np.unique(heads["heap"][heads["length"] > 0]).tolist():
                _check_heap(name, file.userblock_size + place, raw)
    return found


def _check_heap(name: str, place: int, raw: BinaryIO) -> None:
    """Raise ValueError where HDF5 would go through a damaged heap of rows for ever."""
    raw.seek(place)
    head = raw.read(16)
    end = place + int.from_bytes(head[8:], "little")
    if head[:4] != b"GCOL" or end > n_bytes(raw):
        raise ValueError(f"{name}: a damaged heap")
    place += 16
    while place + 16 <= end:
        raw.seek(place)
        head = raw.read(16)  # number, references, nothing, size; number 0 is free space
        size = int.from_bytes(head[8:], "little")
        is_row = int.from_bytes(head[:2], "little") > 0
        place += 16 + -(-size // 8) * 8 if is_row else size
        if place > end or (not is_row and size < 16):
            raise ValueError(f"{name}: a damaged heap")


def _stored(data: h5py.Dataset, raw: BinaryIO) -> bytes:
    """Return a data set as it lies in the file; nothing where it is compressed or never written."""
    if data.chunks is None:
        offset = data.id.get_offset()
        raw.seek(offset or 0)
        return raw.read(16 * data.size) if offset else b""
    if data.id.get_create_plist().get_nfilters():
        return b""
    chunks = (data.id.get_chunk_info(i) for i in range(data.id.get_num_chunks()))
    return b"".join(data.id.read_direct_chunk(chunk.chunk_offset)[1] for chunk in chunks)
