"""`compile`: users' modules against their own forward, and modules that it refuses."""

import copy
import itertools
import random
import re
from functools import partial

import numpy as np
import pytest
import snntorch as snn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from snntorch import SpikingNeuron, surrogate
from torch import nn
from torch.nn import functional

import shd_engine as engine
from engine_tests.modules import (
    BY_PROGRAM,
    COMPILED,
    N_CLASSES,
    N_HIDDEN,
    N_STEPS,
    N_UNITS,
    REFUSED,
    BatchFirst,
    Blocks,
    Chain,
    Dropout,
    FewSteps,
    Hidden,
    LargestMembranes,
    MeanMembranes,
    Pair,
    SilentOutputs,
    StaticImage,
    boxcar,
)
from engine_tests.networks import random_utterances
from engine_tests.test_compiled_engine import layers_of
from engine_tests.test_scan import check_states, equations

N_UTTERANCES = 6
DATA = random_utterances(N_UTTERANCES, N_STEPS, N_UNITS, N_CLASSES, 0.3)
INDEX = np.array([4, 0, 5])
FRAMES, LABELS = DATA.batch(INDEX)


def listed(returned):
    """Return what a module returns as a list."""
    return [returned] if isinstance(returned, torch.Tensor) else [*returned]


def weighted(returned):
    """Return a loss that depends on each returned number in another way."""
    generator = torch.Generator().manual_seed(0)
    return sum((each * torch.randn(each.shape, generator=generator)).sum() for each in returned)


def gradients(module, loss):
    """Return the gradients of a loss by name, zeros where there is none."""
    parameters = dict(module.named_parameters())
    found = torch.autograd.grad(loss, [*parameters.values()], allow_unused=True)
    return {
        name: torch.zeros_like(parameter) if gradient is None else gradient
        for (name, parameter), gradient in zip(parameters.items(), found, strict=True)
    }


def check_gradients(found, wanted, tolerance=1e-4):
    """Check that gradients are equal but for rounding, which is large where many terms cancel."""
    assert found.keys() == wanted.keys()
    largest = max(torch.linalg.vector_norm(gradient) for gradient in wanted.values())
    for name, gradient in wanted.items():
        off = torch.linalg.vector_norm(found[name] - gradient)
        assert off <= tolerance * torch.linalg.vector_norm(gradient) + 1e-5 * largest, name


@pytest.fixture(autouse=True)
def no_other_neurons():
    """Forget neurons of other tests: `utils.reset` of a hidden state resets all that ever were."""
    SpikingNeuron.instances.clear()


def taken(module):
    """Return the lists of events and the frames that a module takes: its loop may be shorter."""
    if isinstance(module, FewSteps):
        return engine.EventLists.of(DATA.frames[:2]), FRAMES[:2].transpose(0, 1)
    return DATA.events, FRAMES.transpose(0, 1) if isinstance(module, BatchFirst) else FRAMES


@pytest.mark.parametrize("make", COMPILED.values(), ids=COMPILED.keys())
@pytest.mark.parametrize("is_training", [True, False])
def test_a_compiled_module_returns_what_its_own_forward_returns_with_its_gradients(
    make, is_training
):
    torch.manual_seed(1)
    module = make().train(is_training)
    fast = engine.compile(module)
    events, frames = taken(module)
    wanted = module(frames)
    assert max(each.abs().max() for each in listed(wanted)) > 0
    wanted_gradients = gradients(module, weighted(listed(wanted)))
    for returned in (fast(events, INDEX), fast(frames)):
        assert type(returned) is type(wanted)
        for each, its in zip(listed(returned), listed(wanted), strict=True):
            torch.testing.assert_close(each, its, rtol=1e-4, atol=1e-5)
        check_gradients(gradients(module, weighted(listed(returned))), wanted_gradients)
    with torch.no_grad():
        for each, its in zip(listed(fast(events, INDEX)), listed(wanted), strict=True):
            assert not each.requires_grad
            torch.testing.assert_close(each, its, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("readout", ["spikes", "membrane"])
@pytest.mark.parametrize("spike_grad", [None, surrogate.fast_sigmoid(), boxcar])
def test_loss_and_gradients_are_those_of_cross_entropy(readout, spike_grad):
    torch.manual_seed(2)
    module = Pair(learn_beta=True, learn_threshold=True, spike_grad=spike_grad)
    fast = engine.compile(module)
    loss, scores = fast.loss_and_gradients(DATA.events, LABELS, INDEX, readout=readout)
    found = {name: parameter.grad for name, parameter in module.named_parameters()}
    spk, mem = module(FRAMES)
    wanted_scores = spk.sum(0) if readout == "spikes" else mem.mean(0)
    wanted = functional.cross_entropy(wanted_scores, LABELS)
    assert loss == pytest.approx(wanted.item(), rel=1e-5)
    torch.testing.assert_close(scores, wanted_scores.detach(), rtol=1e-4, atol=1e-5)
    check_gradients(found, gradients(module, wanted))
    evaluated, n_spikes = fast.evaluate(DATA.events, INDEX, readout=readout)
    torch.testing.assert_close(evaluated, scores, rtol=1e-5, atol=1e-5)
    assert torch.equal(n_spikes[:, 1], spk.sum((0, 2)).long())


def test_gradients_of_what_is_no_longer_trained_are_removed():
    module = Pair()
    module.unused = nn.Linear(2, 2)
    fast = engine.compile(module)
    module.unused(torch.ones(2)).sum().backward()
    fast.loss_and_gradients(DATA.events, DATA.labels)
    assert module.unused.weight.grad is None and module.fc1.weight.grad.any()
    module.fc1.requires_grad_(False)
    fast.loss_and_gradients(DATA.events, DATA.labels)
    assert module.fc1.weight.grad is None and module.fc2.weight.grad.any()


def test_neurons_that_never_spike_have_no_numbers_of_spikes():
    module = SilentOutputs()
    layers = [(module.fc1, module.lif1), (module.fc2, module.lif2)]
    fast = engine.compile(engine.LayeredNetwork(layers))
    assert not fast(FRAMES).any()
    assert fast.evaluate(DATA.events, readout="membrane")[0].any()
    for run in (
        lambda: fast.evaluate(DATA.events),
        lambda: fast.loss_and_gradients(DATA.events, DATA.labels),
    ):
        with pytest.raises(ValueError, match=r"never spikes.* Give readout='membrane'"):
            run()


def test_the_readout_of_a_module_is_what_it_returns():
    kinds = {Pair: "spikes", MeanMembranes: "membrane", LargestMembranes: None}
    for make, readout in kinds.items():
        fast = engine.compile(make())
        assert fast.readout == readout
    with pytest.raises(ValueError, match="must be 'spikes' or 'membrane'"):
        fast.loss_and_gradients(DATA.events, DATA.labels)


# --- random chains against float64 ---------------------------------------------------------------


MAKERS = {
    "fast sigmoid": surrogate.fast_sigmoid,
    "atan": surrogate.atan,
    "sigmoid": surrogate.sigmoid,
    "one's own": lambda _: boxcar,
}


@settings(max_examples=12, deadline=None)
@given(
    hidden=st.lists(st.integers(1, 40), max_size=3),
    recurrence=st.sampled_from(["none", "all to all", "one to one", "one for all"]),
    kind=st.sampled_from([*MAKERS]),
    slope=st.floats(0.5, 10),
    per_neuron=st.booleans(),
    learned=st.booleans(),
    bias=st.booleans(),
    reset=st.sampled_from(["subtract", "none"]),
    seed=st.integers(0, 2**32 - 1),
)
def test_random_chains_have_the_states_and_gradients_of_their_equations(  # noqa: PLR0913
    hidden, recurrence, kind, slope, per_neuron, learned, bias, reset, seed
):
    """All layers' spikes and membranes are part of the loss."""
    torch.manual_seed(seed)

    def make_neurons(n):
        shape = (n,) if per_neuron else ()
        options = {
            "beta": 0.3 + 0.7 * torch.rand(shape),
            "threshold": 0.5 + torch.rand(shape),
            "learn_beta": learned,
            "learn_threshold": learned,
            "reset_mechanism": reset,
            "spike_grad": MAKERS[kind](slope),
        }
        if recurrence == "none":
            return snn.Leaky(**options)
        if recurrence == "all to all":
            return snn.RLeaky(linear_features=n, **options)
        v = torch.rand(()) if recurrence == "one for all" else torch.randn(n)
        return snn.RLeaky(V=v, all_to_all=False, **options)

    chain = Chain([N_UNITS, *hidden, N_CLASSES], make_neurons, bias)
    fast = engine.compile(chain)
    found = layers_of(fast.record(DATA.events, INDEX))
    exact = copy.deepcopy(chain).double()
    x, wanted = FRAMES.double(), []
    for fc, lif, (spk, mem) in zip(exact.weights, exact.neurons, found, strict=True):
        x, exact_mem = equations(fc(x), lif, spk, mem)
        check_states(spk, mem, exact_mem, lif)
        wanted += [x, exact_mem]
    its = gradients(exact, weighted(wanted))
    check_gradients(gradients(chain, weighted([*itertools.chain(*found)])), its, 1e-3)


# --- refusals ------------------------------------------------------------------------------------


def values_of(returned):
    return listed([*returned.values()] if isinstance(returned, dict) else returned)


@pytest.mark.parametrize(("make", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_a_module_that_cannot_be_compiled_gets_its_reason(make, reason):
    with pytest.raises(engine.NotCompilableError, match=reason):
        engine.compile(make())
    with pytest.warns(UserWarning, match=re.compile(f"runs by its own forward: .*({reason})")):
        engine.compile(make(), fallback=True)


def test_the_state_of_a_module_and_of_all_generators_stays():
    module = Hidden().eval()
    module.fc2.train()
    module.n_calls = 3
    module(FRAMES).__len__()  # leaves states that have a graph of gradients
    module.fc1.weight.grad = torch.ones_like(module.fc1.weight)
    weight_gradient = module.fc1.weight.grad
    state = copy.deepcopy(module.state_dict())
    mem = module.lif1.mem
    values = mem.detach().clone()
    flags = [each.training for each in module.modules()]
    generators = (torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate())  # noqa: NPY002
    engine.compile(module)
    assert module.lif1.mem is mem and torch.equal(mem, values)
    assert module.fc1.weight.grad is weight_gradient and module.fc2.weight.grad is None
    assert (weight_gradient == 1).all()
    assert all(torch.equal(state[name], value) for name, value in module.state_dict().items())
    assert flags == [each.training for each in module.modules()]
    assert torch.equal(generators[0], torch.get_rng_state())
    assert np.array_equal(generators[1], np.random.get_state()[1])  # noqa: NPY002
    assert generators[2] == random.getstate()
    assert not module.lif1._forward_hooks and not module.fc1._forward_pre_hooks


# --- later changes -------------------------------------------------------------------------------

CHANGES = {
    "another layer": (lambda m: setattr(m, "fc1", nn.Linear(N_UNITS, N_HIDDEN)), "fc1"),
    "other neurons": (lambda m: setattr(m, "lif2", snn.Leaky(beta=0.9)), "lif2"),
    "another module": (lambda m: m.add_module("dropout", nn.Dropout()), "dropout"),
    "another surrogate": (
        lambda m: setattr(m.lif1, "spike_grad", surrogate.atan()), "lif1.spike_grad",
    ),
    "another forward": (lambda m: setattr(m, "forward", lambda x: x), "forward"),
    "another class": (lambda m: setattr(m, "__class__", Dropout), "a class"),
    "inhibition": (lambda m: setattr(m.lif1, "inhibition", True), "lif1.inhibition"),
    "a number of one's own": (lambda m: setattr(m, "n_passes", 2), "n_passes"),
    "a hook": (lambda m: m.lif1.register_forward_hook(lambda *_: None), "lif1 has hooks"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "name"), CHANGES.values(), ids=CHANGES.keys())
def test_a_later_change_of_the_module_is_noticed(change, name):
    module = Pair()
    module.n_passes = 1
    fast = engine.compile(module)
    assert fast.changes() == []
    change(module)
    message = f"Pair|Dropout was changed since it was compiled: {name}. Call compile again"
    for run in (
        lambda: fast(FRAMES),
        lambda: fast.record(DATA.events),
        lambda: fast.evaluate(DATA.events),
        lambda: fast.loss_and_gradients(DATA.events, DATA.labels),
    ):
        with pytest.raises(RuntimeError, match=message):
            run()


SCALE = 1.0


class Scaled(Pair):
    """Its forward reads a global variable."""

    def forward(self, x):
        return super().forward(SCALE * x)


def test_a_later_change_of_a_global_variable_is_noticed(monkeypatch):
    fast = copy.deepcopy(engine.compile(Scaled()))
    monkeypatch.setitem(globals(), "SCALE", 2.0)
    with pytest.raises(RuntimeError, match="Scaled was changed since it was compiled: SCALE"):
        fast(FRAMES)


def test_neurons_that_could_not_be_made_disturb_no_others():
    with pytest.raises(ValueError, match="reset_mechanism"):
        snn.Leaky(0.9, reset_mechanism="sub")
    assert engine.compile(Hidden()).takes_events


def learn_less(module):
    module.fc1.weight.requires_grad_(False)
    module.lif1.beta.requires_grad_(False)


VALUES = {
    "replaced parameters": lambda m: setattr(
        m.fc1, "weight", nn.Parameter(m.fc1.weight.detach() * 0.5)
    ),
    "an optimizer's step": lambda m: m.fc1.weight.data.mul_(0.7),
    "betas in place": lambda m: m.lif1.beta.data.fill_(0.4),
    "thresholds": lambda m: setattr(m.lif2, "threshold", nn.Parameter(torch.tensor(0.6))),
    "what is trained": learn_less,
    "evaluation mode": lambda m: m.eval(),
}


@pytest.mark.parametrize("change", VALUES.values(), ids=VALUES.keys())
def test_parameters_and_what_is_trained_are_read_at_each_call(change):
    torch.manual_seed(5)
    module = Pair(learn_beta=True, learn_threshold=True)
    fast = engine.compile(module)
    change(module)
    wanted = module(FRAMES)
    found = fast(DATA.events, INDEX)
    for each, its in zip(found, wanted, strict=True):
        torch.testing.assert_close(each, its, rtol=1e-4, atol=1e-5)
    module.zero_grad()
    weighted(wanted).backward()
    by_itself = {name: parameter.grad for name, parameter in module.named_parameters()}
    module.zero_grad()
    weighted(found).backward()
    for name, parameter in module.named_parameters():
        assert (parameter.grad is None) == (by_itself[name] is None), name
        if parameter.grad is not None:
            check_gradients({name: parameter.grad}, {name: by_itself[name]})


def test_a_parameter_that_changes_between_forward_and_backward_is_an_error():
    module = Pair()
    spk, _ = engine.compile(module)(DATA.events)
    with torch.no_grad():
        module.fc1.weight.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        spk.sum().backward()


def test_two_backward_passes_of_one_forward_are_the_same():
    module = Pair(spike_grad=boxcar)
    spk, mem = engine.compile(module)(DATA.events)
    loss = weighted([spk, mem])
    first = torch.autograd.grad(loss, [*module.parameters()], retain_graph=True)
    second = torch.autograd.grad(loss, [*module.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_second_derivatives_are_refused():
    module = Pair()
    spk, _ = engine.compile(module)(DATA.events)
    with pytest.raises(RuntimeError, match=r"no second derivatives.* use snnTorch's loop"):
        torch.autograd.grad(spk.sum(), module.fc1.weight, create_graph=True)


# --- inputs --------------------------------------------------------------------------------------


def test_any_numbers_are_an_input_and_may_need_a_gradient():
    for module in (Pair(), BatchFirst()):
        fast = engine.compile(module)
        for x in (torch.randn_like(FRAMES), 0.5 * FRAMES):
            x = x.transpose(0, 1) if isinstance(module, BatchFirst) else x
            x.requires_grad_()
            found, wanted = (torch.autograd.grad(weighted(run(x)), x)[0] for run in (fast, module))
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("make", BY_PROGRAM.values(), ids=BY_PROGRAM.keys())
def test_other_modules_are_computed_with_all_steps_at_once(make):
    torch.manual_seed(1)
    module = make()
    fast = engine.compile(module)
    x = FRAMES[0] if isinstance(module, StaticImage) else FRAMES
    for is_training in (True, False):
        module.train(is_training)
        both = []
        for run in (fast, module):
            torch.manual_seed(2)  # of dropout
            returned = values_of(run(x))
            loss = weighted([each for each in returned if each.requires_grad])
            both.append((returned, gradients(module, loss)))
        (found, found_gradients), (wanted, wanted_gradients) = both
        assert max(each.abs().max() for each in wanted) > 0
        for each, its in zip(found, wanted, strict=True):
            torch.testing.assert_close(each, its, rtol=1e-4, atol=1e-5)
        check_gradients(found_gradients, wanted_gradients)


def test_lists_of_events_are_refused_with_the_reason():
    fast = engine.compile(Dropout())
    reason = "no lists here: the input of the weights before lif2 isn't the spikes of lif1"
    for run in (fast, lambda events: fast.loss_and_gradients(events, DATA.labels)):
        with pytest.raises(TypeError, match=reason):
            run(DATA.events)


def test_an_index_belongs_to_lists_of_events():
    with pytest.raises(ValueError, match="index: is for lists of events"):
        engine.compile(Pair())(FRAMES, INDEX)
    with pytest.raises(TypeError, match="training: a compiled network takes its input alone"):
        engine.compile(Pair())(FRAMES, training=True)


def test_a_module_can_be_compiled_where_gradients_are_switched_off():
    with torch.no_grad():
        fast = engine.compile(Pair())
    assert fast(DATA.events)[0].requires_grad


def test_a_loop_over_its_own_number_of_steps_takes_no_other():
    fast = engine.compile(Blocks())
    other = random_utterances(2, N_STEPS + 1, N_UNITS, N_CLASSES, 0.3)
    with pytest.raises(ValueError, match=f"have 26 steps, but Blocks has a loop over {N_STEPS}"):
        fast(other.events)
    spk, mem = fast(other.frames)
    assert len(spk) == N_STEPS
    torch.testing.assert_close(mem, fast.module(other.frames)[1])


def test_a_tensor_where_lists_of_events_belong_is_refused():
    for module, x in ((Pair(), r"x\)"), (BatchFirst(), r"x.transpose\(0, 1\)\)")):
        fast = engine.compile(module)
        message = rf"events: .* not a Tensor. If .* give EventLists.of\({x}"
        for run in (
            fast.record,
            fast.evaluate,
            partial(fast.loss_and_gradients, labels=LABELS),
        ):
            with pytest.raises(TypeError, match=message):
                run(FRAMES)


def test_a_class_is_no_network():
    with pytest.raises(TypeError, match="Give an instance"):
        engine.compile(Pair)


def test_lists_of_events_are_those_of_a_loop_over_the_frames():
    counts = torch.poisson(torch.full((4, 3, 5), 0.5))
    events = engine.EventLists.of(counts)
    wanted = [
        [(t, u) for t in range(4) for u in range(5) for _ in range(int(counts[t, b, u]))]
        for b in range(3)
    ]
    for b in range(3):
        its = slice(events.offsets[b], events.offsets[b + 1])
        assert [*zip(events.steps[its], events.units[its], strict=True)] == wanted[b]
    assert len(events) == 3 and (events.n_steps, events.n_units) == (4, 5)


WRONG = {
    "offsets that end early": (([0, 1], [0, 1], [0, 1], 3, 3), "that ascend from 0 to 2"),
    "offsets that go down": (([0, 1], [0, 1], [0, 2, 1, 2], 3, 3), "that ascend from 0"),
    "fewer units": (([0, 1], [0], [0, 2], 3, 3), "units: has 1 events instead of 2"),
    "a step too late": (([0, 3], [0, 1], [0, 2], 3, 3), "steps: has values from 0 to 3, but must"),
    "too many steps": (([0], [0], [0, 1], 2**16 + 1, 3), "n_steps 65537: must be a whole number"),
    "no steps": (([0], [0], [0, 1], 0, 3), "n_steps 0: must be a whole number from 1"),
    "half a step": (([0], [0], [0, 1], 2.5, 3), "n_steps 2.5: must be a whole number from 1"),
    "NaN steps": (([0], [0], [0, 1], np.nan, 3), "n_steps nan: must be a whole number from 1"),
}


@pytest.mark.parametrize(("arguments", "message"), WRONG.values(), ids=WRONG.keys())
def test_lists_of_events_that_do_not_fit_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        engine.EventLists(*arguments)


def test_a_compiled_network_is_compiled_already():
    fast = engine.compile(Pair())
    assert engine.compile(fast) is fast
    assert [*fast.module.parameters()] == [*fast.parameters()]
    again = copy.deepcopy(fast)
    assert again.module is not fast.module and again.changes() == []
    assert torch.equal(again(DATA.events)[0], fast(DATA.events)[0])
