"""What neither Windows nor macOS has isn't used there. Nothing was run on either of them."""

import os
import runpy
import subprocess
import sys
from pathlib import Path, PureWindowsPath

import pytest

from shd_circuit import folder
from shd_corpus.files import atomic
from shd_corpus.recordings import _relative
from shd_helpers.paths import ROOT
from tests import found


@pytest.mark.slow
@pytest.mark.parametrize("system", ["win32", "darwin"])
def test_the_packages_use_only_modules_and_names_that_python_has_on(system, tmp_path):
    """As mypy knows them, for each system."""
    packages = [path.parent for path in found("packages/*/shd_*/__init__.py")]
    command = [sys.executable, "-m", "mypy", "--platform", system, "--cache-dir", str(tmp_path)]
    command += ["--no-error-summary", "shd_helpers", *packages]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    errors = done.stdout.splitlines()
    if system == "win32":  # board.py refuses it
        errors = [line for line in errors if "/board.py:" not in line]
    assert errors == [] and done.stderr == ""


def test_board_py_can_be_imported_on_windows_but_refuses_its_ports(monkeypatch):
    for module in ("termios", "tty"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.setattr(sys, "platform", "win32")
    board = runpy.run_path(str(Path(folder.__file__).with_name("board.py")))
    with pytest.raises(board["BoardError"], match="COM3: Windows' serial ports aren't supported"):
        board["Board"]("COM3")


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
