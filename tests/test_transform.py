"""Batches of a PyTorch loop, and downsampling as a transform, against nested loops.

Shift and stretch augmentation against the same changes made by hand.
"""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from shd_helpers.events import Downsampling, SpikesToFrames, downsample
from shd_helpers.events.augmentation import Augmentation
from tests.builders.events import grids, naive, random_events, spike_lists, utterances


def as_tonic_has_it(times, units):
    """Return a structured array as tonic's SHD returns it: whole microseconds, units, ones."""
    events = np.zeros(len(times), [("t", int), ("x", int), ("p", int)])
    events["t"] = np.asarray(times, np.float64) * 1e6
    events["x"] = units
    events["p"] = 1
    return events


@settings(max_examples=60, deadline=None)
@given(spike_lists, grids, st.integers(1, 4))
def test_the_transform_equals_nested_loops_and_downsample(spikes, grid, pool_threshold):
    pool_threshold = min(pool_threshold, grid.pool_units * grid.pool_steps)
    grid = Downsampling(**{**vars(grid), "pool_threshold": pool_threshold})
    transform = SpikesToFrames(grid)
    pairs = [([t for t, _ in rows], [u for _, u in rows]) for rows in spikes]
    dense = downsample(utterances(pairs), grid).to_frames(range(len(pairs)))
    for i, (times, units) in enumerate(pairs):
        expected = naive(times, units, grid)
        halves = np.asarray(times, np.float16)
        for given_spikes in ((halves, units), as_tonic_has_it(halves, units)):
            frame = transform(given_spikes)
            assert frame.dtype == np.float32
            np.testing.assert_array_equal(frame, expected)
        np.testing.assert_array_equal(dense[:, i], expected)


def test_every_whole_microsecond_falls_into_its_millisecond():
    """Dividing by a million and multiplying by a thousand would move some into the one before."""
    grid = Downsampling(0, 2.0, 1, 1, 1)
    transform = SpikesToFrames(grid, n_channels=1)
    events = np.zeros(2000, [("t", int), ("x", int), ("p", int)])
    events["t"] = 1000 * np.arange(2000)
    assert transform(events).sum() == 2000


def test_the_transform_takes_other_numbers_of_channels():
    grid = Downsampling(first_unit=2, duration_s=0.01, pool_units=2, pool_steps=1, pool_threshold=1)
    frame = SpikesToFrames(grid, n_channels=8)(([0.003, 0.004], [5, 7]))
    assert frame.shape == (10, 3)
    assert np.argwhere(frame).tolist() == [[3, 1], [4, 2]]
    with pytest.raises(ValueError, match=r"first_unit 2: .* at most 1, because the file has"):
        SpikesToFrames(grid, n_channels=2)


@pytest.mark.parametrize(
    ("spikes", "message"),
    [
        (([0.1, 0.2], [1]), "2 times and 1 units"),
        (([-0.1], [1]), "a time below 0"),
        (([float("nan")], [1]), "a time below 0, or no number"),
        (([0.1], [700]), r"a unit outside 0\.\.699: set n_channels"),
        (([0.1], [-1]), r"a unit outside 0\.\.699"),
        (np.zeros(2, [("t", int), ("y", int)]), r"fields t, y: it needs t \(microseconds\) and x"),
    ],
)
def test_what_cannot_be_spikes_is_refused(spikes, message):
    with pytest.raises(ValueError, match=message):
        SpikesToFrames()(spikes)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_data_loader_makes_the_frames_of_the_events(workers):
    events = random_events(7, 5, 4, 3, 0.3)
    chosen = np.array([6, 0, 3, 2])
    loader = DataLoader(chosen, batch_size=3, collate_fn=events.batch, num_workers=workers)
    batches = [[6, 0, 3], [2]]
    for (frames, labels), index in zip(loader, batches, strict=True):
        assert frames.dtype == torch.float32 and labels.dtype == torch.int64
        np.testing.assert_array_equal(frames, events.to_frames(index))
        assert labels.tolist() == events.labels[index].tolist()


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
