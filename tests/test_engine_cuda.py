"""The Triton kernels, in Triton's interpreter where there is no GPU, against the CPU's engine."""

import os

import numpy as np
import pytest
import torch

pytest.importorskip("triton", reason="Triton isn't installed: the CUDA engine is not tested")
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
if DEVICE == "cpu":
    os.environ["TRITON_INTERPRET"] = "1"  # read when the kernels are defined

from shd_helpers.network.engines import fused as engine  # noqa: E402
from shd_helpers.network.engines import triton as engine_cuda  # noqa: E402
from shd_helpers.network.surrogates import SURROGATES, spike_grad  # noqa: E402
from tests.networks import spiking_network  # noqa: E402
from tests.test_engine import (  # noqa: E402
    by_autograd,
    counted_events,
    gradients,
    layers_of,
    make_model,
    one_unit_a_step,
    random_events,
    relative,
    set_betas,
)


def on_device(run, model, *args):
    """Call a function of the CUDA engine, and bring what it leaves back to the CPU."""
    result = run(model.to(DEVICE), *args)
    model.cpu()
    return result


@pytest.mark.parametrize("surrogate", ["fast_sigmoid", "atan"])
@pytest.mark.parametrize("ties", [False, True])
def test_same_currents_same_bits(surrogate, ties):
    cur = np.random.default_rng(0).normal(0.3, 0.7, (12, 2, 90)).astype(np.float32)
    if ties:
        cur = np.round(cur * 4) / np.float32(4)
    model, events = one_unit_a_step(cur)
    model.lif1.beta = torch.tensor(0.5 if ties else 0.9)
    model.lif1.spike_grad = spike_grad(surrogate, 7.0)
    rec, grad = by_autograd(model, events, [0, 1])
    ours = on_device(engine_cuda.record, model, events, [0, 1])
    assert torch.equal(ours.mem.cpu(), rec.mem) and torch.equal(ours.spk.cpu(), rec.spk)
    on_device(engine_cuda.forward_backward, model, events, [0, 1])
    assert torch.equal(model.fc1.weight.grad, grad)


@pytest.mark.parametrize("surrogate", SURROGATES)
@pytest.mark.parametrize("betas", ["one learned", "neuron learned beyond"])
@pytest.mark.parametrize("l1_spikes", [0.0, 0.01])
def test_whole_network(surrogate, betas, l1_spikes):
    model = make_model([20, 30, 17, 6], surrogate, 5.0, gain=3.0)
    set_betas(model, betas, np.random.default_rng(1))
    model.lif1.threshold = torch.linspace(0.5, 1.5, 30)
    events, index = random_events(6, 15, 20, 6, 0.2), np.array([4, 0, 1, 5, 3])
    loss, counts = engine.forward_backward(model, events, index, l1_spikes)
    want, states = gradients(model), engine.record(model, events, index)
    _, n_spikes = engine.evaluate_batch(model, events, index)
    assert (n_spikes > 0).any(0).all()

    our_loss, our_counts = on_device(engine_cuda.forward_backward, model, events, index, l1_spikes)
    assert torch.equal(our_counts.cpu(), counts) and our_loss == pytest.approx(loss, rel=1e-6)
    for name, grad in gradients(model).items():
        assert relative(grad, want[name]) < 1e-5, name
    assert torch.equal(
        on_device(engine_cuda.evaluate_batch, model, events, index)[1].cpu(), n_spikes
    )
    ours = on_device(engine_cuda.record, model, events, index)
    for (spk, mem), (want_spk, want_mem) in zip(layers_of(ours), layers_of(states), strict=True):
        assert torch.equal(spk.cpu(), want_spk)
        torch.testing.assert_close(mem.cpu(), want_mem, rtol=1e-5, atol=1e-5)


def test_a_cell_that_counts_n_weighs_n_times():
    events, n = counted_events()
    frames = engine_cuda._frames(events, np.arange(8), torch.device(DEVICE))
    np.testing.assert_array_equal(frames.cpu(), n)
    model = make_model([20, 30, 6], slope=5.0, gain=2.0)
    engine.forward_backward(model, events, np.arange(8))
    want = gradients(model)
    on_device(engine_cuda.forward_backward, model, events, np.arange(8))
    for name, grad in gradients(model).items():
        assert relative(grad, want[name]) < 1e-5, name


def test_refusals():
    model, events = make_model([20, 30, 6]), random_events(2, 15, 20, 6, 0.2)
    model.lif1.spike_grad = torch.nn.Identity()
    generator = torch.Generator().manual_seed(0)
    for options, reason in (
        ({"delays": (0, 2)}, "delays"),
        ({"kernel_size": 8}, "shared"),
        ({"stop_ms": 9.0}, "end before"),
        ({"adapt_ms": 90.0}, "adapt"),
        ({"readout": "membrane"}, "scores must be spikes"),
        ({"learn_beta": True, "learn_threshold": True}, "thresholds"),
    ):
        other = spiking_network([20, 30, 6], 0.9, "atan", 2.0, generator, **options)
        assert reason in engine_cuda.unsupported_reason(other)
    with pytest.raises(ValueError, match="surrogate"):
        on_device(engine_cuda.forward_backward, model, events, [0])
    with pytest.raises(ValueError, match="20 units for 21 inputs"):
        on_device(engine_cuda.forward_backward, make_model([21, 6]), events, [0])
    with pytest.raises(IndexError, match="2 utterances"):
        on_device(engine_cuda.evaluate_batch, make_model([20, 6]), events, [-1])
