"""A trained network, with the input that it needs and what is known about its training.

`load_network` takes it from a run folder, which holds everything about a run. `load_pretrained`
takes it from one ``.npz`` file with only what is needed to use the network: its weights by name,
and the entry `about`. That is a text in JSON with the run's parameters, the hashes of its data, its
scores, and the hash of all this. ``python -m evidence.networks`` saves such files.

`other_network` notices networks that a run's settings don't build. A run's hash contains its
settings, and `build_network` builds the study's network from these. A user may train another
network, such as one with a subclass of snntorch's `Leaky`. Its run then has a description of the
network in ``run.json``, and another hash than the settings alone. So no sweep takes its result for
that of the study's network, and nothing builds the wrong network for it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from snntorch import Leaky, SpikingNeuron
from torch import nn

from shd_corpus.checks import DatasetError, check_choice
from shd_corpus.class_names import LANGUAGES
from shd_corpus.encoders import CHANNELS, COCHLEA
from shd_corpus.files import reading
from shd_corpus.recording_list import RecordingError
from shd_corpus.shd_file import Utterances
from shd_engine.adaptive import AdaptiveLeaky
from shd_helpers.data import fingerprint
from shd_helpers.events import Downsampling, Events, Subsets, downsample, load_subsets
from shd_helpers.network import SpikingNetwork, build_network
from shd_helpers.network.engine import one_thread
from shd_helpers.paths import IN_CHECKOUT, networks_dir, resolve, runs_dir
from shd_helpers.study.recipe import Recipe, references
from shd_helpers.study.run_folder import INFO, REMEDY, Run, RunError, read_run, recipe_of
from shd_helpers.user_code import UserCodeError, class_name, find_file, reference_sha256


def own_network(recipe: Recipe, n_classes: int) -> tuple[nn.Module, torch.Generator]:
    """Build the untrained network of a recipe; return also the generator that drew its weights."""
    grid = recipe.input
    # Some neurons draw constants. A run builds its network with this generator, before all else.
    generator = torch.Generator().manual_seed(recipe.seed)
    return (
        build_network(recipe.network, grid.n_units, n_classes, grid.step_ms, generator),
        generator,
    )


def with_layers_of(module: nn.Module, recipe: Recipe, events: Events) -> SpikingNetwork:
    """Return the study's network that consists of a module's own layers.

    The module has the layers `fc1`, `lif1`, `fc2` and `lif2`, and returns output spikes and
    membranes. The two share their weights, so whoever trains the module trains the network. A run
    folder can keep the network, and other notebooks can draw its spikes. Some of the utterances go
    through both: RunError, if the class scores differ.
    """
    network, _ = own_network(recipe, len(events.class_names))
    assert isinstance(network, SpikingNetwork)
    for name in ("fc1", "lif1", "fc2", "lif2"):
        setattr(network, name, getattr(module, name))
    frames = torch.from_numpy(events.to_frames(range(min(4, len(events)))))
    with torch.no_grad(), one_thread():
        spikes, _ = module(frames)
        is_same = torch.equal(spikes.sum(0), network(frames))
    if not is_same:
        raise RunError(
            "Your network has other class scores than the study's network with the same layers. "
            "Only the latter has a run folder: train yours with `study.fit`, or with "
            "`judge`, as docs/compare.md describes."
        )
    return network


def described(model: nn.Module) -> dict[str, str]:
    """Describe a network by its modules and tensors, without the values of its weights."""
    description = {
        name or "the network": class_name(module) for name, module in model.named_modules()
    }
    if isinstance(model, SpikingNetwork):
        description["delays"] = str(list(model.delays))
        description["readout"] = model.readout
        if any(delays != (0,) for delays in model.layer_delays[1:]):
            description["hidden delays"] = str([list(each) for each in model.layer_delays[1:]])
    for name, module in model.named_modules():
        if isinstance(module, SpikingNeuron):
            reset = getattr(module, "state_function", None)
            description[f"{name}.spike_grad"] = _surrogate_of(module)
            description[f"{name}.state_function"] = getattr(reset, "__name__", class_name(reset))
    learned = {name for name, _ in model.named_parameters()}
    for name, values in model.state_dict().items():
        shape = " x ".join(map(str, values.shape)) or "one number"
        module = model.get_submodule(name.rpartition(".")[0])
        if name in learned:
            description[name] = f"learned, {shape}"
        elif isinstance(module, AdaptiveLeaky) and name.endswith("left"):
            description[name] = f"drawn, {shape}, for {module.adapt_ms:g} ms"
        elif isinstance(module, SpikingNeuron):
            description[name] = f"constant, {values.flatten().tolist()}"
        else:  # such as the means of batch normalization
            description[name] = f"counted, {shape}"
    return description


def _surrogate_of(neuron: SpikingNeuron) -> str:
    """Return the name and slope of one of the package's surrogates, or another function's name."""
    function = neuron.spike_grad
    if hasattr(function, "surrogate"):
        return f"{function.surrogate}, slope {function.slope}"
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', type(function).__module__)}.{name}"


def other_network(model: nn.Module, recipe: Recipe, n_classes: int) -> dict[str, str] | None:
    """Describe a network if it isn't the one that a recipe builds."""
    description = described(model)
    return None if description == described(own_network(recipe, n_classes)[0]) else description


OTHER = "other"  # the class of sounds that are no digit, which a network may have as its last one
SHA256 = "sha256"  # in `about`: the hash of all else in the file
OTHER_DATA = "also"  # in `about["data"]`: the names of data sets that train but don't test
RESTORE = (
    "Restore it: git checkout HEAD -- results."
    if IN_CHECKOUT
    else "If it came with the package, install that again."
)


class TrainedNetwork(NamedTuple):
    """A trained network, the input that it needs, and where it comes from."""

    network: nn.Module
    grid: Downsampling  # how spikes become the network's input
    class_names: tuple[str, ...]
    about: dict  # from the run's `run.json`: parameters, data, hash, scores, ...
    file: Path  # the `run.json` or the `.npz` file that `about` comes from

    @property
    def name(self) -> str:
        """Return the run's name, or that of the file that the network was saved in."""
        return self.file.parent.name if self.file.name == INFO else self.file.stem

    @property
    def encoder(self) -> str:
        """Return which encoder turns sounds into the network's input."""
        return self.about["parameters"].get("encoder", COCHLEA)

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
            digits of a language, or of both, apart from a class *other* for all other
            sounds.

        Returns
        -------
        list of int
            Indices into `class_names`, in the order of the digits; all of them if the classes
            aren't all digits of a language. A class *other* isn't among them.

        Raises
        ------
        ValueError
            If the network has no classes of the language, or it is none of these.
        """
        if not self._has_digits:
            return list(range(len(self.class_names)))
        check_choice("language", language, tuple(LANGUAGES))
        digits = LANGUAGES[language]
        if not set(digits) <= set(self.class_names):
            known = ", ".join(self.class_names)
            raise ValueError(
                f"{self.file.name}: has no classes for the language {language}, only {known}. "
                "Choose another language or another network"
            )
        return [self.class_names.index(digit) for digit in digits]

    @property
    def _has_digits(self) -> bool:
        """Whether the classes are all digits of a language or of both, perhaps with *other*."""
        digits = set(self.class_names) - {OTHER}
        return any(digits == set(names) for names in LANGUAGES.values())

    @property
    def other_class(self) -> list[int]:
        """The index of the class *other*, if a network of digits has one."""
        is_other = [self._has_digits and name == OTHER for name in self.class_names]
        return np.flatnonzero(is_other).tolist()

    def speaking(self, language: str) -> "TrainedNetwork":
        """Return the same network without the output neurons of other languages.

        Parameters
        ----------
        language : str
            ``english``, ``german`` or ``both``.

        Returns
        -------
        TrainedNetwork
            A copy whose classes are the language's digits, and *other* if the network has it; the
            same classes if they aren't digits.

        Raises
        ------
        ValueError
            If the network has no classes of the language, or isn't one of the study's kinds.
        """
        classes = self.classes_of(language) + self.other_class
        network = self.network
        if not isinstance(network, SpikingNetwork) or type(network.layers[-1][1]) is not Leaky:
            raise ValueError(
                f"{self.file.name}: can't select the classes of a language, because the tensors of "
                f"a {type(network).__name__} don't say to which class they belong"
            )
        outputs = (f"fc{network.n_layers}", f"lif{network.n_layers}")
        state = {
            # a single number is for all classes
            name: values[classes] if name.rpartition(".")[0] in outputs and values.dim() else values
            for name, values in network.state_dict().items()
        }
        names = tuple(self.class_names[number] for number in classes)
        # Whoever has loaded the network trusts it.
        return build_trained(self.about, state, self.file, names, trust=True)


def build_trained(
    about: dict,
    state: Mapping[str, torch.Tensor],
    file: Path,
    class_names: Sequence[str] | None = None,
    *,
    trust: bool = False,
) -> TrainedNetwork:
    """Build the network of a run's parameters and load its weights."""
    named = references(about["parameters"])
    if named and not trust:
        name, text = next(iter(named.items()))
        raise RunError(
            f"{file}: its {name} is {text}, and this Python file would run with your rights. If "
            "you trust it, load the network in Python, and pass trust=True to load_pretrained or "
            "load_network."
        )
    recipe = recipe_of(about)
    if class_names is None:
        class_names = about["class_names"]
    check_own(about, file)
    try:
        _check_user_code(about, file)
        network, _ = own_network(recipe, len(class_names))
    except UserCodeError as error:
        raise RunError(
            f"{file}: its network needs a user's own object, which can't be loaded. {error}"
        ) from error
    _load_weights(network, state, file)
    return TrainedNetwork(network, recipe.input, tuple(class_names), about, file)


def check_own(about: Mapping[str, Any], file: Path) -> None:
    """Check that a run's network is the one that its parameters build."""
    if "other_network" in about:
        raise RunError(
            f"{file}: this run trained a network that isn't the study's own (`other_network` "
            "there describes it), so it can't be built from the run's parameters. Build it with "
            "your own code, and load the run's state_dict.pt into it."
        )


def _check_user_code(about: Mapping[str, Any], file: Path) -> None:
    """Raise RunError if a file with a user's object isn't the one that the run trained with."""
    stored = about.get("data", {}).get("user_code_sha256")
    if stored is None:  # no such object, or none was stored
        return
    for text in references(about["parameters"]).values():
        if reference_sha256(text) not in stored:
            raise RunError(
                f"{find_file(text)}: this file, or one that it imports, has changed since the "
                f"network of {file} was trained. Restore it, or train again."
            )


def _load_weights(network: nn.Module, state: Mapping[str, torch.Tensor], file: Path) -> None:
    """Load a state_dict; RunError, if it has other tensors than the network."""
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        is_run = file.name == INFO
        weights_file = file.with_name("state_dict.pt") if is_run else file
        remedy = f"{REMEDY} again." if is_run else RESTORE
        problems = " ".join(str(error).split())
        raise RunError(
            f"{weights_file}: the state_dict doesn't fit the network of its parameters "
            f"({problems}). It comes from another network, or from another version of this code. "
            f"{remedy}"
        ) from error


def load_utterances(trained: TrainedNetwork) -> Subsets:
    """Load the utterances that a network was trained, validated and tested with."""
    recipe = trained.recipe
    files = recipe.obtain_files()
    # The hashes decide, because the data set's name may have changed.
    found = fingerprint(files)
    expected = trained.about["data"]
    if any(found[name] != expected.get(name) for name in ("train_sha256", "test_sha256")):
        raise RunError(
            f"{files[0].parent}: not the data of {trained.file}. Restore that data, or train again."
        )
    subsets = load_subsets(files, recipe.input, recipe.language, recipe.split, recipe.seed)
    # A network may have a last class *other*, of which this data set has no utterances.
    names = [name for name in trained.class_names if name in subsets.training.class_names]
    return Subsets._make(part if part is None else part.of_classes(names) for part in subsets)


def check_channels(trained: TrainedNetwork) -> None:
    """Check that a network can classify sounds: its input has the channels of its encoder."""
    encoder = trained.encoder
    if trained.grid.n_channels != CHANNELS[encoder]:
        raise ValueError(
            f"{trained.name}: its input has {trained.grid.n_channels} channels, but the {encoder} "
            f"that encodes sounds has {CHANNELS[encoder]}. Take a network that was trained on "
            "recordings."
        )


def input_of(trained: TrainedNetwork, times: np.ndarray, units: np.ndarray) -> Events:
    """Downsample the spikes of one utterance to a network's input.

    Shapes: `times` (spikes,), `units` (spikes,).
    """
    check_channels(trained)
    utterance = Utterances(
        times=times.astype(np.float16),
        units=units.astype(np.uint16),
        offsets=np.array([0, len(times)]),
        labels=np.array([0]),
        speakers=np.array([0]),
        keys=trained.class_names,
        n_channels=trained.grid.n_channels,
    )
    # `language` would choose among the digits of both languages: the utterance must not be lost.
    try:
        return downsample(utterance, trained.grid, "both")
    except DatasetError as error:
        raise RecordingError(
            f"Most of the sound comes after {trained.grid.duration_s:g} s, where the network's "
            "input ends. Say the digit faster."
        ) from error


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
    with reading(run.folder / INFO, RunError, f"{REMEDY} again."):
        return build_trained(run.info, run.state, run.folder / INFO, trust=trust)


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
        remedy = (
            f"Choose one of these: {there}."
            if there
            else "`load_pretrained` takes the path of a file, or a name in results/networks. Of a "
            "run's folder, use study.load_network(study.read_run(folder))."
        )
        raise RunError(f"{path}: no such network. {remedy}")
    with reading(path, RunError, RESTORE):
        with np.load(path) as file:
            arrays = dict(file)
        about = json.loads(str(arrays.pop("about")))
        if not isinstance(about, dict):
            raise ValueError("it doesn't contain a network")
        if content_hash(about, arrays) != about.get(SHA256):
            raise ValueError("its content has changed since it was written")
        state = {name: torch.from_numpy(values) for name, values in arrays.items()}
        return build_trained(about, state, path, trust=trust)


def load_trained(name: str) -> TrainedNetwork:
    """Load the network of a run, by its name or folder, or one that `load_pretrained` finds."""
    for folder in (runs_dir() / name, resolve(name)):
        if (folder / INFO).is_file():
            return load_network(read_run(folder))
    return load_pretrained(name)
