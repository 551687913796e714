"""Events and utterances at random."""

from fractions import Fraction

import numpy as np
from hypothesis import strategies as st

from shd_corpus.class_names import ENGLISH, GERMAN
from shd_corpus.shd_file import Utterances
from shd_helpers.events.downsampling import Downsampling, Events


def make_events(cells, n_classes, seed=0):
    """Return a boolean array (utterances, steps, units) as event lists, with random labels."""
    cells = np.asarray(cells, dtype=bool)
    n, n_steps, n_units = cells.shape
    _, steps, units = np.nonzero(cells)
    return Events(
        steps.astype(np.uint16),
        units.astype(np.uint16),
        np.concatenate([[0], np.cumsum(cells.sum((1, 2)))]).astype(np.int64),
        np.random.default_rng(seed).integers(0, n_classes, n),
        np.zeros(n, np.int64),
        tuple(map(str, range(n_classes))),
        n_steps,
        n_units,
    )


def random_events(n, n_steps, n_units, n_classes, density, seed=0):
    """Return n utterances in which an entry is an event with the probability `density`."""
    rng = np.random.default_rng(seed)
    return make_events(rng.random((n, n_steps, n_units)) < density, n_classes, seed)


KEYS = ENGLISH + GERMAN


def utterances(spikes, labels=None, keys=KEYS):
    """Return pairs of times and units as the content of a data set's file, one speaker each."""
    sizes = [len(times) for times, _ in spikes]
    return Utterances(
        np.concatenate([np.asarray(t, np.float16) for t, _ in spikes]),
        np.concatenate([np.asarray(u, np.uint16) for _, u in spikes]),
        np.cumsum([0, *sizes]),
        np.asarray(labels if labels is not None else [0] * len(spikes)),
        np.arange(len(spikes)),
        keys,
    )


spike_lists = st.lists(
    st.lists(
        st.tuples(st.floats(0, 0.046875, width=16), st.integers(660, 699)), min_size=0, max_size=150
    ),
    min_size=1,
    max_size=3,
)


grids = st.builds(
    Downsampling,
    first_unit=st.integers(655, 670),
    duration_s=st.sampled_from([0.02, 0.04]),
    pool_units=st.integers(1, 4),
    pool_steps=st.integers(1, 4),
    pool_threshold=st.just(1),
)


def naive(times, units, grid):
    """Downsample an utterance by loops over blocks and cells, in exact arithmetic."""
    cells = set()
    for moment, unit in zip(np.asarray(times, np.float16), units, strict=True):
        cells.add((int(Fraction(float(moment)) * 1000), unit))
    out = np.zeros((grid.n_steps, grid.n_units))
    for step in range(grid.n_steps):
        for unit in range(grid.n_units):
            active = 0
            for i in range(grid.pool_steps):
                for j in range(grid.pool_units):
                    cell = (
                        step * grid.pool_steps + i,
                        grid.first_unit + unit * grid.pool_units + j,
                    )
                    active += cell in cells
            out[step, unit] = active >= grid.pool_threshold
    return out
