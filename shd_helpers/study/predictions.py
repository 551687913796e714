"""Predictions for each utterance of a sweep's runs: saved beside its table, and read again."""

import gzip
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from shd_helpers.files import atomic, reading
from shd_helpers.study.run_folder import REMEDY, read_info, read_predictions
from shd_helpers.study.run_replacement import RunError
from shd_helpers.study.tables import RESTORE, TableError, locked, read_table, table_path

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


def predictions_path(table: Path) -> Path:
    """Return the file for the predictions of a table's runs.

    Parameters
    ----------
    table : Path
        The table's file.

    Returns
    -------
    Path
        A file beside it.
    """
    return table.with_name(f"{table.stem}_predictions.csv.gz")


def save_predictions(path: Path, folders: Mapping[str, Path]) -> None:
    """Save what runs predicted beside their sweep's table.

    The compressed CSV file has a row for each utterance and run. Rows of other runs stay, those of
    the same hashes are replaced.

    Parameters
    ----------
    path : Path
        The file, from `predictions_path`.
    folders : mapping
        The run folders by the runs' hashes.

    Raises
    ------
    TableError
        If a file is damaged.
    """
    if not folders:
        return
    with locked(path):
        new = [_of_folder(folder).assign(hash=name) for name, folder in folders.items()]
        old = _read(path)
        table = pd.concat([old[~old["hash"].isin(folders)], *new])
        text = table[[name for name in _COLUMNS if name in table]].to_csv(index=False)
        with atomic(path) as unfinished:
            # without a time stamp, so that the same runs make the same file
            unfinished.write_bytes(gzip.compress(text.encode(), mtime=0))


def predicted_hashes(path: Path) -> set[str]:
    """Return the hashes of the runs whose predictions are in a file.

    Parameters
    ----------
    path : Path
        The file, from `predictions_path`.

    Returns
    -------
    set of str
        Empty if there is no such file.
    """
    return set(_read(path)["hash"])


def _read(path: Path) -> pd.DataFrame:
    """Return a file of predictions; empty if there is none."""
    if not path.exists():
        return pd.DataFrame(columns=[*_TYPES]).astype(_TYPES)
    with reading(path, TableError, RESTORE):
        table = pd.read_csv(
            path,
            dtype=_TYPES | _OPTIONAL,
            keep_default_na=False,  # the German digit "null" is a word
            na_values={"confidence": ""},
            compression="gzip",
        )
        return table.astype(_TYPES)  # KeyError, if a column is missing


def _of_folder(folder: Path) -> pd.DataFrame:
    """Return a run folder's predictions, and of each speaker whether it was seen in training."""
    with reading_run(folder):
        info = read_info(folder)
        table = read_predictions(folder, info)
        return table.assign(seen=table.speaker.isin(info["seen_speakers"]))


@contextmanager
def reading_run(folder: Path) -> Iterator[None]:
    """Turn whatever a damaged run folder raises into an error that names a file of it.

    Parameters
    ----------
    folder : Path
        The run folder, whose predictions or class scores the block reads.

    Yields
    ------
    None
        While the block reads them.

    Raises
    ------
    TableError
        If the folder is damaged.
    """
    remedy = f"Remove {folder} and repeat the command, which then executes this run again."
    with reading(folder / "predictions.csv", TableError, remedy):
        try:
            yield
        except RunError as error:  # it names the file, but another remedy
            message = str(error).partition(f" {REMEDY}")[0]
            raise TableError(f"{message} {remedy}") from error


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
    table = runs[["hash", "configuration", "seed"]].merge(_read(path), on="hash")
    n_missing = len(set(runs["hash"]) - set(table["hash"]))
    if n_missing:
        raise TableError(
            f"{path}: {n_missing} runs are missing. Run the sweep again: it executes only these."
        )
    return table


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
