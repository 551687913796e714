"""Downloads that were interrupted, from a server on this machine."""

import hashlib

import pytest

from corpus_tests.loopback import serve
from shd_corpus.checks import DatasetError
from shd_corpus.download import download

CHUNK = 2**16  # bytes that are written at once
CONTENT = bytes(range(256)) * 2000


@pytest.fixture
def site(monkeypatch):
    with serve() as site:
        site.files["a.bin"] = CONTENT
        monkeypatch.setenv("SHD_BASE_URL", site.address)
        monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)  # before it tries again
        yield site


@pytest.mark.parametrize("can_continue", [True, False])
def test_download_goes_on_where_it_was_interrupted(site, tmp_path, can_continue):
    site.can_continue = can_continue
    site.cut = [CHUNK, 3 * CHUNK]  # the first call tries twice, and fails
    with pytest.raises(DatasetError, match="the download failed"):
        download("a.bin", tmp_path, None)
    path = download("a.bin", tmp_path, f"sha256:{hashlib.sha256(CONTENT).hexdigest()}")
    assert path.read_bytes() == CONTENT
    assert [each.name for each in tmp_path.iterdir()] == ["a.bin"]
    assert site.ranges == [0, CHUNK, (4 if can_continue else 3) * CHUNK]


def test_download_that_lacked_only_its_name_is_used(site, tmp_path):
    (tmp_path / "download").mkdir()
    (tmp_path / "a.bin.begun").write_bytes(CONTENT)
    assert download("a.bin", tmp_path, None).read_bytes() == CONTENT


def test_begun_download_of_another_file_is_replaced(site, tmp_path):
    (tmp_path / "a.bin.begun").write_bytes(b"something else")
    digest = hashlib.sha256(CONTENT).hexdigest()
    assert download("a.bin", tmp_path, f"sha256:{digest}").read_bytes() == CONTENT
