"""What makes two runs the same run: what it is trained on, its parameters, and `NUMERICS`.

The text of the code doesn't count, nor does its place: see `shd_helpers.versions`.
"""

import ast
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from shd_helpers.checks import quoted
from shd_helpers.paths import NOTEBOOKS
from shd_helpers.versions import NUMERICS

Settings = TypeVar("Settings")

# Say where data lie and where results go. The data count by their content.
_PLACES = {"dataset", "run_name"}
# Parameters that the study did not have from its beginning, each with the value at which it changes
# nothing. They count elsewhere only, so that a new one leaves earlier runs valid. The values are
# fixed for good: they are not the defaults, which may change.
NEUTRAL = {
    "network": "spiking",
    "readout": "spikes",
    "learn_beta": False,
    "learn_threshold": False,
    "n_delays": 1,
    "kernel_size": 0,
    "shift_units": 0,
    "shift_ms": 0.0,
    "stretch": 0.0,
    "dropout": 0.0,
    "stop_ms": 0.0,
    "adapt_ms": 0.0,
    "fc1_bits": 0,
    "fc2_bits": 0,
    "mem_bits": 0,
    "quantised_epochs": 0,
    "protocol": "official",
    "validation_speakers": "",
    "score_test": True,
}
# Parameters that are gone: kept networks tell their values, all of them neutral.
_GONE = {
    "blend",
    "counts",
    "device",
    "engine",
    "hidden_dropout",
    "l1_spikes",
    "mismatch",
    "n_layers",
    "reset",
    "spurious",
}
# Parameters that are constants of the study now.
_CONSTANT = {"bin_ms": 1.0, "duration_s": 1.0, "lr_gamma": 0.5, "delay_ms": 30.0}
# The same of a circuit; where there is none they change nothing.
_OF_CIRCUIT = {"weight_scale": "neuron", "headroom": 4.0, "rounding": "floor"}
# A parameter that changes nothing while another one is neutral.
_IDLE = {"delay_ms": "n_delays", "stride": "kernel_size", "held_out": "protocol"}
_IDLE["leak"] = "mem_bits"
_CIRCUIT = re.compile(r"(\d+)-(\d+)-(\d+)( product)?( tuned)?")
_LATER = {*NEUTRAL, *_IDLE}
_NAME = r"(?!\.)[\w.,=+-]+"


def with_circuit(parameters: Mapping[str, object]) -> dict[str, Any]:
    """Return a run's parameters with the name of its circuit spread to the settings it stands for.

    ``"3-8-12 product tuned"``: bits of a weight of the first layer, of the second, and of a
    membrane; the leak is a product, else a shift; the last ten epochs train with few-bit weights,
    else none. An empty name is no circuit. Runs from before circuits had names have the settings.

    Raises
    ------
    ValueError
        If this is no circuit's name.
    """
    spread = dict(parameters)
    name = spread.pop("circuit", "")
    if not name:
        return spread
    if not (found := _CIRCUIT.fullmatch(str(name))):
        raise ValueError(
            f"circuit {quoted(name)}: must be like 3-8-12, 3-8-12 tuned, 3-8-12 product or "
            "3-8-12 product tuned; empty for none"
        )
    fc1, fc2, mem, product, tuned = found.groups()
    spread |= {"fc1_bits": int(fc1), "fc2_bits": int(fc2), "mem_bits": int(mem)}
    spread |= {"leak": "product" if product else "shift"}
    return spread | {"quantised_epochs": 10 if tuned else 0}


def run_hash(parameters: Mapping[str, object], data: Mapping[str, str]) -> str:
    """Return the hash that makes two runs the same run, as 16 hexadecimal digits.

    Parameters
    ----------
    parameters : mapping
        All parameters of the notebook.
    data : mapping
        From `datasets.fingerprint`; the hashes count, the name doesn't.
    """
    parameters = _CONSTANT | with_circuit(parameters)
    counted = {
        name: value
        for name, value in parameters.items()
        if name not in _PLACES | _GONE | {*_OF_CIRCUIT}
        and not _is_neutral(name, parameters)
        and not (name in _IDLE and _is_neutral(_IDLE[name], parameters))
    } | (_OF_CIRCUIT if parameters.get("mem_bits") else {})
    contents = {name: value for name, value in data.items() if name != "name"}
    text = json.dumps([counted, contents, NUMERICS], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _is_neutral(name: str, parameters: Mapping[str, object]) -> bool:
    return name in NEUTRAL and parameters.get(name, NEUTRAL[name]) == NEUTRAL[name]


def notebook_parameters(notebook: Path) -> dict[str, Any]:
    """Return the names and default values of a notebook's parameters cell."""
    cells = json.loads(notebook.read_text())["cells"]  # papermill's inspection is slow to import
    found = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", ())]
    lines = ast.parse("".join(found[0]["source"])).body if found else []
    return {
        target.id: ast.literal_eval(line.value)
        for line in lines
        if isinstance(line, ast.Assign)
        for target in line.targets
        if isinstance(target, ast.Name)
    }


def parameters_of(notebook: str, namespace: Mapping[str, object]) -> dict[str, Any]:
    """Return the values that the names in a notebook's parameters cell have now.

    Parameters
    ----------
    notebook : str
        Name of the notebook, without folder and ending.
    namespace : mapping
        The notebook's variables: ``globals()``.
    """
    names = notebook_parameters(NOTEBOOKS / f"{notebook}.ipynb")
    return {name: namespace[name] for name in names}


def settings(kind: type[Settings], parameters: Mapping[str, object]) -> Settings:
    """Return the settings of one kind among a run's flat parameters.

    Parameters
    ----------
    kind : type
        `Downsampling`, `Split`, `NetworkConfig`, `TrainConfig`, `Quantisation` or `Augmentation`.
    parameters : mapping
        All parameters; those with the names of the kind's fields are taken. A run that is older
        than a parameter had its neutral value.

    Raises
    ------
    ValueError
        If a value is out of its range.
    """
    later = {f.name: NEUTRAL.get(f.name, f.default) for f in fields(kind) if f.name in _LATER}  # type: ignore[arg-type]
    values = later | _CONSTANT | with_circuit(parameters)
    return kind(**{field.name: values[field.name] for field in fields(kind)})  # type: ignore[arg-type]


def check_parameters(parameters: Mapping[str, object], defaults: Mapping[str, object]) -> None:
    """Refuse a name or type that the parameters cell doesn't have; papermill would only warn.

    Parameters
    ----------
    parameters : mapping
        Values by name.
    defaults : mapping
        From `notebook_parameters`.

    Raises
    ------
    ValueError
        If a name is unknown, or of no circuit, or a value is of another type than the default (an
        integer may stand for a float).
    """
    for name, value in parameters.items():
        if name not in defaults:
            raise ValueError(f"parameter {name!r}: unknown; there are {', '.join(defaults)}")
        wanted = type(defaults[name])
        if type(value) is not wanted and (type(value), wanted) != (int, float):
            raise ValueError(
                f"parameter {name!r}: {quoted(value)} is of type {type(value).__name__}, "
                f"but the notebook's default {defaults[name]!r} is {wanted.__name__}"
            )
    with_circuit(parameters)


def check_run_name(name: object) -> None:
    """Refuse what is no run folder below ``runs/``.

    Parameters
    ----------
    name : object
        A name, or a sweep's own ``sweeps/<sweep>/<configuration>``.

    Raises
    ------
    ValueError
        If the name is empty, too long, or has anything but letters, digits and ``_.,=+-``.
    """
    parts = name.split("/") if isinstance(name, str) else []
    is_one = len(parts) == 1 or (len(parts) == 3 and parts[0] == "sweeps")
    is_short = all(len(part.encode(errors="replace")) <= 200 for part in parts)
    if not is_one or not is_short or not all(re.fullmatch(_NAME, part) for part in parts):
        raise ValueError(
            f"run_name {quoted(name)}: must be letters, digits and _ . , = + - (200 at most, no "
            "dot at the beginning); sweeps call theirs sweeps/<sweep>/<run>"
        )


def as_run_name(text: str) -> str:
    """Return a text with "-" in the place of what a run's name can't have."""
    return re.sub(r"^\.|[^\w.,=+-]", "-", text)


def literal(text: str, default: object = None) -> Any:
    """Read a number or True/False (``1e-3`` is a number); all else, and what has a text, is text.

    Parameters
    ----------
    text : str
        From a command line.
    default : object
        The parameter's default; where it is a text, nothing is read.
    """
    if isinstance(default, str):
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
