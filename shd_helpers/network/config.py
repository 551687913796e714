"""The settings of a network: names, ranges, and what follows from them at a step's length."""

from dataclasses import dataclass

from shd_helpers.checks import check_choice, check_number, check_switch, check_whole, later
from shd_helpers.network.surrogates import SURROGATES

STUDY_STEP_MS = 3.0  # at which `beta` is given
DELAY_MS = 30.0  # from one copy of the input to the next
NETWORKS = ("spiking", "convolutional")
READOUTS = ("spikes", "membrane")


@dataclass(frozen=True)
class NetworkConfig:
    """A network's settings; the defaults are the study's. ValueError names one out of its range.

    With ``network="convolutional"`` the other settings change nothing.
    """

    network: str = later("spiking")
    n_hidden: int = 256  # hidden neurons; where they have a window, at every place
    beta: float = 0.95  # share of the membrane potential that is left after 3 ms
    surrogate: str = "fast_sigmoid"
    slope: float = 2.0  # of the surrogate: the larger, the narrower
    readout: str = later("spikes")  # class scores: output spikes, or the mean membrane potential
    learn_beta: bool = later(False)  # a beta for every neuron, learned
    learn_threshold: bool = later(False)  # a threshold for every spiking neuron, learned
    n_delays: int = later(1)  # copies of the input, each 30 ms later and with weights of its own
    kernel_size: int = later(0)  # units that a hidden neuron sees, with shared weights; 0: all
    stride: int = later(8, counts_with="kernel_size")  # units between places
    members: int = later(1)  # networks that are trained apart and put side by side, as one

    def __post_init__(self) -> None:
        """Refuse what can't be built."""
        check_choice("network", self.network, NETWORKS)
        check_choice("surrogate", self.surrogate, SURROGATES)
        check_choice("readout", self.readout, READOUTS)
        check_whole("n_hidden", self.n_hidden, 1, 100_000)
        check_number("beta", self.beta, 0, 1)
        check_number("slope", self.slope, 0, 1e6, above=True)
        check_switch("learn_beta", self.learn_beta)
        check_switch("learn_threshold", self.learn_threshold)
        check_whole("n_delays", self.n_delays, 1, 1000)
        check_whole("kernel_size", self.kernel_size, 0, 700)
        check_whole("stride", self.stride, 1, 700)
        check_whole("members", self.members, 1, 100)
        if self.members > 1 and (self.network, self.readout) != ("spiking", "membrane"):
            raise ValueError(
                f"members {self.members}: only a spiking network with the readout 'membrane' can "
                "put them side by side"
            )

    def step_beta(self, step_ms: float) -> float:
        """Return the share of the potential that is left after one step: same time constant."""
        return self.beta ** (step_ms / STUDY_STEP_MS)

    def delays(self, step_ms: float) -> tuple[int, ...]:
        """Return the delays 0, 30 ms, 60 ms, ... in steps; ValueError if two are the same."""
        steps = tuple(round(k * DELAY_MS / step_ms) for k in range(self.n_delays))
        if len(set(steps)) < len(steps):
            raise ValueError(
                f"n_delays {self.n_delays}: two copies, {DELAY_MS:g} ms apart, fall on one step of "
                f"{step_ms:g} ms"
            )
        return steps
