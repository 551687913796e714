"""Low-precision weights: the rule by which a circuit's integers are made, and training with it.

A circuit needs weights that are integers of a few bits. So each neuron gets a scale, its weights
become whole multiples of this scale, and the neuron's threshold is counted in the same scale, so
that the circuit never multiplies by it. `integers` defines the scale, and `layer_integers` says
which neurons have one in common.

Other libraries don't do this. snntorch's `state_quant` rounds membranes to a list of levels, by a
search at each step of its loop, and knows neither weights nor a leak by shift. Brevitas quantizes
weights well, but its scales are floats that a matrix product's output is multiplied by, its layers
replace torch's and the compiled engine, and it has no neuron.

Quantization-aware training follows Hubara et al. (2018), "Quantized Neural Networks", JMLR 18: the
forward and backward pass run with low-precision weights, and the gradients are applied to the float
weights behind them, as if rounding were the identity (a straight-through estimator).
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from snntorch import Leaky
from torch import nn

from shd_engine.network import ChannelConv1d
from shd_helpers.network.config import Quantization
from shd_helpers.network.spiking import SpikingNetwork

# A membrane's range is at least this many thresholds, because strong input takes it beyond one.
HEADROOM = 4.0
# The same where betas are learned. Many become 1, and a membrane without a leak grows further.
LEARNED_BETA_HEADROOM = 64.0
# The largest membrane potential that a readout could reach needs a spike in each step of all hidden
# neurons whose weights have the same sign. That never happens, so the range of integers represents
# this potential divided by WORST_CASE_SHARE.
WORST_CASE_SHARE = 16.0
# For that potential, spikes are added up over this many steps at most, also if beta is 1.
MOST_STEPS = 128.0
# The largest scale of a layer's neurons over the smallest. The layer's membranes share one unit, so
# the neuron with the largest scale loses at most two bits.
SPREAD = 4.0


def integers(
    circuit: Quantization, weight: torch.Tensor, largest_potential: torch.Tensor, bits: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return weights as integers, and the scale of each neuron.

    A neuron's largest weight becomes the largest integer, with two exceptions. The neuron's largest
    membrane potential, counted in its scale, has to fit into the bits of a membrane. And no
    neuron's scale, as a share of its largest potential, is below a `SPREAD`-th of the layer's
    largest share: otherwise it would take bits from the membranes of all others.
    """
    largest_potential = largest_potential.detach().expand(len(weight)).double()
    largest_integer = (1 << (bits - 1)) - 1
    largest_weight = weight.detach().abs().amax(1).double()
    share = largest_weight / largest_potential / largest_integer
    lowest_share = (share.max() / SPREAD).clamp(min=1 / circuit.high)
    scale = share.clamp(min=lowest_share) * largest_potential
    return torch.round(weight.detach().double() / scale[:, None]), scale


def membrane_range(fc: nn.Linear | ChannelConv1d, lif: Leaky) -> torch.Tensor:
    """Return how large the membrane potentials are that each neuron has to represent.

    For spiking neurons it is the threshold, times the headroom. For a readout from membrane
    potentials it is a share of what the membrane comes to if all hidden neurons whose weights
    have the same sign spike in each step; it is the same for all classes, because their
    membranes are compared.
    """
    if not SpikingNetwork.accumulates_only(lif):
        headroom = LEARNED_BETA_HEADROOM if isinstance(lif.beta, nn.Parameter) else HEADROOM
        return headroom * lif.threshold.detach().expand(fc.out_features)
    weight = fc.weight.detach()
    beta = lif.beta.detach().clamp(0, 1)
    positive = weight.clamp(min=0).sum(1)
    negative = (-weight).clamp(min=0).sum(1)
    # A current of 1 in each step lets the membrane approach 1 / (1 - beta).
    worst_cases = torch.maximum(positive, negative) / (1 - beta).clamp(min=1 / MOST_STEPS)
    largest = worst_cases.max() / WORST_CASE_SHARE
    # A power of 2, so that weights that are rounded already give the same range again.
    power_of_2 = torch.exp2(torch.ceil(torch.log2(largest)))
    return power_of_2.expand(fc.out_features)


def layer_integers(
    circuit: Quantization, fc: nn.Linear | ChannelConv1d, lif: Leaky, bits: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the `integers` of a network's layer.

    Where weights are shared, a channel has one scale in all windows. Where `integers` limits a
    scale by the largest membrane potential, the largest one of the channel's windows counts. A
    readout from membrane potentials has one scale for all classes, because their membranes are
    compared.
    """
    weight = fc.weight
    largest_potential = membrane_range(fc, lif)
    if SpikingNetwork.accumulates_only(lif):
        whole, scale = integers(circuit, weight.reshape(1, -1), largest_potential[:1], bits)
        return whole.view_as(weight), scale.expand(len(weight))
    by_channel = largest_potential.unflatten(0, (-1, len(weight)))  # (windows, channels)
    return integers(circuit, weight, by_channel.amax(0), bits)


@contextmanager
def low_precision_weights(circuit: Quantization, model: nn.Module) -> Iterator[None]:
    """Run a block of code with low-precision weights, then restore the network's own."""
    assert isinstance(model, SpikingNetwork)
    own = [fc.weight.detach().clone() for fc, _ in model.layers]
    try:
        round_weights(circuit, model)
        yield
    finally:
        for (fc, _), weight in zip(model.layers, own, strict=True):
            fc.weight.data.copy_(weight)


def round_weights(circuit: Quantization, model: nn.Module) -> None:
    """Replace a network's weights by low-precision ones: whole multiples of their scales."""
    assert isinstance(model, SpikingNetwork)
    bits_by_layer = (circuit.fc1_bits, circuit.fc2_bits)
    for (fc, lif), bits in zip(model.layers, bits_by_layer, strict=True):
        whole, scale = layer_integers(circuit, fc, lif, bits)
        fc.weight.data.copy_(whole * scale[:, None])
