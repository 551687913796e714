"""From floats to the circuit's integers, and training with low-precision weights."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from shd_circuit import circuit_predictions, circuit_scores, integer_network
from shd_helpers.events import Downsampling
from shd_helpers.network import NetworkConfig, Quantization, build_network
from shd_helpers.network.engine import COMPILED
from shd_helpers.network.quantization import (
    HEADROOM,
    integers,
    layer_integers,
    low_precision_weights,
    round_weights,
)
from shd_helpers.study.training import TrainConfig, TrainOptions, evaluate, fit
from tests.builders.events import random_events

BITS = Quantization(fc1_bits=3, fc2_bits=8, mem_bits=12)
FINE = Quantization(fc1_bits=16, fc2_bits=16, mem_bits=28)
# 183 units become 40 and 333 steps 60, of 3 ms
GRID = Downsampling(first_unit=540, duration_s=0.18, pool_units=4, pool_steps=3)


def network(seed=3, gain=4.0, **options):
    """A network with spikes in both layers, and some events that drive it."""
    config = NetworkConfig(**{"n_hidden": 24, "beta": 0.9375, "slope": 2.0} | options)
    model = build_network(config, 40, 4, 3.0, torch.Generator().manual_seed(seed))
    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for fc, _ in model.layers:
            fc.weight *= gain * torch.from_numpy(rng.uniform(0.4, 1, (len(fc.bias), 1)))
            fc.bias += torch.from_numpy(rng.uniform(-0.05, 0.1, len(fc.bias)))
        for fc, lif in model.layers:
            if lif.threshold.requires_grad:
                lif.threshold *= torch.from_numpy(rng.uniform(0.5, 1.5, fc.out_features))
    return model, config, random_events(12, 60, 40, 4, 0.1)


@pytest.mark.parametrize("bits", [2, 3, 8])
def test_integers_are_the_nearest_multiples_of_a_scale_that_fits(bits):
    weight = network()[0].fc1.weight.detach().clone()
    weight[:3] /= 8  # small ones beside the others
    whole, step = integers(BITS, weight, torch.tensor(HEADROOM), bits)
    most = 2 ** (bits - 1) - 1
    assert torch.equal(whole, whole.round()) and whole.abs().max() == most
    assert ((whole * step[:, None] - weight).abs() <= step[:, None] / 2 + 1e-9).all()
    # the largest weight of a neuron is its largest integer, unless its scale is raised to a quarter
    raised = step > weight.abs().amax(1).double() / most * (1 + 1e-9)
    assert (whole.abs().amax(1)[~raised] == most).all() and raised.tolist()[:4] == [True] * 3 + [
        False
    ]
    torch.testing.assert_close(step[raised], (step.max() / 4).expand(int(raised.sum())))


def test_a_threshold_with_its_headroom_fits_into_the_membrane():
    model, config, _ = network()
    for rule in (BITS, replace(BITS, mem_bits=8), replace(BITS, fc2_bits=16)):
        made = integer_network(model, config, GRID, rule)
        for layer in made.layers:
            # and with one bit more of shift it would not, unless a weight's last bit is in use
            assert layer.threshold.max() * HEADROOM <= rule.high + HEADROOM
            assert 2 * layer.threshold.max() * HEADROOM > rule.high


def test_a_membrane_holds_64_thresholds_if_betas_are_learned():
    model, config, _ = network(learn_beta=True)
    for layer in integer_network(model, config, GRID, Quantization.named("5-8-16 product")).layers:
        assert 64 * layer.threshold.max() <= 2**15 + 64
        assert 2 * 64 * layer.threshold.max() > 2**15


@pytest.mark.parametrize("options", [{}, {"n_delays": 3}, {"learn_threshold": True}])
def test_with_many_bits_the_circuit_does_what_the_floats_do(options):
    model, config, events = network(**options)
    counts, n_spikes = integer_network(model, config, GRID, FINE).evaluate(events)
    floats, spikes = COMPILED.evaluate_batch(model, events, np.arange(12))
    assert spikes.sum(0).min() > 50
    assert abs(counts - floats.numpy()).max() <= 1 and abs(n_spikes - spikes.numpy()).max() <= 2
    assert (counts == floats.numpy()).mean() > 0.9
    # and the leak by product is off by 1/512 at most, its factor is 240 of 256
    product = integer_network(model, config, GRID, replace(FINE, leak="product"))
    assert (product.leak_shift, product.leak_factor) == (0, 240)
    np.testing.assert_allclose(product.evaluate(events)[0], counts, atol=2)


SMALL = {"n_hidden": 5, "kernel_size": 12, "stride": 7, "n_delays": 3, "learn_threshold": True}
SMALL |= {"learn_beta": True, "readout": "membrane"}
PRODUCT = replace(FINE, leak="product")


def small(**options):
    """Its leaks differ, and one is none at all."""
    model, config, events = network(**SMALL | options)
    with torch.no_grad():
        model.lif1.beta.copy_(torch.linspace(0.6, 0.97, model.fc1.out_features))
        model.lif1.beta[0] = 1.02
        model.lif2.beta.copy_(torch.linspace(0.9, 0.98, 4))
        model.fc1.weight *= 2
    return model, config, events


def test_with_many_bits_the_small_circuit_does_what_the_floats_do():
    """Its scores are the floats' mean membranes, times the steps, in units of the readout."""
    model, config, events = small()
    made = integer_network(model, config, GRID, PRODUCT)
    floats = COMPILED.record(model, events, np.arange(12))
    counts, n_spikes = made.evaluate(events)
    unit = (
        float(layer_integers(PRODUCT, model.fc2, model.lif2, 16)[1][0]) / 2 ** made.layers[1].shift
    )
    scores = counts * unit / events.n_steps
    wanted = model.scores(floats).detach()
    assert np.abs(scores - wanted.numpy()).max() < 0.02 * wanted.std()
    spikes = floats.hidden_spk[0].sum((0, 2)).numpy()
    assert spikes.min() > 20 and (n_spikes[:, 0] == spikes).mean() > 0.5
    assert np.abs(n_spikes[:, 0] - spikes).max() <= 3
    assert made.layers[0].factor[0] == 4096 and made.layers[0].weight.shape == (5, 36)
    assert (made.layers[1].threshold == made.high).all() and n_spikes[:, 1].sum() == 0


@pytest.mark.parametrize(
    ("make", "bits"),
    # in the second, so few bits that the readout's range sets its scale
    [(network, BITS), (small, Quantization.named("3-8-8 product"))],
    ids=["study", "small"],
)
def test_the_circuit_of_low_precision_weights_is_the_same_circuit(make, bits):
    """What training ends with is what the integers are made of, whoever makes them, and when."""
    model, config, _ = make()
    first = integer_network(model, config, GRID, bits)
    round_weights(bits, model)
    again = integer_network(model, config, GRID, bits)
    for a, b in zip(first.layers, again.layers, strict=True):
        for name in ("weight", "bias", "threshold", "factor", "shift"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def test_one_scale_holds_a_readout_and_a_channel_has_one_at_all_places():
    model, config, _ = small()
    made = integer_network(model, config, GRID, replace(PRODUCT, fc2_bits=6, mem_bits=14))
    first, second = made.layers
    assert np.abs(second.weight).max() == 31 and len(first.bias) == 5 * 5
    np.testing.assert_array_equal(first.bias.reshape(5, 5), first.bias[:5][None].repeat(5, 0))
    # the widest membrane of a word is well inside of what is there, and not lost in it
    *_, events = small()
    most = max(np.abs(run.mem[1]).max() for run in made.runs(events))
    assert made.high / 50 < most < made.high


def test_a_step_goes_straight_through_to_the_floats():
    """The gradients are those at the low-precision weights; the float weights stay, and learn."""
    model, _, events = network()
    tuned = copy.deepcopy(model)
    round_weights(BITS, tuned)
    COMPILED.forward_backward(tuned, events, np.arange(12))
    own = model.fc1.weight.detach().clone()
    with low_precision_weights(BITS, model):
        assert torch.equal(model.fc1.weight, tuned.fc1.weight)
        COMPILED.forward_backward(model, events, np.arange(12))
    assert torch.equal(model.fc1.weight, own) and not torch.equal(own, tuned.fc1.weight)
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter.grad, tuned.get_parameter(name).grad), name
        assert parameter.grad.abs().max() > 0


def train(rule=None, epochs=3, on_epoch=None):
    model, config, events = network()
    settings = TrainConfig(epochs=epochs, batch_size=4, lr=0.01)
    history = fit(
        model, events, events, settings, torch.Generator().manual_seed(0),
        options=TrainOptions(quantization=rule), on_epoch=on_epoch,
    )  # fmt: skip
    return model, config, events, history


def test_the_last_epochs_train_with_low_precision_weights_and_end_with_them(capsys):
    plain, *_, before = train()
    kept = []
    tuned, _, events, history = train(
        replace(BITS, quantized_epochs=1),
        on_epoch=lambda model, _: kept.append(model.fc1.weight.detach().clone()),
    )
    losses = [[epoch["train_loss"] for epoch in run] for run in (before, history)]
    assert losses[0][:2] == losses[1][:2] and losses[0][2] != losses[1][2]
    weight = tuned.fc1.weight.detach()
    assert max(len(row.unique()) for row in weight) <= 7 < len(plain.fc1.weight[0].unique())
    assert torch.equal(kept[-1], weight)  # what a run folder keeps of an epoch is what was scored
    assert history[-1]["validation_accuracy"] == evaluate(tuned, events).accuracy
    untouched, *_, same = train(BITS)  # bits alone change nothing in training
    assert [e["train_loss"] for e in same] == losses[0]
    assert torch.equal(untouched.fc1.weight, plain.fc1.weight)
    # more than there are: all of them
    assert train(replace(BITS, quantized_epochs=9))[3][0]["train_loss"] != losses[0][0]


def test_scores_of_the_circuit_are_reported_beside_those_of_the_floats(capsys):
    model, config, events, _ = train()
    events = replace(events, speakers=np.arange(12) % 3)
    made = integer_network(model, config, GRID, BITS)
    for_testing = events.take(np.arange(8))
    for_validation = events.take(np.arange(8, 12))
    validated = evaluate(model, for_validation)
    tested = evaluate(model, for_testing)
    answers = made.evaluate(for_testing)[0].argmax(1)
    right = answers == for_testing.labels
    scores = circuit_scores(made, validated, tested, seen=[0, 2])
    seen = for_testing.speakers != 1
    assert scores == {
        "integer_validation": (
            made.evaluate(for_validation)[0].argmax(1) == for_validation.labels
        ).mean(),
        "integer_test": right.mean(),
        "integer_test_seen": right[seen].mean(),
        "integer_test_unseen": right[~seen].mean(),
        "integer_agreement": (answers == tested.class_scores.argmax(1).numpy()).mean(),
    }
    unscored = circuit_scores(made, tested, None, seen=[0, 2])
    assert unscored["integer_test"] is None is unscored["integer_test_unseen"]
    assert unscored["integer_agreement"] == scores["integer_agreement"]
    names = np.array(for_testing.class_names)
    assert circuit_predictions(made, for_testing).tolist() == names[answers].tolist()


@pytest.mark.parametrize("beta, k", [(0.5, 1), (0.875, 3), (0.9375, 4), (0.9844, 6)])
def test_the_leak_by_shift_needs_its_beta(beta, k):
    assert BITS.leak_shift(beta) == k
    for other in (beta + 0.005, beta - 0.005, 0.3, 1.0, 0.0):
        with pytest.raises(ValueError, match="needs 1 - 2"):
            BITS.leak_shift(other)
