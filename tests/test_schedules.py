"""The one-cycle schedule and the decoupled weight decay, beside PyTorch's own."""

import copy

import pytest
import torch
from torch.nn import functional as F

from shd_helpers.network import Ensemble, NetworkConfig, SpikingNetwork
from shd_helpers.study.evaluation import batches
from shd_helpers.study.training import ScheduledOptimizer, TrainConfig, TrainOptions, fit
from tests.builders.events import random_events

EVENTS = random_events(22, 12, 6, 4, 0.3, seed=2)
SETTINGS = {"epochs": 3, "batch_size": 8, "lr": 0.02}  # 22 utterances: three updates in an epoch
QUIET = TrainOptions(engine="snntorch", print_epochs=False)


def network(seed=1, **settings):
    config = NetworkConfig(learn_beta=True, learn_threshold=True, readout="membrane", **settings)
    model = SpikingNetwork((6, 5, 4), config, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        model.fc1.weight += 0.3
    return model


def trained_by_hand(model, optimizer, scheduler):
    """Train as a tutorial would, with a scheduler of PyTorch's that is called after each batch."""
    generator = torch.Generator().manual_seed(0)
    rates = []
    for _ in range(3):
        for number, index in enumerate(batches(len(EVENTS), 8, generator)):
            rate = optimizer.param_groups[0]["lr"]
            if number == 0:
                rates.append(rate)
            scores = model(torch.from_numpy(EVENTS.to_frames(index)))
            loss = F.cross_entropy(scores, torch.from_numpy(EVENTS.labels[index]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
    return rates


def test_one_cycle_with_weight_decay_is_pytorchs():
    model = network()
    by_hand = copy.deepcopy(model)
    decayed = [by_hand.fc1.weight, by_hand.fc2.weight]
    others = [each for each in by_hand.parameters() if each.dim() == 1]
    assert len(decayed) + len(others) == len([*by_hand.parameters()])
    groups = [{"params": decayed, "weight_decay": 0.5}, {"params": others, "weight_decay": 0}]
    optimizer = torch.optim.AdamW(groups, lr=0.02)
    # one step more than there are updates, because this loop also calls it after the last one
    scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.02, total_steps=9)
    scheduler.step_ = scheduler.step
    scheduler.step = lambda: scheduler.step_() if scheduler.last_epoch < 8 else None
    rates = trained_by_hand(by_hand, optimizer, scheduler)
    config = TrainConfig(**SETTINGS, schedule="one_cycle", weight_decay=0.5)
    history = fit(model, EVENTS, None, config, torch.Generator().manual_seed(0), options=QUIET)
    assert [epoch["lr"] for epoch in history] == pytest.approx(rates)
    for name, parameter in by_hand.named_parameters():
        torch.testing.assert_close(model.get_parameter(name), parameter, msg=name)


def test_weight_decay_takes_its_share_of_the_weights_and_nothing_of_the_rest():
    """Without a gradient, Adam itself moves nothing."""
    model = network(neuron="adaptive")
    before = copy.deepcopy(model)
    config = TrainConfig(lr=0.1, weight_decay=0.5)
    optimizer = ScheduledOptimizer(model, config, n_batches=1, options=TrainOptions())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in model.named_parameters():
        share = 0.95 if name in ("fc1.weight", "fc2.weight") else 1.0
        torch.testing.assert_close(parameter, share * before.get_parameter(name), msg=name)


def test_without_decay_and_cycle_the_training_is_the_one_of_before():
    """Adam with a rate that halves every `lr_step` epochs, to the last bit."""
    model = network()
    by_hand = copy.deepcopy(model)
    optimizer = torch.optim.Adam(by_hand.parameters(), lr=0.02)
    generator = torch.Generator().manual_seed(0)
    for epoch in range(3):
        optimizer.param_groups[0]["lr"] = 0.02 * 0.5 ** (epoch // 2)
        for index in batches(len(EVENTS), 8, generator):
            scores = by_hand(torch.from_numpy(EVENTS.to_frames(index)))
            loss = F.cross_entropy(scores, torch.from_numpy(EVENTS.labels[index]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    config = TrainConfig(**SETTINGS, lr_step=2)
    fit(model, EVENTS, None, config, torch.Generator().manual_seed(0), options=QUIET)
    for name, parameter in by_hand.named_parameters():
        assert torch.equal(model.get_parameter(name), parameter), name


def test_each_member_of_an_ensemble_has_a_cycle_of_its_own():
    """In the first epoch, the first member gets the batches and rates that it would get alone."""
    config = TrainConfig(epochs=1, batch_size=8, lr=0.02, schedule="one_cycle")
    alone = network(1)
    fit(alone, EVENTS, None, config, torch.Generator().manual_seed(0), options=QUIET)
    ensemble = Ensemble([network(1), network(2)])
    fit(ensemble, EVENTS, None, config, torch.Generator().manual_seed(0), options=QUIET)
    for name, parameter in alone.named_parameters():
        assert torch.equal(ensemble.members[0].get_parameter(name), parameter), name


def test_a_rate_is_refused_that_nobody_knows():
    with pytest.raises(ValueError, match="schedule 'cosine': must be one of step, one_cycle"):
        TrainConfig(schedule="cosine")
    with pytest.raises(ValueError, match="weight_decay -1: must be at least 0, at most 10"):
        TrainConfig(weight_decay=-1)
