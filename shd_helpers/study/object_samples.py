"""Samples of what users' own objects compute: a surrogate, a neuron or a network.

The file of such an object identifies a run (see `study.identity`), but not what the file imports.
So a few numbers that the object computes are stored with a run and with a sweep's table, and
compared before results are reused. The comparison has a tolerance, because processors round
differently.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shd_helpers.files import atomic, reading
from shd_helpers.network.neurons import initial_state, take_step
from shd_helpers.network.surrogates import SAMPLED, autograd_derivative, spike_grad
from shd_helpers.objects import ObjectError, load_function, parse_reference, reference_sha256
from shd_helpers.study.identity import references

RELATIVE_TOLERANCE = 2e-4
ABSOLUTE_TOLERANCE = 2e-4
N_NEURONS = 4
N_STEPS = 20
N_UTTERANCES = 2
SHARE = 0.05  # of the entries of a network's input that are 1
N_CLASSES = 10
Samples = dict[str, list[float]]  # see `samples_of`


class SampleError(ValueError):
    """A user's object computes different results than before; the message says what to do."""


def samples_of(parameters: Mapping[str, Any], n_units: int) -> Samples:
    """Compute a sample of each object that a run's settings refer to.

    Parameters
    ----------
    parameters : mapping
        The run's flat parameters.
    n_units : int
        Units of the downsampled input, which a network is made for.

    Returns
    -------
    dict of str to list of float
        A sample of each object, by its label and the SHA-256 of its file, and for a network also
        by the units of its input. Of a surrogate, it is the
        gradient at 64 distances from the threshold. Of a neuron, it is the spikes and membranes at
        a fixed current. Of a network, it is the class scores for two fixed inputs, untrained.

    Raises
    ------
    ObjectError
        If the object can't be loaded, or raises an exception.
    """
    samples = {}
    for setting, text in references(parameters).items():
        name = f"{parse_reference(text).label} {reference_sha256(text)}"
        if setting == "network":
            name += f" {n_units} units"  # another input makes another network of the same function
        samples[name] = _sample(setting, text, n_units)
    return samples


def _sample(setting: str, text: str, n_units: int) -> list[float]:
    """Compute the sample of the object that a setting refers to.

    The object is a user's code, which may raise anything. Whatever it raises becomes an ObjectError
    that names the object.
    """
    try:
        return np.asarray(_SAMPLERS[setting](text, n_units), float).tolist()
    except ObjectError:  # it names the object already
        raise
    except Exception as error:
        raise ObjectError(
            f"{setting} {parse_reference(text).label}: computing a sample of it raised "
            f"{type(error).__name__}: {error}. Correct the code in its file."
        ) from error


def _of_surrogate(text: str, _: int) -> np.ndarray:
    """Return the gradient of a surrogate at 64 distances from the threshold."""
    return autograd_derivative(spike_grad(text, 1.0), SAMPLED)


def _of_neuron(text: str, _: int) -> np.ndarray:
    """Return the spikes and the membranes of four neurons, each with another constant current.

    Neurons such as RLeaky draw weights, so their seed is fixed.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        neuron = load_function(text)(N_NEURONS, spike_grad=spike_grad("fast_sigmoid", 2.0))
    state = initial_state(neuron)
    current = torch.linspace(0.1, 0.7, N_NEURONS)[None]
    name = f"neuron {parse_reference(text).label}"
    recorded = []
    with torch.no_grad():
        for _ in range(N_STEPS):
            spk, state = take_step(neuron, current, state, name)
            recorded += [spk, state[-1]]
    return torch.cat(recorded).numpy()


def _of_network(text: str, n_units: int) -> np.ndarray:
    """Return the class scores of an untrained network whose weights have a fixed seed."""
    generator = torch.Generator().manual_seed(0)
    shape = (N_STEPS, N_UTTERANCES, n_units)
    frames = (torch.rand(shape, generator=generator) < SHARE).float()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        network = load_function(text)(n_units, N_CLASSES).eval()
        return network(frames).numpy()


_SAMPLERS: dict[str, Callable[[str, int], np.ndarray]] = {
    "surrogate": _of_surrogate,
    "neuron": _of_neuron,
    "network": _of_network,
}


def check_same(today: Mapping[str, list[float]], stored: Mapping[str, list[float]]) -> None:
    """Check that users' objects compute what they computed before.

    Parameters
    ----------
    today, stored : mapping
        From `samples_of`. Objects that are in only one of them aren't compared.

    Raises
    ------
    SampleError
        If an object returns different values although its file is the same.
    """
    for name, sample in today.items():
        earlier = stored.get(name)
        if earlier is None:
            continue
        is_same = len(sample) == len(earlier) and np.allclose(
            sample, earlier, RELATIVE_TOLERANCE, ABSOLUTE_TOLERANCE, equal_nan=True
        )
        if not is_same:
            file_name = name.partition(":")[0]
            label = name.rpartition(f" {file_name} ")[0]  # without the file's SHA-256
            raise SampleError(
                f"{label} returns different values than before, although its file hasn't changed. "
                "A file or package that it imports has changed, so earlier results can't be "
                f"reused. Rename {label}, or move the earlier results away."
            )


def samples_path(table: Path) -> Path:
    """Return the file beside a sweep's table that has the samples of its objects.

    Parameters
    ----------
    table : Path
        The table's file.

    Returns
    -------
    Path
        ``<table>_objects.json``.
    """
    return table.with_name(f"{table.stem}_objects.json")


def read_samples(path: Path) -> Samples:
    """Read the samples of a sweep's objects.

    Parameters
    ----------
    path : Path
        From `samples_path`.

    Returns
    -------
    dict
        See `samples_of`. Empty if there is no such file.

    Raises
    ------
    ObjectError
        If the file is damaged.
    """
    if not path.exists():
        return {}
    remedy = "Move the file away. The sweep then can't check whether these objects have changed."
    with reading(path, ObjectError, remedy):
        return json.loads(path.read_text(encoding="utf-8"))


def write_samples(path: Path, samples: Samples) -> None:
    """Write the samples of a sweep's objects, and keep those that are in the file.

    Parameters
    ----------
    path : Path
        From `samples_path`.
    samples : dict
        See `samples_of`.
    """
    merged = samples | read_samples(path)
    with atomic(path) as unfinished:
        unfinished.write_text(json.dumps(merged, indent=1) + "\n", encoding="utf-8")
