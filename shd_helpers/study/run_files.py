"""The files in a run folder, read one by one; RunError names the one that is damaged."""

from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from shd_helpers.files import reading
from shd_helpers.study.handover import RunError

REMEDY = "Run 03_model_training with this run_name"
SMALL_BYTES, LARGEST_RATIO = 2**24, 1100  # gzip, which the examples are packed with, reaches 1030


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """Return a file's arrays by their names."""
    found: dict[str, np.ndarray] = {}

    def keep(name: str, item: h5py.Dataset | h5py.Group) -> None:
        if isinstance(item, h5py.Dataset):
            if item.nbytes > SMALL_BYTES + LARGEST_RATIO * path.stat().st_size:
                raise ValueError(f"{name} takes more than can be in the file")
            found[name] = item[:]

    with reading(path, RunError, f"{REMEDY} again."), h5py.File(path) as file:
        file.visititems(keep)
    return found


def read_predictions(path: Path, test: float | None) -> pd.DataFrame:
    """Return what a run predicted, a row an utterance.

    Parameters
    ----------
    path : Path
        The file.
    test : float or None
        The accuracy that `run.json` says the test utterances had.

    Raises
    ------
    RunError
        If the file is damaged, or has another accuracy.
    """
    from shd_helpers.source.shd_file import LANGUAGES  # takes a second

    numbers = ("speaker", "utterance", "row", "input_events", "hidden_spikes", "output_spikes")
    kinds = dict.fromkeys(("label", "predicted", "integer_predicted"), str) | dict.fromkeys(
        numbers, np.int64
    )
    with reading(path, RunError, f"{REMEDY} again."):
        table = pd.read_csv(path, dtype=kinds, keep_default_na=False)
        if not len(table) or table[["label", "predicted", "speaker"]].isna().any(axis=None):
            raise ValueError("it was cut")
        if not table[["label", "predicted"]].isin(LANGUAGES["both"]).all(axis=None):
            raise ValueError("a word that is no class")
        found = (table.label == table.predicted).mean()
        if test is not None and not np.isclose(found, test, rtol=0, atol=1e-9):
            raise ValueError(f"its accuracy is {found:.1%}, that in run.json {float(test):.1%}")
    return table
