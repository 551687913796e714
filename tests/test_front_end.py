"""How small, how robust, and what spikes cost: the committed tables are those of frozen answers."""

import h5py
import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from tests import RESULTS


def by_person(right: np.ndarray, people: np.ndarray) -> np.ndarray:
    """Return each person's share of right answers."""
    return np.array([right[people == person].mean() for person in sorted(set(people.tolist()))])


def half(values: np.ndarray, alpha: float = 0.05) -> float:
    """Return half of Student's interval."""
    return t.ppf(1 - alpha / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))


def test_how_small_is_computed_from_the_answers_of_both_seeds():
    table = pd.read_csv(RESULTS / "how_small.csv")
    assert len(table) == 4 * 2 * 3
    with h5py.File(RESULTS / "how_small.h5") as file:
        people, labels = file["speakers"][:], file["labels"][:]
        shares = {}
        for row in table.itertuples():
            name = f"{row.channels} channels, {row.step_ms} ms, {row.neurons} neurons, seed"
            right = np.mean([file[f"{name} {seed}"][:] == labels for seed in (0, 1)], axis=0)
            shares[row.channels, row.step_ms, row.neurons] = by_person(right, people)
    assert len(set(people.tolist())) == 185
    for row in table.itertuples():
        its = shares[row.channels, row.step_ms, row.neurons]
        lost = shares[77, 3, row.neurons] - its
        assert its.mean() == pytest.approx(row.accuracy, abs=1e-6)
        assert lost.mean() == pytest.approx(row.lost, abs=1e-6)
        assert row.ci95 >= 0.99 * half(its)  # seeds make it wider
        assert row.lost_ci95_adjusted >= 0.99 * half(lost, 0.05 / 7)


def test_what_spikes_cost_is_computed_from_the_answers_of_both_seeds():
    table = pd.read_csv(RESULTS / "spikes_cost.csv").set_index("network")
    assert table.index.tolist() == ["spiking", "gru", "convolutional"]
    assert table.parameters.max() < 1.05 * table.parameters["spiking"]
    assert table.parameters.min() > 0.95 * table.parameters["spiking"]
    with (
        h5py.File(RESULTS / "how_small.h5") as spiking,
        h5py.File(RESULTS / "spikes_cost.h5") as file,
    ):
        people, labels = spiking["speakers"][:], spiking["labels"][:]
        names = {"spiking": (spiking, "77 channels, 3 ms, 16 neurons, seed")}
        names |= {name: (file, f"{name}, seed") for name in ("gru", "convolutional")}
        shares = {}
        for network, (of, name) in names.items():
            right = np.mean([of[f"{name} {seed}"][:] == labels for seed in (0, 1)], axis=0)
            shares[network] = by_person(right, people)
    for network, its in shares.items():
        assert its.mean() == pytest.approx(table.accuracy[network], abs=1e-6)
        if network != "spiking":
            more = (its - shares["spiking"]).mean()
            assert more == pytest.approx(table.more[network], abs=1e-6)


def test_how_robust_is_computed_from_the_frozen_answers():
    table = pd.read_csv(RESULTS / "how_robust.csv")
    with h5py.File(RESULTS / "how_robust.h5") as file:
        right = file["answers"][:] == file["labels"][:][:, None, None]
        people = file["speakers"][:]
    n_networks, n_conditions = right.shape[1:]
    assert len(table) == n_networks * n_conditions == 4 * 14
    for number, row in enumerate(table.itertuples()):
        network, condition = divmod(number, n_conditions)
        its = by_person(right[:, network, condition], people)
        clean = by_person(right[:, network, 0], people)
        assert its.mean() == pytest.approx(row.accuracy, abs=1e-6)
        assert half(its) == pytest.approx(row.ci95, rel=1e-4)
        assert (clean - its).mean() == pytest.approx(row.lost, abs=1e-6)
        assert len(its) == row.people
