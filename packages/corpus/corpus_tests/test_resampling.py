"""A stream that is resampled block by block has the samples of the whole."""

import numpy as np
import pytest

from shd_corpus.filter_bank import Resampler, to_samples


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
