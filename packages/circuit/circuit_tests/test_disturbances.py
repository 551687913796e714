"""Disturbances: nothing at strength 0, closed forms at the ends, and the spread that they name."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from circuits import named

from shd_circuit.disturbances import DISTURBANCES, FAULTS, disturb
from shd_helpers.network.engine import COMPILED
from tests.builders.events import make_events, random_events
from tests.networks import spiking_network

EVENTS = random_events(30, 40, 10, 4, 0.2)
ALL = range(len(EVENTS))


def network(sizes=(10, 60, 4)):
    generator = torch.Generator().manual_seed(0)
    model = spiking_network(sizes, 0.9, "atan", 2.0, generator)
    for fc, _ in model.layers:
        fc.weight.data *= 2
        fc.bias.data = 0.3 * torch.rand(fc.out_features, generator=generator)
    return model


def run(model, events):
    return COMPILED.evaluate_batch(model, events, range(len(events)))


@pytest.mark.parametrize("kind", DISTURBANCES)
def test_strength_0_changes_nothing_and_no_strength_changes_what_is_given(kind):
    model = network()
    before = copy.deepcopy(network().state_dict())
    for wanted, found in zip(
        run(model, EVENTS), run(*disturb(model, EVENTS, kind, 0)), strict=True
    ):
        assert torch.equal(wanted, found)
    events = EVENTS.take(ALL)
    disturb(model, events, kind, 0.5)
    assert all(torch.equal(before[name], x) for name, x in model.state_dict().items())
    for name in ("steps", "units", "offsets"):
        np.testing.assert_array_equal(getattr(events, name), getattr(EVENTS, name))


@pytest.mark.parametrize("kind", [kind for kind in DISTURBANCES if "clock" not in kind])
def test_the_same_seed_is_the_same_circuit_and_another_one_is_another(kind):
    scores = [run(*disturb(network(), EVENTS, kind, 0.3, seed))[0] for seed in (7, 7, 8)]
    assert torch.equal(scores[0], scores[1]) and not torch.equal(scores[0], scores[2])


def factors(kind, strength):
    """What the values were multiplied by: weights, biases, thresholds, leaks of the first layer."""
    model = network(sizes=(40, 2000, 4))
    changed, _ = disturb(model, random_events(1, 40, 40, 4, 0.1), kind, strength)
    fc = changed.fc1
    lif = changed.lif1
    own_fc = model.fc1
    own_lif = model.lif1
    return {
        "weights": fc.weight.detach() / own_fc.weight.detach(),
        "biases": fc.bias.detach() / own_fc.bias.detach(),
        "thresholds": lif.threshold / own_lif.threshold,
        "leaks": (1 - lif.beta) / (1 - own_lif.beta),
    }


@pytest.mark.parametrize(
    ("kind", "touched"),
    [
        ("mismatch of weights", ("weights", "biases")),
        ("mismatch of thresholds", ("thresholds",)),
        ("mismatch of leaks", ("leaks",)),
        ("mismatch of all three", ("weights", "biases", "thresholds", "leaks")),
    ],
)
def test_mismatch_spreads_each_value_around_its_own(kind, touched):
    for name, found in factors(kind, 0.1).items():
        if name in touched:
            assert found.numel() >= 2000
            assert abs(found.mean() - 1) < 0.01 and abs(found.std() - 0.1) < 0.01, name
            assert len(found.unique()) > 1900, name
        else:
            assert torch.equal(found, torch.ones_like(found)), name


def test_all_events_lost_leaves_the_biases_alone():
    nothing = make_events(np.zeros((30, 40, 10)), 4)
    counts, _ = run(network(), nothing)
    assert counts.max() > 0
    assert torch.equal(run(*disturb(network(), EVENTS, "lost events", 1))[0], counts)


def test_events_are_lost_as_often_as_told_and_more_at_more():
    events = random_events(50, 100, 30, 4, 0.2)
    _, few = disturb(network(), events, "lost events", 0.1)
    _, fewer = disturb(network(), events, "lost events", 0.4)
    for found, share in ((few, 0.9), (fewer, 0.6)):
        assert abs(len(found.steps) / len(events.steps) - share) < 0.01
    x, y, z = (e.to_frames(range(50)) for e in (fewer, few, events))
    assert (x <= y).all() and (y <= z).all()


def test_spurious_events_come_beside_the_true_ones():
    events = random_events(50, 100, 30, 4, 0.05)
    _, more = disturb(network(), events, "spurious events", 0.3)
    x = events.to_frames(range(50))
    y = more.to_frames(range(50))
    assert (y >= x).all() and y.max() == 1
    # a share of them falls on true events and on each other
    assert abs((y.sum() - x.sum()) / x.sum() - 0.3 * 0.95) < 0.02
    new = (y - x).sum((0, 1))
    assert new.min() > 0.5 * new.mean()  # on all units alike


def test_stuck_neurons_of_the_hidden_layer_are_silent_or_fire_in_every_step():
    model = network()
    for kind, of_all in (("silent neurons", 0), ("firing neurons", 60 * 40)):
        _, spikes = run(*disturb(model, EVENTS, kind, 1))
        assert (spikes[:, 0] == of_all).all()
    for kind, each in (("silent neurons", 0), ("firing neurons", 40)):
        changed, _ = disturb(model, EVENTS, kind, 0.1)
        more, _ = disturb(model, EVENTS, kind, 0.2)
        fired = [COMPILED.record(m, EVENTS, ALL).hidden_spk[0].sum(0) for m in (changed, more)]
        stuck = [set(np.flatnonzero((f == each).all(0).numpy())) for f in fired]
        counts = COMPILED.record(model, EVENTS, ALL).hidden_spk[0].sum(0)
        own = set(np.flatnonzero((counts == each).all(0)))
        assert len(stuck[0] - own) <= 6 <= len(stuck[0]) and stuck[0] <= stuck[1]


def test_a_slower_clock_puts_steps_together():
    cells = np.zeros((1, 7, 10), bool)
    cells[0, [0, 1, 2, 5, 6], [3, 3, 4, 1, 9]] = True
    for kind, beta in (("by step", 0.9), ("by time", 0.81)):
        model, slow = disturb(network(), make_events(cells, 4), f"slower clock, leak {kind}", 1)
        wanted = np.zeros((4, 10))
        wanted[[0, 1, 2, 3], [3, 4, 1, 9]] = 1
        np.testing.assert_array_equal(slow.to_frames([0])[:, 0], wanted)
        assert slow.step_ms == 6 and abs(float(model.lif1.beta) - beta) < 1e-6
        rest = model.fc1.bias / (1 - model.lif1.beta)
        own = network().fc1.bias / (1 - network().lif1.beta)
        if kind == "by time":
            torch.testing.assert_close(rest, own)


@pytest.mark.parametrize(
    ("model", "kind"),
    [
        ("circuit", "mismatch of weights"),
        ("circuit", "mismatch of all three"),
        ("circuit", "slower clock, leak by step"),
        ("circuit", "typo"),
        ("circuit", "silent neurons, switched off"),
        ("network", "typo"),
        ("network", "lost events, switched off"),
    ],
)
@pytest.mark.parametrize("strength", [0, 0.1])
def test_a_kind_that_does_not_exist_is_refused(model, kind, strength):
    """A circuit once got another one's leaks instead."""
    model = named("study") if model == "circuit" else network()
    with pytest.raises(ValueError, match=f"disturbance '{kind}': .* must be one of mismatch of"):
        disturb(model, EVENTS, kind, strength)


def test_neurons_of_a_network_are_switched_off_as_if_they_were_silent():
    off, _ = disturb(network(), EVENTS, "firing neurons, switched off", 0.5)
    fire, _ = disturb(network(), EVENTS, "firing neurons", 0.5)
    is_off = off.lif1.threshold > network().lif1.threshold
    is_firing = fire.lif1.threshold < network().lif1.threshold
    assert torch.equal(is_off, is_firing) and is_off.sum() == 30


def few_bits(name):
    """Return a circuit with thresholds that rounding hardly moves, and utterances for it."""
    circuit = named(name)
    layers = [
        replace(layer, threshold=np.full_like(layer.threshold, 1000)) for layer in circuit.layers
    ]
    return replace(circuit, layers=tuple(layers), mem_bits=16), random_events(4, 333, 183, 5, 0.1)


@pytest.mark.parametrize("name", ["study", "leak by product", "small"])
@pytest.mark.parametrize("kind", FAULTS)
def test_a_circuit_of_few_bits_is_disturbed_and_stays_as_it_is(kind, name):
    circuit = named(name)
    events = random_events(4, 333, 183, 5, 0.02)
    before = circuit.evaluate(events)[0]
    np.testing.assert_array_equal(disturb(circuit, events, kind, 0)[0].evaluate(events)[0], before)
    faulty, heard = disturb(circuit, events, kind, 0.5, 1)
    assert (faulty.evaluate(heard)[0] != before).any()
    np.testing.assert_array_equal(circuit.evaluate(events)[0], before)


@pytest.mark.parametrize("name", ["study", "leak by product", "small"])
def test_integers_are_off_by_as_much_as_told(name):
    """Of few neurons: the spread of many draws."""
    circuit, events = few_bits(name)
    n_compared = 2 - circuit.is_membrane
    rates = [4096 - circuit.leaks(i) * (4096 >> circuit.factor_bits) for i in range(2)]
    if circuit.leak_shift:
        rates = [4096 >> circuit.leaks(i) for i in range(2)]
    found = {"thresholds": [], "leaks": []}
    for seed in range(40):
        layers = disturb(circuit, events, "mismatch of thresholds", 0.1, seed)[0].layers
        found["thresholds"] += [layers[i].threshold / 1000 for i in range(n_compared)]
        if circuit.is_membrane:
            np.testing.assert_array_equal(layers[1].threshold, circuit.layers[1].threshold)
        layers = disturb(circuit, events, "mismatch of leaks", 0.1, seed)[0].layers
        found["leaks"] += [
            ((4096 - layers[i].factor) / rates[i].clip(1))[rates[i] > 100] for i in range(2)
        ]
    for what, factors in found.items():
        factors = np.concatenate(factors)
        assert abs(factors.mean() - 1) < 0.01 and abs(factors.std() - 0.1) < 0.01, what


@pytest.mark.parametrize("name", ["study", "small"])
def test_stuck_integers_spike_in_every_step_or_never_and_the_mask_helps(name):
    circuit = named(name)
    events = random_events(4, 333, 183, 5, 0.02)
    spikes = {}
    for kind in ("silent neurons", "firing neurons", "firing neurons, switched off"):
        (run, *_) = disturb(circuit, events, kind, 0.25, 3)[0].runs(events)
        spikes[kind] = run.spk[0].mean(0)
    off = spikes["firing neurons, switched off"]
    stuck = (spikes["firing neurons"] == 1) & (off == 0)
    assert stuck.sum() == round(0.25 * circuit.sizes[1])
    assert (spikes["silent neurons"] == 0).sum() >= stuck.sum()
    (whole, *_) = circuit.runs(events)
    np.testing.assert_array_equal(off[~stuck], whole.spk[0].mean(0)[~stuck])
