"""Reading, checking and finding data sets, against files made by hand."""

import gzip
import hashlib
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import h5py
import numpy as np
import pytest

from shd_helpers.source import datasets
from shd_helpers.source import shd_file as layout
from shd_helpers.source.shd_file import ENGLISH, GERMAN, DatasetError, language_classes, read_shd

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
        file["labels"] = np.array(content["labels"], dtype="i4")
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
        ({"labels": [3, 1]}, "2 labels"),
        ({"speaker": [4]}, "1 speakers"),
        ({"speaker": None}, "extra/speaker missing"),
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


def test_keys_with_umlaut(tmp_path):
    keys = [("fünf" if key == "fuenf" else key).encode() for key in KEYS]
    assert read_shd(write(tmp_path / "u.h5", keys=keys)).keys == KEYS


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


# ---- download, from a server on loopback ----

BODY = bytes(range(256)) * 4000


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.requests.append(self.path)
        mode = server.mode
        if mode == "404":
            self.send_error(404)
            return
        body = BODY if mode != "wrong" else BODY[::-1]
        self.send_response(200)
        if mode != "truncated":  # without a length only the hash can tell
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if mode in ("good", "wrong") else body[: len(body) // 2])

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch, data_dir):
    digest = f"md5:{hashlib.md5(BODY).hexdigest()}"
    monkeypatch.setattr(datasets, "SHD_FILES", dict.fromkeys(datasets.SHD_FILES, digest))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requests = []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"http://127.0.0.1:{server.server_address[1]}/mirror"
        monkeypatch.setenv("SHD_BASE_URL", address)
        yield server
        server.shutdown()
        thread.join()


def test_download_then_second_run_without_network(server, data_dir, monkeypatch):
    server.mode = "good"
    files = datasets.locate("shd")
    assert [path.name for path in files] == ["shd_train.h5.zip", "shd_test.h5.zip"]
    assert all(path.read_bytes() == BODY for path in files)
    assert server.requests == ["/mirror/shd_train.h5.zip", "/mirror/shd_test.h5.zip"]
    monkeypatch.setenv("SHD_BASE_URL", "http://127.0.0.1:9/closed")
    assert datasets.locate("shd") == files


@pytest.mark.parametrize("mode", ["truncated", "wrong", "404", "cut"])
def test_failed_download_leaves_nothing(server, data_dir, mode):
    server.mode = mode
    with pytest.raises(DatasetError, match="SHD_BASE_URL") as error:
        datasets.locate("shd")
    assert "shd_train.h5.zip" in str(error.value)
    assert not list((data_dir / "shd").glob("*"))
    server.mode = "good"  # and the next try succeeds
    assert datasets.locate("shd")[0].read_bytes() == BODY


def test_no_network_at_all(data_dir, monkeypatch):
    monkeypatch.setenv("SHD_BASE_URL", "http://127.0.0.1:9/closed")
    with pytest.raises(DatasetError, match="by hand"):
        datasets.locate("shd")


def test_official_hashes():
    assert datasets.SHD_FILES == {
        "shd_train.h5.zip": "md5:f3252aeb598ac776c1b526422d90eecb",
        "shd_test.h5.zip": "md5:1503a5064faa34311c398fb0a1ed0a6f",
    }
