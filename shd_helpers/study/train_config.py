"""The settings of the training: how long, with which batches, and how the learning rate changes."""

from dataclasses import dataclass

from shd_helpers.checks import check_settings, later, setting


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

    A value out of its range raises a ValueError that names it.
    """

    epochs: int = setting(30, (1, 100_000))  # passes over the training utterances
    batch_size: int = setting(8, (1, 100_000))
    lr: float = setting(1e-3, (1e-9, 1))  # learning rate of Adam; of one_cycle the highest one
    # epochs after which the learning rate falls to half; with one_cycle it has no effect
    lr_step: int = setting(10, (1, 100_000))
    schedule: str = later("step", ("step", "one_cycle"))  # how the learning rate changes
    weight_decay: float = later(0.0, (0, 10))  # share of the weights, times lr, taken off

    def __post_init__(self) -> None:
        """Check that each value is in its range."""
        check_settings(self)
