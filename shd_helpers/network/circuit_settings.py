"""The settings of a circuit: its bits and its leak, and which networks a circuit can be made of."""

import math
import re
from dataclasses import dataclass

from shd_corpus.checks import quoted
from shd_corpus.shd_file import N_CHANNELS
from shd_helpers.events.downsampling import Downsampling
from shd_helpers.network.config import NetworkConfig
from shd_helpers.settings import check_settings, setting

QAT_EPOCHS = 10  # of quantization-aware training, if a circuit's name asks for it
_NAME = re.compile(r"([0-9]{1,3})-([0-9]{1,3})-([0-9]{1,3})( product)?( QAT)?")
_BITS = "weights have 2 to 16 bits, membranes 4 to 32"
# How far a beta may be from 1 - 2^-k for a leak by shift, so that four digits of it suffice.
SHIFT_ERROR = 5e-4


@dataclass(frozen=True)
class Quantization:
    """The bits and the leak of a circuit, as its name in the settings gives them.

    If all values are zero, there is no circuit: the network keeps its floats, and this object is
    false in a condition.
    """

    fc1_bits: int = 0  # of a weight of the first layer, sign included
    fc2_bits: int = 0  # of a weight of the second layer, sign included
    mem_bits: int = 0  # of a membrane, which saturates
    # U - (U >> k), or a product: with 8 bits, with 12 where betas are learned
    leak: str = setting("shift", ("shift", "product"))
    quantized_epochs: int = setting(0, (0, 100_000))  # the last epochs, with low-precision weights

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
        """Return the settings that a circuit's name describes."""
        if name == "":
            return cls()
        match = _NAME.fullmatch(str(name))
        if not match:
            raise ValueError(
                f"circuit {quoted(name)}: must be like 3-8-12, 3-8-12 QAT, 3-8-12 product or "
                "3-8-12 product QAT; empty for none"
            )
        fc1_bits, fc2_bits, mem_bits, product, quantization_aware = match.groups()
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
        """Return all reasons why no circuit can be made of a network."""
        reasons = _unknown_to_circuits(config)
        if grid.n_channels > N_CHANNELS:
            reasons.append(
                f"circuit: a circuit takes at most {N_CHANNELS} channels, but the data set has "
                f"{grid.n_channels}"
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
        """The circuit's name, as the settings have it; empty if there is none."""
        bits = f"{self.fc1_bits}-{self.fc2_bits}-{self.mem_bits}"
        leak = " product" if self.leak == "product" else ""
        return f"{bits}{leak}{' QAT' if self.quantized_epochs else ''}" if self else ""

    @property
    def high(self) -> int:
        """The highest membrane potential that `mem_bits` can hold, in the circuit's units."""
        return (1 << max(0, self.mem_bits - 1)) - 1

    def leak_shift(self, beta: float) -> int:
        """Return the k for which a leak by shift, U - (U >> k), multiplies U by about beta."""
        k = round(-math.log2(1 - beta)) if 0.4 < beta < 1 else 0
        if k < 1 or abs(1 - 2.0**-k - beta) > SHIFT_ERROR:
            raise ValueError(
                f"beta {beta:.4f} for one step: a leak by shift needs 1 - 2^-k, such as 0.875 or "
                "0.9375. Choose another beta, or add 'product' to the circuit's name"
            )
        return k


def _unknown_to_circuits(config: NetworkConfig) -> list[str]:
    """Return which settings of a single network a circuit doesn't know, each with a reason."""
    reasons = []
    if config.network != "spiking":
        reasons.append(f"network {quoted(config.network)}: a circuit needs spiking neurons")
    if config.neuron != "leaky":
        reasons.append(f"neuron {quoted(config.neuron)}: a circuit has leaky neurons only")
    if len(config.hidden_sizes) > 1:
        reasons.append(f"hidden {quoted(config.hidden)}: a circuit has one hidden layer")
    if max(config.hidden_copies) > 1:
        reasons.append(
            f"hidden_delays {quoted(config.hidden_delays)}: a circuit delays its input only"
        )
    return reasons
