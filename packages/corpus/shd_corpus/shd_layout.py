"""Find the entries of a file in SHD layout, and check what they are before any is read.

HDF5 can store an entry's content in other files, and follows links to wherever they lead. Reading
such an entry may hang, and its file can stay the same while the content changes. So all entries are
checked by one table, and what isn't stored in the file itself is refused. A file may be packed by
gzip or zip.
"""

import gzip
import hashlib
import io
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

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


FILE_ENTRY = "extra/file"  # where a file may have the names of the recordings
N_CHANNELS_ENTRY = "extra/n_channels"  # where a file says how many channels it has
# Where a file says that the precision of its times is FINE. The times of any other file are read as
# float16, because networks were trained on them like that.
TIME_PRECISION_ENTRY = "extra/time_precision"
# HDF5 stores nothing for rows that were never written. So a file of a few kilobytes can declare
# billions of rows, which would take hours or all memory to read. What is declared must therefore
# fit what is stored. Deflate (gzip) makes at most 1032 bytes of one, and a program may have left
# some rows at their fill value.
MOST_BYTES_OF_ONE = 1032
MOST_UNWRITTEN_BYTES = 10**6
# HDF5's numbers of the filters that unpack a column: gzip to scaleoffset, and h5py's own lzf. For
# another one it would load a plug-in.
FILTERS = (*range(1, 7), 32000)
_COPY_CONTENT = (
    "Copy the content itself into the file, because other files may change or be absent."
)


def _is_number(dtype: np.dtype) -> bool:
    return dtype.kind in "iuf"


def _is_list_of_numbers(dtype: np.dtype) -> bool:
    element_dtype = h5py.check_vlen_dtype(dtype)
    return isinstance(element_dtype, np.dtype) and _is_number(element_dtype)


def _is_text(dtype: np.dtype) -> bool:
    return h5py.check_string_dtype(dtype) is not None


class _Form(NamedTuple):
    """How an entry of a file is recognized, and what messages call it."""

    is_right_type: Callable[[np.dtype], bool]
    text: str
    n_axes: int = 1


_OF_UTTERANCES = {
    "spikes/times": _Form(_is_list_of_numbers, "a list of numbers, one for each utterance"),
    "spikes/units": _Form(_is_list_of_numbers, "a list of numbers, one for each utterance"),
    "labels": _Form(_is_number, "a number, one for each utterance"),
    "extra/speaker": _Form(_is_number, "a number, one for each utterance"),
    FILE_ENTRY: _Form(_is_text, "a text, one for each utterance"),
}
_FORMS = {
    **_OF_UTTERANCES,
    "extra/keys": _Form(_is_text, "a text, one for each class"),
    N_CHANNELS_ENTRY: _Form(_is_number, "one whole number, how many channels there are", 0),
    TIME_PRECISION_ENTRY: _Form(_is_text, "one text", 0),
}
_OPTIONAL = (FILE_ENTRY, N_CHANNELS_ENTRY, TIME_PRECISION_ENTRY)
Columns = dict[str, h5py.Dataset]


@contextmanager
def opened_columns(path: Path) -> Iterator[Columns]:
    """Open a file, and yield its entries. Raise DatasetError if it has no SHD layout.

    Values are checked later. No entry that isn't yielded here is ever read.
    """
    with opened_hdf5(path) as file:
        found = {name: _found(path, file, name) for name in _FORMS}
        columns = {name: column for name, column in found.items() if column is not None}
        absent = [name for name in _FORMS if name not in (*columns, *_OPTIONAL)]
        if absent:
            raise DatasetError(
                f"{path}: without {', '.join(absent)}, which SHD layout has. Write the file with "
                "write_shd."
            )
        for name, column in columns.items():
            _check_column(path, name, column)
        lengths = {name: len(columns[name]) for name in _OF_UTTERANCES if name in columns}
        check_lengths(path, lengths)
        yield columns


def _found(path: Path, file: h5py.File, name: str) -> Any:
    """Return an entry of an open file, or None. Refuse a link without following it."""
    found: Any = file
    for part in name.encode().split(b"/"):
        if not isinstance(found, h5py.Group) or not found.id.links.exists(part):
            return None
        if found.id.links.get_info(part).type != h5py.h5l.TYPE_HARD:
            raise DatasetError(f"{path}: {name} is a link. {_COPY_CONTENT}")
        found = found[part]
    return found


def _check_column(path: Path, name: str, column: Any) -> None:
    """Raise DatasetError if an entry's content isn't in the file, or is of another kind."""
    form = _FORMS[name]
    is_dataset = isinstance(column, h5py.Dataset)
    # before the shape, for which HDF5 would open the other files
    if is_dataset and (column.is_virtual or column.external):
        raise DatasetError(f"{path}: {name} has its content in other files. {_COPY_CONTENT}")
    has_shape = is_dataset and column.shape is not None and len(column.shape) == form.n_axes
    if not has_shape or not form.is_right_type(column.dtype):
        raise DatasetError(f"{path}: {name} must be {form.text}. Write the file with write_shd.")
    made = column.id.get_create_plist()
    filters = {made.get_filter(number)[0] for number in range(made.get_nfilters())}
    if not filters <= {*FILTERS}:
        raise DatasetError(
            f"{path}: {name} is packed in a way that h5py can't unpack by itself. Pack it with "
            "gzip or lzf."
        )
    _check_size(path, name, column)


def check_lengths(path: Path, lengths: Mapping[str, int]) -> None:
    """Raise DatasetError if a file's columns aren't equally long."""
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{length} {name}" for name, length in lengths.items())
        raise DatasetError(f"{path}: {listed}. Each utterance needs one of each.")


def _check_size(path: Path, name: str, column: h5py.Dataset) -> None:
    """Raise DatasetError if a column declares more than can be in the file."""
    declared = (column.size or 0) * column.id.get_type().get_size()
    stored = min(column.id.get_storage_size(), column.file.id.get_filesize())
    if declared > MOST_UNWRITTEN_BYTES + MOST_BYTES_OF_ONE * stored:
        raise DatasetError(
            f"{path}: {name} declares {declared:,} bytes, but the file has only {stored:,} of it. "
            "Copy or download the file again, or correct the program that wrote it."
        )
