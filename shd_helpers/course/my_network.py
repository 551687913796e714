"""The file with which the reader of notebooks 1 to 4 ends: their functions train a network."""

import ast
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats

from shd_helpers.data.shd_file import ENGLISH
from shd_helpers.events import Downsampling
from shd_helpers.files import atomic
from shd_helpers.network import NetworkConfig, build_network
from shd_helpers.paths import OF_A_RUN, runs_dir
from shd_helpers.study.pretrained import TrainedNetwork
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.run_folder import RunError

FUNCTIONS = (
    "pool",
    "lif",
    "surrogate_gradient",
    "TwoLayerSNN",
    "train_epoch",
    "interval_by_speaker",
)
IMPORTED: dict[str, Any] = {"np": np, "pd": pd, "stats": stats, "torch": torch}
_TEMPLATE = Path(__file__).with_suffix(".txt")


def _folder() -> Path:
    return runs_dir() / "my_network"


def keep(name: str, text: str) -> None:
    """Keep the text of a reader's function for `write`.

    Parameters
    ----------
    name : str
        The exercise's name.
    text : str
        The function's source.
    """
    with atomic(_folder() / f"{name}.txt") as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def write() -> Path:
    """Write ``my_network.py`` below ``runs/``, and print whose functions it contains.

    The functions are the reader's, or the notebooks' solutions where one is missing.

    Returns
    -------
    Path
        The file.
    """
    texts = _texts(FUNCTIONS)
    template = _TEMPLATE.read_text(encoding="utf-8")
    text = template.replace("@functions@", "\n\n\n".join(texts[name] for name in FUNCTIONS))
    path = _folder() / "my_network.py"
    with atomic(path) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    return path


def functions(*names: str) -> list[Callable]:
    """Return what the reader wrote in earlier notebooks, and print whose it is.

    Parameters
    ----------
    *names : str
        Names of exercises.

    Returns
    -------
    list of callable
        The reader's functions, or the notebooks' solutions where one is missing.
    """
    defined = dict(IMPORTED)
    for text in _texts(names).values():
        exec(text, defined)
    return [defined[name] for name in names]


def namespace() -> dict[str, Any]:
    """Return the names that a reader's function may use in ``my_network.py``.

    Returns
    -------
    dict
        The imported packages, and the study's `lif`, from which the network is built.
    """
    names = dict(IMPORTED)
    exec(_solutions()["lif"], names)
    return names


def _texts(names: Sequence[str]) -> dict[str, str]:
    """Return the texts of functions by their names, and print whose they are."""
    solutions = _solutions()
    texts = {}
    owners = {}
    for name in names:
        own = _folder() / f"{name}.txt"
        if own.is_file():
            owners[name] = "yours"
            texts[name] = own.read_text(encoding="utf-8").strip()
        else:
            owners[name] = "the study's"
            texts[name] = solutions[name]
    print(", ".join(f"{name}: {owner}" for name, owner in owners.items()))
    return texts


def _solutions() -> dict[str, str]:
    """Return the solutions in the notebooks, by the exercise's name."""
    solutions = {}
    for path in OF_A_RUN:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if "solution" in cell["metadata"].get("tags", ()):
                source = "".join(cell["source"])
                (definition,) = ast.parse(source).body
                assert isinstance(definition, ast.FunctionDef | ast.ClassDef)
                text = ast.get_source_segment(source, definition) or ""
                text = text.replace("_solution", "", 1)
                solutions[definition.name.removesuffix("_solution")] = text
    return solutions


def read() -> TrainedNetwork:
    """Return the network that the reader's ``my_network.py`` has trained.

    Returns
    -------
    TrainedNetwork
        For English digits, with the study's settings.

    Raises
    ------
    RunError
        If ``my_network.py`` hasn't run yet.
    """
    file = _folder() / "my_network.pt"
    grid = Downsampling()
    if not file.is_file():
        raise RunError(f"{file}: no such file. Run {file.with_suffix('.py').name} first.")
    size = grid.n_units, len(ENGLISH), grid.step_ms
    network = build_network(NetworkConfig(), *size, torch.Generator())
    network.load_state_dict(network.state_dict() | torch.load(file, weights_only=True))
    about = {"parameters": Recipe().flat()}
    return TrainedNetwork(network, grid, ENGLISH, about, file)
