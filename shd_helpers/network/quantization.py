"""Weights in few bits: the rule by which a circuit's integers are made, and training with it.

snntorch's `state_quant` rounds membranes to a list of levels, by a search at each step of its loop,
and knows neither weights nor a leak by shift. Brevitas quantizes weights well, but its scales are
floats that a matrix product's output is multiplied by, its layers replace torch's and the compiled
engine, and it has no neuron. What the circuit needs is these few lines: weights that are whole
multiples of a scale which the neuron's threshold absorbs. Training with them is Hubara et al.
(2018), "Quantized Neural Networks", JMLR 18: the step runs with few-bit weights, and its gradient
goes straight through to the float weights behind them.
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
from shd_helpers.events.downsample import Downsampling
from shd_helpers.network.config import NetworkConfig
from shd_helpers.network.engine import Network
from shd_helpers.network.spiking import ChannelConv1d, SpikingNetwork

QAT_EPOCHS = 10
_NAME = re.compile(r"([0-9]{1,3})-([0-9]{1,3})-([0-9]{1,3})( product)?( QAT)?")
_BITS = "weights have 2 to 16 bits, membranes 4 to 32"
SHIFT_ERROR = 5e-4  # from beta to 1 - 2^-k: what a beta of four digits leaves
HEADROOM = 4.0  # thresholds that a membrane holds at least
OWN_HEADROOM = 32.0  # where betas are learned: many come to 1, and such membranes go far
REACH = 16.0  # of what all hidden neurons could do to a readout's membrane it holds this part
LONGEST = 128.0  # steps that this goes over at most: words end, and a beta may be 1
SPREAD = 4.0  # of the scales of a layer's neurons: the widest has less than two bits below the rest


@dataclass(frozen=True)
class Quantization:
    """A circuit's bits and leak, as its name in notebook 3 gives them; 0 is a network of floats.

    ValueError names a value out of its range.
    """

    fc1_bits: int = later(0)  # of a weight of the first layer, sign included
    fc2_bits: int = later(0)
    mem_bits: int = later(0)  # of a membrane, which saturates
    # U - (U >> k), or a product: with 8 bits, with 12 where betas are learned
    leak: str = later("shift", ("shift", "product"), counts_with="mem_bits")
    quantized_epochs: int = later(0, (0, 100_000))  # the last so many train with few-bit weights

    def __post_init__(self) -> None:
        """Refuse what makes no circuit."""
        check_settings(self)
        bits = self.fc1_bits, self.fc2_bits, self.mem_bits
        if any(bits) and not (2 <= min(bits[:2]) <= max(bits[:2]) <= 16 and 4 <= bits[2] <= 32):
            raise ValueError(f"circuit {self.name}: {_BITS}")

    @classmethod
    def named(cls, name: str) -> "Quantization":
        """Return the circuit of a name such as ``"3-8-12 product QAT"``; empty: none.

        The numbers are the bits of a weight of the first layer, of the second, and of a membrane.
        The leak is a product, else a shift; with QAT, the last `QAT_EPOCHS` train with few-bit
        weights. ValueError, if this is no circuit's name.
        """
        if name == "":
            return cls()
        if not (found := _NAME.fullmatch(str(name))):
            raise ValueError(
                f"circuit {quoted(name)}: must be like 3-8-12, 3-8-12 QAT, 3-8-12 product or "
                "3-8-12 product QAT; empty for none"
            )
        fc1, fc2, mem, product, aware = found.groups()
        if not any(int(bits) for bits in (fc1, fc2, mem)):  # as numbers these mean no circuit
            raise ValueError(f"circuit {name}: {_BITS}; the empty name stands for no circuit")
        leak = "product" if product else "shift"
        return cls(int(fc1), int(fc2), int(mem), leak, QAT_EPOCHS if aware else 0)

    def __bool__(self) -> bool:
        """Tell whether there is a circuit."""
        return self.mem_bits > 0

    def refusals(self, config: NetworkConfig, grid: Downsampling) -> list[str]:
        """Return all reasons why no circuit is made of a network or an input, none where one is."""
        reasons = []
        if config.network != "spiking":
            reasons.append(f"network {quoted(config.network)}: a circuit needs spiking neurons")
        if self.leak == "shift" and config.learn_beta:
            reasons.append("learn_beta True: a shift is one leak for all; take leak 'product'")
        elif self.leak == "shift":
            try:
                self.leak_shift(config.step_beta(grid.step_ms))
            except ValueError as error:
                reasons.append(str(error))
        return reasons

    @property
    def name(self) -> str:
        """Return the circuit's name, as notebook 3 has it; empty where there is none."""
        if not self:
            return ""
        bits = f"{self.fc1_bits}-{self.fc2_bits}-{self.mem_bits}"
        return bits + " product" * (self.leak == "product") + " QAT" * bool(self.quantized_epochs)

    @property
    def high(self) -> int:
        """Return the highest membrane, in the circuit's units."""
        return (1 << max(0, self.mem_bits - 1)) - 1

    def leak_shift(self, beta: float) -> int:
        """Return the k with which 1 - 2^-k is a step's beta; ValueError if there is none."""
        k = round(-math.log2(1 - beta)) if 0.4 < beta < 1 else 0
        if k < 1 or abs(1 - 2.0**-k - beta) > SHIFT_ERROR:
            raise ValueError(
                f"beta {beta:.4f} a step: leak 'shift' needs 1 - 2^-k, such as 0.875 or 0.9375; "
                "take another beta, or leak 'product'"
            )
        return k

    def integers(
        self, weight: torch.Tensor, threshold: torch.Tensor, bits: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return weights as integers, (neurons, inputs), and what a 1 means there, (neurons,).

        A neuron's largest weight is the largest integer. But the threshold, times the headroom,
        has to fit into the membrane, and no neuron's scale, counted in thresholds, is below a
        `SPREAD`th of the layer's largest: else it would take bits from all others' membranes.
        Thresholds are one number, or one a neuron.
        """
        theta = threshold.detach().expand(len(weight)).double()
        share = weight.detach().abs().amax(1).double() / theta / ((1 << (bits - 1)) - 1)
        floor = (share.max() / SPREAD).clamp(min=HEADROOM / self.high)
        scale = share.clamp(min=floor) * theta
        return torch.round(weight.detach().double() / scale[:, None]), scale

    def held(self, fc: nn.Linear | ChannelConv1d, lif: Leaky) -> torch.Tensor:
        """Return what each neuron's membrane has to hold, (neurons,).

        It is the threshold, times the headroom; in a readout a part of what the membrane comes to
        if all hidden neurons that weigh one way spike in each step.
        """
        if not SpikingNetwork.accumulates_only(lif):
            headroom = OWN_HEADROOM if isinstance(lif.beta, nn.Parameter) else HEADROOM
            return headroom * lif.threshold.detach().expand(fc.out_features)
        weight, beta = fc.weight.detach(), lif.beta.detach().clamp(0, 1)
        one_way = torch.maximum(weight.clamp(min=0).sum(1), (-weight).clamp(min=0).sum(1))
        held = (one_way / (1 - beta).clamp(min=1 / LONGEST)).max() / REACH
        held = torch.exp2(torch.ceil(torch.log2(held)))  # the same again for rounded weights
        return held.expand(fc.out_features)

    def layer_integers(
        self, fc: nn.Linear | ChannelConv1d, lif: Leaky, bits: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the `integers` of a network's layer.

        Where weights are shared a scale is that of the highest threshold. A readout has one scale,
        for its membranes are compared.
        """
        weight, theta = fc.weight, self.held(fc, lif) / HEADROOM
        if SpikingNetwork.accumulates_only(lif):
            whole, scale = self.integers(weight.reshape(1, -1), theta[:1], bits)
            return whole.view_as(weight), scale.expand(len(weight))
        return self.integers(weight, theta.unflatten(0, (-1, len(weight))).amax(0), bits)

    @contextmanager
    def low_precision_weights(self, model: Network) -> Iterator[None]:
        """Put few-bit weights into a model that has no `refusals`; its own come back."""
        assert isinstance(model, SpikingNetwork)
        own = [fc.weight.detach().clone() for fc, _ in model.layers]
        try:
            self.round_weights(model)
            yield
        finally:
            for (fc, _), weight in zip(model.layers, own, strict=True):
                fc.weight.data.copy_(weight)

    def round_weights(self, model: Network) -> None:
        """Put few-bit weights into a model: whole multiples of their scales, in float32."""
        assert isinstance(model, SpikingNetwork)
        bits = self.fc1_bits, self.fc2_bits
        for (fc, lif), b in zip(model.layers, bits, strict=True):
            whole, scale = self.layer_integers(fc, lif, b)
            fc.weight.data.copy_(whole * scale[:, None])
