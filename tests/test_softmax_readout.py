"""The readout "softmax": class scores that are means over the steps of a softmax."""

import math

import numpy as np
import pytest
import torch

from shd_helpers.network import NetworkConfig, Quantization, SpikingNetwork, compiled_engine
from shd_helpers.network import loop as snntorch_loop
from shd_helpers.study.recipe import Recipe
from tests.builders.events import random_events

BETA = 0.8
EVENTS = random_events(5, 12, 6, 4, 0.3, seed=2)
ENGINES = pytest.mark.parametrize(
    "run", [compiled_engine, snntorch_loop], ids=["fused", "snntorch"]
)


def one_layer(gain=1.0):
    """Return a network without hidden neurons, whose loss is a smooth function of its weights."""
    config = NetworkConfig(readout="softmax", beta=BETA)
    model = SpikingNetwork((6, 4), config, torch.Generator().manual_seed(1))
    with torch.no_grad():
        model.fc1.weight *= gain
        model.fc1.bias += torch.tensor([0.1, -0.2, 0.0, 0.3])
    return model


def naive(weight, bias, index):
    """Return loss and scores in float64, by loops over utterances, steps and classes."""
    frames = EVENTS.to_frames(index)
    losses = []
    scores = []
    for b, utterance in enumerate(index):
        mem = [0.0] * 4
        score = [0.0] * 4
        for t in range(len(frames)):
            for c in range(4):
                current = bias[c] + sum(weight[c][u] * frames[t, b, u] for u in range(6))
                mem[c] = BETA * mem[c] + current
            total = sum(math.exp(value) for value in mem)
            for c in range(4):
                score[c] += 4 * math.exp(mem[c]) / total / len(frames)
        scores.append(score)
        total = sum(math.exp(value) for value in score)
        losses.append(math.log(total) - score[EVENTS.labels[utterance]])
    return sum(losses) / len(losses), np.array(scores)


@ENGINES
def test_loss_and_scores_are_those_of_their_definition(run):
    model = one_layer(gain=2.0)
    weight = model.fc1.weight.detach().double().numpy()
    bias = model.fc1.bias.detach().double().numpy()
    index = np.array([3, 0, 4])
    wanted_loss, wanted_scores = naive(weight, bias, index)
    loss, scores = run.forward_backward(model, EVENTS, index)
    assert loss == pytest.approx(wanted_loss, rel=1e-5)
    np.testing.assert_allclose(scores, wanted_scores, rtol=1e-5)
    np.testing.assert_allclose(scores.sum(1), 4, rtol=1e-6)  # 1 for each class on average
    evaluated, n_spikes = run.evaluate_batch(model, EVENTS, index)
    assert torch.equal(torch.as_tensor(evaluated), scores)
    assert n_spikes.sum() == 0  # output neurons never spike


@ENGINES
def test_gradients_are_the_slopes_of_the_loss(run):
    """Each weight is moved a little up and down in float64."""
    model = one_layer()
    weight = model.fc1.weight.detach().double().numpy()
    bias = model.fc1.bias.detach().double().numpy()
    index = np.arange(5)
    run.forward_backward(model, EVENTS, index)
    small = 1e-5
    for parameter, values in ((model.fc1.weight, weight), (model.fc1.bias, bias)):
        slopes = np.empty_like(values)
        for position in np.ndindex(values.shape):
            before = values[position]
            around = []
            for moved in (before + small, before - small):
                values[position] = moved
                around.append(naive(weight, bias, index)[0])
            values[position] = before
            slopes[position] = (around[0] - around[1]) / (2 * small)
        np.testing.assert_allclose(parameter.grad, slopes, rtol=1e-3, atol=1e-6)


@ENGINES
def test_membranes_of_any_size_give_finite_scores(run):
    model = one_layer(gain=1e4)
    loss, scores = run.forward_backward(model, EVENTS, np.arange(5))
    assert np.isfinite(loss)
    assert torch.isfinite(scores).all()
    assert all(torch.isfinite(each.grad).all() for each in model.parameters())


def test_a_circuit_refuses_it():
    config = NetworkConfig(readout="softmax")
    reasons = Quantization.named("5-8-16 product").refusals(config, Recipe().input)
    assert reasons == ["readout softmax: a circuit counts spikes or adds up membranes"]
