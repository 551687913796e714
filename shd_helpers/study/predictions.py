"""Predictions for each utterance of a sweep's runs: saved beside its table, and read again."""

import gzip
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from shd_corpus.files import reading
from shd_helpers.study.run_folder import read_info, read_predictions
from shd_helpers.study.stores import Store
from shd_helpers.study.tables import RESTORE, TableError, read_table

# The columns that each file has, and their types.
_TYPES = {
    "hash": str,  # of the run
    "file": str,  # of the utterance: train or test
    "row": int,  # in that file
    "speaker": int,
    "seen": bool,  # whether the speaker was in the run's training set
    "label": str,
    "predicted": str,
}
# Older runs have no confidence, and runs without a circuit no integer_predicted.
_OPTIONAL = {"confidence": float, "integer_predicted": str}
_COLUMNS = (*_TYPES, *_OPTIONAL)


def _read(path: Path) -> dict[str, pd.DataFrame]:
    """Return the predictions of a file by the hashes of their runs; empty if there is no file."""
    if not path.exists():
        return {}
    with reading(path, TableError, RESTORE):
        table = pd.read_csv(
            path,
            dtype=_TYPES | _OPTIONAL,
            keep_default_na=False,  # the German digit "null" is a word
            na_values={"confidence": ""},
            compression="gzip",
        )
        table = table.astype(_TYPES)  # KeyError, if a column is missing
        return dict(iter(table.groupby("hash", sort=False)))


def _as_bytes(runs: Mapping[str, pd.DataFrame]) -> bytes:
    """Return the content of a compressed CSV file, with a row for each utterance and run."""
    table = pd.concat([rows.assign(hash=name) for name, rows in runs.items()])
    text = table[[name for name in _COLUMNS if name in table]].to_csv(index=False)
    return gzip.compress(text.encode(), mtime=0)  # no time stamp: the same runs, the same file


def _of_folder(folder: Path) -> pd.DataFrame:
    """Return a run folder's predictions, and of each speaker whether it was seen in training."""
    info = read_info(folder)
    table = read_predictions(folder, info)
    return table.assign(seen=table.speaker.isin(info["seen_speakers"]))


PREDICTIONS = Store("_predictions.csv.gz", ("predictions.csv",), _of_folder, _read, _as_bytes)


def collect_predictions(name: str | Path) -> pd.DataFrame:
    """Return what every run of a table predicted; its sweep has ``keep_predictions: true``.

    Parameters
    ----------
    name : str or Path
        A table, as for `tables.read_table`.

    Returns
    -------
    DataFrame
        A row for each utterance and run: `hash`, `configuration` and `seed` of the run; the
        utterance's file (`file`), `row` in it and `speaker`, and whether the speaker was `seen` in
        training; `label` and `predicted` (class names), `confidence` where it is known, and, if a
        run has a circuit, `integer_predicted` (else "").

    Raises
    ------
    TableError
        If those of a run are missing.
    """
    runs = read_table(name)
    predictions = pd.concat(PREDICTIONS.collect(name).values())
    return runs[["hash", "configuration", "seed"]].merge(predictions, on="hash")


def speaker_accuracies(name: str | Path, axis: str = "input") -> pd.DataFrame:
    """Return each speaker's accuracy, as an unseen and as a seen speaker.

    The sweep has held out every speaker in turn, for each value on another axis and each seed. So
    each speaker is unseen in one of its runs, and in the training set of all others.

    Parameters
    ----------
    name : str or Path
        A table of a sweep over `held_out` and one axis more.
    axis : str
        The name of that axis.

    Returns
    -------
    DataFrame
        A row for each value on the axis (its column is called `input` here), seed and speaker.
        `test_unseen_accuracy` is the accuracy for the speaker in the run that held the speaker out,
        which tests all utterances of the speaker. `test_seen_accuracy` is the speaker's accuracy in
        the other runs, each of which tests some of the speaker's utterances. Both are fractions.
    """
    inputs = read_table(name)[["hash", axis]].rename(columns={axis: "input"})
    predictions = collect_predictions(name).merge(inputs, on="hash")
    predictions["correct"] = predictions.label == predictions.predicted
    wide = predictions.pivot_table("correct", ["input", "seed", "speaker"], "seen", sort=False)
    names = {False: "test_unseen_accuracy", True: "test_seen_accuracy"}
    return wide.rename(columns=names).rename_axis(columns=None).reset_index()
