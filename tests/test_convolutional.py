"""The reference without spikes: it learns, evaluating changes nothing, its costs are counted."""

import numpy as np
import pandas as pd
import torch

from shd_helpers.network.convolutional import ConvolutionalNetwork
from shd_helpers.network.operation_counts import costs
from shd_helpers.study import training
from tests.builders.events import random_events


def test_learns_a_few_utterances_by_heart():
    events = random_events(12, 60, 40, 4, 0.1)
    model = ConvolutionalNetwork(4, torch.Generator().manual_seed(0))
    losses = training.overfit(model, events, 40)
    assert losses[-1] < 0.3 * losses[0]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    predictions = training.evaluate(model, events).predictions()
    assert np.mean(predictions.label == predictions.predicted) > 0.9
    assert (predictions.effective_acs == 0).all()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name  # running means, too


NO_SPIKES = pd.DataFrame({"input_events": [3]})


def macs(model):
    return costs(model, NO_SPIKES, 333, 183)["macs"]


def test_multiplications_are_those_of_what_it_puts_out():
    model = ConvolutionalNetwork(10, torch.Generator().manual_seed(0))
    counted = []
    for layer in model.convolutions:
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(
                lambda layer, _, out: counted.append(out.numel() * layer.weight[0].numel())
            )
    ours = macs(model)  # one utterance through it
    assert len(counted) == 3 and ours == sum(counted) + model.fc.weight.numel()
