"""The four encoders of the plan ``encoder``: against the filter bank and the model cochlea."""

import h5py
import numpy as np
import pandas as pd
import pytest

from evidence import encoders
from evidence.plan import networks_of, read_plan
from shd_corpus.cochlea.encoding import encode_draws
from shd_corpus.cochlea.nerve import Nerve
from shd_corpus.filter_bank import EventStream, FilterBank, to_samples
from shd_corpus.microphone import background
from shd_corpus.sound_file import RATE_HZ, read_wave
from shd_helpers.data import DIGITS
from tests import RESULTS


def a_sound() -> np.ndarray:
    """Return a "three" of the study's own data set."""
    sound, _ = read_wave(DIGITS / "lang-english_speaker-00_trial-39_digit-3.flac")
    return sound


def test_with_the_shipped_threshold_it_is_the_filter_bank():
    sound = a_sound()
    steps, channels = encoders.fires(encoders.drives(sound, seed=7), threshold=96)

    n_before = encoders.N_BEFORE * 47 * RATE_HZ // 15_625
    samples = to_samples(np.concatenate([background(sound, RATE_HZ, n_before, 7), sound]), RATE_HZ)
    events = EventStream(FilterBank(77)).advance(samples).events[encoders.N_BEFORE :]
    assert events.sum() > 500
    np.testing.assert_array_equal((steps, channels), np.nonzero(events))


def test_random_times_have_the_drive_as_probability():
    drive = np.tile([0, 19, 57, 114, 250], (2000 + encoders.N_BEFORE, 1))
    steps, channels = encoders.at_random(drive, seed=0, threshold=114)
    shares = np.bincount(channels, minlength=5) / 2000
    np.testing.assert_allclose(shares, [0, 1 / 6, 1 / 2, 1, 1], atol=0.035)
    assert len(np.unique(steps)) == 2000


def test_without_another_weight_it_is_the_expected_cochlea():
    sound = a_sound()
    times, units = encode_draws(sound, RATE_HZ, [Nerve(0, None)])[0]
    pairs = {(int(t / 0.003), u // 9) for t, u in zip(times.tolist(), units.tolist(), strict=True)}
    found = encoders.cochlea_fires(sound, weight=1.0)
    assert len(pairs) > 100
    assert set(zip(*map(np.ndarray.tolist, found), strict=True)) == {p for p in pairs if p[1] < 77}


def test_the_gain_is_that_of_the_frozen_answers():
    gains = []
    with h5py.File(RESULTS / "encoder_answers.h5") as file:
        for network in networks_of(read_plan("encoder")):
            utterances = file[f"{network.frozen_utterances}/commands"]
            right = file[network.frozen_name]["commands"][:] == utterances["labels"][:]
            people = utterances["speakers"][:]
            weight = {"filters_fire": 0.5, "cochlea_random": -0.5}.get(network.names["data"], 0)
            gains += [weight * right[people == person].mean() for person in np.unique(people)]
    row = pd.read_csv(RESULTS / "encoder_contrasts.csv").query("family == 'primary' & of == 'mean'")
    assert row.people.item() == 1435
    assert 100 * sum(gains) / 1435 == pytest.approx(row.difference.item(), abs=1e-3)


def test_all_encodings_have_as_many_events():
    networks = pd.read_csv(RESULTS / "encoder_networks.csv")
    of = networks.groupby("data").input_events.mean()
    assert len(of) == 4 and of.max() / of["cochlea_random"] < 1.05 > of["cochlea_random"] / of.min()
