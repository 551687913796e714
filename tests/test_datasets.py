"""Data sets by name: found in a folder, or downloaded from a server on loopback.

One command trains and judges a recipe on the official files, of which a stand-in is made here.

The real files couldn't be had. The stand-in has their layout, their names, their numbers of
utterances, about their number of spikes, their 20 classes, and their speakers: 4 and 5 speak in the
test file alone.
"""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from corpus_tests.loopback import serve
from corpus_tests.made_files import check_good, names, packed, write
from shd_corpus import download, heidelberg
from shd_corpus.checks import DatasetError
from shd_corpus.class_names import ENGLISH, GERMAN
from shd_corpus.shd_file import read_shd, write_shd
from shd_helpers import data as datasets
from shd_helpers.paths import ROOT


def test_locate_finds_one_pair(tmp_path):
    for name in ("x_train.h5.gz", "x_test.h5", "y_train.h5", "notes.txt"):
        (tmp_path / name).touch()
    train, test = datasets.obtain(str(tmp_path))
    assert (train.name, test.name) == ("x_train.h5.gz", "x_test.h5")
    assert datasets.dataset_name((train, test)) == "x"
    (tmp_path / "y_test.h5").touch()
    with pytest.raises(DatasetError, match=r"2 pairs.*: x, y\. Keep one"):
        datasets.obtain(str(tmp_path))
    for name in ("x_test.h5", "y_test.h5"):
        (tmp_path / name).unlink()
    with pytest.raises(DatasetError, match=r"and has x_train\.h5\.gz, y_train\.h5\. .*put both"):
        datasets.obtain(str(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(DatasetError, match=r"needs two files, <name>_train\.h5 and .* has none\."):
        datasets.obtain(str(tmp_path / "empty"))
    with pytest.raises(DatasetError, match=r"no such folder"):
        datasets.obtain(str(tmp_path / "absent"))


def test_hd_is_made_in_the_folder_of_data(data_dir, monkeypatch):
    monkeypatch.setattr(heidelberg, "download_heidelberg", lambda *called: called)
    assert datasets.obtain("hd") == (data_dir / "hd", "cochlea")
    assert datasets.obtain("hd", "filter_bank") == (data_dir / "hd", "filter_bank")


def test_spikes_have_the_encoder_that_made_them(tmp_path):
    for folder, extra in (("own", {"n_channels": 77}), ("other", {})):
        for part in ("train", "test"):
            path = tmp_path / folder / f"x_{part}.h5"
            write_shd(path, [[0.1]], [[70]], [0], [0], ("a",), extra)
    for name in ("shd", str(tmp_path / "other")):
        with pytest.raises(DatasetError, match=r"'filter_bank': .* wasn't encoded so"):
            datasets.obtain(name, "filter_bank")
    assert datasets.obtain(str(tmp_path / "own"), "filter_bank")[0].name == "x_train.h5"
    with pytest.raises(ValueError, match="encoder 'ear': must be one of cochlea, filter_bank"):
        datasets.obtain("digits", "ear")


def test_fingerprint(tmp_path):
    train = write(tmp_path / "x_train.h5")
    test = write(tmp_path / "x_test.h5", labels=[0, 1, 2])
    digests = [hashlib.sha256(path.read_bytes()).hexdigest() for path in (train, test)]
    wanted = {"name": "x", "train_sha256": digests[0], "test_sha256": digests[1]}
    assert datasets.fingerprint((train, test)) == wanted
    assert datasets.fingerprint((packed(train, ".gz"), packed(test, ".zip"))) == wanted


# ---- download ----


@pytest.fixture
def site(monkeypatch, data_dir, tmp_path):
    """Two small zip files stand for the official ones."""
    with serve() as site:
        md5 = {}
        for name in ("shd_train.h5", "shd_test.h5"):
            plain = write(tmp_path / name)
            for path in (plain, packed(plain, ".zip")):
                md5[path.name] = hashlib.md5(path.read_bytes()).hexdigest()
            site.files[path.name] = path.read_bytes()
        monkeypatch.setattr(datasets, "SHD_MD5", md5)
        monkeypatch.setattr("pooch.core.time.sleep", lambda _: None)  # before it tries again
        monkeypatch.setenv("SHD_BASE_URL", site.address)
        yield site


def test_download_then_second_run_without_network(site, data_dir, monkeypatch, capfd):
    files = datasets.obtain("shd")
    assert [path.name for path in files] == ["shd_train.h5.zip", "shd_test.h5.zip"]
    for path in files:
        assert path.read_bytes() == site.files[path.name]
        check_good(read_shd(path))
    assert site.asked == ["shd_train.h5.zip", "shd_test.h5.zip"]
    assert names(data_dir / "shd") == ["shd_test.h5.zip", "shd_train.h5.zip"]
    assert "Downloading" not in capfd.readouterr().err
    monkeypatch.setenv("SHD_BASE_URL", "http://127.0.0.1:9/closed")
    assert datasets.obtain("shd") == files


def test_second_address(site, monkeypatch):
    monkeypatch.delenv("SHD_BASE_URL")
    monkeypatch.setattr(download, "SITES", ("http://127.0.0.1:9/closed/", f"{site.address}/"))
    check_good(read_shd(datasets.obtain("shd")[0]))


@pytest.mark.parametrize("suffix", ["", ".gz", ".zip"])
def test_files_fetched_by_hand(site, data_dir, tmp_path, suffix):
    folder = data_dir / "shd"
    folder.mkdir(parents=True)
    for name in ("shd_train.h5", "shd_test.h5"):
        path = packed(tmp_path / name, suffix)
        path.rename(folder / path.name)
    assert [path.parent for path in datasets.obtain("shd")] == [folder] * 2
    assert site.asked == []
    (folder / f"shd_test.h5{suffix}").write_bytes(b"another")
    with pytest.raises(DatasetError, match=r"shd_test.*: (has the MD5|damaged)"):
        datasets.obtain("shd")


@pytest.mark.parametrize(
    ("content", "cut", "why"),
    [
        (b"<html>moved</html>" * 100, [], "hash of downloaded file .* does not match"),
        (None, [], "404"),
        (bytes(5000), [3000, 3000], "3000 bytes read, 2000 more expected"),
    ],
    ids=["another file", "no file", "half a file"],
)
def test_a_failed_download_ends_in_one_sentence_and_leaves_no_data(
    site, data_dir, content, cut, why
):
    good = site.files.pop("shd_train.h5.zip")
    site.cut = cut
    if content:
        site.files["shd_train.h5.zip"] = content
    with pytest.raises(DatasetError, match=rf"shd_train\.h5\.zip: .*{why}.*by hand") as error:
        datasets.obtain("shd")
    assert "\n" not in str(error.value)
    left = {path.suffix for path in (data_dir / "shd").rglob("*.h5*")}
    assert left <= {".begun"}  # which the next download continues
    assert not list((data_dir / "shd" / "download").glob("*"))
    site.files["shd_train.h5.zip"] = good  # and the next try succeeds
    assert datasets.obtain("shd")[0].read_bytes() == good


SIZES = {"train": 8156, "test": 2264}
SPIKES = 8000  # of an utterance; hd has about as many
TRAINING_SPEAKERS = (0, 1, 2, 3, 6, 7, 8, 9, 10, 11)


def write_stand_in(folder, share):
    """Write files of a share of the official size; a class is a ridge over channels and time."""
    rng = np.random.default_rng(0)
    for part, n_in_all in SIZES.items():
        n = round(share * n_in_all)
        labels = np.arange(n) % 20
        speakers = rng.choice(TRAINING_SPEAKERS, n)
        if part == "test":
            speakers[: round(0.81 * n)] = rng.choice([4, 5], round(0.81 * n))
        times = []
        units = []
        for label in labels:
            moments = np.sort(rng.uniform(0, 0.8, SPIKES)).astype(np.float16)
            center = 170 + 25 * label + 200 * moments * (label % 3 - 1)
            times.append(moments)
            units.append(np.clip(rng.normal(center, 15), 0, 699).astype(np.uint16))
        write_shd(folder / f"shd_{part}.h5", times, units, labels, speakers, ENGLISH + GERMAN)


@pytest.mark.parametrize(
    "share",
    [pytest.param(0.05, marks=pytest.mark.slow), pytest.param(1.0, marks=pytest.mark.full)],
)
def test_one_command_trains_and_judges_a_recipe(tmp_path, share):
    """One of five seeds, for one epoch instead of thirty."""
    data = tmp_path / "official"
    data.mkdir()
    write_stand_in(data, share)
    environment = dict(os.environ)
    for name in ("RUNS", "RESULTS", "DATA"):
        environment[f"SHD_{name}_DIR"] = str(tmp_path / name.lower())
    command = [sys.executable, "-m", "shd_helpers.sweeps.runner", "official", "--shard", "1/5"]
    command += ["--set", f"dataset={data}", "--set", "epochs=1"]
    ended = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "1 executed, 0 failed" in ended.stdout
    (path,) = (tmp_path / "results").glob("official_shd*.csv")
    (row,) = pd.read_csv(path).to_dict("records")
    assert row["status"] == "done" and row["parameters"] == 21_640
    assert row["test_accuracy"] > 0.1  # chance is 0.05
    (folder,) = {path.parent for path in (tmp_path / "runs").rglob("run.json")}
    said = pd.read_csv(folder / "predictions.csv")
    assert len(said) == round(share * SIZES["test"])
    seen = json.loads((folder / "run.json").read_text())["seen_speakers"]
    assert {*said.speaker} - {*seen} == {4, 5}
