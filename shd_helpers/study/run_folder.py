"""Read run folders: everything that a run leaves, as `one_run.RunWriter` wrote it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from filelock import FileLock

from shd_corpus.class_names import LANGUAGES
from shd_corpus.files import reading, sha256
from shd_helpers.study.recipe import SETTINGS, Recipe

if TYPE_CHECKING:  # seconds to import, and `shd_helpers.hear` and sweeps don't need both
    import pandas as pd
    import torch

REMEDY = "Run 03_model_training with this run_name"
INFO = "run.json"  # lists the other files of the run, with their hashes


class RunError(ValueError):
    """A run folder that can't be read or written; the message names the folder and the remedy."""


def lock_beside(path: Path, ending: str = "lock") -> FileLock:
    """Return the lock of whoever makes a file or folder, a hidden file beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.with_name(f".{path.name}.{ending}"))


@dataclass(frozen=True)
class Run:
    """The content of a run folder."""

    folder: Path
    info: dict  # run.json
    epochs: "pd.DataFrame"  # a row for each epoch
    weights: dict[str, np.ndarray]  # "fc1/weight": (epochs + 1, out, in), "fc1/bias", ...
    state: "dict[str, torch.Tensor]"  # of the trained network: "fc1.weight", its betas, ...
    predictions: "pd.DataFrame"  # a row for each test utterance; without a test, validation
    examples: dict[str, dict[str, np.ndarray]]  # by class name: see training.record_examples

    @property
    def source(self) -> str:
        """Return the line that names the data under a figure."""
        parameters = self.info["parameters"]
        data = self.info["data"]["name"]
        classes = classes_in_words(self.class_names, parameters["language"])
        return f"data: {data}, {classes}; seed {parameters['seed']}"

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the names of the classes, in the order of the network's outputs."""
        return tuple(self.info["class_names"])


def recipe_of(info: Mapping[str, Any]) -> Recipe:
    """Return the settings of a run, for the channels that its data set has."""
    # Pretrained networks name settings that are no more, and have their defaults.
    named = {name: value for name, value in info["parameters"].items() if name in SETTINGS}
    return Recipe.from_flat(named, info["n_channels"])


def classes_in_words(class_names: Sequence[str], language: str) -> str:
    """Return which classes a run has, for the line under a figure."""
    is_language = tuple(class_names) == LANGUAGES[language]
    return language if is_language else f"{len(class_names)} classes"


def read_run(folder: str | Path) -> Run:
    """Read a run folder.

    Parameters
    ----------
    folder : str or Path
        The run folder.

    Returns
    -------
    Run
        Its content.

    Raises
    ------
    RunError
        If there is no run in it, or one of its files is damaged, perhaps because another process
        was just replacing them.
    """
    import pandas as pd
    import torch

    folder = Path(folder)
    info = read_info(folder)

    with reading(folder / "run.json", RunError, f"{REMEDY} again."):
        epochs = pd.DataFrame(info["epochs"])
    with _as_written(folder / "state_dict.pt", info) as path:
        state = torch.load(path, weights_only=True)
    examples: dict[str, dict[str, np.ndarray]] = {}
    weights = _arrays(folder / "weights.h5", info)
    texts = ("label", "predicted", "integer_predicted")
    with _as_written(folder / "predictions.csv", info) as path:
        # The German digit "null" is a word, not a missing value.
        table = pd.read_csv(path, dtype=dict.fromkeys(texts, str), keep_default_na=False)
        predictions = table.astype({"speaker": np.int64})
    for path_in_file, array in _arrays(folder / "examples.h5", info).items():
        class_name, _, name = path_in_file.partition("/")
        examples.setdefault(class_name, {})[name] = array
    return Run(folder, info, epochs, weights, state, predictions, examples)


def read_info(folder: Path) -> dict[str, Any]:
    """Read the `run.json` of a run folder."""
    path = folder / INFO
    with reading(path, RunError, f"{REMEDY} again."):
        try:
            info = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(f"{path}: no such file. {REMEDY} first.") from None
        if not isinstance(info, dict) or not isinstance(info.get("parameters"), dict):
            raise ValueError("it doesn't contain a run")
    return info


@contextmanager
def _as_written(path: Path, info: Mapping[str, Any]) -> Iterator[Path]:
    """Check that a file is the one that the run wrote, and let the block read it.

    RunError, if it isn't, or if the block finds it damaged.
    """
    hashes = info["files"]  # by the names of the run's files
    if path.name not in hashes:
        # An earlier run in this folder may have left a file of this name.
        raise RunError(f"{path}: not a file of this run, which wrote none. {REMEDY} again.")
    with reading(path, RunError, f"{REMEDY} again."):
        if hashes[path.name] != sha256(path):
            raise ValueError("its content isn't what the run wrote")
        yield path


def _arrays(path: Path, info: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the arrays of an HDF5 file by their names, such as ``fc1/weight``."""
    names: list[str] = []
    with _as_written(path, info), h5py.File(path) as file:
        file.visit(names.append)  # groups, too
        return {name: file[name][:] for name in names if isinstance(file[name], h5py.Dataset)}
