"""What neither Windows nor macOS has isn't used there. Nothing was run on either of them."""

import os
import subprocess
import sys
from pathlib import PureWindowsPath

import pytest

from shd_corpus.files import atomic
from shd_corpus.recordings import _relative
from shd_helpers.paths import ROOT


@pytest.mark.slow
@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_the_packages_use_only_modules_and_names_that_python_has_on(system, tmp_path):
    """As mypy knows them, for each system."""
    packages = ["shd_helpers", *map(str, (ROOT / "packages").glob("*/shd_*"))]
    command = [sys.executable, "-m", "mypy", "--platform", system, "--cache-dir", str(tmp_path)]
    done = subprocess.run([*command, *packages], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_file_is_written_where_no_folder_can_be_opened(tmp_path, monkeypatch):
    """On Windows, neither a folder nor a file that is open for reading can be synchronized."""

    def refuse(path, *_):
        raise PermissionError(path)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(os, "open", refuse)
    with atomic(tmp_path / "x.txt") as part:
        part.write_text("new", encoding="utf-8")
    monkeypatch.undo()
    assert [path.read_text(encoding="utf-8") for path in tmp_path.iterdir()] == ["new"]


def test_paths_in_a_file_have_slashes_on_windows_too():
    folder = PureWindowsPath(r"C:\my_wavs")

    class Source(PureWindowsPath):
        def is_file(self):
            return False

    assert _relative(folder / "yes" / "anna_1.wav", Source(folder)) == "yes/anna_1.wav"
