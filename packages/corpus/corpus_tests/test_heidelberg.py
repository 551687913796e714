"""The data set `hd` from small archives on a loopback server, and what may be wrong with them."""

import functools
import hashlib
import io
import threading

import numpy as np
import pytest
import soundfile

from corpus_tests.loopback import serve
from corpus_tests.made_files import names
from corpus_tests.made_recordings import RECORDINGS, TEST, TRAIN, expect, pack
from shd_corpus import recordings, versions
from shd_corpus.checks import DatasetError
from shd_corpus.class_names import LANGUAGES
from shd_corpus.cochlea import encode
from shd_corpus.heidelberg import download_heidelberg
from shd_corpus.shd_file import read_shd

LABELS = {"hd_train": [17, 0, 9, 10, 9], "hd_test": [12, 5, 1]}
SPEAKERS = {"hd_train": [3, 11, 0, 0, 0], "hd_test": [5, 4, 0]}


@functools.cache
def oracle(name: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Call the cochlea with the seed of the documentation."""
    text = f"{name} 0 {hashlib.sha256(content).hexdigest()}"
    seed = hashlib.sha256(text.encode()).hexdigest()
    wave, rate_hz = soundfile.read(io.BytesIO(content))
    times, units = encode(wave, rate_hz, int(seed[:16], 16))
    return times.astype(np.float16), units


@pytest.fixture
def encoded(monkeypatch):
    """Names of the recordings that were encoded."""
    names = []

    def noted(path, seed, **options):
        names.append(path.name)
        return encode_file(path, seed, **options)

    encode_file = recordings.encode_file
    monkeypatch.setattr(recordings, "encode_file", noted)
    return names


@pytest.fixture
def folder(tmp_path):
    """Where the files are made; its name has a space."""
    return tmp_path / "data folder"


@pytest.fixture
def site(monkeypatch, encoded):
    """The site with a good small archive, whose description stands for the official one."""
    with serve() as site:
        site.files["hd_audio.tar.gz"] = pack()
        monkeypatch.setenv("SHD_BASE_URL", site.address)
        expect(monkeypatch)
        monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)  # before it tries again
        yield site


def check_good(files):
    assert [path.name for path in files] == ["hd_train.h5", "hd_test.h5"]
    for path, listed in zip(files, (TRAIN, TEST), strict=True):
        read = read_shd(path)
        assert read.files == tuple(listed)
        assert read.keys == LANGUAGES["both"]
        assert read.labels.tolist() == LABELS[path.stem]
        assert read.speakers.tolist() == SPEAKERS[path.stem]
        for i, name in enumerate(listed):
            times, units = oracle(name, RECORDINGS[name])
            part = slice(read.offsets[i], read.offsets[i + 1])
            assert len(times) > 100
            np.testing.assert_array_equal(read.times[part], times)
            np.testing.assert_array_equal(read.units[part], units)


DONE = ["hd.json", "hd_audio.tar.gz", "hd_test.h5", "hd_train.h5"]


def test_from_site_to_spikes(site, folder, encoded, monkeypatch):
    site.cut = [3000]  # and begins again
    files = download_heidelberg(folder)
    check_good(files)
    assert names(folder) == DONE
    site.asked.clear()
    encoded.clear()
    before = [path.read_bytes() for path in files]
    assert download_heidelberg(folder) == files
    assert [path.read_bytes() for path in files] == before
    assert site.asked == encoded == []
    site.files.clear()
    monkeypatch.setattr(versions, "SPIKES", versions.SPIKES + 1)  # other code: made anew
    check_good(download_heidelberg(folder))
    assert len(encoded) == len(RECORDINGS)


SWAPPED = RECORDINGS | {TEST[1]: RECORDINGS[TEST[0]]}
BAD_ARCHIVES = {
    "another sound": (pack(SWAPPED), "8 recordings with .*, but 8 with .* were expected"),
    "half an archive": (pack()[:4000], "not a complete archive"),
    "a way out": (pack(folder="../../"), "not a complete archive .*Outside"),
}


@pytest.mark.parametrize("fault", BAD_ARCHIVES)
def test_bad_archive(site, folder, tmp_path, fault):
    site.files["hd_audio.tar.gz"], message = BAD_ARCHIVES[fault]
    outside = set(tmp_path.rglob("*"))
    with pytest.raises(
        DatasetError, match=f"hd_audio.tar.gz: .*{message}.* Remove hd_audio.tar.gz and start"
    ):
        download_heidelberg(folder)
    written = set(tmp_path.rglob("*")) - outside - set(folder.rglob("*"))
    assert written == {folder}
    site.files["hd_audio.tar.gz"] = pack()
    (folder / "hd_audio.tar.gz").unlink()
    check_good(download_heidelberg(folder))


STRANGE = "lang-french_speaker-00_trial-0_digit-0.flac"
BAD_LISTS = {
    "no test list": (TRAIN, None),
    "missing file": (TRAIN, [*TEST[:2], TEST[2].replace("trial-5", "trial-6")]),
    "in both": (TRAIN, [*TEST[:2], TRAIN[0]]),
    "no rule": (TRAIN, [*TEST[:2], STRANGE]),
}


@pytest.mark.parametrize("fault", BAD_LISTS)
def test_bad_list(site, folder, encoded, fault):
    train, test = BAD_LISTS[fault]
    site.files["hd_audio.tar.gz"] = pack(train=train, test=test)
    with pytest.raises(DatasetError, match=r"not the official lists.* Put the official lists into"):
        download_heidelberg(folder)
    assert encoded == []
    site.files.clear()  # as it says: no second download
    for part, listed in (("train", TRAIN), ("test", TEST)):  # folders and endings don't matter
        text = "".join(f'"./audio/{name.removesuffix(".flac")}.wav"\r\n' for name in listed)
        (folder / f"{part}_filenames.txt").write_bytes(text.encode("utf-8-sig"))
    check_good(download_heidelberg(folder))


@pytest.mark.parametrize("found", ["hd_train.h5", "hd_test.h5"])
@pytest.mark.parametrize("is_online", [True, False])
def test_files_that_somebody_put_there_are_refused_and_stay(site, folder, found, is_online):
    if not is_online:
        site.files.clear()
    folder.mkdir()
    own = folder / found
    own.write_bytes(b"mine")
    refused = rf"{found}: was not made by this program, .*another folder, .*DATASET=.*remove it"
    with pytest.raises(DatasetError, match=refused):
        download_heidelberg(folder)
    assert own.read_bytes() == b"mine"
    assert site.asked == []
    own.unlink()
    if is_online:
        check_good(download_heidelberg(folder))


def test_files_of_an_older_version_stay_until_new_ones_are_made(site, folder, monkeypatch):
    files = download_heidelberg(folder)
    before = [path.read_bytes() for path in files]
    (folder / "hd_audio.tar.gz").unlink()
    site.files.clear()
    monkeypatch.setattr(versions, "SPIKES", versions.SPIKES + 1)
    with pytest.raises(DatasetError, match=r"download failed"):
        download_heidelberg(folder)
    assert [path.read_bytes() for path in files] == before


def test_two_at_once(site, folder, encoded):
    results = []

    def download():
        results.append(download_heidelberg(folder))

    threads = [threading.Thread(target=download) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2 and results[0] == results[1]
    check_good(results[0])
    assert sorted(encoded) == sorted(RECORDINGS)
    assert site.asked == ["hd_audio.tar.gz"]
