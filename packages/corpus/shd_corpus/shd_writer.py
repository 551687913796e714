"""Write files in the layout of the Spiking Heidelberg Digits (SHD): see `shd_file`."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np

from shd_corpus.class_names import LANGUAGES, checked_class_names
from shd_corpus.dataset_error import DatasetError
from shd_corpus.files import atomic
from shd_corpus.shd_file import (
    FINE,
    LONGEST_S,
    MOST_NUMBERS,
    N_CHANNELS,
    N_CHANNELS_ENTRY,
    TIME_PRECISION_ENTRY,
    check_n_channels,
)


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
    _check_one_for_each(Path(path), columns)
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
        unfinished.write_bytes(memory.getbuffer())


def _check_one_for_each(path: Path, columns: Mapping[str, Sequence]) -> None:
    """Raise DatasetError if a file's columns aren't equally long."""
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{length} {name}" for name, length in lengths.items())
        raise DatasetError(f"{path}: {listed}. Give one of each for every utterance.")


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
