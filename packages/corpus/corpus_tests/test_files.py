"""Nothing half-written under the final name, also when the process is killed."""

import errno
import os
import signal
import subprocess
import sys

import pytest

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
