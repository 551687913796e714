"""What `scripts/conditions.py` gives a network: the recording, or what a condition makes of it."""

import numpy as np
import soundfile

from scripts.conditions import CONDITIONS, NOISE, RECORDED, first_takes, in_condition
from shd_helpers.data.recordings import encode_file


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
