"""Training: batches, learning rate, determinism, and the choice of the engine."""

import copy
import subprocess
import sys

import numpy as np
import pytest
import snntorch as snn
import torch
from torch.nn import functional

from shd_corpus.shd_file import read_shd
from shd_helpers.events.downsampling import Downsampling, downsample
from shd_helpers.network.config import NetworkConfig
from shd_helpers.network.engine import COMPILED, MODULE, SNNTORCH_LOOP, choose_engine, warn_once
from shd_helpers.network.spiking import SpikingNetwork
from shd_helpers.study.training import (
    TrainConfig,
    TrainOptions,
    batches,
    evaluate,
    fit,
    overfit,
    train_epoch,
)
from tests.builders.events import random_events
from tests.networks import spiking_network

both_engines = pytest.mark.parametrize("engine", ["compiled", "snntorch"])


@pytest.fixture(scope="module")
def toy(toy_dir):
    grid = Downsampling(pool_units=10, pool_steps=20, pool_threshold=2)  # small and quick
    return downsample(read_shd(toy_dir / "toy_train.h5"), grid)


def network(events, seed=0, slope=2.0):
    generator = torch.Generator().manual_seed(seed)
    return spiking_network((events.n_units, 32, 10), 0.9, "fast_sigmoid", slope, generator)


def test_batches_hold_every_utterance_once():
    taken = list(batches(120, 50, torch.Generator().manual_seed(0)))
    assert [len(index) for index in taken] == [50, 50, 20]  # the rest is not dropped
    shuffled = np.concatenate(taken)
    assert sorted(shuffled) == list(range(120))
    assert shuffled.tolist() != list(range(120))
    assert np.concatenate(list(batches(7, 3))).tolist() == list(range(7))


@both_engines
def test_means_are_weighted_by_batch_size(toy, engine):
    net = network(toy)
    with torch.no_grad():
        counts = net(torch.from_numpy(toy.to_frames(range(len(toy)))))
    # cross-entropy by its definition
    log_sum = torch.log(torch.exp(counts.double()).sum(1))
    loss = (log_sum - counts.double()[range(len(toy)), toy.labels]).mean()
    accuracy = np.mean(counts.numpy().argmax(1) == toy.labels)
    for batch_size in (7, 50, 120):
        metrics = evaluate(net, toy, engine, batch_size)
        assert metrics.loss == pytest.approx(float(loss), rel=1e-5)
        assert metrics.accuracy == pytest.approx(accuracy)
    still = torch.optim.SGD(net.parameters(), lr=0.0)
    config = TrainConfig(batch_size=50)
    metrics = train_epoch(net, toy, still, config, torch.Generator().manual_seed(1))
    assert metrics == pytest.approx((float(loss), accuracy), rel=1e-5)


def test_learns_twenty_utterances_by_heart(toy):
    few = toy.take(np.arange(0, len(toy), len(toy) // 20)[:20])
    net = network(few)
    losses = overfit(net, few, updates=250)
    assert losses[-1] < 0.2 * losses[0]
    assert evaluate(net, few).accuracy == 1.0


def run_fit(events, seed, engine="compiled"):
    net = network(events, seed)
    generator = torch.Generator().manual_seed(seed)
    seen = []
    train = events.take(np.arange(0, 120, 2))
    valid = events.take(np.arange(1, 120, 2))
    config = TrainConfig(epochs=5, batch_size=16, lr=1e-2, lr_step=2)
    history = fit(
        net,
        train,
        valid,
        config,
        generator,
        options=TrainOptions(engine=engine),
        on_epoch=lambda _, m: seen.append(m),
    )
    assert seen == history
    return net, history


def test_training_that_diverges_ends_with_the_epoch_and_the_cause(toy):
    """With a large slope snntorch's sigmoid divides infinity by infinity."""
    generator = torch.Generator().manual_seed(0)
    net = spiking_network((toy.n_units, 32, 10), 0.9, "sigmoid", 1e4, generator)
    config = TrainConfig(epochs=2, batch_size=60, lr=0.5)
    seen = []
    with pytest.raises(ValueError, match=r"epoch 1: .*finite.* lr 0\.5, is too large"):
        fit(
            net, toy, toy, config, generator,
            options=TrainOptions(engine="snntorch"), on_epoch=lambda *args: seen.append(args),
        )  # fmt: skip
    assert not seen  # nothing of that epoch is kept


@both_engines
def test_same_seed_same_numbers(toy, engine):
    first = run_fit(toy, 1, engine)
    again = run_fit(toy, 1, engine)
    other = run_fit(toy, 2, engine)
    for a, b in zip(first[1], again[1], strict=True):
        assert {**a, "wall_s": 0} == {**b, "wall_s": 0}
    assert torch.equal(first[0].fc1.weight, again[0].fc1.weight)
    assert not torch.equal(first[0].fc1.weight, other[0].fc1.weight)


@both_engines
def test_predictions(toy, engine):
    net = network(toy)
    table = evaluate(net, toy, engine, batch_size=50).predictions()
    with torch.no_grad():
        record = net.record(torch.from_numpy(toy.to_frames(range(len(toy)))))
    names = np.array(toy.class_names)
    assert table.label.tolist() == names[toy.labels].tolist()
    assert table.predicted.tolist() == names[record.spk.sum(0).argmax(1).numpy()].tolist()
    assert table.hidden_spikes.tolist() == record.hidden_spk[0].sum((0, 2)).int().tolist()
    assert table.output_spikes.tolist() == record.spk.sum((0, 2)).int().tolist()
    assert table.input_events.tolist() == np.diff(toy.offsets).tolist()


def test_what_the_compiled_engine_cannot_do_falls_to_the_loop_loudly(toy):
    net = network(toy)
    assert choose_engine("compiled", net) is COMPILED
    assert choose_engine("snntorch", net) is SNNTORCH_LOOP
    net.lif1 = snn.Leaky(beta=0.9, reset_mechanism="zero")
    warn_once.cache_clear()
    with pytest.warns(UserWarning, match="runs in snntorch's loop") as warned:
        assert choose_engine("compiled", net) is SNNTORCH_LOOP
        assert choose_engine("compiled", net) is SNNTORCH_LOOP
    (warning,) = warned  # once, not in every epoch
    assert "lif1 doesn't subtract its threshold" in str(warning.message)
    with pytest.raises(ValueError, match="engine 'jax': must be one of compiled"):
        choose_engine("jax", net)


class OtherForward(SpikingNetwork):
    """A network with a way forward of its own."""

    def forward(self, x):
        return 2 * super().forward(x)


def test_a_network_with_a_forward_of_its_own_is_not_run_as_the_study_s(toy):
    net = network(toy)
    wanted = 2 * evaluate(net, toy, "snntorch").class_scores
    net.__class__ = OtherForward
    assert choose_engine("snntorch", net) is MODULE
    torch.testing.assert_close(evaluate(net, toy, "compiled").class_scores, wanted)


@both_engines
def test_class_scores_that_are_nan_are_no_answers(toy, engine):
    """Otherwise NaN would be counted as the first class."""
    net = SpikingNetwork((toy.n_units, 8, 10), NetworkConfig(readout="membrane"))
    with torch.no_grad():
        next(net.parameters()).fill_(torch.nan)
        list(net.parameters())[-1].fill_(torch.nan)
    message = "SpikingNetwork: class scores of 120 of 120 utterances are NaN. .* smaller lr"
    with pytest.raises(ValueError, match=message):
        evaluate(net, toy, engine)


@both_engines
def test_cross_entropy_of_ones_own_trains_as_the_default_loss_does(toy, engine):
    trained = []
    for loss in (None, torch.nn.functional.cross_entropy):
        net = network(toy)
        options = TrainOptions(engine=engine, loss=loss, print_epochs=False)
        config = TrainConfig(epochs=2, batch_size=32)
        history = fit(net, toy, None, config, torch.Generator().manual_seed(0), options=options)
        trained.append((history[-1]["train_loss"], net.fc1.weight.detach()))
    (loss, weight), (own_loss, own_weight) = trained
    assert own_loss == pytest.approx(loss, rel=1e-4)
    torch.testing.assert_close(own_weight, weight, rtol=1e-3, atol=1e-4)


def test_a_loss_an_optimizer_and_a_schedule_of_ones_own(toy):
    """By hand: the mean score of class 0 has the gradient 1 / batch, for each bias a step of lr."""

    class Biases(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.bias = torch.nn.Parameter(torch.zeros(len(toy.class_names)))

        def forward(self, x):
            return self.bias.expand(x.shape[1], -1)

    def sgd(net):
        return torch.optim.SGD(net.parameters(), lr=1.0)

    def tenth(optimizer, n_epochs):
        assert n_epochs == 3
        return torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1)

    options = TrainOptions(
        loss=lambda scores, labels: scores[:, 0].mean(),
        optimizer=sgd,
        schedule=tenth,
        print_epochs=False,
    )
    net = Biases()
    config = TrainConfig(epochs=3, batch_size=len(toy))
    history = fit(net, toy, None, config, torch.Generator().manual_seed(0), options=options)
    assert [row["lr"] for row in history] == pytest.approx([1, 0.1, 0.01])
    assert net.bias[0].item() == pytest.approx(-1.11)
    assert not net.bias[1:].any()


def test_the_default_is_adam_with_a_rate_that_halves():
    """To the last bit, every `lr_step` epochs."""
    events = random_events(22, 12, 6, 4, 0.3, seed=2)  # 22 utterances: three updates in an epoch
    config = NetworkConfig(learn_beta=True, learn_threshold=True, readout="membrane")
    model = SpikingNetwork((6, 5, 4), config, torch.Generator().manual_seed(1))
    with torch.no_grad():
        model.fc1.weight += 0.3
    by_hand = copy.deepcopy(model)
    optimizer = torch.optim.Adam(by_hand.parameters(), lr=0.02)
    generator = torch.Generator().manual_seed(0)
    for epoch in range(3):
        optimizer.param_groups[0]["lr"] = 0.02 * 0.5 ** (epoch // 2)
        for index in batches(len(events), 8, generator):
            scores = by_hand(torch.from_numpy(events.to_frames(index)))
            loss = functional.cross_entropy(scores, torch.from_numpy(events.labels[index]))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    settings = TrainConfig(epochs=3, batch_size=8, lr=0.02, lr_step=2)
    options = TrainOptions(engine="snntorch", print_epochs=False)
    fit(model, events, None, settings, torch.Generator().manual_seed(0), options=options)
    for name, parameter in by_hand.named_parameters():
        assert torch.equal(model.get_parameter(name), parameter), name


def test_training_the_study_s_network_loads_few_of_the_study_s_modules():
    """Every module is one more to read for whoever follows a training from start to end."""
    code = """
import sys
import torch
from shd_helpers import study
from shd_helpers.network import build_network

recipe = study.Recipe()
training, validation, test = recipe.load()
sizes = training.n_units, len(training.class_names), training.step_ms
network = build_network(recipe.network, *sizes, torch.Generator().manual_seed(0))
some = training.take(range(8))
study.fit(network, some, some, study.TrainConfig(epochs=1), torch.Generator().manual_seed(0))
study.evaluate(network, some)
print(sum(name.startswith("shd_") for name in sys.modules))
"""
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert 30 < int(printed.split()[-1]) <= 34
