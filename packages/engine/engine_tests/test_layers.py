"""Adaptive layers, and delays for each layer, in the compiled engine.

The oracle is a loop over steps in float64 that has the equations in it, and shares no code with the
network or its neurons. Autograd takes it back.
"""

import copy

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from engine_tests.networks import SURROGATES, layered, random_utterances, utterances
from shd_engine import AdaptiveLeaky, compiled_engine
from shd_engine.network import weight_and_bias

SIZES = (20, 30, 17, 6)


def forward_backward(model, data, index):
    """Train on a batch."""
    return compiled_engine.forward_backward(model, data.events, index, data.labels[index])


@torch.no_grad()
def record(model, data, index):
    """Return all states."""
    return compiled_engine.record(model, data.events, index)


def make_model(
    adaptive=(), hidden_delays=((0,), (0,)), surrogate="atan", slope=2.0, seed=3, **options
):
    """Return a network of three layers, of which some adapt and some get delayed copies.

    Parameters are spread so that no two neurons are alike.
    """
    generator = torch.Generator().manual_seed(seed)
    rng = np.random.default_rng(seed)
    model = layered(SIZES, 0.9, SURROGATES[surrogate](slope), generator, **options)
    model.layer_delays = (tuple(model.delays), *hidden_delays)
    with torch.no_grad():
        for i, (fc, lif) in enumerate(model.layers, start=1):
            if i > 1:
                fc = nn.Linear(len(model.layer_delays[i - 1]) * fc.in_features, fc.out_features)
                nn.init.xavier_uniform_(fc.weight, generator=generator)
                nn.init.zeros_(fc.bias)
                setattr(model, f"fc{i}", fc)
            fc.weight *= 3
            fc.bias += torch.from_numpy(rng.uniform(-0.1, 0.2, len(fc.bias))).float()
            if i in adaptive:
                setattr(model, f"lif{i}", adaptive_like(lif, fc.out_features, generator))
                lif = getattr(model, f"lif{i}")
                lif.from_mem[:2] = -0.5  # counts as 0
                lif.from_spk[1:3] = -0.5
            if lif.threshold.requires_grad:
                lif.threshold *= torch.from_numpy(rng.uniform(0.5, 1.5, fc.out_features)).float()
            if lif.beta.requires_grad:
                lif.beta *= torch.from_numpy(rng.uniform(0.5, 1.2, fc.out_features)).float()
    return model


def adaptive_like(lif, n, generator):
    """Return adaptive neurons with the betas, thresholds, surrogate and reset of others."""
    is_readout = bool(torch.isinf(lif.threshold).all())
    return AdaptiveLeaky(
        n,
        lif.beta.detach().clone(),
        adapt_ms=30.0,
        generator=generator,
        threshold=lif.threshold.detach().clone(),
        learn_beta=lif.beta.requires_grad,
        learn_threshold=lif.threshold.requires_grad,
        reset_mechanism="none" if is_readout else "subtract",
        spike_grad=lif.spike_grad,
    )


def loop_over_steps(model, x):
    """Compute a network from its equations; return spikes and membranes by layer."""
    found = []
    for (fc, lif), delays in zip(model.layers, model.layer_delays, strict=True):
        late = [torch.cat([x.new_zeros(delay, *x.shape[1:]), x])[: len(x)] for delay in delays]
        weight, bias = weight_and_bias(fc)
        cur = torch.cat(late, dim=2) @ weight.T + bias
        x, mem = neurons_over_steps(lif, cur)
        found.append((x, mem))
    return found


def neurons_over_steps(lif, cur):
    """Compute a layer's neurons from their equations."""
    adapts = isinstance(lif, AdaptiveLeaky)
    accumulates = bool(torch.isinf(lif.threshold).all())
    spks = []
    mems = []
    mem = spk = adaptation = torch.zeros_like(cur[0])
    for step in cur:
        reset = 0 if accumulates else spk.detach() * lif.threshold
        mem = lif.beta.clamp(0, 1) * mem + (step - adaptation) - reset
        spk = torch.zeros_like(mem) if accumulates else lif.spike_grad(mem - lif.threshold)
        spk = spk.to(mem.dtype)  # snntorch returns float32
        if adapts:
            fed = lif.from_mem.clamp(min=0) * mem + lif.from_spk.clamp(min=0) * spk
            adaptation = lif.left * adaptation + (1 - lif.left) * fed
        spks.append(spk)
        mems.append(mem)
    return torch.stack(spks), torch.stack(mems)


LAYERS = {
    "neither adaptation nor hidden delays": {},
    "first layer adapts": {"adaptive": (1,)},
    "second layer adapts": {"adaptive": (2,)},
    "output layer adapts": {"adaptive": (3,)},
    "all layers adapt": {"adaptive": (1, 2, 3)},
    "delays of the first hidden layer": {"hidden_delays": ((0, 3, 7), (0,))},
    "delays of the last hidden layer": {"hidden_delays": ((0,), (0, 5))},
    "one late copy": {"hidden_delays": ((4,), (0,))},
    "a copy that is too late": {"hidden_delays": ((0, 29, 30, 45), (2, 8))},
    "delays and adaptation": {"adaptive": (1, 2), "hidden_delays": ((0, 3), (0, 1, 6))},
}
OPTIONS = {
    "plain": {},
    "learned": {"learn_beta": True, "learn_threshold": True},
    "membrane, delays, windows, learned": {
        "readout": "membrane",
        "learn_beta": True,
        "learn_threshold": True,
        "delays": (1, 4),
        "kernel_size": 7,
        "stride": 6,
    },
}


@pytest.mark.parametrize("surrogate, slope", [("fast_sigmoid", 5), ("atan", 2), ("sigmoid", 1)])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
@pytest.mark.parametrize("layers", LAYERS.values(), ids=LAYERS.keys())
def test_layers_compute_what_a_loop_over_their_equations_computes(
    layers, options, surrogate, slope
):
    model = make_model(**layers, **options, surrogate=surrogate, slope=slope)
    assert compiled_engine.unsupported(model) is None
    events = random_utterances(9, 30, 20, 6, 0.2)
    index = np.array([4, 0, 1, 5, 3, 8])
    loss, scores = forward_backward(model, events, index)
    ours = {name: parameter.grad for name, parameter in model.named_parameters()}
    oracle = copy.deepcopy(model).double()
    found = loop_over_steps(oracle, events.batch(index)[0].double())
    check_states(model, events, index, found)
    want_scores = class_scores(model.readout, *found[-1])
    torch.testing.assert_close(scores, want_scores.float(), rtol=1e-5, atol=1e-5)
    assert torch.equal(compiled_engine.evaluate_batch(model, events.events, index)[0], scores)
    oracle.zero_grad()
    want_loss = F.cross_entropy(want_scores, events.batch(index)[1])
    want_loss.backward()
    assert loss == pytest.approx(want_loss.item(), rel=1e-5)
    for name, parameter in oracle.named_parameters():
        size = torch.linalg.norm(parameter.grad)
        off = torch.linalg.norm(ours[name] - parameter.grad)
        assert off <= 1e-5 * size, name  # 0 where neurons get no gradient


def class_scores(readout, spk, mem):
    """Return the class scores of the output layer's spikes and membranes, by their definitions."""
    if readout == "spikes":
        return spk.sum(0)
    if readout == "membrane":
        return mem.mean(0)
    shares = [mem[t].exp() / mem[t].exp().sum(1, keepdim=True) for t in range(len(mem))]
    return sum(shares) / len(shares) * mem.shape[2]


def check_states(model, events, index, found):
    """Check spikes, membranes and numbers of spikes of all layers."""
    states = record(model, events, index)
    spks = (*states.hidden_spk, states.spk)
    mems = (*states.hidden_mem, states.mem)
    for spk, mem, (want_spk, want_mem) in zip(spks, mems, found, strict=True):
        assert torch.equal(spk, want_spk.float())  # true for this seed
        torch.testing.assert_close(mem, want_mem.float(), rtol=1e-5, atol=1e-5)
    assert states.hidden_spk[0].sum() > 100
    assert states.hidden_spk[1].sum() > 50
    n_spikes = compiled_engine.evaluate_batch(model, events.events, index)[1]
    assert torch.equal(n_spikes, torch.stack([spk.sum((0, 2)) for spk in spks], 1).long())


def test_adaptive_neurons_have_the_loops_bits_for_the_same_currents():
    """Every step of every utterance has an input unit of its own, whose weights are the current."""
    rng = np.random.default_rng(0)
    n_steps = 40
    batch = 5
    n = 33
    cur = rng.normal(0.5, 0.8, (n_steps, batch, n)).astype(np.float32)
    generator = torch.Generator().manual_seed(0)
    model = layered((batch * n_steps, n), 0.9, SURROGATES["atan"](2.0), generator)
    lif = AdaptiveLeaky(n, 0.93, 20.0, generator=generator, spike_grad=SURROGATES["atan"](2.0))
    model.lif1 = lif
    with torch.no_grad():
        model.fc1.weight.copy_(torch.from_numpy(cur.transpose(1, 0, 2).reshape(-1, n).T.copy()))
    cells = np.eye(batch * n_steps, dtype=bool).reshape(batch, n_steps, -1)
    rec = record(model, utterances(cells, n), np.arange(batch))
    state = lif.reset_mem()
    for t in range(n_steps):
        spk, *state = lif(torch.from_numpy(cur[t]), *state)
        assert torch.equal(rec.mem[t], state[-1])
        assert torch.equal(rec.spk[t], spk)
    assert 0.1 < rec.spk.mean() < 0.9
