"""Read, check and write the layout of the Spiking Heidelberg Digits (SHD).

The layout is described in Cramer, Stradmann, Schemmel, Zenke (2022), "The Heidelberg Spiking Data
Sets for the Systematic Evaluation of Spiking Neural Networks", IEEE TNNLS 33(7).
"""

import gzip
import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from shd_helpers.files import atomic

N_CHANNELS = 700
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

    def __len__(self) -> int:
        """Return the number of utterances."""
        return len(self.labels)

    def spikes(self, i: int) -> tuple[np.ndarray, np.ndarray]:
        """Return times (seconds, float64) and units of utterance `i`, each of shape (spikes,)."""
        part = slice(self.offsets[i], self.offsets[i + 1])
        return self.times[part].astype(np.float64), self.units[part]


def read_shd(path: str | Path) -> Utterances:
    """Read and check one file in SHD layout.

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
        file, the utterance and the remedy. The file itself is never changed.
    """
    path = Path(path)
    try:
        with h5py.File(_open(path), "r") as file:
            missing = [k for k in _LAYOUT if k not in file]
            if missing:
                raise DatasetError(
                    f"{path}: {', '.join(missing)} missing. SHD layout needs {', '.join(_LAYOUT)}; "
                    "write the file with shd_helpers.source.shd_file.write_shd."
                )
            times, sizes = _concatenate(file["spikes/times"], np.float16)
            units, n_units = _concatenate(file["spikes/units"], np.int64)
            labels = file["labels"][:].astype(np.int64)
            speakers = file["extra/speaker"][:].astype(np.int64)
            keys = tuple(_text(key) for key in file["extra/keys"][:])
    except FileNotFoundError:
        raise DatasetError(
            f"{path}: no such file. Check `dataset`, or get the file again."
        ) from None
    except (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError) as error:
        raise DatasetError(
            f"{path}: not a complete HDF5 file ({error}). Copy or download it again."
        ) from error
    _check(path, times, units, sizes, n_units, labels, speakers, keys)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return Utterances(times, units.astype(np.uint16), offsets, labels, speakers, keys)


_LAYOUT = ("spikes/times", "spikes/units", "labels", "extra/keys", "extra/speaker")


def _open(path: Path) -> Path | io.BytesIO:
    """Unpack in memory: no second file on the disk that a crash could leave half-written."""
    if path.suffix == ".gz":
        with gzip.open(path) as file:
            return io.BytesIO(file.read())
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.endswith(".h5")]
            if len(members) != 1:
                raise DatasetError(f"{path}: {len(members)} .h5 files inside; one is needed.")
            return io.BytesIO(archive.read(members[0]))
    return path


def _concatenate(dataset: h5py.Dataset, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Join variable-length rows, read in slices (row by row is slow); return rows and lengths."""
    rows = [row for i in range(0, len(dataset), 512) for row in dataset[i : i + 512]]
    sizes = np.array([len(row) for row in rows], dtype=np.int64)
    return np.concatenate([np.empty(0, dtype), *rows]).astype(dtype, copy=False), sizes


def _text(key: bytes | str) -> str:
    text = key.decode("utf-8") if isinstance(key, bytes) else str(key)
    return text.lower().replace("ü", "ue")


def _check(path, times, units, n_times, n_units, labels, speakers, keys) -> None:
    if not len(n_times) == len(n_units) == len(labels) == len(speakers):
        raise DatasetError(
            f"{path}: {len(n_times)} rows of times, {len(n_units)} of units, {len(labels)} labels "
            f"and {len(speakers)} speakers; each utterance needs one of each."
        )
    owner = np.repeat(np.arange(len(n_times)), n_times)  # utterance of each spike
    rules = [
        (n_times != n_units, None, "times and units of different length; drop or mend it"),
        (~np.isfinite(times), owner, "a time that is not finite; times are seconds"),
        (times < 0, owner, "a negative time; times are seconds from the start of the utterance"),
        ((units < 0) | (units >= N_CHANNELS), owner, f"a unit outside 0..{N_CHANNELS - 1}"),
        ((labels < 0) | (labels >= len(keys)), None, "a label without a name in extra/keys"),
    ]
    for broken, utterance_of, reason in rules:
        if broken.any():
            where = np.flatnonzero(broken)[0]
            utterance = where if utterance_of is None else utterance_of[where]
            raise DatasetError(
                f"{path}: utterance {utterance}: {reason}. Correct the program that wrote the "
                f"file ({np.count_nonzero(broken)} such entries)."
            )


def language_classes(keys: Sequence[str], language: str) -> dict[int, int]:
    """Map a file's labels to the classes 0, 1, ... of a language, by class name.

    Parameters
    ----------
    keys : sequence of str
        The file's class names, in the order of its labels.
    language : str
        ``"english"``, ``"german"`` or ``"both"``.

    Returns
    -------
    dict of int to int
        Class (index into ``LANGUAGES[language]``) of each label; other labels are absent.

    Raises
    ------
    DatasetError
        If the language is unknown or one of its words is not in `keys`.
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
    gender: Sequence[str] | None = None,
) -> None:
    """Write utterances in SHD layout, atomically.

    Parameters
    ----------
    path : str or Path
        The HDF5 file.
    times, units : sequence of ndarray
        Spike times (seconds) and cochlea channels of each utterance.
    labels, speakers : sequence of int
        Index into `keys` and speaker number of each utterance.
    keys : sequence of str
        Class names.
    gender : sequence of str, optional
        Gender of each speaker number, as ``extra/meta_info/gender``.
    """
    with atomic(path) as part, h5py.File(part, "w") as file:
        for name, rows, dtype in (("times", times, np.float16), ("units", units, np.uint16)):
            data = file.create_dataset(f"spikes/{name}", (len(rows),), h5py.vlen_dtype(dtype))
            for i, row in enumerate(rows):
                data[i] = np.asarray(row, dtype)
        file["labels"] = np.asarray(labels, np.uint16)
        file["extra/speaker"] = np.asarray(speakers, np.uint16)
        file["extra/keys"] = np.array([key.encode() for key in keys])
        if gender is not None:
            file["extra/meta_info/gender"] = np.array([text.encode() for text in gender])
