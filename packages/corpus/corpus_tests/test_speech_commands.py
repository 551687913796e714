"""The data set `commands` from a few recordings, and the manifest of all of them.

Synthetic words: nothing leaks from one utterance into the next.
"""

import csv
import hashlib
import io
import subprocess
import sys
import tarfile
from collections import Counter

import numpy as np
import pytest
import soundfile

from corpus_tests.loopback import serve
from corpus_tests.made_recordings import noise, tone
from shd_corpus import recordings, speech_commands
from shd_corpus.checks import DatasetError
from shd_corpus.class_names import ENGLISH
from shd_corpus.encoders import encode
from shd_corpus.microphone import encode_utterance_file
from shd_corpus.shd_file import read_shd
from shd_corpus.speech import SpeechError, synthesize
from shd_corpus.speech_commands import (
    download_commands,
    numbered_people,
    person_of,
    read_manifest,
    role_of,
)

RATE = 16_000


def spoken(pitch_hz: float, level: float = 1) -> bytes:
    """Return a wav file of a tone between pauses, at 16 kHz."""
    wave = np.concatenate([noise(0.1), tone(0.15, hz=pitch_hz) + noise(0.15), noise(0.1)])[::3]
    with io.BytesIO() as file:
        soundfile.write(file, level * wave, RATE, format="WAV", subtype="PCM_16")
        return file.getvalue()


@pytest.fixture(scope="module")
def people():
    """Ids of two who train, one who validates and one who tests, by another reading of the rule."""
    found = {"training": [], "validation": [], "test": []}
    number = 0
    while min(map(len, found.values())) < 2:
        person = f"{number:08x}"
        percent = int(hashlib.sha1(person.encode()).hexdigest(), 16) % 2**27 / (2**27 - 1) * 100
        role = "validation" if percent < 10 else "test" if percent < 20 else "training"
        found[role].append(person)
        number += 1
    return [*found["training"][:2], found["validation"][0], found["test"][0]]


@pytest.fixture
def files(people, monkeypatch, tmp_path):
    """The recordings by name, and a manifest of them."""
    first, second, validates, tests = people
    files = {
        f"one/{first}_nohash_0.wav": spoken(500),
        f"two/{second}_nohash_0.wav": spoken(700),
        f"two/{validates}_nohash_1.wav": spoken(900),
        f"nine/{tests}_nohash_0.wav": spoken(1100),
        f"nine/{tests}_nohash_1.wav": spoken(500, level=0),
    }
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()]
    manifest = tmp_path / "manifest.txt"
    manifest.write_text("".join(lines))
    monkeypatch.setattr(speech_commands, "MANIFEST", manifest)
    spikes = np.array([0.01]), np.array([7])
    monkeypatch.setattr(recordings, "encode", lambda *_, **__: spikes)  # the cochlea takes seconds
    return files


@pytest.fixture
def audio(files, monkeypatch, tmp_path):
    """A folder of the archive's layout, which has other recordings, too."""
    audio = tmp_path / "audio folder"
    for name, content in {**files, "bed/00000000_nohash_0.wav": b"not of the manifest"}.items():
        (audio / name).parent.mkdir(parents=True, exist_ok=True)
        (audio / name).write_bytes(content)
    monkeypatch.setenv("SHD_COMMANDS_DIR", str(audio))
    return audio


def test_manifest_names_each_sound_once():
    manifest = read_manifest()
    assert len(manifest) == len(set(manifest.values())) == 14_243
    assert {name.partition("/")[0] for name in manifest} == set(ENGLISH)
    n_utterances = Counter(role_of(person_of(name)) for name in manifest)
    assert n_utterances == {"training": 11_141, "validation": 1_543, "test": 1_559}
    n_people = Counter(map(role_of, numbered_people(manifest)))
    assert n_people == {"training": 1_436, "validation": 185, "test": 180}


def test_people_are_numbered_by_role(people, files, audio, tmp_path):
    train, test = download_commands(tmp_path / "commands")
    training, testing = read_shd(train), read_shd(test)
    names = [name for name in files if people[3] not in name]
    assert list(training.files) == names
    assert [training.keys[label] for label in training.labels] == ["one", "two", "two"]
    assert training.speakers.tolist() == [0, 1, 2]
    assert testing.speakers.tolist() == [3]
    assert testing.keys[testing.labels[0]] == "nine"


@pytest.mark.parametrize(("encoder", "n_channels"), [("cochlea", 700), ("filter_bank", 77)])
def test_recordings_are_encoded_as_hear_does(audio, tmp_path, monkeypatch, encoder, n_channels):
    monkeypatch.setattr(recordings, "encode", encode)
    train, _ = download_commands(tmp_path / "commands", encoder)
    read = read_shd(train)
    assert read.n_channels == n_channels
    heard = encode_utterance_file(audio / read.files[0], encoder=encoder)
    assert read.times[read.offsets[1] - 1] < 0.35  # the pauses are cut off
    n_spikes = read.offsets[1] - read.offsets[0]
    assert n_spikes == pytest.approx(len(heard.times), rel=0.2)  # of another seed
    path = audio / read.files[0]
    same = encode_utterance_file(path, seed_of(path), encoder)
    np.testing.assert_array_equal(read.spikes(0)[1], same.units)
    np.testing.assert_array_equal(read.spikes(0)[0], same.times.astype(np.float16))


def seed_of(path) -> int:
    """Return the documented seed of a recording: of its name and its content."""
    text = f"{path.name} 0 {hashlib.sha256(path.read_bytes()).hexdigest()}"
    return int(hashlib.sha256(text.encode()).hexdigest()[:16], 16)


def test_recordings_without_an_utterance_are_listed(people, audio, tmp_path):
    download_commands(tmp_path / "commands")
    with (tmp_path / "commands" / "commands_refused.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["file"] == f"{people[3]}_nohash_1.wav"
    assert row["label"] == "nine"
    assert row["speaker"] == people[3]
    assert row["reason"].startswith("Silence")


def test_files_are_made_once(audio, tmp_path, monkeypatch):
    train, _ = download_commands(tmp_path / "commands")
    content = train.read_bytes()
    monkeypatch.setenv("SHD_COMMANDS_DIR", "/nowhere")
    download_commands(tmp_path / "commands")
    assert train.read_bytes() == content
    (tmp_path / "commands" / "commands.json").unlink()
    with pytest.raises(DatasetError, match="was not made by this program"):
        download_commands(tmp_path / "commands")


def test_absent_and_changed_recordings_are_named(files, audio, tmp_path):
    first, *_ = files
    (audio / first).write_bytes(spoken(501))
    with pytest.raises(DatasetError, match=f"1 recordings aren't those of the archive: {first}"):
        download_commands(tmp_path / "commands")
    (audio / first).unlink()
    with pytest.raises(DatasetError, match=f"1 of 5 recordings are absent: {first}"):
        download_commands(tmp_path / "commands")


def test_only_the_digits_of_the_archive_are_kept(files, tmp_path, monkeypatch):
    monkeypatch.delenv("SHD_COMMANDS_DIR", raising=False)
    content = archive_of(files, "./")  # as in the official archive
    folder = tmp_path / "commands"
    with serve() as site:
        site.files["speech_commands_v0.02.tar.gz"] = content
        monkeypatch.setenv("SHD_BASE_URL", site.address)
        train, test = download_commands(folder)
    assert len(read_shd(train)) + len(read_shd(test)) == len(files) - 1  # one is silent
    kept = [path.relative_to(folder / "audio") for path in (folder / "audio").glob("*/*")]
    assert {str(path) for path in kept} == set(files)
    assert not (folder / "unfinished").exists()
    assert not (folder / "speech_commands_v0.02.tar.gz").exists()
    first = train.read_bytes()
    for path in (train, test, folder / "commands.json"):
        path.unlink()
    train, _ = download_commands(folder)  # without the server
    assert train.read_bytes() == first


def archive_of(files, prefix="") -> bytes:
    """Return an archive of the files, and of a word that is no digit."""
    with io.BytesIO() as packed:
        with tarfile.open(fileobj=packed, mode="w:gz") as tar:
            for name, content in {"bed/0_nohash_0.wav": b"no digit", **files}.items():
                info = tarfile.TarInfo(prefix + name)
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
        return packed.getvalue()


def test_damaged_archive_is_named(files, tmp_path, monkeypatch):
    monkeypatch.delenv("SHD_COMMANDS_DIR", raising=False)
    (tmp_path / "speech_commands_v0.02.tar.gz").write_bytes(b"no archive")
    with pytest.raises(DatasetError, match="not a complete archive"):
        download_commands(tmp_path)


def test_an_utterance_does_not_depend_on_those_before():
    first = synthesize("seven", "en-us+f2", rate_wpm=200)
    synthesize("four", "en-us+m3", rate_wpm=90, pitch=90, pitch_range=0)
    np.testing.assert_array_equal(synthesize("seven", "en-us+f2", rate_wpm=200), first)
    code = (
        "import sys; from shd_corpus.speech import synthesize;"
        "sys.stdout.buffer.write(synthesize('seven', 'en-us+f2', rate_wpm=200).tobytes())"
    )
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert fresh == first.tobytes()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"voice": "nope"}, "choosing the voice nope"),
        ({"voice": "en-us", "text": ""}, "is silent"),
    ],
)
def test_what_espeak_would_swallow_is_an_error(arguments, message):
    with pytest.raises(SpeechError, match=message):
        synthesize(**({"text": "one"} | arguments))
    assert len(synthesize("one", "en-us")) > 4000  # and the next utterance is fine
