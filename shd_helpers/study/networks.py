"""Trained networks in one small file each, for whoever wants the network and not the run."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from shd_helpers.events import Downsampling, Events, downsize
from shd_helpers.files import atomic, read_npz, reading
from shd_helpers.network import Network, build_network
from shd_helpers.paths import ROOT, results_dir, run_folders, runs_dir
from shd_helpers.source.shd_file import LANGUAGES, Utterances
from shd_helpers.study.handover import RunError
from shd_helpers.study.recipe import Recipe, run_hash
from shd_helpers.study.run_files import REMEDY
from shd_helpers.study.run_folder import Run, read_run

NETWORKS = ROOT / "results" / "networks"
_ABOUT = ("parameters", "seed", "data", "hash", "seen_speakers", "versions", "scores")


class TrainedNetwork(NamedTuple):
    """A trained network, what it wants to see, and where it comes from."""

    network: Network
    grid: Downsampling
    class_names: tuple[str, ...]
    about: dict  # of the run's `run.json`: parameters, data, hash, scores, ...
    file: Path  # of `about`

    @property
    def name(self) -> str:
        """Return the run's name, or that of the file that the network was kept in."""
        return self.file.parent.name if self.file.name == "run.json" else self.file.stem

    @property
    def recipe(self) -> Recipe:
        """Return the run's settings."""
        return Recipe.from_flat(self.about["parameters"])


def _build(parameters: dict) -> Network:
    """Return the untrained network of a run's parameters."""
    recipe = Recipe.from_flat(parameters)
    size = recipe.input.n_units, len(LANGUAGES[recipe.language]), recipe.input.step_ms
    return build_network(recipe.network, *size, torch.Generator())


def _fill(network: Network, state: Mapping[str, torch.Tensor]) -> None:
    """Give a network its weights; betas and thresholds come with them."""
    network.load_state_dict(state)
    learned = {name for name, _ in network.named_parameters()}
    for name, values in state.items():
        # a threshold that no membrane reaches is infinite
        if values.isnan().any() or (name in learned and values.isinf().any()):
            raise ValueError(f"{name} has values that aren't finite")


def load_network(run: Run) -> Network:
    """Return the trained network of a run folder.

    Raises
    ------
    RunError
        If a file is damaged.
    """
    with reading(run.folder / "run.json", RunError, f"{REMEDY} again."):
        network = _build(run.info["parameters"])
    path = run.folder / "state_dict.pt"
    with reading(path, RunError, f"{REMEDY} again."):
        _fill(network, torch.load(path, weights_only=True))
        found = dict(network.named_parameters())
        for name, epochs in run.weights.items():
            if not np.array_equal(found[name.replace("/", ".")].detach().numpy(), epochs[-1]):
                raise ValueError(f"{name} isn't what weights.h5 ends with")
    return network


def of_run(run: Run) -> TrainedNetwork:
    """Return a run folder's network as if it had been kept; raise as `load_network`."""
    network, p = load_network(run), run.info["parameters"]
    grid, names = Recipe.from_flat(p).input, tuple(LANGUAGES[p["language"]])
    return TrainedNetwork(network, grid, names, run.info, run.folder / "run.json")


def keep_network(run: Run, path: Path) -> None:
    """Write a run's trained network into one file, compressed.

    Parameters
    ----------
    run : Run
        A complete run.
    path : Path
        The ``.npz`` file: weights by name, and ``about``, a text in JSON.

    Raises
    ------
    RunError
        If the run's weights are damaged.
    """
    about = {name: run.info[name] for name in _ABOUT}
    # a data set by its name, not by its place on this machine
    about["parameters"] = about["parameters"] | {"dataset": run.info["data"]["name"]}
    with reading(run.folder / "state_dict.pt", RunError, f"{REMEDY} again."):
        state = torch.load(run.folder / "state_dict.pt", weights_only=True)
    arrays = {name: values.numpy() for name, values in state.items()}
    with atomic(path) as part, part.open("wb") as file:
        np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)


def read_network(path: str | Path) -> TrainedNetwork:
    """Read a network that `keep_network` has written.

    Parameters
    ----------
    path : str or Path
        The file, or the name of one in ``results/networks/``, without its ending.

    Raises
    ------
    RunError
        If there is no such file, or it is damaged, or its parameters aren't those of its hash.
    """
    path = path if isinstance(path, Path) else NETWORKS / f"{path}.npz"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.npz"))) or "none"
        raise RunError(f"{path}: no such network. There are {there}.")
    with reading(path, RunError, "Restore it: git checkout HEAD -- results."):
        arrays = read_npz(path)
        about = json.loads(str(arrays.pop("about")))
        is_right = isinstance(about, dict) and all(
            isinstance(about.get(name), dict) for name in ("parameters", "data")
        )
        if not is_right or any(values.dtype.kind not in "bif" for values in arrays.values()):
            raise ValueError("its content is no network")
        p = about["parameters"]
        if run_hash(p, about["data"]) != about["hash"]:
            raise ValueError("its parameters or data aren't those of its hash")
        network = _build(p)
        _fill(network, {name: torch.from_numpy(values) for name, values in arrays.items()})
    grid = Recipe.from_flat(p).input
    return TrainedNetwork(network, grid, tuple(LANGUAGES[p["language"]]), about, path)


def input_of(kept: TrainedNetwork, times: np.ndarray, units: np.ndarray) -> Events:
    """Return the spikes of one word as a network's input, an utterance whose label says nothing.

    Parameters
    ----------
    kept : TrainedNetwork
        The network.
    times, units : (spikes,) array
        Seconds, ascending, and channels of the cochlea.
    """
    keys, none = LANGUAGES["both"], np.zeros(1, np.int64)
    label, offsets = none + keys.index(kept.class_names[0]), np.array([0, len(times)])
    spikes = times.astype(np.float16), units.astype(np.uint16)
    word = Utterances(*spikes, offsets, label, none, keys)
    return downsize(word, kept.grid, kept.about["parameters"]["language"])


def main() -> None:
    """Keep the networks of some runs in ``results/networks/``."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="first part of the files' names; the second is the seed")
    parser.add_argument("runs", nargs="+", help="patterns below runs/: 'sweeps/networks_hd/*'")
    arguments = parser.parse_args()
    folders = run_folders(arguments.runs)
    if not folders:
        parser.error(f"no run folder below {runs_dir()} is named so")
    runs: dict[Path, Run] = {}
    try:
        for run in map(read_run, folders):
            path = results_dir() / "networks" / f"{arguments.name}_{run.info['seed']}.npz"
            if path in runs:
                both = f"{runs[path].folder} and {run.folder}"
                parser.error(f"{both} have the same seed; name one of them")
            runs[path] = run
        for path, run in runs.items():
            keep_network(run, path)
            print(path)
    except RunError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
