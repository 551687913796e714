"""An ensemble's scores are the means of its members', and each is trained as if alone."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from shd_helpers.network import Ensemble, NetworkConfig, SpikingNetwork, build_network, costs
from shd_helpers.network.ensemble import combine_members
from shd_helpers.study.evaluation import evaluate, record_examples
from shd_helpers.study.training import TrainConfig, fit, overfit, train_epoch
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
@pytest.mark.parametrize("engine", ["compiled", "snntorch"])
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


def members_of(ensemble):
    """Return an ensemble's networks, whether or not they were combined into one."""
    return getattr(ensemble, "members", None) or ensemble.ensemble_members


PLAIN = {"learn_beta": False, "learn_threshold": False}


@pytest.mark.parametrize(
    "changes",
    [{"kernel_size": 7, "stride": 3}, PLAIN | {"readout": "spikes", "hidden": "6,5"}],
    ids=["combined", "apart"],
)
def test_each_member_is_trained_as_if_alone(changes):
    events = random_events(24, 40, 20, 5, 0.1)
    config = TrainConfig(epochs=2, batch_size=8)
    ensemble = built(**changes)
    together = fit(ensemble, events, events, config, torch.Generator().manual_seed(1))
    orders = torch.Generator().manual_seed(1)
    alone = members_of(built(**changes))  # the same first weights
    optimizers = [torch.optim.Adam(network.parameters(), lr=config.lr) for network in alone]
    losses = []
    for _ in range(2):
        for network, optimizer in zip(alone, optimizers, strict=True):
            losses.append(train_epoch(network, events, optimizer, config, orders).loss)
    for network, member in zip(alone, members_of(ensemble), strict=True):
        assert torch.equal(network.fc1.weight, member.fc1.weight)
        assert torch.equal(network.fc2.weight, member.fc2.weight)
    means = [sum(losses[:3]) / 3, sum(losses[3:]) / 3]
    assert [epoch["train_loss"] for epoch in together] == pytest.approx(means)
    assert together[-1]["validation_loss"] == pytest.approx(evaluate(ensemble, events).loss)


def test_members_are_no_parameters_of_their_own():
    ensemble = built()
    alone = build_network(
        replace(CONFIG, ensemble_size=1, n_hidden=12), 20, 5, 3.0, torch.Generator()
    )
    assert type(ensemble) is type(alone)
    assert set(ensemble.state_dict()) == set(alone.state_dict())


# --- ensembles that can't be combined -----------------------------------------------------------

APART = {
    "spike counts": {"readout": "spikes"},
    "adaptive neurons": {"neuron": "adaptive"},
    "two hidden layers": {"hidden": "6,5"},
    "delays of the hidden layer": {"hidden_delays": "2"},
}


@pytest.mark.parametrize("changes", APART.values(), ids=APART.keys())
def test_other_networks_are_averaged_as_they_are(changes):
    ensemble = built(**PLAIN, **changes)
    assert type(ensemble) is Ensemble and len(ensemble.members) == 3
    assert CONFIG.is_combined and not replace(CONFIG, **PLAIN, **changes).is_combined
    events = random_events(12, 60, 20, 5, 0.2)
    alone = [evaluate(member, events) for member in ensemble.members]
    for one in alone[1:]:
        assert not torch.equal(one.class_scores, alone[0].class_scores)
    mean = torch.stack([one.class_scores for one in alone]).mean(0)
    for engine in ("compiled", "snntorch"):
        together = evaluate(ensemble, events, engine)
        torch.testing.assert_close(together.class_scores, mean, rtol=1e-4, atol=1e-4)
        hidden = sum(one.n_spikes[:, :-1].sum() for one in alone)
        assert together.n_spikes.shape == (12, 2) and together.n_spikes[:, 0].sum() == hidden
    table = together.predictions()
    late = [one.predictions().late_spikes for one in alone]
    assert table.late_spikes.tolist() == sum(late).tolist()
    with pytest.raises(ValueError, match="can't be counted: it is an Ensemble"):
        costs(ensemble, table, events.n_steps)
    assert record_examples(ensemble, events) == {}


def test_one_hidden_layer_by_its_list_is_combined_as_by_its_number():
    one = built(n_hidden=4)
    other = built(n_hidden=256, hidden="4", hidden_delays="1")
    assert type(one) is type(other) is SpikingNetwork
    for name, values in one.state_dict().items():
        assert torch.equal(other.state_dict()[name], values), name


def test_an_ensemble_of_modules_is_saved_and_loaded_as_one(tmp_path):
    events = random_events(12, 40, 20, 5, 0.1)
    members = [
        nn.Sequential(Sums(), nn.Linear(20, 5)),
        build_network(replace(CONFIG, **PLAIN, ensemble_size=1), 20, 5, 3.0, torch.Generator()),
    ]
    ensemble = Ensemble(members)
    torch.save(ensemble.state_dict(), tmp_path / "ensemble.pt")
    wanted = evaluate(ensemble, events).class_scores
    with torch.no_grad():
        for parameter in ensemble.parameters():
            parameter.zero_()
    assert not torch.equal(evaluate(ensemble, events).class_scores, wanted)
    ensemble.load_state_dict(torch.load(tmp_path / "ensemble.pt", weights_only=True))
    assert torch.equal(evaluate(ensemble, events).class_scores, wanted)
    assert "hidden_spikes" not in evaluate(ensemble, events).predictions()
    losses = overfit(ensemble, events, 30)  # without `fit`, all members together
    assert losses[-1] < losses[0]


class Sums(nn.Module):
    def forward(self, x):
        return x.sum(0)


def test_what_is_no_ensemble_is_refused():
    network = Sums()
    for members, problem in (
        ([], "at least one network"),
        ([network, network], "one network appears twice"),
    ):
        with pytest.raises(ValueError, match=problem):
            Ensemble(members)
    with pytest.raises(ValueError, match=r"^ensemble_size 0"):
        replace(CONFIG, ensemble_size=0)
