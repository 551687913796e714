"""A run's recipe: its settings with their defaults and ranges, and the hash that makes it one."""

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from shd_helpers.checks import check_settings, check_whole, later, quoted, setting
from shd_helpers.data.datasets import MOST_COPIES, fingerprint, locate, locate_changed
from shd_helpers.data.shd_file import LANGUAGES
from shd_helpers.events import Augmentation, Downsampling, Parts, Split, add_copies, load_parts
from shd_helpers.network import NetworkConfig, Quantisation
from shd_helpers.small import small_version
from shd_helpers.study.parameters import check_run_name
from shd_helpers.study.training import TrainConfig
from shd_helpers.versions import CHANGES, NUMERICS


@dataclass(frozen=True)
class Recipe:
    """All settings of a run; the defaults are the study's.

    Notebook 3's parameters cell has the same names and values, flat: see `flat`.

    Raises
    ------
    ValueError
        If a value is out of its range, or another one leaves no room for it; the message lists all
        reasons, each with parameter, value and what is allowed.
    """

    dataset: str = "spoken"  # spoken, hd, shd or a folder
    language: str = setting("english", tuple(LANGUAGES))
    input: Downsampling = field(default_factory=Downsampling)
    network: NetworkConfig = field(default_factory=NetworkConfig)
    training: TrainConfig = field(default_factory=TrainConfig)
    changed: int = later(0, (0, MOST_COPIES))  # copies of each training recording, as `Change`
    augmentation: Augmentation = field(default_factory=Augmentation)
    circuit: Quantisation = field(default_factory=Quantisation)
    split: Split = field(default_factory=Split)
    seed: int = setting(0, (0, 2**63 - 1))  # split, initial weights and order of the batches
    run_name: str = "default"  # folder below runs/

    def __post_init__(self) -> None:
        """Refuse what can't be run."""
        if not isinstance(self.dataset, str) or not self.dataset or "\0" in self.dataset:
            raise ValueError(
                f"dataset {quoted(self.dataset)}: must be spoken, hd, shd or the path of a folder"
            )
        check_settings(self)
        check_run_name(self.run_name)
        reasons = self._too_small()
        if self.circuit:
            reasons += self.circuit.refusals(self.network, self.input)
        if reasons:
            raise ValueError("; ".join(reasons))

    @classmethod
    def from_flat(cls, parameters: Mapping[str, object]) -> "Recipe":
        """Return the recipe of a run's flat parameters, values by name.

        What isn't there has its default: some notebooks have only a part, and a run that is older
        than a parameter was made without it. Other names are passed over.
        """

        def given(kind: Any) -> dict[str, Any]:
            names = {each.name for each in fields(kind)} & parameters.keys()
            return {name: parameters[name] for name in names}

        groups = {name: kind(**given(kind)) for name, kind in _GROUPS.items()}
        groups["circuit"] = Quantisation.named(parameters.get("circuit", ""))  # type: ignore[arg-type]
        return cls(**given(cls) | groups)

    @classmethod
    def from_notebook(cls) -> "Recipe":
        """Return the recipe of the settings that the calling notebook's variables hold.

        In the tests' small version it has toy data and two epochs at most.
        """
        given = {**sys._getframe(1).f_globals}
        given["dataset"], given["epochs"] = small_version(given["dataset"], given["epochs"])
        return cls.from_flat(given)

    def flat(self) -> dict[str, Any]:
        """Return the parameters of notebook 3: values by name."""
        found = {}
        for name in (each.name for each in fields(self)):
            value = getattr(self, name)
            if name == "circuit":
                found[name] = value.name
            else:
                found |= vars(value) if name in _GROUPS else {name: value}
        return {name: value for name, value in found.items() if name not in CONSTANTS}

    @property
    def files(self) -> tuple[Path, Path]:
        """Return the data set's two files, made or downloaded if needed; of toy data in smoke."""
        return locate(small_version(self.dataset, 1)[0], self.language)

    def identify_data(self) -> dict[str, str]:
        """Return the name and the hashes of all files that the run reads; see `identify_data`."""
        dataset, _ = small_version(self.dataset, 1)
        return identify_data(self.flat() | {"dataset": dataset})

    def load(self) -> Parts:
        """Return the utterances that train (with their changed copies), validate and test.

        Raises
        ------
        DatasetError
            If the data can't be used; the message names file and remedy.
        """
        parts = load_parts(self.files, self.input, self.language, self.split, self.seed)
        if self.changed:
            copies = partial(locate_changed, self.dataset, self.files, copies=self.changed)
            training = add_copies(parts.training, copies, self.input, self.language)
            parts = parts._replace(training=training)
        return parts

    def _too_small(self) -> list[str]:
        """Return what the utterance has no room for: delays, windows, shifts."""
        found, grid, config = [], self.input, self.network
        n_units, duration_ms = grid.n_units, grid.n_steps * grid.step_ms
        if config.network == "spiking":
            late_ms = config.delays(grid.step_ms)[-1] * grid.step_ms
            if late_ms >= duration_ms:
                found.append(
                    f"n_delays {config.n_delays}: the last copy is {late_ms:g} ms late; the "
                    f"utterance ends after {duration_ms:g} ms"
                )
            if config.kernel_size > n_units:
                found.append(f"kernel_size {config.kernel_size}: the input has {n_units} units")
        moved = self.augmentation
        if moved.shift_units >= n_units:
            found.append(
                f"shift_units {moved.shift_units}: must be below the input's {n_units} units"
            )
        if moved.shift_ms >= duration_ms:
            found.append(
                f"shift_ms {moved.shift_ms:g}: the utterance ends after {duration_ms:g} ms"
            )
        return found

    def check_memory(self) -> None:
        """Raise ValueError if the network can't fit into this machine's memory, at the least.

        What takes most are the states that snntorch's loop keeps: by measurement twice the input
        and 3.5 times the hidden neurons of each step, for the 32 words of a figure; and a weight
        with its gradients.
        """
        grid, config = self.input, self.network
        if config.network != "spiking":
            return
        n_inputs = grid.n_units * config.n_delays
        n_hidden = config.n_hidden * config.members
        if config.kernel_size:
            n_hidden *= (grid.n_units - config.kernel_size) // config.stride + 1
        n_states = 2 * n_inputs + 3.5 * n_hidden
        n_bytes = 4 * 32 * grid.n_steps * n_states + 80 * n_inputs * n_hidden
        there = psutil.virtual_memory().total
        if n_bytes > there:
            raise ValueError(
                f"n_hidden {config.n_hidden}, n_delays {config.n_delays}: with {grid.n_units} "
                f"units x {grid.n_steps} steps (pool_units, pool_steps) a run takes about "
                f"{n_bytes / 1e9:,.0f} GB of memory; this machine has {there / 1e9:,.0f}"
            )


_GROUPS: dict[str, Any] = {
    each.name: each.default_factory
    for each in fields(Recipe)
    if each.default_factory is not MISSING
}
_FIELDS = {each.name: each for kind in (Recipe, *_GROUPS.values()) for each in fields(kind)}
# Values at which a parameter that joined when there were results changes nothing.
NEUTRAL = {n: f.metadata["neutral"] for n, f in _FIELDS.items() if "neutral" in f.metadata}
# What was a parameter once and is a constant of the study now: it still counts.
CONSTANTS = {"bin_ms": 1.0, "duration_s": 1.0, "lr_gamma": 0.5}
_DELAYED = {"delay_ms": 30.0}  # the same with delays
_OF_CIRCUIT = {"weight_scale": "neuron", "headroom": 4.0, "rounding": "floor"}  # and of a circuit
_PLACES = ("dataset", "run_name")  # the data count by their content, where they lie doesn't


def identify_data(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the name and the hashes of all files that a run with these parameters reads.

    Augmented recordings are made where they are missing and can be made: their content is part of
    the run's identity.

    Parameters
    ----------
    parameters : mapping
        Flat parameters of a notebook: `dataset` and, where the notebook has them, `language`,
        `changed` and `protocol`.

    Returns
    -------
    dict of str to str
        See `datasets.fingerprint`.

    Raises
    ------
    DatasetError
        If a file is missing or can't be read.
    ValueError
        If the number of augmented copies is out of its range.
    """
    dataset = parameters["dataset"]
    files = locate(dataset, parameters.get("language", "english"))
    n_copies = parameters.get("changed", 0)
    check_whole("changed", n_copies, 0, MOST_COPIES)
    if n_copies == 0:
        return fingerprint(files)
    # The official protocol trains on utterances of the training file alone.
    is_official = parameters.get("protocol", "official") == "official"
    parts = (0,) if is_official else (0, 1)
    copies = {part: locate_changed(dataset, files, part, n_copies) for part in parts}
    return fingerprint(files, copies)


def run_hash(
    parameters: Mapping[str, object],
    data: Mapping[str, str],
    other_network: Mapping[str, str] | None = None,
) -> str:
    """Return the hash that makes two runs the same run, as 16 hexadecimal digits.

    It is of the parameters, of what the run is trained on, and of `NUMERICS`. The text of the code
    doesn't count, nor does its place: see `shd_helpers.versions`.

    Parameters
    ----------
    parameters : mapping
        All parameters of the notebook.
    data : mapping
        From `identify_data`; the hashes count, the name doesn't.
    other_network : mapping, optional
        From `identity.other_network`, where the network isn't the one that the parameters build.
    """
    given = CONSTANTS | dict(parameters)
    if circuit := given.pop("circuit", ""):
        given |= vars(Quantisation.named(circuit))  # type: ignore[arg-type]

    def is_neutral(name: str) -> bool:
        return name in NEUTRAL and given.get(name, NEUTRAL[name]) == NEUTRAL[name]

    given |= {} if is_neutral("n_delays") else _DELAYED
    given |= {} if is_neutral("mem_bits") else _OF_CIRCUIT
    counted = {}
    for name, value in given.items():
        other = _FIELDS[name].metadata.get("counts_with") if name in _FIELDS else None
        is_idle = is_neutral(name) or (other and is_neutral(other))
        if not is_idle and name not in _PLACES:
            counted[name] = value
    if "changed" in counted:
        counted["changes"] = CHANGES
    contents = {name: value for name, value in data.items() if name != "name"}
    hashed: list[object] = [counted, contents, NUMERICS]
    if other_network:
        hashed.append(dict(other_network))
    text = json.dumps(hashed, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]
