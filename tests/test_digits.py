"""The data set `digits`: its rule, its files, and that its events are those of the recordings.

The protocol and the data card: their counts are those of the committed answers.

Each speaker was held out once, so the committed predictions name all utterances.
"""

import hashlib
import json
import lzma
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from shd_corpus import heidelberg
from shd_corpus.class_names import GERMAN
from shd_corpus.recordings import encode_file
from shd_corpus.shd_file import read_shd, write_shd
from shd_helpers.data import DIGITS, obtain, read_packed
from shd_helpers.events import Downsampling, downsample, load_events
from shd_helpers.paths import ROOT
from shd_judge import five_folds
from shd_judge.protocol import UTTERANCES
from tests import RESULTS

SOUNDS = sorted(DIGITS.glob("*.flac"))
# The files are never made anew: runs are identified by what they unpack to.
SHA256 = {
    "digits_train.xz": "bc0bb92d81e3edfaf31840af1d000d843f256bf67504f4ec76d6c5a9f5d1d06b",
    "digits_test.xz": "790fbf2f768a794ccfa5106f7235331893537b0cd436c339cb376fddef1f96a2",
    "filter_bank_train.xz": "6565d2c864d3d4979d597f2c33e37c64bcd215f73b6bc953722967a92b915028",
    "filter_bank_test.xz": "f9f2c7313d238274c96ee05c26c5757f92d3760352c8ba45fc9a2068968f04b7",
}
FULL = Downsampling(first_unit=0, pool_units=1, pool_steps=1, pool_threshold=1)


@pytest.fixture(scope="module")
def packed():
    """Return what the two files have: training and test."""
    return [read_packed(DIGITS / name) for name in list(SHA256)[:2]]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return the unpacked files."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("SHD_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        return obtain("digits")


@pytest.fixture
def there(files, monkeypatch):
    """Let the data set be where it was unpacked."""
    monkeypatch.setenv("SHD_DATA_DIR", str(files[0].parents[1]))


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_committed_files_are_never_made_anew():
    found = {name: hashlib.sha256((DIGITS / name).read_bytes()).hexdigest() for name in SHA256}
    assert found == SHA256


def test_hashes_choose_the_speakers(packed):
    order = sorted((sha256(f"digits speaker {speaker}"), speaker) for speaker in range(12))
    speakers = [speaker for _, speaker in order]
    assert sorted(speakers[:4]) == [4, 8, 10, 11]
    assert sorted(speakers[4:6]) == [5, 6]
    assert set(packed[0].speakers) == set(speakers[4:])
    assert set(packed[1].speakers) == set(range(12))


def test_each_speaker_says_each_digit_ten_times(packed):
    train, test = (Counter(zip(half.speakers, half.labels, strict=True)) for half in packed)
    assert train + test == Counter({(s, d): 10 for s in range(12) for d in range(10)})
    assert set(train.values()) == {8}
    files = packed[0].files + packed[1].files
    assert len(set(files)) == 1200
    for half in packed:
        for name, speaker, label in zip(half.files, half.speakers, half.labels, strict=True):
            assert name.startswith(f"lang-english_speaker-{speaker:02}_trial-")
            assert name.endswith(f"_digit-{label}.flac")


@pytest.mark.parametrize("grid", [FULL, Downsampling()], ids=["700 x 1000", "183 x 333"])
def test_events_equal_those_of_the_recordings(grid, files, tmp_path):
    utterances = read_shd(files[0])
    times, units = zip(*map(encode_file, SOUNDS), strict=True)
    rows = [utterances.files.index(path.name) for path in SOUNDS]
    labels = utterances.labels[rows]
    as_hd = tmp_path / "as_hd.h5"
    write_shd(as_hd, times, units, labels, utterances.speakers[rows])
    expected = downsample(read_shd(as_hd), grid)
    found = downsample(utterances, grid).take(rows)
    assert len(expected) == 3 and len(expected.steps) > 1000
    for name in ("steps", "units", "offsets", "labels", "speakers"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))


def test_the_filter_bank_s_events_are_those_of_the_same_recordings(packed, tmp_path, monkeypatch):
    monkeypatch.setenv("SHD_DATA_DIR", str(tmp_path))
    train, test = map(read_shd, obtain("digits", "filter_bank"))
    for half, utterances in zip(packed, (train, test), strict=True):
        assert utterances.files == tuple(half.files) and utterances.n_channels == 77
        np.testing.assert_array_equal(utterances.labels, half.labels)
        np.testing.assert_array_equal(utterances.speakers, half.speakers)
    for path in SOUNDS:
        times, units = encode_file(path, encoder="filter_bank")
        found = train.spikes(train.files.index(path.name))
        assert len(units) > 1000
        np.testing.assert_array_equal(found[1], units)
        np.testing.assert_array_equal(found[0].astype(np.float16), times)


def test_unpacking_keeps_every_event(packed, files):
    for half, path in zip(packed, files, strict=True):
        unpacked = read_shd(path)
        assert unpacked.files == tuple(half.files)
        milliseconds = np.floor(1000 * unpacked.times.astype(float)).astype(int)
        np.testing.assert_array_equal(
            700 * milliseconds + unpacked.units, np.concatenate(half.entries)
        )


def test_unpacked_files_are_not_written_again(files, there):
    before = [path.stat().st_mtime_ns for path in files]
    assert obtain("digits") == files
    assert [path.stat().st_mtime_ns for path in files] == before


def test_the_language_is_english(there):
    events = load_events("digits")
    assert len(events) == 1200 and events.class_names[3] == "three"
    with pytest.raises(ValueError, match="no utterance in language 'german'"):
        load_events("digits", "german")


# --- The format, against an independent decoder ---------------------------------------------

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


PAGE = (ROOT / "packages" / "judge" / "PROTOCOL.md").read_text(encoding="utf-8")
CARD = (ROOT / "docs" / "data_card.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def utterances():
    """Return file, speaker, label and language of all utterances of `hd`."""
    rows = pd.read_csv(RESULTS / "final_hd_predictions.csv.gz", keep_default_na=False)
    rows = rows[~rows.seen].drop_duplicates(["file", "row"])
    return rows.assign(is_german=rows.label.isin(GERMAN))


def test_the_protocol_counts_the_training_file(utterances):
    rows = utterances[utterances.file == "train"]
    assert len(rows) == 8156
    counts = rows.groupby(["speaker", "is_german"]).size().unstack(fill_value=0)
    counts = counts[counts.index.astype(str).isin(UTTERANCES)]
    assert {str(speaker): tuple(both) for speaker, both in counts.iterrows()} == UTTERANCES
    for k, fold in enumerate(five_folds(counts.index.to_numpy())):
        for speaker, english, german in counts.iloc[fold.test].itertuples(name=None):
            row = f"\n| {speaker} | {english} | {german} |"
            assert f"{row} {8156 - english - german} | {k} |\n" in PAGE


def test_the_data_card_counts_both_files(utterances):
    counts = utterances.groupby(["speaker", "file", "is_german"]).size().unstack([1, 2])
    counts = counts.fillna(0).astype(int)
    for speaker, row in counts.iterrows():
        cells = [row[file, is_german] for file in ("train", "test") for is_german in (False, True)]
        assert f"\n| {' | '.join(map(str, (speaker, *cells)))} |\n" in CARD
    in_files = utterances.file.value_counts()
    assert [in_files["train"], in_files["test"]] == list(heidelberg.LISTS.values())
    of_class = utterances.groupby(["file", "label"]).size()
    for file, said in (("train", "training utterances each"), ("test", "test utterances")):
        lowest, highest = of_class[file].min(), of_class[file].max()
        assert f"between {lowest} and {highest} {said}" in CARD
