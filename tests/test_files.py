"""Nothing half-written under the final name, also when the process is killed."""

import hashlib
import signal
import subprocess
import sys

import pytest

from shd_helpers.files import atomic, sha256


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


def test_sha256(tmp_path):
    (tmp_path / "x").write_bytes(b"spikes")
    assert sha256(tmp_path / "x") == hashlib.sha256(b"spikes").hexdigest()
