"""Shift and stretch augmentation against the same changes made by hand."""

import numpy as np
import torch

from shd_helpers.events.augmentation import Augmentation
from tests.builders.events import random_events

EVENTS = random_events(40, 50, 30, 5, 0.1)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def changed(seed=0, **limits):
    return Augmentation(**limits)(EVENTS, generator(seed))


def entries(events, i):
    own = slice(events.offsets[i], events.offsets[i + 1])
    return {*zip(events.steps[own].tolist(), events.units[own].tolist(), strict=True)}


def moved(utterance, late, up):
    """Move an utterance's entries by hand."""
    all_entries = {(t + late, u + up) for t, u in utterance}
    return {(t, u) for t, u in all_entries if 0 <= t < 50 and 0 <= u < 30}


def test_nothing_is_changed_unless_asked():
    assert not Augmentation() and Augmentation(dropout=0.1)
    events = changed()
    assert all(entries(events, i) == entries(EVENTS, i) for i in range(40))


def test_shifts_move_every_utterance_by_its_own_whole_number():
    events = changed(shift_units=3, shift_ms=12.0)
    moves = set()
    for i in range(40):
        fits = [
            (late, up)
            for late in range(-4, 5)
            for up in range(-3, 4)
            if entries(events, i) == moved(entries(EVENTS, i), late, up)
        ]
        assert len(fits) == 1
        moves |= {*fits}
    assert len(moves) > 20
    assert {late for late, _ in moves} == set(range(-4, 5))
    assert len({up for _, up in moves}) == 7


def stretched(utterance, factor):
    """Stretch an utterance's entries by hand."""
    moved = {(int((t + 0.5) * factor), u) for t, u in utterance}
    return {(t, u) for t, u in moved if t < 50}


def drawn_factors(events, by_hand, edges, limits):
    """Return what factor changed each utterance: between two neighbors of `edges` all do alike."""
    edges = np.unique(np.append(edges, limits))
    edges = edges[(edges >= limits[0]) & (edges <= limits[1])]
    middles = ((edges[1:] + edges[:-1]) / 2).tolist()

    def factor(i):
        before = entries(EVENTS, i)
        after = entries(events, i)
        return np.mean([f for f in middles if by_hand(before, f) == after])

    factors = [factor(i) for i in range(0, 40, 2)]
    assert not np.isnan(factors).any()
    return factors


def test_stretch_multiplies_times():
    edges = np.arange(76) / (np.arange(50)[:, None] + 0.5)
    factors = drawn_factors(changed(stretch=0.5), stretched, edges, (0.5, 1.5))
    assert min(factors) < 0.65 and max(factors) > 1.35


def test_dropout_leaves_the_share_out():
    events = changed(dropout=0.25)
    assert all(entries(events, i) <= entries(EVENTS, i) for i in range(40))
    n = len(EVENTS.steps)
    kept = len(events.steps) / n
    assert abs(kept - 0.75) < 4 * (0.25 * 0.75 / n) ** 0.5


def test_order_labels_and_seeds():
    limits = {"shift_units": 5, "shift_ms": 15.0, "stretch": 0.3, "dropout": 0.2}
    events = changed(0, **limits)
    again = changed(0, **limits)
    other = changed(1, **limits)
    np.testing.assert_array_equal(events.steps, again.steps)
    assert len(events.steps) != len(other.steps)
    np.testing.assert_array_equal(events.labels, EVENTS.labels)
    assert events.offsets[0] == 0 and events.offsets[-1] == len(events.steps) == len(events.units)
    for i in range(40):
        own = slice(events.offsets[i], events.offsets[i + 1])
        pairs = [*zip(events.steps[own].tolist(), events.units[own].tolist(), strict=True)]
        assert pairs == sorted(set(pairs))  # what the engine asks for
