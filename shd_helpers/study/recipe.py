"""A run's recipe: its settings with their defaults and ranges, and the hash that makes it one."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from shd_helpers.checks import check_settings, later, quoted, setting
from shd_helpers.data.datasets import MOST_COPIES, locate, locate_augmented
from shd_helpers.data.shd_file import LANGUAGES
from shd_helpers.events import (
    Augmentation,
    Downsampling,
    Split,
    Subsets,
    add_augmented_copies,
    load_subsets,
)
from shd_helpers.network import NetworkConfig, Quantization
from shd_helpers.small import small_version
from shd_helpers.study.parameters import check_run_name
from shd_helpers.study.training import TrainConfig


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
    augmented_copies: int = later(0, (0, MOST_COPIES))  # of each training recording
    augmentation: Augmentation = field(default_factory=Augmentation)
    circuit: Quantization = field(default_factory=Quantization)
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
    def from_flat(cls, parameters: Mapping[str, Any]) -> "Recipe":
        """Return the recipe of a run's flat parameters, values by name.

        A setting that isn't there has its default: some notebooks have only some of them, and a run
        that is older than a setting was made without it.

        Parameters
        ----------
        parameters : mapping
            Values by name. Older names are those of other settings: see `identity.current_names`.

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
        groups = {}
        for group, kind in _GROUPS.items():
            names = {field.name for field in fields(kind)}
            given = {name: parameters[name] for name in names & parameters.keys()}
            groups[group] = kind(**given)
        groups["circuit"] = Quantization.named(parameters.get("circuit", ""))
        own = {field.name for field in fields(cls)} - {*_GROUPS}
        given = {name: parameters[name] for name in own & parameters.keys()}
        return cls(**given, **groups)

    @classmethod
    def from_notebook(cls, namespace: Mapping[str, Any]) -> "Recipe":
        """Return the recipe of the settings among a notebook's variables.

        In the small version, the data set is the small one and there are at most two epochs.

        Parameters
        ----------
        namespace : mapping
            The notebook's variables, from ``globals()``. Those that aren't settings are ignored.

        Returns
        -------
        Recipe
            The checked settings.
        """
        given = {name: namespace[name] for name in SETTINGS if name in namespace}
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

    def load(self) -> Subsets:
        """Return the utterances that train (with their augmented copies), validate and test.

        Raises
        ------
        DatasetError
            If the data can't be used; the message names file and remedy.
        """
        parts = load_subsets(self.files, self.input, self.language, self.split, self.seed)
        if self.augmented_copies:
            copies = partial(
                locate_augmented, self.dataset, self.files, copies=self.augmented_copies
            )
            training = add_augmented_copies(parts.training, copies, self.input, self.language)
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
        n_hidden = config.n_hidden * config.ensemble_size
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
# The names of all settings. Notebooks name a circuit, which stands for the settings of its group.
SETTINGS = tuple(
    each.name
    for kind in (Recipe, *(kind for group, kind in _GROUPS.items() if group != "circuit"))
    for each in fields(kind)
    if kind is not Recipe or each.name not in _GROUPS or each.name == "circuit"
)
# Values at which a parameter that joined when there were results changes nothing.
NEUTRAL = {n: f.metadata["neutral"] for n, f in _FIELDS.items() if "neutral" in f.metadata}
# What was a parameter once and is a constant of the study now: it still counts.
CONSTANTS = {"bin_ms": 1.0, "duration_s": 1.0, "lr_gamma": 0.5}


def counts_with(name: str) -> str | None:
    """Return the setting together with which another one counts in a run's hash, or None.

    Parameters
    ----------
    name : str
        Name of a setting, or of a constant.

    Returns
    -------
    str or None
        The name of the other setting.
    """
    return _FIELDS[name].metadata.get("counts_with") if name in _FIELDS else None
