"""Save what a sweep's runs predicted in a file beside its table, by the hashes of the runs.

A sweep with ``keep_predictions: true`` saves one row for each utterance of each run, which
`study.tables` reads.
"""

import gzip
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from shd_corpus.files import atomic, reading
from shd_helpers.study.run_folder import REMEDY, RunError, read_info, read_predictions
from shd_helpers.study.tables import PREDICTED, TableError, locked, read_runs

LOWEST = float(np.finfo(np.float16).min)
SMALLEST = float(np.finfo(np.float16).smallest_subnormal)


def save_predictions(path: Path, folders: Mapping[str, Path]) -> None:
    """Add the predictions in run folders, given by the runs' hashes, to a file.

    Runs of other hashes stay in it. The same runs make the same bytes.
    """
    runs = {name: _predictions_of(folder) for name, folder in folders.items()}
    if not runs:
        return
    with locked(path):
        content = _predictions_file(read_runs(path) | runs)
        with atomic(path) as unfinished:
            unfinished.write_bytes(content)


def _predictions_of(folder: Path) -> pd.DataFrame:
    """Return a run folder's predictions, and of each speaker whether it was seen in training.

    Whatever a damaged run folder raises becomes a TableError that names a file of it.
    """
    remedy = f"Remove {folder} and repeat the command, which then executes this run again."
    with reading(folder / "predictions.csv", TableError, remedy):
        try:
            info = read_info(folder)
            table = read_predictions(folder, info)
        except RunError as error:  # it names the file, but another remedy
            message = str(error).partition(f" {REMEDY}")[0]
            raise TableError(f"{message} {remedy}") from error
        return table.assign(seen=table.speaker.isin(info["seen_speakers"]))


def _predictions_file(runs: Mapping[str, pd.DataFrame]) -> bytes:
    """Return the content of a compressed CSV file, with a row for each utterance and run."""
    table = pd.concat([rows.assign(hash=name) for name, rows in runs.items()])
    text = table[[name for name in PREDICTED if name in table]].to_csv(index=False)
    return gzip.compress(text.encode(), mtime=0)  # no time stamp: the same runs, the same file


def behind_the_winner(scores: np.ndarray) -> np.ndarray:
    """Return class scores as files keep them: by how much each class is behind the winner, float16.

    The winner has 0 and all others have negative numbers. This changes no answer and no confidence,
    of a network or of an average over networks, because only differences between classes count.
    A number keeps three digits, so classes that nearly won are the most exact. A class that is more
    than 65,504 behind is stored as 65,504 behind, and one that is behind by less than the smallest
    float16 as behind by that number. So the stored scores have the same winner.
    """
    exact = scores.astype(np.float64)
    behind = exact - exact.max(axis=1, keepdims=True)
    stored = np.maximum(behind, LOWEST).astype(np.float16)
    stored[(behind < 0) & (stored == 0)] = -SMALLEST
    return stored
