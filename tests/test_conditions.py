"""What `scripts/conditions.py` gives a network: the recording, or what a condition makes of it."""

import tarfile

import numpy as np
import pytest
import soundfile

from scripts import conditions
from scripts.conditions import (
    CONDITIONS,
    GERMAN,
    NOISE,
    RECORDED,
    encode_cases,
    first_takes,
    in_condition,
    networks_by_speaker,
)
from shd_helpers.data.heidelberg import ARCHIVE
from shd_helpers.data.recordings import encode_file
from shd_helpers.study.run_replacement import RunError
from tests.builders.networks import EVENTS, SMALL, own, written


def test_a_recording_has_the_spikes_of_its_data_set_and_others_in_each_condition(tmp_path):
    path = tmp_path / "word.wav"
    t = np.arange(24_000) / 48_000
    soundfile.write(path, 0.3 * np.sin(2 * np.pi * 700 * t) * np.hanning(len(t)), 48_000)
    times, units = encode_file(path)
    spikes = {
        condition: in_condition(path, condition) for condition in (RECORDED, NOISE, *CONDITIONS)
    }
    np.testing.assert_array_equal(spikes[RECORDED][0].astype(np.float16), times)
    np.testing.assert_array_equal(spikes.pop(RECORDED)[1], units)
    spread = {condition: np.std(units) for condition, (_, units) in spikes.items()}
    noisy = [value for condition, value in spread.items() if condition.startswith("noise")]
    assert min(noisy) > np.std(units)  # a tone reaches fewer channels than noise
    assert max(spread, key=spread.get) == NOISE
    late = {condition: np.mean(times) for condition, (times, _) in spikes.items()}
    assert late["a room of 0.6 s"] > late["300 to 3400 Hz"]


def test_two_takes_of_each_digit_language_and_speaker_are_chosen():
    names = [
        f"lang-{language}_speaker-{speaker:02}_trial-{trial}_digit-{digit}.flac"
        for language in ("english", "german")
        for speaker in (0, 3, 4)
        for trial in range(5)
        for digit in (2, 9)
    ]
    words = first_takes([*names, "audio", "test_filenames.txt"], {0, 3})
    assert len(words) == len(set(words.name)) == 2 * 2 * 2 * 2
    assert {*words.speaker} == {0, 3} and words.name.str.contains("trial-[01]_").all()


@pytest.fixture
def digits(monkeypatch):
    """Let the classes of the small networks count as the English digits."""
    monkeypatch.setattr(conditions, "ENGLISH", EVENTS.class_names)


def test_a_missing_or_damaged_archive_is_named_with_the_command_that_downloads_it(
    tmp_path, monkeypatch, digits
):
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path / "runs"))
    monkeypatch.setenv("SHD_DATA_DIR", str(tmp_path / "data"))
    held_out = {"protocol": "leave_one_speaker_out", "held_out": 0}
    written(tmp_path / "runs" / "a", own(**held_out), SMALL | held_out)
    monkeypatch.setattr("sys.argv", ["conditions", "adaptive", "a"])
    archive = tmp_path / "data" / "hd" / ARCHIVE
    archive.parent.mkdir(parents=True)
    for trouble in ("no such file", "damaged"):
        with pytest.raises(SystemExit, match=rf"^{archive}: {trouble}.*make data DATASET=hd"):
            conditions.main()
        archive.write_bytes(b"no archive")


def test_a_run_of_another_network_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("SHD_RUNS_DIR", str(tmp_path))
    held_out = {"protocol": "leave_one_speaker_out", "held_out": 0}
    written(tmp_path / "a", own(neuron="adaptive"), SMALL | held_out)
    monkeypatch.setattr("sys.argv", ["conditions", "adaptive", "a"])
    with pytest.raises(SystemExit, match=r"a/run\.json: this run trained a network that isn't"):
        conditions.main()


def read_runs(folder, held_out):
    """Return the runs of small networks with these held-out speakers."""
    runs = []
    for number, speaker in enumerate(held_out):
        protocol = "official" if speaker < 0 else "leave_one_speaker_out"
        parameters = SMALL | {"protocol": protocol, "held_out": speaker}
        runs.append(written(folder / f"{number}", own(), parameters))
    return runs


def test_runs_that_hold_out_the_same_speaker_are_an_ensemble(tmp_path, digits):
    runs = read_runs(tmp_path, [3, 5, 3, 5])
    networks = networks_by_speaker(runs)
    assert {speaker: len(each.network.members) for speaker, each in networks.items()} == {
        3: 2,
        5: 2,
    }
    single = networks_by_speaker(runs[:2])
    assert [type(each.network).__name__ for each in single.values()] == ["SpikingNetwork"] * 2


@pytest.mark.parametrize(
    ("held_out", "message"),
    [
        ([], r"numbers of runs by held-out speaker: \{\}\. Name .* at least one"),
        ([3, 5, 3], r"numbers of runs by held-out speaker: \{3: 2, 5: 1\}\. Name equally many"),
        ([3, -1], r"1: it holds out no speaker"),
    ],
)
def test_runs_that_don_t_fit_together_are_named(tmp_path, held_out, message):
    with pytest.raises(RunError, match=message):
        networks_by_speaker(read_runs(tmp_path, held_out))


def test_a_network_with_other_classes_is_refused(tmp_path):
    with pytest.raises(RunError, match="0: its classes aren't the ten English digits"):
        networks_by_speaker(read_runs(tmp_path, [3]))


def test_an_unknown_condition_is_named(tmp_path):
    with pytest.raises(ValueError, match="condition 'loud'"):
        in_condition(tmp_path / "word.wav", "loud")


def test_each_english_recording_is_tried_in_each_condition_and_german_ones_as_recorded(tmp_path):
    """An archive of two recordings of a speaker, and one of another who isn't asked for."""
    t = np.arange(14_400) / 48_000
    wave = 0.3 * np.sin(2 * np.pi * 700 * t) * np.hanning(len(t))
    archive = tmp_path / "recordings.tar.gz"
    with tarfile.open(archive, "w:gz") as tar:
        for language, speaker in (("english", 3), ("german", 3), ("english", 4)):
            name = f"lang-{language}_speaker-{speaker:02}_trial-0_digit-2.flac"
            soundfile.write(tmp_path / name, wave, 48_000)
            tar.add(tmp_path / name, f"audio/{name}")
    cases, spikes = encode_cases(archive, {3})
    english = cases[cases.language == "english"].condition.tolist()
    assert english == [RECORDED, *CONDITIONS, NOISE]
    assert cases[cases.language == "german"].condition.tolist() == [GERMAN]
    assert set(cases.speaker) == {3} and len(spikes) == len(cases)
    times, units = in_condition(tmp_path / cases.name.iloc[1], cases.condition.iloc[1])
    np.testing.assert_array_equal(spikes[1][0], times)
    np.testing.assert_array_equal(spikes[1][1], units)
