"""The compiled engine against snntorch's loop and against arithmetic in float64."""

import time
import types
from pathlib import Path

import numpy as np
import pytest
import snntorch as snn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from snntorch import surrogate as snn_surrogate
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import prune

from engine_tests.networks import SURROGATES, layered, random_utterances, utterances
from shd_engine import EventLists, LayeredNetwork, compiled_engine, kernels
from shd_engine.surrogates import sigmoid_derivative


def spike_grad(surrogate, slope):
    """Return a surrogate of snntorch, with a note for `gradients_in_float64` of what it is."""
    function = SURROGATES[surrogate](slope)
    function.surrogate = surrogate
    function.slope = slope
    return function


def forward_backward(model, data, index):
    """Train on a batch."""
    return compiled_engine.forward_backward(model, data.events, index, data.labels[index])


def evaluate_batch(model, data, index):
    """Return class scores and numbers of spikes."""
    return compiled_engine.evaluate_batch(model, data.events, index)


@torch.no_grad()
def record(model, data, index):
    """Return all states."""
    return compiled_engine.record(model, data.events, index)


def make_model(sizes, surrogate="fast_sigmoid", slope=25.0, beta=0.9, seed=0, gain=1.0):
    generator = torch.Generator().manual_seed(seed)
    model = layered(sizes, 0.5, spike_grad(surrogate, slope), generator)
    with torch.no_grad():
        for fc, lif in model.layers:
            fc.weight *= gain
            fc.bias += 0.02
            lif.beta = torch.as_tensor(beta)
    return model


def set_betas(model, kind, rng):
    """Give each layer its betas: one number or one per neuron, fixed or learned, some beyond 1."""
    for fc, lif in model.layers:
        n = fc.out_features
        beta = rng.uniform(0.3, 1.0, n if "neuron" in kind else ()).astype(np.float32)
        if "beyond" in kind:
            beta = np.where(rng.random(beta.shape) < 0.5, beta, beta * 3 - 1.5).astype(np.float32)
        beta = torch.as_tensor(beta)
        if "learned" in kind:
            del lif.beta
            lif.beta = nn.Parameter(beta)
        else:
            lif.beta = beta


def reference_step(model, events, index):
    """Take the readable way: snntorch's loop, the loss, autograd."""
    model.zero_grad()
    frames, labels = events.batch(index)
    rec = model.record(frames)
    loss = F.cross_entropy(model.scores(rec), labels)
    loss.backward()
    return loss.item(), rec


def gradients(model):
    return {name: p.grad.detach().clone() for name, p in model.named_parameters()}


def relative(a, b):
    """Return the norm of the difference over the norm of b, which counts from 1e-30 on."""
    a = np.asarray(a, np.float64)
    b = np.asarray(b, np.float64)
    return np.linalg.norm(a - b) / max(np.linalg.norm(b), 1e-30)


def layers_of(rec):
    return [*zip((*rec.hidden_spk, rec.spk), (*rec.hidden_mem, rec.mem), strict=True)]


# --- the same currents in: equal bit for bit ---------------------------------------------------


def one_unit_a_step(cur):
    """Make a network without hidden layer whose currents are exactly `cur` (steps, batch, n).

    Every step of every utterance has an input unit of its own, whose weights are the current. A
    weight's gradient is then the gradient of one current.
    """
    n_steps, batch, n = cur.shape
    model = make_model([batch * n_steps, n])
    with torch.no_grad():
        model.fc1.weight.copy_(torch.from_numpy(cur.transpose(1, 0, 2).reshape(-1, n).T.copy()))
        model.fc1.bias.zero_()
    cells = np.eye(batch * n_steps, dtype=bool).reshape(batch, n_steps, -1)
    return model, utterances(cells, n)


def by_autograd(model, events, index):
    """Return snntorch's states and weight gradient, with the engine's loss gradient put in."""
    model.zero_grad()
    rec = model.record(events.batch(index)[0])
    rec.spk.sum(0).backward(torch.from_numpy(loss_gradients(rec, events, index)))
    return rec, model.fc1.weight.grad.clone()


def loss_gradients(rec, events, index):
    """Return the gradients of the engine's loss with respect to the class scores."""
    counts = rec.spk.detach().sum(0)
    d = np.empty(counts.shape, np.float32)
    for b, i in enumerate(index):
        kernels.loss(counts[b].numpy(), events.labels[i], len(index), d[b])
    return d


@settings(max_examples=50, deadline=None, derandomize=True)
@given(
    shape=st.tuples(st.integers(1, 30), st.integers(1, 4), st.integers(1, 40)),
    ties=st.booleans(),
    surrogate=st.sampled_from(["fast_sigmoid", "atan"]),
    slope=st.floats(0.1, 200),
    betas=st.sampled_from(["one", "neuron"]),
    thresholds=st.sampled_from(["one", "neuron"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_same_currents_same_bits(shape, ties, surrogate, slope, betas, thresholds, seed):
    rng = np.random.default_rng(seed)
    cur = rng.normal(0.3, 0.7, shape).astype(np.float32)
    if ties:  # quarters and a beta of a half: membranes hit the threshold exactly, and often
        cur = np.round(cur * 4) / np.float32(4)
    model, events = one_unit_a_step(cur)
    set_betas(model, betas, rng)
    model.lif1.spike_grad = spike_grad(surrogate, slope)
    if ties:
        model.lif1.beta = torch.full_like(model.lif1.beta, 0.5)
    elif thresholds == "neuron":
        model.lif1.threshold = torch.from_numpy(rng.uniform(-0.2, 2, shape[2]).astype(np.float32))
    index = np.arange(shape[1])
    rec, grad = by_autograd(model, events, index)
    assert torch.equal(record(model, events, index).mem, rec.mem)
    assert torch.equal(record(model, events, index).spk, rec.spk)
    _, counts = forward_backward(model, events, index)
    assert torch.equal(counts, rec.spk.sum(0))
    assert torch.equal(model.fc1.weight.grad, grad)


def test_exp_to_one_unit_in_the_last_place():
    x = np.linspace(-87, 0, 20_001, dtype=np.float32)
    np.testing.assert_allclose([kernels.exp(v) for v in x], np.exp(x.astype(float)), rtol=1.2e-7)


def test_the_sigmoid_is_exact_where_snntorch_s_is_infinite():
    """Its exp(-k x), and its square, leave float32's range on either side."""
    cur = np.linspace(-3, 3, 1601, dtype=np.float32).reshape(1, 1, -1)
    model, events = one_unit_a_step(cur)
    model.lif1.spike_grad = spike_grad("sigmoid", 25.0)
    rec, grad = by_autograd(model, events, [0])
    assert not grad.isfinite().all()
    forward_backward(model, events, [0])
    derivative = sigmoid_derivative(cur[0, 0].astype(float) - 1, 25.0)
    wanted = loss_gradients(rec, events, [0])[0] * derivative
    np.testing.assert_allclose(model.fc1.weight.grad.ravel(), wanted, rtol=1e-5, atol=1e-37)


# --- whole networks ----------------------------------------------------------------------------


def test_spikes_of_ten_million_neuron_steps():
    """Fewer than 10 spikes differ from snntorch's in 10^7 neuron-steps."""
    model = make_model([183, 256, 10], "fast_sigmoid", 25.0, beta=0.95, gain=3.0)
    events = random_utterances(114, 333, 183, 10, 0.022)
    index = np.arange(114)
    rec = record(model, events, index)
    with torch.no_grad():
        want = model.record(events.batch(index)[0])
    neuron_steps = sum(spk.numel() for spk, _ in layers_of(rec))
    assert neuron_steps > 1e7
    assert 0.02 < rec.hidden_spk[0].mean() < 0.5 and 0.02 < rec.spk.mean() < 0.9
    from_snntorch = sum(
        int((a != b).sum()) for (a, _), (b, _) in zip(layers_of(rec), layers_of(want), strict=True)
    )
    assert from_snntorch < 10


def test_every_neuron_spikes_at_every_step():
    model = make_model([3, 37, 18])
    with torch.no_grad():
        for fc, _ in model.layers:
            fc.weight.fill_(1.0)
            fc.bias.fill_(3.0)
    events = random_utterances(3, 21, 3, 18, 0.5)
    counts, n_spikes = evaluate_batch(model, events, [0, 1, 2])
    assert (counts == 21).all()
    assert n_spikes.tolist() == [[21 * 37, 21 * 18]] * 3


# --- determinism, threads, what is left alone --------------------------------------------------


@pytest.mark.parametrize("recurs", [False, True])
def test_no_bit_depends_on_threads_or_neighbors(recurs):
    model = make_model([40, 70, 5], "atan", 2.0)
    set_betas(model, "neuron learned", np.random.default_rng(0))
    if recurs:
        torch.manual_seed(0)
        model.lif1 = snn.RLeaky(0.9, linear_features=70)
    events = random_utterances(70, 60, 40, 5, 0.1)
    before = torch.get_num_threads()
    results = []
    try:
        for n_threads in (1, 2, 2, 3, 7, 64):
            torch.set_num_threads(n_threads)
            results.append((forward_backward(model, events, np.arange(70)), gradients(model)))
    finally:
        torch.set_num_threads(before)
    (loss, counts), grads = results[0]
    for (other_loss, other_counts), other in results[1:]:
        assert loss == other_loss and torch.equal(counts, other_counts)
        assert all(torch.equal(grads[name], other[name]) for name in grads)
    alone, _ = evaluate_batch(model, events, [33])
    assert torch.equal(alone[0], counts[33])


# --- what a network may have beyond the usual, against snntorch's own autograd --------------------


@pytest.mark.parametrize("n_channels", [1, 5, 16])
@pytest.mark.parametrize(
    "kernel_size, stride", [(40, 1), (1, 1), (5, 9), (7, 2), (12, 8), (39, 1), (3, 3)]
)
def test_shared_weights_compute_what_snntorch_computes(kernel_size, stride, n_channels):
    """Units that one, many or no windows see; layers with and without columns left out."""
    window = {"kernel_size": kernel_size, "stride": stride, "delays": (0, 6)}
    generator = torch.Generator().manual_seed(1)
    model = layered([40, n_channels, 4], 0.9, spike_grad("atan", 2.0), generator, **window)
    with torch.no_grad():
        model.fc1.weight += 0.2
        model.fc1.bias += torch.linspace(0.01, 0.1, n_channels)
    events = random_utterances(5, 30, 40, 4, 0.2)
    index = np.array([4, 0, 3])
    _, scores = forward_backward(model, events, index)
    ours = gradients(model)
    _, want = reference_step(model, events, index)
    assert torch.equal(scores, want.spk.sum(0))  # true for this seed
    assert record(model, events, index).hidden_spk[0].sum() > 20
    for name, grad in gradients(model).items():
        assert grad.abs().max() > 0, name
        assert relative(ours[name], grad) < 1e-5, name


def leaky(**kwargs):
    return lambda model: setattr(
        model, "lif1", snn.Leaky(**{"beta": 0.9, "spike_grad": spike_grad("atan", 2.0), **kwargs})
    )


def hypernetwork(model):
    weight = model.fc1.weight
    del model.fc1.weight
    model.fc1.weight = 2 * weight


class OtherNetwork(LayeredNetwork):
    def forward(self, x):
        return super().forward(x)


REFUSED = {
    "reset to zero": (leaky(reset_mechanism="zero"), "subtract its threshold"),
    "immediate reset": (leaky(reset_delay=False), "subtract its threshold"),
    "inhibition": (leaky(inhibition=True), "inhibition"),
    "hidden state": (leaky(init_hidden=True), "hidden"),
    "graded": (leaky(graded_spikes_factor=0.5), "graded"),
    "learned grade": (leaky(learn_graded_spikes_factor=True), "graded"),
    "a surrogate that spikes at random": (leaky(spike_grad=snn_surrogate.SSO()), "surrogate"),
    "float64 betas": (leaky(beta=torch.full((9,), 0.9, dtype=torch.float64)), "float32"),
    "betas of another shape": (leaky(beta=torch.full((1, 9), 0.9)), "neither"),
    "other neuron": (lambda m: setattr(m, "lif1", snn.Lapicque(beta=0.9)), "Lapicque"),
    "hook": (lambda m: m.fc1.register_forward_hook(lambda *_: None), "hooks"),
    "pruned": (lambda m: prune.random_unstructured(m.fc1, "weight", 0.5), "prune.remove"),
    "computed weights": (hypernetwork, "plain"),
    "replaced method": (
        lambda m: setattr(m.lif1, "fire", m.lif2.fire), "lif1 has a fire that was replaced",
    ),
    "other forward": (lambda m: setattr(m, "__class__", OtherNetwork), "forward"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Inhibition is an unstable feature")
@pytest.mark.parametrize("change, reason", REFUSED.values(), ids=REFUSED.keys())
def test_the_engine_says_why_it_cannot_compute_a_network(change, reason):
    model = make_model([12, 9, 4])
    assert compiled_engine.unsupported(model) is None
    change(model)
    assert reason in compiled_engine.unsupported(model)
    with pytest.raises(ValueError, match=f"can't compute this network: .*{reason}"):
        forward_backward(model, random_utterances(2, 5, 12, 4, 0.3), [0])


def test_events_and_indices_that_do_not_fit_are_refused():
    model = make_model([12, 9, 4])
    events = random_utterances(4, 20, 12, 4, 0.3)
    with pytest.raises(ValueError, match="have 13 units, but the network was built for 12"):
        forward_backward(model, random_utterances(4, 20, 13, 4, 0.3), [0])
    for index in ([4], [-1]):
        with pytest.raises(IndexError, match="4 utterances"):
            evaluate_batch(model, events, index)
    for labels, message in {
        (0, 1): "there are 2 labels for 3 utterances",
        (0, 1, 4): "the labels are from 0 to 4",
        (0.0, 1.0, 2.0): "the labels are float64 instead of whole numbers",
    }.items():
        with pytest.raises(ValueError, match=f"{message}.* needs utterances with labels from 0 to"):
            compiled_engine.forward_backward(model, events.events, [0, 1, 2], labels)
    for mask in ([True, False, False, True], np.zeros(4, bool)):
        with pytest.raises(ValueError, match=r"mask of True and False.*np\.flatnonzero\(mask\)"):
            evaluate_batch(model, events, mask)
    with pytest.raises(ValueError, match="needs utterances"):
        forward_backward(model, events, [])
    counts, n_spikes = evaluate_batch(model, events, [])
    assert counts.shape == (0, 4) and n_spikes.shape == (0, 2)


@pytest.mark.parametrize("steps, units", [([1, 0], [0, 0]), ([0, 5], [0, 0]), ([0, 0], [0, 4]),
                                          ([0, 0], [1, 0])])  # fmt: skip
def test_events_out_of_order_or_outside_of_the_grid_are_refused(steps, units):
    zeros = np.zeros(2, np.uint16)
    events = EventLists(zeros, zeros, [0, 2], 5, 4)
    events.steps[:] = steps  # `EventLists` checks only what it is made of
    events.units[:] = units
    with pytest.raises(ValueError, match="out of order"):
        compiled_engine.forward_backward(make_model([4, 2]), events, [0], [0])


def n_threads():
    return len(list(Path("/proc/self/task").iterdir()))


def test_torch_computes_as_before_after_its_waiting_threads_have_ended():
    if compiled_engine._openmps_pause() is None:
        pytest.skip("this torch brings no libgomp with OpenMP 5.0")
    x = torch.rand(500, 500, generator=torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        wanted = x.exp()
        before = n_threads()
        assert compiled_engine.end_waiting_threads()
        deadline = time.monotonic() + 10
        while n_threads() >= before and time.monotonic() < deadline:
            time.sleep(0.001)
        assert n_threads() < before  # a thread of torch's has ended
        assert torch.equal(x.exp(), wanted)
    finally:
        torch.set_num_threads(threads)


@pytest.mark.parametrize("symbols", [{}, {"omp_get_num_threads": int}], ids=["none", "old"])
def test_an_openmp_library_that_cannot_end_threads_is_left_alone(monkeypatch, symbols):
    monkeypatch.setattr(
        compiled_engine.ctypes, "CDLL", lambda path: types.SimpleNamespace(**symbols)
    )
    compiled_engine._openmps_pause.cache_clear()
    try:
        assert compiled_engine.end_waiting_threads() is False
    finally:
        compiled_engine._openmps_pause.cache_clear()
