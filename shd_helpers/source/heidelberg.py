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
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np
import requests

from shd_helpers.files import atomic, sha256
from shd_helpers.source.download import TIMEOUT_S, download, exclusive, sites
from shd_helpers.source.recordings import RecordingError, encode_file
from shd_helpers.source.shd_file import DatasetError, read_shd, write_shd
from shd_helpers.source.threads import on_all_cores
from shd_helpers.versions import SPIKES

CHUNK = 20  # recordings whose spikes are kept in one file until all are done
NAME = re.compile(r"lang-(english|german)_speaker-(\d\d)_trial-\d+_digit-(\d)\.flac")


@dataclass(frozen=True)
class Archive:
    """What an archive of recordings must hold, each of them in one of its two lists.

    The lists ``train_filenames.txt`` and ``test_filenames.txt`` name the recordings of the two
    files in their order.
    """

    name: str  # of the file at the site
    n_train: int  # recordings in train_filenames.txt
    n_test: int  # in test_filenames.txt
    n_bytes: int  # of all recordings
    sha256: str  # of the sorted lines "name sha256\\n" of all recordings
    test_only: tuple[int, ...]  # speakers that train_filenames.txt must not name


HD_AUDIO = Archive(
    name="hd_audio.tar.gz",
    n_train=8156,
    n_test=2264,
    n_bytes=337_505_409,
    sha256="d4f5028889bbaf465ee8002b851b5af457d62d9af9572526f123189ee4d663e8",
    test_only=(4, 5),
)


def make_heidelberg(folder: Path, archive: Archive, progress: bool = True) -> tuple[Path, Path]:
    """Make ``hd_train.h5`` and ``hd_test.h5`` from the recordings, unless the folder holds them.

    Killed at any time and called again, it goes on where it was: the download after its last byte,
    the encoding after the last `CHUNK` recordings. Of two processes at once, one waits.

    Parameters
    ----------
    folder : Path
        Where the files go, and ``hd.json``, written last, which says how they were made. The
        archive stays there, or is put there by hand.
    archive : Archive
        What to download and what it must hold: `HD_AUDIO`.
    progress : bool
        Whether to show progress bars.

    Returns
    -------
    tuple of Path
        Training file and test file in SHD layout, with the names of the recordings.

    Raises
    ------
    DatasetError
        If the archive can't be had or holds something else; the message names file and remedy.
    """
    train, test = folder / "hd_train.h5", folder / "hd_test.h5"
    receipt, unfinished = folder / "hd.json", folder / "unfinished"
    made = json.dumps({"spikes": SPIKES, "recordings_sha256": archive.sha256}) + "\n"

    def is_done() -> bool:
        done = receipt.is_file() and receipt.read_text() == made
        return done and train.is_file() and test.is_file()

    if is_done():
        return train, test
    with exclusive(folder):
        if is_done():  # by another process, while this one waited
            return train, test
        for path in (receipt, train, test):
            path.unlink(missing_ok=True)
        recordings = _get_recordings(folder, unfinished, archive, progress)
        lists = _read_lists(folder, unfinished / "audio", recordings, archive)
        try:
            _encode(lists, (train, test), unfinished / "spikes", progress)
        except RecordingError as error:
            raise DatasetError(
                f"{error} It is part of {folder / archive.name}: remove that file and start again."
            ) from error
        with atomic(receipt) as part:
            part.write_text(made)
        shutil.rmtree(unfinished)
    return train, test


def _get_recordings(
    folder: Path, unfinished: Path, archive: Archive, progress: bool
) -> dict[str, Path]:
    """Return the recordings by name, downloaded where the archive isn't there, and checked."""
    kept = folder / archive.name
    packed = kept if kept.is_file() else download([archive.name], unfinished, progress)
    try:
        recordings = _unpack(packed, unfinished / "audio", archive)
    except DatasetError:
        if packed != kept:
            packed.unlink()
        raise
    if packed != kept:
        _compare_md5(packed)
        packed.replace(kept)
    return recordings


def _unpack(packed: Path, audio: Path, archive: Archive) -> dict[str, Path]:
    remedy = (
        "Start again to download it anew (a file put there by hand: remove it first), or set "
        "SHD_BASE_URL to another site."
    )
    if audio.exists():
        shutil.rmtree(audio)
    try:
        with tarfile.open(packed) as tar:
            tar.extractall(audio, filter="data")  # nothing outside of the folder
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetError(f"{packed}: not a complete archive ({error}). {remedy}") from error
    paths = [p for p in audio.rglob("*.flac") if p.is_file() and not p.name.startswith("._")]
    lines = sorted(f"{path.name} {sha256(path)}\n" for path in paths)
    n_bytes = sum(path.stat().st_size for path in paths)
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    n_files = archive.n_train + archive.n_test
    if (len(paths), n_bytes, digest) != (n_files, archive.n_bytes, archive.sha256):
        raise DatasetError(
            f"{packed}: holds {len(paths)} recordings, {n_bytes} bytes, SHA-256 {digest} over "
            f"their names and hashes; {n_files} recordings, {archive.n_bytes} bytes and "
            f"{archive.sha256} were expected. {remedy}"
        )
    return {path.name: path for path in paths}


def _compare_md5(packed: Path) -> None:
    """Warn if the site's own list has another MD5: the recordings are right, the lists may not."""
    for site in sites():
        try:
            answer = requests.get(f"{site}md5sums.txt", timeout=TIMEOUT_S)
            answer.raise_for_status()
        except requests.RequestException:
            continue
        listed = re.search(rf"\b([0-9a-f]{{32}})\b.*\b{re.escape(packed.name)}", answer.text)
        with packed.open("rb") as file:
            found = hashlib.file_digest(file, "md5").hexdigest()
        if listed and listed[1] != found:
            warnings.warn(
                f"{packed.name} has the MD5 {found}, and {site}md5sums.txt says {listed[1]}. Its "
                "recordings are the official ones; its lists of names could differ.",
                stacklevel=2,
            )
        return


def _read_lists(
    folder: Path, audio: Path, recordings: dict[str, Path], archive: Archive
) -> list[list[Path]]:
    """Return the recordings of the training file and those of the test file, in their order."""
    lists, listed = [], set()
    for part, n_expected in (("train", archive.n_train), ("test", archive.n_test)):
        name = f"{part}_filenames.txt"
        paths = [p for p in (folder / name, *sorted(audio.rglob(name))) if p.is_file()]
        remedy = f"Put the official {name} into {folder} and start again."
        if not paths:
            raise DatasetError(
                f"{folder / archive.name}: no {name}, which says what belongs to hd_{part}.h5 and "
                f"in which order. {remedy}"
            )
        lines = paths[0].read_text("utf-8-sig", errors="replace").splitlines()
        names = [_file_name(line) for line in lines if line.strip()]
        for file_name in names:
            rule = NAME.fullmatch(file_name)
            wrong = None
            if not rule:
                wrong = "is no name of the kind lang-{language}_speaker-{00}_trial-{n}_digit-{d}"
            elif file_name not in recordings:
                wrong = "is not in the archive"
            elif file_name in listed:
                wrong = "is listed twice"
            elif part == "train" and int(rule[2]) in archive.test_only:
                wrong = f"is of a speaker who is only in the test file {archive.test_only}"
            if wrong:
                raise DatasetError(f"{paths[0]}: {file_name} {wrong}. {remedy}")
            listed.add(file_name)
        if len(names) != n_expected:
            raise DatasetError(
                f"{paths[0]}: {len(names)} recordings, {n_expected} were expected. {remedy}"
            )
        lists.append([recordings[file_name] for file_name in names])
    return lists


def _file_name(line: str) -> str:
    """Take a line with or without folder, quotes and ending."""
    return PureWindowsPath(line.strip().strip("\"'")).name.split(".")[0] + ".flac"


def _encode(
    lists: Sequence[Sequence[Path]], files: Sequence[Path], parts: Path, progress: bool
) -> None:
    """Encode on all cores, keeping what is done in `parts`, and write the two files."""
    chunks = [[paths[i : i + CHUNK] for i in range(0, len(paths), CHUNK)] for paths in lists]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*clipped")  # nobody can record them softer
        done = on_all_cores(
            lambda chunk: _encode_chunk(chunk, parts),
            [chunk for of_file in chunks for chunk in of_file],
            "encoding hd",
            progress,
            unit=f" x {CHUNK} recordings",
        )
    for path, of_file in zip(files, chunks, strict=True):
        spikes: list[tuple[np.ndarray, np.ndarray]] = []
        for part in done[: len(of_file)]:
            read = read_shd(part)
            cuts = read.offsets[1:-1]
            spikes += zip(np.split(read.times, cuts), np.split(read.units, cuts), strict=True)
        done = done[len(of_file) :]
        _write(path, [recording.name for chunk in of_file for recording in chunk], spikes)


def _encode_chunk(recordings: Sequence[Path], parts: Path) -> Path:
    """Write the spikes of some recordings, unless a file holds them, whose name is their hash."""
    identity = "".join(f"{path.name} {sha256(path)}\n" for path in recordings) + str(SPIKES)
    part = parts / f"{hashlib.sha256(identity.encode()).hexdigest()}.h5"
    try:
        read_shd(part)
    except DatasetError:  # missing or damaged
        _write(part, [path.name for path in recordings], [encode_file(p) for p in recordings])
    return part


def _write(path: Path, names: Sequence[str], spikes: Sequence[tuple]) -> None:
    times, units = zip(*spikes, strict=True)
    rules: list[Any] = [NAME.fullmatch(name) for name in names]
    labels = [10 * (rule[1] == "german") + int(rule[3]) for rule in rules]
    write_shd(path, times, units, labels, [int(rule[2]) for rule in rules], files=names)
