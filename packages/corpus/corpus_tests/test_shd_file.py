"""Files in SHD layout, written by h5py alone; what is no such file is named with its remedy."""

import hashlib
import os
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest

from corpus_tests.made_files import GOOD, KEYS, check_good, packed, write
from shd_corpus import shd_layout
from shd_corpus.checks import DatasetError
from shd_corpus.shd_file import read_shd, write_shd
from shd_corpus.shd_layout import content_hash


@pytest.mark.parametrize("suffix", ["", ".gz", ".zip"])
def test_reads_plain_gzipped_and_zipped(tmp_path, suffix):
    plain = write(tmp_path / "a_train.h5")
    check_good(read_shd(packed(plain, suffix)))


@pytest.mark.parametrize("filters", [{}, {"compression": "gzip", "shuffle": True}])
def test_rows_in_chunks_are_read(filters, tmp_path):
    """As PyTables writes them, which wrote the official files."""
    path = write(tmp_path / "x.h5")
    with h5py.File(path, "a") as file:
        for name in ("spikes/times", "spikes/units"):
            rows = file[name][:]
            dtype = file[name].dtype
            del file[name]
            data = file.create_dataset(name, (3,), dtype, chunks=(2,), **filters)
            for i, row in enumerate(rows):
                data[i] = row
    check_good(read_shd(path))


def test_write_shd_is_read_back(tmp_path):
    path = tmp_path / "new folder" / "b_train.h5"
    content = (GOOD["times"], GOOD["units"], GOOD["labels"], GOOD["speaker"])
    extra = {"meta_info/gender": ["m"] * 5, "file": ["a.flac", "b.flac", "ü.flac"]}
    write_shd(path, *content, extra=extra)
    check_good(read_shd(path))
    assert read_shd(path).files == ("a.flac", "b.flac", "ü.flac")
    with h5py.File(path) as file:
        assert file["spikes/times"][0].dtype == np.float16
        assert file["labels"].dtype == file["spikes/units"][0].dtype == np.uint16
        assert file["extra/keys"][10] == b"null"
        assert len(file["extra/meta_info/gender"]) == 5


def test_no_room_for_a_file(tmp_path):
    """HDF5 itself crashes where the disk is full; a limit on the size of files is as full."""
    code = (
        "import resource, sys; from shd_corpus.shd_file import write_shd\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "times, units = [[0.5] * 5000] * 100, [[7] * 5000] * 100\n"
        "try: write_shd(sys.argv[1], times, units, [0] * 100, [0] * 100)\n"
        "except OSError: print('no room')"
    )
    command = [sys.executable, "-c", code, tmp_path / "x.h5"]
    assert subprocess.run(command, capture_output=True, text=True).stdout == "no room\n"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"units": [[0, 699], [], [7]]}, "utterance 0: times and units of different length"),
        ({"units": [[0, 1, 2], [], [700]]}, "utterance 2: a unit outside 0..699"),
        ({"units": [[0, 1, -2], [], [7]], "types": ("f2", "i2")}, "utterance 0: a unit outside"),
        ({"units": [[0, 1.5, 2], [], [7]], "types": ("f2", "f4")}, "utterance 0: a unit outside"),
        ({"times": [[0, 0, 0], [], [-0.5]]}, "utterance 2: a time outside 0..10 seconds"),
        ({"times": [[0, np.nan, 0], [], [0]]}, "utterance 0: a time outside 0..10"),
        ({"times": [[0, 1, 2], [], [350]]}, "utterance 2: a time outside 0..10"),
        ({"labels": [3, 20, 0]}, "utterance 1: a label without a name"),
        ({"labels": [-1, 2, 0]}, "utterance 0: a label without a name"),
        ({"labels": [3, 1.5, 0]}, "utterance 1: a label without a name"),
        ({"speaker": [4, 1.7, 1]}, "utterance 1: a speaker that is no whole number"),
        ({"speaker": None}, "without extra/speaker, which SHD layout has"),
        ({"labels": [3, 1]}, "2 labels"),
    ],
)
def test_bad_content_names_file_utterance_and_remedy(tmp_path, changes, message):
    path = write(tmp_path / "bad_train.h5", **changes)
    before = path.read_bytes()
    with pytest.raises(DatasetError) as error:
        read_shd(path)
    assert message in str(error.value)
    assert str(path) in str(error.value)
    assert any(way in str(error.value) for way in ("Correct the program", "Write the", "needs one"))
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"times": [[0.1, np.nan], [0.3]]}, "utterance 0: a time is negative, not finite or above"),
        ({"times": [[0.1, 0.2], [np.inf]]}, "utterance 1: a time is negative, not finite or above"),
        ({"times": [[0.1, 0.2], [-0.1]]}, "utterance 1: a time is negative, not finite or above"),
        ({"times": [[0.1, 0.2], [300]]}, "Give seconds from the beginning"),
        (
            {"times": [[0.1], [0.3]]},
            r"utterance 0: times of shape \(1,\) and units of shape \(2,\)",
        ),
        ({"units": [[5, 6.5], [7]]}, r"utterance 0: a unit outside 0\.\.699"),
        ({"units": [[5, 6], [-7]]}, r"utterance 1: a unit outside 0\.\.699"),
        ({"labels": [0, 20]}, "utterance 1: the label is 20, but must be .* from 0 to 19"),
        ({"labels": [-1, 0]}, "utterance 0: the label is -1, but must be .* from 0 to 19"),
        ({"labels": ["one", "two"]}, "utterance 0: the label is one, but must be a whole number"),
        ({"labels": [0]}, "2 times, 2 units, 1 labels, 2 speakers"),
        ({"speakers": [0, 0.5]}, "utterance 1: the speaker is 0.5, but must be a whole number"),
        ({"speakers": [0, 70_000]}, "utterance 1: the speaker is 70000"),
        ({"extra": {"file": ["a.wav"]}}, r"1 extra\['file'\]"),
    ],
)
def test_a_file_that_could_not_be_read_is_not_written(tmp_path, changes, message):
    good = {"times": [[0.1, 0.2], [0.3]], "units": [[5, 6], [7]], "labels": [0, 1]}
    path = tmp_path / "x.h5"
    with pytest.raises(DatasetError, match=message) as error:
        write_shd(path, **(good | {"speakers": [0, 0]} | changes))
    assert str(path) in str(error.value)
    assert not path.exists()


def test_what_is_no_file_and_a_zip_of_something_else(tmp_path):
    (tmp_path / "a.h5").mkdir()
    os.mkfifo(tmp_path / "b.h5")
    for name in ("a.h5", "b.h5", "absent.h5"):
        with pytest.raises(DatasetError, match=f"{name}: no such file"):
            read_shd(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "x.h5.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(DatasetError, match=r"0 \.h5 files inside"):
        read_shd(tmp_path / "x.h5.zip")


def test_an_umlaut_is_spelt_out(tmp_path):
    for umlaut in ("Fünf", "Fu\u0308nf"):
        keys = [(umlaut if key == "fuenf" else key).encode() for key in KEYS]
        assert read_shd(write(tmp_path / "l.h5", keys=keys)).keys == KEYS


def test_an_umlaut_of_two_characters_is_one_class_with_that_of_one(tmp_path):
    keys = ["m\u00fcsli".encode(), "mu\u0308sli".encode()]
    with pytest.raises(DatasetError, match="extra/keys lists the class 'm\u00fcsli' 2 times"):
        read_shd(write(tmp_path / "x.h5", keys=keys, labels=[0, 1, 0]))


def test_hash_is_of_the_unpacked_bytes_and_made_again_when_they_change(tmp_path, monkeypatch):
    plain = write(tmp_path / "x_train.h5")
    reads = []
    content = plain.read_bytes()
    opened = shd_layout._opened
    monkeypatch.setattr(shd_layout, "_opened", lambda path: reads.append(path) or opened(path))
    for suffix in ("", ".gz", ".zip"):
        path = packed(plain, suffix)
        for _ in range(2):
            assert content_hash(path) == hashlib.sha256(content).hexdigest()
            assert content_hash(path, "md5") == hashlib.md5(content).hexdigest()
    assert len(reads) == 2 * 3
    plain.write_bytes(content[::-1])
    os.utime(plain, (1, 1))
    assert content_hash(plain) == hashlib.sha256(content[::-1]).hexdigest()


@pytest.mark.parametrize("keys", [("a", "a"), ("a/b", ""), ("One", "one")])
def test_class_names_that_cannot_be_read_are_not_written(keys, tmp_path):
    with pytest.raises(DatasetError, match="extra/keys"):
        write_shd(tmp_path / "x.h5", [[0.1]], [[1]], [0], [0], keys)
    assert not (tmp_path / "x.h5").exists()


def test_a_file_without_utterances_may_have_no_names_of_recordings(tmp_path):
    write_shd(tmp_path / "x.h5", [], [], [], [], ("a", "b"), {"file": []})
    assert read_shd(tmp_path / "x.h5").files == ()


def test_times_are_as_fine_as_in_shd_or_as_is_asked_for(tmp_path):
    times = np.array([0.7504, 1.2344, 1.9996])
    for extra, dtype, error_s in (
        ({}, np.float16, 5e-4),
        ({"time_precision": "float32"}, np.float32, 1e-7),
    ):
        write_shd(tmp_path / "x.h5", [times], [[1, 2, 3]], [0], [0], extra=extra)
        read = read_shd(tmp_path / "x.h5")
        assert read.times.dtype == dtype
        assert np.abs(read.spikes(0)[0] - times).max() <= error_s
    bins = np.floor(1000 * read.spikes(0)[0])
    assert bins.tolist() == np.floor(1000 * times).tolist()
    with pytest.raises(DatasetError, match="time_precision 'double': must be float16 or float32"):
        write_shd(tmp_path / "x.h5", [], [], [], [], extra={"time_precision": "double"})


def test_fine_times_of_other_programs_are_read_as_before(tmp_path):
    """Runs of such files keep their hashes, so they must compute the same."""
    path = write(tmp_path / "x.h5", ("f8", "u2"), times=[[0.7504], [], []], units=[[1], [], []])
    assert read_shd(path).times.tolist() == [float(np.float16(0.7504))]


@pytest.mark.parametrize("precision", ["float64", "half", "FLOAT32", ""])
def test_an_unknown_precision_of_times_is_refused(tmp_path, precision):
    path = write(tmp_path / "x.h5")
    with h5py.File(path, "a") as file:
        file["extra/time_precision"] = precision
    wanted = rf"x\.h5: extra/time_precision is '{precision}', .* float16 or float32\. Write one"
    with pytest.raises(DatasetError, match=wanted):
        read_shd(path)


def test_a_column_that_is_packed_as_tightly_as_possible_is_read(tmp_path):
    """Equal labels are packed about a thousandfold, so they declare far more than they store."""
    n = 10**7
    path = tmp_path / "x.h5"
    with h5py.File(path, "w") as file:
        labels = file.create_dataset(
            "labels", data=np.zeros(n, np.uint8), chunks=(n,), compression=9
        )
        assert labels.id.get_storage_size() < n / 1000
        shd_layout._check_size(path, "labels", labels)
