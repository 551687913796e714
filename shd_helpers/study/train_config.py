"""The settings of the training: how long, with which batches, and how the learning rate changes."""

from dataclasses import dataclass

from shd_helpers.settings import check_settings, setting


@dataclass(frozen=True)
class TrainConfig:
    """Settings of the training; by default, Adam with a learning rate that falls in steps.

    The defaults are the study's.

    With the schedule ``"one_cycle"`` the learning rate changes after every update. In the first
    30 % of all updates it rises from lr / 25 to lr. Then it falls to almost zero, so that the
    number of epochs must be fixed in advance. Adam's first beta falls from 0.95 to 0.85 and rises
    again. Smith and Topin (2019), "Super-convergence", describe it, and PyTorch's `OneCycleLR`
    computes it.

    With a weight decay above 0, PyTorch's `AdamW` replaces Adam. In each update it
    multiplies the weights by 1 - learning rate x `weight_decay`. Biases, betas, thresholds and
    adaptation aren't decayed, because zero is not a natural value for them.

    Parameters
    ----------
    epochs : int
        The number of passes over the training utterances.
    batch_size : int
        The number of utterances in a batch.
    lr : float
        The learning rate of Adam; with the schedule ``"one_cycle"`` the highest one.
    lr_step : int
        The number of epochs after which the learning rate falls to half. It has no effect with
        ``"one_cycle"``.
    schedule : str
        How the learning rate changes: ``"step"`` or ``"one_cycle"``.
    weight_decay : float
        The share of the weights, times the learning rate, that each update takes off.

    Raises
    ------
    ValueError
        If a value is out of its range. The message names it.
    """

    epochs: int = setting(30, (1, 100_000))
    batch_size: int = setting(8, (1, 100_000))
    lr: float = setting(1e-3, (1e-9, 1))
    lr_step: int = setting(10, (1, 100_000))
    schedule: str = setting("step", ("step", "one_cycle"))
    weight_decay: float = setting(0.0, (0, 10))

    def __post_init__(self) -> None:
        """Check that each value is in its range."""
        check_settings(self)
