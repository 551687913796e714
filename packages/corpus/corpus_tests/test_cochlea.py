"""The cochlea against its reference implementation, `lauscher`, and against its own rules."""

import hashlib
import multiprocessing.dummy
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from lauscher import audiowaves, transformations
from lauscher.transformations import basilar_membrane

from shd_corpus import cochlea
from shd_corpus.cochlea import encoding, membrane_velocity, response, sound
from shd_corpus.cochlea.encoding import encode_draws
from shd_corpus.cochlea.nerve import Nerve, NerveFibers

RATE_HZ = 12_000  # of the membrane, for waves at 24 kHz
SOME = slice(5, 700, 20)  # channels, where the reference is too slow for all


def excerpt(samples: int = 1920) -> np.ndarray:
    """Return a sweep with harmonics in noise: something for every channel."""
    t = np.arange(samples) / 24_000
    phase = 2 * np.pi * (150 + 400 * t) * t
    wave = sum(np.sin(n * phase) / n for n in range(1, 15))
    return wave + 0.1 * np.random.default_rng(0).standard_normal(samples)


def reference_membrane(wave: np.ndarray, rate_hz: int, monkeypatch) -> np.ndarray:
    monkeypatch.setattr(basilar_membrane, "Pool", multiprocessing.dummy.Pool)  # no processes
    mono = audiowaves.MonoAudioWave(wave.copy(), rate_hz)
    return transformations.BasilarMembrane()(mono).channels.T


def reference_probability(velocity: np.ndarray, channels) -> np.ndarray:
    cell = transformations.HairCell()
    return np.array([cell._meddis(row, RATE_HZ) for row in velocity.T[channels]]).T


@pytest.mark.parametrize("samples", [1920, 1921])
def test_normalize_and_fade_compute_what_the_reference_does(samples):
    wave = excerpt(samples)
    mono = audiowaves.MonoAudioWave(wave.copy(), 24_000)
    mono = transformations.RmsNormalizer(sound.RMS)(mono)
    reference = transformations.HanningWindow()(mono).samples
    mine = cochlea.fade(cochlea.normalize(wave), 24_000, ramp_ms=1e6)
    np.testing.assert_allclose(mine, reference, rtol=1e-12, atol=0)


@pytest.mark.parametrize(("rate_hz", "samples"), [(48_000, 1440), (44_100, 1323), (24_000, 720)])
def test_fade_takes_30_ms_at_both_ends(rate_hz, samples):
    faded = cochlea.fade(np.ones(rate_hz // 2), rate_hz)
    assert faded[0] == faded[-1] == 0
    np.testing.assert_array_equal(faded, faded[::-1])
    np.testing.assert_array_equal(faded[samples:-samples], 1)
    hann = np.sin(np.pi / 2 * np.arange(samples) / (samples - 0.5)) ** 2
    np.testing.assert_allclose(faded[:samples], hann, rtol=0, atol=1e-12)


# A length with a fast transform, an odd one and a prime; another rate with its own table; a click,
# in which all frequencies are at once, so that nothing hides what the table leaves out.
@pytest.mark.parametrize(
    ("wave", "rate_hz"),
    [
        (excerpt(1920), 24_000),
        (excerpt(1201), 24_000),
        (excerpt(1013), 16_000),
        (np.eye(1, 1200, 500)[0], 24_000),
    ],
)
def test_the_membrane_moves_as_in_the_reference(wave, rate_hz, monkeypatch):
    wave = cochlea.fade(cochlea.normalize(wave), rate_hz)
    reference = reference_membrane(wave, rate_hz, monkeypatch)
    velocity = membrane_velocity(wave, rate_hz)
    assert velocity.shape == (len(wave) // 2 + 1, 700)
    assert (np.abs(velocity - reference) / np.abs(reference).max(axis=0)).max() < 1e-5


def test_hair_cells_respond_as_in_the_reference():
    velocity = membrane_velocity(cochlea.fade(cochlea.normalize(excerpt()), 24_000), 24_000)
    probability = cochlea.firing_probability(velocity, RATE_HZ)[:, SOME]
    np.testing.assert_allclose(probability, reference_probability(velocity, SOME), rtol=1e-9)


def test_bushy_cells_spike_as_in_the_reference(rng):
    probability = rng.uniform(0.0, 0.06, (600, 20))
    fibers = rng.random((600, 20, 40)) < probability[..., None]
    cell = transformations.BushyCell()
    spikes = np.array([cell._lif(fibers[:, c].astype(float), RATE_HZ) for c in range(20)]).T
    steps, units = np.nonzero(spikes)
    assert len(steps) > 300
    times, mine = cochlea.bushy_spikes(fibers.sum(axis=2).astype(np.uint8), RATE_HZ)
    np.testing.assert_array_equal(times, steps / RATE_HZ)
    np.testing.assert_array_equal(mine, units)


def fired(probability, nerve):
    """Return how many fibers of a nerve fire in each step of each channel."""
    fibers = NerveFibers(probability.shape, RATE_HZ, nerve, 0, probability.shape[1])
    return fibers.fire(probability)


@pytest.mark.parametrize(
    ("p", "n"), [(0.003, 40), (0.03, 40), (0.4, 40), (0.97, 40), (0.03, 160), (0.4, 640)]
)
def test_number_of_firing_fibers_is_binomial(p, n):
    counts = np.concatenate([fired(np.full((1, 700), p), Nerve(seed, n)) for seed in range(30)])
    seen = np.bincount(counts.ravel(), minlength=n + 1)
    expected = scipy.stats.binom.pmf(np.arange(n + 1), n, p) * counts.size
    common = expected >= 5
    seen = [*seen[common], seen[~common].sum()]
    expected = [*expected[common], expected[~common].sum()]
    keep = np.array(expected) > 1e-9
    chi2 = sum((np.array(seen) - expected)[keep] ** 2 / np.array(expected)[keep])
    assert scipy.stats.chi2.sf(chi2, keep.sum() - 1) > 1e-4


@pytest.mark.parametrize(("p", "fires"), [(0.0, 0), (1.0, 40), (1.5, 40)])
def test_impossible_and_certain_spikes(p, fires):
    counts = cochlea.nerve_spikes(np.full((50, 700), p), RATE_HZ, 0)
    assert (counts[::12] == fires).all()
    assert counts.sum() == counts[::12].sum()  # all fibers rest for 1 ms, 12 steps, after a spike


def test_the_expected_number_fires_where_nothing_is_drawn():
    probability = np.random.default_rng(0).uniform(0.0, 0.1, (60, 5))
    by_hand = np.zeros((60, 5))
    ready = np.full(5, 40.0)
    for step in range(60):
        if step >= 12:  # 1 ms
            ready += by_hand[step - 12]
        by_hand[step] = ready * probability[step]
        ready -= by_hand[step]
    np.testing.assert_allclose(fired(probability, Nerve(0, None)), by_hand)
    drawn = np.mean([fired(probability, Nerve(seed)) for seed in range(2000)], axis=0)
    assert np.abs(drawn - by_hand).max() < 5 * 2 / np.sqrt(2000)  # a deviation of at most 2 fibers


def test_several_nerves_spike_as_each_does_alone(rng):
    wave = rng.standard_normal(4800)
    nerves = [Nerve(7), Nerve(8), Nerve(7, 640), Nerve(7, None)]
    encoded = encode_draws(wave, 48_000, nerves)
    for nerve, spikes in zip(nerves, encoded, strict=True):
        np.testing.assert_array_equal(spikes, encode_draws(wave, 48_000, [nerve])[0])
    np.testing.assert_array_equal(encoded[1], cochlea.encode(wave, 48_000, seed=8))
    # The more fibers, the nearer to what is expected
    numbers = [len(times) for times, _ in encoded]
    assert abs(numbers[2] - numbers[3]) < abs(numbers[0] - numbers[3])


@pytest.mark.parametrize("rate_hz", [12_000, 11_025, 4_000])
@pytest.mark.parametrize("p", [0.02, 0.3])
def test_fibers_rest_as_in_the_reference(p, rate_hz):
    cell = transformations.BushyCell()
    np.random.seed(0)  # noqa: NPY002 - the reference draws from there
    reference = np.array([cell._sample(np.full(400, p), rate_hz).sum(axis=1) for _ in range(300)])
    counts = cochlea.nerve_spikes(np.full((400, 300), p), rate_hz, 0)
    error = np.hypot(reference.std(axis=0).mean(), counts.std(axis=1).mean()) / np.sqrt(300)
    difference = reference.mean(axis=0) - counts.mean(axis=1)
    assert np.abs(difference[:60]).max() < 5 * error  # the wave of rested fibers at the start
    assert np.abs(difference[60:].mean()) < 0.01 * reference.mean()
    rest = int(np.ceil(1e-3 * rate_hz))
    in_1ms = np.array([counts[i : i + rest].sum(axis=0) for i in range(400 - rest)])
    assert in_1ms.max() <= 40


def test_a_click_moves_the_membrane_before_the_click_as_docs_cochlea_says(monkeypatch):
    """The reference implementation does the same, so the page's table holds for both."""
    page = (Path(__file__).parents[1] / "cochlea.md").read_text(encoding="utf-8")
    row = r"^\| (\d+) \| ([\d,]+) Hz \| ([\d.]+) ms before the click \|$"
    said = re.findall(row, page, re.MULTILINE)
    assert len(said) == 5
    click_s = 0.1
    click = np.eye(1, 9600, int(click_s * 48_000))[0]
    for motion in (
        membrane_velocity(click, 48_000),
        reference_membrane(click, 48_000, monkeypatch),
    ):
        for channel, resonance, before_ms in said:
            moved = np.abs(motion[:, int(channel)])
            energy_before = np.sum(moved[: int(click_s * 24_000)] ** 2) / np.sum(moved**2)
            assert energy_before > 0.95
            assert f"{1000 * (click_s - moved.argmax() / 24_000):.1f}" == before_ms
            assert f"{response.resonance_hz()[int(channel)]:,.0f}" == resonance


@pytest.mark.parametrize("samples", [4800, 4801])
def test_encode_is_its_stages_one_after_another(samples, rng):
    wave = rng.standard_normal(samples)
    velocity = membrane_velocity(cochlea.fade(cochlea.normalize(wave), 48_000), 48_000)
    probability = cochlea.firing_probability(velocity, 24_000)
    counts = cochlea.nerve_spikes(probability, 24_000, seed=7)
    times, units = cochlea.bushy_spikes(counts, 24_000)
    assert len(times) > 200
    encoded = cochlea.encode(wave, 48_000, seed=7)
    np.testing.assert_array_equal(encoded, (times, units))


# No rounding error of a machine gets into spikes: for one of a million draws to turn out the other
# way, it would have to lie within 1e-16 of its limit.
@pytest.mark.parametrize(
    ("rate_hz", "digest"), [(24_000, "8d63893d4eecb71d"), (48_000, "fb304fe67f1c61b1")]
)
def test_spikes_are_those_of_the_data_sets_made_so_far(rate_hz, digest):
    t = np.arange(rate_hz // 5) / rate_hz
    wave = np.sin(2 * np.pi * (200 + 4000 * t) * t) + np.sin(2 * np.pi * 5000 * t) * (t > 0.05)
    times, units = cochlea.encode(wave, rate_hz, seed=1)
    steps = np.rint(times * (rate_hz // 2))
    spikes = np.stack([steps, units]).astype("<i4").tobytes()
    assert hashlib.sha256(spikes).hexdigest()[:16] == digest, (
        "the cochlea computes other spikes than before: if that is intended, raise SPIKES in "
        "shd_corpus/versions.py and put the new digest here"
    )


@pytest.mark.parametrize(
    ("wave", "rate_hz", "message"),
    [
        (np.zeros(2400), 24_000, "silent"),
        (np.zeros(0), 24_000, "takes 0 s"),
        (np.ones((2, 2400)), 24_000, "mono"),
        (np.r_[np.ones(2400), np.nan], 24_000, "not finite"),
        (np.ones(20 * 24_000), 24_000, "20 s. An utterance takes 0.01 to 5 s"),
        (np.ones(800), 8000, "8000 Hz is too low for the hair cells: resample"),
    ],
)
def test_a_sound_that_cannot_be_encoded_is_refused(wave, rate_hz, message):
    with pytest.raises(ValueError, match=message):
        cochlea.encode(wave, rate_hz, 0)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.mark.parametrize("steps_at_once", [1, 100, 10**6])
def test_the_number_of_steps_computed_at_once_changes_nothing(steps_at_once, monkeypatch):
    expected = cochlea.encode(excerpt(), 24_000, seed=7)
    monkeypatch.setattr(encoding, "STEPS_AT_ONCE", steps_at_once)
    np.testing.assert_array_equal(cochlea.encode(excerpt(), 24_000, seed=7), expected)


def test_the_table_is_stored_and_made_again_if_its_file_is_damaged(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    load_or_make = response._stored_table.__wrapped__
    table, _ = load_or_make(500)
    (stored,) = (tmp_path / "shd_corpus").iterdir()
    older = stored.with_name("cochlea_500_0.npy")
    older.touch()
    stored.write_bytes(stored.read_bytes()[:1000])
    np.testing.assert_array_equal(load_or_make(500)[0], table)
    assert [*stored.parent.iterdir()] == [stored]
    np.save(stored, np.zeros(1))
    assert load_or_make(500)[0].shape == (1,)
