"""Fixtures that the tests of the study and of the circuit share.

They import what takes seconds when they are asked for: the process that only hands out tests needs
none of it.
"""

import functools
from pathlib import Path

import nbval.kernel
import pytest

from shd_corpus.shd_file import FILES
from tests.builders.browsers import CHROMIUM, FLAGS
from tests.toy import small_data, write_toy


def patient(start):
    """Start nbval's kernels once more if they die: another process was faster at a free port."""

    @functools.wraps(start)
    def started(*args, **kwargs):
        try:
            return start(*args, **kwargs)
        except RuntimeError:
            return start(*args, **kwargs)

    return started


nbval.kernel.start_new_kernel = patient(nbval.kernel.start_new_kernel)


@pytest.fixture(scope="session")
def toy_dir(tmp_path_factory):
    """The folder of the toy data set, which is read alone."""
    folder = tmp_path_factory.mktemp("toy")
    write_toy(folder, seed=0)
    return folder


@pytest.fixture(scope="module")
def chromium():
    """Return a function that starts chromium with more flags."""
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="Playwright isn't installed: make browser"
    )
    with playwright.sync_playwright() as running:  # whose end closes every browser
        yield lambda *flags: running.chromium.launch(
            executable_path=CHROMIUM, args=[*FLAGS, *flags]
        )


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """Downloads and caches of one test, in a folder whose name has a space."""
    folder = tmp_path / "data folder"
    monkeypatch.setenv("SHD_DATA_DIR", str(folder))
    return folder


@pytest.fixture
def small_data_sets(monkeypatch):
    """Take the small data set in place of those that would be made or downloaded."""
    from shd_corpus import heidelberg
    from shd_helpers import data as datasets

    def make(_folder, *_encoder):
        return [Path(small_data()) / f"toy_{name}.h5" for name in FILES]

    monkeypatch.setattr(heidelberg, "download_heidelberg", make)
    monkeypatch.setattr(datasets, "_official", lambda name: make("")[name == "shd_test"])


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A folder with a sweep of a small notebook."""
    from shd_helpers.sweeps import runner
    from shd_helpers.versions import code_hash
    from tests.sweep_home import Home, stopped

    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("SHD_RESULTS_DIR", str(tmp_path / "results"))
    monkeypatch.setenv("SHD_STAND_IN", str(tmp_path))
    monkeypatch.setattr(runner, "COMPUTING_CODE", code_hash())  # while somebody changes the code
    home = Home(tmp_path)
    with stopped(home.commands):
        yield home
