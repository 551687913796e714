"""A folder of recordings to SHD layout, and all that may be wrong with recordings."""

import gzip
import io
import os
from pathlib import Path

import h5py
import numpy as np
import pytest
import soundfile

from corpus_tests.damage import damages
from corpus_tests.made_recordings import AUDIO, RATE, noise, sound
from shd_corpus import recordings
from shd_corpus.recording_list import RecordingError
from shd_corpus.recordings import (
    RecordingOptions,
    encode_file,
    encode_files,
    encode_recordings,
)
from shd_corpus.shd_file import read_shd
from shd_corpus.sound_file import read_wave

SHARED = AUDIO.parent


@pytest.fixture
def folder(tmp_path) -> Path:
    """Four good recordings of two speakers."""
    path = tmp_path / "recorded"
    path.mkdir()
    soundfile.write(path / "one_ann_0.wav", sound(0), 8000)
    soundfile.write(path / "two_ann_0.flac", sound(1, 44_100), 44_100)
    stereo = np.stack([sound(2, 48_000), np.zeros(4800)], axis=1)
    soundfile.write(path / "2_bob_0.WAV", stereo, 48_000, subtype="FLOAT")
    soundfile.write(path / "one_bob_1.wav", sound(3, 24_000), 24_000)
    (path / "notes.txt").write_text("not a recording")
    return path


@pytest.fixture
def quick(monkeypatch):
    """Spikes without the cochlea; return the list of what was encoded."""
    calls = []

    def encode(wave, rate_hz, seed, encoder="cochlea"):
        calls.append(seed)
        return np.full(5, 0.01), np.arange(5)

    monkeypatch.setattr(recordings, "encode", encode)
    return calls


def write(folder: Path, out: Path, **settings):
    defaults = {"name": "mine", "test_speakers": ["bob"]}
    return encode_recordings(folder, out, **defaults | settings)


def test_an_offset_changes_nothing(tmp_path):
    """It is half of the peak. The means of the Heidelberg Digits are smaller and stay."""
    wave = sound(2, 48_000)
    wave *= 0.2 / np.abs(wave).max()
    wave -= wave.mean()
    waves = []
    for offset in (0.0, 0.1):
        soundfile.write(tmp_path / "x.wav", wave + offset, 48_000, subtype="DOUBLE")
        waves.append(read_wave(tmp_path / "x.wav")[0])
    np.testing.assert_allclose(*waves, atol=1e-12)
    as_much = wave + 0.0145 * wave.std()  # as the one with the most has
    soundfile.write(tmp_path / "x.wav", as_much, 48_000, subtype="DOUBLE")
    np.testing.assert_array_equal(read_wave(tmp_path / "x.wav")[0], as_much)


@pytest.mark.parametrize("rate_hz", [8000, 44_100, 48_000, 767_999])
def test_stereo_is_averaged_and_any_rate_becomes_48_khz(rate_hz, tmp_path):
    path = tmp_path / "x.wav"
    left = sound(2, rate_hz, noise=0)
    soundfile.write(path, np.stack([left, np.zeros_like(left)], axis=1), rate_hz)
    (wave, new_hz) = read_wave(path)
    ideal = sound(2, 48_000, noise=0) / 2
    assert new_hz == 48_000
    assert abs(len(wave) - len(ideal)) <= 6
    np.testing.assert_allclose(wave[200:4600], ideal[200:4600], atol=2e-3)


def tone(hz: float, duration_s: float = 0.05, rate_hz: int = 24_000) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(int(duration_s * rate_hz)) / rate_hz + 0.3)


def of(wave, rate_hz=24_000, **settings):
    """Make a recording with this content."""
    return lambda path: soundfile.write(path, wave, rate_hz, **settings)


def cut_ogg(path: Path) -> None:
    soundfile.write(path, noise(1.0, 0.1), RATE, format="OGG")
    os.truncate(path, path.stat().st_size - 1)


NOISE = np.random.default_rng(0).standard_normal(2400)
CLICK = np.where(np.arange(2400) == 1000, 0.9, 0.0)
NO_SPEECH = "no sound between 100 Hz and 8000 Hz"
BAD = {
    "nearly silence": (of(1e-4 * sound(0), subtype="FLOAT"), "silent"),
    "two sides that cancel": (of(np.outer(sound(0), [1, -1]), subtype="FLOAT"), "silent .*mean"),
    "not a number": (of(np.full(800, np.nan), subtype="FLOAT"), "not finite"),
    "nothing": (of(np.zeros(0)), "has no samples, or its header .* Export it as wav"),
    "AIFF": (of(sound(0), format="AIFF"), r"is AIFF .*, but only wav, flac, ogg and mp3 are read"),
    "65 channels": (of(np.ones((800, 65))), "65 channels, where .* at most 64. Export it in mono"),
    "an ogg without an end": (cut_ogg, "ends earlier than it says at its beginning. Copy it"),
    "20 minutes": (of(np.zeros(20 * 60 * 8000), 8000), "An utterance takes .* Cut longer"),
    "a text": (lambda path: path.write_bytes(b"no audio at all"), "no audio that can be read"),
    "a pipe": (os.mkfifo, "no audio that can be read .not a file"),
    "50 Hz": (of(tone(50, 0.5)), NO_SPEECH),
    "ultrasound": (of(tone(20_000, 0.05, 96_000), 96_000), NO_SPEECH),
    "a click": (of(CLICK + 0.005 * NOISE), "a click: over 50%"),
    "no fields": (of(tone(500)), "name is not .*Rename it", "seven-ann.wav"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_recording_is_named_with_a_remedy(fault, folder, tmp_path, quick):
    make, message, name = (*BAD[fault], "one_ann_9.wav")[:3]
    make(folder / name)
    with pytest.raises(RecordingError, match=message) as error:
        write(folder, tmp_path / "out")
    assert str(folder / name) in str(error.value)
    assert "\n" not in str(error.value)
    assert not quick and not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"test_speakers": ["zoe"]}, "Name at least one of the speakers ann, bob"),
        ({"test_speakers": []}, "Name at least one of the speakers ann, bob"),
        ({"test_speakers": ["ann", "bob"]}, "leave at least one for training"),
    ],
)
def test_bad_settings(settings, message, folder, tmp_path, quick):
    with pytest.raises(ValueError, match=message):
        write(folder, tmp_path, **settings)
    assert not quick
    with pytest.raises(RecordingError, match="no such folder"):
        write(tmp_path / "absent", tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(RecordingError, match="no recordings"):
        write(tmp_path / "empty", tmp_path)


@damages
def test_damaged_spikes_of_one_recording_are_made_again(damage, folder, tmp_path, quick):
    paths = sorted(folder.glob("*.wav"))
    finished = tmp_path / "finished"
    first = encode_files(paths, finished)
    damage(next(finished.glob("*/*.npz")))
    quick.clear()
    again = encode_files(paths, finished)
    assert len(quick) == 1
    np.testing.assert_array_equal(first, again)


def test_what_stops_it_leaves_no_mixed_pair(folder, quick, monkeypatch):
    """Stopped before each step that touches one of the files, with other speakers than before."""
    pair = write(folder, folder.parent / "out")
    left = 0
    speakers = []

    def stops(name, was):
        def step(path, *arguments, **settings):
            nonlocal left
            left -= ".h5" in path.name
            if left < 0:
                raise KeyboardInterrupt
            return was(path, *arguments, **settings)

        monkeypatch.setattr(Path, name, step)

    for name in ("replace", "unlink", "write_bytes"):
        stops(name, getattr(Path, name))
    for steps in range(40):
        try:
            left = steps
            write(folder, folder.parent / "out", test_speakers=["ann"])
            break
        except KeyboardInterrupt:
            left = 99
        if all(path.exists() for path in pair):
            train, test = map(read_shd, pair)
            assert not set(train.speakers) & set(test.speakers)
            assert len(train) + len(test) == 4
            speakers.append(test.speakers[0])
        left = 99
        write(folder, folder.parent / "out")
    assert 4 < steps < 40 and set(speakers) == {0, 1}
    assert set(read_shd(pair[1]).speakers) == {0}


@pytest.mark.parametrize("done", [0, 3])
def test_stopped_and_started_again_it_goes_on(folder, tmp_path, quick, monkeypatch, done):
    """As after a kill; what a kill leaves half-written is among the damages above."""
    encode = recordings.encode
    left = done

    def stops(*arguments, **settings):
        nonlocal left
        left -= 1
        if left < 0:
            raise KeyboardInterrupt
        return encode(*arguments, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(recordings, "encode", stops)
        with pytest.raises(KeyboardInterrupt):
            write(folder, tmp_path / "out")
    assert list(tmp_path.glob("out/*.h5")) == []
    assert len(quick) == done
    write(folder, tmp_path / "out")
    assert len(quick) == 4 == len({*quick})
    write(folder, tmp_path / "clean")
    resumed, clean = (sorted(tmp_path.glob(f"{x}/*.h5")) for x in ("out", "clean"))
    assert [p.read_bytes() for p in resumed] == [p.read_bytes() for p in clean]
    assert len(clean) == 2


def test_recordings_are_in_the_rows_of_their_names_and_have_spikes_of_their_own(folder, tmp_path):
    """Spikes follow from file and seed alone, not from the other recordings."""
    files = write(folder, tmp_path, seed=1)
    train, test = map(read_shd, files)
    assert [train.keys[label] for label in train.labels] == ["one", "two"]
    assert [test.keys[label] for label in test.labels] == ["two", "one"]
    assert train.speakers.tolist() == [0, 0] and test.speakers.tolist() == [1, 1]
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {".mine.lock", "mine_test.h5", "mine_train.h5", "recorded"}
    listed = [["one_ann_0.wav", "two_ann_0.flac"], ["2_bob_0.WAV", "one_bob_1.wav"]]
    for read, file_names in zip((train, test), listed, strict=True):
        for row, name in enumerate(file_names):
            times, units = encode_file(folder / name, 1)
            np.testing.assert_array_equal(read.spikes(row), (times, units))
            assert len(times) > 50
            assert not np.array_equal(encode_file(folder / name, 0)[1], units)


@pytest.mark.parametrize(
    "every", [16, pytest.param(1, marks=pytest.mark.full)], ids=["some", "all"]
)
@pytest.mark.parametrize("part", ["train", "test"])
def test_heidelberg_digits_have_exactly_the_spikes_that_were_made_of_them(part, every):
    """Spikes of the 10,420 recordings were made once, by a slower version of this code."""
    audio = AUDIO
    spikes = SHARED / "hd_spikes" / f"hd_{part}.h5.gz"
    if not audio.is_dir() or not spikes.is_file():
        pytest.skip(f"{audio} or {spikes} is not there: recordings of the Heidelberg Digits")
    with gzip.open(spikes) as packed, h5py.File(io.BytesIO(packed.read())) as file:
        rows = {name.decode(): row for row, name in enumerate(file["extra/file"][:])}
        paths = [path for path in sorted(audio.glob("*.flac")) if path.name in rows]
        assert len(paths) > 20
        for path in paths[::every]:
            times, units = encode_file(path)
            assert (times.dtype, units.dtype) == (np.float16, np.uint16)
            row = rows[path.name]
            np.testing.assert_array_equal(times, file["spikes/times"][row], err_msg=path.name)
            np.testing.assert_array_equal(units, file["spikes/units"][row], err_msg=path.name)


def test_speakers_may_lack_classes_and_bad_files_are_listed(folder, tmp_path, quick):
    (folder / "two_ann_0.flac").unlink()  # ann says one class only
    (folder / "one_ann_1.wav").write_bytes(b"no sound")
    soundfile.write(folder / "two_cid_0.wav", sound(4), 8000)
    with pytest.raises(RecordingError, match=r"no utterance of 'two' by ann"):
        write(folder, tmp_path / "out")
    lenient = RecordingOptions(lenient=True)
    train, test = write(folder, tmp_path / "out", options=lenient)
    assert [*read_shd(train).files, *read_shd(test).files] == [
        "one_ann_0.wav",
        "two_cid_0.wav",
        "2_bob_0.WAV",
        "one_bob_1.wav",
    ]
    report = (tmp_path / "out" / "mine_refused.csv").read_text().splitlines()
    assert report[0] == "file,label,speaker,reason"
    assert report[1].startswith('one_ann_1.wav,one,ann,"no audio that can be read')
    assert len(report) == 2
    (folder / "one_ann_1.wav").unlink()
    write(folder, tmp_path / "out", options=lenient)
    assert not (tmp_path / "out" / "mine_refused.csv").exists()
