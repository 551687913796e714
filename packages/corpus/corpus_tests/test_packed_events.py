"""The format of the data set `digits`, against an independent decoder."""

import json
import lzma

import numpy as np

from shd_corpus.packed_events import read_packed

# distances that need one, two, three and four bytes
DISTANCES = [[0, 1, 698, 1, 199_300], [], [65_535, 70_000 * 700]]
HEADER = {
    "events": [5, 0, 2],
    "labels": [3, 0, 9],
    "speakers": [11, 0, 4],
    "files": ["a", "b", "c"],
}


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


def test_a_file_is_read_as_the_document_describes_it(tmp_path):
    path = tmp_path / "events.xz"
    distances = np.concatenate([np.array(each, "<u4") for each in DISTANCES])
    content = distances.view(np.uint8).reshape(-1, 4).T.tobytes()
    path.write_bytes(lzma.compress(json.dumps(HEADER).encode() + b"\n" + content))
    header, entries = decode(path)
    read = read_packed(path)
    assert header == HEADER
    assert [each.tolist() for each in read.entries] == entries
    assert entries == [np.cumsum(each, dtype=int).tolist() for each in DISTANCES]
    assert [read.labels, read.speakers, read.files] == [*HEADER.values()][1:]
