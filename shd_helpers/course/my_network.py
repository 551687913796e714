"""The file with which the reader of notebooks 1 to 4 ends: their functions train a network."""

import ast
import json
import runpy
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats

from shd_helpers.data import LANGUAGES, locate
from shd_helpers.data.shd_file import ENGLISH
from shd_helpers.events import Downsampling
from shd_helpers.files import atomic
from shd_helpers.network import NetworkConfig, build_network
from shd_helpers.paths import OF_A_RUN, runs_dir
from shd_helpers.study.pretrained import TrainedNetwork
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.run_folder import Run, RunError
from shd_helpers.study.threads import one_thread

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


def run(program: Path, earlier: Run, epochs: int) -> pd.DataFrame:
    """Run ``my_network.py`` on the data of an earlier run, and compare the two.

    Parameters
    ----------
    program : Path
        The file, from `write`.
    earlier : Run
        The run to compare with. If its classes aren't digits, the data are the synthetic digits.
    epochs : int
        Epochs to train.

    Returns
    -------
    DataFrame
        One row for seen and one for unseen speakers: mean accuracy ± half of its interval over
        speakers, in percent, of the reader's network and of the earlier run.
    """
    parameters = earlier.info["parameters"]
    has_digits = set(earlier.class_names) <= set(LANGUAGES["both"])
    files = locate(parameters["dataset"] if has_digits else "spoken", "english")
    defined = runpy.run_path(str(program))
    with one_thread():  # several threads wait for each other on a busy machine
        own = defined["main"](*files, epochs)
    predictions = earlier.predictions
    right = (predictions.label == predictions.predicted).to_numpy()
    speaker = predictions.speaker.to_numpy()
    is_seen = np.isin(speaker, earlier.info["seen_speakers"])
    rows = {}
    for name, of in (("seen", is_seen), ("unseen", ~is_seen)):
        scores = {
            "your network": own[name],
            "the run above": defined["interval_by_speaker"](right[of], speaker[of]),
        }
        rows[f"{name} speakers"] = {
            whose: f"{mean:.1f} ± {half:.1f} %" for whose, (mean, half) in scores.items()
        }
    return pd.DataFrame.from_dict(rows, orient="index")


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
