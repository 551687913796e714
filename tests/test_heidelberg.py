"""The data set `hd` from small archives on a loopback server, and what may be wrong with them."""

import errno
import functools
import hashlib
import io
import os
import signal
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from shd_helpers.paths import ROOT
from shd_helpers.source import datasets, download, heidelberg, threads
from shd_helpers.source.cochlea import encode
from shd_helpers.source.heidelberg import Archive
from shd_helpers.source.shd_file import LANGUAGES, DatasetError, read_shd
from tests.loopback import serve

SHARED = ROOT.parent / "shared" / "data"
TRAIN = [  # not in the order of their names
    "lang-german_speaker-03_trial-12_digit-7.flac",
    "lang-english_speaker-11_trial-0_digit-0.flac",
    "lang-english_speaker-00_trial-3_digit-9.flac",
    "lang-german_speaker-00_trial-3_digit-0.flac",
    "lang-english_speaker-00_trial-13_digit-9.flac",
]
TEST = [
    "lang-german_speaker-05_trial-1_digit-2.flac",
    "lang-english_speaker-04_trial-40_digit-5.flac",
    "lang-english_speaker-00_trial-5_digit-1.flac",
]
LABELS = {"hd_train": [17, 0, 9, 10, 9], "hd_test": [12, 5, 1]}
SPEAKERS = {"hd_train": [3, 11, 0, 0, 0], "hd_test": [5, 4, 0]}


def flac(seed: int) -> bytes:
    """Return a chirp of 50 ms at 48 kHz, in 16 bit."""
    t = np.arange(2400) / 48_000
    with io.BytesIO() as file:
        soundfile.write(
            file, 0.3 * np.sin(2 * np.pi * (300 + 90 * seed + 2000 * t) * t), 48_000, format="FLAC"
        )
        return file.getvalue()


RECORDINGS = {name: flac(seed) for seed, name in enumerate(TRAIN + TEST)}


def pack(recordings=RECORDINGS, train=TRAIN, test=TEST, folder="audio/") -> bytes:
    """Return an archive as the site has it; a list that is None is left out."""
    members = {f"{folder}{name}": content for name, content in recordings.items()}
    for part, names in (("train", train), ("test", test)):
        if names is not None:
            members[f"{part}_filenames.txt"] = "".join(f"{n}\n" for n in names).encode()
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w:gz") as tar:
            for name, content in members.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return file.getvalue()


def describe(recordings=RECORDINGS, n_train=5, n_test=3) -> Archive:
    lines = [f"{name} {hashlib.sha256(recordings[name]).hexdigest()}\n" for name in recordings]
    digest = hashlib.sha256("".join(sorted(lines)).encode()).hexdigest()
    n_bytes = sum(map(len, recordings.values()))
    return Archive("hd_audio.tar.gz", n_train, n_test, n_bytes, digest, (4, 5))


@functools.cache
def oracle(name: str, content: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Call the cochlea with the seed of the documentation."""
    text = f"{name} 0 {hashlib.sha256(content).hexdigest()}"
    seed = int(hashlib.sha256(text.encode()).hexdigest()[:16], 16)
    wave, rate_hz = soundfile.read(io.BytesIO(content))
    times, units = encode(wave, rate_hz, seed)
    return times.astype(np.float16), units


@pytest.fixture
def encoded(monkeypatch):
    """Names of the recordings that were encoded; no recording is encoded twice in all tests."""
    names = []

    def encode_once(path):
        names.append(path.name)
        key = path.name, path.read_bytes()
        if key not in _SPIKES:
            _SPIKES[key] = encode_file(path)
        return _SPIKES[key]

    encode_file = heidelberg.encode_file
    monkeypatch.setattr(heidelberg, "encode_file", encode_once)
    return names


_SPIKES = {}


@pytest.fixture
def site(monkeypatch, data_dir, encoded):
    """The site with a good small archive, whose description stands for the official one."""
    with serve() as site:
        site.files["hd_audio.tar.gz"] = pack()
        monkeypatch.setenv("SHD_BASE_URL", site.address)
        monkeypatch.setattr(heidelberg, "HD_AUDIO", describe())
        monkeypatch.setattr(heidelberg, "CHUNK", 2)
        yield site


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


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


def test_from_site_to_spikes(site, data_dir, encoded):
    files = datasets.locate("hd")
    check_good(files)
    assert names(data_dir / "hd") == DONE
    assert datasets.dataset_name(files) == "hd"
    site.asked.clear()
    encoded.clear()
    before = [path.read_bytes() for path in files]
    assert datasets.locate("hd") == files
    assert [path.read_bytes() for path in files] == before
    assert site.asked == encoded == []


def test_other_code_or_other_archive_makes_the_files_anew(site, data_dir, encoded, monkeypatch):
    datasets.locate("hd")
    site.files.clear()
    with monkeypatch.context() as patch:
        patch.setattr(heidelberg, "SPIKES", heidelberg.SPIKES + 1)
        check_good(datasets.locate("hd"))
    assert len(encoded) == 2 * len(RECORDINGS)
    monkeypatch.setattr(heidelberg, "HD_AUDIO", describe(dict(list(RECORDINGS.items())[1:])))
    with pytest.raises(DatasetError, match="remove it first"):
        datasets.locate("hd")
    assert names(data_dir / "hd") == ["hd_audio.tar.gz", "unfinished"]


@pytest.mark.parametrize(
    "line",
    [
        "audio/{}.flac\n",
        "{}\r\n",
        '"./hd_audio/audio/{}.flac"\n',
        "audio\\{}.wav\n\n",
        " {}.npz \n",
    ],
)
def test_lists_with_folders_and_endings(site, data_dir, line):
    archive = pack(folder="./hd_audio/audio/", train=None, test=None)
    (data_dir / "hd").mkdir(parents=True)
    for part, listed in (("train", TRAIN), ("test", TEST)):
        text = "".join(line.format(name.removesuffix(".flac")) for name in listed)
        (data_dir / "hd" / f"{part}_filenames.txt").write_bytes(text.encode("utf-8-sig"))
    site.files["hd_audio.tar.gz"] = archive
    assert [read_shd(path).files for path in datasets.locate("hd")] == [tuple(TRAIN), tuple(TEST)]


def test_cut_download_goes_on(site):
    site.cut = [3000, 2000]
    check_good(datasets.locate("hd"))
    starts = [start for name, start in site.asked if name == "hd_audio.tar.gz"]
    assert starts == [0, 3000, 5000]


def test_cut_download_goes_on_in_the_next_call(site, data_dir, monkeypatch):
    monkeypatch.setattr(download, "TRIES", 1)
    site.cut = [3000]
    with pytest.raises(DatasetError, match=r"hd_audio.tar.gz: .*it goes on where it was"):
        datasets.locate("hd")
    assert names(data_dir / "hd") == ["unfinished"]
    site.asked.clear()
    check_good(datasets.locate("hd"))
    assert site.asked[0] == ("hd_audio.tar.gz", 3000)


def damaged(at: int = 60) -> dict[str, bytes]:
    content = bytearray(RECORDINGS[TEST[0]])
    content[-at] ^= 1
    return RECORDINGS | {TEST[0]: bytes(content)}


def members(*added: tarfile.TarInfo) -> bytes:
    with io.BytesIO() as file:
        with tarfile.open(fileobj=file, mode="w:gz") as tar:
            for info in added:
                info.size = 4 if info.isreg() else 0
                tar.addfile(info, io.BytesIO(b"evil"))
        return file.getvalue()


def link() -> tarfile.TarInfo:
    info = tarfile.TarInfo("audio/x.flac")
    info.type, info.linkname = tarfile.SYMTYPE, "../../../../secret"
    return info


FEWER = {name: content for name, content in RECORDINGS.items() if name != TEST[1]}
BAD_ARCHIVES = {
    "one damaged recording": (pack(damaged()), "8 recordings, .*were expected"),
    "one recording less": (pack(FEWER), "7 recordings, .*; 8 recordings, .*were expected"),
    "one twice": (pack(RECORDINGS | {f"b/{TRAIN[0]}": RECORDINGS[TRAIN[0]]}), "9 recordings"),
    "another name": (pack(FEWER | {"x.flac": RECORDINGS[TEST[1]]}), "8 recordings"),
    "half an archive": (pack()[:4000], "not a complete archive"),
    "no archive": (b"<html>moved</html>" * 1000, "not a complete archive"),
    "empty": (b"", "not a complete archive"),
    "a way out": (members(tarfile.TarInfo("../../evil.flac")), "not a complete archive.*outside"),
    "a link out": (members(link()), "not a complete archive.*outside"),
}


@pytest.mark.parametrize("fault", BAD_ARCHIVES)
def test_bad_archive(site, data_dir, tmp_path, fault):
    site.files["hd_audio.tar.gz"], message = BAD_ARCHIVES[fault]
    outside = set(tmp_path.rglob("*"))
    with pytest.raises(DatasetError, match=message) as error:
        datasets.locate("hd")
    assert "hd_audio.tar.gz" in str(error.value) and "Start again" in str(error.value)
    assert names(data_dir / "hd") == ["unfinished"]
    written = set(tmp_path.rglob("*")) - outside - set(data_dir.rglob("*"))
    assert written == {data_dir}
    site.files["hd_audio.tar.gz"] = pack()  # the next call downloads it anew
    check_good(datasets.locate("hd"))


def test_bad_archive_put_there_by_hand_is_kept(site, data_dir):
    (data_dir / "hd").mkdir(parents=True)
    (data_dir / "hd" / "hd_audio.tar.gz").write_bytes(pack(FEWER))
    with pytest.raises(DatasetError, match="by hand: remove it first"):
        datasets.locate("hd")
    (data_dir / "hd" / "hd_audio.tar.gz").write_bytes(pack())
    check_good(datasets.locate("hd"))
    assert site.asked == []


STRANGE = "lang-french_speaker-00_trial-0_digit-0.flac"
BAD_LISTS = {
    "no train list": (None, TEST, "no train_filenames.txt"),
    "no test list": (TRAIN, None, "no test_filenames.txt"),
    "swapped": (TEST, TRAIN, "speaker-05.* is of a speaker who is only in the test file"),
    "missing file": (TRAIN, [*TEST[:2], TEST[2].replace("trial-5", "trial-6")], "trial-6.*is not"),
    "twice in one": ([*TRAIN[:4], TRAIN[0]], TEST, "listed twice"),
    "in both": (TRAIN, [*TEST[:2], TRAIN[0]], "listed twice"),
    "too short": (TRAIN, TEST[:2], "2 recordings, 3 were expected"),
    "no rule": (TRAIN, [*TEST[:2], STRANGE], "lang-french.* is no name of the kind"),
    "no text": (TRAIN, ["\x00\x01\x02", "\xff"], "is no name of the kind"),
}


@pytest.mark.parametrize("fault", BAD_LISTS)
def test_bad_list(site, data_dir, encoded, fault):
    train, test, message = BAD_LISTS[fault]
    site.files["hd_audio.tar.gz"] = pack(train=train, test=test)
    with pytest.raises(DatasetError, match=message) as error:
        datasets.locate("hd")
    part = "train" if fault in ("no train list", "swapped", "twice in one") else "test"
    folder = data_dir / "hd"
    assert f"Put the official {part}_filenames.txt into {folder}" in str(error.value)
    assert names(folder) == ["hd_audio.tar.gz", "unfinished"]
    assert encoded == []
    site.files.clear()  # as it says: no second download
    (folder / "train_filenames.txt").write_text("\n".join(TRAIN))
    (folder / "test_filenames.txt").write_text("\n".join(TEST))
    check_good(datasets.locate("hd"))


def test_recording_whose_name_fits_no_rule(site, monkeypatch):
    recordings = FEWER | {STRANGE: RECORDINGS[TEST[1]]}
    site.files["hd_audio.tar.gz"] = pack(recordings, test=[TEST[0], STRANGE, TEST[2]])
    monkeypatch.setattr(heidelberg, "HD_AUDIO", describe(recordings))
    with pytest.raises(DatasetError, match=f"test_filenames.txt: {STRANGE} is no name"):
        datasets.locate("hd")


def test_recording_that_cannot_be_decoded(site, data_dir, monkeypatch):
    recordings = RECORDINGS | {TEST[0]: b"fLaC but nothing follows"}
    site.files["hd_audio.tar.gz"] = pack(recordings)
    monkeypatch.setattr(heidelberg, "HD_AUDIO", describe(recordings))
    with pytest.raises(DatasetError, match=rf"{TEST[0]}: .*hd_audio.tar.gz: remove that file"):
        datasets.locate("hd")
    assert names(data_dir / "hd") == ["hd_audio.tar.gz", "unfinished"]


def test_full_disk_and_then_it_goes_on(site, data_dir, encoded, monkeypatch):
    written = []

    def fill(path, *arguments, **settings):
        written.append(path)
        if len(written) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_shd(path, *arguments, **settings)

    write_shd = heidelberg.write_shd
    with monkeypatch.context() as patch:
        patch.setattr(heidelberg, "write_shd", fill)
        patch.setattr(threads, "N_THREADS", 1)
        with pytest.raises(DatasetError, match=r"No space left.*Free some space, .*it goes on"):
            datasets.locate("hd")
    assert names(data_dir / "hd") == ["hd_audio.tar.gz", "unfinished"]
    kept = [len(read_shd(path)) for path in written if path.is_file()]
    assert len(kept) >= 2
    encoded.clear()
    check_good(datasets.locate("hd"))
    assert len(encoded) == len(RECORDINGS) - sum(kept)
    assert names(data_dir / "hd") == DONE


@pytest.mark.parametrize(("fault", "n_anew"), [("damaged part", (1, 2)), ("other code", (8, 8))])
def test_parts_that_cannot_be_used_are_made_again(
    site, data_dir, encoded, monkeypatch, fault, n_anew
):
    with monkeypatch.context() as patch:
        patch.setattr(heidelberg, "atomic", None)  # stops it before the receipt
        with pytest.raises(TypeError):
            datasets.locate("hd")
    parts = sorted((data_dir / "hd" / "unfinished" / "spikes").iterdir())
    assert len(parts) == 5
    if fault == "damaged part":
        os.truncate(parts[0], 1000)
    else:
        monkeypatch.setattr(heidelberg, "SPIKES", heidelberg.SPIKES + 1)
    (data_dir / "hd" / "hd_test.h5").write_bytes(b"of a stopped run")
    encoded.clear()
    check_good(datasets.locate("hd"))
    assert n_anew[0] <= len(encoded) <= n_anew[1]


def test_killed_half_way_and_started_again(site, data_dir, encoded):
    folder = data_dir / "hd"
    code = (
        "import time; from pathlib import Path; from shd_helpers.source import heidelberg as h\n"
        "encode, h.CHUNK = h.encode_file, 2\n"
        "h.encode_file = lambda path: (time.sleep(0.3), encode(path))[1]\n"
        f"h.make_heidelberg(Path({str(folder)!r}), h.{describe()!r})"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | {"NUMBA_NUM_THREADS": "1"}
    )
    deadline = time.monotonic() + 120
    while len(list(folder.glob("unfinished/spikes/*.h5"))) < 2 and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    kept = len(list(folder.glob("unfinished/spikes/*.h5")))
    assert 2 <= kept < 5
    assert names(folder) == ["hd_audio.tar.gz", "unfinished"]
    site.files.clear()
    check_good(datasets.locate("hd"))
    assert len(RECORDINGS) - len(encoded) in (2 * kept, 2 * kept - 1)  # a list may end with one
    assert names(folder) == DONE


def test_two_at_once(site, data_dir, encoded, capsys):
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(datasets.locate("hd"))) for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 2 and results[0] == results[1]
    check_good(results[0])
    assert sorted(encoded) == sorted(RECORDINGS)
    assert [name for name, _ in site.asked].count("hd_audio.tar.gz") == 1


def test_md5_of_the_site(site, recwarn):
    digest = hashlib.md5(site.files["hd_audio.tar.gz"]).hexdigest()
    site.files["md5sums.txt"] = f"{'0' * 32}  other.gz\n{digest}  hd_audio.tar.gz\n".encode()
    datasets.locate("hd")
    assert not [w for w in recwarn if "md5sums" in str(w.message)]


def test_other_md5_of_the_site_is_told(site):
    site.files["md5sums.txt"] = f"{'0' * 32} *./hd_audio.tar.gz\n".encode()
    with pytest.warns(UserWarning, match=rf"md5sums.txt says {'0' * 32}.*lists of names"):
        check_good(datasets.locate("hd"))


def test_official_archive():
    official = heidelberg.HD_AUDIO
    assert (official.n_train + official.n_test, official.n_bytes) == (10_420, 337_505_409)
    assert official.sha256 == "d4f5028889bbaf465ee8002b851b5af457d62d9af9572526f123189ee4d663e8"
    assert official.test_only == (4, 5)
    if (SHARED / "README.md").is_file():
        assert official.sha256 in (SHARED / "README.md").read_text()


@pytest.mark.parametrize(
    "every", [16, pytest.param(1, marks=pytest.mark.slow)], ids=["6 recordings", "all 92"]
)
def test_shared_recordings_have_the_shared_spikes(every, site, monkeypatch):
    if not (SHARED / "hd_audio").is_dir():
        pytest.skip(f"no recordings in {SHARED / 'hd_audio'}")
    paths = sorted((SHARED / "hd_audio").iterdir())[::every]
    recordings = {path.name: path.read_bytes() for path in paths}
    shared = [read_shd(SHARED / "hd_spikes" / f"hd_{part}.h5.gz") for part in ("train", "test")]
    lists = [[name for name in read.files if name in recordings] for read in shared]
    assert sorted(lists[0] + lists[1]) == sorted(recordings)
    site.files["hd_audio.tar.gz"] = pack(recordings, *lists)
    monkeypatch.setattr(heidelberg, "HD_AUDIO", describe(recordings, *map(len, lists)))
    for path, theirs, listed in zip(datasets.locate("hd"), shared, lists, strict=True):
        read = read_shd(path)
        for i, name in enumerate(listed):
            j = theirs.files.index(name)
            for ours, other in zip(read.spikes(i), theirs.spikes(j), strict=True):
                np.testing.assert_array_equal(ours, other, err_msg=name)
            assert (read.labels[i], read.speakers[i]) == (theirs.labels[j], theirs.speakers[j])
