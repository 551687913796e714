"""The gate that a run's parameters pass before anything is read or written."""

from collections.abc import Mapping

from shd_helpers.checks import check_choice, check_whole
from shd_helpers.events import Augmentation, Downsampling, Parts, Split
from shd_helpers.network.config import NetworkConfig
from shd_helpers.source.shd_file import LANGUAGES
from shd_helpers.study.identity import check_run_name, settings
from shd_helpers.study.training import TrainConfig


def check_settings(parameters: Mapping[str, object]) -> None:
    """Refuse a value that is out of its range, or that another one leaves no room for.

    Parameters
    ----------
    parameters : mapping
        All parameters of a run.

    Raises
    ------
    ValueError
        The message names parameter, value and what is allowed.
    """
    grid, config = settings(Downsampling, parameters), settings(NetworkConfig, parameters)
    settings(Split, parameters)
    settings(TrainConfig, parameters)
    check_choice("language", parameters["language"], tuple(LANGUAGES))
    check_whole("seed", parameters["seed"], 0, 2**63 - 1)  # type: ignore[arg-type]
    check_run_name(parameters["run_name"])
    _check_together(grid, config, settings(Augmentation, parameters))


def _check_together(grid: Downsampling, config: NetworkConfig, augmentation: Augmentation) -> None:
    """Refuse delays, windows and shifts that the utterance has no room for."""
    n_units, duration_ms = grid.n_units, grid.n_steps * grid.step_ms
    if config.network == "spiking":
        late_ms = config.delays(grid.step_ms)[-1] * grid.step_ms
        if late_ms >= duration_ms:
            raise ValueError(
                f"delay_ms {config.delay_ms:g}: with n_delays {config.n_delays} the last copy is "
                f"{late_ms:g} ms late; the utterance ends after {duration_ms:g} ms (duration_s)"
            )
        if config.kernel_size > n_units:
            raise ValueError(f"kernel_size {config.kernel_size}: the input has {n_units} units")
    if augmentation.shift_units >= n_units:
        raise ValueError(
            f"shift_units {augmentation.shift_units}: must be below the input's {n_units} units"
        )
    if augmentation.shift_ms >= duration_ms:
        raise ValueError(
            f"shift_ms {augmentation.shift_ms:g}: the utterance ends after {duration_ms:g} ms "
            "(duration_s)"
        )


def check_parts(parameters: Mapping[str, object], parts: Parts) -> None:
    """Refuse a batch that is larger than what there is to train on.

    Parameters
    ----------
    parameters : mapping
        All parameters of a run.
    parts : Parts
        Its utterances.

    Raises
    ------
    ValueError
        The message names the parameter.
    """
    batch_size, n_training = settings(TrainConfig, parameters).batch_size, len(parts.training)
    if batch_size > n_training:
        raise ValueError(f"batch_size {batch_size}: there are {n_training} training utterances")
