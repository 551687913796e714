"""The gate that a run's parameters pass before anything is read or written."""

from collections.abc import Iterator, Mapping
from dataclasses import fields

import psutil

from shd_helpers.checks import check_choice, check_whole, quoted
from shd_helpers.events import Augmentation, Downsampling, Parts, Split, load_parts
from shd_helpers.network import Quantisation
from shd_helpers.network.config import NetworkConfig
from shd_helpers.network.convolutional import BLOCK
from shd_helpers.network.limits import refuse
from shd_helpers.source.datasets import locate
from shd_helpers.source.shd_file import LANGUAGES
from shd_helpers.study.identity import check_run_name, settings
from shd_helpers.study.training import TrainConfig

_KINDS: tuple[type, ...] = (
    *(Downsampling, Split, NetworkConfig, TrainConfig, Quantisation, Augmentation),
)
# what a notebook that hasn't all of the parameters takes for the others
_OTHERS = {field.name: field.default for kind in _KINDS for field in fields(kind)}
_OTHERS |= {"dataset": "spoken", "language": "english", "seed": 0, "run_name": "default"}
_OTHERS |= {"updates": 1}  # of notebook 2's demonstration


def check_settings(parameters: Mapping[str, object], *, elsewhere: bool = False) -> None:
    """Refuse a value that is out of its range, or that another one leaves no room for.

    Parameters
    ----------
    parameters : mapping
        The parameters of a run, or of a notebook that has only some of them.
    elsewhere : bool
        Whether another machine may execute the run; else the memory that the run needs must be
        here.

    Raises
    ------
    ValueError
        The message names parameter, value and what is allowed.
    """
    parameters = {**_OTHERS, **parameters}
    grid, config = settings(Downsampling, parameters), settings(NetworkConfig, parameters)
    settings(Split, parameters)
    settings(TrainConfig, parameters)
    dataset = parameters["dataset"]
    if not isinstance(dataset, str) or not dataset or "\0" in dataset:
        raise ValueError(
            f"dataset {quoted(dataset)}: must be spoken, hd, shd or the path of a folder"
        )
    check_choice("language", parameters["language"], tuple(LANGUAGES))
    check_whole("seed", parameters["seed"], 0, 2**63 - 1)  # type: ignore[arg-type]
    check_whole("updates", parameters["updates"], 1, 100_000)  # type: ignore[arg-type]
    check_run_name(parameters["run_name"])
    augmentation, circuit = settings(Augmentation, parameters), settings(Quantisation, parameters)
    reasons = [*_too_small(grid, config, augmentation)]
    refuse(reasons + (circuit.refusals(config, grid) if circuit else []))
    if not elsewhere:
        _check_memory(grid, config)


def _too_small(
    grid: Downsampling, config: NetworkConfig, augmentation: Augmentation
) -> Iterator[str]:
    """Yield what the utterance has no room for: delays, windows, shifts, convolutions."""
    n_units, duration_ms = grid.n_units, grid.n_steps * grid.step_ms
    if config.network == "spiking":
        late_ms = config.delays(grid.step_ms)[-1] * grid.step_ms
        if late_ms >= duration_ms:
            yield (
                f"n_delays {config.n_delays}: the last copy is {late_ms:g} ms late; the utterance "
                f"ends after {duration_ms:g} ms"
            )
        if config.kernel_size > n_units:
            yield f"kernel_size {config.kernel_size}: the input has {n_units} units"
    # halved twice before the last convolution, whose batch normalisation needs two places
    elif (grid.n_steps // (4 * BLOCK[0])) * (n_units // (4 * BLOCK[1])) < 2:
        yield (
            f"network 'convolutional': needs {8 * BLOCK[0]} steps x {4 * BLOCK[1]} units or "
            f"{4 * BLOCK[0]} x {8 * BLOCK[1]} at least; the input has {grid.n_steps} x {n_units}"
        )
    if augmentation.shift_units >= n_units:
        yield f"shift_units {augmentation.shift_units}: must be below the input's {n_units} units"
    if augmentation.shift_ms >= duration_ms:
        yield (f"shift_ms {augmentation.shift_ms:g}: the utterance ends after {duration_ms:g} ms")


def _check_memory(grid: Downsampling, config: NetworkConfig) -> None:
    """Refuse a network that can't fit into the machine's memory, by an estimate from below.

    What takes most are the states that snntorch's loop keeps: by measurement twice the input and
    3.5 times the hidden neurons of each step, for the 32 words of a figure; and a weight with its
    gradients.
    """
    if config.network != "spiking":
        return
    n_inputs, n_hidden = grid.n_units * config.n_delays, config.n_hidden
    if config.kernel_size:
        n_hidden *= (grid.n_units - config.kernel_size) // config.stride + 1
    n_states = 2 * n_inputs + 3.5 * n_hidden
    n_bytes = 4 * 32 * grid.n_steps * n_states + 80 * n_inputs * n_hidden
    there = psutil.virtual_memory().total
    if n_bytes > there:
        raise ValueError(
            f"n_hidden {config.n_hidden}, n_delays {config.n_delays}: "
            f"with {grid.n_units} units x {grid.n_steps} steps (pool_units, pool_steps) a run "
            f"takes about {n_bytes / 1e9:,.0f} GB of memory; this machine has "
            f"{there / 1e9:,.0f}"
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


def check_data(parameters: Mapping[str, object]) -> None:
    """Refuse data that a run can't use, and parameters that don't go with them; see `check_parts`.

    The data set is made or downloaded if it isn't there, and downsized into the cache.

    Parameters
    ----------
    parameters : mapping
        All parameters of a run, checked by `check_settings`.

    Raises
    ------
    ValueError
        The message names the parameter, or the file and the remedy.
    """
    dataset, language, seed = (parameters[name] for name in ("dataset", "language", "seed"))
    files = locate(dataset, language)  # type: ignore[arg-type]
    grid, split = settings(Downsampling, parameters), settings(Split, parameters)
    check_parts(parameters, load_parts(files, grid, language, split, seed))  # type: ignore[arg-type]
