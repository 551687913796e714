"""A folder of recorded words to a data set in SHD layout."""

import csv
import hashlib
import io
import shutil
import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numba
import numpy as np
import soundfile
from tqdm import tqdm
from tqdm.contrib.concurrent import thread_map

from shd_helpers.files import atomic
from shd_helpers.source.cochlea import LOWEST_RATE_HZ, MAX_DURATION_S, MIN_DURATION_S, encode
from shd_helpers.source.shd_file import LANGUAGES, write_shd
from shd_helpers.versions import SPIKES

SUFFIXES = (".wav", ".flac")
INSTEAD_HZ = 48_000  # recordings of too low a rate are resampled
SILENCE = 1e-3  # of full scale (-60 dB): nothing louder is no recording of a word
FULL_SCALE, CLIPPED_SHARE = 0.99, 1e-3  # more samples than that at the limit: clipped


class RecordingError(ValueError):
    """A recording that can't be used; the message names the file and the remedy."""


@dataclass(frozen=True)
class SoundFile:
    """One word of one speaker in one sound file."""

    path: Path
    label: int  # index into the class names
    speaker: str


def encode_recordings(
    folder: str | Path,
    out: str | Path,
    name: str,
    test_speakers: Collection[str],
    listing: str | Path | None = None,
    keys: Sequence[str] = LANGUAGES["both"],
    *,
    seed: int = 0,
    progress: bool = True,
) -> tuple[Path, Path]:
    """Turn a folder of recorded words into ``<name>_train.h5`` and ``<name>_test.h5``.

    Killed half-way and started again, it goes on where it was and ends with the same files: the
    spikes of each recording are kept in ``<name>_parts`` until both files are complete. They
    depend on the recording, its file name and the seed, not on the other recordings.

    Parameters
    ----------
    folder : str or Path
        Where the recordings are: wav or flac, any rate; of stereo the mean is taken. A clipped
        recording is encoded with a warning.
    out, name : str or Path, str
        Folder and first part of the names of the files to write.
    test_speakers : collection of str
        Speakers that occur only in the test file; all others only in the training file.
    listing : str or Path, optional
        CSV file with the columns ``file`` (relative to the folder), ``label`` and ``speaker``.
        Without it, every file counts and is named ``{label}_{speaker}_{take}.wav``.
    keys : sequence of str
        Class names. A label is one of them, or its index.
    seed : int
        Seed of the nerve fibres.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    tuple of Path
        Training file and test file. Speakers are numbered in alphabetical order.

    Raises
    ------
    RecordingError
        If a recording or its name can't be used, or one of the two files would be empty.
    """
    out = Path(out)
    recordings = find_recordings(folder, listing, keys)
    speakers = sorted({r.speaker for r in recordings})
    unknown = set(test_speakers) - set(speakers)
    if unknown or not test_speakers or set(test_speakers) == set(speakers):
        raise RecordingError(
            f"{folder}: test_speakers is {sorted(test_speakers)}; name at least one of the "
            f"speakers {', '.join(speakers)} and leave at least one for training."
        )
    for recording in recordings:
        check_header(recording.path)
    parts = out / f"{name}_parts"
    encoded = _encode_all([r.path for r in recordings], parts, seed, f"encoding {name}", progress)
    paths = out / f"{name}_train.h5", out / f"{name}_test.h5"
    for path, is_test in zip(paths, (False, True), strict=True):
        rows = [i for i, r in enumerate(recordings) if (r.speaker in test_speakers) == is_test]
        write_shd(
            path,
            times=[encoded[i][0] for i in rows],
            units=[encoded[i][1] for i in rows],
            labels=[recordings[i].label for i in rows],
            speakers=[speakers.index(recordings[i].speaker) for i in rows],
            keys=keys,
        )
    shutil.rmtree(parts)
    return paths


def encode_file(path: str | Path, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Turn one sound file into spikes.

    Parameters
    ----------
    path : str or Path
        A wav or flac file that holds one word. It is encoded at its own sampling rate from 24 kHz
        on; a lower rate is resampled to 48 kHz. Of stereo the mean is taken.
    seed : int
        Seed of the nerve fibres. The spikes depend on it, the file's name and its content alone.

    Returns
    -------
    times : (spikes,) float16 array
        Seconds, ascending.
    units : (spikes,) uint16 array
        0 is the base of the cochlea (highest frequency), 699 the apex.

    Raises
    ------
    RecordingError
        If the file can't be used.
    """
    path = Path(path)
    check_header(path)
    return _encode(path, seed, path.read_bytes())


def _identity(path: Path, seed: int, data: bytes) -> str:
    text = f"{path.name} {seed} {hashlib.sha256(data).hexdigest()}"
    return hashlib.sha256(text.encode()).hexdigest()


def _encode(path: Path, seed: int, data: bytes) -> tuple[np.ndarray, np.ndarray]:
    times, units = encode(*read_wave(path, data), seed=int(_identity(path, seed, data)[:16], 16))
    return times.astype(np.float16), units.astype(np.uint16)


def _encode_all(
    paths: Sequence[Path], parts: Path, seed: int, what: str, progress: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Encode sound files on all cores, keeping what is done in a folder for the next call."""

    def encode_one(path):
        data = path.read_bytes()
        part = parts / f"{_identity(path, seed, data)}_{SPIKES}.npz"
        if not part.is_file():
            times, units = _encode(path, seed, data)
            with atomic(part) as unfinished, unfinished.open("wb") as file:
                np.savez(file, times=times, units=units)
        with np.load(part) as spikes:
            return spikes["times"], spikes["units"]

    return thread_map(
        encode_one,
        paths,
        max_workers=numba.get_num_threads(),
        tqdm_class=tqdm,
        desc=what,
        disable=not progress,
    )


def find_recordings(
    folder: str | Path, listing: str | Path | None, keys: Sequence[str]
) -> list[SoundFile]:
    """List a folder's recordings by name, or those of a CSV file; see `encode_recordings`."""
    folder = Path(folder)
    if listing is None:
        if not folder.is_dir():
            raise RecordingError(f"{folder}: no such folder. Check the path.")
        paths = sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)
        rows = [(path, *_split_name(path)) for path in paths]
    else:
        try:
            with Path(listing).open(newline="", encoding="utf-8-sig") as file:
                lines = list(csv.DictReader(file))
            rows = [(folder / r["file"], r["label"].strip(), r["speaker"].strip()) for r in lines]
        except (OSError, UnicodeDecodeError, KeyError, TypeError, AttributeError) as error:
            raise RecordingError(
                f"{listing}: can't be read ({error!r}). It must be a CSV file in UTF-8 with the "
                "columns file, label and speaker."
            ) from error
    if not rows:
        raise RecordingError(f"{listing or folder}: no recordings ({' or '.join(SUFFIXES)}).")
    seen = set()
    for path, _, _ in rows:
        if path in seen:
            raise RecordingError(f"{path}: listed twice in {listing}. Remove one of the lines.")
        seen.add(path)
    return [SoundFile(path, _label(path, label, keys), speaker) for path, label, speaker in rows]


def _split_name(path: Path) -> tuple[str, str]:
    fields = path.stem.split("_")
    if len(fields) != 3 or not all(fields):
        raise RecordingError(
            f"{path}: the name is not {{label}}_{{speaker}}_{{take}}{path.suffix}. Rename it, or "
            "list the files in a CSV file (`listing`)."
        )
    return fields[0], fields[1]


def _label(path: Path, label: str, keys: Sequence[str]) -> int:
    if label in keys:
        return list(keys).index(label)
    if label.isdecimal() and int(label) < len(keys):
        return int(label)
    raise RecordingError(
        f"{path}: unknown label {label!r}. Use one of {', '.join(keys)}, or its index; or pass "
        "your own class names as `keys`."
    )


def check_header(path: Path) -> None:
    """Raise RecordingError if a file is no audio, holds 0 samples or is no single word."""
    try:
        info = soundfile.info(path)
    except (OSError, soundfile.SoundFileError) as error:
        raise RecordingError(
            f"{path}: no audio that can be read ({error}). Replace or remove it."
        ) from error
    duration_s = info.frames / info.samplerate
    if not MIN_DURATION_S <= duration_s <= MAX_DURATION_S:
        raise RecordingError(
            f"{path}: {info.frames} samples, {duration_s:.3g} s; a word takes {MIN_DURATION_S:g} "
            f"to {MAX_DURATION_S:g} s. Cut longer recordings into words, remove empty ones."
        )


def read_wave(path: Path, data: bytes | None = None) -> tuple[np.ndarray, int]:
    """Read a sound file (or its content) as mono; see `encode_file` for the rules.

    Returns
    -------
    wave : (samples,) float array
        Sound.
    rate_hz : int
        Its sampling rate, 24 kHz or more.
    """
    try:
        source = path if data is None else io.BytesIO(data)
        wave, rate_hz = soundfile.read(source, always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise RecordingError(
            f"{path}: damaged ({error}). Record or copy it again, or remove it."
        ) from error
    wave = wave.mean(axis=1)
    if not np.isfinite(wave).all():
        raise RecordingError(f"{path}: holds values that are not finite. Export it again.")
    if np.abs(wave).max() < SILENCE:
        raise RecordingError(
            f"{path}: silent (nothing above {SILENCE:g} of full scale; of stereo the mean counts). "
            "Record it again or remove it."
        )
    if np.mean(np.abs(wave) >= FULL_SCALE) > CLIPPED_SHARE:
        warnings.warn(f"{path}: clipped; encoded as it is. Record it softer.", stacklevel=2)
    if rate_hz >= LOWEST_RATE_HZ:
        return wave, rate_hz
    from scipy.signal import resample_poly  # takes 0.4 s to import

    return resample_poly(wave, INSTEAD_HZ, rate_hz), INSTEAD_HZ
