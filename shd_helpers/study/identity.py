"""What makes two runs the same run: a hash of settings, data and version numbers.

Two runs are the same run if their hashes are equal. A sweep then reuses the first result. The text
of the code doesn't count, so that a comment or a moved function outdates no result.

Rules
-----
1. Every setting counts, by its name and its value. Where the data and the run folder are doesn't.
2. Data count by their content: the SHA-256 of each file that the run reads.
3. `NUMERICS`, the version of what the code computes, counts.
4. A setting that was added after results existed counts only if it isn't at the value that changes
   nothing, so that earlier runs keep their hashes. One that belongs to such a setting counts only
   together with it.
5. A constant of the study counts if it was a setting once, and so does a constant that came with
   a setting, if that setting is used.
6. A circuit counts by the settings that its name stands for.
7. If the run trains on augmented recordings, `WAVEFORMS`, the version of their
   augmentation, counts.
8. A network that the settings don't build counts by its description.
9. A setting that was renamed counts under its first name, and so do its values.

Example
-------
The study's network on the data set ``d1`` (training file) and ``d2`` (test file) with an ensemble
of two networks has the hash of this text in JSON, whose keys are sorted:

    [{"batch_size": 128, "beta": 0.95, "bin_ms": 1.0, ..., "members": 2, ..., "slope": 2.0, ...},
     {"test_sha256": "d2", "train_sha256": "d1"},
     1]

``bin_ms`` is there by rule 5 and ``members`` by rule 9. ``n_delays`` isn't, by rule 4, because it
is 1. The last entry is `NUMERICS`.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from shd_helpers.checks import check_whole
from shd_helpers.data.datasets import MOST_COPIES, fingerprint, locate, locate_augmented
from shd_helpers.network import Quantization
from shd_helpers.small import small_version
from shd_helpers.study.recipe import CONSTANTS, NEUTRAL, counts_with
from shd_helpers.versions import NUMERICS, WAVEFORMS

# The first names of settings that were renamed, and of their values. Hashes are of these.
FIRST_NAMES = {
    "ensemble_size": "members",
    "augmented_copies": "changed",
    "quantized_epochs": "quantised_epochs",
}
FIRST_VALUES = {"protocol": {"leave_one_speaker_out": "leave_one_out"}}

_LOCATIONS = ("dataset", "run_name")
# Constants that count together with a setting.
_OF_DELAYS = {"delay_ms": 30.0}
_OF_CIRCUITS = {"weight_scale": "neuron", "headroom": 4.0, "rounding": "floor"}


def current_names(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters under today's names, with today's values.

    Run folders, tables and pretrained networks that are older than a name have the first one.

    Parameters
    ----------
    parameters : mapping
        Values by name, as an older version of the study may have written them.

    Returns
    -------
    dict
        The same values, in the same order.
    """
    current = {first: name for name, first in FIRST_NAMES.items()}
    renamed = {}
    for name, value in parameters.items():
        today = current.get(name, name)
        values = current_values(today)
        renamed[today] = values.get(value, value) if values else value
    circuit = renamed.get("circuit")
    if isinstance(circuit, str):
        renamed["circuit"] = current_circuit(circuit)
    return renamed


def current_values(name: str) -> dict[Any, Any]:
    """Return the values of a setting that were renamed: the first name's value, and today's.

    Parameters
    ----------
    name : str
        Today's name of a setting.

    Returns
    -------
    dict
        Today's values by the first ones; empty if none was renamed.
    """
    return {first: today for today, first in FIRST_VALUES.get(name, {}).items()}


def current_circuit(name: str) -> str:
    """Return today's name of a circuit: quantization-aware training was called *tuned*.

    Parameters
    ----------
    name : str
        A circuit's name, such as ``"3-8-12 tuned"``.

    Returns
    -------
    str
        Today's name, such as ``"3-8-12 QAT"``.
    """
    return name.replace(" tuned", " QAT")


def _first_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings under the names, and with the values, that hashes are of (rule 9)."""
    renamed = {}
    for name, value in settings.items():
        first_value = value
        if name in FIRST_VALUES:
            first_value = FIRST_VALUES[name].get(value, value)
        renamed[FIRST_NAMES.get(name, name)] = first_value
    return renamed


def identify_data(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the name and the hashes of all files that a run with these parameters reads.

    Augmented recordings are made where they are missing and can be made: their content is part of
    the run's identity.

    Parameters
    ----------
    parameters : mapping
        Flat parameters of a notebook: `dataset` and, where the notebook has them, `language`,
        `augmented_copies` and `protocol`.

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
    dataset, _ = small_version(parameters["dataset"], 1)
    files = locate(dataset, parameters.get("language", "english"))
    n_copies = parameters.get("augmented_copies", 0)
    check_whole("augmented_copies", n_copies, 0, MOST_COPIES)
    if n_copies == 0:
        return fingerprint(files)
    # The official protocol trains on utterances of the training file alone.
    is_official = parameters.get("protocol", "official") == "official"
    file_numbers = (0,) if is_official else (0, 1)
    copies = {number: locate_augmented(dataset, files, number, n_copies) for number in file_numbers}
    return fingerprint(files, copies)


def run_hash(
    parameters: Mapping[str, Any],
    data: Mapping[str, str],
    other_network: Mapping[str, str] | None = None,
) -> str:
    """Return the hash that makes two runs the same run, as 16 hexadecimal digits.

    The module's docstring lists the rules.

    Parameters
    ----------
    parameters : mapping
        All parameters of the notebook, under today's names.
    data : mapping
        From `identify_data`. The hashes count, the name doesn't.
    other_network : mapping, optional
        From `other_networks.other_network`, if the network isn't the one that the parameters build.

    Returns
    -------
    str
        The first 16 digits of a SHA-256.
    """
    settings = _all_settings(parameters)
    counted = {name: value for name, value in settings.items() if _counts(name, settings)}
    counted = _first_names(counted)
    if "changed" in counted:
        counted["changes"] = WAVEFORMS
    contents = {name: digest for name, digest in data.items() if name != "name"}
    hashed: list[object] = [counted, contents, NUMERICS]
    if other_network:
        hashed.append(dict(other_network))
    text = json.dumps(hashed, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _all_settings(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parameters with all constants that count (rule 5), circuits resolved (rule 6)."""
    settings = CONSTANTS | dict(parameters)
    circuit = settings.pop("circuit", "")
    if circuit:
        settings |= vars(Quantization.named(circuit))
    if not _is_neutral("n_delays", settings):
        settings |= _OF_DELAYS
    if not _is_neutral("mem_bits", settings):
        settings |= _OF_CIRCUITS
    return settings


def _counts(name: str, settings: Mapping[str, Any]) -> bool:
    """Return whether a setting counts (rules 1 and 4)."""
    if name in _LOCATIONS or _is_neutral(name, settings):
        return False
    other = counts_with(name)
    return not (other and _is_neutral(other, settings))


def _is_neutral(name: str, settings: Mapping[str, Any]) -> bool:
    """Return whether a setting that was added later has the value that changes nothing."""
    return name in NEUTRAL and settings.get(name, NEUTRAL[name]) == NEUTRAL[name]
