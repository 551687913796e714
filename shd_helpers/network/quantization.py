"""Low-precision weights: the rule by which a circuit's integers are made, and training with it.

A circuit needs weights that are integers of a few bits. So each neuron gets a scale, its weights
become whole multiples of this scale, and the neuron's threshold is counted in the same scale, so
that the circuit never multiplies by it.

Other libraries don't do this. snntorch's `state_quant` rounds membranes to a list of levels, by a
search at each step of its loop, and knows neither weights nor a leak by shift. Brevitas quantizes
weights well, but its scales are floats that a matrix product's output is multiplied by, its layers
replace torch's and the compiled engine, and it has no neuron.

Quantization-aware training follows Hubara et al. (2018), "Quantized Neural Networks", JMLR 18: the
forward and backward pass run with low-precision weights, and the gradients are applied to the float
weights behind them, as if rounding were the identity (a straight-through estimator).
"""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from snntorch import Leaky
from torch import nn

from shd_helpers.checks import check_settings, later, quoted
from shd_helpers.data.shd_file import N_CHANNELS
from shd_helpers.events.downsampling import Downsampling
from shd_helpers.network.config import NetworkConfig
from shd_helpers.network.engine import Network
from shd_helpers.network.spiking import ChannelConv1d, SpikingNetwork

QAT_EPOCHS = 10  # of quantization-aware training, if a circuit's name asks for it
_NAME = re.compile(r"([0-9]{1,3})-([0-9]{1,3})-([0-9]{1,3})( product)?( QAT)?")
_BITS = "weights have 2 to 16 bits, membranes 4 to 32"

# How far a beta may be from 1 - 2^-k for a leak by shift, so that four digits of it suffice.
SHIFT_ERROR = 5e-4
# A membrane's range is at least this many thresholds, because strong input takes it beyond one.
HEADROOM = 4.0
# The same where betas are learned. Many become 1, and a membrane without a leak grows further.
LEARNED_BETA_HEADROOM = 32.0
# The largest membrane potential that a readout could reach needs a spike in each step of all hidden
# neurons whose weights have the same sign. That never happens, so the range of integers represents
# this potential divided by WORST_CASE_SHARE.
WORST_CASE_SHARE = 16.0
# For that potential, spikes are added up over this many steps at most, also if beta is 1.
MOST_STEPS = 128.0
# The largest scale of a layer's neurons over the smallest. The layer's membranes share one unit, so
# the neuron with the largest scale loses at most two bits.
SPREAD = 4.0


@dataclass(frozen=True)
class Quantization:
    """The bits and the leak of a circuit, as its name in notebook 3 gives them.

    If all values are zero, there is no circuit: the network keeps its floats, and this object is
    false in a condition.

    Raises
    ------
    ValueError
        If a value is out of its range; the message names it.
    """

    fc1_bits: int = later(0)  # of a weight of the first layer, sign included
    fc2_bits: int = later(0)  # of a weight of the second layer, sign included
    mem_bits: int = later(0)  # of a membrane, which saturates
    # U - (U >> k), or a product: with 8 bits, with 12 where betas are learned
    leak: str = later("shift", ("shift", "product"), counts_with="mem_bits")
    quantized_epochs: int = later(0, (0, 100_000))  # the last epochs, with low-precision weights

    def __post_init__(self) -> None:
        """Check that the values describe a circuit, or none."""
        check_settings(self)
        weight_bits = (self.fc1_bits, self.fc2_bits)
        is_circuit = any(weight_bits) or self.mem_bits != 0
        is_in_range = all(2 <= bits <= 16 for bits in weight_bits) and 4 <= self.mem_bits <= 32
        if is_circuit and not is_in_range:
            raise ValueError(f"circuit {self.name}: out of range; {_BITS}")

    @classmethod
    def named(cls, name: str) -> "Quantization":
        """Return the settings that a circuit's name describes.

        Parameters
        ----------
        name : str
            Such as ``"3-8-12 product QAT"``: the bits of a weight of the first layer, of the
            second, and of a membrane. The leak is a product if the name says so, else a shift. With
            QAT, the last `QAT_EPOCHS` train with low-precision weights. Empty for no circuit.

        Returns
        -------
        Quantization
            Bits, leak and epochs.

        Raises
        ------
        ValueError
            If this is no circuit's name.
        """
        if name == "":
            return cls()
        match = _NAME.fullmatch(str(name))
        if not match:
            raise ValueError(
                f"circuit {quoted(name)}: must be like 3-8-12, 3-8-12 QAT, 3-8-12 product or "
                "3-8-12 product QAT; empty for none"
            )
        fc1_bits, fc2_bits, mem_bits, product, quantization_aware = match.groups()
        if int(fc1_bits) == int(fc2_bits) == int(mem_bits) == 0:
            # As settings these would mean that there is no circuit.
            raise ValueError(f"circuit {name}: {_BITS}; the empty name stands for no circuit")
        return cls(
            fc1_bits=int(fc1_bits),
            fc2_bits=int(fc2_bits),
            mem_bits=int(mem_bits),
            leak="product" if product else "shift",
            quantized_epochs=QAT_EPOCHS if quantization_aware else 0,
        )

    def __bool__(self) -> bool:
        """Tell whether there is a circuit."""
        return self.mem_bits > 0

    def refusals(self, config: NetworkConfig, grid: Downsampling) -> list[str]:
        """Return all reasons why no circuit can be made of a network.

        Parameters
        ----------
        config : NetworkConfig
            The network's settings.
        grid : Downsampling
            Its input, which says how long a step is.

        Returns
        -------
        list of str
            Each names a setting; empty if a circuit can be made.
        """
        reasons = _unknown_to_circuits(config)
        if config.ensemble_size > 1 and not config.is_combined:
            reasons.append(
                f"ensemble_size {config.ensemble_size}: a circuit is an ensemble only of networks "
                "with the readout 'membrane' and one hidden layer"
            )
        if grid.n_channels != N_CHANNELS:
            reasons.append(
                f"circuit: its input has {N_CHANNELS} channels, the data set {grid.n_channels}"
            )
        if self.leak == "shift" and config.learn_beta:
            reasons.append(
                "learn_beta True: a leak by shift is the same for all neurons. Add 'product' to "
                "the circuit's name"
            )
        elif self.leak == "shift":
            try:
                self.leak_shift(config.step_beta(grid.step_ms))
            except ValueError as error:
                reasons.append(str(error))
        return reasons

    @property
    def name(self) -> str:
        """The circuit's name, as notebook 3 has it; empty if there is none."""
        if not self:
            return ""
        name = f"{self.fc1_bits}-{self.fc2_bits}-{self.mem_bits}"
        if self.leak == "product":
            name += " product"
        if self.quantized_epochs:
            name += " QAT"
        return name

    @property
    def high(self) -> int:
        """The highest membrane potential that `mem_bits` can hold, in the circuit's units."""
        return (1 << max(0, self.mem_bits - 1)) - 1

    def leak_shift(self, beta: float) -> int:
        """Return the k for which a leak by shift, U - (U >> k), multiplies U by about beta.

        Parameters
        ----------
        beta : float
            Share of a membrane potential that is left after one step.

        Returns
        -------
        int
            k, at least 1, with 1 - 2^-k = beta to within `SHIFT_ERROR`.

        Raises
        ------
        ValueError
            If there is no such k.
        """
        k = round(-math.log2(1 - beta)) if 0.4 < beta < 1 else 0
        if k < 1 or abs(1 - 2.0**-k - beta) > SHIFT_ERROR:
            raise ValueError(
                f"beta {beta:.4f} for one step: a leak by shift needs 1 - 2^-k, such as 0.875 or "
                "0.9375. Choose another beta, or add 'product' to the circuit's name"
            )
        return k

    def integers(
        self, weight: torch.Tensor, threshold: torch.Tensor, bits: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weights as integers, and the scale of each neuron.

        A neuron's largest weight becomes the largest integer, with two exceptions. The threshold,
        times the headroom, has to fit into the membrane. And no neuron's scale, counted in its
        threshold, is below a `SPREAD`-th of the layer's largest: otherwise it would take bits from
        the membranes of all others.

        Parameters
        ----------
        weight : Tensor
            (neurons, inputs).
        threshold : Tensor
            One for all neurons, or (neurons,).
        bits : int
            Of a weight, sign included.

        Returns
        -------
        whole : Tensor
            (neurons, inputs), integers as float64.
        scale : Tensor
            (neurons,), what a 1 means: the weight is about `whole` times `scale`.
        """
        threshold = threshold.detach().expand(len(weight)).double()
        largest_integer = (1 << (bits - 1)) - 1
        in_thresholds = weight.detach().abs().amax(1).double() / threshold / largest_integer
        lowest = (in_thresholds.max() / SPREAD).clamp(min=HEADROOM / self.high)
        scale = in_thresholds.clamp(min=lowest) * threshold
        return torch.round(weight.detach().double() / scale[:, None]), scale

    def membrane_range(self, fc: nn.Linear | ChannelConv1d, lif: Leaky) -> torch.Tensor:
        """Return how large the membrane potentials are that each neuron has to represent.

        For spiking neurons it is the threshold, times the headroom. For a readout from membrane
        potentials it is a share of what the membrane comes to if all hidden neurons whose weights
        have the same sign spike in each step; it is the same for all classes, because their
        membranes are compared.

        Parameters
        ----------
        fc : Linear or ChannelConv1d
            A layer's weights.
        lif : Leaky
            Its neurons.

        Returns
        -------
        Tensor
            (neurons,), positive.
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
        self, fc: nn.Linear | ChannelConv1d, lif: Leaky, bits: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the `integers` of a network's layer.

        Where weights are shared, a channel has one scale, that of its highest threshold. A readout
        from membrane potentials has one scale, because its membranes are compared.

        Parameters
        ----------
        fc : Linear or ChannelConv1d
            The layer's weights, (neurons or channels, inputs).
        lif : Leaky
            Its neurons.
        bits : int
            Of a weight, sign included.

        Returns
        -------
        whole : Tensor
            Integers as float64, shaped as the weights.
        scale : Tensor
            (neurons or channels,).
        """
        weight = fc.weight
        threshold = self.membrane_range(fc, lif) / HEADROOM
        if SpikingNetwork.accumulates_only(lif):
            whole, scale = self.integers(weight.reshape(1, -1), threshold[:1], bits)
            return whole.view_as(weight), scale.expand(len(weight))
        by_channel = threshold.unflatten(0, (-1, len(weight)))  # (windows, channels)
        return self.integers(weight, by_channel.amax(0), bits)

    @contextmanager
    def low_precision_weights(self, model: Network) -> Iterator[None]:
        """Run a block of code with low-precision weights, then restore the network's own.

        Parameters
        ----------
        model : SpikingNetwork
            A network for whose settings `refusals` returns an empty list.
        """
        assert isinstance(model, SpikingNetwork)
        own = [fc.weight.detach().clone() for fc, _ in model.layers]
        try:
            self.round_weights(model)
            yield
        finally:
            for (fc, _), weight in zip(model.layers, own, strict=True):
                fc.weight.data.copy_(weight)

    def round_weights(self, model: Network) -> None:
        """Replace a network's weights by low-precision ones: whole multiples of their scales.

        Parameters
        ----------
        model : SpikingNetwork
            A network for whose settings `refusals` returns an empty list. Its weights stay
            float32.
        """
        assert isinstance(model, SpikingNetwork)
        bits_by_layer = (self.fc1_bits, self.fc2_bits)
        for (fc, lif), bits in zip(model.layers, bits_by_layer, strict=True):
            whole, scale = self.layer_integers(fc, lif, bits)
            fc.weight.data.copy_(whole * scale[:, None])


def _unknown_to_circuits(config: NetworkConfig) -> list[str]:
    """Return which settings of a single network a circuit doesn't know, each with a reason."""
    reasons = []
    if config.network != "spiking":
        reasons.append(f"network {quoted(config.network)}: a circuit needs spiking neurons")
    if config.readout == "softmax":
        reasons.append("readout softmax: a circuit counts spikes or adds up membranes")
    if config.neuron != "leaky":
        reasons.append(f"neuron {quoted(config.neuron)}: a circuit has leaky neurons only")
    if len(config.hidden_sizes) > 1:
        reasons.append(f"hidden {quoted(config.hidden)}: a circuit has one hidden layer")
    if max(config.hidden_copies) > 1:
        reasons.append(
            f"hidden_delays {quoted(config.hidden_delays)}: a circuit delays its input only"
        )
    return reasons
