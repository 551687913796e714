"""The filter bank against its definition in Python's numbers, scipy's filters, and closed forms.

A stream that is resampled block by block has the samples of the whole.
"""

import numpy as np
import pytest
from scipy import signal

from corpus_tests import filter_bank_oracle as oracle
from corpus_tests.filter_bank_sounds import bounds, noise, spoken, with_background
from shd_corpus.filter_bank import EventStream, FilterBank, Resampler, kernels, to_samples

RATE_HZ = 15_625
BANKS = [FilterBank(n, step_ms) for n in (77, 48, 30, 16) for step_ms in (3, 10)]


def in_blocks(bank, samples, seed=0):
    """Return the utterances of a sound that comes in blocks of random sizes, and all steps."""
    rng = np.random.default_rng(seed)
    cuts = np.sort(rng.integers(0, len(samples) + 1, len(samples) // 200))
    listener = EventStream(bank)
    blocks = [listener.advance(block) for block in np.split(samples, cuts)]
    return kernels.Steps(*(np.concatenate(parts) for parts in zip(*blocks, strict=True)))


@pytest.mark.parametrize(("n_channels", "step_ms"), [(16, 3), (17, 10)])
def test_every_step_is_that_of_the_definition(n_channels, step_ms):
    bank = FilterBank(n_channels, step_ms)
    burst = np.concatenate([noise(0.2, 30), noise(0.25, 3000), noise(0.3, 30), noise(0.2, 9000)])
    samples = np.concatenate([burst, noise(1.6, 4000), noise(0.3, 20)]).astype(np.int16)
    levels, events, status = oracle.run(samples, bank)
    steps = in_blocks(bank, samples)
    assert set(status) == set(range(5)) and events.any()
    np.testing.assert_array_equal(steps.levels, levels)
    np.testing.assert_array_equal(steps.events, events)
    np.testing.assert_array_equal(steps.status, status)


@pytest.mark.parametrize("bank", BANKS)
def test_constants_are_those_of_the_definition(bank):
    n_samples = bank.settings.step_samples
    expected = [oracle.coefficients(k, bank.n_channels, n_samples) for k in range(bank.n_channels)]
    np.testing.assert_array_equal(np.transpose(bank.constants), expected)


def responses(bank, hz):
    """Return u2 and v2 as complex gains by scipy, each (channels, frequencies)."""
    gains = []
    for c, s, g1, g2, _ in np.transpose(bank.constants) / 2**15:
        denominator = [1, -2 * c, c * c + s * s]
        difference = signal.freqz([64, -64], 1, hz, fs=RATE_HZ)[1]
        u1 = difference * signal.freqz([g1, -g1 * c], denominator, hz, fs=RATE_HZ)[1]
        u2 = u1 * signal.freqz([g2, -g2 * c], denominator, hz, fs=RATE_HZ)[1]
        v2 = u1 * signal.freqz([0, g2 * s], denominator, hz, fs=RATE_HZ)[1]
        gains.append([u2, v2])
    return np.swapaxes(gains, 0, 1)


@pytest.mark.parametrize("hz", [150.0, 440.0, 1000.0, 3000.0, 6500.0])
def test_the_level_of_a_tone_is_that_of_scipy_s_filters(hz):
    bank = FilterBank()
    tone = 8000 * np.sin(2 * np.pi * hz * np.arange(RATE_HZ // 2) / RATE_HZ)
    levels = EventStream(bank).advance(np.rint(tone).astype(np.int16)).levels[60:].mean(0)
    turn = 8000 * np.exp(2j * np.pi * np.arange(720) / 720)
    u, v = (np.abs((gain * turn).real) for gain in responses(bank, [hz]))
    magnitudes = (np.maximum(u, v) + np.minimum(u, v) / 2).mean(1)
    sums = (bank.settings.step_samples * magnitudes).astype(int)
    expected = np.array([*map(oracle.level, sums.tolist(), bank.constants.offsets.tolist())])
    is_within = (expected > 8) & (expected < 247)
    assert is_within.sum() > 50
    np.testing.assert_allclose(levels[is_within], expected[is_within], atol=2)


@pytest.mark.parametrize("n_channels", [77, 48, 30, 16])
def test_channels_are_as_wide_as_the_ear_s_and_leave_no_gaps(n_channels):
    bank = FilterBank(n_channels)
    hz = np.geomspace(100, 7000, 600)
    scale = 2.0 ** (bank.constants.offsets // 16 - 10 + 6)

    def gains_db(hz):  # without the difference's emphasis
        lengths = np.sqrt((np.abs(responses(bank, hz)) ** 2).mean(0))
        return 20 * np.log10(lengths / (2 * np.sin(np.pi * hz / RATE_HZ)) / scale[:, None])

    assert gains_db(hz).max(0).min() > -3.5
    assert gains_db(hz).max() < 5
    for k in (1, n_channels // 2):
        center, distance = oracle.center_hz(k, n_channels)
        half = 24.7 * (1 + 0.00437 * center) * max(1, distance) / 2
        low, middle, high = gains_db(center + np.array([-half, 0, half]))[k]
        np.testing.assert_allclose([low - middle, high - middle], -3, atol=1)


@pytest.mark.parametrize("bank", BANKS)
def test_word_lengths_hold_every_value_that_is_possible(bank):
    (u1, v1, u2, v2), _ = bounds(bank)
    c, s, g1, g2 = np.abs([*bank.constants[:4]]).astype(np.int64)
    magnitude = np.maximum(u2, v2) + np.minimum(u2, v2) / 2
    for value, bits in (
        (max(u1.max(), v1.max(), u2.max(), v2.max()), 24 - 1),
        (64 * (2**16 - 1), 23 - 1),
        (max(c.max(), s.max()), 16 - 1),
        (max(g1.max(), g2.max()), 15),
        (max((c * u1 + s * v1 + g1 * 64 * 2**16).max(), (c * u2 + s * v2 + g2 * u1).max()), 41 - 1),
        (bank.settings.step_samples * magnitude.max(), 31),
        (16 * 255 * bank.n_channels, 19),
        ((255 - 16) * bank.n_channels, 15),
    ):
        assert value < 2**bits
    assert (c**2 + s**2 < 2**30).all()


@pytest.mark.parametrize("bank", BANKS[::3])
def test_states_reach_their_bounds_and_stay_within(bank):
    limits, signs = bounds(bank)
    for state in range(4):
        for k in (0, bank.n_channels // 2, bank.n_channels - 1):
            samples = np.where(signs[state, k] >= 0, 2**15 - 1, -(2**15)).astype(np.int16)[::-1]
            listener = EventStream(bank)
            listener.advance(samples)
            reached = abs(int(listener._channels[state][k]))
            assert 0.97 * limits[state, k] < reached <= limits[state, k]


@pytest.mark.parametrize("offset", [0, 2**15 - 1, -(2**15)])
def test_silence_and_an_offset_leave_nothing(offset):
    for bank in BANKS:
        listener = EventStream(bank)
        listener.advance(noise(0.1, 2**14).astype(np.int16))
        listener.advance(np.full(4000, offset, np.int16))
        steps = listener.advance(np.full(400, offset, np.int16))
        assert not np.any(listener._channels[:4])
        assert not steps.levels.any()


@pytest.mark.parametrize("place", [10, 12, 14, 16])
def test_the_number_of_events_is_the_drive_over_the_threshold(place):
    """With a floor that stays where it is and a constant level, in closed form."""
    bank = FilterBank(16)
    settings = bank.settings._replace(rise=0)
    listener = EventStream(bank)
    listener._state.settling = 0
    levels, events = np.zeros(16, np.uint8), np.zeros(16, np.bool_)
    n_events = np.zeros(16, int)
    for _ in range(500):
        listener._channels.sum[:] = 2**place
        kernels.encode(
            settings, bank.constants, listener._channels, listener._state, levels, events
        )
        n_events += events
    drive = 16 * place - bank.constants.offsets - 16
    assert drive.max() <= 96  # so that the peak takes no part
    np.testing.assert_array_equal(n_events, 500 * np.maximum(drive, 0) // 96)


@pytest.mark.parametrize("step_ms", [3, 10])
def test_utterances_are_found_alike_in_blocks_of_any_size(step_ms):
    bank = FilterBank(30, step_ms)
    samples = with_background(*spoken(2))
    whole = EventStream(bank)
    found = whole.process(samples) + whole.flush()
    assert len(found) == 2
    rng = np.random.default_rng(1)
    for sizes in (rng.integers(0, 40, len(samples) // 10), rng.integers(0, 3000, 1000)):
        listener = EventStream(bank)
        again = []
        for block in np.split(samples, np.cumsum(sizes)):
            again += listener.process(block)
        again += listener.flush()
        for one, other in zip(found, again, strict=True):
            assert one[:2] == other[:2]
            np.testing.assert_array_equal(one.steps, other.steps)
            np.testing.assert_array_equal(one.channels, other.channels)


def test_an_utterance_has_its_start_its_end_and_what_came_before():
    bank = FilterBank(30)
    pause = np.zeros(RATE_HZ // 2)
    tones = signal.chirp(np.arange(RATE_HZ // 2) / RATE_HZ, 300, 0.5, 3000) * 5000
    samples = np.concatenate([pause, tones, pause])
    samples += noise(len(samples) / RATE_HZ, 20)
    listener = EventStream(bank)
    (found,) = listener.process(np.rint(samples).astype(np.int16))
    steps = listener.bank.settings
    ms_per_step = 1000 * steps.step_samples / RATE_HZ
    assert abs(found.first_step * ms_per_step - (500 - 51)) < 15
    assert abs((found.first_step + found.n_steps) * ms_per_step - (1000 + 150)) < 25
    assert found.n_steps > found.steps.max() and found.channels.max() < 30


def heard(*sounds, level=20):
    """Return the status of all steps of some sounds with pauses and noise."""
    return EventStream(FilterBank(30)).advance(with_background(*sounds, level=level)).status


def click(size):
    return np.concatenate([np.zeros(100), [size], np.zeros(RATE_HZ // 4)])


@pytest.mark.parametrize(
    "sound",
    [
        click(2**15 - 1),
        noise(0.05, 3000),  # too short
        noise(1.5, 3000),  # too long
        np.full(RATE_HZ, 3000.0),  # an offset that comes and goes
        np.zeros(RATE_HZ),
    ],
    ids=["click", "short", "long", "offset", "nothing"],
)
def test_what_is_no_utterance_is_not_reported(sound):
    assert kernels.ENDS not in heard(sound)


@pytest.mark.parametrize("level", [100, 300, 1000, 5000])
def test_a_background_that_becomes_louder_is_no_utterance_and_the_next_one_is_found(level):
    quiet, louder, (digit,) = noise(0.5, 10), noise(2, level), spoken(1)
    samples = np.concatenate([quiet, louder, noise(len(digit) / RATE_HZ, level) + digit, louder])
    samples = np.clip(samples, -(2**15), 2**15 - 1).astype(np.int16)
    listener = EventStream(FilterBank(30))
    found = listener.process(samples) + listener.flush()
    assert all(0.003 * utterance.first_step > 2.3 for utterance in found)
    assert len(found) == (level <= 1000)


def test_a_click_takes_few_events_from_what_follows():
    (digit,) = spoken(1)
    counts = []
    for size in (0, 2**15 - 1):
        samples = with_background(np.concatenate([click(size), digit / 8]), level=5)
        steps = EventStream(FilterBank()).advance(samples)
        first = int(0.75 * RATE_HZ) // 47  # the step in which the digit begins
        counts.append(steps.events[first:].sum())
    assert counts[1] > 0.9 * counts[0]


def test_a_digit_at_the_end_of_a_sound_is_found_by_flushing():
    (digit,) = spoken(1)
    samples = with_background(digit)[: RATE_HZ // 2 + len(digit) - 500]
    listener = EventStream(FilterBank(30))
    assert not listener.process(samples)
    (found,) = listener.flush()
    assert len(found.steps) > 200
    assert not listener.flush()


def test_recordings_are_resampled_and_clipped():
    hz, seconds = 440, np.arange(16_000) / 16_000
    samples = to_samples(0.5 * np.sin(2 * np.pi * hz * seconds), 16_000)
    expected = 2**14 * np.sin(2 * np.pi * hz * np.arange(RATE_HZ) / RATE_HZ)
    assert len(samples) == RATE_HZ and samples.dtype == np.int16
    np.testing.assert_allclose(samples[100:-100], expected[100:-100], atol=20)
    assert to_samples(np.full(1000, 3.0), RATE_HZ).max() == 2**15 - 1
    with pytest.raises(TypeError, match="convert the sound to int16"):
        EventStream(FilterBank()).process(np.zeros(100))


@pytest.mark.parametrize(("n_channels", "step_ms"), [(15, 3), (129, 3), (77, 1), (77, 13)])
def test_what_the_bounds_do_not_hold_for_is_refused(n_channels, step_ms):
    with pytest.raises(ValueError, match="a filter bank has 16 to 128 channels"):
        FilterBank(n_channels, step_ms)


@pytest.mark.parametrize("rate_hz", [15_625, 16_000, 44_100, 48_000])
def test_blocks_of_any_size_give_the_samples_of_the_whole(rate_hz):
    rng = np.random.default_rng(rate_hz)
    wave = np.clip(rng.normal(0, 0.2, rate_hz), -1, 1)
    resampler = Resampler(rate_hz)
    cuts = np.sort(rng.integers(0, len(wave), 60))
    found = np.concatenate([resampler.process(block) for block in np.split(wave, cuts)])
    wanted = to_samples(wave, rate_hz)
    assert 0 <= len(wanted) - len(found) < 0.05 * 15_625
    np.testing.assert_array_equal(found, wanted[: len(found)])
