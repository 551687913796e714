"""Stopping early: by the rule, step by step, and the whole run where it never stops."""

import numpy as np
import pytest

from hardware.integer import IntegerLayer, IntegerNetwork
from hardware.stopping import bias_votes, stop_early
from shd_helpers.events.downsample import Downsampling
from tests.test_engine import make_events, random_events

GRID = Downsampling(first_unit=670)  # 10 units
EVENTS = random_events(20, GRID.n_steps, 10, 4, 0.003)  # with gaps, and silence at the end


def circuit():
    """Neurons that fire now and then without input, too."""
    rng = np.random.default_rng(0)
    first = IntegerLayer(rng.integers(-7, 8, (30, 10)), rng.integers(0, 6, 30), np.full(30, 20))
    bias = np.array([0, 1, 4, 0])  # votes for the third class, whatever the word
    second = IntegerLayer(rng.integers(-7, 8, (4, 30)), bias, np.full(4, 20))
    return IntegerNetwork(GRID, (0,), (first, second), 12, 4)


@pytest.mark.parametrize("silence", [0, 1, 7, 40])
def test_it_stops_after_a_silence_and_adds_the_votes_to_come(silence):
    """The oracle counts steps of silence one by one, and runs a word without input."""
    model, n_steps = circuit(), GRID.n_steps
    silent = model.run([], []).spk[1]
    steps, answers = stop_early(model, EVENTS, silence)
    for i, run in enumerate(model.runs(EVENTS)):
        active = {int(t) for t in EVENTS.steps[EVENTS.offsets[i] : EVENTS.offsets[i + 1]]}
        still, end = None, n_steps
        for t in range(n_steps):
            still = 0 if t in active else None if still is None else still + 1
            if silence and still == silence:
                end = t + 1
                break
        votes = run.spk[1][:end].sum(0) + silent[end:].sum(0)
        assert (steps[i], answers[i]) == (end, votes.tolist().index(max(votes)))
    assert (silence > 0) == (len(set(steps)) > 5)
    if silence == 7:  # without the table some answers would be others
        spikes = [run.spk[1][: steps[i]].sum(0) for i, run in enumerate(model.runs(EVENTS))]
        assert (answers != np.argmax(spikes, 1)).any()


def test_the_table_is_that_of_a_word_without_input():
    table, silent = bias_votes(circuit()), make_events(np.zeros((1, GRID.n_steps, 10), bool), 4)
    assert table.shape == (GRID.n_steps + 1, 4) and (table[0] == 0).all() and table.sum() > 0
    np.testing.assert_array_equal(table[-1], circuit().count(silent)[0][0])
    assert stop_early(circuit(), silent, 1)[0].tolist() == [GRID.n_steps]  # nothing came yet
