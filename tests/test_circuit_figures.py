"""The circuit's figures on small tables: no text collides or leaves the canvas."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from hardware.disturbances import DISTURBANCES, SEEDLESS
from shd_helpers.figures import circuits, style
from tests.overlaps import overlaps

SOURCE = "data: a_name_of_some_length, english; 12 speakers left out, 2 seeds"


def bits(n):
    names = [f"{b}/8/12" + ", product, tuned" * (b % 2) for b in range(2, 2 + n)]
    columns = {"accuracy": np.linspace(60, 75, n), "ci95": 2.5, "bytes": np.arange(1, n + 1) * 6e3}
    return pd.DataFrame(columns, index=names)


def disturbances(kinds):
    rng, rows = np.random.default_rng(0), []
    for _ in range(4):
        rows.append(("none", 0.0, 0, 0.75 + 0.1 * rng.standard_normal()))
        for kind in kinds:
            for strength in (0.01, 0.03, 0.1, 0.2, 0.3):
                for draw in range(1 if kind in SEEDLESS else 3):
                    score = 0.75 - strength + 0.1 * rng.standard_normal()
                    rows.append((kind, strength, draw, np.clip(score, 0, 1)))
    columns = ["kind", "strength", "draw", "test_unseen_accuracy"]
    return pd.DataFrame(rows, columns=columns)


def stopping(margins, silences):
    rows = []
    for run in ("a", "b"):
        for margin in margins:
            for silence in silences:
                steps = 333 if margin == silence == 0 else 90 + 3 * silence + 4 * margin
                score = 0.9 - 30 / steps
                rows.append((run, margin, silence, score, steps, score - 0.2, steps - 20))
    columns = ["run", "margin", "silence", "validation_accuracy", "validation_steps"]
    columns += ["test_unseen_accuracy", "test_unseen_steps"]
    return pd.DataFrame(rows, columns=columns)


def budget(n):
    names = [f"{b}/8/12" for b in range(2, 2 + n)]
    parts = ("weights, layer 1", "weights, layer 2", "biases", "thresholds", "membranes", "delays")
    stored = {
        part: np.linspace(1e4, 2e4, n) / (i + 1) for i, part in enumerate((*parts, "pooling"))
    }
    done = {"accumulates": 4e5, "neuron updates": 9e4, "memory accesses": np.linspace(5e5, 8e5, n)}
    return circuits.budget(pd.DataFrame(stored, index=names), pd.DataFrame(done, index=names))


def membranes(n):
    names = ("integers", "floats", "floats with beta as it was tuned")[:n]
    waves = (2 * np.sin(np.linspace(0, 30 + i, 333)) for i in range(n))
    return circuits.membranes(dict(zip(names, waves, strict=True)), 3.0)


CASES = {
    "membranes": [lambda: membranes(3), lambda: membranes(1)],
    "accuracy_over_bits": [
        lambda: circuits.accuracy_over_bits(bits(18), 76.0),
        lambda: circuits.accuracy_over_bits(bits(2), 61.0),
    ],
    "accuracy_over_disturbance": [
        lambda: circuits.accuracy_over_disturbance(disturbances(DISTURBANCES)),
        lambda: circuits.accuracy_over_disturbance(disturbances(["lost events"])),
    ],
    "accuracy_over_steps": [
        lambda: circuits.accuracy_over_steps(
            stopping((0, 4, 8, 16), (0, 10, 20, 30, 40, 60)), (8, 40)
        ),
        lambda: circuits.accuracy_over_steps(stopping((0, 4), (0, 10)), (0, 0)),
    ],
    "budget": [lambda: budget(4), lambda: budget(1)],
}


@pytest.mark.parametrize("name", CASES)
def test_figure_is_legible_as_it_is_saved(name, tmp_path, monkeypatch):
    monkeypatch.setattr(style, "img_dir", lambda: tmp_path)
    for draw in CASES[name]:
        figure = draw()
        assert plt.get_fignums() == [], "an open figure is shown once more at the end of a cell"
        assert overlaps(figure, lambda figure=figure: style.save(figure, name, SOURCE)) == []


def test_no_figure_is_forgotten():
    drawn = {name for name, f in vars(circuits).items() if hasattr(f, "__wrapped__")}
    own = {name for name in drawn if getattr(circuits, name).__module__ == circuits.__name__}
    assert own == set(CASES)


def test_lines_begin_at_the_undisturbed_networks_and_are_means():
    table = disturbances(["lost events"])
    axis = circuits.accuracy_over_disturbance(table).axes[0]
    x, y = axis.lines[0].get_data()
    means = 100 * table.groupby("strength").test_unseen_accuracy.mean()
    np.testing.assert_allclose(x, [0, 1, 3, 10, 20, 30])
    np.testing.assert_allclose(y, means)


def test_the_band_holds_eight_of_ten():
    table = disturbances(["lost events"])
    (band,) = circuits.accuracy_over_disturbance(table).axes[0].collections
    rows = table[table.strength == 0.3]
    wanted = 100 * rows.test_unseen_accuracy.quantile([0.1, 0.9])
    x, y = band.get_paths()[0].vertices.T
    np.testing.assert_allclose(sorted({*y[x == 30]}), wanted)


def test_the_whole_run_and_the_recommended_rule_are_marked():
    figure = circuits.accuracy_over_steps(stopping((0, 8), (0, 40)), (8, 40))
    marked = {line.get_label(): line.get_xydata()[0] for line in figure.axes[0].lines[-2:]}
    np.testing.assert_allclose(marked["all steps"], (333, 90 - 3000 / 333))
    np.testing.assert_allclose(marked["recommended"], (242, 90 - 3000 / 242))
