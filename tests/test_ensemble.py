"""An ensemble's scores are the means of its members', and each is trained as if alone."""

from dataclasses import replace

import pytest
import torch

from shd_helpers.network import NetworkConfig, build_network
from shd_helpers.network.ensemble import combine_members
from shd_helpers.study.evaluation import evaluate
from shd_helpers.study.training import TrainConfig, fit, train_epoch
from tests.builders.events import random_events

CONFIG = NetworkConfig(
    n_hidden=4,
    readout="membrane",
    learn_beta=True,
    learn_threshold=True,
    n_delays=2,
    ensemble_size=3,
)
KINDS = [{}, {"kernel_size": 7, "stride": 3}, {"learn_beta": False}, {"n_delays": 1}]


def built(**changes):
    config = replace(CONFIG, **changes)
    return build_network(config, 20, 5, 3.0, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("changes", KINDS)
@pytest.mark.parametrize("engine", ["fused", "snntorch"])
def test_scores_are_the_means_of_the_members(changes, engine):
    ensemble = built(**changes)
    events = random_events(12, 60, 20, 5, 0.1)
    for k, member in enumerate(ensemble.ensemble_members):  # each has learned something else
        with torch.no_grad():
            member.fc1.weight.mul_(4 + k)
            if ensemble.config.learn_beta:
                member.lif1.beta.mul_(1 - 0.05 * k)
            member.lif1.threshold.mul_(torch.linspace(0.9, 1.1, len(member.lif1.threshold)))
    combine_members(ensemble)
    together = evaluate(ensemble, events, engine)
    alone = [evaluate(member, events, engine) for member in ensemble.ensemble_members]
    assert together.n_spikes[:, 0].sum() == sum(one.n_spikes[:, 0].sum() for one in alone) > 0
    mean = torch.stack([one.class_scores for one in alone]).mean(0)
    torch.testing.assert_close(together.class_scores, mean, rtol=1e-4, atol=1e-4)
    assert ensemble.lif1.beta.requires_grad == ensemble.config.learn_beta
    assert not ensemble.lif2.beta.requires_grad


def test_each_member_is_trained_as_if_alone():
    events = random_events(24, 40, 20, 5, 0.1)
    config = TrainConfig(epochs=2, batch_size=8)
    ensemble = built(kernel_size=7, stride=3)
    together = fit(ensemble, events, events, config, torch.Generator().manual_seed(1))
    orders = torch.Generator().manual_seed(1)
    alone = built(kernel_size=7, stride=3).ensemble_members  # the same first weights
    optimizers = [torch.optim.Adam(network.parameters(), lr=config.lr) for network in alone]
    losses_alone = []
    for _ in range(2):
        losses_alone.append(
            [
                train_epoch(network, events, optimizer, config, orders).loss
                for network, optimizer in zip(alone, optimizers, strict=True)
            ]
        )
    for network, member in zip(alone, ensemble.ensemble_members, strict=True):
        assert torch.equal(network.fc1.weight, member.fc1.weight)
    losses = [epoch["train_loss"] for epoch in together]
    assert losses == pytest.approx([sum(of_epoch) / 3 for of_epoch in losses_alone])
    assert together[-1]["validation_loss"] == pytest.approx(evaluate(ensemble, events).loss)


def test_members_are_no_parameters_of_their_own():
    ensemble = built()
    alone = build_network(
        replace(CONFIG, ensemble_size=1, n_hidden=12), 20, 5, 3.0, torch.Generator()
    )
    assert type(ensemble) is type(alone)
    assert set(ensemble.state_dict()) == set(alone.state_dict())


@pytest.mark.parametrize(
    "changes", [{"readout": "spikes"}, {"network": "convolutional"}, {"ensemble_size": 0}]
)
def test_networks_whose_scores_cannot_be_averaged_are_refused(changes):
    with pytest.raises(ValueError, match=r"^ensemble_size "):
        replace(CONFIG, **changes)
