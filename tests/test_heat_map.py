"""The heat map in which a sweep over two settings ends."""

from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from shd_helpers.figures import heat_map
from shd_helpers.sweeps.runner import _draw_heat_map
from tests.overlaps import overlaps

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
    assert plt.get_fignums() == []
    assert overlaps(figure) == []
    axis = figure.axes[0]
    shown = axis.images[0].get_array()
    np.testing.assert_allclose(shown, [[55, 25], [80, 20]])
    assert [text.get_text() for text in axis.texts] == ["55", "25", "80", "20"]
    assert [label.get_text() for label in axis.get_xticklabels()] == ["0.001", "0.002"]
    assert figure.get_suptitle() == (
        "The highest mean over seeds is 80 %, with lr 0.001 and epochs 20"
    )


def sweep(rows, folder):
    """Return a sweep whose runs have the rows' settings."""
    runs = []
    for name, row in rows.drop(columns="validation_accuracy").iterrows():
        parameters = {**row.to_dict(), "run_name": f"run {name}"}
        runs.append(SimpleNamespace(parameters=parameters, folder=folder / f"run {name}"))
    return SimpleNamespace(runs=runs)


@pytest.mark.parametrize(
    ("change", "is_drawn"),
    [
        ({}, True),
        ({"epochs": 10}, False),  # one setting
        ({"beta": [0.8, 0.9] * 4}, False),  # three
        ({"epochs": ["a"] * 4 + ["b"] * 4}, False),  # a text
        ({"validation_accuracy": [np.nan] + [0.5] * 7}, False),  # a run that failed
    ],
)
def test_a_sweep_over_two_numbers_ends_in_a_heat_map(change, is_drawn, tmp_path, capsys):
    rows = ROWS.assign(**change).astype({"validation_accuracy": object})  # as a sweep returns it
    _draw_heat_map(sweep(rows, tmp_path / "sweep"), rows)
    assert (tmp_path / "sweep" / "heat_map.png").exists() == is_drawn
    assert capsys.readouterr().out.startswith("Heat map: ") == is_drawn
