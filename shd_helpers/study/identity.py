"""Give every run a hash, so that a run which exists already isn't executed again.

Training takes minutes, and a sweep has hundreds of runs. So before a sweep executes a run, it
searches its table and the run's folder for a result with the same hash.
Two results are of the same run if their hashes are equal. The hash is made of everything that
decides what the run computes: its settings, its data and the version numbers of the code. The text
of the code doesn't count, so a comment or a moved function outdates no result.

`run_hash` computes the hash by these rules:

1. Every setting counts, by its name and its value. The name of the run folder and the location of
   the data set don't count.
2. Data count by their content: the SHA-256 of each file that the run reads. The data set's name
   doesn't count.
3. `NUMERICS`, the version of what the code computes, counts.
4. A setting that was added after results existed doesn't count at its neutral value, at which it
   changes nothing. So earlier runs keep their hashes. A setting that only matters together with
   such a setting doesn't count either where that one is at its neutral value.
5. Constants of the study count if they were settings once. A constant that came with a setting
   counts where that setting isn't at its neutral value. `duration_s` was a constant for some time:
   parameters of that time lack it, and it counts as the constant's value.
6. A circuit counts by the settings that its name stands for.
7. `WAVEFORMS`, the version of the augmentation of recordings, counts if the run trains on augmented
   recordings.
8. A network that isn't the one that the settings build counts by its description.
9. A setting that was renamed counts under its first name, and a value that was renamed as its first
   value.
10. A setting that refers to an object in a user's file, such as ``my folder/mine.py:boxcar``,
   counts without the folder. The file and the modules beside it that it imports count by their
   content, as data do (rule 2).

An example has these parameters (in notebook 3 there are more) and this data:

    {"dataset": "hd", "run_name": "mine", "language": "german", "slope": 3.0, "seed": 0,
     "n_delays": 1, "ensemble_size": 2}

    {"name": "hd", "train_sha256": "aa", "test_sha256": "bb"}

The rules turn them into this text in JSON, whose keys are sorted:

    [{"bin_ms": 1.0, "duration_s": 1.0, "language": "german", "lr_gamma": 0.5, "members": 2,
      "seed": 0, "slope": 3.0}, {"test_sha256": "bb", "train_sha256": "aa"}, 1]

The first 16 hexadecimal digits of the text's SHA-256 are the run's hash, dd143b37285c3c31. By rule
1, `dataset` and `run_name` are absent. By rule 2, the data's `name` is absent. The 1 at the end is
`NUMERICS` (rule 3). `n_delays` was added later and is absent, because 1 is its neutral value (rule
4). `bin_ms` and `lr_gamma` were settings once, and `duration_s` was a constant when the example's
parameters were written (rule 5). `ensemble_size` was called `members` at first (rule 9).
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shd_helpers.checks import check_whole
from shd_helpers.data.datasets import MOST_COPIES, fingerprint, locate, locate_augmented
from shd_helpers.network import Quantization
from shd_helpers.objects import is_reference, label_of, reference_sha256
from shd_helpers.study.recipe import CONSTANTS, NEUTRAL, RESTORED, counts_with
from shd_helpers.versions import NUMERICS, WAVEFORMS

# Rule 9: the first names of settings that were renamed, by today's names, and the first values.
FIRST_NAMES = {
    "ensemble_size": "members",
    "augmented_copies": "changed",
    "quantized_epochs": "quantised_epochs",
}
FIRST_VALUES = {"protocol": {"leave_one_speaker_out": "leave_one_out"}}

_LOCATIONS = ("dataset", "run_name")  # rule 1
# Rule 5: constants that came with delays (`n_delays`, and `hidden_delays`, which has the same) and
# with circuits (`mem_bits`).
_OF_DELAYS = {"delay_ms": 30.0}
_OF_CIRCUITS = {"weight_scale": "neuron", "headroom": 4.0, "rounding": "floor"}
OBJECTS = ("network", "surrogate", "neuron")  # rule 10: settings that may refer to objects
N_DIGITS = 16  # of a hash: 64 bits, enough for billions of runs


def identify_data(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the name and the hashes of all files that a run with these parameters reads.

    Python files of the user's own are among them: see `identify_objects`.

    Augmented recordings are made where they are missing and can be made: their content is part of
    the run's identity.

    Parameters
    ----------
    parameters : mapping
        Flat parameters of a notebook: `dataset` and, where the notebook has them, `language`,
        `augmented_copies`, `protocol` and settings that refer to objects.

    Returns
    -------
    dict of str to str
        See `datasets.fingerprint` and `identify_objects`.

    Raises
    ------
    DatasetError
        If a file is missing or can't be read.
    ObjectError
        If a setting refers to a Python file that isn't there.
    ValueError
        If the number of augmented copies is out of its range.
    """
    objects = identify_objects(parameters)
    dataset = parameters["dataset"]
    files = locate(dataset, parameters.get("language", "english"))
    copies = locate_copies(dataset, files, parameters)
    return fingerprint(files, copies) | objects


def locate_copies(
    dataset: str, files: tuple[Path, Path], parameters: Mapping[str, Any]
) -> dict[int, list[Path]]:
    """Find the augmented recordings that a run trains on, or make them.

    Parameters
    ----------
    dataset : str
        As for `datasets.locate`.
    files : tuple of Path
        Training file and test file, from `datasets.locate`.
    parameters : mapping
        Flat parameters of a notebook: `augmented_copies` and `protocol`, where it has them.

    Returns
    -------
    dict of int to list of Path
        The copies by the number of the file that they are copies of (0: training file, 1: test
        file). Empty if the run trains on no augmented recordings.

    Raises
    ------
    DatasetError
        If a copy is missing and can't be made.
    ValueError
        If the number of augmented copies is out of its range.
    """
    n_copies = parameters.get("augmented_copies", 0)
    check_whole("augmented_copies", n_copies, 0, MOST_COPIES)
    if n_copies == 0:
        return {}
    # The official protocol trains on utterances of the training file alone.
    is_official = parameters.get("protocol", "official") == "official"
    file_numbers = (0,) if is_official else (0, 1)
    return {number: locate_augmented(dataset, files, number, n_copies) for number in file_numbers}


def references(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return the settings that refer to objects in a user's files.

    Parameters
    ----------
    parameters : mapping
        Flat parameters of a notebook.

    Returns
    -------
    dict of str to str
        The references, such as ``"mine.py:boxcar"``, by the name of the setting.
    """
    return {name: parameters[name] for name in OBJECTS if is_reference(parameters.get(name))}


def identify_objects(parameters: Mapping[str, Any]) -> dict[str, str]:
    """Return what identifies the user's own Python files that a run with these parameters reads.

    Parameters
    ----------
    parameters : mapping
        Flat parameters of a notebook.

    Returns
    -------
    dict of str to str
        `objects_sha256`: the name of each file and the SHA-256 of its code, with spaces between
        them (see `objects.reference_sha256`). Empty if no setting refers to a file.

    Raises
    ------
    ObjectError
        If such a file isn't there.
    """
    files = sorted({reference_sha256(text) for text in references(parameters).values()})
    return {"objects_sha256": " ".join(files)} if files else {}


def run_hash(
    parameters: Mapping[str, Any],
    data: Mapping[str, str],
    other_network: Mapping[str, str] | None = None,
) -> str:
    """Return the hash of a run; runs with equal hashes are the same run.

    The module's docstring lists the rules and has an example.

    Parameters
    ----------
    parameters : mapping
        All parameters of the notebook, under today's names.
    data : mapping
        The SHA-256 of each data file and the data set's name, from `identify_data`.
    other_network : mapping, optional
        From `other_networks.other_network`, if the network isn't the one that the parameters build.

    Returns
    -------
    str
        16 hexadecimal digits.
    """
    settings = _all_settings(parameters)
    counted = {name: value for name, value in settings.items() if _counts(name, settings)}
    if "augmented_copies" in counted:
        counted["changes"] = WAVEFORMS  # rule 7, under the name that it had first
    contents = {name: digest for name, digest in data.items() if name != "name"}
    hashed: list[object] = [_first_names(counted), contents, NUMERICS]
    if other_network:
        hashed.append(dict(other_network))
    text = json.dumps(hashed, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:N_DIGITS]


def _all_settings(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters and the constants that count (rule 5), a circuit's settings for its name.

    The constants of circuits count whenever `mem_bits` does, and only a circuit sets it (rule 6).
    """
    settings = CONSTANTS | RESTORED | dict(parameters)
    for name, text in references(parameters).items():
        settings[name] = label_of(text)
    circuit = settings.pop("circuit", "")
    if circuit:
        settings |= vars(Quantization.named(circuit))
    if not (_is_neutral("n_delays", settings) and _is_neutral("hidden_delays", settings)):
        settings |= _OF_DELAYS
    if not _is_neutral("mem_bits", settings):
        settings |= _OF_CIRCUITS
    return settings


def _counts(name: str, settings: Mapping[str, Any]) -> bool:
    """Return whether a setting is part of the hash (rules 1 and 4)."""
    if name in _LOCATIONS or _is_neutral(name, settings):
        return False
    needed = counts_with(name)
    return needed is None or not _is_neutral(needed, settings)


def _is_neutral(name: str, settings: Mapping[str, Any]) -> bool:
    """Return whether a setting was added later and has the value that changes nothing.

    A run that lacks such a setting is older than it, so it was made with the neutral value.
    """
    if name not in NEUTRAL:
        return False
    return settings.get(name, NEUTRAL[name]) == NEUTRAL[name]


def _first_names(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings under the names, and with the values, that hashes are of (rule 9)."""
    renamed = {}
    for name, value in settings.items():
        first_value = value
        if name in FIRST_VALUES:
            first_value = FIRST_VALUES[name].get(value, value)
        renamed[FIRST_NAMES.get(name, name)] = first_value
    return renamed


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
        Today's values by the first ones. Empty if none was renamed.
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
