"""Modules of any kind: the engine computes what their own forward computes, or refuses in words."""

import random

import numpy as np
import pytest
import snntorch as snn
import torch
from hypothesis import event, given, settings
from hypothesis import strategies as st
from torch import nn

import shd_engine as engine
from engine_tests.modules import Chain, Pair
from engine_tests.networks import layered, random_utterances
from engine_tests.test_compile import check_gradients, gradients, listed, weighted

REFUSALS = (ValueError, RuntimeError, TypeError, IndexError)
DATA = random_utterances(4, 7, 20, 5, 0.3)


def quarters(shape, rng):
    """Return multiples of 1/4, whose sums are exact in any order, so that no spike may differ."""
    return torch.tensor(rng.integers(-4, 7, shape) / 4, dtype=torch.float32)


CHANGES = {
    "nothing": lambda module: None,
    "tied weights": lambda module: setattr(module.weights[-1], "weight", module.weights[0].weight),
    "another shape": lambda module: setattr(
        module.weights[0], "weight", nn.Parameter(torch.ones(1, 1))
    ),
    "NaN": lambda module: module.weights[0].weight.data[:, 0].fill_(torch.nan),
    "an infinite weight": lambda module: module.weights[-1].weight.data[0].fill_(torch.inf),
    "float64": lambda module: module.double(),
    "bfloat16": lambda module: module.bfloat16(),
    "a hook of a module": lambda module: module.neurons[0].register_forward_hook(
        lambda lif, x, out: (2 * out[0], out[1])
    ),
    "a hook of a parameter": lambda module: module.weights[0].weight.register_hook(
        lambda gradient: gradient / 2
    ),
}  # fmt: skip
MODULES = {
    "sizes": st.lists(st.sampled_from([1, 3, 5, 20]), min_size=2, max_size=4),
    "kind": st.sampled_from(["Leaky", "Leaky without reset", "RLeaky", "Synaptic"]),
    "n_steps": st.sampled_from([None, None, 1, 3, 5, 23]),
    "is_batch_first": st.booleans(),
    "result": st.sampled_from(["both", "counts", "last", "batch first"]),
    "before": st.sampled_from([*CHANGES]) | st.just("nothing"),
    "after": st.sampled_from([*CHANGES]) | st.just("nothing"),
    "entries": st.sampled_from(["events", "events", "counts", "255", "float"]),
    "seed": st.integers(0, 2**32 - 1),
}


def make(rng, sizes, kind, is_batch_first, n_steps, result):
    """Return a module whose parameters are quarters."""

    def neurons(n):
        if kind == "RLeaky":
            # Sums are added up in another order, so that betas of 0.5 would make them inexact.
            return snn.RLeaky(float(rng.integers(2)), linear_features=n)
        if kind == "Synaptic":
            return snn.Synaptic(0.5, 0.5)
        reset = "none" if kind == "Leaky without reset" else "subtract"
        return snn.Leaky(0.5, reset_mechanism=reset, learn_beta=bool(rng.integers(2)))

    module = Chain(sizes, neurons, True, is_batch_first, n_steps, result)
    for name, parameter in module.named_parameters():
        if "beta" not in name:
            parameter.data = quarters(parameter.shape, rng)
    return module


def entries_of(entries, shape, rng):
    """Return an input."""
    x = torch.tensor(rng.random(shape) < 0.3).float()
    counts = x * torch.tensor(rng.integers(1, 4, shape))
    return {"events": x, "counts": counts, "255": 255 * x, "float": x * 0.25}[entries]


@settings(max_examples=25, deadline=None)
@given(**MODULES)
def test_any_module_is_computed_as_by_its_own_forward_or_refused(  # noqa: PLR0913
    sizes, kind, n_steps, is_batch_first, result, before, after, entries, seed
):
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    module = make(rng, sizes, kind, is_batch_first, n_steps, result)
    x = entries_of(entries, (n_steps or int(rng.integers(1, 9)), 3, sizes[0]), rng)
    x = x.transpose(0, 1) if is_batch_first else x
    is_usual = (
        before == after == "nothing" and kind != "Synaptic" and len(x) and entries == "events"
    )
    try:
        CHANGES[before](module)
        fast = engine.compile(module)
        CHANGES[after](module)
        found = listed(fast(x))
        found_gradients = gradients(module, weighted(found))
    except REFUSALS as error:
        assert not is_usual and len(str(error)) > 20, error
        event("refused")
        return
    event("computed")
    x = x.to(module.weights[0].weight.dtype)
    wanted = listed(module(x))
    for own, its in zip(found, wanted, strict=True):
        torch.testing.assert_close(own, its, rtol=0, atol=0, equal_nan=True)
    wanted_gradients = gradients(module, weighted(wanted))
    if all(each.isfinite().all() for each in wanted_gradients.values()):
        check_gradients(found_gradients, wanted_gradients)


# --- one by one --------------------------------------------------------------------------------


def two_layers(**neurons):
    """Return a module whose two layers of weights have one shape."""
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    module = Chain([20, 20, 20], lambda n: snn.Leaky(0.5, **neurons))
    for fc in module.weights:
        fc.weight.data = quarters(fc.weight.shape, rng)
    return module


def test_weights_that_are_tied_after_a_call_get_the_sum_of_their_gradients():
    module = two_layers()
    fast = engine.compile(module)
    fast(DATA.events)
    CHANGES["tied weights"](module)
    labels = torch.from_numpy(DATA.labels)
    wanted = gradients(module, nn.functional.cross_entropy(module(DATA.frames)[0].sum(0), labels))
    fast.loss_and_gradients(DATA.events, labels)
    check_gradients({name: each.grad for name, each in module.named_parameters()}, wanted)


def test_hooks_after_the_accumulation_of_a_gradient_are_called():
    module = two_layers()
    fast = engine.compile(module)
    seen = []
    module.weights[0].weight.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.sum()))
    fast.loss_and_gradients(DATA.events, DATA.labels)
    assert seen == [module.weights[0].weight.grad.sum()]
    fast(DATA.events)[0].sum().backward()
    assert len(seen) == 2


def test_weights_of_nan_spread_as_in_the_loop():
    module = two_layers()
    fast = engine.compile(module)
    CHANGES["NaN"](module)
    wanted = module(DATA.frames)
    found = fast(DATA.events)
    for own, its in zip(found, wanted, strict=True):
        torch.testing.assert_close(own, its, rtol=0, atol=0, equal_nan=True)
    found, wanted = (gradients(module, each[0].sum()) for each in (found, wanted))
    assert wanted["weights.0.weight"].isnan().any()
    for name, gradient in wanted.items():
        torch.testing.assert_close(found[name], gradient, equal_nan=True)


def test_infinite_weights_are_an_error():
    module = two_layers()
    fast = engine.compile(module)
    CHANGES["an infinite weight"](module)
    with pytest.raises(
        ValueError, match=r"weights of layer 2 are infinite or NaN.* rate lr is too"
    ):
        fast(DATA.events)
    recurrent = snn.RLeaky(0.5, linear_features=20)
    recurrent.recurrent.weight.data[0, 0] = torch.nan
    with pytest.raises(ValueError, match="recurrent weights are infinite or NaN"):
        engine.scan(DATA.frames, recurrent)


def test_recurrent_weights_of_another_shape_are_refused():
    module = make(np.random.default_rng(0), [20, 5], "RLeaky", False, None, "both")
    fast = engine.compile(module)
    fast(DATA.events)
    for n in (1, 2):
        module.neurons[0].recurrent.weight = nn.Parameter(torch.ones(n, n))
        with pytest.raises(ValueError, match=r"recurrent weights of lif1 haven't the shape \(5, 5"):
            fast(DATA.events)
        with pytest.raises(ValueError, match=f"it has {n} recurrent neurons"):
            engine.scan(torch.ones(2, 3, 5), module.neurons[0])


def test_autocast_is_refused():
    fast = engine.compile(two_layers())
    with torch.autocast("cpu", torch.bfloat16):
        with pytest.raises(RuntimeError, match=r"computes in float32. Call it outside of"):
            fast(DATA.events)
        with pytest.raises(ValueError, match="autocast would compute its recurrent weights"):
            engine.scan(torch.ones(2, 3, 4), snn.RLeaky(0.5, linear_features=4))


def test_transforms_of_functions_are_refused():
    module = two_layers()
    fast = engine.compile(module)
    for run in (
        lambda x: engine.scan(x, snn.Leaky(0.5))[0].sum(),
        lambda x: fast(DATA.events)[0].sum() * x.sum(),
    ):
        with pytest.raises(RuntimeError, match=r"torch\.func can't transform"):
            torch.func.grad(run)(torch.ones(2, 3, 4))


def test_a_compiled_network_has_the_names_and_attributes_of_its_module():
    module = Pair()
    module.readout = nn.Linear(2, 2)
    fast = engine.compile(module)
    assert fast.readout is module.readout and fast.lif1 is module.lif1
    assert [*fast.state_dict()] == [*module.state_dict()]
    assert [*nn.Sequential(fast).state_dict()] == [*nn.Sequential(module).state_dict()]
    other = Pair()
    other.readout = nn.Linear(2, 2)
    fast.load_state_dict(other.state_dict())
    assert torch.equal(module.fc1.weight, other.fc1.weight)
    fast.eval()
    assert not module.training and not fast.training and not module.fc1.training
    fast.n_passes = 2
    assert module.n_passes == 2
    del fast.n_passes
    with pytest.raises(AttributeError, match="'Pair' object has no attribute 'n_passes'"):
        _ = fast.n_passes


# --- events and delays ---------------------------------------------------------------------------

OFFSETS = {
    "down": [0, 8, 2, 10],
    "down, unsigned": np.array([0, 8, 2, 10], np.uint64),
    "wrapping": np.array([0, 2**63 - 1, -(2**63), 10]),
    "beyond": [0, 4, 1000, 10],
    "negative": [0, -4, 5, 10],
    "NaN": [0, np.nan, 5, 10],
    "not whole": [0.0, 2.5, 5.0, 10.0],
    "no end": [0, 4, 8, 9],
}


@pytest.mark.parametrize("offsets", OFFSETS.values(), ids=OFFSETS.keys())
def test_offsets_that_do_not_ascend_are_refused_also_after_a_change(offsets):
    fast = engine.compile(engine.LayeredNetwork([(nn.Linear(4, 2), snn.Leaky(0.9))]))
    arrays = [0] * 10, [0] * 10
    with pytest.raises(ValueError, match="whole numbers that ascend from 0 to 10"):
        engine.EventLists(*arrays, offsets, 5, 4)
    events = engine.EventLists(*arrays, [0, 2, 5, 10], 5, 4)
    object.__setattr__(events, "offsets", np.asarray(offsets))
    for run in (lambda: fast(events), lambda: fast.loss_and_gradients(events, [0], [1])):
        with pytest.raises(ValueError, match="whole numbers that ascend from 0 to 10"):
            run()
    unsigned = engine.EventLists(*arrays, np.array([0, 2, 5, 10], np.uint64), 5, 4)
    assert unsigned.offsets.dtype == np.int64


def test_fewer_units_after_a_change_are_refused():
    fast = engine.compile(engine.LayeredNetwork([(nn.Linear(4, 2), snn.Leaky(0.9))]))
    events = engine.EventLists([0] * 10, [0] * 10, [0, 2, 5, 10], 5, 4)
    object.__setattr__(events, "units", events.units[:3])
    with pytest.raises(ValueError, match="units: has 3 events instead of 10"):
        fast(events)


def test_large_entries_are_no_events():
    with pytest.raises(ValueError, match="numbers up to 255, but a list has each event"):
        engine.EventLists.of(255 * torch.ones(2, 1, 3))


@pytest.mark.parametrize("delays", [(-1, 2), (0, 0), (3, 1), (0, 0.5), (0, 2**63 - 1), ()])
def test_delays_that_do_not_ascend_are_refused_also_after_a_change(delays):
    message = r"layer_delays: layer 1 has .*, but must have numbers of steps that ascend"
    layers = [(nn.Linear(4 * len(delays), 2), snn.Leaky(0.9))]
    with pytest.raises(ValueError, match=message):
        engine.LayeredNetwork(layers, [delays])
    network = layered((4, 2), 0.9, None, torch.Generator(), delays=(0, 1))
    network.layer_delays = (delays,)
    events = random_utterances(2, 5, 4, 2, 0.5).events
    with pytest.raises(ValueError, match=message):
        engine.compile(network).evaluate(events)


def unrolled(between, neurons=None):
    """Return a compiled layer of neurons, with a function of their spikes in each step."""
    neurons = neurons or snn.Leaky(0.9, init_hidden=True)
    return engine.unroll(nn.Sequential(nn.Linear(5, 6), neurons, between))


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


FRAMES = torch.rand(7, 4, 5)


def test_statistics_that_change_in_each_step_are_refused():
    norm = nn.InstanceNorm1d(2, track_running_stats=True)
    between = nn.Sequential(nn.Unflatten(1, (2, 3)), norm)
    with pytest.raises(engine.NotCompilableError, match=r"running_mean in place"):
        unrolled(between)(FRAMES)
    assert torch.equal(norm.running_mean, torch.zeros(2))


@pytest.mark.parametrize("draw", [random.random, np.random.random])
def test_random_numbers_of_python_and_numpy_are_refused(draw):
    with pytest.raises(engine.NotCompilableError, match="draws random numbers of Python or numpy"):
        unrolled(Function(lambda x: x if draw() < 2 else 2 * x))(FRAMES)


def test_dropout_of_nothing_after_recurrent_neurons():
    neurons = snn.RLeaky(0.9, linear_features=6, init_hidden=True)
    fast = unrolled(nn.Dropout(0.0), neurons)
    torch.testing.assert_close(fast(FRAMES), fast.module(FRAMES))


def test_an_input_that_the_module_does_not_take_is_named():
    with pytest.raises(engine.NotCompilableError, match=r"with an input of shape \(7, 4, 3\)"):
        engine.compile(two_layers(), FRAMES[:, :, :3])
    with pytest.raises(engine.NotCompilableError, match="its input is a dict, but must be"):
        engine.compile(two_layers(), {"x": FRAMES})
