"""snnTorch's loop takes one thread of torch, and nobody else is left with it."""

import pytest
import torch

from shd_helpers.data import locate
from shd_helpers.events import Downsampling, load_events
from shd_helpers.network import NetworkConfig, SpikingNetwork, engine, loop
from shd_helpers.study import TrainConfig, TrainOptions, evaluate, fit, one_thread
from shd_helpers.study.threads import threads_for


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


def test_only_the_loop_is_kept_to_one():
    for run, threads in ((loop, 1), (engine, 3)):
        with threads_for(run):
            assert torch.get_num_threads() == threads


@pytest.mark.parametrize("name", ["snntorch", "fused"])
def test_training_and_evaluation_with_either_engine(toy_dir, monkeypatch, name):
    run, found = {"snntorch": loop, "fused": engine}[name], []
    for function in ("forward_backward", "evaluate_batch"):
        real = getattr(run, function)

        def watched(*arguments, real=real):
            found.append((real.__name__, torch.get_num_threads()))
            return real(*arguments)

        monkeypatch.setattr(run, function, watched)
    training, _ = load_events(locate(str(toy_dir)), Downsampling(), "english")
    few = training.take(range(8))
    generator = torch.Generator().manual_seed(0)
    model = SpikingNetwork((few.n_units, 16, 10), NetworkConfig(), generator)
    fit(model, few, few, TrainConfig(epochs=1), generator, options=TrainOptions(engine=name))
    evaluate(model, few, name)
    threads = 1 if name == "snntorch" else 3
    assert set(found) == {("forward_backward", threads), ("evaluate_batch", threads)}
