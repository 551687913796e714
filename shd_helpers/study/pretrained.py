"""Pretrained networks: save a trained network in one small file, and load it again.

A run folder holds everything about a run. A pretrained network is one ``.npz`` file with only what
is needed to use the network: its weights by name, and the entry `about`. That is a text in JSON
with the run's parameters, the hashes of its data, its scores and the hash of its weights.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from snntorch import Leaky

from shd_helpers.data.datasets import fingerprint
from shd_helpers.data.shd_file import LANGUAGES, N_CHANNELS, Utterances
from shd_helpers.events import Downsampling, Events, Subsets, downsample, load_subsets
from shd_helpers.files import atomic, reading
from shd_helpers.network import ConvolutionalNetwork, Ensemble, Network, SpikingNetwork
from shd_helpers.objects import ObjectError
from shd_helpers.paths import IN_CHECKOUT, networks_dir
from shd_helpers.study.identity import current_names, run_hash
from shd_helpers.study.other_networks import differences, own_network
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.run_folder import REMEDY, Run, RunError, class_names_of, recipe_of

_RESTORE = "Restore it: git checkout HEAD -- results."
if not IN_CHECKOUT:
    _RESTORE = "If it came with the package, install that again."
_ABOUT = ("parameters", "seed", "data", "hash", "seen_speakers", "versions", "scores")
_ABOUT_DATA = ("class_names", "n_channels")  # older runs lack them: see `class_names_of`


class TrainedNetwork(NamedTuple):
    """A trained network, the input that it needs, and where it comes from."""

    network: Network
    grid: Downsampling  # how spikes become the network's input
    class_names: tuple[str, ...]
    about: dict  # from the run's `run.json`: parameters, data, hash, scores, ...
    file: Path  # the `run.json` or the `.npz` file that `about` comes from

    @property
    def name(self) -> str:
        """Return the run's name, or that of the file that the network was saved in."""
        return self.file.parent.name if self.file.name == "run.json" else self.file.stem

    @property
    def recipe(self) -> Recipe:
        """Return the run's settings."""
        return recipe_of(self.about)

    def classes_of(self, language: str) -> list[int]:
        """Return the indices of the classes that are a language's digits.

        Parameters
        ----------
        language : str
            ``english``, ``german`` or ``both``. It matters only to a network whose classes are all
            digits of a language, or of both.

        Returns
        -------
        list of int
            Indices into `class_names`, in the order of the digits; all of them if the classes
            aren't all digits of a language.

        Raises
        ------
        ValueError
            If the network has no classes of the language.
        """
        has_languages = any(set(self.class_names) == set(names) for names in LANGUAGES.values())
        if not has_languages:
            return list(range(len(self.class_names)))
        digits = LANGUAGES[language]
        if not set(digits) <= set(self.class_names):
            known = ", ".join(self.class_names)
            raise ValueError(
                f"{self.file.name}: has no classes for the language {language}, only {known}. "
                "Choose another language or another network"
            )
        return [self.class_names.index(digit) for digit in digits]

    def speaking(self, language: str) -> "TrainedNetwork":
        """Return the same network without the output neurons of other languages.

        Parameters
        ----------
        language : str
            ``english``, ``german`` or ``both``.

        Returns
        -------
        TrainedNetwork
            A copy whose classes are the language's digits; the same classes if they aren't digits.

        Raises
        ------
        ValueError
            If the network has no classes of the language, or isn't one of the study's kinds.
        """
        classes = self.classes_of(language)
        output_modules = _output_modules(self.network)
        if not output_modules:
            raise ValueError(
                f"{self.file.name}: can't select the classes of a language, because the tensors of "
                f"a {type(self.network).__name__} don't say to which class they belong"
            )
        state = dict(self.network.state_dict())
        for name, values in state.items():
            has_classes = values.dim() > 0  # a single number is for all classes
            if name.rpartition(".")[0] in output_modules and has_classes:
                state[name] = values[classes]
        names = tuple(self.class_names[number] for number in classes)
        return _trained(self.about, state, self.file, names)


def _output_modules(network: Network) -> tuple[str, ...]:
    """Return the names of the modules that have a row for each class; empty if unknown."""
    if isinstance(network, Ensemble):
        names: list[str] = []
        for i, member in enumerate(network.members):
            of_member = _output_modules(member)
            if not of_member:
                return ()
            names += [f"members.{i}.{name}" for name in of_member]
        return tuple(names)
    if isinstance(network, ConvolutionalNetwork):
        return ("fc",)
    if isinstance(network, SpikingNetwork) and type(network.layers[-1][1]) is Leaky:
        return (f"fc{network.n_layers}", f"lif{network.n_layers}")
    return ()


def _trained(
    about: dict,
    state: Mapping[str, torch.Tensor],
    file: Path,
    class_names: Sequence[str] | None = None,
) -> TrainedNetwork:
    """Build the network of a run's parameters and load its `state_dict`.

    Without `class_names`, its classes are those of the run.
    """
    recipe = recipe_of(about)
    if class_names is None:
        class_names = class_names_of(about)
    _check_own(about, recipe, file)
    try:
        network = own_network(recipe, len(class_names))
    except ObjectError as error:
        raise RunError(
            f"{file}: its network needs a user's own object, which can't be loaded. {error}"
        ) from error
    _check_fit(network, state, file)
    network.load_state_dict(state)
    _check_values(network, state)
    return TrainedNetwork(network, recipe.input, tuple(class_names), about, file)


def _check_values(network: Network, state: Mapping[str, torch.Tensor]) -> None:
    """Raise ValueError if a weight, beta or threshold has a value that no network can have."""
    learned = {name for name, _ in network.named_parameters()}
    for name, values in state.items():
        # A threshold that is set may be infinite, so that no membrane reaches it. One that is
        # learned must be finite, but may become negative.
        is_set_threshold = name.endswith("threshold") and name not in learned
        if values.isnan().any() or (values.isinf().any() and not is_set_threshold):
            raise ValueError(f"{name} has values that aren't finite")
        if is_set_threshold and (values <= 0).any():
            raise ValueError(f"{name} has values of 0 or less")


def _check_own(about: Mapping[str, Any], recipe: Recipe, file: Path) -> None:
    """Raise RunError if a run's network isn't the one that its parameters build."""
    if other := about.get("other_network"):
        different = differences(other, recipe, len(class_names_of(about)))
        raise RunError(
            f"{file}: this run trained a network that isn't the study's own ({different}), so it "
            "can't be built from the run's parameters. Build it with your own code, and load the "
            "run's state_dict.pt into it."
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
            shape = tuple(state[name].shape)
            problems.append(f"{name} has the shape {shape} instead of {tuple(values.shape)}")
    if not problems:
        return
    weights_file = file
    remedy = _RESTORE
    if file.name == "run.json":
        weights_file = file.with_name("state_dict.pt")
        remedy = f"{REMEDY} again."
    raise RunError(
        f"{weights_file}: the state_dict doesn't fit the network of its parameters: "
        f"{', '.join(problems)}. It comes from another network, or from another version of "
        f"this code. {remedy}"
    )


def load_network(run: Run) -> TrainedNetwork:
    """Return the trained network of a run folder.

    Parameters
    ----------
    run : Run
        From `run_folder.read_run`.

    Returns
    -------
    TrainedNetwork
        The network with the weights after the last epoch.

    Raises
    ------
    RunError
        If its parameters or its weights are no network's, or are those of a network that isn't the
        study's own. The message says what differs.
    """
    with reading(run.folder / "run.json", RunError, f"{REMEDY} again."):
        return _trained(run.info, run.state, run.folder / "run.json")


def save_pretrained(run: Run, path: Path) -> None:
    """Save a run's trained network in one compressed file, which `load_pretrained` reads.

    Parameters
    ----------
    run : Run
        A complete run.
    path : Path
        The ``.npz`` file to write.

    Raises
    ------
    RunError
        If the network isn't the study's own: `load_pretrained` couldn't build it.
    """
    _check_own(run.info, recipe_of(run.info), run.folder / "run.json")
    about = {name: run.info[name] for name in _ABOUT}
    about |= {name: run.info[name] for name in _ABOUT_DATA if name in run.info}
    # The run may name the data set by its folder on this machine, which others don't have.
    about["parameters"] = about["parameters"] | {"dataset": run.info["data"]["name"]}
    arrays = {name: values.numpy() for name, values in run.state.items()}
    about["weights_sha256"] = weights_hash(arrays)
    arrays["about"] = np.array(json.dumps(about))
    with atomic(path) as unfinished, unfinished.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def weights_hash(arrays: Mapping[str, np.ndarray]) -> str:
    """Return the SHA-256 of a network's weights: of their names, shapes, types and values.

    Parameters
    ----------
    arrays : mapping
        Weights, betas and thresholds by the names of the network's `state_dict`.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name, values in sorted(arrays.items()):
        digest.update(f"{name} {values.dtype.str} {values.shape}\n".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def load_pretrained(path: str | Path) -> TrainedNetwork:
    """Load a network that `save_pretrained` has saved.

    Parameters
    ----------
    path : str or Path
        The file, or the name of one in `paths.networks_dir`, without its ending.

    Returns
    -------
    TrainedNetwork
        The network with its weights, betas and thresholds.

    Raises
    ------
    RunError
        If there is no such file, or it is damaged, or its parameters aren't those of its hash, or
        its weights don't fit the network of its parameters.
    """
    if isinstance(path, str):
        path = networks_dir() / f"{path}.npz"
    if not path.is_file():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.npz")))
        remedy = f"Choose one of these: {there}." if there else "There are none in that folder."
        raise RunError(f"{path}: no such network. {remedy}")
    with reading(path, RunError, _RESTORE):
        about, arrays = _read_file(path)
        state = {name: torch.from_numpy(values) for name, values in arrays.items()}
        trained = _trained(about, state, path)  # names what is wrong with a single weight
        written = about.get("weights_sha256")  # older files have none
        if written is not None and weights_hash(arrays) != written:
            raise ValueError("its weights have changed since they were written")
        return trained


def _read_file(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return what is said about a pretrained network, under today's names, and its weights."""
    with np.load(path) as file:
        arrays = dict(file)
    about = json.loads(str(arrays.pop("about")))
    is_numeric = all(values.dtype.kind in "bif" for values in arrays.values())
    if not isinstance(about, dict) or not is_numeric:
        raise ValueError("its content is no network")
    about["parameters"] = current_names(about["parameters"])
    if "sure_from" in about:  # its first name
        about["confidence_threshold"] = about.pop("sure_from")
    if run_hash(about["parameters"], about["data"]) != about["hash"]:
        raise ValueError("its parameters or data have changed, because its hash is another one")
    return about, arrays


def load_utterances(trained: TrainedNetwork) -> Subsets:
    """Load the utterances that a network was trained, validated and tested with.

    Augmented copies aren't among them.

    Parameters
    ----------
    trained : TrainedNetwork
        The network.

    Returns
    -------
    Subsets
        The utterances of the network's classes.

    Raises
    ------
    RunError
        If the data set's content is not the run's.
    DatasetError
        If the data set isn't there any more.
    """
    recipe = trained.recipe
    data = trained.about["data"]
    today = fingerprint(recipe.files) | {"name": data.get("name")}  # its name may have changed
    if data | today != data:
        folder = recipe.files[0].parent
        raise RunError(
            f"{folder}: not the data of {trained.file}. Restore that data, or train again."
        )
    parts = load_subsets(recipe.files, recipe.input, recipe.language, recipe.split, recipe.seed)
    training, validation, test = (part and part.of_classes(trained.class_names) for part in parts)
    assert training is not None and validation is not None
    return Subsets(training, validation, test)


def input_of(trained: TrainedNetwork, times: np.ndarray, units: np.ndarray) -> Events:
    """Downsample the spikes of one utterance to a network's input.

    Parameters
    ----------
    trained : TrainedNetwork
        The network.
    times : (spikes,) array
        Times of the cochlea's spikes in seconds, ascending.
    units : (spikes,) array
        Their channels, 0 to 699.

    Returns
    -------
    Events
        One utterance. Its label and its speaker are placeholders, because both are unknown.

    Raises
    ------
    ValueError
        If the network's input has another number of channels than the cochlea.
    """
    if trained.grid.n_channels != N_CHANNELS:
        raise ValueError(
            f"{trained.name}: its input has {trained.grid.n_channels} channels, but the cochlea "
            f"that encodes sounds has {N_CHANNELS}. Take a network that was trained on recordings."
        )
    utterance = Utterances(
        times=times.astype(np.float16),
        units=units.astype(np.uint16),
        offsets=np.array([0, len(times)]),
        labels=np.array([0]),
        speakers=np.array([0]),
        keys=trained.class_names,
    )
    # `language` would choose among the digits of both languages: the utterance must not be lost.
    return downsample(utterance, trained.grid, "both")
