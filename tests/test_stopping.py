"""Stopping early: hand-made votes by rule, the full run as it is, and the table of biases."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import torch

from hardware.integer import IntegerLayer, IntegerNetwork
from hardware.stopping import Progress, Rule, bias_votes, follow, recommend
from shd_helpers.events.downsample import Downsampling
from shd_helpers.network import costs
from shd_helpers.network.engines import fused
from shd_helpers.study import evaluate
from tests.networks import spiking_network
from tests.test_engine import make_events, random_events

GRID = Downsampling(first_unit=670, duration_s=0.12)  # 10 units x 40 steps
EVENTS = random_events(20, 40, 10, 4, 0.1)
ALL = np.arange(len(EVENTS))


def network(delays=(0,), **options):
    generator = torch.Generator().manual_seed(0)
    model = spiking_network([10, 30, 4], 0.9, "atan", 2.0, generator, delays, **options)
    for fc, _ in model.layers:
        fc.weight.data *= 2
        fc.bias.data = 0.25 * torch.rand(fc.out_features, generator=generator)
    model.fc1.weight.data[:, 3] = 0  # synapses that cost nothing
    return model


def circuit():
    rng = np.random.default_rng(0)
    layers = [
        IntegerLayer(
            rng.integers(-7, 8, shape), rng.integers(0, 6, shape[0]), np.full(shape[0], 20)
        )
        for shape in ((30, 10), (4, 30))
    ]
    return IntegerNetwork(GRID, (0,), tuple(layers), 12, 4)


def by_hand(votes, silence, table):
    """Progress of one utterance, an accumulate a step."""
    votes, n = np.cumsum(votes, axis=0), len(votes)
    return Progress(votes[None], np.array([silence]), np.arange(1, n + 1)[None], np.array(table), 5)


HAND = by_hand(
    votes=[[0, 1, 0], [2, 0, 0], [1, 0, 0], [0, 0, 0], [0, 3, 0]],
    silence=[-1, 0, 0, 1, 2],
    table=[[0, 0, 0], [0, 1, 0], [0, 2, 0], [0, 2, 0], [0, 3, 0], [0, 3, 0]],
)
# with the table's votes of the steps to go: (0, 4), (2, 3), (3, 3), (3, 2), (3, 4) for two classes


@pytest.mark.parametrize(
    ("rule", "steps", "answer"),
    [
        (Rule(), 5, 1),
        (Rule(margin=4), 5, 1),  # the lead of 4 in the first step comes before any event
        (Rule(margin=1), 2, 1),
        (Rule(silence=1), 4, 0),
        (Rule(silence=2), 5, 1),
        (Rule(margin=2, silence=1), 4, 0),
        (Rule(margin=1, silence=1), 2, 1),
    ],
)
def test_rules_by_hand(rule, steps, answer):
    found = HAND.stop(rule)
    assert (found[0].tolist(), found[1].tolist()) == ([steps], [answer])
    measured = HAND.measure(rule, np.array([1]))
    assert measured == {
        "accuracy": float(answer == 1),
        "steps": steps,
        "accumulates": steps,
        "neuron_updates": 5 * steps,
    }


@pytest.mark.parametrize("delays", [(0,), (0, 3, 50)])
def test_without_a_rule_all_is_as_in_the_whole_run(delays):
    model = network(delays)
    progress, evaluation = follow(model, EVENTS), evaluate(model, EVENTS)
    scores = evaluation.class_scores.long().numpy()
    np.testing.assert_array_equal(progress.votes[:, -1], scores)
    steps, answers = progress.stop(Rule())
    assert (steps == 40).all()
    np.testing.assert_array_equal(answers, scores.argmax(1))
    wanted = costs(model, evaluation.predictions(), 40, 10)
    measured = progress.measure(Rule(), EVENTS.labels)
    assert measured["accumulates"] == pytest.approx(wanted["effective_acs"])
    assert measured["neuron_updates"] == wanted["neuron_updates"]
    assert measured["accuracy"] == evaluation.accuracy


def test_progress_is_that_of_a_run_that_ends_there():
    """Only what comes before a step counts: the same utterances, cut, end with the same votes."""
    model, progress = network((0, 3)), follow(network((0, 3)), EVENTS)
    cut = EVENTS.to_frames(ALL)[:25].swapaxes(0, 1) > 0
    short = follow(model, make_events(cut, 4))
    np.testing.assert_array_equal(progress.votes[:, :25], short.votes)
    np.testing.assert_array_equal(progress.silence[:, :25], short.silence)
    np.testing.assert_array_equal(progress.accumulates[:, :25], short.accumulates)


def test_silence_counts_steps_since_the_last_event():
    cells = np.zeros((2, 6, 10), bool)
    cells[0, [1, 4], [2, 7]] = True
    found = follow(network(), make_events(cells, 4)).silence
    assert found.tolist() == [[-1, 0, 1, 2, 0, 1], [-1] * 6]


def test_bias_votes_are_those_of_a_run_without_input():
    for model in (network(), circuit()):
        table = bias_votes(model, 40)
        silent = make_events(np.zeros((1, 40, 10), bool), 4)
        if isinstance(model, IntegerNetwork):
            spikes = model.run([], []).spk[1].astype(int)
        else:
            spikes = fused.record(model, silent, [0]).spk[:, 0].long().numpy()
        assert table.shape == (41, 4) and table.sum() > 0 and (table[0] == 0).all()
        for r in (1, 7, 40):
            np.testing.assert_array_equal(table[r], spikes[40 - r :].sum(0))
        # an utterance without events ends with these votes, and a rule waits for one to begin
        steps, _ = follow(model, silent).stop(Rule(margin=1, silence=1))
        assert steps.tolist() == [40]


def test_the_integer_model_stops_by_its_own_votes():
    model = circuit()
    progress, (counts, n_spikes) = follow(model, EVENTS), model.count(EVENTS)
    np.testing.assert_array_equal(progress.votes[:, -1], counts)
    weights = [(layer.weight != 0).sum(0) for layer in model.layers]
    hidden = np.stack(
        [model.run_pooled(EVENTS.steps[a:b], EVENTS.units[a:b]).spk[0].sum(0)
         for a, b in pairwise(EVENTS.offsets)]
    )  # fmt: skip
    wanted = EVENTS.to_frames(ALL).sum(0) @ weights[0] + hidden @ weights[1]
    np.testing.assert_array_equal(progress.accumulates[:, -1], wanted)
    np.testing.assert_array_equal(hidden.sum(1), n_spikes[:, 0])
    assert progress.votes.dtype == progress.bias_votes.dtype == np.int64


def test_a_network_without_votes_and_no_rules_are_refused():
    with pytest.raises(ValueError, match="readout 'membrane': there are no votes"):
        follow(network(readout="membrane"), EVENTS)
    deeper = spiking_network([10, 8, 8, 4], 0.9, "atan", 2.0, torch.Generator())
    with pytest.raises(ValueError, match="3 layers: only networks of two"):
        follow(deeper, EVENTS)
    first, second = circuit().layers
    last = IntegerLayer(np.ones((4, 4), np.int64), np.zeros(4, np.int64), np.full(4, 20))
    with pytest.raises(ValueError, match="3 layers: only networks of two"):
        follow(replace(circuit(), layers=(first, second, last)), EVENTS)
    with pytest.raises(ValueError, match="margin -1"):
        Rule(margin=-1)
    with pytest.raises(ValueError, match=r"silence 0\.5"):
        Rule(silence=0.5)


def test_the_recommended_rule_is_the_cheapest_that_costs_little_on_validation():
    rules = [(0, 0), (0, 20), (8, 40), (4, 10)]
    validation = {(0, 0): (0.900, 333), (0, 20): (0.896, 180), (8, 40): (0.898, 170)}
    validation |= {(4, 10): (0.880, 90)}
    rows = [
        {"run_name": run, "margin": m, "silence": s, "validation_accuracy": a + better,
         "validation_steps": n, "test_unseen_accuracy": 1 - a}
        for run, better in (("a", 0.0), ("b", 0.02))
        for (m, s), (a, n) in ((rule, validation[rule]) for rule in rules)
    ]  # fmt: skip
    table = pd.DataFrame(rows)
    assert recommend(table, loss=0.005) == Rule(8, 40)
    assert recommend(table, loss=0.001) == Rule()
    assert recommend(table, loss=0.03) == Rule(4, 10)
    test_first = table.assign(test_unseen_accuracy=table.validation_steps)
    assert recommend(test_first, loss=0.005) == Rule(8, 40)
