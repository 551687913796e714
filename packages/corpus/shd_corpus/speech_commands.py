"""The data set `commands`: the ten English digits of Google's Speech Commands, encoded as spikes.

Some 1,800 people said them at their own microphones. ``speech_commands.txt`` lists the recordings
with their hashes, in the form that the program ``sha256sum`` checks. They are those that a public
copy of the archive's second version had, each sound once. How that copy was chosen is unknown, and
an id isn't surely a person.

Source: Warden (2018), "Speech Commands: A Dataset for Limited-Vocabulary Speech Recognition",
arXiv:1804.03209; CC BY 4.0.
"""

import hashlib
import json
import os
import shutil
import tarfile
import zlib
from collections.abc import Mapping
from pathlib import Path

from shd_corpus.checks import DatasetError, listed
from shd_corpus.class_names import LANGUAGES
from shd_corpus.download import download
from shd_corpus.encoders import COCHLEA, encoder_folder, versions_of
from shd_corpus.files import made_once, sha256
from shd_corpus.recording_list import Recording
from shd_corpus.recordings import (
    Encoding,
    RecordingOptions,
    encode_all,
    write_pair,
    write_refused,
)

MANIFEST = Path(__file__).with_name("speech_commands.txt")
SITE = "https://storage.googleapis.com/download.tensorflow.org/data/"
ARCHIVE = "speech_commands_v0.02.tar.gz"  # 2.3 GB
SETTING = "SHD_COMMANDS_DIR"  # of the environment: a folder that the archive was unpacked into
UNFINISHED = "unfinished"  # the folder of what is removed when the files are complete
# The archive's rule: the SHA-1 of a person's id, as a share of this number.
LARGEST_HASH = 2**27 - 1
VALIDATION_SHARE = 0.1
TEST_SHARE = 0.1
REMEDY = (
    f"Unpack {ARCHIVE} again, and name in {SETTING} the folder that has the folders zero to nine."
)
ROLES = ("training", "validation", "test")


def download_commands(folder: Path, encoder: str = COCHLEA) -> list[Path]:
    """Make the training file and the test file of the recordings with an encoder, once.

    The recordings come from the folder that the environment's ``SHD_COMMANDS_DIR`` names, or from
    the official archive, which is downloaded unless it lies in the folder. Only its digits are
    kept. The training file has the people who train and those who validate, the test file those who
    test: see `role_of`. Their numbers follow one another in this order. ``commands_refused.csv``
    lists the recordings in which no single utterance was found. The files are in a folder of the
    encoder's name if that isn't the cochlea.
    """
    out = encoder_folder(folder, encoder)
    paths = [out / f"commands_{name}.h5" for name in ("train", "test")]
    manifest = read_manifest()
    content = json.dumps(versions_of(encoder) | {"manifest_sha256": sha256(MANIFEST)}) + "\n"

    def encode() -> Encoding:
        audio = _audio(folder, manifest)
        finished = folder / UNFINISHED / "spikes"
        options = RecordingOptions(cut=True, lenient=True, encoder=encoder)
        recordings = _list(audio, manifest)
        return encode_all(audio, recordings, finished, "encoding commands", options=options)

    def write(encoding: Encoding) -> None:
        people = numbered_people(manifest)
        testing = [person for person in people if role_of(person) == "test"]
        write_pair((paths[0], paths[1]), encoding, testing, people, LANGUAGES["both"])
        write_refused(out / "commands_refused.csv", encoding.refused)
        shutil.rmtree(folder / UNFINISHED)

    made_once(paths, out / "commands.json", content, encode, write)
    return paths


def read_manifest() -> dict[str, str]:
    """Return the SHA-256 of each recording by its name, such as ``zero/00f0204f_nohash_0.wav``."""
    lines = MANIFEST.read_text(encoding="utf-8").splitlines()
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


def person_of(name: str) -> str:
    """Return the id of the person in a recording's name."""
    return name.rpartition("/")[2].partition("_nohash_")[0]


def role_of(person: str) -> str:
    """Return whether a person trains, validates or tests, by the archive's own rule."""
    number = int(hashlib.sha1(person.encode(), usedforsecurity=False).hexdigest(), 16)
    share = number % (LARGEST_HASH + 1) / LARGEST_HASH
    if share < VALIDATION_SHARE:
        return "validation"
    return "test" if share < VALIDATION_SHARE + TEST_SHARE else "training"


def numbered_people(manifest: Mapping[str, str]) -> list[str]:
    """Return all people in the order of their numbers: who trains, who validates, who tests."""
    people = sorted({person_of(name) for name in manifest})
    return sorted(people, key=lambda person: ROLES.index(role_of(person)))


def _audio(folder: Path, manifest: Mapping[str, str]) -> Path:
    """Return the folder of the recordings; get the archive's digits if there is none.

    An archive that was downloaded is removed then. One that was put there by hand stays.
    """
    named = os.environ.get(SETTING)
    if named:
        return Path(named).expanduser()
    audio = folder / "audio"
    if audio.is_dir():
        return audio
    archive = folder / ARCHIVE
    was_there = archive.is_file()
    if not was_there:
        download(ARCHIVE, folder, None, [SITE])
    unfinished = folder / UNFINISHED / "audio"
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        with tarfile.open(archive) as tar:
            for member in tar:
                if member.isfile() and member.name.removeprefix("./") in manifest:
                    tar.extract(member, unfinished, filter="data")
    except (tarfile.TarError, EOFError, zlib.error) as error:
        raise DatasetError(
            f"{archive}: not a complete archive ({type(error).__name__}). Remove {archive.name} "
            "and start again."
        ) from error
    _list(unfinished, manifest)
    unfinished.replace(audio)
    if not was_there:
        archive.unlink()
    return audio


def _list(audio: Path, manifest: Mapping[str, str]) -> list[Recording]:
    """Return the manifest's recordings in a folder; DatasetError if one is absent or another."""
    absent = [name for name in manifest if not (audio / name).is_file()]
    if absent:
        raise DatasetError(
            f"{audio}: {len(absent):,} of {len(manifest):,} recordings are absent: "
            f"{listed(absent)}. {REMEDY}"
        )
    changed = [name for name, digest in manifest.items() if sha256(audio / name) != digest]
    if changed:
        raise DatasetError(
            f"{audio}: {len(changed):,} recordings aren't those of the archive: {listed(changed)}. "
            f"{REMEDY}"
        )
    return [Recording(audio / name, name.partition("/")[0], person_of(name)) for name in manifest]
