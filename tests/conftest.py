"""Shared fixtures; the real data lies beside the repository where it exists at all."""

import pytest

from shd_helpers.paths import ROOT

FSDD_SPIKES = ROOT.parent / "shared" / "data" / "fsdd_spikes"


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """Downloads and caches of one test, in a folder whose name has a space."""
    folder = tmp_path / "data folder"
    monkeypatch.setenv("SHD_DATA_DIR", str(folder))
    return folder


@pytest.fixture
def fsdd_spikes():
    if not FSDD_SPIKES.is_dir():
        pytest.skip("real speech is not here: no folder ../shared/data/fsdd_spikes")
    return str(FSDD_SPIKES)
