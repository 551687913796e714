"""`scan` against a loop over snntorch's own classes, and against the equations in float64."""

import copy
import re
from functools import partial

import numpy as np
import pytest
import snntorch as snn
import torch
from snntorch import surrogate
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm

from engine_tests.modules import boxcar, changed
from shd_engine import AdaptiveLeaky, RSEAdLIF, SEAdLIF, scan, scanning

N_NETWORKS = 280
KINDS = (
    "Leaky",
    "Synaptic",
    "AdaptiveLeaky",
    "SEAdLIF",
    "RSEAdLIF",
    "RLeaky, one to one",
    "RLeaky, all to all",
)
ADDED_IN_ANOTHER_ORDER = ("RLeaky, all to all", "RSEAdLIF")  # products of recurrent weights
SURROGATES = (
    surrogate.fast_sigmoid(5),
    surrogate.atan(2),
    surrogate.sigmoid(4),
    boxcar,
)


def uniform(rng, low, high, size):
    """Return random numbers, one for all neurons or one for each."""
    shape = () if rng.random() < 0.2 else size
    return torch.tensor(rng.uniform(low, high, shape), dtype=torch.float32)


def random_neuron(kind, n, rng):
    """Return neurons of a kind, with any reset and surrogate, and parameters that are learned."""
    learned = {
        "threshold": uniform(rng, 0.5, 1.5, n),
        "learn_threshold": bool(rng.random() < 0.7),
        "spike_grad": SURROGATES[rng.integers(len(SURROGATES))],
    }
    generator = torch.Generator().manual_seed(int(rng.integers(1000)))
    if kind in ("SEAdLIF", "RSEAdLIF"):
        make = SEAdLIF if kind == "SEAdLIF" else RSEAdLIF
        neuron = make(n, step_ms=5, scale=5, generator=generator, **learned)
        with torch.no_grad():
            neuron.a -= 0.2  # some count as 0
        return neuron
    leaky = learned | {
        "beta": uniform(rng, 0.6, 1.1, n),  # some count as 1
        "learn_beta": bool(rng.random() < 0.7),
        "reset_mechanism": str(rng.choice(["subtract", "zero", "none"])),
        "reset_delay": bool(rng.random() < 0.5),
    }
    if kind == "Leaky":
        return snn.Leaky(**leaky)
    if kind == "Synaptic":
        return snn.Synaptic(alpha=uniform(rng, 0.2, 0.9, n), learn_alpha=True, **leaky)
    if kind == "AdaptiveLeaky":
        return AdaptiveLeaky(n, adapt_ms=20, generator=generator, **leaky)
    if kind == "RLeaky, one to one":
        return snn.RLeaky(V=uniform(rng, -0.5, 0.5, n), all_to_all=False, **leaky)
    neuron = snn.RLeaky(linear_features=n, **leaky)
    neuron.recurrent = nn.Linear(n, n, bias=bool(rng.random() < 0.7))
    for parameter in neuron.recurrent.parameters():
        parameter.data = torch.tensor(rng.normal(0, 0.4, parameter.shape), dtype=torch.float32)
    return neuron


def loop(currents, neuron):
    """Return spikes and membranes of a loop over the steps."""
    state = neuron.reset_mem()
    state = state if isinstance(state, tuple) else (state,)
    spks = []
    mems = []
    for current in currents:
        spk, *state = neuron(current, *state)
        spks.append(spk)
        mems.append(state[-1])
        if isinstance(neuron, (snn.RLeaky, RSEAdLIF)):
            state = [spk, *state]
    return torch.stack(spks), torch.stack(mems)


def equations(currents, neuron, spk, mem):  # noqa: PLR0914
    """Return spikes and membranes from the equations, with the spikes and resets that are given."""
    was_above = torch.zeros_like(spk, dtype=bool)
    was_above[1:] = mem[:-1] - neuron.threshold.float() > 0
    old = synapse = adaptation = sent = torch.zeros_like(currents[0])
    spks = []
    mems = []
    for current, fired, is_reset in zip(currents, spk.bool(), was_above, strict=True):
        if isinstance(neuron, (snn.RLeaky, RSEAdLIF)):
            current = current + neuron.recurrent(sent)
        if isinstance(neuron, SEAdLIF):
            lasts = neuron.mem_share * 20 + 5  # milliseconds
            beta = torch.exp(-5 / lasts)
            potential = beta * old + (1 - beta) * (current - adaptation)
        else:
            beta = neuron.beta.clamp(0, 1)
            if isinstance(neuron, snn.Synaptic):
                synapse = current = neuron.alpha * synapse + current
            potential = reset(neuron, beta, old, current - adaptation, is_reset)
        is_silent = bool(neuron.threshold.isinf().all())
        distance = potential - neuron.threshold
        smooth = 0 * potential if is_silent else neuron.spike_grad(distance)
        sent = fired.double() + smooth - smooth.detach()
        old = potential
        if isinstance(neuron, SEAdLIF):
            old = torch.where(fired, 0, potential)
            left = torch.exp(-5 / (neuron.adapt_share * 240 + 60))
            fed = 5 * (neuron.a.clamp(0, 1) * old + neuron.b * sent)
            adaptation = left * adaptation + (1 - left) * fed
        elif not neuron.reset_delay:
            size = {"subtract": neuron.threshold, "zero": potential, "none": 0}
            old = potential - (sent - is_reset.double()) * size[neuron.reset_mechanism]
        if isinstance(neuron, AdaptiveLeaky):
            fed = neuron.from_mem.clamp(min=0) * old + neuron.from_spk.clamp(min=0) * sent
            adaptation = neuron.left * adaptation + (1 - neuron.left) * fed
        spks.append(sent)
        mems.append(old)
    return torch.stack(spks), torch.stack(mems)


def reset(neuron, beta, old, current, is_reset):
    """Return the membranes after the reset of neurons that were above their thresholds."""
    if neuron.reset_mechanism == "subtract":
        return beta * old + current - torch.where(is_reset, neuron.threshold, 0)
    if neuron.reset_mechanism == "none":
        return beta * old + current
    if isinstance(neuron, snn.Leaky):
        return beta * torch.where(is_reset, 0, old) + current
    return torch.where(is_reset, 0, beta * old + current)


def check_states(spk, mem, exact_mem, neuron):
    """Check a layer's states against membranes from the equations, with its own spikes."""
    torch.testing.assert_close(mem, exact_mem.float(), rtol=1e-5, atol=1e-5)
    distance = exact_mem - neuron.threshold
    is_clear = distance.abs() > 1e-5  # otherwise rounding decides
    assert torch.equal(spk[is_clear] > 0, distance[is_clear] > 0)


def gradients(spk, mem, inputs, seed):
    """Return the gradients of a loss that depends on each spike and membrane in another way."""
    rng = np.random.default_rng(seed)
    loss = 0
    for each in (spk, mem):
        loss = loss + (each * torch.tensor(rng.normal(size=each.shape), dtype=each.dtype)).sum()
    return torch.autograd.grad(loss, inputs)


def random_layer(kind, seed):
    """Return currents, and neurons of a kind."""
    rng = np.random.default_rng(seed)
    n_steps, batch, n = (int(rng.integers(2, highest)) for highest in (25, 12, 40))
    neuron = random_neuron(kind, n, rng)
    currents = torch.tensor(rng.normal(0.3, 0.7, (n_steps, batch, n)), dtype=torch.float32)
    return currents, neuron


def inputs_of(currents, neuron):
    """Return what has gradients: the currents, then the parameters that are learned."""
    return [
        currents.requires_grad_(),
        *(each for each in neuron.parameters() if each.requires_grad),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_random_layers_have_the_spikes_and_membranes_of_the_loop(kind):
    n_spikes = 0
    for seed in range(N_NETWORKS // len(KINDS)):
        currents, neuron = random_layer(kind, seed)
        with torch.no_grad():
            spk, mem = scan(currents, neuron)
            own_spk, own_mem = loop(currents, neuron)
        assert torch.equal(spk, own_spk), seed  # true for these seeds if neurons are recurrent
        if kind in ADDED_IN_ANOTHER_ORDER:
            torch.testing.assert_close(mem, own_mem, rtol=1e-4, atol=1e-5)
        else:
            assert torch.equal(mem, own_mem), seed
        n_spikes += spk.sum()
    assert n_spikes > 1000


@pytest.mark.parametrize("kind", KINDS)
def test_random_layers_have_the_gradients_of_the_equations(kind):
    for seed in range(N_NETWORKS // len(KINDS)):
        currents, neuron = random_layer(kind, seed)
        exact = copy.deepcopy(neuron).double()
        spk, mem = scan(currents.requires_grad_(), neuron)
        found = gradients(spk, mem, inputs_of(currents, neuron), seed)
        inputs = inputs_of(currents.detach().double(), exact)
        wanted = gradients(*equations(inputs[0], exact, spk, mem), inputs, seed)
        size_of_all = torch.linalg.norm(wanted[0])
        for own, of_equations in zip(found, wanted, strict=True):
            off = torch.linalg.norm(own - of_equations)
            size = torch.linalg.norm(of_equations)
            # The gradient of one number for all neurons is a sum, whose terms may cancel.
            assert off <= 1e-5 * (size if own.dim() else max(size, size_of_all)), seed


@pytest.mark.parametrize(("v_reset", "mechanism"), [(None, "subtract"), (0.0, "zero")])
def test_layers_with_a_reset_at_once_are_those_of_spikingjelly(v_reset, mechanism):
    """Above twice the threshold, snnTorch would reset a neuron again in the next step."""
    pytest.importorskip("spikingjelly")
    from spikingjelly.activation_based import neuron as neurons
    from spikingjelly.activation_based import surrogate as surrogates

    rng = np.random.default_rng(0)
    currents = torch.tensor(rng.uniform(-0.6, 1, (40, 5, 30)), dtype=torch.float32)
    lif = neurons.LIFNode(
        tau=10.0,
        decay_input=False,
        v_reset=v_reset,
        surrogate_function=surrogates.ATan(2.0),
        step_mode="m",
        store_v_seq=True,
    )
    x = currents.clone().requires_grad_()
    of_spikingjelly = lif(x), lif.v_seq
    neuron = snn.Leaky(
        0.9, spike_grad=surrogate.atan(2.0), reset_mechanism=mechanism, reset_delay=False
    )
    own = scan(currents.requires_grad_(), neuron)
    assert torch.equal(own[0], of_spikingjelly[0]) and own[0].sum() > 300
    torch.testing.assert_close(own[1], of_spikingjelly[1])
    wanted = gradients(*of_spikingjelly, x, 0)
    torch.testing.assert_close(gradients(*own, currents, 0), wanted, rtol=1e-4, atol=1e-4)


class Convolutional(nn.Module):
    """Convolution, normalization and dropout between layers of neurons."""

    def __init__(self, run):
        super().__init__()
        self.run = run
        self.conv = nn.Conv2d(2, 3, 3, bias=False)  # normalization would undo a bias
        self.norm = nn.BatchNorm2d(3)
        self.lif1 = snn.Leaky(0.9, threshold=torch.ones(3, 1, 1), learn_threshold=True)
        self.fc = nn.Linear(3 * 4 * 5, 4)
        self.lif2 = snn.Synaptic(0.5, 0.8, reset_mechanism="zero")

    def forward(self, x):
        currents = 2 * self.norm(self.conv(x.flatten(0, 1))).unflatten(0, x.shape[:2])
        spk, _ = self.run(currents, self.lif1)
        return self.run(3 * self.fc(nn.functional.dropout(spk.flatten(2), 0.3)), self.lif2)


def test_layers_of_torch_come_between_layers_of_neurons():
    x = torch.randn(12, 5, 2, 6, 7, generator=torch.Generator().manual_seed(0))
    found = []
    for run in (scan, loop):
        torch.manual_seed(0)
        module = Convolutional(run)
        spk, mem = module(x)
        assert spk.shape == mem.shape == (12, 5, 4)
        ((spk + mem) ** 2).sum().backward()
        found.append([spk, mem, *(each.grad for each in module.parameters())])
    assert found[0][0].sum() > 5
    for own, of_loop in zip(*found, strict=True):
        torch.testing.assert_close(own, of_loop, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["AdaptiveLeaky", "RLeaky, all to all", "RSEAdLIF"])
def test_no_bit_depends_on_the_number_of_threads(kind, monkeypatch):
    """The batch has several blocks of utterances, the last of them smaller."""
    monkeypatch.setattr(scanning, "WORTH_A_THREAD", 1)
    rng = np.random.default_rng(0)
    n = 300
    neuron = random_neuron(kind, n, rng)
    currents = torch.tensor(rng.normal(0.3, 0.7, (7, 30, n)), dtype=torch.float32)
    inputs = inputs_of(currents, neuron)
    before = torch.get_num_threads()
    found = []
    try:
        for n_threads in (1, 3):
            torch.set_num_threads(n_threads)
            spk, mem = scan(currents, neuron)
            found.append([spk, mem, *gradients(spk, mem, inputs, 0)])
    finally:
        torch.set_num_threads(before)
    spk, mem = loop(currents, neuron)
    torch.testing.assert_close(found[0][1], mem, rtol=1e-4, atol=1e-5)
    of_loop = gradients(spk, mem, inputs, 0)
    for own, with_threads in zip(*found, strict=True):
        assert torch.equal(own, with_threads)
    for own, wanted in zip(found[0][2:], of_loop, strict=True):
        assert torch.linalg.norm(own - wanted) <= 1e-4 * torch.linalg.norm(wanted)


@pytest.mark.parametrize("which", [0, 1], ids=["spikes", "membranes"])
def test_a_loss_may_depend_on_spikes_or_membranes_alone(which):
    currents = torch.rand(9, 2, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    neuron = snn.Leaky(0.9, reset_delay=False)
    wanted, found = (
        torch.autograd.grad((run(currents, neuron)[which] ** 2).sum(), currents)[0]
        for run in (loop, scan)
    )
    torch.testing.assert_close(found, wanted)


def test_gradients_are_finite_where_the_formula_of_the_sigmoid_overflows():
    currents = torch.full((3, 1, 1), -9.0, requires_grad=True)  # snntorch's gradients are NaN
    spk, _ = scan(currents, snn.Leaky(0.9, spike_grad=surrogate.sigmoid(25)))
    spk.sum().backward()
    assert (currents.grad < 1e-30).all()


def test_it_begins_at_rest_and_leaves_the_neuron_s_own_state():
    neuron = snn.Leaky(0.9)
    neuron(torch.ones(2, 3), torch.ones(2, 3))
    kept = neuron.mem.clone()
    currents = torch.full((1, 2, 3), 0.5)
    assert torch.equal(scan(currents, neuron)[1], currents)
    assert torch.equal(neuron.mem, kept)


def test_a_result_that_was_changed_in_place_has_no_gradient():
    spk, mem = scan(torch.ones(3, 2, 4, requires_grad=True), snn.Leaky(0.9))
    loss = (spk * mem).sum()
    mem.detach().zero_()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_second_derivatives_are_refused():
    currents = torch.ones(3, 2, 4, requires_grad=True)
    loss = scan(currents, snn.Leaky(0.9))[0].sum()  # whose own gradient is a constant
    (first,) = torch.autograd.grad(loss, currents, retain_graph=True)
    with pytest.raises(RuntimeError, match=r"no second derivatives.* use snnTorch's loop"):
        torch.autograd.grad(loss, currents, create_graph=True)
    loss.backward()
    assert torch.equal(currents.grad, first) and first.any()


def test_parameters_of_shape_1_n_are_those_of_n_neurons():
    currents = torch.rand(9, 3, 4, generator=torch.Generator().manual_seed(0))
    neuron = snn.Leaky(torch.linspace(0.5, 0.9, 4)[None], learn_beta=True)
    mem, own_mem = scan(currents, neuron)[1], loop(currents, neuron)[1]
    assert torch.equal(mem, own_mem)
    found, wanted = (torch.autograd.grad(each.sum(), neuron.beta)[0] for each in (mem, own_mem))
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("shape", [(0, 2, 4), (3, 0, 4)])
def test_there_may_be_no_steps_or_no_utterances(shape):
    currents = torch.ones(shape, requires_grad=True)
    spk, mem = scan(currents, snn.Leaky(0.9, learn_beta=True, spike_grad=boxcar))
    (spk.sum() + mem.sum()).backward()
    assert spk.shape == mem.shape == currents.grad.shape == shape


class OwnLeaky(snn.Leaky):
    """A neuron that may do anything."""


LEAKY = partial(snn.Leaky, 0.9)
RECURRENT = partial(snn.RLeaky, 0.9, linear_features=4)
CURRENTS = torch.ones(3, 2, 4)
REFUSED = {
    "is OwnLeaky": (CURRENTS, OwnLeaky(0.9)),
    "currents are torch.float64": (CURRENTS.double(), snn.Leaky(0.9)),
    "shape (2, 4)": (CURRENTS[0], snn.Leaky(0.9)),
    "option state_quant, which must be False": (
        CURRENTS,
        snn.Leaky(0.9, state_quant=lambda mem: mem),
    ),
    "are graded. Leave its graded_spikes_factor at 1": (
        CURRENTS,
        snn.Leaky(0.9, graded_spikes_factor=0.5),
    ),
    "has no gradient": (CURRENTS, snn.Leaky(0.9, surrogate_disable=True)),
    "no nn.Linear": (CURRENTS, snn.RLeaky(0.9, conv2d_channels=1, kernel_size=3)),
    "5 recurrent neurons": (CURRENTS, RSEAdLIF(5)),
    "3 recurrent neurons": (CURRENTS, snn.RLeaky(0.9, linear_features=3)),
    "whose module has hooks. Remove them, those of": (
        CURRENTS,
        changed(lambda lif: prune.random_unstructured(lif.recurrent, "weight", 0.5), RECURRENT),
    ),
    "remove_spectral_norm": (
        CURRENTS,
        changed(lambda lif: spectral_norm(lif.recurrent), RECURRENT),
    ),
    "parametrized weights. Fold them in": (
        CURRENTS,
        changed(lambda lif: parametrizations.weight_norm(lif.recurrent), RECURRENT),
    ),
    "its neuron has hooks. Remove them": (
        CURRENTS,
        changed(lambda lif: lif.register_forward_hook(print), LEAKY),
    ),
    "its neuron has hooks. Remove": (
        CURRENTS,
        changed(lambda lif: lif.register_forward_pre_hook(print), LEAKY),
    ),
    "has a fire that was replaced": (
        CURRENTS,
        changed(lambda lif: setattr(lif, "fire", torch.sigmoid), LEAKY),
    ),
    "beta of shape (1, 3) doesn't broadcast to neurons of shape (4,)": (
        CURRENTS,
        snn.Leaky(torch.full((1, 3), 0.9)),
    ),
    "its V of shape (3,)": (CURRENTS, snn.RLeaky(0.9, V=torch.ones(3), all_to_all=False)),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_it_cannot_compute_is_refused(reason):
    with pytest.raises(ValueError, match=re.escape(reason)):
        scan(*REFUSED[reason])


def test_torch_compile_leaves_it_out():
    lif = snn.Leaky(0.9)
    left_out = torch.compiler.disable(scan)
    compiled = torch.compile(lambda x: 2 * left_out(3 * x, lif)[1].sum(0), backend="eager")
    results = []
    for function in (compiled, lambda x: 2 * scan(3 * x, lif)[1].sum(0)):
        x = torch.rand(6, 2, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
        out = function(x)
        out.sum().backward()
        results.append((out, x.grad))
    for found, wanted in zip(*results, strict=True):
        assert torch.equal(found, wanted) and wanted.abs().sum() > 0
