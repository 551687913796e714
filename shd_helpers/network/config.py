"""The settings of a network: names, ranges, and what follows from them at a step's length."""

from dataclasses import dataclass

from shd_helpers.checks import check_settings, later, setting
from shd_helpers.network.surrogates import SURROGATES

STUDY_STEP_MS = 3.0  # the length of a step for which `beta` is given
DELAY_MS = 30.0  # from one delayed copy of the input to the next


@dataclass(frozen=True)
class NetworkConfig:
    """A network's settings; the defaults are the study's.

    With ``network="convolutional"`` the other settings change nothing.

    Raises
    ------
    ValueError
        If a setting is out of its range; the message names it.
    """

    network: str = later("spiking", ("spiking", "convolutional"))
    n_hidden: int = setting(256, (1, 100_000))  # hidden neurons; with shared weights, per window
    beta: float = setting(0.95, (0, 1))  # share of the membrane potential that is left after 3 ms
    surrogate: str = setting("fast_sigmoid", SURROGATES)
    slope: float = setting(2.0, (1e-6, 1e6))  # of the surrogate: the larger, the narrower
    # class scores: output spikes, or the mean membrane potential
    readout: str = later("spikes", ("spikes", "membrane"))
    learn_beta: bool = later(False)  # learned per-neuron betas
    learn_threshold: bool = later(False)  # learned per-neuron thresholds, of spiking neurons
    # delayed copies of the input, each 30 ms later and with weights of its own; 1: no delay
    n_delays: int = later(1, (1, 1000))
    # units in the window of a hidden neuron, with weights shared by all windows; 0: no windows
    kernel_size: int = later(0, (0, 700))
    stride: int = later(8, (1, 700), counts_with="kernel_size")  # units from window to window
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
        steps = tuple(round(k * DELAY_MS / step_ms) for k in range(self.n_delays))
        if len(set(steps)) < len(steps):
            raise ValueError(
                f"n_delays {self.n_delays}: two copies, {DELAY_MS:g} ms apart, fall on one step of "
                f"{step_ms:g} ms"
            )
        return steps
