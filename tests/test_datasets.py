"""Reading, checking and finding data sets, against files made by hand."""

import errno
import gzip
import hashlib
import os
import subprocess
import sys
import time
import tracemalloc
import zipfile

import h5py
import numpy as np
import pytest

from shd_helpers import source
from shd_helpers.source import datasets, download
from shd_helpers.source import shd_file as layout
from shd_helpers.source.shd_file import ENGLISH, GERMAN, DatasetError, language_classes, read_shd
from tests.imports import loaded_by
from tests.loopback import serve

KEYS = ENGLISH + GERMAN
GOOD = {
    "times": [[0.0, 0.25, 0.5], [], [1.25]],
    "units": [[0, 699, 5], [], [7]],
    "labels": [3, 11, 0],
    "speaker": [4, 4, 1],
    "keys": [key.encode() for key in KEYS],
}


def write(path, **changes):
    """Write HDF5 with h5py alone, so that read_shd is not tested by write_shd."""
    content = GOOD | changes
    with h5py.File(path, "w") as file:
        for name, dtype in (("times", "f2"), ("units", changes.get("unit_type", "u2"))):
            rows = content[name]
            data = file.create_dataset(f"spikes/{name}", (len(rows),), h5py.vlen_dtype(dtype))
            for i, row in enumerate(rows):
                data[i] = row
        file["labels"] = np.array(content["labels"], dtype=changes.get("label_type", "i4"))
        if content["speaker"] is not None:
            file["extra/speaker"] = np.array(content["speaker"], dtype="u2")
        file["extra/keys"] = content["keys"]
    return path


def check_good(read):
    assert len(read) == 3
    assert read.offsets.tolist() == [0, 3, 3, 4]
    assert read.times.dtype == np.float16
    assert [t.tolist() for t, _ in map(read.spikes, range(3))] == GOOD["times"]
    assert [u.tolist() for _, u in map(read.spikes, range(3))] == GOOD["units"]
    assert read.labels.tolist() == GOOD["labels"]
    assert read.speakers.tolist() == GOOD["speaker"]
    assert read.keys == KEYS


def test_reads_plain_gzipped_and_zipped(tmp_path):
    plain = write(tmp_path / "a_train.h5")
    zipped = tmp_path / "a_train.h5.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.write(plain, "a_train.h5")
    packed = tmp_path / "a_train.h5.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    for path in (plain, zipped, packed):
        check_good(read_shd(path))


def test_reads_more_rows_than_one_slice(tmp_path):
    n = 1300
    rows = [[i / 2048] for i in range(n)]
    units = [[i % 700] for i in range(n)]
    path = write(tmp_path / "x.h5", times=rows, units=units, labels=[0] * n, speaker=[0] * n)
    read = read_shd(path)
    assert read.times.tolist() == [i / 2048 for i in range(n)]
    assert read.units.tolist() == [i % 700 for i in range(n)]


def test_write_shd_is_read_back(tmp_path):
    path = tmp_path / "new folder" / "b_train.h5"
    layout.write_shd(
        path, GOOD["times"], GOOD["units"], GOOD["labels"], GOOD["speaker"], gender=["m"] * 5
    )
    check_good(read_shd(path))
    with h5py.File(path) as file:
        assert file["spikes/times"][0].dtype == np.float16
        assert file["labels"].dtype == file["spikes/units"][0].dtype == np.uint16
        assert file["extra/keys"][10] == b"null"
        assert len(file["extra/meta_info/gender"]) == 5


def test_no_room_for_a_file(tmp_path):
    """HDF5 itself crashes where the disk is full; a limit on the size of files is as full."""
    code = (
        "import resource, sys; from shd_helpers.source.shd_file import write_shd\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))\n"
        "rows = [[0.5] * 5000] * 100\n"
        "try: write_shd(sys.argv[1], rows, rows, [0] * 100, [0] * 100)\n"
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
        ({"units": [[0, 1, -2], [], [7]], "unit_type": "i2"}, "utterance 0: a unit outside"),
        ({"times": [[0, 0, 0], [], [-0.5]]}, "utterance 2: a negative time"),
        ({"times": [[0, np.nan, 0], [], [0]]}, "utterance 0: a time that is not finite"),
        ({"times": [[0, 0, 0], [], [np.inf]]}, "utterance 2: a time that is not finite"),
        ({"labels": [3, 20, 0]}, "utterance 1: a label without a name"),
        ({"labels": [-1, 2, 0]}, "utterance 0: a label without a name"),
        ({"labels": [3, 1.5, 0], "label_type": "f4"}, "utterance 1: a label without a name"),
        ({"units": [[0, 1.5, 2], [], [7]], "unit_type": "f4"}, "utterance 0: a unit outside"),
        ({"times": [[0, 1, 2], [], [350]]}, "utterance 2: a time above 10; times are seconds"),
        ({"labels": [[3, 1, 2]]}, "labels is a table or group, and SHD layout has numbers"),
        ({"labels": [b"one"] * 3, "label_type": "S3"}, "labels is text"),
        ({"labels": [3, 1]}, "2 labels"),
        ({"speaker": [4]}, "1 extra/speaker"),
        ({"speaker": None}, "extra/speaker is missing"),
    ],
)
def test_bad_content_names_file_utterance_and_remedy(tmp_path, changes, message):
    path = write(tmp_path / "bad_train.h5", **changes)
    before = path.read_bytes()
    with pytest.raises(DatasetError) as error:
        read_shd(path)
    assert str(path) in str(error.value)
    assert message in str(error.value)
    assert path.read_bytes() == before


@pytest.mark.parametrize("suffix", [".h5", ".h5.gz", ".h5.zip"])
@pytest.mark.parametrize("size", [0, 100, 0.5])
def test_truncated_file(tmp_path, suffix, size):
    n = 300
    plain = write(
        tmp_path / "plain.h5",
        times=[[0.5] * 50] * n,
        units=[list(range(50))] * n,
        labels=[0] * n,
        speaker=[0] * n,
    )
    content = plain.read_bytes()
    if suffix == ".h5.gz":
        content = gzip.compress(content)
    if suffix == ".h5.zip":
        with zipfile.ZipFile(tmp_path / "whole.zip", "w") as archive:
            archive.writestr("plain.h5", content)
        content = (tmp_path / "whole.zip").read_bytes()
    path = tmp_path / f"cut{suffix}"
    path.write_bytes(content[: int(size * len(content)) if size == 0.5 else size])
    with pytest.raises(DatasetError, match="not a complete HDF5 file") as error:
        read_shd(path)
    assert str(path) in str(error.value)


def test_missing_file_and_foreign_zip(tmp_path):
    with pytest.raises(DatasetError, match="no such file"):
        read_shd(tmp_path / "absent.h5")
    with zipfile.ZipFile(tmp_path / "x.h5.zip", "w") as archive:
        archive.writestr("readme.txt", "nothing")
    with pytest.raises(DatasetError, match=r"0 \.h5 files inside"):
        read_shd(tmp_path / "x.h5.zip")


def test_language_goes_by_name_not_by_number():
    shuffled = GERMAN[::-1] + ENGLISH[3:] + ENGLISH[:3]
    assert language_classes(shuffled, "english") == {
        shuffled.index(word): i for i, word in enumerate(ENGLISH)
    }
    assert language_classes(shuffled, "german")[9] == 0  # "null" is last of the reversed ten
    assert sorted(language_classes(shuffled, "both").values()) == list(range(20))


def test_language_absent_or_unknown():
    with pytest.raises(DatasetError, match=r"null, eins.*missing"):
        language_classes(ENGLISH, "german")
    with pytest.raises(DatasetError, match="'french': unknown"):
        language_classes(KEYS, "french")


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_keys_in_an_older_encoding(tmp_path, encoding):
    keys = [("Fünf" if key == "fuenf" else key).encode(encoding) for key in KEYS]
    assert read_shd(write(tmp_path / "l.h5", keys=keys)).keys == KEYS


def test_names_of_recordings(tmp_path):
    path = tmp_path / "f.h5"
    arguments = (GOOD["times"], GOOD["units"], GOOD["labels"], GOOD["speaker"])
    layout.write_shd(path, *arguments, files=["a.flac", "b.flac", "ü.flac"])
    check_good(read_shd(path))
    assert read_shd(path).files == ("a.flac", "b.flac", "ü.flac")
    layout.write_shd(path, *arguments)
    assert read_shd(path).files == ()
    with h5py.File(path, "a") as file:
        file["extra/file"] = [b"a.flac"]
    with pytest.raises(DatasetError, match=r"3 labels.*1 extra/file"):
        read_shd(path)


def test_groups_and_dead_links_are_no_lists(tmp_path):
    path = write(tmp_path / "g.h5")
    with h5py.File(path, "a") as file:
        del file["labels"]
        file["labels"] = h5py.ExternalLink("gone.h5", "labels")
    with pytest.raises(DatasetError, match=f"{path}: .*labels"):
        read_shd(path)
    with h5py.File(path, "a") as file:
        del file["labels"]
        file.create_group("labels")
    with pytest.raises(DatasetError, match="labels is a table or group"):
        read_shd(path)


def test_neither_folder_nor_pipe_is_read(tmp_path):
    (tmp_path / "a.h5").mkdir()
    os.mkfifo(tmp_path / "b.h5")
    for name in ("a.h5", "b.h5"):
        with pytest.raises(DatasetError, match=f"{name}: not a file"):
            read_shd(tmp_path / name)


def test_memory_for_reading(tmp_path):
    n, size = 4096, 500
    times, units = np.full(size, 0.5, np.float16), np.arange(size, dtype=np.uint16)
    layout.write_shd(tmp_path / "big.h5", [times] * n, [units] * n, [0] * n, [0] * n)
    tracemalloc.start()
    read = read_shd(tmp_path / "big.h5")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(read.times) == n * size
    assert peak < 2.8 * (read.times.nbytes + read.units.nbytes)


def test_locate_finds_one_pair(tmp_path):
    for name in ("x_train.h5.gz", "x_test.h5", "y_train.h5", "notes.txt"):
        (tmp_path / name).touch()
    train, test = datasets.locate(str(tmp_path))
    assert (train.name, test.name) == ("x_train.h5.gz", "x_test.h5")
    assert datasets.dataset_name((train, test)) == "x"
    (tmp_path / "y_test.h5").touch()
    with pytest.raises(DatasetError, match=r"2 pairs.*x, y"):
        datasets.locate(str(tmp_path))


def test_locate_without_pair_or_folder(tmp_path):
    with pytest.raises(DatasetError, match="0 pairs"):
        datasets.locate(str(tmp_path))
    with pytest.raises(DatasetError, match="no such folder"):
        datasets.locate(str(tmp_path / "absent"))


def test_locate_takes_no_folder_or_dead_link_for_a_file(tmp_path):
    (tmp_path / "x_train.h5").mkdir()
    (tmp_path / "y_train.h5").symlink_to(tmp_path / "gone.h5")
    for name in ("x_test.h5", "y_test.h5"):
        (tmp_path / name).touch()
    with pytest.raises(DatasetError, match="0 pairs"):
        datasets.locate(str(tmp_path))


def test_fingerprint_is_of_the_unpacked_bytes(tmp_path):
    plain = write(tmp_path / "x_train.h5")
    other = write(tmp_path / "x_test.h5", labels=[0, 1, 2])
    content = plain.read_bytes()
    (tmp_path / "x_train.h5.gz").write_bytes(gzip.compress(content))
    with zipfile.ZipFile(tmp_path / "x_train.h5.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(plain)
    digest = hashlib.sha256(content).hexdigest()
    for suffix in datasets.SUFFIXES:
        path = tmp_path / f"x_train{suffix}"
        assert datasets.fingerprint((path, other)) == {
            "name": "x",
            "train_sha256": digest,
            "test_sha256": hashlib.sha256(other.read_bytes()).hexdigest(),
        }
    (tmp_path / "x_train.h5.gz").write_bytes(gzip.compress(content)[:-20])
    with pytest.raises(DatasetError, match="not a complete HDF5 file"):
        layout.content_hash(tmp_path / "x_train.h5.gz")


def test_a_file_is_hashed_again_when_it_changes_and_only_then(tmp_path, monkeypatch):
    path, reads = write(tmp_path / "x_train.h5"), []
    content = path.read_bytes()
    unpacked = layout.unpacked
    monkeypatch.setattr(layout, "unpacked", lambda path: reads.append(path) or unpacked(path))

    def found(content, age_s):
        path.write_bytes(content)
        at = time.time() - age_s
        os.utime(path, (at, at))
        assert layout.content_hash(path) == hashlib.sha256(content).hexdigest()
        assert layout.content_hash(path, "md5") == hashlib.md5(content).hexdigest()
        read = len(reads)
        assert layout.content_hash(path) == hashlib.sha256(content).hexdigest()
        return len(reads) - read

    assert found(content, 60) == 0
    assert found(content[::-1], 50) == 0  # as long as before
    assert found(content, 0) == found(content[::-1], 0) == 1  # just written: always read
    path.unlink()
    with pytest.raises(DatasetError, match="x_train"):
        layout.content_hash(path)


def test_names_for_notebooks_load_nothing_heavy():
    for name in source.__all__:
        assert getattr(source, name).__class__ is not None
    with pytest.raises(AttributeError, match="attribute nothing"):
        _ = source.nothing
    code = "from shd_helpers.source import locate, read_shd, LANGUAGES"
    heavy = {"numba", "scipy", "pandas", "torch"}
    assert loaded_by(code, heavy | {"h5py"}) == {"h5py"}


# ---- download, from a server on loopback ----


@pytest.fixture
def site(monkeypatch, data_dir, tmp_path):
    """Two small files stand for the official ones, as .zip and as .gz."""
    with serve() as site:
        md5 = {}
        for name in ("shd_train", "shd_test"):
            content = write(tmp_path / f"{name}.h5").read_bytes()
            md5[f"{name}.h5"] = hashlib.md5(content).hexdigest()
            with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
                archive.writestr(f"{name}.h5", content)
                archive.writestr(f"__MACOSX/._{name}.h5", b"remarks")
            site.files[f"{name}.h5.zip"] = (tmp_path / "x.zip").read_bytes()
            site.files[f"{name}.h5.gz"] = gzip.compress(content)
        monkeypatch.setattr(datasets, "SHD_MD5", md5)
        monkeypatch.setenv("SHD_BASE_URL", site.address)
        yield site


def names(folder):
    return sorted(p.name for p in folder.iterdir() if p.name != ".lock")


def test_download_then_second_run_without_network(site, data_dir, monkeypatch):
    files = datasets.locate("shd")
    assert [path.name for path in files] == ["shd_train.h5.zip", "shd_test.h5.zip"]
    for path in files:
        assert path.read_bytes() == site.files[path.name]
        check_good(read_shd(path))
    assert site.asked == [("shd_train.h5.zip", 0), ("shd_test.h5.zip", 0)]
    assert names(data_dir / "shd") == ["shd_test.h5.zip", "shd_train.h5.zip"]
    monkeypatch.setenv("SHD_BASE_URL", "http://127.0.0.1:9/closed")
    assert datasets.locate("shd") == files


def test_gz_where_there_is_no_zip(site):
    del site.files["shd_train.h5.zip"], site.files["shd_test.h5.zip"]
    files = datasets.locate("shd")
    assert [path.name for path in files] == ["shd_train.h5.gz", "shd_test.h5.gz"]
    check_good(read_shd(files[0]))


def test_second_address(site, monkeypatch):
    monkeypatch.delenv("SHD_BASE_URL")
    monkeypatch.setattr(download, "SITES", ("http://127.0.0.1:9/closed/", f"{site.address}/"))
    check_good(read_shd(datasets.locate("shd")[0]))


def test_official_addresses():
    assert download.SITES == ("https://zenkelab.org/datasets/", "https://compneuro.net/datasets/")


@pytest.mark.parametrize("suffix", [".h5", ".h5.gz"])
def test_files_fetched_by_hand(site, data_dir, tmp_path, suffix):
    folder = data_dir / "shd"
    folder.mkdir(parents=True)
    for name in ("shd_train", "shd_test"):
        plain = (tmp_path / f"{name}.h5").read_bytes()
        content = plain if suffix == ".h5" else site.files[f"{name}.h5.gz"]
        (folder / f"{name}{suffix}").write_bytes(content)
    assert datasets.locate("shd") == (folder / f"shd_train{suffix}", folder / f"shd_test{suffix}")
    assert site.asked == []


def test_cut_download_goes_on_at_once(site):
    site.cut = [1000, 700]
    path = datasets.locate("shd")[0]
    assert path.read_bytes() == site.files[path.name]
    assert site.asked[:3] == [(path.name, 0), (path.name, 1000), (path.name, 1700)]


def test_cut_download_goes_on_in_the_next_call(site, data_dir, monkeypatch):
    monkeypatch.setattr(download, "TRIES", 1)
    site.cut = [1000]
    with pytest.raises(DatasetError, match=r"shd_train.h5.zip: .*it goes on where it was"):
        datasets.locate("shd")
    assert names(data_dir / "shd") == ["unfinished"]
    site.asked.clear()
    path = datasets.locate("shd")[0]
    assert path.read_bytes() == site.files[path.name]
    assert site.asked[0] == (path.name, 1000)


def test_site_without_ranges_starts_again(site):
    site.cut, site.knows_ranges = [1000], False
    path = datasets.locate("shd")[0]
    assert path.read_bytes() == site.files[path.name]


@pytest.mark.parametrize("extra", [0, 10])
def test_killed_before_the_file_was_checked(site, data_dir, extra):
    """A whole file, or one that is longer than the site's, waits in `unfinished`."""
    unfinished, whole = data_dir / "shd" / "unfinished", site.files["shd_train.h5.zip"]
    unfinished.mkdir(parents=True)
    (unfinished / "shd_train.h5.zip").write_bytes(whole + bytes(extra))
    assert datasets.locate("shd")[0].read_bytes() == whole


@pytest.mark.parametrize("fault", ["cut without length", "a page", "nothing"])
def test_failed_download_leaves_nothing_under_a_final_name(site, data_dir, fault):
    good = dict(site.files)
    if fault == "cut without length":  # only the content can tell
        site.tells_length, site.cut = False, [2000]
    elif fault == "a page":
        site.files = dict.fromkeys(good, b"<html>moved</html>" * 100)
    else:
        site.files = {}
    with pytest.raises(DatasetError, match=r"shd_train\.h5"):
        datasets.locate("shd")
    assert names(data_dir / "shd") == ["unfinished"]
    site.files = good  # and the next try succeeds
    assert datasets.locate("shd")[0].read_bytes() == good["shd_train.h5.zip"]


def test_no_network_at_all(data_dir, monkeypatch):
    monkeypatch.setenv("SHD_BASE_URL", "http://127.0.0.1:9/closed")
    with pytest.raises(DatasetError, match=r"SHD_BASE_URL to a mirror.*by hand.*'spoken'"):
        datasets.locate("shd")


def test_full_disk(site, data_dir, monkeypatch):
    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(download, "tqdm", full)
        with pytest.raises(DatasetError, match=r"No space left.*SHD_DATA_DIR"):
            datasets.locate("shd")
    check_good(read_shd(datasets.locate("shd")[0]))


def test_other_md5_names_both_values_and_the_way_on(site, data_dir, monkeypatch):
    found = datasets.SHD_MD5["shd_train.h5"]
    monkeypatch.setattr(datasets, "SHD_MD5", dict.fromkeys(datasets.SHD_MD5, 32 * "0"))
    with pytest.raises(DatasetError, match=f"{found}; {32 * '0'} was expected") as error:
        datasets.locate("shd")
    folder = data_dir / "shd"
    assert f"DATASET={str(folder)!r}" in str(error.value)
    (folder / "shd_test.h5.gz").write_bytes(site.files["shd_test.h5.gz"])
    assert datasets.dataset_name(datasets.locate(str(folder))) == "shd"


def test_official_hashes():
    assert datasets.SHD_MD5 == {
        "shd_train.h5.zip": "f3252aeb598ac776c1b526422d90eecb",
        "shd_test.h5.zip": "1503a5064faa34311c398fb0a1ed0a6f",
        "shd_train.h5": "8e9877c85f29a28dd353ea6a54402667",
        "shd_test.h5": "207ad1295a0ab611e22d1734989c254e",
    }
