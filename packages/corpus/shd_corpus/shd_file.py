"""Read, check and write files in the layout of the Spiking Heidelberg Digits (SHD).

A file has, for each utterance, the times and the units (channels) of its spikes, a label and a
speaker. It also has a list of class names, to which labels are indices. The layout is described in
Cramer, Stradmann, Schemmel, Zenke (2022), "The Heidelberg Spiking Data Sets for the Systematic
Evaluation of Spiking Neural Networks", IEEE TNNLS 33(7).

SHD's files have 700 channels and the digits of two languages. Other files may have any class names
and, where ``extra/n_channels`` says how many, another number of channels.
"""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np

from shd_corpus.checks import DatasetError
from shd_corpus.class_names import LANGUAGES, checked_class_names
from shd_corpus.files import atomic
from shd_corpus.shd_layout import (
    FILE_ENTRY,
    N_CHANNELS_ENTRY,
    TIME_PRECISION_ENTRY,
    Columns,
    check_lengths,
    file_version,
    named_errors,
    opened_columns,
)

FILES = ("train", "test")  # the training file is number 0 of a data set, the test file number 1
N_CHANNELS = 700  # of SHD's files, and of the model of the inner ear
MOST_NUMBERS = 2**16  # of labels and of speakers, because they are stored in 16 bits
MOST_CHANNELS = 2**16  # because units are stored in 16 bits
LONGEST_S = 10.0  # no utterance takes longer, so a later time is not in seconds
ROWS_AT_ONCE = 512  # that are read: h5py is slow for one row at a time
ROWS_OF_A_SLICE = 8 * ROWS_AT_ONCE  # that `read_in_slices` returns; with SHD's spikes 130 MB
FINE = "float32"  # the precision of times that a file may name


@dataclass(frozen=True)
class Utterances:
    """The spikes of many utterances, one after the other in common arrays.

    Parameters
    ----------
    times : (spikes,) float16 or float32 array
        Seconds: float32 if the file says so (see `write_shd`), otherwise float16 as in SHD. Convert
        them to float64 before you scale them.
    units : (spikes,) uint16 array
        Channels, from 0 to `n_channels` - 1.
    offsets : (utterances + 1,) int64 array
        Utterance ``i`` has the spikes ``offsets[i]:offsets[i + 1]``.
    labels : (utterances,) int64 array
        Indices into `keys`.
    speakers : (utterances,) int64 array
        Speaker numbers.
    keys : tuple of str
        Class names.
    files : tuple of str
        Name of each utterance's recording, if the file has ``extra/file``.
    n_channels : int
        Number of channels, of which some may have no spike.
    """

    times: np.ndarray
    units: np.ndarray
    offsets: np.ndarray
    labels: np.ndarray
    speakers: np.ndarray
    keys: tuple[str, ...]
    files: tuple[str, ...] = ()
    n_channels: int = N_CHANNELS

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self.labels)

    def spikes(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the spikes of one utterance.

        Parameters
        ----------
        i : int
            Its number, from 0.

        Returns
        -------
        times : (spikes,) float64 array
            Seconds.
        units : (spikes,) uint16 array
            Cochlea channels.
        """
        its_spikes = slice(self.offsets[i], self.offsets[i + 1])
        return self.times[its_spikes].astype(np.float64), self.units[its_spikes]


def read_shd(path: str | Path) -> Utterances:
    """Read and check one file in SHD layout. The file itself is never changed.

    Parameters
    ----------
    path : str or Path
        HDF5 file, also gzipped (``.gz``) or as the one member of a zip archive (``.zip``).

    Returns
    -------
    Utterances
        All utterances in the file's order. An utterance may be without spikes.

    Raises
    ------
    DatasetError
        If the file is missing, damaged or breaks a rule of the layout. The message names the
        file, the utterance and the remedy.
    """
    with opened_columns(Path(path)) as columns:
        header = _read_header(Path(path), columns)
        return _read_utterances(Path(path), columns, header, slice(0, len(header.labels)))


def read_in_slices(path: str | Path) -> Iterator[Utterances]:
    """Read a file as `read_shd` does, but up to `ROWS_OF_A_SLICE` utterances at a time.

    The spikes of a large data set, such as the 75,000 utterances of the Spiking Speech Commands,
    take gigabytes. Whoever needs each utterance once, as downsampling does, needs a slice at a
    time. A file without utterances is one empty slice. A packed file is unpacked into the memory.
    """
    with opened_columns(Path(path)) as columns:
        header = _read_header(Path(path), columns)
        n = len(header.labels)
        for first in range(0, max(n, 1), ROWS_OF_A_SLICE):
            rows = slice(first, min(first + ROWS_OF_A_SLICE, n))
            yield _read_utterances(Path(path), columns, header, rows)


def channels_of(path: str | Path) -> int:
    """Return the number of channels of a file in SHD layout: its ``extra/n_channels``, or 700."""
    return _header_of(Path(path)).n_channels


@dataclass(frozen=True)
class _Header:
    """What a file has besides spikes."""

    labels: np.ndarray
    speakers: np.ndarray
    keys: tuple[str, ...]
    files: tuple[str, ...]
    n_channels: int


def _header_of(path: Path) -> _Header:
    """Return the header of a file, which is read again only if the file has changed."""
    with named_errors(path):
        return _header_of_version(path, file_version(path))


@lru_cache(maxsize=256)
def _header_of_version(path: Path, _version: tuple[int, int, int]) -> _Header:
    with opened_columns(path) as columns:
        return _read_header(path, columns)


def _read_header(path: Path, columns: Columns) -> _Header:
    """Read and check all of an open file but its spikes; messages name its path."""
    labels = columns["labels"][:]
    speakers = columns["extra/speaker"][:]
    n_names = len(columns["extra/keys"])
    if n_names > MOST_NUMBERS:
        raise DatasetError(
            f"{path}: extra/keys has {n_names:,} names, but there are at most {MOST_NUMBERS:,} "
            "classes. Correct the program that wrote the file."
        )
    keys = checked_class_names(path, tuple(columns["extra/keys"].asstr("utf-8")[:]))
    files = tuple(columns[FILE_ENTRY].asstr("utf-8")[:]) if FILE_ENTRY in columns else ()
    utterances = np.arange(len(labels))
    has_name = (labels >= 0) & (labels < len(keys)) & (labels % 1 == 0)
    _refuse(path, ~has_name, utterances, "a label without a name in extra/keys")
    is_whole = (speakers >= 0) & (speakers < 2**31) & (speakers % 1 == 0)
    _refuse(path, ~is_whole, utterances, "a speaker that is no whole number from 0")
    return _Header(
        labels=labels.astype(np.int64),
        speakers=speakers.astype(np.int64),
        keys=keys,
        files=files,
        n_channels=_n_channels(path, columns),
    )


def _n_channels(path: Path, columns: Columns) -> int:
    """Return the number of channels that an open file says, else SHD's. Check it."""
    if N_CHANNELS_ENTRY not in columns:
        return N_CHANNELS
    value = columns[N_CHANNELS_ENTRY][()]
    if value % 1 != 0:
        raise DatasetError(
            f"{path}: {N_CHANNELS_ENTRY} is {value}, but must be a whole number, how many channels "
            "there are. Write the file with write_shd."
        )
    check_n_channels(f"{path}: {N_CHANNELS_ENTRY}", int(value))
    return int(value)


def _read_utterances(path: Path, columns: Columns, header: _Header, rows: slice) -> Utterances:
    """Read and check the spikes of successive utterances of an open file."""
    utterances = np.arange(rows.start, rows.stop)
    # Empty arrays first, so that a file without utterances is read, too.
    parts = [
        (np.empty(0, np.int64), np.empty(0, _time_dtype(path, columns)), np.empty(0, np.uint16))
    ]
    for first in range(0, len(utterances), ROWS_AT_ONCE):
        chunk = utterances[first : first + ROWS_AT_ONCE]
        parts.append(_read_rows(path, columns, chunk, header.n_channels))
    sizes, times, units = map(np.concatenate, zip(*parts, strict=True))
    return Utterances(
        times=times,
        units=units,
        offsets=np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
        labels=header.labels[rows],
        speakers=header.speakers[rows],
        keys=header.keys,
        files=header.files[rows],
        n_channels=header.n_channels,
    )


def _read_rows(
    path: Path, columns: Columns, utterances: np.ndarray, n_channels: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read and check the spikes of some successive utterances.

    Returns how many each has, and the times and the units of all.
    """
    rows = slice(utterances[0], utterances[-1] + 1)
    times_of_rows = columns["spikes/times"][rows]
    units_of_rows = columns["spikes/units"][rows]
    sizes = np.array([len(times) for times in times_of_rows])
    n_units = np.array([len(units) for units in units_of_rows])
    _refuse(path, sizes != n_units, utterances, "times and units of different length")
    times = np.concatenate(times_of_rows)
    units = np.concatenate(units_of_rows)
    owner = np.repeat(utterances, sizes)
    is_time = (times >= 0) & (times <= LONGEST_S)  # false for NaN
    _refuse(path, ~is_time, owner, f"a time outside 0..{LONGEST_S:g} seconds")
    _check_units(path, columns, units, owner, n_channels)
    times = times.astype(_time_dtype(path, columns), copy=False)
    return sizes, times, units.astype(np.uint16, copy=False)


def _time_dtype(path: Path, columns: Columns) -> type[np.floating]:
    """Return the type of the times that are read from an open file."""
    if TIME_PRECISION_ENTRY not in columns:
        return np.float16
    precision = columns[TIME_PRECISION_ENTRY].asstr("utf-8")[()]
    if precision not in ("float16", FINE):
        raise DatasetError(
            f"{path}: {TIME_PRECISION_ENTRY} is {precision!r}, but times are read as float16 or "
            f"{FINE}. Write one of these there."
        )
    return np.float32 if precision == FINE else np.float16


def _check_units(
    path: Path, columns: Columns, units: np.ndarray, owner: np.ndarray, n_channels: int
) -> None:
    """Raise DatasetError if a unit is no channel of the file."""
    if N_CHANNELS_ENTRY not in columns and len(units) and n_channels <= units.max() < MOST_CHANNELS:
        utterance = owner[np.argmax(units)]
        raise DatasetError(
            f"{path}: utterance {utterance}: a unit outside 0..{n_channels - 1}. Correct the "
            f"program that wrote the file. If the file has more than {n_channels} channels, say "
            f"how many in {N_CHANNELS_ENTRY}, as write_shd(..., extra={{'n_channels': ...}}) does."
        )
    is_unit = (units >= 0) & (units < n_channels) & (units % 1 == 0)
    _refuse(path, ~is_unit, owner, f"a unit outside 0..{n_channels - 1}")


def _refuse(path: Path, is_wrong: np.ndarray, owner: np.ndarray, reason: str) -> None:
    """Raise DatasetError if any value is wrong; name the utterance that owns the first of them."""
    if is_wrong.any():
        utterance = owner[is_wrong][0]
        raise DatasetError(
            f"{path}: utterance {utterance}: {reason}. Correct the program that wrote the file."
        )


def check_n_channels(name: str, n_channels: int) -> None:
    """Raise DatasetError if no file can have this number of channels. Messages call it `name`."""
    if not 1 <= n_channels <= MOST_CHANNELS:
        raise DatasetError(
            f"{name} is {n_channels:,}: a file has 1 to {MOST_CHANNELS:,} channels, because units "
            "are stored in 16 bits. Correct the number, or merge neighboring channels first."
        )


# --- Writing ---------------------------------------------------------------------------------


def write_shd(
    path: str | Path,
    times: Sequence[np.ndarray],
    units: Sequence[np.ndarray],
    labels: Sequence[int],
    speakers: Sequence[int],
    keys: Sequence[str] = LANGUAGES["both"],
    extra: Mapping[str, Sequence[str] | str | int] | None = None,
) -> None:
    """Write utterances as a file in SHD layout. A crash never leaves half a file.

    Times are stored as float16, as in SHD. So they are rounded: between 1 and 2 seconds to whole
    milliseconds, and between 0.5 and 1 second to half of one. A spike near the end of a millisecond
    may then fall into the next one. ``extra={"time_precision": "float32"}`` stores finer times.

    Parameters
    ----------
    path : str or Path
        The file to write; one that is there is replaced.
    times, units : sequence of ndarray
        Spike times (seconds) and channels of each utterance.
    labels, speakers : sequence of int
        Index into `keys`, and speaker number, of each utterance.
    keys : sequence of str
        Class names.
    extra : mapping, optional
        Further entries below ``extra``:

        * ``"n_channels"``: the number of channels, 1 to 65,536, if it isn't 700.
        * ``"time_precision"``: ``"float32"`` for times that are finer than those of SHD.
        * ``"meta_info/gender"``: the gender of each speaker number.
        * ``"file"``: the name of each utterance's recording, which official SHD doesn't have.

    Raises
    ------
    DatasetError
        If `read_shd` would refuse the file: the arguments don't have one entry for each utterance,
        two classes have the same name, a name can't be that of a class, or a time, unit, label,
        speaker or number of channels is out of its range. Or if the precision is unknown.
    """
    texts = dict(extra or {})
    n_channels: Any = texts.pop("n_channels", N_CHANNELS)
    check_n_channels("n_channels", n_channels)
    time_precision = texts.pop("time_precision", "float16")
    if time_precision not in ("float16", FINE):
        raise DatasetError(f"time_precision {time_precision!r}: must be float16 or {FINE}.")
    columns = {"times": times, "units": units, "labels": labels, "speakers": speakers}
    if "file" in texts:
        columns["extra['file']"] = cast(Sequence[str], texts["file"])
    check_lengths(Path(path), {name: len(column) for name, column in columns.items()})
    checked_class_names(Path(path), keys)
    _check_spikes(Path(path), times, units, n_channels)
    _check_whole_numbers(Path(path), "label", labels, len(keys))
    _check_whole_numbers(Path(path), "speaker", speakers, MOST_NUMBERS)
    # In memory first, because HDF5 itself ends the process if the disk is full.
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        time_dtype = np.float32 if time_precision == FINE else np.float16
        _write_lists(file, "spikes/times", times, time_dtype)
        _write_lists(file, "spikes/units", units, np.uint16)
        file["labels"] = np.asarray(labels, np.uint16)
        file["extra/speaker"] = np.asarray(speakers, np.uint16)
        _write_texts(file, "extra/keys", keys)
        if n_channels != N_CHANNELS:
            file[N_CHANNELS_ENTRY] = n_channels
        if time_precision == FINE:
            file[TIME_PRECISION_ENTRY] = FINE
        for name, column in texts.items():
            _write_texts(file, f"extra/{name}", cast(Sequence[str], column))
    with atomic(path) as unfinished:
        # not `getbuffer`, after which an error here makes Python 3.12.1 crash
        unfinished.write_bytes(memory.getvalue())


def _check_spikes(
    path: Path, times: Sequence[np.ndarray], units: Sequence[np.ndarray], n_channels: int
) -> None:
    """Raise DatasetError if the spikes that are to be written can't be those of a file."""
    for number, (times_of_one, units_of_one) in enumerate(zip(times, units, strict=True)):
        seconds = np.asarray(times_of_one)
        channels = np.asarray(units_of_one)
        where = f"{path}: utterance {number}"
        if seconds.shape != channels.shape or seconds.ndim != 1:
            raise DatasetError(
                f"{where}: times of shape {seconds.shape} and units of shape {channels.shape}. "
                "Give one time and one unit for each spike."
            )
        if not ((seconds >= 0) & (seconds <= LONGEST_S)).all():  # false for NaN
            raise DatasetError(
                f"{where}: a time is negative, not finite or above {LONGEST_S:g}. Give seconds "
                "from the beginning of the utterance."
            )
        if not ((channels >= 0) & (channels < n_channels) & (channels % 1 == 0)).all():
            raise DatasetError(
                f"{where}: a unit outside 0..{n_channels - 1}. Correct it, or say how many "
                'channels there are: extra={"n_channels": ...}.'
            )


def _check_whole_numbers(path: Path, name: str, numbers: Sequence[int], n: int) -> None:
    """Raise DatasetError if one of the numbers isn't one of 0 to n - 1."""
    values = np.asarray(numbers)
    is_right = np.zeros(len(values), bool)
    if values.dtype.kind in "iuf":
        is_right = (values >= 0) & (values < n) & (values % 1 == 0)
    if not is_right.all():
        utterance = int(np.argmin(is_right))
        raise DatasetError(
            f"{path}: utterance {utterance}: the {name} is {values[utterance]}, but must be a "
            f"whole number from 0 to {n - 1}."
        )


def _write_lists(
    file: h5py.File, name: str, rows: Sequence[np.ndarray], dtype: type[np.generic]
) -> None:
    """Write a column that has a list of numbers for each utterance."""
    column = file.create_dataset(name, (len(rows),), h5py.vlen_dtype(dtype))
    for i, row in enumerate(rows):
        column[i] = np.asarray(row, dtype)


def _write_texts(file: h5py.File, name: str, texts: Sequence[str]) -> None:
    """Write a column of texts."""
    encoded = [text.encode() for text in texts]
    file[name] = np.array(encoded) if encoded else np.empty(0, "S1")
