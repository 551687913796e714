"""Read events of 1 ms from a small file: their distances, packed by LZMA.

The data set `digits` is stored in such files. docs/formats.md describes them.
"""

import json
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

DISTANCE = np.dtype("<u4")  # of an entry from the entry before


class PackedEvents(NamedTuple):
    """Utterances on a grid of milliseconds and channels.

    An entry is ``millisecond * 700 + channel``. Each occurs once in an utterance, ascending.
    """

    entries: Sequence[np.ndarray]  # of each utterance
    labels: Sequence[int]
    speakers: Sequence[int]
    files: Sequence[str]  # names of the recordings


def read_packed(path: Path) -> PackedEvents:
    """Read a file of `digits`, whose bytes are ordered by significance."""
    content = lzma.decompress(path.read_bytes())
    first_line, _, packed = content.partition(b"\n")
    header = json.loads(first_line)
    by_significance = np.frombuffer(packed, np.uint8).reshape(DISTANCE.itemsize, -1)
    distances = np.ascontiguousarray(by_significance.T).view(DISTANCE)[:, 0]
    ends = np.cumsum(header["events"])[:-1]
    entries = [np.cumsum(of_one, dtype=np.int64) for of_one in np.split(distances, ends)]
    return PackedEvents(entries, header["labels"], header["speakers"], header["files"])
