"""Augmented recordings: each ingredient is compared with what theory says of it."""

from dataclasses import fields

import numpy as np
import pytest
from scipy.signal import welch

from shd_corpus import waveform_augmentation
from shd_corpus.cochlea import encode
from shd_corpus.waveform_augmentation import OCTAVES_HZ, WaveformAugmentation

RATE_HZ = 48_000


def tone(hz: float, duration_s: float = 0.5) -> np.ndarray:
    return np.sin(2 * np.pi * hz * np.arange(int(duration_s * RATE_HZ)) / RATE_HZ)


def applied(wave, seed: int = 0, **ingredients) -> np.ndarray:
    return WaveformAugmentation(**ingredients).apply(wave, RATE_HZ, np.random.default_rng(seed))


@pytest.mark.parametrize("speed", [0.82, 0.97, 1.1, 1.22])
def test_speed_moves_pitch_and_tempo_alike(speed):
    wave = applied(tone(1000), speed=speed)
    assert len(wave) == pytest.approx(RATE_HZ / 2 / speed, rel=1e-4)
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(len(wave)), 2**19))
    peak_hz = spectrum.argmax() * RATE_HZ / 2**19
    assert peak_hz == pytest.approx(1000 * speed, rel=2e-4)


def test_silence_before_and_after():
    wave = applied(tone(1000), before_s=0.1, after_s=0.05)
    assert len(wave) == 0.65 * RATE_HZ
    np.testing.assert_allclose(wave[:4800], 0, atol=1e-12)
    np.testing.assert_allclose(wave[-2400:], 0, atol=1e-12)
    np.testing.assert_allclose(wave[4800:-2400][150:-150], tone(1000)[150:-150], atol=1e-12)


@pytest.mark.parametrize(("reverberation_s", "direct_db"), [(0.1, 12.0), (0.3, 6.0), (0.5, 0.0)])
def test_room(reverberation_s, direct_db):
    """Of a click, by Schroeder's integral: the energy that is still to come falls in a line."""
    click = np.zeros(RATE_HZ)
    click[100] = 1
    wave = applied(click, reverberation_s=reverberation_s, direct_db=direct_db)
    assert not np.abs(wave[:100]).max() > 1e-12
    energy = wave[101:] ** 2
    assert 10 * np.log10(1 / energy.sum()) == pytest.approx(direct_db, abs=0.3)
    level_db = 10 * np.log10(np.cumsum(energy[::-1])[::-1] / energy.sum() + 1e-30)
    fit = (level_db < -5) & (level_db > -35)
    slope = np.polyfit(np.flatnonzero(fit) / RATE_HZ, level_db[fit], 1)[0]
    assert -60 / slope == pytest.approx(reverberation_s, rel=0.08)


@pytest.mark.parametrize("tilt_db", [-6.0, 0.0])
def test_noise(tilt_db):
    settings = {"before_s": 1.0, "after_s": 1.0}
    clean = applied(tone(1000, 2.0), **settings)
    noise = applied(tone(1000, 2.0), **settings, noise_db=20.0, noise_tilt_db=tilt_db) - clean
    assert 10 * np.log10(np.mean(noise**2) / 0.5) == pytest.approx(-20, abs=0.05)
    for part in np.split(noise, 4):  # in the silence, too
        assert 10 * np.log10(np.mean(part**2) / 0.5) == pytest.approx(-20, abs=1)
    hz, power = welch(noise, RATE_HZ, nperseg=8192)
    inside = (hz > 100) & (hz < 7000)
    slope = np.polyfit(np.log2(hz[inside]), 10 * np.log10(power[inside]), 1)[0]
    assert slope == pytest.approx(tilt_db, abs=0.15)


def level_db(hz: float, **ingredients) -> float:
    """Return the gain of a tone, measured in its middle."""
    middle = slice(RATE_HZ // 4, -RATE_HZ // 4)
    before = tone(hz, 1.0)
    after = applied(tone(hz, 1.0), **ingredients)
    return 10 * np.log10(np.mean(after[middle] ** 2) / np.mean(before[middle] ** 2))


def test_equalizer_and_band():
    bands_db = (3.0, -4.0, 1.0, 0.0, 6.0, -2.0, 2.0, -5.0)
    for i in (0, 3, 4, 7):  # in the middle of a band its own gain; the tilt is 0 at 707 Hz
        want = bands_db[i] + 2.0 * (i - 3.5)
        assert level_db(OCTAVES_HZ[i], bands_db=bands_db, tilt_db=2.0) == pytest.approx(want, 0.02)
    between = level_db(1400, bands_db=bands_db)
    assert -2 < between < 6
    for edge, beyond_hz in (("low_pass_hz", 8000), ("high_pass_hz", 2000)):
        assert level_db(4000, **{edge: 4000.0}) == pytest.approx(-3.01, abs=0.02)
        assert level_db(beyond_hz, **{edge: 4000.0}) == pytest.approx(-24.1, abs=0.1)
        assert level_db(16e6 / beyond_hz, **{edge: 4000.0}) == pytest.approx(-0.017, abs=0.01)


@pytest.mark.parametrize(("duration_s", "speed"), [(0.01, 1.22), (5.0, 0.82)])
def test_the_cochlea_accepts_every_augmented_recording(duration_s, speed):
    change = {"speed": speed, "before_s": 0.11, "after_s": 0.11} if speed < 1 else {"speed": speed}
    assert len(encode(applied(tone(1000, duration_s), **change), RATE_HZ, 0)[0])


def test_what_is_drawn_is_in_the_ranges_and_as_frequent():
    drawn = [WaveformAugmentation.drawn(np.random.default_rng(seed)) for seed in range(3000)]
    columns = {
        f.name: np.array([getattr(change, f.name) for change in drawn])
        for f in fields(WaveformAugmentation)
    }
    shares = {"speed": 1, "before_s": 1, "after_s": 1, "tilt_db": 1}
    shares |= {"reverberation_s": 0.4, "direct_db": 0.4, "noise_db": 0.7, "noise_tilt_db": 0.7}
    shares |= {"low_pass_hz": 0.6, "high_pass_hz": 0.6}
    ranges = {"before_s": "SILENCE_S", "after_s": "SILENCE_S"}
    for name, share in shares.items():
        there = columns[name][columns[name] != getattr(WaveformAugmentation(), name)]
        assert len(there) / 3000 == pytest.approx(share, abs=0.03), name
        low, high = getattr(waveform_augmentation, ranges.get(name, name.upper()))
        assert low <= there.min() < low + 0.02 * (high - low), name
        assert high - 0.03 * (high - low) < there.max() <= high, name
    assert np.median(columns["speed"]) == pytest.approx((0.82 * 1.22) ** 0.5, abs=0.01)
    assert columns["bands_db"].std(axis=0) == pytest.approx(4, abs=0.2)
    assert columns["bands_db"].mean(axis=0) == pytest.approx(0, abs=0.3)


def test_augmented_recordings_are_those_made_so_far():
    """The same seed, the same sound; another one, another sound."""
    t = np.arange(RATE_HZ // 5) / RATE_HZ
    chirp = np.sin(2 * np.pi * (200 + 4000 * t) * t)
    levels = []
    for seed in (0, 24, 24, 35):  # from 24 on with room, noise and both ends of the band
        rng = np.random.default_rng(seed)
        wave = WaveformAugmentation.drawn(rng).apply(chirp, RATE_HZ, rng)
        levels.append([len(wave), *(part.std() for part in np.array_split(wave, 4))])
    want = [
        [10730, 0.9874473, 1.279622, 0.7490396, 0.3879808],
        *([[15442, 0.3954699, 0.7184165, 0.7525682, 0.6006237]] * 2),
        [17595, 0.3404415, 0.893041, 0.9595217, 0.1351149],
    ]
    np.testing.assert_allclose(levels, want, rtol=1e-6, err_msg=(
        "augmented recordings differ from before: if that is intended, raise WAVEFORMS in "
        "shd_corpus/versions.py and put the new values here"
    ))  # fmt: skip
