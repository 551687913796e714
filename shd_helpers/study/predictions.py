"""What runs predicted for each utterance: kept beside a sweep's table, and collected."""

import gzip
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from shd_helpers.files import atomic, reading
from shd_helpers.study.run_folder import read_info, read_predictions
from shd_helpers.study.tables import RESTORE, TableError, locked, read_table, table_path

_KINDS = {"hash": str, "file": str, "row": int, "speaker": int, "seen": bool}
_KINDS |= {"label": str, "predicted": str}
_KEPT = (*_KINDS, "confidence", "integer_predicted")  # older runs lack one, floats the other


def predictions_path(table: Path) -> Path:
    """Return where the predictions of a table's runs are kept."""
    return table.with_name(f"{table.stem}_predictions.csv.gz")


def keep_predictions(path: Path, folders: Mapping[str, Path]) -> None:
    """Put runs' predictions beside their sweep's table, in place of those of the same hashes.

    The compressed CSV file has a row an utterance and run; `folders` are the run folders by the
    runs' hashes. TableError, if a file is damaged.
    """
    if not folders:
        return
    with locked(path):
        new = [_of_folder(folder).assign(hash=name) for name, folder in folders.items()]
        old = _read(path)
        table = pd.concat([old[~old["hash"].isin(folders)], *new])
        text = table[[name for name in _KEPT if name in table]].to_csv(index=False)
        with atomic(path) as part:
            # no time stamp: the same runs make the same file
            part.write_bytes(gzip.compress(text.encode(), mtime=0))


def kept_hashes(path: Path) -> set[str]:
    """Return the hashes of the runs whose predictions are in a file from `predictions_path`."""
    return set(_read(path)["hash"])


def _read(path: Path) -> pd.DataFrame:
    """Return a file of predictions; empty where there is none."""
    if not path.exists():
        return pd.DataFrame(columns=[*_KINDS]).astype(_KINDS)
    kinds = _KINDS | {"integer_predicted": str, "confidence": float}
    none = {"confidence": ""}
    with reading(path, TableError, RESTORE):
        table = pd.read_csv(
            path, dtype=kinds, na_values=none, keep_default_na=False, compression="gzip"
        )
        return table.astype(_KINDS)  # KeyError, if a column is missing


def _of_folder(folder: Path) -> pd.DataFrame:
    """Return a run folder's predictions, and of each speaker whether it was seen in training."""
    path = folder / "predictions.csv"
    with reading(path, TableError, f"Remove {folder}, and the same command runs it again."):
        info = read_info(folder)
        table = read_predictions(folder, info)
        seen = table.speaker.isin(info["seen_speakers"])
        return table.assign(file=table["file"], row=table["row"], seen=seen)


def collect_predictions(name: str | Path) -> pd.DataFrame:
    """Return what every run of a table predicted; its sweep has ``keep_predictions: true``.

    Returns
    -------
    DataFrame
        A row an utterance and run: `hash`, `configuration` and `seed` of the run; the utterance's
        file (`file`), `row` in it and `speaker`, and whether the speaker was `seen` in training;
        `label` and `predicted` (words), `confidence` where it is known, and, if a run has a
        circuit, `integer_predicted` (else "").

    Raises
    ------
    TableError
        If those of a run are missing.
    """
    runs, path = read_table(name), predictions_path(table_path(name))
    table = runs[["hash", "configuration", "seed"]].merge(_read(path), on="hash")
    n_missing = len(set(runs["hash"]) - set(table["hash"]))
    if n_missing:
        raise TableError(f"{path}: {n_missing} runs are missing. Run the sweep again: only these.")
    return table


def speaker_accuracies(name: str | Path, axis: str = "input") -> pd.DataFrame:
    """Return what each speaker got where all were left out in turn: as an unseen and a seen one.

    Parameters
    ----------
    name, axis : str
        A table of a sweep over `held_out` and one axis more, and the axis's name.

    Returns
    -------
    DataFrame
        A row for each place on the axis (its column is called `input` here), seed and speaker:
        `test_unseen_accuracy`, a fraction of all the speaker's utterances, in the run that left
        the speaker out; `test_seen_accuracy`, a fraction of those that the other runs held back.
    """
    inputs = read_table(name)[["hash", axis]].rename(columns={axis: "input"})
    predictions = collect_predictions(name).merge(inputs, on="hash")
    predictions["correct"] = predictions.label == predictions.predicted
    wide = predictions.pivot_table("correct", ["input", "seed", "speaker"], "seen", sort=False)
    names = {False: "test_unseen_accuracy", True: "test_seen_accuracy"}
    return wide.rename(columns=names).rename_axis(columns=None).reset_index()
