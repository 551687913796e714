"""Where the package reads and writes, in a checkout and without one."""

import pytest

from shd_helpers import paths
from shd_helpers.paths import CheckoutError
from shd_helpers.sweeps.sweep_file import SweepError, read_sweep

FOLDERS = ("SHD_DATA_DIR", "SHD_RUNS_DIR", "SHD_RESULTS_DIR", "SHD_IMG_DIR")


@pytest.fixture(autouse=True)
def work(tmp_path, monkeypatch):
    """A working directory, in which no variable names a folder."""
    for name in FOLDERS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


@pytest.fixture
def installed(monkeypatch):
    """The package as if it were installed without a checkout."""
    monkeypatch.setattr(paths, "IN_CHECKOUT", False)


def folders():
    return [
        paths.runs_dir(),
        paths.results_dir(),
        paths.data_dir(),
        paths.networks_dir(),
        paths.img_dir(),
        paths.resolve("x"),
    ]


def test_in_a_checkout_all_folders_are_below_its_root():
    wanted = ["runs", "results", "data", "results/networks", "runs/img", "x"]
    assert folders() == [paths.ROOT / name for name in wanted]
    assert paths.folder_variables() == {}
    paths.need_checkout("Nothing")


def test_without_a_checkout_nothing_is_written_beside_the_package(work, installed):
    caches = work.parent / "caches" / "shd_helpers"
    networks = paths.PACKAGE / "pretrained_networks"
    expected = [
        work / "runs",
        work / "results",
        caches,
        networks,
        work / "runs" / "img",
        work / "x",
    ]
    assert folders() == expected


def test_without_a_checkout_other_processes_are_told_the_folders(work, installed, monkeypatch):
    caches = work.parent / "caches" / "shd_helpers"
    expected = {"SHD_DATA_DIR": str(caches), "SHD_RUNS_DIR": str(work / "runs")}
    assert paths.folder_variables() == expected
    monkeypatch.setenv("SHD_RESULTS_DIR", "mine")
    assert paths.folder_variables() == expected | {"SHD_RESULTS_DIR": str(work / "mine")}
    assert paths.networks_dir() == work / "mine" / "networks"


def test_what_needs_a_checkout_is_refused_without_one(work, installed):
    with pytest.raises(CheckoutError, match="It reads them, so it needs a checkout of the study"):
        paths.need_checkout("It reads them")
    with pytest.raises(CheckoutError, match=r"'final' is a sweep .*needs a checkout"):
        read_sweep("final")
    (work / "mine.yaml").write_text(
        "name: mine\nnotebook: 03_model_training\nfixed: {}\ngrid: {}\nseeds: [0]\n"
    )
    with pytest.raises(SweepError, match=r"mine\.yaml: notebook: '03_model_training' is a"):
        read_sweep("mine.yaml")


def test_own_sweeps_have_their_tables_in_the_working_directory(work, monkeypatch):
    text = "name: mine\nnotebook: 03_model_training\nfixed: {dataset: hd, language: english}\n"
    text += (
        "grid:\n  slope: [2.0]\n  size: {small: {n_hidden: 8}, large: {n_hidden: 9, lr: 1e-3}}\n"
    )
    (work / "mine.yaml").write_text(text + "seeds: [0]\n")
    monkeypatch.setattr("shd_helpers.sweeps.sweep_file.obtain_and_identify", lambda parameters: {})
    sweep = read_sweep("mine.yaml")
    assert sweep.table == work / "mine_hd.csv"
    monkeypatch.setenv("SHD_RESULTS_DIR", str(work / "tables"))
    assert read_sweep("mine.yaml").table == work / "tables" / "mine_hd.csv"


def test_the_study_s_own_sweeps_have_theirs_in_results(monkeypatch):
    monkeypatch.setattr(
        "shd_helpers.sweeps.sweep_file.obtain_and_identify", lambda parameters: {"name": "hd"}
    )
    for name in ("networks", paths.ROOT / "sweeps" / "networks.yaml"):
        sweep = read_sweep(name)
        assert sweep.table.parent == paths.ROOT / "results"


def test_a_frozen_table_is_named_before_data_are_downloaded(monkeypatch, tmp_path):
    monkeypatch.setattr(
        "shd_helpers.sweeps.sweep_file.obtain_and_identify", lambda _: {"name": "located"}
    )
    with pytest.raises(SweepError, match=r"surrogates_hd\.csv: .* frozen.*fddb86fa"):
        read_sweep("surrogates")
    assert read_sweep("surrogates", {"dataset": "commands"}).runs[0].data
    monkeypatch.setenv("SHD_RESULTS_DIR", str(tmp_path))
    assert read_sweep("surrogates").runs[0].data
