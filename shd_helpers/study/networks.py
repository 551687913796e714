"""Trained networks in one small file each, for whoever wants the network and not the run."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from shd_helpers.data.datasets import fingerprint
from shd_helpers.data.shd_file import LANGUAGES, Utterances
from shd_helpers.events import Downsampling, Events, Subsets, downsample, load_subsets
from shd_helpers.files import atomic, reading
from shd_helpers.network import Network
from shd_helpers.paths import results_dir
from shd_helpers.study.identity import current_names, run_hash
from shd_helpers.study.other_networks import differences, own_network
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.run_folder import REMEDY, Run, RunError

_RESTORE = "Restore it: git checkout HEAD -- results."
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

    def words_of(self, language: str) -> list[int]:
        """Return a language's classes (index); ValueError, if one isn't known."""
        names, known = LANGUAGES[language], self.class_names
        if not {*names} <= {*known}:
            raise ValueError(f"{self.file.name} doesn't know {language}, but {', '.join(known)}")
        return [known.index(name) for name in names]

    def speaking(self, language: str) -> "TrainedNetwork":
        """Return the network without another language's classes; ValueError as `words_of`."""
        rows, state = self.words_of(language), dict(self.network.state_dict())
        output = [*state][-1].partition(".")[0][-1]  # the last layer's number, of fc2 and lif2
        for name, values in state.items():
            if name.partition(".")[0].endswith(output) and values.dim():
                state[name] = values[rows]
        return _trained(self.about, state, self.file, LANGUAGES[language])


def networks_dir() -> Path:
    """Return the folder of the kept networks."""
    return results_dir() / "networks"


def _trained(
    about: dict, state: Mapping[str, torch.Tensor], file: Path, names: Sequence[str] | None = None
) -> TrainedNetwork:
    """Build the network of a run's parameters and give it its weights, betas and thresholds."""
    recipe = Recipe.from_flat(about["parameters"])
    names = tuple(names or LANGUAGES[recipe.language])
    _check_own(about, recipe, file)
    network = own_network(recipe, len(names))
    _check_fit(network, state, file)
    network.load_state_dict(state)
    learned = {name for name, _ in network.named_parameters()}
    for name, values in state.items():
        # a threshold that is given may be infinite: no membrane reaches it; one that is learned may
        # become negative
        is_given = name.endswith("threshold") and name not in learned
        if values.isnan().any() or (values.isinf().any() and not is_given):
            raise ValueError(f"{name} has values that aren't finite")
        if is_given and (values <= 0).any():
            raise ValueError(f"{name} has values of 0 or less")
    return TrainedNetwork(network, recipe.input, names, about, file)


def _check_own(about: Mapping[str, Any], recipe: Recipe, file: Path) -> None:
    """Raise RunError if a run's network isn't the one that its parameters build."""
    if other := about.get("other_network"):
        raise RunError(
            f"{file}: this run trained a network that isn't the study's own "
            f"({differences(other, recipe)}), so it can't be built from the run's parameters. "
            "Build it with your own code, and load the run's state_dict.pt into it."
        )


def _check_fit(network: Network, state: Mapping[str, torch.Tensor], file: Path) -> None:
    """Raise RunError if a state_dict has other tensors than a network, and name them."""
    if not isinstance(state, Mapping) or not all(map(torch.is_tensor, state.values())):
        raise ValueError("its content is no state_dict")
    wanted = network.state_dict()
    problems = [f"{name} is missing" for name in wanted if name not in state]
    problems += [f"{name} is unexpected" for name in state if name not in wanted]
    for name, values in wanted.items():
        if name in state and state[name].shape != values.shape:
            found = tuple(state[name].shape)
            problems.append(f"{name} has the shape {found} instead of {tuple(values.shape)}")
    if problems:
        is_run = file.name == "run.json"
        weights = file.with_name("state_dict.pt") if is_run else file
        remedy = f"{REMEDY} again." if is_run else _RESTORE
        raise RunError(
            f"{weights}: the state_dict doesn't fit the network of its parameters: "
            f"{', '.join(problems)}. It comes from another network, or from another version of "
            f"this code. {remedy}"
        )


def load_network(run: Run) -> TrainedNetwork:
    """Return the trained network of a run folder.

    Raises
    ------
    RunError
        If its parameters or its weights are no network's, or are those of a network that isn't the
        study's own. The message says what differs.
    """
    with reading(run.folder / "run.json", RunError, f"{REMEDY} again."):
        return _trained(run.info, run.state, run.folder / "run.json")


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
        If the network isn't the study's own: `read_network` couldn't build it.
    """
    _check_own(run.info, Recipe.from_flat(run.info["parameters"]), run.folder / "run.json")
    about = {name: run.info[name] for name in _ABOUT}
    # a data set by its name, not by its place on this machine
    about["parameters"] = about["parameters"] | {"dataset": run.info["data"]["name"]}
    arrays = {name: values.numpy() for name, values in run.state.items()}
    about["weights_sha256"] = weights_hash(arrays)
    arrays["about"] = np.array(json.dumps(about))
    with atomic(path) as part, part.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def weights_hash(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of a network's weights: of their names, shapes, types and values.

    Parameters
    ----------
    arrays : mapping
        Weights, betas and thresholds by the names of the network's `state_dict`.
    """
    digest = hashlib.sha256()
    for name, values in sorted(arrays.items()):
        digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def read_network(path: str | Path) -> TrainedNetwork:
    """Read a network that `keep_network` has written.

    Parameters
    ----------
    path : str or Path
        The file, or the name of one in ``results/networks/``, without its ending.

    Raises
    ------
    RunError
        If there is no such file, or it is damaged, or its parameters aren't those of its hash, or
        its weights don't fit the network of its parameters.
    """
    path = path if isinstance(path, Path) else networks_dir() / f"{path}.npz"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.npz"))) or "none"
        raise RunError(f"{path}: no such network. There are {there}.")
    with reading(path, RunError, _RESTORE):
        with np.load(path) as file:
            arrays = dict(file)
        about = json.loads(str(arrays.pop("about")))
        if not isinstance(about, dict) or any(a.dtype.kind not in "bif" for a in arrays.values()):
            raise ValueError("its content is no network")
        about["parameters"] = current_names(about["parameters"])
        if "sure_from" in about:  # its first name
            about["confidence_threshold"] = about.pop("sure_from")
        if run_hash(about["parameters"], about["data"]) != about["hash"]:
            raise ValueError("its parameters or data aren't those of its hash")
        state = {name: torch.from_numpy(values) for name, values in arrays.items()}
        trained = _trained(about, state, path)  # names what is wrong with a single weight
        written = about.get("weights_sha256")  # older files have none
        if written is not None and weights_hash(arrays) != written:
            raise ValueError("its weights aren't those that were written")
        return trained


def load_utterances(trained: TrainedNetwork) -> Subsets:
    """Return the utterances that a network was trained, validated and tested with.

    Augmented copies aren't among them.

    Raises
    ------
    RunError
        If the data set's content is not the run's.
    DatasetError
        If the data set isn't there any more.
    """
    recipe, data = trained.recipe, trained.about["data"]
    if data != data | fingerprint(recipe.files) | {"name": data.get("name")}:
        place = recipe.files[0].parent
        raise RunError(f"{place}: not the data of {trained.file}. Run the training again.")
    parts = load_subsets(recipe.files, recipe.input, recipe.language, recipe.split, recipe.seed)
    training, validation, test = (part and part.of_classes(trained.class_names) for part in parts)
    assert training is not None and validation is not None
    return Subsets(training, validation, test)


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
    return downsample(word, kept.grid, kept.about["parameters"]["language"])
