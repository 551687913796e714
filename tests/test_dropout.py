"""Hidden neurons that nobody hears for a batch: against spikes that are taken out of the loop."""

import copy

import pytest
import torch

from shd_helpers.network import NetworkConfig, build_network
from shd_helpers.network.dropout import hidden_dropout
from shd_helpers.network.engines import fused, loop
from shd_helpers.study.training import TrainConfig, fit
from tests.test_engine import random_events

NETWORKS = {
    "study": {},
    "two hidden layers with delays": {"n_layers": 2, "n_delays": 3},
    "shared weights, membrane readout": {"kernel_size": 8, "stride": 4, "readout": "membrane"},
}


def network(**options):
    """A network that spikes, and events that drive it."""
    config = NetworkConfig(n_hidden=24, **options)
    model = build_network(config, 40, 4, 3.0, torch.Generator().manual_seed(1))
    with torch.no_grad():
        for fc, _ in model.layers:
            fc.weight *= 3
    return model, random_events(6, 50, 40, 4, 0.1)


def gradients(model):
    return {name: p.grad.clone() for name, p in model.named_parameters()}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("engine", [fused, loop])
def test_gradients_are_those_of_a_loop_without_the_spikes(name, engine):
    model, events = network(**NETWORKS[name])
    before, index = copy.deepcopy(model.state_dict()), range(6)
    with hidden_dropout(model, 0.4, torch.Generator().manual_seed(2)):
        heard = [(fc.weight != 0).any(0) for fc, _ in model.layers[1:]]
        loss, scores = engine.forward_backward(model, events, index)
    found = gradients(model)
    assert all(torch.equal(before[key], x) for key, x in model.state_dict().items())
    for i, (_, lif) in enumerate(model.layers[:-1]):
        copies = heard[i].view(len(model.layer_delays(i + 1)), -1)
        assert (copies == copies[0]).all()  # a neuron is left out with all its delays
        assert 0 < copies[0].sum() < copies.shape[1]
        factor = copies[0] / 0.6
        lif.register_forward_hook(lambda _, __, out, factor=factor: (out[0] * factor, out[1]))
    wanted_loss, wanted_scores = loop.forward_backward(model, events, index)
    torch.testing.assert_close(scores, wanted_scores, rtol=1e-4, atol=1e-5)
    assert loss == pytest.approx(wanted_loss, rel=1e-5)
    for key, wanted in gradients(model).items():
        torch.testing.assert_close(found[key], wanted, rtol=2e-3, atol=2e-6)


def test_neurons_are_left_out_as_often_as_asked_and_anew():
    model, _ = network()
    generator, weight = torch.Generator().manual_seed(0), model.fc2.weight.detach().clone()
    kept = []
    for _ in range(400):
        with hidden_dropout(model, 0.3, generator):
            kept.append((model.fc2.weight != 0).any(0))
            ratio = (model.fc2.weight / weight)[:, kept[-1]]
            torch.testing.assert_close(ratio, torch.full_like(ratio, 1 / 0.7))
    kept = torch.stack(kept).float()
    assert abs(kept.mean() - 0.7) < 0.02 and len(kept.unique(dim=0)) > 300
    assert (kept.mean(0) - 0.7).abs().max() < 0.1  # no neuron is favoured


def test_what_goes_wrong_inside_leaves_the_weights():
    model, _ = network()
    before = model.fc2.weight
    with pytest.raises(KeyError), hidden_dropout(model, 0.5, torch.Generator()):
        raise KeyError
    assert model.fc2.weight is before and (before != 0).all()


def test_training_draws_from_its_seed_and_validates_with_all_neurons(capsys):
    ended, heard = [], []
    for share in (0.0, 0.5, 0.5):
        model, events = network()
        fit(
            model, events, events, TrainConfig(epochs=1, batch_size=3, hidden_dropout=share),
            torch.Generator().manual_seed(3),
            on_epoch=lambda trained, _: heard.append(bool((trained.fc2.weight != 0).all())),
        )  # fmt: skip
        ended.append(model.fc2.weight.detach())
    assert heard == [True] * 3
    assert torch.equal(ended[1], ended[2]) and not torch.equal(ended[0], ended[1])
