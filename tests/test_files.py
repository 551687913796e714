"""Nothing half-written under the final name, also when the process is killed."""

import errno
import hashlib
import os
import platform
import signal
import subprocess
import sys

import pytest

from shd_helpers.files import atomic, is_disk_full, sha256
from shd_helpers.paths import ROOT


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
        "from shd_helpers.files import atomic\n"
        "with atomic(sys.argv[1]) as part:\n"
        "    part.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert path.read_text() == "old"
    (left,) = tmp_path.glob("*.part")
    left.with_name(left.name + left.name.removeprefix("x.txt")).write_text("of one in the other")
    elsewhere = path.with_name("x.txt.another-machine.1.part")
    other = path.with_name(left.name.replace("x.txt", "y.txt"))
    alive = path.with_name(f"x.txt.{platform.node()}.{os.getppid()}.part")
    for kept in (elsewhere, other, alive):
        kept.write_text("of a writer that may live, or of another file")
    with atomic(path) as part:
        part.write_text("new")
    assert set(tmp_path.iterdir()) == {path, elsewhere, other, alive}


def test_content_is_on_the_disk_before_its_name_and_the_name_before_the_end(tmp_path, monkeypatch):
    """What a power cut leaves can't be tried here, but the order of the calls can."""
    path, calls, names = tmp_path / "x.txt", [], {tmp_path.stat().st_ino: "folder"}
    sync, move = os.fsync, type(path).replace

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


ERRORS = {
    f"OSError: [Errno {errno.ENOSPC}] No space left on device: 'x'": True,
    f"OSError: Can't write data (file write failed: errno = {errno.ENOSPC}, error message)": True,
    f"OSError: [Errno {errno.EDQUOT}] Disk quota exceeded": True,
    "OSError: [Errno 2] No space left on device": False,
    "OSError: No space left on device": False,
    f"ValueError: [Errno {errno.ENOSPC}] No space left on device": False,
}


@pytest.mark.parametrize("error", ERRORS)
def test_a_full_disk_is_told_by_the_number_and_the_disk(tmp_path, error):
    text = f"Traceback:\n{error}\n"
    assert not is_disk_full(text, tmp_path)  # there is room
    code = "import sys; from pathlib import Path; from shd_helpers.files import is_disk_full\n"
    code += "print(is_disk_full(sys.argv[1], Path(sys.argv[2])), *Path(sys.argv[2]).iterdir())"
    mounted = f'mount -t tmpfs -o size=1M none "{tmp_path}" && exec "$@"'
    ended = subprocess.run(
        ["unshare", "-m", "sh", "-c", mounted, "sh", sys.executable, "-c", code, text, tmp_path],
        capture_output=True, text=True, check=False, cwd=ROOT,
    )  # fmt: skip
    if "mount:" in ended.stderr or "unshare:" in ended.stderr:
        pytest.skip("no small disk can be mounted here")
    assert ended.stdout == f"{ERRORS[error]}\n", ended.stderr


def test_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"spikes")
    assert sha256(tmp_path / "x") == hashlib.sha256(b"spikes").hexdigest()
