"""A run's recipe: all its settings, with defaults, ranges, and what they need of each other.

`run_hash` identifies a run by these settings and its data.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any

from shd_corpus.checks import quoted
from shd_corpus.class_names import LANGUAGES
from shd_corpus.encoders import CHANNELS, COCHLEA
from shd_corpus.shd_file import N_CHANNELS
from shd_helpers.data import NAMED, fingerprint, n_channels_of, obtain
from shd_helpers.events import Augmentation, Downsampling, Split, Subsets, load_subsets
from shd_helpers.network import NetworkConfig, Quantization
from shd_helpers.paths import check_run_name
from shd_helpers.settings import check_settings, setting, setting_names
from shd_helpers.user_code import is_reference, label_of, reference_sha256
from shd_helpers.versions import NUMERICS


@dataclass(frozen=True)
class TrainConfig:
    """Settings of the training; by default, Adam with a learning rate that falls in steps.

    The defaults are the study's.

    Parameters
    ----------
    epochs : int
        The number of passes over the training utterances.
    batch_size : int
        The number of utterances in a batch.
    lr : float
        The learning rate of Adam.
    lr_step : int
        The number of epochs after which the learning rate falls to half.

    Raises
    ------
    ValueError
        If a value is out of its range. The message names it.
    """

    epochs: int = setting(30, (1, 100_000))
    batch_size: int = setting(8, (1, 100_000))
    lr: float = setting(1e-3, (1e-9, 1))
    lr_step: int = setting(10, (1, 100_000))

    def __post_init__(self) -> None:
        """Check that each value is in its range."""
        check_settings(self)


@dataclass(frozen=True)
class Recipe:
    """All settings of a run; the defaults are the study's.

    The parameters cell of evidence/train.ipynb has the same names and values, flat: see `flat`.

    Raises
    ------
    ValueError
        If a value is out of its range, or doesn't fit with another one. The message has parameter,
        value and what is allowed. It names the first value that is out of its range, or all values
        that don't fit with others.
    """

    dataset: str = "digits"  # one of `data.NAMED`, or a folder
    encoder: str = setting(COCHLEA, tuple(CHANNELS))
    language: str = setting("english", tuple(LANGUAGES))
    input: Downsampling = field(default_factory=Downsampling)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainConfig = field(default_factory=TrainConfig)
    augmentation: Augmentation = field(default_factory=Augmentation)
    circuit: Quantization = field(default_factory=Quantization)
    split: Split = field(default_factory=Split)
    seed: int = setting(0, (0, 2**63 - 1))  # split, initial weights and order of the batches
    run_name: str = "default"  # folder below runs/

    def __post_init__(self) -> None:
        """Check that such a run is possible."""
        if not isinstance(self.dataset, str) or not self.dataset or "\0" in self.dataset:
            raise ValueError(
                f"dataset {quoted(self.dataset)}: must be {', '.join(NAMED)} or a folder's path"
            )
        check_settings(self)
        check_run_name(self.run_name)
        reasons = self._too_large_for_input()
        reasons += self.circuit.refusals(self.network, self.input) if self.circuit else []
        if reasons:
            raise ValueError("; ".join(reasons))

    @classmethod
    def from_flat(cls, parameters: Mapping[str, Any], n_channels: int = N_CHANNELS) -> "Recipe":
        """Return the recipe of a run's flat parameters, values by name.

        A setting that isn't there has its default, because some notebooks have only some of them.

        Parameters
        ----------
        parameters : mapping
            Values by name.
        n_channels : int
            Number of channels of the data set, which isn't a setting: see `data.n_channels_of`.

        Returns
        -------
        Recipe
            The checked settings.

        Raises
        ------
        ValueError
            If a name isn't that of a setting, or a value is out of its range.
        """
        for name in parameters:
            if name not in SETTINGS:
                there = ", ".join(SETTINGS)
                raise ValueError(f"setting {name!r}: unknown. The settings are: {there}")
        groups: dict[str, Any] = {
            group: kind(**_own_settings(kind, parameters))
            for group, kind in _GROUPS.items()
            if kind is not Downsampling
        }
        groups["input"] = Downsampling.of_channels(
            n_channels, **_own_settings(Downsampling, parameters)
        )
        groups["circuit"] = Quantization.named(parameters.get("circuit", ""))
        # `network` and `circuit` are names of settings and of groups: the groups are passed on.
        return cls(**(_own_settings(cls, parameters) | groups))

    @classmethod
    def from_notebook(cls, namespace: Mapping[str, Any]) -> "Recipe":
        """Return the recipe of the settings among a notebook's variables.

        Parameters
        ----------
        namespace : mapping
            The notebook's variables, from ``globals()``. Those that aren't settings are ignored.

        Returns
        -------
        Recipe
            The checked settings.

        Raises
        ------
        ValueError
            As `from_flat` does, or if the data set's folder holds no data set, or papermill
            injected a name or a value that the notebook doesn't have.
        """
        from shd_helpers.study.parameters import check_injected  # no module needs it but notebooks

        check_injected()
        given = {name: namespace[name] for name in SETTINGS if name in namespace}
        return cls.from_flat(given, n_channels_of(given["dataset"], given.get("encoder", COCHLEA)))

    def flat(self) -> dict[str, Any]:
        """Return the settings as notebooks have them: values by name, without groups.

        Returns
        -------
        dict
            A circuit is given by its name, which stands for its settings.
        """
        parameters: dict[str, Any] = {}
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name == "circuit":
                parameters["circuit"] = value.name
            elif each.name in _GROUPS:
                parameters |= {name: getattr(value, name) for name in setting_names(value)}
            else:
                parameters[each.name] = value
        return parameters

    def obtain_files(self) -> tuple[Path, Path]:
        """Find the data set's training file and test file, and get them if they are missing.

        ``digits`` is unpacked, ``hd`` is downloaded and encoded, and the files
        of ``shd`` are downloaded. This may take minutes or hours.

        Returns
        -------
        tuple of Path
            The training file and the test file.

        Raises
        ------
        DatasetError
            If there are no such files, or they can't be made or downloaded.
        """
        return obtain(self.dataset, self.encoder)

    def load(self) -> Subsets:
        """Load the utterances that train, validate and test.

        Returns
        -------
        Subsets
            The utterances, downsampled.

        Raises
        ------
        DatasetError
            If the data can't be used; the message names file and remedy.
        """
        return load_subsets(self.obtain_files(), self.input, self.language, self.split, self.seed)

    def _too_large_for_input(self) -> list[str]:
        """Return which settings are too large for the units and steps, each with a reason."""
        n_units = self.input.n_units
        step_ms = self.input.step_ms
        duration_ms = self.input.n_steps * step_ms
        kernel_size = self.network.kernel_size
        shift_units = self.augmentation.shift_units
        shift_ms = self.augmentation.shift_ms
        reasons = []
        if self.network.network == "spiking":
            if kernel_size > n_units:
                reasons.append(f"kernel_size {kernel_size}: the input has {n_units} units")
            later = f"hidden_delays {self.network.hidden_delays!r}"
            named_delays = [
                (f"n_delays {self.network.n_delays}", self.network.delays(step_ms)),
                *((later, delays) for delays in self.network.later_layer_delays(step_ms)),
            ]
            reasons += [
                f"{name}: the last copy is {delays[-1] * step_ms:g} ms late; the utterance ends "
                f"after {duration_ms:g} ms"
                for name, delays in named_delays
                if delays[-1] * step_ms >= duration_ms
            ]
        if shift_units >= n_units:
            reasons.append(f"shift_units {shift_units}: must be below the input's {n_units} units")
        if shift_ms >= duration_ms:
            reasons.append(f"shift_ms {shift_ms:g}: the utterance ends after {duration_ms:g} ms")
        return reasons


# The groups of settings: the name of the field of `Recipe`, and its class.
_GROUPS: dict[str, Any] = {
    each.name: each.default_factory
    for each in fields(Recipe)
    if each.default_factory is not MISSING
}


def _own_settings(kind: type, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return those of a run's flat parameters that are fields of a dataclass."""
    return {name: parameters[name] for name in setting_names(kind) if name in parameters}


DEFAULTS = Recipe().flat()  # of all settings, by the names that notebooks have
SETTINGS = tuple(DEFAULTS)


_LOCATIONS = ("dataset", "run_name")
REFERRING = ("network", "surrogate", "neuron")  # settings that may refer to code of the user's
N_DIGITS = 16  # of a hash: 64 bits, enough for billions of runs


def obtain_and_identify(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the name and the hashes of all files that a run with these parameters reads.

    Python files of the user's own are among them: see `identify_user_code`.
    """
    objects = identify_user_code(parameters)
    files = obtain(parameters["dataset"], parameters.get("encoder", COCHLEA))
    return fingerprint(files) | objects


def references(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that refer to objects in a user's files."""
    return {name: parameters[name] for name in REFERRING if is_reference(parameters.get(name))}


def identify_user_code(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return what identifies the user's own Python files that a run with these parameters reads."""
    files = sorted({reference_sha256(text) for text in references(parameters).values()})
    return {"user_code_sha256": " ".join(files)} if files else {}


def run_hash(
    parameters: Mapping[str, Any],
    data: Mapping[str, str],
    other_network: Mapping[str, str] | None = None,
) -> str:
    """Return the hash of a run, so that a run which exists already isn't executed again.

    Training takes minutes, and a sweep has hundreds of runs. So before a sweep executes a run, it
    searches its table and the run's folder for a result with the same hash. The text of the code
    doesn't count, so a comment or a moved function outdates no result. These four things count:

    1. The settings that aren't at their defaults. The name of the run folder and the location of
       the data set don't count. A setting that refers to an object in a user's file, such as
       ``my folder/mine.py:boxcar``, counts without the folder.
    2. The content of the data: the SHA-256 of each file that the run reads, among them the user's
       own Python files, and the modules beside these that they import. The data set's name doesn't
       count.
    3. `NUMERICS`, the version of what the code computes. Whoever changes a default increases it.
    4. The description of the network, if it isn't the one that the settings build.

    An example has these parameters (a run has more) and this data:

        {"dataset": "hd", "run_name": "mine", "language": "german", "slope": 3.0, "seed": 0}

        {"name": "hd", "train_sha256": "aa", "test_sha256": "bb"}

    The hash is made of this text in JSON, whose keys are sorted. `seed` is absent, because 0 is its
    default:

        [{"language": "german", "slope": 3.0}, {"test_sha256": "bb", "train_sha256": "aa"}, 1]

    The first 16 hexadecimal digits of the text's SHA-256 are the run's hash, 680f3aa18d0d72aa. The
    1 at the end is `NUMERICS`.
    """
    labels = {name: label_of(text) for name, text in references(parameters).items()}
    counted = {
        name: value
        for name, value in {**parameters, **labels}.items()
        if name not in _LOCATIONS and not (name in DEFAULTS and value == DEFAULTS[name])
    }
    contents = {name: digest for name, digest in data.items() if name != "name"}
    hashed: list[object] = [counted, contents, NUMERICS]
    if other_network:
        hashed.append(dict(other_network))
    text = json.dumps(hashed, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:N_DIGITS]
