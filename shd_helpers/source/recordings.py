"""A folder of recorded words to a data set in SHD layout."""

import csv
import hashlib
import re
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from shd_helpers.checks import check_path, check_whole, quoted
from shd_helpers.files import atomic, read_npz, reading
from shd_helpers.source.cochlea import encode
from shd_helpers.source.download import exclusive
from shd_helpers.source.shd_file import LANGUAGES, write_shd
from shd_helpers.source.sound_file import RecordingError, check_header, read_wave, sound_hash
from shd_helpers.source.threads import on_all_cores
from shd_helpers.versions import SPIKES

SUFFIXES = (".wav", ".flac")
PART = re.compile(r"[0-9a-f]{64}_\d+\.npz(\..*\.part)?")  # spikes of one recording, kept


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
        If a recording or its name can't be used, two recordings are the same sound, or one of the
        two files would be empty. ValueError, if a path is none or the seed no whole number from 0.
    """
    _check_settings(name, test_speakers, keys)
    check_whole("seed", seed, 0)
    for what, path in (("folder", folder), ("out", out), ("listing", listing or folder)):
        check_path(what, path)
    recordings = find_recordings(folder, listing, keys)
    speakers = sorted({r.speaker for r in recordings})
    unknown = set(test_speakers) - set(speakers)
    if unknown or not test_speakers or set(test_speakers) == set(speakers):
        raise RecordingError(
            f"{folder}: test_speakers is {sorted(test_speakers)}; name at least one of the "
            f"speakers {', '.join(speakers)} and leave at least one for training."
        )
    out, paths = Path(out), [r.path for r in recordings]
    _check_sounds(paths)
    parts, pair = out / f"{name}_parts", (out / f"{name}_train.h5", out / f"{name}_test.h5")
    with exclusive(out, f".{name}.lock"):
        encoded = encode_files(paths, parts, seed, f"encoding {name}", progress)
        rows = [
            (*spikes, recording.label, speakers.index(recording.speaker))
            for spikes, recording in zip(encoded, recordings, strict=True)
        ]
        is_test = [recording.speaker in test_speakers for recording in recordings]
        _write_pair(pair, rows, is_test, keys)
        for part in [path for path in parts.iterdir() if PART.fullmatch(path.name)]:
            part.unlink(missing_ok=True)
        with suppress(OSError):  # something else is in it
            parts.rmdir()
    return pair


def _write_pair(
    pair: tuple[Path, Path], rows: Sequence[tuple], is_test: Sequence[bool], keys: Sequence[str]
) -> None:
    """Write training and test file; at no time does one of them stand beside an older other one."""
    with atomic(pair[0]) as new_train, atomic(pair[1]) as new_test:
        for path, wanted in ((new_train, False), (new_test, True)):
            chosen = [row for row, test in zip(rows, is_test, strict=True) if test == wanted]
            times, units, labels, speakers = zip(*chosen, strict=True)
            write_shd(path, times, units, labels, speakers, keys)
        pair[0].unlink(missing_ok=True)


def _check_settings(name: str, test_speakers: Collection[str], keys: Sequence[str]) -> None:
    for what, values in (("test_speakers", test_speakers), ("keys", keys)):
        if isinstance(values, str) or not isinstance(values, Collection):
            raise RecordingError(f"{what} {values!r}: must be a list, such as [{values!r}].")
        if not all(isinstance(value, str) for value in values):
            raise RecordingError(f"{what} {values!r}: must be texts.")
    if len(set(keys)) < len(keys):
        raise RecordingError(f"keys {', '.join(keys)}: a class name stands twice. Remove one.")
    if not isinstance(name, str) or not re.fullmatch(r"\w[\w.,=+-]{0,199}", name):
        raise RecordingError(
            f"name {quoted(name)}: must be of letters, digits and _ . , = + - only, 200 at most."
        )


def _check_sounds(paths: Sequence[Path]) -> None:
    """Raise RecordingError if a sound file can't be used, or two hold the same sound."""
    first: dict[str, Path] = {}
    for path in paths:
        check_header(path)
    for path in paths:
        same = first.setdefault(sound_hash(path), path)
        if same is not path:
            raise RecordingError(f"{path}: the same sound as {same}. Remove one of the two.")


def encode_files(
    paths: Sequence[Path], parts: Path, seed: int = 0, what: str = "encoding", progress: bool = True
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Encode sound files on all cores; killed half-way and called again, go on where it was.

    Parameters
    ----------
    paths : sequence of Path
        The sound files.
    parts : Path
        Folder that keeps the spikes of each file that is done, for the next call; the caller
        removes it.
    seed : int
        Seed of the nerve fibres.
    what, progress : str, bool
        Text of the progress bar, and whether to show it.

    Returns
    -------
    list of tuple
        Times and units of each file, as `encode_file` returns them.

    Raises
    ------
    RecordingError
        If a file can't be used.
    """

    def encode_one(path):
        data = path.read_bytes()
        part = parts / f"{_identity(path, seed, data)}_{SPIKES}.npz"
        spikes = _read_part(part)
        if spikes is None:
            spikes = _encode(path, seed, data)
            with atomic(part) as unfinished, unfinished.open("wb") as file:
                np.savez(file, times=spikes[0], units=spikes[1])
        return spikes

    return on_all_cores(encode_one, paths, what, progress)


def _read_part(part: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the spikes that a part keeps; None where it is missing or damaged."""
    try:
        with reading(part, RecordingError, "It is made again."):
            kept = read_npz(part)
            times, units = kept["times"], kept["units"]
    except RecordingError:
        return None
    right = times.dtype == np.float16 and units.dtype == np.uint16 and times.ndim == 1
    return (times, units) if right and times.shape == units.shape else None


def encode_file(path: str | Path, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Turn one sound file into spikes.

    Parameters
    ----------
    path : str or Path
        A wav or flac file that holds one word. Any rate but 48 kHz is resampled to it, for the
        cochlea's spikes depend on the rate. Of stereo the mean is taken; the sound's mean is taken
        away where it is more than 2 % of the root mean square.
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
            if Path(listing).exists() and not Path(listing).is_file():
                raise OSError("not a file")
            with Path(listing).open(newline="", encoding="utf-8-sig") as file:
                lines = list(csv.DictReader(file))
            rows = [(folder / r["file"], r["label"].strip(), r["speaker"].strip()) for r in lines]
        except (OSError, csv.Error, ValueError, KeyError, TypeError, AttributeError) as error:
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
