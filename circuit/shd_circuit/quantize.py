"""From a trained network's floats to the circuit's integers, and what these answer."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from shd_circuit.integer import FACTOR_BITS, OWN_FACTOR_BITS, IntegerLayer, IntegerNetwork
from shd_helpers.events.downsampling import Downsampling, Events
from shd_helpers.network import Network, NetworkConfig, Quantization, SpikingNetwork, answers
from shd_helpers.network.engine import unsupported_forward
from shd_helpers.network.quantization import HEADROOM
from shd_helpers.network.spiking import class_name
from shd_helpers.study.evaluation import Evaluation, seen_and_unseen_accuracy
from shd_helpers.study.pretrained import TrainedNetwork


def integer_network(
    model: Network, config: NetworkConfig, grid: Downsampling, quantization: Quantization
) -> IntegerNetwork:
    """Return the circuit of a network that was trained with this configuration on this grid.

    Weights become whole multiples of the scales of `Quantization.integers`. A layer's membranes
    count in 2^-shift of such a scale, with the largest shift at which every threshold, times the
    headroom, fits. ValueError says why no circuit is made of such a network: it must be exactly a
    `SpikingNetwork` of snntorch's `Leaky` neurons, as the compiled engine computes them, because a
    circuit has nothing else.
    """
    if not quantization:
        raise ValueError("circuit '': a network of floats has no bits; name them, such as 3-8-12")
    if reasons := quantization.refusals(config, grid):
        raise ValueError("; ".join(reasons))
    _check_network(model, config.step_beta(grid.step_ms))
    assert isinstance(model, SpikingNetwork)
    bits, layers = (quantization.fc1_bits, quantization.fc2_bits), []
    for (fc, lif), b in zip(model.layers, bits, strict=True):
        whole, scale = quantization.layer_integers(fc, lif, b)
        n_places = fc.out_features // len(scale)  # at which weights and biases are the same
        scale = scale.repeat(n_places)
        theta = quantization.membrane_range(fc, lif).double() / HEADROOM / scale
        shift = math.floor(math.log2(quantization.high / HEADROOM / theta.max()))
        shift = max(0, shift)  # it is 0 at least, but for the rounding of floats
        fine = 2.0**shift / scale
        bias = torch.round(fc.bias.detach().double().repeat(n_places) * fine)
        bias = bias.clamp(-quantization.high, quantization.high)
        threshold = torch.round(lif.threshold.detach().double() * fine).clamp(min=1)
        threshold = threshold.clamp(max=quantization.high)  # of a readout: no membrane is above it
        integers = [numbers.numpy().astype(np.int64) for numbers in (whole, bias, threshold)]
        factor = None
        if config.learn_beta:
            beta = lif.beta.detach().double().clamp(0, 1).expand(len(scale))
            factor = torch.round(beta * (1 << OWN_FACTOR_BITS)).numpy().astype(np.int64)
        layers.append(IntegerLayer(integers[0], integers[1], integers[2], shift, factor))
    beta = config.step_beta(grid.step_ms)
    by_shift = quantization.leak == "shift"
    by_product = not by_shift and not config.learn_beta
    return IntegerNetwork(
        grid,
        model.delays,
        tuple(layers),
        quantization.mem_bits,
        quantization.leak_shift(beta) if by_shift else 0,
        round(beta * (1 << FACTOR_BITS)) if by_product else 0,
        config.kernel_size,
        config.stride,
        config.readout == "membrane",
    )


def _check_network(model: Network, beta: float) -> None:
    """Raise ValueError if a network isn't one that the circuit computes.

    `beta` is the one of the network's configuration at a step's length. Where betas aren't learned
    the circuit takes its leak from there, so the neurons must have that beta.
    """
    remedy = "A circuit is made of a SpikingNetwork of snntorch's Leaky neurons, and no subclass."
    if type(model) is not SpikingNetwork:
        raise ValueError(f"the network is a {class_name(model)}. {remedy}")
    if reason := unsupported_forward(model):
        raise ValueError(f"the network has what no circuit computes: {reason}. {remedy}")
    for i, (_, lif) in enumerate(model.layers, start=1):
        is_learned = isinstance(lif.beta, nn.Parameter)
        if not is_learned and (lif.beta != torch.tensor(beta, dtype=lif.beta.dtype)).any():
            raise ValueError(
                f"the beta of lif{i} is not that of its configuration, {beta:.4f} a step. Give "
                "beta as a setting of the run."
            )


def circuit_of(trained: TrainedNetwork, quantization: Quantization | None = None) -> IntegerNetwork:
    """Return the circuit of a trained network, perhaps of other bits than its run's.

    ValueError as `integer_network`.
    """
    wanted = quantization or trained.recipe.circuit
    return integer_network(trained.network, trained.recipe.network, trained.grid, wanted)


def circuit_words(circuit: IntegerNetwork, events: Events) -> np.ndarray:
    """Return the word that the circuit hears in each utterance, shape (utterances,)."""
    return np.array(events.class_names)[answers(circuit.evaluate(events)[0])]


def circuit_scores(
    circuit: IntegerNetwork, validated: Evaluation, tested: Evaluation | None, seen: Sequence[int]
) -> dict[str, float | None]:
    """Return the circuit's accuracies, and how often it answers as the network of floats.

    Takes what that network answered (`tested` is None where the test utterances aren't scored) and
    the speakers of the training utterances. Returns `integer_validation`, `integer_test`,
    `integer_test_seen`, `integer_test_unseen` and `integer_agreement` (on the test utterances;
    where they aren't scored, on those of the validation): fractions, None where nothing was
    measured.
    """
    own = _evaluate(circuit, validated)
    own_tested = None if tested is None else _evaluate(circuit, tested)
    same = (own_tested or own).answers == (tested or validated).answers
    scores: dict[str, float | None] = {"validation": own.accuracy, "agreement": float(same.mean())}
    scores |= seen_and_unseen_accuracy(own_tested, seen)
    return {f"integer_{name}": score for name, score in scores.items()}


def _evaluate(circuit: IntegerNetwork, floats: Evaluation) -> Evaluation:
    scores, n_spikes = circuit.evaluate(floats.events)
    return Evaluation(floats.model, floats.events, torch.from_numpy(scores).double(), n_spikes)
