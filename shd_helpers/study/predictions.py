"""Read what the runs of a sweep predicted, for each utterance.

A sweep with ``keep_predictions: true`` saves it beside its table: see `sweeps.saved`.
"""

from pathlib import Path

import pandas as pd

from shd_corpus.files import reading
from shd_helpers.study.tables import RESTORE, TableError, read_table, table_path

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
COLUMNS = (*_TYPES, *_OPTIONAL)


def predictions_path(table: Path) -> Path:
    """Return the file of predictions beside a table."""
    return table.with_name(f"{table.stem}_predictions.csv.gz")


def read_runs(path: Path) -> dict[str, pd.DataFrame]:
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
    path = predictions_path(table_path(name))
    there = read_runs(path)
    n_missing = len({*runs["hash"]} - {*there})
    if n_missing:
        raise TableError(
            f"{path}: {n_missing} runs are missing. Run the sweep again: it executes only these."
        )
    predictions = pd.concat([there[each] for each in runs["hash"]])
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
