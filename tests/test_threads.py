"""snnTorch's loop takes one thread of torch, and nobody else is left with it."""

import pytest
import torch

from shd_helpers.data import obtain
from shd_helpers.events import Downsampling, load_pair
from shd_helpers.network import NetworkConfig, SpikingNetwork
from shd_helpers.network.engine import COMPILED, SNNTORCH_LOOP, choose_engine
from shd_helpers.study import (
    TrainConfig,
    TrainOptions,
    evaluate,
    fit,
    one_thread,
    training,
)


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    assert torch.get_num_threads() == 3
    torch.set_num_threads(before)


def test_one_thread_for_a_moment():
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 3
    with pytest.raises(ZeroDivisionError), one_thread():
        assert 1 / 0
    assert torch.get_num_threads() == 3


@pytest.mark.parametrize("engine", [SNNTORCH_LOOP, COMPILED], ids=lambda engine: engine.name)
def test_training_and_evaluation_with_either_engine(toy_dir, monkeypatch, engine):
    calls = []

    def watched(function):
        def call(*arguments):
            calls.append((function.__name__, torch.get_num_threads()))
            return function(*arguments)

        return call

    def choose_watched(name, model):
        chosen = choose_engine(name, model)
        return chosen._replace(
            forward_backward=watched(chosen.forward_backward),
            evaluate_batch=watched(chosen.evaluate_batch),
        )

    monkeypatch.setattr(training, "choose_engine", choose_watched)
    train, _ = load_pair(obtain(str(toy_dir)), Downsampling(), "english")
    few = train.take(range(8))
    generator = torch.Generator().manual_seed(0)
    model = SpikingNetwork((few.n_units, 16, 10), NetworkConfig(), generator)
    fit(model, few, few, TrainConfig(epochs=1), generator, options=TrainOptions(engine=engine.name))
    evaluate(model, few, engine.name)
    threads = 1 if engine is SNNTORCH_LOOP else 3
    assert set(calls) == {
        (engine.forward_backward.__name__, threads),
        (engine.evaluate_batch.__name__, threads),
    }
