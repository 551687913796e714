"""What the reader of notebooks 1 to 4 ends with: a file that trains, of the reader's functions."""

import json
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

FUNCTIONS = ("pool", "lif", "surrogate_gradient", "train_epoch", "interval_by_speaker")
IMPORTED: dict[str, Any] = {"np": np, "pd": pd, "stats": stats, "torch": torch}
_TEMPLATE = Path(__file__).with_suffix(".txt")


def _folder() -> Path:
    return runs_dir() / "my_network"


def keep(name: str, text: str) -> None:
    """Keep the text of a reader's function for `write`."""
    with atomic(_folder() / f"{name}.txt") as part:
        part.write_text(text, encoding="utf-8")


def write() -> Path:
    """Write ``my_network.py`` below ``runs/``, print whose functions it has, and return its path.

    They are the reader's, or the notebooks' solutions where one is missing.
    """
    found, whose = _solutions(), {}
    for name in FUNCTIONS:
        own = _folder() / f"{name}.txt"
        whose[name] = "yours" if own.is_file() else "the study's"
        if own.is_file():
            found[name] = own.read_text(encoding="utf-8").strip()
    text = _TEMPLATE.read_text(encoding="utf-8")
    text = text.replace("@functions@", "\n\n\n".join(found[name] for name in FUNCTIONS))
    path = _folder() / "my_network.py"
    with atomic(path) as part:
        part.write_text(text, encoding="utf-8")
    print(", ".join(f"{name}: {owner}" for name, owner in whose.items()))
    return path


def _solutions() -> dict[str, str]:
    """Return the solutions in the notebooks, by the exercise's name."""
    cells = [
        cell for path in OF_A_RUN for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
    ]
    texts = ["".join(c["source"]) for c in cells if "solution" in c["metadata"].get("tags", ())]
    texts = [text[text.index("def ") :].replace("_solution", "", 1) for text in texts]
    return {text[4 : text.index("(")]: text for text in texts}


def read() -> TrainedNetwork:
    """Return the network that ``my_network.py`` has trained; RunError, if it hasn't."""
    file, grid = _folder() / "my_network.pt", Downsampling()
    if not file.is_file():
        raise RunError(f"{file}: no such file. Run {file.with_suffix('.py').name} first.")
    size = grid.n_units, len(ENGLISH), grid.step_ms
    network = build_network(NetworkConfig(), *size, torch.Generator())
    network.load_state_dict(network.state_dict() | torch.load(file, weights_only=True))
    about = {"parameters": Recipe().flat()}
    return TrainedNetwork(network, grid, ENGLISH, about, file)
