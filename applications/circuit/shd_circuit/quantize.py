"""From a trained network's floats to the circuit's integers, and what these answer.

Weights become whole multiples of a scale. `integers` and `layer_integers` in
`shd_helpers.network.quantization` define it. Biases and thresholds are divided by the scale once,
here, so the circuit never multiplies by it.

The small network of notebook 7 has three things that the study's network doesn't have: shared
weights, a beta and a threshold for each neuron, and the membrane readout. A network may also have
only one or two of them. All networks have the same C code and the same core, and only `network.h`
and `network.vh` differ.

**Leak.** Where betas are learned, each neuron has a factor from 0 to 4,096, in units of 2^-12. In
units of 2^-8, many learned betas would round to 1.

**Shared weights.** Each window of blocks has its own hidden neurons, which share weights and biases
with those of the other windows. Thresholds and factors aren't shared. A channel has one scale in
all windows. As a rule its largest weight sets this scale.

**Membrane range.** A membrane holds 4 thresholds, or 64 if betas are learned. Neurons that hardly
leak go far below 0 and must not saturate there.

**Readout.** All classes have one scale, because their membranes are compared. Consider the
potential that a class reaches if all hidden neurons whose weights have the same sign spike in each
of 128 steps. (If the class leaks so fast that its membrane settles earlier, fewer steps count.) A
membrane holds a sixteenth of the largest such potential, rounded up to a power of 2. So membranes
need 16 bits, where those of the study's network need 12.
"""

import math
from collections.abc import Sequence

import numpy as np
import torch
from snntorch import Leaky
from torch import nn

from shd_circuit.integer import FACTOR_BITS, OWN_FACTOR_BITS, IntegerLayer, IntegerNetwork
from shd_engine.compiled_engine import unsupported_layers
from shd_engine.network import ChannelConv1d, resets, unfamiliar_component
from shd_helpers.events.downsampling import Downsampling, Events
from shd_helpers.network import NetworkConfig, Quantization, SpikingNetwork
from shd_helpers.network.quantization import layer_integers, membrane_range
from shd_helpers.study.trained_network import TrainedNetwork
from shd_helpers.study.training import Evaluation, seen_and_unseen_accuracy
from shd_helpers.user_code import class_name


def integer_network(
    model: nn.Module, config: NetworkConfig, grid: Downsampling, quantization: Quantization
) -> IntegerNetwork:
    """Round a trained network to a circuit's integers.

    Parameters
    ----------
    model : Module
        Exactly a `SpikingNetwork` of snntorch's `Leaky` neurons, as the compiled engine computes
        them, because a circuit has nothing else.
    config : NetworkConfig
        With which it was trained.
    grid : Downsampling
        On which it was trained.
    quantization : Quantization
        The bits and the leak.

    Returns
    -------
    IntegerNetwork
        The circuit.

    Raises
    ------
    ValueError
        If there is no circuit of such a network; the message says why.
    """
    if not quantization:
        raise ValueError("circuit '': a network of floats has no bits; name them, such as 3-8-12")
    if reasons := quantization.refusals(config, grid):
        raise ValueError("; ".join(reasons))
    beta = config.step_beta(grid.step_ms)
    _check_network(model, beta)
    assert isinstance(model, SpikingNetwork)
    weight_bits = (quantization.fc1_bits, quantization.fc2_bits)
    layers = [
        _integer_layer(fc, lif, bits, quantization, has_own_leaks=config.learn_beta)
        for (fc, lif), bits in zip(model.layers, weight_bits, strict=True)
    ]
    leak_shift = 0
    leak_factor = 0
    if quantization.leak == "shift":
        leak_shift = quantization.leak_shift(beta)
    elif not config.learn_beta:
        leak_factor = round(beta * (1 << FACTOR_BITS))
    return IntegerNetwork(
        grid=grid,
        delays=model.delays,
        layers=tuple(layers),
        mem_bits=quantization.mem_bits,
        leak_shift=leak_shift,
        leak_factor=leak_factor,
        kernel=config.kernel_size,
        stride=config.stride,
        is_membrane=config.readout == "membrane",
    )


def _integer_layer(
    fc: nn.Linear | ChannelConv1d,
    lif: Leaky,
    weight_bits: int,
    quantization: Quantization,
    has_own_leaks: bool,
) -> IntegerLayer:
    """Round a layer to integers.

    Weights become whole multiples of the scales of `quantization.integers`. Membranes count in
    2^-shift of such a scale, so that weights are shifted left by `shift` when they are added. It is
    the largest shift at which every neuron's `membrane_range` fits into a membrane's bits.
    """
    whole, channel_scale = layer_integers(quantization, fc, lif, weight_bits)
    # at each window of shared weights, scales and biases are the same
    n_windows = fc.out_features // len(channel_scale)
    scale = channel_scale.repeat(n_windows)
    range_in_scales = membrane_range(fc, lif).double() / scale
    shift = math.floor(math.log2(quantization.high / range_in_scales.max()))
    shift = max(0, shift)  # scales are made so that it is at least 0, but floats are rounded
    units_of_membrane = 2.0**shift / scale
    bias = torch.round(fc.bias.detach().double().repeat(n_windows) * units_of_membrane)
    bias = bias.clamp(-quantization.high, quantization.high)
    threshold = torch.round(lif.threshold.detach().double() * units_of_membrane)
    # the threshold of a readout is infinite, and becomes one that no membrane exceeds
    threshold = threshold.clamp(min=1).clamp(max=quantization.high)
    factor = None
    if has_own_leaks:
        beta = lif.beta.detach().double().clamp(0, 1).expand(len(scale))
        factor = _whole_numbers(torch.round(beta * (1 << OWN_FACTOR_BITS)))
    return IntegerLayer(
        weight=_whole_numbers(whole),
        bias=_whole_numbers(bias),
        threshold=_whole_numbers(threshold),
        shift=shift,
        factor=factor,
    )


def score_units(model: nn.Module, quantization: Quantization, circuit: IntegerNetwork) -> float:
    """Return how many units of an integer score one of the network's class scores is."""
    if not circuit.is_membrane:
        return 1.0
    assert isinstance(model, SpikingNetwork)
    fc, lif = model.layers[-1]
    _, scale = layer_integers(quantization, fc, lif, quantization.fc2_bits)
    return circuit.grid.n_steps * 2.0 ** circuit.layers[-1].shift / float(scale[0])


def _whole_numbers(rounded: torch.Tensor) -> np.ndarray:
    """Return floats that are rounded already as int64."""
    return rounded.numpy().astype(np.int64)


def unsupported_by_circuit(model: nn.Module) -> str | None:
    """Say why a circuit can't compute a network.

    Circuits have layers of `Leaky` neurons that are reset by subtraction, delays of the input
    alone, and the readouts "spikes" and "membrane". The surrogate doesn't matter, because only the
    backward pass uses it.
    """
    if reason := unfamiliar_component(model, (Leaky,)):
        return reason
    assert isinstance(model, SpikingNetwork)
    if reason := unsupported_layers(model.layers):
        return reason
    for i, (fc, lif) in enumerate(model.layers, start=1):
        if fc.bias is None:
            return f"fc{i} has no biases"
        is_readout = i == model.n_layers and model.accumulates_only(lif)
        if not resets(lif) and not is_readout:
            return f"lif{i} doesn't subtract its threshold after a spike"
    for i, delays in enumerate(model.layer_delays[1:], start=2):
        if delays != (0,):
            return f"layer {i} gets copies of the spikes before it that are {delays} steps late"
    return None


def _check_network(model: nn.Module, beta: float) -> None:
    """Raise ValueError if a network isn't one that the circuit computes.

    `beta` is the one of the network's configuration at a step's length. Where betas aren't learned
    the circuit takes its leak from there, so the neurons must have that beta.
    """
    remedy = "A circuit is made of a SpikingNetwork of snntorch's Leaky neurons, and no subclass."
    if type(model) is not SpikingNetwork:
        raise ValueError(f"the network is a {class_name(model)}. {remedy}")
    if reason := unsupported_by_circuit(model):
        raise ValueError(f"the network has what no circuit computes: {reason}. {remedy}")
    if model.n_layers != 2:
        raise ValueError(
            f"the network has {model.n_layers} layers, but a circuit has one hidden layer and one "
            f"of outputs. {remedy}"
        )
    for i, (_, lif) in enumerate(model.layers, start=1):
        is_learned = isinstance(lif.beta, nn.Parameter)
        if not is_learned and (lif.beta != torch.tensor(beta, dtype=lif.beta.dtype)).any():
            raise ValueError(
                f"the beta of lif{i} is not that of its configuration, {beta:.4f} a step. Give "
                "beta as a setting of the run."
            )


def circuit_of(trained: TrainedNetwork, quantization: Quantization | None = None) -> IntegerNetwork:
    """Round a trained network from a run folder or a file to a circuit's integers.

    Parameters
    ----------
    trained : TrainedNetwork
        From `study.load_network` or `study.load_pretrained`.
    quantization : Quantization, optional
        Other bits than those of the network's recipe.

    Returns
    -------
    IntegerNetwork
        The circuit.

    Raises
    ------
    ValueError
        As `integer_network`.
    """
    wanted = quantization or trained.recipe.circuit
    return integer_network(trained.network, trained.recipe.network, trained.grid, wanted)


def circuit_predictions(circuit: IntegerNetwork, events: Events) -> np.ndarray:
    """Return the class that the circuit predicts for each utterance.

    Parameters
    ----------
    circuit : IntegerNetwork
        The circuit.
    events : Events
        Utterances, downsampled on its grid.

    Returns
    -------
    ndarray of str
        Names of classes, shape (utterances,).
    """
    scores, _ = circuit.evaluate(events)
    return np.array(events.class_names)[scores.argmax(1)]


def circuit_scores(
    circuit: IntegerNetwork, validated: Evaluation, tested: Evaluation | None, seen: Sequence[int]
) -> dict[str, float | None]:
    """Compare a circuit with the network of floats that it was made of.

    Parameters
    ----------
    circuit : IntegerNetwork
        The circuit.
    validated : Evaluation
        What the network of floats answered on the validation utterances.
    tested : Evaluation, optional
        The same on the test utterances; None if these aren't scored.
    seen : sequence of int
        The speakers of the training utterances.

    Returns
    -------
    dict of str to float
        Accuracies, as fractions: `integer_validation`, `integer_test`, `integer_test_seen` and
        `integer_test_unseen`. `integer_agreement` is the share of utterances with the same answer:
        of the test utterances, or, if these aren't scored, of those of the validation. None stands
        for what wasn't measured.
    """
    own_validated = _evaluate(circuit, validated)
    own_tested = None if tested is None else _evaluate(circuit, tested)
    is_same = (own_tested or own_validated).answers == (tested or validated).answers
    scores: dict[str, float | None] = {
        "validation": own_validated.accuracy,
        "agreement": float(is_same.mean()),
    }
    scores |= seen_and_unseen_accuracy(own_tested, seen)
    return {f"integer_{name}": score for name, score in scores.items()}


def _evaluate(circuit: IntegerNetwork, floats: Evaluation) -> Evaluation:
    """Evaluate a circuit on the utterances on which the network of floats was evaluated."""
    scores, n_spikes = circuit.evaluate(floats.events)
    return Evaluation(floats.model, floats.events, torch.from_numpy(scores).double(), n_spikes)
