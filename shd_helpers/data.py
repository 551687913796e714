"""Get a data set by name: download it, make it, or find it in a folder.

A data set is a pair of files in the layout of the Spiking Heidelberg Digits: the training file and
the test file. `obtain` returns their paths and `fingerprint` identifies their content.
"""

import json
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from shd_corpus.checks import DatasetError, check_choice, listed
from shd_corpus.encoders import CHANNELS, COCHLEA, encoder_folder
from shd_corpus.files import exclusive, made_once, sha256
from shd_corpus.shd_file import FILES, N_CHANNELS, channels_of, write_shd
from shd_corpus.shd_layout import content_hash
from shd_helpers.paths import PACKAGE, data_dir, resolve

# MD5 of the official HDF5 files, and of the zip files that hold them, as public loaders check them.
SHD_MD5 = {
    "shd_train.h5": "8e9877c85f29a28dd353ea6a54402667",
    "shd_train.h5.zip": "f3252aeb598ac776c1b526422d90eecb",
    "shd_test.h5": "207ad1295a0ab611e22d1734989c254e",
    "shd_test.h5.zip": "1503a5064faa34311c398fb0a1ed0a6f",
}
SUFFIXES = (".h5", ".h5.gz", ".h5.zip")
NAMED = ("digits", "hd", "commands", "shd")  # all other data sets are folders
DIGITS = PACKAGE / "digits"  # the folder of the data set that the package carries
DISTANCE = np.dtype("<u4")  # of an entry from the entry before, in a file of `digits`


def obtain(dataset: str, encoder: str = COCHLEA) -> tuple[Path, Path]:
    """Find, unpack, make or download the two files of a data set.

    The recordings of `digits`, `hd` and `commands` can be encoded in another way, and a folder may
    have recordings that were.
    """
    check_choice("encoder", encoder, tuple(CHANNELS))
    folder = data_dir() / dataset
    if dataset == "digits":
        return _unpacked(encoder_folder(folder, encoder), encoder)
    if dataset == "hd":
        from shd_corpus.heidelberg import download_heidelberg

        train, test = download_heidelberg(folder, encoder)
        return train, test
    if dataset == "commands":
        from shd_corpus.speech_commands import download_commands

        train, test = download_commands(folder, encoder)
        return train, test
    if dataset == "shd" and encoder == COCHLEA:
        return _official("shd_train"), _official("shd_test")
    if dataset != "shd":
        files = _only_pair(resolve(dataset))
        if encoder == COCHLEA or channels_of(files[0]) == CHANNELS[encoder]:
            return files
    raise DatasetError(
        f"encoder {encoder!r}: {dataset} wasn't encoded so. Choose digits, hd or commands, or "
        "encode recordings of your own with encode_recordings(..., "
        "options=RecordingOptions(encoder=...))."
    )


def n_channels_of(dataset: str, encoder: str = COCHLEA) -> int:
    """Return the number of channels of a data set, without making or downloading it."""
    if dataset in NAMED or not resolve(dataset).is_dir():
        return CHANNELS.get(encoder, N_CHANNELS)
    train, _ = obtain(dataset)
    return channels_of(train)


def _only_pair(folder: Path) -> tuple[Path, Path]:
    """Return the training file and the test file of a folder, which must hold one such pair."""
    if not folder.is_dir():
        raise DatasetError(
            f"{folder}: no such folder. Set `dataset` to {', '.join(NAMED)} or a folder that holds "
            "<name>_train.h5 and <name>_test.h5. A relative path counts from the repository root."
        )
    names = {path.name.rpartition("_train.h5")[0] for path in folder.glob("*_train.h5*")}
    halves = [
        (_packed_or_not(folder / f"{name}_train"), _packed_or_not(folder / f"{name}_test"))
        for name in sorted(names)
    ]
    pairs = [(train, test) for train, test in halves if train and test]
    if not pairs:
        there = sorted(path.name for path in folder.glob("*.h5*"))
        raise DatasetError(
            f"{folder}: needs two files, <name>_train.h5 and <name>_test.h5 (or .h5.gz, .h5.zip), "
            f"and has {listed(there) or 'none'}. Check the path, or put both files into the folder."
        )
    if len(pairs) > 1:
        raise DatasetError(
            f"{folder}: {len(pairs)} pairs of files <name>_train.h5 and <name>_test.h5 (or .h5.gz, "
            f".h5.zip) found: {', '.join(map(dataset_name, pairs))}. Keep one pair in a folder."
        )
    return pairs[0]


def dataset_name(files: tuple[Path, Path]) -> str:
    """Return the name of a data set for figures and tables."""
    return files[0].name.rpartition("_train")[0]


def fingerprint(files: tuple[Path, Path]) -> dict[str, str]:
    """Return a data set's name and the SHA-256 of its files, which identify what a run trains on.

    Only the bytes of the HDF5 files count. Packing them as ``.gz`` or ``.zip`` changes nothing.
    """
    return {
        "name": dataset_name(files),
        "train_sha256": content_hash(files[0]),
        "test_sha256": content_hash(files[1]),
    }


class PackedEvents(NamedTuple):
    """Utterances on a grid of milliseconds and channels.

    An entry is ``millisecond * 700 + channel``. Each occurs once in an utterance, ascending.
    """

    entries: Sequence[np.ndarray]  # of each utterance
    labels: Sequence[int]
    speakers: Sequence[int]
    files: Sequence[str]  # names of the recordings


def read_packed(path: Path) -> PackedEvents:
    """Read a file of `digits`: distances of entries, packed by LZMA.

    Their bytes are ordered by significance. docs/formats.md describes such files.
    """
    content = lzma.decompress(path.read_bytes())
    first_line, _, packed = content.partition(b"\n")
    header = json.loads(first_line)
    by_significance = np.frombuffer(packed, np.uint8).reshape(DISTANCE.itemsize, -1)
    distances = np.ascontiguousarray(by_significance.T).view(DISTANCE)[:, 0]
    ends = np.cumsum(header["events"])[:-1]
    entries = [np.cumsum(of_one, dtype=np.int64) for of_one in np.split(distances, ends)]
    return PackedEvents(entries, header["labels"], header["speakers"], header["files"])


def _unpacked(folder: Path, encoder: str) -> tuple[Path, Path]:
    """Unpack the package's own data set into a folder, once."""
    prefix = "digits" if encoder == COCHLEA else encoder
    packed = [DIGITS / f"{prefix}_{name}.xz" for name in FILES]
    train, test = (folder / f"digits_{name}.h5" for name in FILES)
    content = json.dumps({path.name: sha256(path) for path in packed}) + "\n"

    def read() -> list[PackedEvents]:
        return [read_packed(path) for path in packed]

    def write(both: list[PackedEvents]) -> None:
        for path, events in zip((train, test), both, strict=True):
            milliseconds, units = zip(
                *(np.divmod(entries, N_CHANNELS) for entries in events.entries), strict=True
            )
            times = [(of_one + 0.5) / 1000 for of_one in milliseconds]  # the middle of each
            extra: Any = {"file": events.files, "n_channels": CHANNELS[encoder]}
            write_shd(path, times, units, events.labels, events.speakers, extra=extra)

    made_once((train, test), folder / "digits.json", content, read, write)
    return train, test


def _packed_or_not(path: Path) -> Path | None:
    """Return the HDF5 file of a path without suffix, packed or not; None if there is none."""
    files = (path.with_name(path.name + suffix) for suffix in SUFFIXES)
    return next(filter(Path.is_file, files), None)


def _official(name: str) -> Path:
    """Return an official file. Download it if it is missing, and check its hash each time."""
    folder = data_dir() / "shd"
    path = _packed_or_not(folder / name)
    if path is None:
        from shd_corpus.download import download

        with exclusive(folder):
            zipped = f"{name}.h5.zip"
            path = _packed_or_not(folder / name)  # another process may have just downloaded it
            return path or download(zipped, folder, f"md5:{SHD_MD5[zipped]}")
    actual = content_hash(path, "md5")
    expected = SHD_MD5[f"{name}.h5"]
    if actual != expected:
        raise DatasetError(
            f"{path}: has the MD5 {actual}, but the official file has {expected}. Remove it, and "
            "it is downloaded again. If you trust it, name its folder as the data set: "
            f"DATASET={str(folder)!r}."
        )
    return path
