"""The file with which the reader of notebooks 1 to 4 ends: their functions train a network."""

import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from shd_corpus.class_names import ENGLISH, LANGUAGES
from shd_corpus.files import atomic
from shd_course.kept_functions import folder, texts
from shd_helpers.data import obtain
from shd_helpers.events import Downsampling
from shd_helpers.network import NetworkConfig, build_network
from shd_helpers.network.engine import one_thread
from shd_helpers.study.recipe import Recipe
from shd_helpers.study.run_folder import Run, RunError
from shd_helpers.study.trained_network import TrainedNetwork

FUNCTIONS = (
    "pool",
    "surrogate_gradient",
    "TwoLayerSNN",
    "train_epoch",
    "interval_by_speaker",
)
_TEMPLATE = Path(__file__).with_suffix(".txt")


def write() -> Path:
    """Write ``my_network.py`` below ``runs/``, and print whose functions it contains.

    The functions are the reader's, or the notebooks' solutions where one is missing. A file that
    the reader has changed is kept.
    """
    of_reader = texts(FUNCTIONS)
    template = _TEMPLATE.read_text(encoding="utf-8")
    text = template.replace("@functions@", "\n\n\n".join(of_reader[name] for name in FUNCTIONS))
    path = folder() / "my_network.py"
    as_written = path.with_name(".my_network.as_written")
    if path.exists() and not _is_unchanged(path, as_written):
        print(f"{path.name} has changes of yours, so it is kept. Rename it to get a new one.")
        return path
    for file in (as_written, path):
        with atomic(file) as unfinished:
            unfinished.write_text(text, encoding="utf-8")
    return path


def _is_unchanged(path: Path, as_written: Path) -> bool:
    """Return whether a file is still as `write` wrote it."""
    return as_written.exists() and path.read_bytes() == as_written.read_bytes()


def run(program: Path, earlier: Run, epochs: int) -> pd.DataFrame:
    """Run ``my_network.py`` on the data of an earlier run, and compare the two.

    If the classes of the earlier run aren't digits, the data are the study's digits. The table has
    the mean accuracy of seen speakers ± half of its interval, and that of each unseen speaker.
    """
    parameters = earlier.info["parameters"]
    has_digits = set(earlier.class_names) <= set(LANGUAGES["both"])
    files = obtain(parameters["dataset"] if has_digits else "digits", "english")
    defined = runpy.run_path(str(program))
    with one_thread():  # several threads wait for each other on a busy machine
        own = defined["main"](*files, epochs)
    predictions = earlier.predictions
    right = (predictions.label == predictions.predicted).to_numpy()
    speaker = predictions.speaker.to_numpy()
    is_seen = np.isin(speaker, earlier.info["seen_speakers"])
    seen = defined["interval_by_speaker"](right[is_seen], speaker[is_seen])
    unseen = 100 * pd.Series(right[~is_seen]).groupby(speaker[~is_seen]).mean()
    columns = {}
    for name, (mean, half, others) in (("your network", own), ("the run above", (*seen, unseen))):
        columns[name] = {"seen speakers": f"{mean:.1f} ± {half:.1f} %"}
        for each, accuracy in others.items():
            columns[name][f"unseen speaker {each}"] = f"{accuracy:.0f} %"
    return pd.DataFrame(columns)


def read() -> TrainedNetwork:
    """Return the network that the reader's ``my_network.py`` has trained."""
    file = folder() / "my_network.pt"
    grid = Downsampling()
    if not file.is_file():
        raise RunError(f"{file}: no such file. Run {file.with_suffix('.py').name} first.")
    size = grid.n_units, len(ENGLISH), grid.step_ms
    network = build_network(NetworkConfig(), *size, torch.Generator())
    network.load_state_dict(network.state_dict() | torch.load(file, weights_only=True))
    about = {"parameters": Recipe().flat()}
    return TrainedNetwork(network, grid, ENGLISH, about, file)
