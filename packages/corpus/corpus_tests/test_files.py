"""Nothing half-written under the final name, also when the process is killed.

Downloads that were interrupted, from a server on this machine.

The package by itself: its README, what it needs, and an environment that has nothing else.
"""

import errno
import hashlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from corpus_tests.loopback import serve
from shd_corpus.checks import DatasetError
from shd_corpus.download import download
from shd_corpus.files import atomic, reading


def test_error_leaves_the_old_file(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError), atomic(path) as part:
        part.write_text("half")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    with atomic(path) as part:
        part.write_text("new")
    assert path.read_text() == "new"


def test_killed_in_the_middle_of_writing(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("old")
    code = (
        "import os, signal, sys\n"
        "from shd_corpus.files import atomic\n"
        "with atomic(sys.argv[1]) as outer, atomic(outer) as part:\n"
        "    part.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    with atomic(path) as part:
        part.write_text("new")
    assert path.read_text() == "new"


def test_content_is_on_the_disk_before_its_name_and_the_name_before_the_end(tmp_path, monkeypatch):
    """What a power cut leaves can't be tried here, but the order of the calls can."""
    path = tmp_path / "x.txt"
    calls = []
    names = {tmp_path.stat().st_ino: "folder"}
    sync = os.fsync
    move = type(path).replace

    def fsync(number):
        calls.append(names[os.fstat(number).st_ino])
        sync(number)

    def replace(part, target):
        calls.append("moved")
        return move(part, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(type(path), "replace", replace)
    with atomic(path) as part:
        part.write_text("new")
        names[part.stat().st_ino] = "content"
    assert calls == ["content", "moved", "folder"]


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), "can't be read .*Permission denied"),
        (OSError(errno.EIO, "Input/output error"), r"can't be read .*the disk\.$"),
        (FileNotFoundError(errno.ENOENT, "No such file"), r"no such file\. Copy it again\.$"),
        (MemoryError(), r"doesn't fit into the memory, or is damaged\..* Copy it again\.$"),
        (OSError("truncated file"), r"damaged \(OSError: truncated file\)\. Copy it again\.$"),
        (OSError(errno.EINVAL, "Invalid argument"), "damaged"),
    ],
)
def test_a_file_is_called_damaged_only_if_it_may_be(error, message, tmp_path):
    path = tmp_path / "x.h5"
    path.touch()
    with pytest.raises(ValueError, match=rf"x\.h5: {message}"):
        with reading(path, ValueError, "Copy it again."):
            raise error


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


PACKAGE = Path(__file__).resolve().parents[1]
WITHOUT_OTHERS = """
import importlib.abc
import sys


class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name.split(".")[0] in ("torch", "snntorch", "shd_helpers", "shd_judge"):
            raise ModuleNotFoundError(f"{name} isn't installed here", name=name)


sys.meta_path.insert(0, Block())
"""
# The cochlea's spikes are drawn, so another processor may add or remove one.
NUMBER_OF_SPIKES = r"\d+(?= spikes)"


def check_readme(python, folder, environment):
    """Run the README's lines where the study's other packages and torch can't be imported."""
    page = (PACKAGE / "README.md").read_text(encoding="utf-8")
    code, printed = re.findall(r"```(?:python)?\n(.*?)```", page, re.S)
    command = [python, "-c", WITHOUT_OTHERS + code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert re.sub(NUMBER_OF_SPIKES, "", done.stdout) == re.sub(NUMBER_OF_SPIKES, "", printed)
    said, found = (int(re.search(NUMBER_OF_SPIKES, text)[0]) for text in (printed, done.stdout))
    assert abs(said - found) <= 5


def test_the_readme_s_lines_turn_a_folder_of_wavs_into_files_and_read_them(tmp_path):
    check_readme(sys.executable, tmp_path, {"PYTHONPATH": str(PACKAGE), "HOME": str(Path.home())})
