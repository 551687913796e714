"""The reference without spikes: it learns, evaluating changes nothing, its costs are counted."""

import numpy as np
import torch
from neurobench.metrics.workload import SynapticOperations
from neurobench.models import TorchModel

from shd_helpers.network.convolutional import ConvolutionalNetwork, multiply_accumulates
from shd_helpers.study import training
from tests.test_engine import random_events


def test_learns_a_few_utterances_by_heart():
    events = random_events(12, 60, 40, 4, 0.1)
    model = ConvolutionalNetwork(4, torch.Generator().manual_seed(0))
    losses = training.overfit(model, events, 40)
    assert losses[-1] < 0.3 * losses[0]
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    answers = training.predict(model, events)
    assert np.mean(answers.label == answers.predicted) > 0.9
    assert (answers.effective_acs == 0).all()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]), name  # running means, too


def test_same_seed_same_network():
    a, b = (ConvolutionalNetwork(4, torch.Generator().manual_seed(3)) for _ in range(2))
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(p, q)


def test_multiplications_are_those_of_what_it_puts_out():
    model, counted = ConvolutionalNetwork(10, torch.Generator().manual_seed(0)), []
    for layer in model.convolutions:
        if isinstance(layer, torch.nn.Conv2d):
            layer.register_forward_hook(
                lambda layer, _, out: counted.append(out.numel() * layer.weight[0].numel())
            )
    model(torch.zeros(333, 1, 183))
    ours = multiply_accumulates(model, 333, 183)
    assert len(counted) == 3 and ours == sum(counted) + model.fc.weight.numel()


def test_multiplications_are_neurobench_s_but_for_the_padding():
    model = ConvolutionalNetwork(10, torch.Generator().manual_seed(0)).eval()
    wrapped = TorchModel(model)
    wrapped.register_hooks()
    x = torch.rand(333, 1, 183)
    with torch.no_grad():
        model(x)
    dense = SynapticOperations()(wrapped, None, (x.transpose(0, 1), None))["Dense"]
    wrapped.cleanup_hooks()
    assert dense < multiply_accumulates(model, 333, 183) < 1.1 * dense
