"""The data set `hd`: the Heidelberg Digits, the recordings behind SHD, made into spikes as SHD was.

Source: Cramer, Stradmann, Schemmel, Zenke (2022), "The Heidelberg Spiking Data Sets for the
Systematic Evaluation of Spiking Neural Networks", IEEE TNNLS 33(7); CC BY 4.0.
"""

import gzip
import hashlib
import json
import re
import shutil
import tarfile
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

from shd_helpers.data.download import download, exclusive
from shd_helpers.data.names import PARTS, copy_name, older_path
from shd_helpers.data.recordings import RecordingError, encode_files
from shd_helpers.data.shd_file import DatasetError, write_shd
from shd_helpers.files import atomic, sha256
from shd_helpers.versions import SPIKES, WAVEFORMS

NAME = re.compile(r"lang-(english|german)_speaker-(\d\d)_trial-\d+_digit-(\d)")


# What the archive holds: its lists name the recordings of the two files in their order, each once.
ARCHIVE = "hd_audio.tar.gz"
LISTS = {"train_filenames.txt": 8156, "test_filenames.txt": 2264}  # names in each
# of the sorted lines "name sha256\n" of all recordings
# Repacked by hand its bytes are others, so what it holds is checked, not its own hash; before it is
# unpacked, that it isn't far more: the recordings have 323 MB in 10,420 files.
MOST_BYTES, MOST_MEMBERS = 2 * 10**9, 30_000
RECORDINGS_SHA256 = "d4f5028889bbaf465ee8002b851b5af457d62d9af9572526f123189ee4d663e8"


def make_heidelberg(folder: Path, copy: int = 0, parts: Sequence[int] = (0, 1)) -> list[Path]:
    """Make ``hd_train.h5`` and ``hd_test.h5`` from the recordings, unless the folder holds them.

    Killed at any time and called again, it takes what it has: the archive, which stays in the
    folder or is put there by hand, and the spikes of each recording that was encoded. Of two
    processes at once, one waits. ``hd.json``, written last, says how the files were made.

    A changed `copy` (from 1) has row by row the same recordings, each changed in its own way; it is
    made of one of the `parts` (0 trains, 1 tests) at a time. DatasetError names file and remedy, if
    the archive can't be had or holds something else.
    """
    paths = [folder / f"{copy_name('hd', copy)}_{PARTS[part]}.h5" for part in parts]
    receipt = paths[0].with_suffix(".json") if copy else folder / "hd.json"
    unfinished = folder / "unfinished"
    how = {"spikes": SPIKES, "recordings_sha256": RECORDINGS_SHA256}
    made = json.dumps(how | ({"changes": WAVEFORMS} if copy else {})) + "\n"

    def is_done() -> bool:
        done = receipt.is_file() and receipt.read_text(encoding="utf-8") == made
        return done and all(path.is_file() for path in paths)

    if is_done():
        return paths
    with exclusive(folder):
        if copy:
            _rename_older([receipt, *paths])
        if is_done():  # by another process, while this one waited, or by an older version
            return paths
        for path in (receipt, *paths):
            path.unlink(missing_ok=True)
        packed = folder / ARCHIVE
        if not packed.is_file():
            download(ARCHIVE, folder, None)
        recordings = _unpack(packed, unfinished / "audio")
        lists = _read_lists(folder, unfinished / "audio", recordings)
        listed = [lists[part] for part in parts]
        sounds = [recordings[name] for names in listed for name in names]
        what = f"encoding {receipt.stem}"
        try:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", ".*clipped")  # nobody can record them softer
                spikes = encode_files(sounds, unfinished / "spikes", 0, what, copy)
        except RecordingError as error:
            raise DatasetError(f"{error} It is part of {packed}.") from error
        for path, names in zip(paths, listed, strict=True):
            _write(path, names, spikes[: len(names)])
            del spikes[: len(names)]
        with atomic(receipt) as part:
            part.write_text(made, encoding="utf-8")
        shutil.rmtree(unfinished)
    return paths


def _rename_older(paths: Sequence[Path]) -> None:
    """Give files of augmented copies, which an older version of the study has made, their names."""
    for path in paths:
        older = older_path(path)
        if older.is_file() and not path.exists():
            older.rename(path)


def _unpack(packed: Path, audio: Path) -> dict[str, Path]:
    """Return the recordings by name, checked."""
    remedy = "Remove it and start again, or set SHD_BASE_URL to another site before."
    shutil.rmtree(audio, ignore_errors=True)
    try:
        with tarfile.open(packed) as tar:
            _check_size(tar, packed, remedy)
        with tarfile.open(packed) as tar:
            tar.extractall(audio, filter="data")  # nothing outside of the folder
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        why = type(error).__name__
        raise DatasetError(f"{packed}: not a complete archive ({why}). {remedy}") from error
    paths = [p for p in audio.rglob("*.flac") if not p.name.startswith("._")]  # from macOS
    lines = sorted(f"{path.name} {sha256(path)}\n" for path in paths)
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    if digest != RECORDINGS_SHA256:
        raise DatasetError(
            f"{packed}: holds {len(paths)} recordings with the SHA-256 {digest} over their names "
            f"and hashes; {sum(LISTS.values())} with {RECORDINGS_SHA256} were expected. {remedy}"
        )
    return {path.name: path for path in paths}


def _check_size(tar: tarfile.TarFile, packed: Path, remedy: str) -> None:
    """Raise DatasetError if an archive would unpack to far more than the recordings.

    A member's size is read before its content, which may be packed a thousandfold.
    """
    n_bytes = 0
    for number, member in enumerate(tar, start=1):
        n_bytes += member.size
        if n_bytes > MOST_BYTES or number > MOST_MEMBERS:
            raise DatasetError(
                f"{packed}: unpacks to more than {MOST_BYTES:,} bytes or {MOST_MEMBERS:,} files, "
                f"which the recordings don't have. {remedy}"
            )


def _read_lists(folder: Path, audio: Path, recordings: dict[str, Path]) -> list[list[str]]:
    """Return the names of the training file's recordings and of the test file's, in their order."""
    lists = []
    for file_name in LISTS:
        found = [p for p in (folder / file_name, *audio.rglob(file_name)) if p.is_file()]
        text = found[0].read_text(errors="replace") if found else ""
        lists.append([f"{name[0]}.flac" for name in NAME.finditer(text)])
    sizes = [len(names) for names in lists]
    if sizes != [*LISTS.values()] or sorted(lists[0] + lists[1]) != sorted(recordings):
        raise DatasetError(
            f"{folder / ARCHIVE}: {' and '.join(LISTS)} are not the official lists: they name "
            f"{sizes[0]} + {sizes[1]} recordings instead of {' + '.join(map(str, LISTS.values()))},"
            f" or not each once. Put the official lists into {folder} and start again."
        )
    return lists


def _write(path: Path, names: list[str], spikes: list[tuple]) -> None:
    times, units = zip(*spikes, strict=True)
    languages, speakers, digits = zip(*(NAME.match(name).groups() for name in names), strict=True)  # type: ignore[union-attr]
    labels = [
        10 * (language == "german") + int(digit)
        for language, digit in zip(languages, digits, strict=True)
    ]
    write_shd(path, times, units, labels, list(map(int, speakers)), files=names)
