"""Read, check and write the layout of the Spiking Heidelberg Digits (SHD).

The layout is described in Cramer, Stradmann, Schemmel, Zenke (2022), "The Heidelberg Spiking Data
Sets for the Systematic Evaluation of Spiking Neural Networks", IEEE TNNLS 33(7).
"""

import gzip
import hashlib
import io
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from shd_helpers.files import atomic, reading

N_CHANNELS = 700
SIGNATURE = b"\x89HDF\r\n\x1a\n"  # that an HDF5 file begins with
MOST_UNPACKED_BYTES = 2 * 10**9  # in memory; the official training file has 0.3
LONGEST_S = 10.0  # no word takes longer: a later time is not in seconds
ENGLISH = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
GERMAN = ("null", "eins", "zwei", "drei", "vier", "fuenf", "sechs", "sieben", "acht", "neun")
LANGUAGES = {"english": ENGLISH, "german": GERMAN, "both": ENGLISH + GERMAN}


class DatasetError(ValueError):
    """A data set that can't be used; the message names the file and the remedy."""


@dataclass(frozen=True)
class Utterances:
    """The spikes of many utterances, end to end.

    Utterance ``i`` has the spikes ``offsets[i]:offsets[i + 1]``.
    """

    times: np.ndarray  # (spikes,) seconds, float16 as in the file: widen before you scale
    units: np.ndarray  # (spikes,) cochlea channel, uint16
    offsets: np.ndarray  # (utterances + 1,) int64
    labels: np.ndarray  # (utterances,) index into keys, int64
    speakers: np.ndarray  # (utterances,) int64
    keys: tuple[str, ...]  # class names
    files: tuple[str, ...] = ()  # name of each recording, where the file has ``extra/file``

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self.labels)

    def spikes(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Return times (seconds, float64) and units of utterance `i`, each of shape (spikes,)."""
        part = slice(self.offsets[i], self.offsets[i + 1])
        return self.times[part].astype(np.float64), self.units[part]


def read_shd(path: str | Path) -> Utterances:
    """Read and check one file in SHD layout, which itself is never changed.

    Parameters
    ----------
    path : str or Path
        HDF5 file, also gzipped (``.gz``) or as the one member of a zip archive (``.zip``).

    Returns
    -------
    Utterances
        All utterances in the file's order; one without spikes is legal.

    Raises
    ------
    DatasetError
        If the file is missing, damaged or breaks a rule of the layout; the message names the
        file, the utterance and the remedy.
    """
    path, parts = Path(path), []
    is_packed = path.suffix in (".gz", ".zip")  # h5py reads here and there
    with (
        _named_errors(path),
        _opened(path) as stream,
        h5py.File(io.BytesIO(_unpacked(stream)) if is_packed else stream, "r") as file,
    ):
        _check_layout(path, file)
        labels, speakers = file["labels"][:], file["extra/speaker"][:]
        keys = tuple(key.lower().replace("ü", "ue") for key in file["extra/keys"].asstr("utf-8")[:])
        files = tuple(file["extra/file"].asstr("utf-8")[:]) if "extra/file" in file else ()
        utterances = np.arange(len(labels))
        known = (labels >= 0) & (labels < len(keys)) & (labels % 1 == 0)
        _refuse(path, ~known, utterances, "a label without a name in extra/keys")
        whole = (speakers >= 0) & (speakers < 2**31) & (speakers % 1 == 0)
        _refuse(path, ~whole, utterances, "a speaker that is no whole number from 0")
        for i in range(0, len(labels), 512):  # slices, for one row at a time is slow
            parts.append(_read_rows(path, file, utterances[i : i + 512]))
    sizes, times, units = (np.concatenate(part) for part in zip(_NOTHING, *parts, strict=True))
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Utterances(
        times, units, offsets, labels.astype(np.int64), speakers.astype(np.int64), keys, files
    )


def content_hash(path: str | Path, algorithm: str = "sha256") -> str:
    """Return the hash of an HDF5 file's bytes: the same for ``.h5``, ``.h5.gz`` and ``.h5.zip``.

    A file that hasn't changed since it was last asked for isn't read again. DatasetError, if it is
    missing or can't be unpacked.
    """
    path = Path(path)
    with _named_errors(path):
        there = path.stat()
        return _hash_of(path, (there.st_ino, there.st_size, there.st_mtime_ns), algorithm)


@lru_cache(maxsize=16)
def _hash_of(path: Path, _version: tuple[int, int, int], algorithm: str) -> str:
    with _opened(path) as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    if not path.is_file():
        raise DatasetError(f"{path}: no such file. Check `dataset`, or get it again.")
    with reading(path, DatasetError, "Copy or download it again."):
        yield


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Yield the bytes of the HDF5 file, taken out of gzip or zip where it is packed."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            members = [n for n in archive.namelist() if n.endswith(".h5")]
            members = [n for n in members if not Path(n).name.startswith("._")]  # from macOS
            if len(members) != 1:
                raise DatasetError(f"{path}: {len(members)} .h5 files inside; one is needed.")
            with archive.open(members[0]) as stream:
                yield stream
    else:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            yield stream


def _unpacked(stream: Any) -> bytes:
    """Return what a packed file holds; ValueError, if that isn't HDF5, or is too large.

    A few megabytes may unpack to more than the memory has.
    """
    start = stream.read(len(SIGNATURE))
    if start != SIGNATURE:
        raise ValueError("what is packed in it is not HDF5")
    content = start + stream.read(MOST_UNPACKED_BYTES)
    if len(content) > MOST_UNPACKED_BYTES:
        raise ValueError(
            f"unpacks to more than {MOST_UNPACKED_BYTES / 1e9:g} GB; unpack it by hand"
        )
    return content


_LAYOUT = ("spikes/times", "spikes/units", "labels", "extra/speaker", "extra/keys")
_NOTHING = (np.empty(0, np.int64), np.empty(0, np.float16), np.empty(0, np.uint16))


def _is_number(dtype: np.dtype) -> bool:
    return dtype.kind in "iuf"


def _is_list_of_numbers(dtype: np.dtype) -> bool:
    inner = h5py.check_vlen_dtype(dtype)
    return isinstance(inner, np.dtype) and _is_number(inner)


_NUMBER = (_is_number, "a number")
_LIST = (_is_list_of_numbers, "a list of numbers")
_COLUMNS = {"spikes/times": _LIST, "spikes/units": _LIST}
_COLUMNS |= {"labels": _NUMBER, "extra/speaker": _NUMBER}


def _check_layout(path: Path, file: h5py.File) -> None:
    absent = [name for name in _LAYOUT if name not in file]
    if absent:
        raise DatasetError(
            f"{path}: without {', '.join(absent)}, which SHD layout has. Write the file with "
            "shd_helpers.data.shd_file.write_shd."
        )
    for name, (is_right, wanted) in _COLUMNS.items():
        column = file[name]
        is_column = isinstance(column, h5py.Dataset) and len(column.shape) == 1
        if not is_column or not is_right(column.dtype):
            raise DatasetError(
                f"{path}: {name} must be {wanted}, one for each utterance. Write the file with "
                "shd_helpers.data.shd_file.write_shd."
            )
    rows = {name: len(file[name]) for name in (*_LAYOUT[:-1], "extra/file") if name in file}
    if len(set(rows.values())) > 1:
        found = ", ".join(f"{n} {name}" for name, n in rows.items())
        raise DatasetError(f"{path}: {found}; each utterance needs one of each.")


def _read_rows(path: Path, file: h5py.File, utterances: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return the sizes, times and units of some utterances on end, checked."""
    part = slice(utterances[0], utterances[-1] + 1)
    times, units = file["spikes/times"][part], file["spikes/units"][part]
    sizes, n_units = (np.array([len(row) for row in rows]) for rows in (times, units))
    _refuse(path, sizes != n_units, utterances, "times and units of different length")
    times, units, owner = np.concatenate(times), np.concatenate(units), np.repeat(utterances, sizes)
    right = (times >= 0) & (times <= LONGEST_S)  # and no NaN
    _refuse(path, ~right, owner, f"a time outside 0..{LONGEST_S:g}; times are seconds")
    known = (units >= 0) & (units < N_CHANNELS) & (units % 1 == 0)
    _refuse(path, ~known, owner, f"a unit outside 0..{N_CHANNELS - 1}")
    return sizes, times.astype(np.float16, copy=False), units.astype(np.uint16, copy=False)


def _refuse(path: Path, broken: np.ndarray, owner: np.ndarray, reason: str) -> None:
    if broken.any():
        where = f"{path}: utterance {owner[broken][0]}"
        raise DatasetError(f"{where}: {reason}. Correct the program that wrote the file.")


def language_classes(keys: Sequence[str], language: str) -> dict[int, int]:
    """Map a file's labels to the classes 0, 1, ... of a language, by class name; others are absent.

    `keys` are the file's class names, in the order of its labels. DatasetError, if the language is
    unknown or one of its words isn't among them.
    """
    if language not in LANGUAGES:
        raise DatasetError(f"language {language!r}: unknown; take one of {', '.join(LANGUAGES)}.")
    absent = [word for word in LANGUAGES[language] if word not in keys]
    if absent:
        raise DatasetError(
            f"language {language!r} is not in this data set: {', '.join(absent)} missing from "
            f"extra/keys ({', '.join(keys)}). Choose another `language`."
        )
    return {keys.index(word): i for i, word in enumerate(LANGUAGES[language])}


def write_shd(
    path: str | Path,
    times: Sequence[np.ndarray],
    units: Sequence[np.ndarray],
    labels: Sequence[int],
    speakers: Sequence[int],
    keys: Sequence[str] = LANGUAGES["both"],
    *,
    gender: Sequence[str] | None = None,
    files: Sequence[str] | None = None,
) -> None:
    """Write utterances in SHD layout, atomically.

    Parameters
    ----------
    times, units : sequence of ndarray
        Spike times (seconds) and cochlea channels of each utterance.
    labels, speakers : sequence of int
        Index into `keys`, the class names, and speaker number of each utterance.
    gender : sequence of str, optional
        Gender of each speaker number, as ``extra/meta_info/gender``.
    files : sequence of str, optional
        Name of each utterance's recording, as ``extra/file``, which official SHD doesn't have.
    """
    memory = io.BytesIO()  # written at once: HDF5 brings the process down on a full disk
    with h5py.File(memory, "w") as file:
        for name, rows, dtype in (("times", times, np.float16), ("units", units, np.uint16)):
            data = file.create_dataset(f"spikes/{name}", (len(rows),), h5py.vlen_dtype(dtype))
            for i, row in enumerate(rows):
                data[i] = np.asarray(row, dtype)
        file["labels"] = np.asarray(labels, np.uint16)
        file["extra/speaker"] = np.asarray(speakers, np.uint16)
        for name, texts in (("keys", keys), ("meta_info/gender", gender), ("file", files)):
            if texts is not None:
                file[f"extra/{name}"] = np.array([text.encode() for text in texts])
    with atomic(path) as part:
        part.write_bytes(memory.getbuffer())
