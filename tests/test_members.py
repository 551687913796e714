"""Members side by side: scores are means of the members' own, and each is trained as if alone."""

from dataclasses import replace

import pytest
import torch

from shd_helpers.network import NetworkConfig, build_network
from shd_helpers.study.evaluation import evaluate
from shd_helpers.study.training import TrainConfig, fit, train_epoch
from tests.test_engine import random_events

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
    model, events = built(**changes), random_events(12, 60, 20, 5, 0.1)
    for k, one in enumerate(model.members):  # each has learned something else
        with torch.no_grad():
            one.fc1.weight.mul_(4 + k)
            if model.config.learn_beta:
                one.lif1.beta.mul_(1 - 0.05 * k)
            one.lif1.threshold.mul_(torch.linspace(0.9, 1.1, len(one.lif1.threshold)))
    model.join()
    whole = evaluate(model, events, engine)
    apart = [evaluate(one, events, engine) for one in model.members]
    assert whole.n_spikes[:, 0].sum() == sum(one.n_spikes[:, 0].sum() for one in apart) > 0
    mean = torch.stack([one.class_scores for one in apart]).mean(0)
    torch.testing.assert_close(whole.class_scores, mean, rtol=1e-4, atol=1e-4)
    assert model.lif1.beta.requires_grad == model.config.learn_beta
    assert not model.lif2.beta.requires_grad


def test_each_member_is_trained_as_if_alone():
    events, config = random_events(24, 40, 20, 5, 0.1), TrainConfig(epochs=2, batch_size=8)
    model = built(kernel_size=7, stride=3)
    together = fit(model, events, events, config, torch.Generator().manual_seed(1))
    orders, seen = torch.Generator().manual_seed(1), [[], [], []]
    alone = built(kernel_size=7, stride=3).members  # the same first weights
    optimizers = [torch.optim.Adam(one.parameters(), lr=config.lr) for one in alone]
    for _ in range(2):
        for one, optimizer, found in zip(alone, optimizers, seen, strict=True):
            found.append(train_epoch(one, events, optimizer, config, orders).loss)
    for one, member in zip(alone, model.members, strict=True):
        assert torch.equal(one.fc1.weight, member.fc1.weight)
    losses = [epoch["train_loss"] for epoch in together]
    assert losses == pytest.approx([sum(of) / 3 for of in zip(*seen, strict=True)])
    assert together[-1]["validation_loss"] == pytest.approx(evaluate(model, events).loss)


@pytest.mark.parametrize(
    "changes", [{"readout": "spikes"}, {"network": "convolutional"}, {"ensemble_size": 0}]
)
def test_what_can_not_stand_side_by_side_is_refused(changes):
    with pytest.raises(ValueError, match=r"^ensemble_size "):
        replace(CONFIG, **changes)
