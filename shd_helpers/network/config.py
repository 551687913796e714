"""The settings of a network, and those of a circuit that is made of it.

They are names, ranges, and what follows from them at a step's length.
"""

import math
import re
from dataclasses import dataclass

from shd_corpus.checks import check_choice, quoted
from shd_corpus.shd_file import N_CHANNELS
from shd_helpers.events.downsampling import Downsampling
from shd_helpers.settings import check_settings, setting
from shd_helpers.user_code import is_reference

STUDY_STEP_MS = 3.0  # the length of a step for which `beta` is given
DELAY_MS = 30.0  # from one delayed copy of a layer's input to the next
NEURONS = ("leaky", "adaptive")
SURROGATES = ("fast_sigmoid", "atan", "sigmoid")  # `network.surrogates` defines them
MOST_NEURONS = 100_000  # of a layer
MOST_COPIES = 1000  # of a layer's input
MOST_LAYERS = 20  # hidden ones
QAT_EPOCHS = 10  # of quantization-aware training, if a circuit's name asks for it
_CIRCUIT_NAME = re.compile(r"([0-9]{1,3})-([0-9]{1,3})-([0-9]{1,3})( product)?( QAT)?")
_BITS = "weights have 2 to 16 bits, membranes 4 to 32"
# How far a beta may be from 1 - 2^-k for a leak by shift, so that four digits of it suffice.
SHIFT_ERROR = 5e-4


@dataclass(frozen=True)
class NetworkConfig:
    """A network's settings; the defaults are the study's.

    They describe the spiking network. With a reference to a function of the user's own, only
    `network` has an effect. `shd_helpers.user_code` describes such references, which look like
    ``mine.py:name``.

    Parameters
    ----------
    network : str
        ``"spiking"``, or a reference to a function (n_units, n_classes) ->
        Module.
    n_hidden : int
        The number of hidden neurons; with shared weights, of each window.
    beta : float
        The share of the membrane potential that is left after 3 ms, 0 to 1.
    surrogate : str
        One of `SURROGATES`, or a reference.
    slope : float
        The slope of the surrogate: the larger it is, the narrower is the surrogate gradient.
    readout : str
        What the class scores are: the output spikes (``"spikes"``) or the mean membrane potential
        (``"membrane"``).
    learn_beta : bool
        Whether the beta of each neuron is learned.
    learn_threshold : bool
        Whether the threshold of each spiking neuron is learned.
    n_delays : int
        The number of copies of the input, each 30 ms later than the one before and with weights of
        its own; 1 for the input alone.
    kernel_size : int
        The number of units in the window of a hidden neuron, with weights shared by all windows; 0
        for no windows.
    stride : int
        The number of units from window to window.
    neuron : str
        ``"leaky"``, ``"adaptive"`` (hidden neurons only), or a reference to a function: see
        `network.spiking`.
    adapt_ms : float
        About the time constant of the adaptation, in milliseconds.
    hidden : str
        The number of neurons of each hidden layer, such as ``"128,64"``; empty for one hidden layer
        of `n_hidden`.
    hidden_delays : str
        The number of copies of each hidden layer's spikes that the next layer gets, such as
        ``"4,1"``, 30 ms apart and each with weights of its own; empty for one without a delay.

    Raises
    ------
    ValueError
        If a setting is out of its range; the message names it.
    """

    network: str = "spiking"
    n_hidden: int = setting(256, (1, MOST_NEURONS))
    beta: float = setting(0.95, (0, 1))
    surrogate: str = "fast_sigmoid"
    slope: float = setting(2.0, (1e-6, 1e6))
    readout: str = setting("spikes", ("spikes", "membrane"))
    learn_beta: bool = False
    learn_threshold: bool = False
    n_delays: int = setting(1, (1, MOST_COPIES))
    kernel_size: int = setting(0, (0, 700))
    stride: int = setting(8, (1, 700))
    neuron: str = "leaky"
    adapt_ms: float = setting(100.0, (0.1, 60_000))
    hidden: str = ""
    hidden_delays: str = ""

    def __post_init__(self) -> None:
        """Check that such a network can be built."""
        check_settings(self)
        for name, choices in (
            ("network", ("spiking",)),
            ("surrogate", SURROGATES),
            ("neuron", NEURONS),
        ):
            if not is_reference(getattr(self, name)):
                check_choice(name, getattr(self, name), choices)
        n_layers = len(self.hidden_sizes)
        n_delays = len(self.hidden_copies)
        if n_delays != n_layers:
            raise ValueError(
                f"hidden_delays {self.hidden_delays!r}: gives numbers of copies for {n_delays} "
                f"hidden layer(s), and the network has {n_layers}. Give one number for each"
            )
        if not self.has_own_neurons:
            self.check_learns_nothing(f"the neuron {self.neuron}")

    def check_learns_nothing(self, neuron: str) -> None:
        """Check that nothing is to be learned by neurons of the user's own.

        Parameters
        ----------
        neuron : str
            What the message calls the neuron.

        Raises
        ------
        ValueError
            If `learn_beta` or `learn_threshold` is set.
        """
        for name in ("learn_beta", "learn_threshold"):
            if getattr(self, name):
                raise ValueError(
                    f"{name} True: {neuron} decides itself what it learns. Pass {name}=True to "
                    "snntorch's neuron there, and leave this setting out"
                )

    @property
    def has_own_neurons(self) -> bool:
        """Whether the neurons are the study's own, not a user's."""
        return not is_reference(self.neuron)

    @property
    def has_silent_outputs(self) -> bool:
        """Whether the output neurons only accumulate their currents, and never spike."""
        return self.readout != "spikes"

    @property
    def hidden_sizes(self) -> tuple[int, ...]:
        """The number of neurons of each hidden layer.

        With shared weights, the first number is that of each window.
        """
        return _numbers("hidden", self.hidden, MOST_NEURONS) or (self.n_hidden,)

    @property
    def hidden_copies(self) -> tuple[int, ...]:
        """How many copies of each hidden layer's spikes the next layer receives."""
        given = _numbers("hidden_delays", self.hidden_delays, MOST_COPIES)
        return given or len(self.hidden_sizes) * (1,)

    def step_beta(self, step_ms: float) -> float:
        """Return the share of the membrane potential that is left after one step.

        The time constant stays the same, whatever the length of a step.

        Parameters
        ----------
        step_ms : float
            Length of a step, in milliseconds.

        Returns
        -------
        float
            `beta` to the power of `step_ms` over 3 ms.
        """
        return self.beta ** (step_ms / STUDY_STEP_MS)

    def delays(self, step_ms: float) -> tuple[int, ...]:
        """Return by how many steps each copy of the input is delayed: 0, 30 ms, 60 ms, ...

        Parameters
        ----------
        step_ms : float
            Length of a step, in milliseconds.

        Returns
        -------
        tuple of int
            Steps, ascending from 0.

        Raises
        ------
        ValueError
            If two copies would have the same delay.
        """
        return _delays(f"n_delays {self.n_delays}", self.n_delays, step_ms)

    def later_layer_delays(
        self, step_ms: float, n_hidden_layers: int | None = None
    ) -> tuple[tuple[int, ...], ...]:
        """Return by how many steps each copy of a hidden layer's spikes reaches the next layer.

        Parameters
        ----------
        step_ms : float
            Length of a step, in milliseconds.
        n_hidden_layers : int, optional
            Hidden layers of the network; default: those of these settings.

        Returns
        -------
        tuple of tuple of int
            (hidden layers,) of (copies,); steps, ascending from 0.

        Raises
        ------
        ValueError
            If two copies would have the same delay, or there isn't a number for each hidden layer.
        """
        name = f"hidden_delays {self.hidden_delays!r}"
        n_hidden_layers = len(self.hidden_sizes) if n_hidden_layers is None else n_hidden_layers
        copies = self.hidden_copies if self.hidden_delays else n_hidden_layers * (1,)
        if len(copies) != n_hidden_layers:
            raise ValueError(
                f"{name}: gives the copies of {len(copies)} hidden layers, but the network has "
                f"{n_hidden_layers}"
            )
        return tuple(_delays(name, n_copies, step_ms) for n_copies in copies)


def _delays(name: str, n_copies: int, step_ms: float) -> tuple[int, ...]:
    """Return the delays 0, 30 ms, 60 ms, ... in steps; ValueError if two are the same."""
    steps = tuple(round(k * DELAY_MS / step_ms) for k in range(n_copies))
    if len(set(steps)) < len(steps):
        raise ValueError(
            f"{name}: delays are {DELAY_MS:g} ms apart, but a step lasts {step_ms:g} ms, so two "
            "copies would coincide. Use shorter steps or no delays"
        )
    return steps


def _numbers(name: str, text: str, highest: int) -> tuple[int, ...]:
    """Return the whole numbers that a setting lists, such as "128,64", one for a hidden layer."""
    if text == "":
        return ()
    is_list = isinstance(text, str) and re.fullmatch(r"[1-9][0-9]{0,8}(,[1-9][0-9]{0,8})*", text)
    numbers = tuple(int(number) for number in text.split(",")) if is_list else ()
    if not 1 <= len(numbers) <= MOST_LAYERS or max(numbers) > highest:
        raise ValueError(
            f"{name} {quoted(text)}: must be a text of whole numbers from 1 to {highest:,}, one "
            f"for each hidden layer ({MOST_LAYERS} at most), with commas between them and no "
            'spaces, such as "4,2"; or empty'
        )
    return numbers


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
        match = _CIRCUIT_NAME.fullmatch(str(name))
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
    reasons = {
        f"network {quoted(config.network)}: a circuit needs spiking neurons": (
            config.network != "spiking"
        ),
        f"neuron {quoted(config.neuron)}: a circuit has leaky neurons only": (
            config.neuron != "leaky"
        ),
        f"hidden {quoted(config.hidden)}: a circuit has one hidden layer": (
            len(config.hidden_sizes) > 1
        ),
        f"hidden_delays {quoted(config.hidden_delays)}: a circuit delays its input only": (
            max(config.hidden_copies) > 1
        ),
    }
    return [reason for reason, holds in reasons.items() if holds]
