"""Read and write events of 1 ms in a small file: their distances, packed by LZMA.

The data set `digits` is stored in such files. docs/formats.md describes them.
"""

import json
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shd_corpus.files import atomic

DISTANCE = np.dtype("<u4")  # of an entry from the entry before


class PackedEvents(NamedTuple):
    """Utterances on a grid of milliseconds and channels.

    An entry is ``millisecond * 700 + channel``. Each occurs once in an utterance, ascending.
    """

    entries: Sequence[np.ndarray]  # of each utterance
    labels: Sequence[int]
    speakers: Sequence[int]
    files: Sequence[str]  # names of the recordings


def write_packed(path: Path, events: PackedEvents) -> None:
    """Write a file in the format of `digits`."""
    header = {
        "events": [len(entries) for entries in events.entries],
        "labels": list(events.labels),
        "speakers": list(events.speakers),
        "files": list(events.files),
    }
    distances = [np.diff(entries, prepend=0) for entries in events.entries]
    # All lowest bytes first, then all second ones: like bytes are packed best together.
    as_bytes = np.concatenate(distances).astype(DISTANCE).view(np.uint8)
    by_significance = as_bytes.reshape(-1, DISTANCE.itemsize).T
    content = json.dumps(header).encode() + b"\n" + by_significance.tobytes()
    with atomic(path) as unfinished:
        unfinished.write_bytes(lzma.compress(content, preset=9 | lzma.PRESET_EXTREME))


def read_packed(path: Path) -> PackedEvents:
    """Read a file that `write_packed` has written."""
    content = lzma.decompress(path.read_bytes())
    first_line, _, packed = content.partition(b"\n")
    header = json.loads(first_line)
    by_significance = np.frombuffer(packed, np.uint8).reshape(DISTANCE.itemsize, -1)
    distances = np.ascontiguousarray(by_significance.T).view(DISTANCE)[:, 0]
    ends = np.cumsum(header["events"])[:-1]
    entries = [np.cumsum(of_one, dtype=np.int64) for of_one in np.split(distances, ends)]
    return PackedEvents(entries, header["labels"], header["speakers"], header["files"])
