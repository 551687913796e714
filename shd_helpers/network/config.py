"""The settings of a network: names, ranges, and what follows from them at a step's length."""

from dataclasses import dataclass

from shd_helpers.checks import check_settings, later, setting
from shd_helpers.network.surrogates import SURROGATES

STUDY_STEP_MS = 3.0  # at which `beta` is given
DELAY_MS = 30.0  # from one copy of the input to the next


@dataclass(frozen=True)
class NetworkConfig:
    """A network's settings; the defaults are the study's. ValueError names one out of its range.

    With ``network="convolutional"`` the other settings change nothing.
    """

    network: str = later("spiking", ("spiking", "convolutional"))
    n_hidden: int = setting(256, (1, 100_000))  # hidden neurons; with windows, at each place
    beta: float = setting(0.95, (0, 1))  # share of the membrane potential that is left after 3 ms
    surrogate: str = setting("fast_sigmoid", SURROGATES)
    slope: float = setting(2.0, (1e-6, 1e6))  # of the surrogate: the larger, the narrower
    # class scores: output spikes, or the mean membrane potential
    readout: str = later("spikes", ("spikes", "membrane"))
    learn_beta: bool = later(False)  # a beta for every neuron, learned
    learn_threshold: bool = later(False)  # a threshold for every spiking neuron, learned
    # copies of the input, each 30 ms later and with weights of its own
    n_delays: int = later(1, (1, 1000))
    # units that a hidden neuron sees, with shared weights; 0: all
    kernel_size: int = later(0, (0, 700))
    stride: int = later(8, (1, 700), counts_with="kernel_size")  # units between places
    ensemble_size: int = later(1, (1, 100))  # networks that are trained apart, scores averaged

    def __post_init__(self) -> None:
        """Refuse what can't be built."""
        check_settings(self)
        if self.ensemble_size > 1 and (self.network, self.readout) != ("spiking", "membrane"):
            raise ValueError(
                f"ensemble_size {self.ensemble_size}: only spiking networks with the readout "
                "'membrane' can be an ensemble"
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
