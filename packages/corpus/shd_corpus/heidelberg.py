"""The data set `hd`: the recordings behind SHD, encoded as spikes by this package's cochlea.

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
from pathlib import Path

from shd_corpus.checks import DatasetError
from shd_corpus.download import download
from shd_corpus.encoders import CHANNELS, COCHLEA, encoder_folder, versions_of
from shd_corpus.files import made_once, sha256
from shd_corpus.recording_list import RecordingError
from shd_corpus.recordings import RecordingOptions, encode_files
from shd_corpus.shd_file import FILES, write_shd

# Name of a recording: language, speaker and digit count, the trial only makes it unique.
NAME = re.compile(r"lang-(english|german)_speaker-(\d\d)_trial-\d+_digit-(\d)")

UNFINISHED = "unfinished"  # the folder of what is removed when the files are complete
ARCHIVE = "hd_audio.tar.gz"
# The archive's two lists name the recordings of the training file and of the test file, in their
# order, each recording once. The numbers are those of the names.
LISTS = {"train_filenames.txt": 8156, "test_filenames.txt": 2264}
# Of the sorted lines "name sha256\n" of all recordings. The archive's own hash is not checked,
# because it would be another one if somebody has packed the same recordings again.
RECORDINGS_SHA256 = "d4f5028889bbaf465ee8002b851b5af457d62d9af9572526f123189ee4d663e8"
# An archive that is far larger is not unpacked. The recordings have 323 MB in 10,420 files.
MOST_BYTES = 2 * 10**9
MOST_MEMBERS = 30_000


def download_heidelberg(folder: Path, encoder: str = COCHLEA) -> list[Path]:
    """Download the recordings and encode them as a training file and a test file, once.

    A call that follows an interrupted one uses what that has left: the archive and the spikes of
    each encoded recording. An archive that was put into the folder by hand is used, too. If two
    processes call it at once, one waits. A receipt, ``hd.json``, says how the files were made.
    Files without a receipt are somebody's own, and are neither read nor replaced: DatasetError. The
    files are in a folder of the encoder's name if that isn't the cochlea.
    """
    out = encoder_folder(folder, encoder)
    paths = [out / f"hd_{name}.h5" for name in FILES]
    origin = versions_of(encoder) | {"recordings_sha256": RECORDINGS_SHA256}
    content = json.dumps(origin) + "\n"

    def encode() -> tuple[list[list[str]], list[tuple]]:
        return _encode(folder, encoder)

    def write(encoded: tuple[list[list[str]], list[tuple]]) -> None:
        lists, spikes = encoded
        for path, names in zip(paths, lists, strict=True):
            _write(path, names, spikes[: len(names)], CHANNELS[encoder])
            del spikes[: len(names)]
        shutil.rmtree(folder / UNFINISHED)

    made_once(paths, out / "hd.json", content, encode, write)
    return paths


def _encode(folder: Path, encoder: str) -> tuple[list[list[str]], list[tuple]]:
    """Download and unpack the archive, and encode the recordings.

    Returns the names of each file's recordings, and the spikes of all of them.
    """
    archive = folder / ARCHIVE
    if not archive.is_file():
        download(ARCHIVE, folder, None)
    audio = folder / UNFINISHED / "audio"
    recordings = _unpack(archive, audio)
    lists = _read_lists(folder, audio, recordings)
    sounds = [recordings[name] for names in lists for name in names]
    try:
        with warnings.catch_warnings():
            # It asks to record them softer, which nobody can do.
            warnings.filterwarnings("ignore", ".*clipped")
            finished = folder / UNFINISHED / "spikes"
            options = RecordingOptions(encoder=encoder)
            spikes = encode_files(sounds, finished, what="encoding hd", options=options)
    except RecordingError as error:
        raise DatasetError(f"{error} It is part of {archive}.") from error
    return lists, spikes


def _unpack(archive: Path, audio: Path) -> dict[str, Path]:
    """Unpack the archive into a folder, check the recordings and return them by name."""
    remedy = (
        f"Remove {archive.name} and start again. To download from another site, set SHD_BASE_URL "
        "first."
    )
    shutil.rmtree(audio, ignore_errors=True)
    try:
        with tarfile.open(archive) as tar:
            _check_size(tar, archive, remedy)
        with tarfile.open(archive) as tar:
            tar.extractall(audio, filter="data")  # refuses names that lead out of the folder
    except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
        why = type(error).__name__
        raise DatasetError(f"{archive}: not a complete archive ({why}). {remedy}") from error
    # macOS puts files of its own, "._*.flac", into archives.
    paths = [path for path in audio.rglob("*.flac") if not path.name.startswith("._")]
    lines = sorted(f"{path.name} {sha256(path)}\n" for path in paths)
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    if digest != RECORDINGS_SHA256:
        raise DatasetError(
            f"{archive}: holds {len(paths)} recordings with the SHA-256 {digest} over their names "
            f"and hashes, but {sum(LISTS.values())} with {RECORDINGS_SHA256} were expected. "
            f"{remedy}"
        )
    return {path.name: path for path in paths}


def _check_size(tar: tarfile.TarFile, archive: Path, remedy: str) -> None:
    """Raise DatasetError if an archive would unpack to far more than the recordings.

    A member's size is read before its content, which may be compressed a thousandfold.
    """
    n_bytes = 0
    for number, member in enumerate(tar, start=1):
        n_bytes += member.size
        if n_bytes > MOST_BYTES or number > MOST_MEMBERS:
            raise DatasetError(
                f"{archive}: unpacks to more than {MOST_BYTES:,} bytes or {MOST_MEMBERS:,} files, "
                f"which the recordings don't have. {remedy}"
            )


def _read_lists(folder: Path, audio: Path, recordings: dict[str, Path]) -> list[list[str]]:
    """Return the names of the training file's recordings and of the test file's, in their order.

    A list that was put into the folder by hand counts more than the archive's.
    """
    lists = []
    for file_name in LISTS:
        candidates = (folder / file_name, *audio.rglob(file_name))
        file = next(filter(Path.is_file, candidates), None)
        text = file.read_text(errors="replace") if file else ""
        lists.append([f"{name[0]}.flac" for name in NAME.finditer(text)])
    sizes = [len(names) for names in lists]
    if sizes != list(LISTS.values()) or sorted(lists[0] + lists[1]) != sorted(recordings):
        raise DatasetError(
            f"{folder / ARCHIVE}: {' and '.join(LISTS)} are not the official lists: they name "
            f"{sizes[0]} + {sizes[1]} recordings instead of {' + '.join(map(str, LISTS.values()))},"
            f" or not each once. Put the official lists into {folder} and start again."
        )
    return lists


def _write(path: Path, names: list[str], spikes: list[tuple], n_channels: int) -> None:
    """Write the spikes of some recordings as a file in SHD layout."""
    times, units = zip(*spikes, strict=True)
    fields = [NAME.match(name).groups() for name in names]  # type: ignore[union-attr]
    labels = [10 * (language == "german") + int(digit) for language, _, digit in fields]
    speakers = [int(speaker) for _, speaker, _ in fields]
    write_shd(path, times, units, labels, speakers, extra={"file": names, "n_channels": n_channels})
