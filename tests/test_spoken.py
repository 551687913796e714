"""The data set `spoken`: layout, look, cache and repeatability, with three of its speakers."""

import hashlib
import json
import zlib

import numpy as np
import pytest
from shd_helpers.source.espeak_digits import make_spoken

from shd_helpers import versions
from shd_helpers.paths import ROOT
from shd_helpers.source import espeak_digits as spoken
from shd_helpers.source import speech
from shd_helpers.source.shd_file import LANGUAGES, read_shd

REAL_SPEECH = ROOT.parent / "shared" / "data" / "hd_spikes" / "hd_test.h5.gz"
CHANGED = (
    "the same seed gives other utterances than before: if that is meant, raise SPIKES in "
    "shd_helpers/versions.py and put the new values here"
)


@pytest.fixture
def three_speakers(monkeypatch):
    monkeypatch.setattr(spoken, "SPEAKERS", spoken.SPEAKERS[:3])
    monkeypatch.setattr(spoken, "TEST_SPEAKERS", (1,))
    return {"train_takes": 1, "seen_test_takes": 1, "unseen_test_takes": 1, "progress": False}


def test_make_spoken(three_speakers, tmp_path, monkeypatch):
    train, test = make_spoken(tmp_path / "a", seed=3, **three_speakers)
    assert [train.name, test.name] == ["spoken_train.h5", "spoken_test.h5"]
    a, b = read_shd(train), read_shd(test)
    assert a.keys == b.keys == LANGUAGES["both"]
    assert sorted(zip(a.speakers, a.labels, strict=True)) == sorted(
        (speaker, label) for speaker in (0, 2) for label in range(10)
    )
    assert sorted(zip(b.speakers, b.labels, strict=True)) == [
        (speaker, label) for speaker in range(3) for label in range(10)
    ]
    sizes = np.diff(a.offsets)
    assert sizes.min() > 1000

    utterances = [data.spikes(i)[1].tobytes() for data in (a, b) for i in range(len(data))]
    assert len(set(utterances)) == len(utterances)  # none is in both files

    # SHD's look: the base is nearly silent, the ridges lie above it, and all is over soon
    share = np.histogram(a.units, [0, 200, 300, 700])[0] / len(a.units)
    assert share[0] < 0.1 and share[2] > 0.8
    assert np.mean(a.times < 0.6) > 0.95

    def never(*_, **__):
        raise AssertionError("made again")

    with monkeypatch.context() as cached:
        cached.setattr(spoken, "encode", never)
        assert make_spoken(tmp_path / "a", seed=3, **three_speakers) == (train, test)
        for other in ({"seed": 4}, {"seed": 3, "language": "german"}):
            with pytest.raises(AssertionError, match="made again"):
                make_spoken(tmp_path / "a", **other, **three_speakers)


def test_same_seed_same_files_and_a_broken_build_is_repeated(three_speakers, tmp_path, monkeypatch):
    few = three_speakers | {"train_takes": 1, "seen_test_takes": 0}
    files = make_spoken(tmp_path / "a", seed=3, **few)
    content = [path.read_bytes() for path in files]
    other = make_spoken(tmp_path / "other seed", seed=4, **few)
    assert [path.read_bytes() for path in other] != content
    sizes = [np.diff(read_shd(path).offsets).tolist() for path in (files[0], other[0])]
    assert sizes[0] != sizes[1]
    encode, calls = spoken.encode, []

    def break_down(*arguments, **settings):
        calls.append(1)
        if len(calls) > 22:  # in the test file
            raise KeyboardInterrupt
        return encode(*arguments, **settings)

    with monkeypatch.context() as broken:
        broken.setattr(spoken, "encode", break_down)
        with pytest.raises(KeyboardInterrupt):
            make_spoken(tmp_path / "a", seed=4, **few)
    assert not list(tmp_path.glob("a/*.part"))
    # the folder now holds a new training file beside an old test file; neither seed takes them
    assert not (tmp_path / "a" / "spoken.json").exists()
    again = make_spoken(tmp_path / "a", seed=3, **few)
    assert [path.read_bytes() for path in again] == content
    assert json.loads((tmp_path / "a" / "spoken.json").read_text())["seed"] == 3


def test_looks_like_real_speech_and_like_shd(three_speakers, tmp_path):
    """Histograms side by side: made here, real speech, and what is published of SHD."""
    if not REAL_SPEECH.is_file():
        pytest.skip(f"{REAL_SPEECH} is not there: spikes of the Heidelberg Digits")
    made, real = read_shd(make_spoken(tmp_path, seed=3, **three_speakers)[0]), read_shd(REAL_SPEECH)
    for values, bins in (("units", np.arange(0, 701, 100)), ("times", np.arange(0, 1.5, 0.1))):
        shares = [np.histogram(vars(d)[values], bins)[0] / len(d.units) for d in (made, real)]
        assert np.abs(shares[0] - shares[1]).sum() / 2 < 0.25, (values, shares)
    for data in (made, real):  # SHD: low units nearly silent, ridges at 300 to 700, soon over
        assert np.mean(data.units < 200) < 0.1
        assert np.mean(data.units >= 300) > 0.75
        assert np.mean(data.times < 0.6) > 0.9


def test_files_of_another_version_are_made_anew(three_speakers, tmp_path, monkeypatch):
    few = three_speakers | {"seen_test_takes": 0}
    make_spoken(tmp_path, **few)
    assert json.loads((tmp_path / "spoken.json").read_text())["spikes"] == versions.SPIKES
    made = []
    monkeypatch.setattr(spoken, "write_shd", lambda path, *_, **__: made.append(path.name))
    make_spoken(tmp_path, **few)
    assert made == []
    monkeypatch.setattr(spoken, "SPIKES", versions.SPIKES + 1)
    make_spoken(tmp_path, **few)
    assert made == ["spoken_train.h5", "spoken_test.h5"]


def tone(text: str, voice: str, **settings: int) -> np.ndarray:
    """Stand in for eSpeak: a tone of each setting, the same on every machine."""
    hz = [
        300 + zlib.crc32(f"{text} {voice} {name} {value}".encode()) % 3000
        for name, value in settings.items()
    ]
    t = np.arange(9600) / 24_000
    return np.sin(2 * np.pi * np.outer(hz, t)).mean(axis=0)


@pytest.mark.parametrize(
    ("utterance", "digest"),
    [
        ((0, 0, 0), "ab2c31b5e9544e0e"),
        ((5, 4, 3), "2bd9fa9a6b850a5e"),
        ((15, 11, 1), "cd29120cfacf52a5"),
    ],
)
def test_recipe_is_that_of_the_files_made_so_far(utterance, digest, monkeypatch):
    """Voices, rates, pauses, noise and cochlea; exact, for eSpeak is left out."""
    monkeypatch.setattr(speech, "synthesise", tone)
    times, units = spoken._hear(*utterance, seed=0)
    spikes = np.stack([np.rint(times.astype(float) * 12_000), units]).astype("<i4").tobytes()
    assert hashlib.sha256(spikes).hexdigest()[:16] == digest, CHANGED


@pytest.mark.parametrize(
    ("utterance", "counts"),
    [
        ((7, 1, 0), [103, 289, 526, 1087, 2102, 2659, 2490]),
        ((15, 10, 2), [109, 109, 140, 484, 1579, 2960, 3629]),
    ],
)
def test_voices_are_those_of_the_files_made_so_far(utterance, counts):
    """Spikes in seven bands; other builds of eSpeak may round the sound in other ways."""
    _, units = spoken._hear(*utterance, seed=0)
    seen = np.histogram(units, np.arange(0, 701, 100))[0]
    np.testing.assert_allclose(seen, counts, rtol=0.03, atol=20, err_msg=CHANGED)


def test_unknown_language(tmp_path):
    with pytest.raises(ValueError, match="language 'dutch': unknown; take one of english, german"):
        make_spoken(tmp_path, language="dutch")
