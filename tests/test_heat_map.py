"""The heat map in which a sweep over two settings ends."""

import numpy as np
import pandas as pd

from shd_helpers.sweeps.runner import heat_map

ROWS = pd.DataFrame(
    {
        "lr": [1e-3, 1e-3, 2e-3, 2e-3] * 2,
        "epochs": [10] * 4 + [20] * 4,
        "seed": [0, 1] * 4,
        "validation_accuracy": [0.5, 0.6, 0.2, 0.3, 0.7, 0.9, 0.1, 0.3],
    }
)


def test_a_cell_is_the_mean_over_seeds():
    figure = heat_map(ROWS, "lr", "epochs")
    axis = figure.axes[0]
    shown = axis.collections[0].get_array()
    np.testing.assert_allclose(shown, [[55, 25], [80, 20]])
    assert [text.get_text() for text in axis.texts] == ["55", "25", "80", "20"]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["0.001", "0.002"]
    assert figure.get_suptitle() == (
        "The highest mean over seeds is 80 %, with lr 0.001 and epochs 20"
    )
