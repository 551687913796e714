"""Batches of a PyTorch loop, and downsampling as a transform, against nested loops."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from shd_helpers.events import Downsampling, SpikesToFrames, downsample
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
