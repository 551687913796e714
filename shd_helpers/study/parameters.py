"""The flat parameters of notebooks, as cells, sweeps and the command line give them."""

import ast
import difflib
import json
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from shd_helpers.checks import quoted
from shd_helpers.paths import check_checkout

_NAME = r"(?!\.)[\w.,=+-]+"
_INJECTED = "# Parameters\n"  # the first line of the cell that papermill inserts
# What papers and libraries call these parameters. Similar spelling wouldn't find them: by its
# letters, learning_rate is closest to learn_beta.
_USUAL_NAMES = {
    "dataset": ("data", "data_set", "corpus"),
    "language": ("lang",),
    "n_hidden": (
        "hidden", "hidden_size", "hidden_units", "hidden_neurons", "num_hidden", "nb_hidden",
        "n_neurons", "width",
    ),
    "beta": ("decay", "leak", "tau", "tau_mem"),
    "surrogate": ("spike_grad", "surrogate_gradient", "surrogate_function"),
    "slope": ("surrogate_slope", "grad_slope"),
    "epochs": ("epoch", "n_epochs", "nb_epochs", "num_epochs", "max_epochs", "n_epoch"),
    "batch_size": ("batch", "bs", "minibatch", "minibatch_size", "nb_batch", "n_batch"),
    "lr": ("learning_rate", "lrate", "eta", "step_size"),
    "lr_step": ("lr_step_size", "scheduler_step", "lr_decay_step", "decay_every"),
    "seed": ("random_seed", "rng_seed", "random_state", "rng", "manual_seed"),
    "network": ("model", "architecture", "net"),
    "n_delays": ("delays", "num_delays", "nb_delays"),
    "kernel_size": ("kernel", "window", "filter_size"),
    "ensemble_size": ("members", "n_members", "ensemble", "n_networks", "n_ensemble"),
    "augmented_copies": ("changed", "copies", "n_copies", "augmented", "augment"),
    "dropout": ("dropout_rate", "p_dropout", "drop", "event_dropout"),
    "circuit": ("bits", "n_bits", "quantization", "quantization"),
    "held_out": ("test_speaker", "left_out", "leave_out"),
    "validation_fraction": ("val_fraction", "val_split", "validation_split", "valid_fraction"),
    "validation_speakers": ("val_speakers",),
    "run_name": ("name", "run", "run_id", "out", "output"),
    "own_epochs": ("my_epochs",),
    "updates": ("n_updates", "steps", "n_steps", "iterations"),
}  # fmt: skip
_PARAMETERS = {usual: name for name, others in _USUAL_NAMES.items() for usual in others}


def notebook_parameters(notebook: Path) -> dict[str, Any]:
    """Return the names and default values of a notebook's parameters cell."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))[
        "cells"
    ]  # papermill's inspection is slow to import
    found = [cell for cell in cells if "parameters" in cell["metadata"].get("tags", ())]
    source = "".join(found[0]["source"]) if found else ""
    return {name: ast.literal_eval(value) for name, value in _assignments(source)}


def _assignments(source: str) -> list[tuple[str, ast.expr]]:
    """Return the names that a cell assigns at its top level, each with its value's expression."""
    return [
        (target.id, line.value)
        for line in ast.parse(source).body
        if isinstance(line, ast.Assign)
        for target in line.targets
        if isinstance(target, ast.Name)
    ]


def check_injected() -> None:
    """Check the values that papermill injected into the notebook that calls this.

    Papermill inserts a cell with its values below the notebook's parameters cell. It only warns of
    a name that the notebook doesn't have, and the notebook would run with its defaults. Each
    notebook calls this right below that cell and before its slow imports, so that a misspelled name
    stops it within a second. Where papermill has inserted nothing, as in JupyterLab, nothing
    happens.

    Raises
    ------
    ImportError
        As `check_checkout` does: the kernel of a copied checkout may import another one's package.
    ValueError
        As `check_parameters` does.
    """
    from IPython import get_ipython  # a notebook's kernel has imported it

    check_checkout(Path.cwd())

    kernel = get_ipython()
    if kernel is None:  # the notebook's code runs as a program
        return
    executed = kernel.user_ns["In"]  # the sources of the cells, in order of execution
    inserted = [i for i, source in enumerate(executed) if source.startswith(_INJECTED)]
    if not inserted:
        return
    defaults: dict[str, Any] = {}
    for source in executed[: inserted[-1]]:
        # In JupyterLab any cell may have been executed before, even one that isn't valid Python
        with suppress(SyntaxError, ValueError):
            defaults |= {name: ast.literal_eval(value) for name, value in _assignments(source)}
    injected = [name for name, _ in _assignments(executed[inserted[-1]])]
    check_parameters({name: kernel.user_ns[name] for name in injected}, defaults)


def suggestion(name: object, names: Iterable[str]) -> str | None:
    """Return the name that was probably meant, or None if none of the names is similar."""
    there = list(names)
    written = str(name).lower().replace("-", "_")  # a key of a YAML file may be a number
    meant = _PARAMETERS.get(written)
    if meant in there:
        return meant
    return next(iter(difflib.get_close_matches(written, there, 1)), None)


def check_parameters(parameters: Mapping[str, object], defaults: Mapping[str, object]) -> None:
    """Refuse what the parameters cell doesn't have; papermill would only warn.

    Raises
    ------
    ValueError
        If a name isn't among the defaults, or a value is of another type than the default (an
        integer may stand for a float). For an unknown name the message suggests the nearest one.
    """
    for name, value in parameters.items():
        if name not in defaults:
            meant = suggestion(name, defaults)
            question = f"did you mean {meant!r}? " if meant else ""
            raise ValueError(
                f"parameter {name!r}: unknown; {question}The parameters are: {', '.join(defaults)}"
            )
        wanted = type(defaults[name])
        if type(value) is not wanted and (type(value), wanted) != (int, float):
            raise ValueError(
                f"parameter {name!r}: {quoted(value)} is of type {type(value).__name__}, "
                f"but the notebook's default {defaults[name]!r} is {wanted.__name__}"
            )


def check_run_name(name: object) -> None:
    """Refuse what is no run folder below ``runs/``, nor a sweep's own ``sweeps/<sweep>/<run>``.

    ValueError, if it is empty, too long, or has anything but letters, digits and ``_.,=+-``.
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
    """Read a number or True/False (``1e-3`` is a number) of a command line; all else stays a text.

    So does everything where the parameter's default is one.
    """
    if isinstance(default, str):
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
