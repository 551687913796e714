"""Load pretrained networks, each of which is one small file.

A run folder holds everything about a run. A pretrained network is one ``.npz`` file with only what
is needed to use the network: its weights by name, and the entry `about`. That is a text in JSON
with the run's parameters, the hashes of its data, its scores, and the hash of all this.

``python -m evidence.networks`` saves them. The networks of several runs can be saved in one file,
as an ensemble. Then `about` has a list
`members` with what is known about each run, and the names of the weights begin with ``members.0.``,
``members.1.`` and so on.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from shd_corpus.files import reading
from shd_helpers.paths import networks_dir
from shd_helpers.study.run_folder import REMEDY, Run, RunError
from shd_helpers.study.trained_network import (
    RESTORE,
    TrainedNetwork,
    build_trained,
)

SHA256 = "sha256"  # in `about`: the hash of all else in the file


def load_network(run: Run, *, trust: bool = False) -> TrainedNetwork:
    """Return the trained network of a run folder.

    Parameters
    ----------
    run : Run
        From `run_folder.read_run`.
    trust : bool
        Whether a Python file that the run names, such as ``mine.py:boxcar``, may run. It can do
        whatever you can do.

    Returns
    -------
    TrainedNetwork
        The network with the weights after the last epoch.

    Raises
    ------
    RunError
        If its parameters or its weights are no network's, or are those of a network that isn't the
        study's own (the message says what differs), or it names a Python file without `trust`.
    """
    with reading(run.folder / "run.json", RunError, f"{REMEDY} again."):
        return build_trained(run.info, run.state, run.folder / "run.json", trust=trust)


def content_hash(about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of all that a pretrained network has: texts, names, types and values."""
    hashed = {name: value for name, value in about.items() if name != SHA256}
    digest = hashlib.sha256(json.dumps(hashed, sort_keys=True).encode())
    for name, values in sorted(arrays.items()):
        digest.update(f"\n{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def load_pretrained(path: str | Path, *, trust: bool = False) -> TrainedNetwork:
    """Load a pretrained network, which is one file.

    Parameters
    ----------
    path : str or Path
        The file, or the name of one in `paths.networks_dir`, without its ending. A text with
        a slash, or that ends with ``.npz``, is the path of a file.
    trust : bool
        Whether a Python file that the network names, such as ``mine.py:boxcar``, may run. It can do
        whatever you can do.

    Returns
    -------
    TrainedNetwork
        The network with its weights, betas and thresholds.

    Raises
    ------
    RunError
        If there is no such file, or it is damaged or has changed, or its weights don't fit the
        network of its parameters, or it names a Python file without `trust`.
    """
    is_name = isinstance(path, str) and "/" not in path and not path.endswith(".npz")
    path = networks_dir() / f"{path}.npz" if is_name else Path(path)
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.npz")))
        remedy = f"Choose one of these: {there}."
        if not there:
            remedy = (
                "`load_pretrained` takes the path of a file, or a name in results/networks. Of "
                "a run's folder, use study.load_network(study.read_run(folder))."
            )
        raise RunError(f"{path}: no such network. {remedy}")
    with reading(path, RunError, RESTORE):
        about, arrays = _read_file(path)
        state = {name: torch.from_numpy(values) for name, values in arrays.items()}
        return build_trained(about, state, path, trust=trust)


def _read_file(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what is said about a pretrained network and its weights."""
    with np.load(path) as file:
        arrays = dict(file)
    about = json.loads(str(arrays.pop("about")))
    if not isinstance(about, dict):
        raise ValueError("it doesn't contain a network")
    if content_hash(about, arrays) != about.get(SHA256):
        raise ValueError("its content has changed since it was written")
    return about, arrays
