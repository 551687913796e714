"""Values of settings."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from shd_helpers.events import Downsampling
from shd_helpers.study.training import TrainConfig


def test_numbers_of_numpy_s_become_python_s():
    """A run's JSON can't store numpy's."""
    reduction = Downsampling(pool_steps=np.int64(3))
    config = TrainConfig(epochs=np.uint8(2), lr=np.float32(0.5))
    assert config == TrainConfig(epochs=2, lr=0.5)
    assert json.loads(json.dumps(asdict(config))) == asdict(config)
    assert type(reduction.pool_steps) is int


@pytest.mark.parametrize("value", [np.float64(2), np.array([2]), np.bool_(True), 2.0, "2"])
def test_what_is_no_whole_number_of_numpy_s_is_refused(value):
    with pytest.raises(ValueError, match=r"^epochs .*: must be a whole number$"):
        TrainConfig(epochs=value)
