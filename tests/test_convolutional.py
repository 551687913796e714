"""The reference without spikes: it learns, evaluating changes nothing, its costs are counted."""

import numpy as np
import torch

from evidence.convolutional import ConvolutionalNetwork, multiply_accumulates
from shd_helpers.study import training
from tests.builders.events import random_events


def test_learns_a_few_utterances_by_heart():
    torch.manual_seed(0)
    events = random_events(12, 60, 40, 4, 0.1)
    model = ConvolutionalNetwork(40, 4)
    losses = training.overfit(model, events, 40)
    assert losses[-1] < 0.3 * losses[0]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    predictions = training.evaluate(model, events).predictions()
    assert np.mean(predictions.label == predictions.predicted) > 0.9
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name  # running means, too


def test_multiplications_are_those_of_what_it_puts_out():
    model = ConvolutionalNetwork(183, 10)
    counted = []
    for layer in model.convolutions:
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(
                lambda layer, _, out: counted.append(out.numel() * layer.weight[0].numel())
            )
    ours = multiply_accumulates(model, 333, 183)  # one utterance through it
    assert len(counted) == 3 and ours == sum(counted) + model.fc.weight.numel()
