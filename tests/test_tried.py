"""What new users wrote with docs/extend.md alone still runs: see tests/tried/README.md."""

import os
import shutil
import subprocess
import sys

import pytest

from shd_helpers.paths import ROOT

TRIED = ROOT / "tests" / "tried"
# What each prints at its end, besides the accuracies.
PRINTED = {
    "boxcar_surrogate": "with_boxcar classifies",
    "synaptic_neurons": "with_synaptic classifies",
    "two_layers": "two_layers classifies",
    "own_recordings": "all_three: RecordingError: ",
    "own_module": "own loop, speaker 1 held out: ",
}


def test_every_folder_has_a_try():
    assert {path.parent.name for path in TRIED.glob("*/try.py")} == set(PRINTED)


@pytest.mark.slow
@pytest.mark.parametrize("name", PRINTED)
def test_it_runs_in_an_empty_folder(name, tmp_path):
    folder = tmp_path / "an empty folder"
    shutil.copytree(TRIED / name, folder)
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment["SHD_DATA_DIR"] = str(folder / "data")
    environment["MPLBACKEND"] = "agg"
    ended = subprocess.run(
        [sys.executable, "try.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    assert PRINTED[name] in ended.stdout
