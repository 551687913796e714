"""Reduce a data set to one spike for each bin and channel, as some published spikes are.

The official SHD test utterances are in public repositories at a resolution of 10 ms: a channel
either has spiked within a bin, or it hasn't. A network that is to classify them must have trained
on spikes of the same kind. `reduce_data_set` makes such a data set of any other one. It is a data
set of its own: its files have another content, and thereby another hash.
"""

from pathlib import Path

import numpy as np

from shd_helpers.checks import check_number
from shd_helpers.data.datasets import dataset_name, locate
from shd_helpers.data.names import FILES, MOST_COPIES, SUFFIXES, copy_name
from shd_helpers.data.shd_file import DatasetError, read_in_slices, write_shd


def reduced(times: np.ndarray, units: np.ndarray, bin_ms: float) -> tuple[np.ndarray, np.ndarray]:
    """Keep one spike for each bin and channel that has any, in the middle of the bin.

    Parameters
    ----------
    times : ndarray
        Seconds, 0 or later, (spikes,).
    units : ndarray
        Channels, (spikes,).
    bin_ms : float
        Length of a bin, milliseconds. Bins begin at 0.

    Returns
    -------
    times : ndarray
        The middles of bins, in seconds, ascending, float64 (pairs,).
    units : ndarray
        Channels, ascending within a bin, uint16 (pairs,).
    """
    # The times of a file are float16, whose products with 1000 are exact in float64.
    bins = np.floor(times.astype(np.float64) * 1000 / bin_ms).astype(np.int64)
    pairs = np.unique(np.stack([bins, units.astype(np.int64)]), axis=1)
    return (pairs[0] + 0.5) * bin_ms / 1000, pairs[1].astype(np.uint16)


def reduce_data_set(dataset: str, folder: Path, bin_ms: float = 10.0) -> list[Path]:
    """Write a data set, and its augmented copies, reduced to one spike for each bin and channel.

    Utterances keep their rows, labels and speakers. The files are called after the data set and the
    bin, such as ``hd_10ms_train.h5``, and files that are there are replaced.

    Parameters
    ----------
    dataset : str
        As for `datasets.locate`. Its augmented copies are those that are beside its files.
    folder : Path
        Where the files are written. It must not be the folder of the data set itself.
    bin_ms : float
        Length of a bin, milliseconds.

    Returns
    -------
    list of Path
        The files that were written, the training file and the test file first.

    Raises
    ------
    DatasetError
        If the data set can't be found or read, or the folder is its own.
    ValueError
        If the length of a bin is not between 1 and 1000 ms.
    """
    check_number("bin_ms", bin_ms, 1, 1000)
    files = locate(dataset)
    if folder.resolve() == files[0].parent.resolve():
        raise DatasetError(
            f"{folder}: is the folder of {dataset} itself, which would then hold two data sets. "
            "Name another folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    name = dataset_name(files)
    new_name = f"{name}_{bin_ms:g}ms"
    written = []
    for copy in range(MOST_COPIES + 1):
        for number, ending in enumerate(FILES):
            source: Path | None = files[number]
            if copy > 0:
                source = _copy_of(files[number], name, copy, ending)
            if source is not None:
                target = folder / f"{copy_name(new_name, copy)}_{ending}.h5"
                _reduce_file(source, target, bin_ms)
                written.append(target)
    return written


def _copy_of(original: Path, name: str, copy: int, ending: str) -> Path | None:
    """Return the file of an augmented copy beside the original one; None if there is none."""
    for suffix in SUFFIXES:
        path = original.with_name(f"{copy_name(name, copy)}_{ending}{suffix}")
        if path.is_file():
            return path
    return None


def _reduce_file(source: Path, target: Path, bin_ms: float) -> None:
    """Write one file reduced."""
    times = []
    units = []
    labels = []
    speakers = []
    recordings: list[str] = []
    keys: tuple[str, ...] = ()
    extra: dict = {}
    for utterances in read_in_slices(source):
        keys = utterances.keys  # the same in each slice, like the number of channels
        extra["n_channels"] = utterances.n_channels
        for i in range(len(utterances)):
            own_times, own_units = reduced(*utterances.spikes(i), bin_ms)
            times.append(own_times.astype(np.float16))
            units.append(own_units)
        labels += utterances.labels.tolist()
        speakers += utterances.speakers.tolist()
        recordings += utterances.files
    if recordings:
        extra["file"] = recordings
    write_shd(target, times, units, labels, speakers, keys, extra)
