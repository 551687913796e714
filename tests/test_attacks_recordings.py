"""Recordings and settings that can't be right are refused; nothing of the user's is lost.

Each attack damages a folder of three good recordings and names what the message must say.
"""

import os
import struct
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from shd_helpers.source import download, recordings
from shd_helpers.source.datasets import locate
from shd_helpers.source.recordings import RecordingError, encode_recordings, read_wave
from shd_helpers.source.shd_file import DatasetError, read_shd
from tests.test_recordings import sound

RATE_HZ = 24_000


def tone(hz: float, duration_s: float = 0.05, rate_hz: int = RATE_HZ) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(int(duration_s * rate_hz)) / rate_hz + 0.3)


@pytest.fixture
def folder(tmp_path) -> Path:
    path = tmp_path / "recorded"
    path.mkdir()
    for i, name in enumerate(("one_ann_0", "two_ann_0", "zero_bob_0")):
        soundfile.write(path / f"{name}.wav", sound(i, 48_000, 0.05), 48_000)
    return path


@pytest.fixture
def quick(monkeypatch):
    """Spikes without the cochlea; return the list of what was encoded."""
    calls = []

    def encode(wave, rate_hz, seed):
        calls.append(seed)
        return np.full(5, 0.01), np.arange(5)

    monkeypatch.setattr(recordings, "encode", encode)
    return calls


def encoded(folder: Path, **settings):
    defaults = {"name": "mine", "test_speakers": ["bob"]}
    if "out" not in settings:
        defaults["out"] = folder.parent / "out"
    return encode_recordings(folder, progress=False, **defaults | settings)


def of(wave, rate_hz=RATE_HZ, **settings):
    """Attack: a recording with this content."""
    return lambda folder: soundfile.write(folder / "six_ann_1.wav", wave, rate_hz, **settings)


def cut(name, **settings):
    """Attack: a recording whose last third is missing."""

    def attack(folder):
        soundfile.write(folder / name, sound(5, RATE_HZ, 1.0), RATE_HZ, **settings)
        content = (folder / name).read_bytes()
        (folder / name).write_bytes(content[: len(content) * 2 // 3])

    return attack


def again(name):
    """Attack: a take that is there already, in another file."""

    def attack(folder):
        wave, rate_hz = soundfile.read(folder / "one_ann_0.wav")
        soundfile.write(folder / name, wave, rate_hz, subtype="PCM_16")

    return attack


def noise(n):
    return np.random.default_rng(0).standard_normal(n)


CLICK = np.where(np.arange(2400) == 1000, 0.9, 0.0)
SAME = "the same sound as .*one_ann_0.wav. Remove one of the two"
ATTACKS = {
    "constant": (of(np.full(2400, 0.5)), "no sound between 100 Hz and 8000 Hz.* Record"),
    "constant, noisy": (of(0.5 + 0.002 * noise(2400)), "no sound between 100 Hz and 8000 Hz"),
    "a click": (of(CLICK), "a click: more than 50%.* Record it again or remove"),
    "a click at 8 kHz": (of(CLICK[700:1500], 8000), "a click: more than"),
    "a click, noisy": (of(CLICK + 0.005 * noise(2400)), "a click: more than"),
    "a click at the start": (of(CLICK[1000:]), "no sound between|a click"),
    "1 Hz": (of(tone(1, 1.0)), "no sound between 100 Hz and 8000 Hz"),
    "1 Hz, a twentieth": (of(tone(1)), "no sound between 100 Hz and 8000 Hz"),
    "50 Hz": (of(tone(50, 0.5)), "no sound between 100 Hz and 8000 Hz"),
    "ultrasound": (of(tone(20_000, 0.05, 96_000), 96_000), "no sound between 100 Hz and 8000 Hz"),
    "a rate of 1 Hz": (of(noise(4) / 5, 1), "no sound between 100 Hz and 8000 Hz"),
    "a rate of 10 MHz": (of(noise(10**6) / 9, 10**7), "rate of 10000000 Hz.* Export it at"),
    "wav cut": (cut("six_ann_1.wav"), "cut short: .*header says. Record or copy it again"),
    "wav with floats cut": (cut("six_ann_1.wav", subtype="FLOAT"), "cut short: it is shorter"),
    "big-endian wav cut": (cut("six_ann_1.wav", endian="BIG"), "cut short: it is shorter"),
    "64-bit wav cut": (cut("six_ann_1.wav", format="RF64"), "cut short: it is shorter"),
    "extensible wav cut": (cut("six_ann_1.wav", format="WAVEX"), "cut short: it is shorter"),
    "flac cut": (cut("six_ann_1.flac"), "cut short|damaged"),
    "same wav": (again("six_ann_1.wav"), SAME),
    "same as flac": (again("six_ann_1.flac"), SAME),
    "same under a link": (lambda f: (f / "six_ann_1.wav").symlink_to(f / "one_ann_0.wav"), SAME),
    "a pipe": (lambda f: os.mkfifo(f / "six_ann_1.wav"), "no audio .*not a file.* Replace or rem"),
    "a device": (lambda f: (f / "six_ann_1.wav").symlink_to("/dev/zero"), "no audio .*not a file"),
    "a dangling link": (lambda f: (f / "six_ann_1.wav").symlink_to("gone"), "no audio .*no file"),
    "a folder": (lambda f: (f / "six_ann_1.wav").mkdir(), "no audio .*not a file"),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_refused_before_the_first_is_encoded(name, folder, quick):
    attack, message = ATTACKS[name]
    attack(folder)
    with pytest.raises(RecordingError, match=message) as error:
        encoded(folder)
    assert "_ann_" in str(error.value)
    assert not quick
    assert not (folder.parent / "out").exists()


SETTINGS = {
    "a string": ({"test_speakers": "bob"}, r"test_speakers 'bob': must be a list, such as \['bob'"),
    "a part of a name": ({"test_speakers": "an"}, r"test_speakers 'an': must be a list"),
    "a number": ({"test_speakers": 3}, "test_speakers 3: must be a list"),
    "keys as a string": ({"keys": "zero"}, "keys 'zero': must be a list"),
    "one key twice": ({"keys": ("one", "two", "zero", "one")}, "a class name stands twice"),
    "speakers as numbers": ({"test_speakers": [3]}, r"test_speakers \[3\]: must be texts"),
    "keys as numbers": ({"keys": [[1], 2]}, "keys .*: must be texts"),
    "a number for a name": ({"name": 3.5}, "name 3.5: must be of letters"),
    "a long name": ({"name": "x" * 300}, "name 'xxx.*: must be of letters.* 200 at most"),
    "a text for a seed": ({"seed": "x"}, "seed 'x': must be a whole number"),
    "no folder": ({"folder": False}, "folder False: must be a path"),
    "no path to write to": ({"out": ""}, "out '': must be a path"),
    "a long folder": ({"folder": "x" * 5000}, "folder 'xxx.*: must be a path .File name too long"),
    "no listing": ({"listing": [1]}, r"listing \[1\]: must be a path"),
    "a path": ({"name": "../evil"}, r"name '\.\./evil': must be of letters"),
    "no name": ({"name": ""}, "name '': must be of letters"),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_refused(name, folder, quick):
    settings, message = SETTINGS[name]
    with pytest.raises(ValueError, match=message):
        encoded(**{"folder": folder, "out": folder.parent / "out"} | settings)
    assert not quick


LISTINGS = {
    "another way to it": ("../recorded/one_ann_0.wav,one,ann\n", "same sound as"),
    "a pipe": (None, "list.csv: can't be read .*not a file"),
    "a long field": ("x" * 200_000 + ",one,ann\n", "list.csv: can't be read .*CSV file in UTF-8"),
}


@pytest.mark.parametrize("name", LISTINGS)
def test_listings_are_refused(name, folder, quick):
    lines, message = LISTINGS[name]
    listing = folder.parent / "list.csv"
    if lines is None:
        os.mkfifo(listing)
    else:
        good = "one_ann_0.wav,one,ann\nzero_bob_0.wav,zero,bob\n"
        listing.write_text(f"file,label,speaker\n{good}{lines}")
    with pytest.raises(RecordingError, match=message):
        encoded(folder, listing=listing)
    assert not quick


@pytest.mark.parametrize("length", [0xFFFF_FFFF, 0x7FFF_F000])
def test_a_wav_that_was_written_to_a_pipe_is_read(length, folder):
    """Its header has no length, as ffmpeg and sox leave it."""
    path = folder / "one_ann_0.wav"
    content, (whole, _) = path.read_bytes(), read_wave(path)
    at = content.index(b"data") + 4
    path.write_bytes(content[:at] + struct.pack("<I", length) + content[at + 4 :])
    np.testing.assert_array_equal(read_wave(path)[0], whole)


def test_chunks_after_the_samples_are_no_samples(folder):
    path = folder / "one_ann_0.wav"
    whole, _ = read_wave(path)
    path.write_bytes(path.read_bytes() + b"LIST\x07\x00\x00\x00INFOabc")
    np.testing.assert_array_equal(read_wave(path)[0], whole)


@pytest.mark.parametrize("damage", ["empty", "half", "flipped", "other", "bomb"])
def test_damaged_part_is_made_again(damage, folder, quick, monkeypatch):
    def fail(*_, **__):
        raise OSError("killed")

    out = folder.parent / "out"
    with monkeypatch.context() as patched, pytest.raises(DatasetError, match="killed"):
        patched.setattr(recordings, "write_shd", fail)
        encoded(folder)
    part, *others = sorted((out / "mine_parts").iterdir())
    assert len(others) == 2 and not list(out.glob("*.h5"))
    content = bytearray(part.read_bytes())
    content[content.index(b"\x93NUMPY") + 130] ^= 0xFF
    part.write_bytes({"empty": b"", "half": content[: len(content) // 2]}.get(damage, content))
    if damage == "other":
        with part.open("wb") as file:
            np.savez(file, times=np.zeros(3), units=np.zeros(3))
    if damage == "bomb":  # 80 MB in 80 kB
        zeros = np.zeros(2 * 10**7, np.uint16)
        with part.open("wb") as file:
            np.savez_compressed(file, times=zeros.view(np.float16), units=zeros)
    quick.clear()
    train, test = encoded(folder)
    assert len(quick) == 1
    assert len(read_shd(train).times) == 10 and len(read_shd(test).times) == 5


def test_no_file_is_deleted_that_was_not_written(folder, quick):
    parts = folder.parent / "out" / "mine_parts"
    parts.mkdir(parents=True)
    old = f"{64 * 'a'}_1.npz"
    for name in ("thesis.txt", "mine.npz", old, f"{old}.host.7.part"):
        (parts / name).write_text("of the user, or of a run before")
    encoded(folder)
    assert sorted(path.name for path in parts.iterdir()) == ["mine.npz", "thesis.txt"]


def test_of_two_at_once_one_waits(folder, quick, monkeypatch):
    """The first holds on in the middle until the second has said that it waits."""
    said = threading.Event()

    def wait_and_encode(wave, rate_hz, seed, encode=recordings.encode):
        assert said.wait(60)
        return encode(wave, rate_hz, seed)

    def watched(text, was=print, **settings):
        was(text, **settings)
        if "another process makes these files; waiting" in text:
            said.set()

    monkeypatch.setattr(recordings, "encode", wait_and_encode)
    monkeypatch.setattr(download, "print", watched, raising=False)
    with ThreadPoolExecutor(2) as pool:
        pairs = [pool.submit(encoded, folder) for _ in range(2)]
        assert pairs[0].result() == pairs[1].result()
    assert len(quick) == 6  # each encoded all three; none took the other's parts away
    assert sorted(path.name for path in (folder.parent / "out").iterdir()) == [
        *(".mine.lock", "mine_test.h5", "mine_train.h5")
    ]


KILLED_AT = """
import os, shutil, sys
from pathlib import Path
import numpy as np
from shd_helpers.source import recordings
recordings.encode = lambda wave, rate_hz, seed: (np.full(5, 0.01), np.arange(5))
for name in ("replace", "unlink", "write_bytes"):
    def step(path, *arguments, was=getattr(Path, name), **settings):
        global left
        if ".h5" in path.name:
            left -= 1
            if left < 0:
                os._exit(9)
        return was(path, *arguments, **settings)
    setattr(Path, name, step)
folder, old, copies = map(Path, sys.argv[1:])
for left in range(40):
    copy = shutil.copytree(old, copies / str(left))
    child = os.fork()
    if child == 0:
        recordings.encode_recordings(folder, copy, "mine", ["ann"], progress=False)
        os._exit(0)
    if os.waitpid(child, 0)[1] == 0:
        break
"""


def test_a_kill_leaves_no_mixed_pair(folder, quick):
    """Killed before each step that touches one of the files, with other speakers than before."""
    old = encoded(folder)[0].parent
    copies = old.with_name("copies")
    subprocess.run([sys.executable, "-c", KILLED_AT, folder, old, copies], check=True)
    speakers = []  # of the test file, after each kill; None where there is no pair
    for i in range(len(list(copies.iterdir()))):
        try:
            train, test = map(read_shd, locate(str(copies / str(i))))
        except DatasetError:
            speakers.append(None)
            continue
        assert not set(train.speakers) & set(test.speakers)
        assert len(train) + len(test) == 3
        speakers.append(test.speakers[0])
    assert 8 <= len(speakers) < 40
    assert speakers[:4] == [1] * 4 and speakers[-1] == 0
    assert speakers == sorted(speakers, key=[1, None, 0].index)
