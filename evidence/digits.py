"""Make the data set `digits`: choose 1,200 of the Heidelberg Digits, and encode them as spikes.

The files that it writes are committed and never made anew, because runs are identified by them:

    python -m evidence.digits FOLDER --out shd_helpers/digits

FOLDER has all FLAC files of the Heidelberg Digits' archive, hd_audio.tar.gz. It takes three minutes
on two cores.

The rule was committed before anything was trained on the data. Both orders are ascending by the
SHA-256 of a text, in hexadecimal digits:

* Speakers: of "digits speaker 0" to "digits speaker 11". The first four are unseen speakers, who
  are in the test file only. The next two validate where whole speakers validate.
* Recordings of an English digit by a speaker: of "digits " and the file's name. The first ten are
  used. Of an unseen speaker, all ten test. Of the other eight speakers, the first eight train, and
  the other two test.
"""

import argparse
import hashlib
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shd_corpus.heidelberg import LISTS, NAME
from shd_corpus.packed_events import PackedEvents, write_packed
from shd_corpus.recordings import encode_files
from shd_corpus.shd_file import FILES, N_CHANNELS
from shd_helpers.command import run

N_RECORDINGS = sum(LISTS.values())
N_SPEAKERS = 12
N_UNSEEN = 4
N_VALIDATING = 2
N_TAKES = 10  # of each digit by each speaker
N_TRAINING_TAKES = 8  # of each speaker who trains


class Take(NamedTuple):
    """One recording that the data set has."""

    number: int  # from 0, of the digit and the speaker
    speaker: int
    digit: int
    file: str


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the training file and the test file; refuse to replace one."""
    parser = argparse.ArgumentParser(prog="python -m evidence.digits", description=__doc__)
    parser.add_argument("folder", type=Path, help="with the FLAC files of the Heidelberg Digits")
    parser.add_argument("--out", type=Path, required=True, help="the folder of the files to write")
    given = parser.parse_args(arguments)
    paths = [given.out / f"digits_{name}.xz" for name in FILES]
    for path in paths:
        if path.exists():
            sys.exit(f"{path}: is there already, and is never made anew.")
    names = [path.name for path in given.folder.glob("*.flac")]
    if len(names) != N_RECORDINGS:  # of fewer ones, the rule would choose others
        sys.exit(f"{given.folder}: has {len(names):,} FLAC files instead of {N_RECORDINGS:,}.")
    for path, takes in zip(paths, halves(chosen(names)), strict=True):
        write_packed(path, encoded(given.folder, takes))


def ordered_speakers() -> list[int]:
    """Return all speakers in the rule's order: unseen, validating, and the others."""
    return sorted(range(N_SPEAKERS), key=lambda speaker: _hash(f"digits speaker {speaker}"))


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def unseen_speakers() -> list[int]:
    """Return the speakers who are in the test file only."""
    return sorted(ordered_speakers()[:N_UNSEEN])


def validation_speakers() -> list[int]:
    """Return the training speakers who validate where whole speakers validate."""
    return sorted(ordered_speakers()[N_UNSEEN : N_UNSEEN + N_VALIDATING])


def chosen(names: Sequence[str]) -> list[Take]:
    """Return the takes that the rule chooses of all recordings, in the order of the files."""
    return sorted(take for take in _numbered(names) if take.number < N_TAKES)


def _numbered(names: Sequence[str]) -> Iterator[Take]:
    """Yield English recordings, numbered in the rule's order for each digit and speaker."""
    counts: Counter[tuple[str, str]] = Counter()
    for name in sorted(names, key=lambda name: _hash(f"digits {name}")):
        fields = NAME.match(name)
        if fields is None or fields[1] != "english":
            continue
        speaker, digit = fields[2], fields[3]
        yield Take(counts[speaker, digit], int(speaker), int(digit), name)
        counts[speaker, digit] += 1


def halves(takes: Sequence[Take]) -> tuple[list[Take], list[Take]]:
    """Return the takes of the training file and those of the test file."""
    unseen = unseen_speakers()
    of_seen = [take for take in takes if take.speaker not in unseen]
    train = [take for take in of_seen if take.number < N_TRAINING_TAKES]
    return train, sorted({*takes} - {*train})


def encoded(folder: Path, takes: Sequence[Take]) -> PackedEvents:
    """Encode recordings exactly as those of the data set `hd` are encoded."""
    paths = [folder / take.file for take in takes]
    with tempfile.TemporaryDirectory() as finished, warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*clipped")  # it asks to record them softer
        spikes = encode_files(paths, Path(finished), what="encoding digits")
    entries = []
    for times, units in spikes:
        milliseconds = np.floor(1000 * times.astype(np.float64)).astype(np.int64)
        entries.append(np.unique(N_CHANNELS * milliseconds + units))
    labels = [take.digit for take in takes]
    speakers = [take.speaker for take in takes]
    return PackedEvents(entries, labels, speakers, [take.file for take in takes])


if __name__ == "__main__":
    run(main)
