"""What attackers found that did little harm: each finding, and the answer it has now."""

import json
import os
import signal
import stat
import subprocess
import sys

import pytest
import soundfile
from jupyter_client.kernelspec import KernelSpecManager

from corpus_tests.made_recordings import expect, pack, sound
from shd_corpus import heidelberg
from shd_corpus.checks import DatasetError
from shd_corpus.files import atomic
from shd_corpus.sound_file import read_sound
from shd_helpers.paths import ROOT
from shd_helpers.study import notebooks
from shd_helpers.study.run_folder import RunError

# --- tables and networks --------------------------------------------------------------------------


# --- files ----------------------------------------------------------------------------------------


def test_a_link_stays_a_link_and_its_target_gets_the_content(tmp_path):
    target = tmp_path / "elsewhere" / "real.csv"
    link = tmp_path / "table.csv"
    target.parent.mkdir()
    target.write_text("old")
    link.symlink_to(target)
    with atomic(link) as part:
        part.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"


def test_a_file_keeps_its_permissions(tmp_path):
    path = tmp_path / "shared.csv"
    path.write_text("old")
    path.chmod(0o664)
    before = os.umask(0o077)
    try:
        with atomic(path) as part:
            part.write_text("new")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o664


# --- recordings -----------------------------------------------------------------------------------


def test_a_wav_whose_writer_didn_t_know_its_length_is_read(tmp_path):
    """Such as ffmpeg's, into a pipe."""
    size = 0xFFFFFFFF
    path = tmp_path / "piped.wav"
    soundfile.write(path, sound(0, 24_000, 1.0), 24_000)
    content = bytearray(path.read_bytes())
    content[4:8] = size.to_bytes(4, "little")
    at = content.index(b"data") + 4
    content[at : at + 4] = size.to_bytes(4, "little")
    path.write_bytes(content)
    wave, _ = read_sound(path, 60.0)
    assert len(wave) == 24_000


# --- data sets ------------------------------------------------------------------------------------


def test_an_archive_that_would_fill_the_disk_is_refused_before_it_is_unpacked(
    data_dir, monkeypatch, tmp_path
):
    expect(monkeypatch)
    monkeypatch.setattr(heidelberg, "MOST_BYTES", 10_000)
    folder = data_dir / "hd"
    folder.mkdir(parents=True)
    bomb = pack({"a.flac": bytes(200_000)})
    assert len(bomb) < 2000
    (folder / heidelberg.ARCHIVE).write_bytes(bomb)
    with pytest.raises(DatasetError, match=r"hd_audio\.tar\.gz.*more than.*Remove hd_audio"):
        heidelberg.download_heidelberg(folder)
    assert not [*folder.rglob("*.flac")]


# --- kernels, commands ----------------------------------------------------------------------------


def kernel_of(folder, program):
    place = folder / "kernels" / "python3"
    place.mkdir(parents=True)
    argv = [program, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    text = json.dumps({"argv": argv, "display_name": "x", "language": "python"})
    (place / "kernel.json").write_text(text)
    return place


def test_a_foreign_kernel_named_python3_is_refused(tmp_path, monkeypatch):
    place = kernel_of(tmp_path, "/usr/bin/python3")
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    assert KernelSpecManager().get_kernel_spec("python3").argv[0] == "/usr/bin/python3"
    with pytest.raises(RunError) as error:
        notebooks.execute_run({}, tmp_path / "runs" / "x")
    assert str(place) in str(error.value)
    assert sys.executable in str(error.value)
    assert "JUPYTER_PATH" in str(error.value)


def run(code, stdout=subprocess.PIPE, **environment):
    """Run some lines of Python in a process of its own; return how it ended."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        timeout=240,
    )


PRINTS = "from shd_helpers.command import run; run(lambda: print('F\\xf6hn'))"


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_of_the_output_that_has_gone_is_no_error(unbuffered):
    read, write = os.pipe()
    os.close(read)
    ended = run(PRINTS, write, PYTHONUNBUFFERED=unbuffered)
    os.close(write)
    assert (ended.returncode, ended.stderr) == (128 + signal.SIGPIPE, "")


def test_ctrl_c_ends_a_command_with_one_line():
    # a shell in the background has told its children to ignore the signal
    interrupted = "import os, signal; signal.signal(2, signal.default_int_handler); "
    interrupted += "from shd_helpers.command import run; "
    interrupted += "run(lambda: os.kill(os.getpid(), signal.SIGINT))"
    ended = run(interrupted)
    assert (ended.returncode, ended.stderr) == (128 + signal.SIGINT, "Interrupted.\n")
