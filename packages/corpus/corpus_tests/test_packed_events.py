"""The format of the data set `digits`: what is written, and an independent decoder."""

import json
import lzma

import numpy as np

from shd_corpus.packed_events import PackedEvents, read_packed, write_packed

ENTRIES = [
    np.array([0, 1, 699, 700, 200_000]),
    np.array([], int),
    np.array([65_535, 70_000 * 700]),  # distances that need two, three and four bytes
]
EVENTS = PackedEvents(ENTRIES, [3, 0, 9], [11, 0, 4], ["a.flac", "b.flac", "c.flac"])


def decode(path):
    """Return the header and the entries, as docs/formats.md describes the file, byte by byte."""
    content = lzma.decompress(path.read_bytes())
    end = content.index(b"\n")
    header = json.loads(content[:end])
    packed = content[end + 1 :]
    n = sum(header["events"])
    assert len(packed) == 4 * n
    utterances = []
    i = 0
    for n_events in header["events"]:
        entry = 0
        entries = []
        for _ in range(n_events):
            for significance in range(4):
                entry += packed[significance * n + i] << 8 * significance
            entries.append(entry)
            i += 1
        utterances.append(entries)
    return header, utterances


def test_an_independent_decoder_reads_what_was_written(tmp_path):
    path = tmp_path / "events.xz"
    write_packed(path, EVENTS)
    header, entries = decode(path)
    assert entries == [of_one.tolist() for of_one in ENTRIES]
    assert header == {
        "events": [5, 0, 2],
        "labels": [3, 0, 9],
        "speakers": [11, 0, 4],
        "files": ["a.flac", "b.flac", "c.flac"],
    }


def test_reading_returns_what_was_written(tmp_path):
    path = tmp_path / "events.xz"
    write_packed(path, EVENTS)
    read = read_packed(path)
    assert [of_one.tolist() for of_one in read.entries] == [of_one.tolist() for of_one in ENTRIES]
    assert (read.labels, read.speakers, read.files) == EVENTS[1:]
