"""What runs predicted for each utterance: kept beside a sweep's table, collected, counted."""

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from shd_helpers.files import atomic, reading
from shd_helpers.paths import runs_dir
from shd_helpers.study.run_folder import read_info, read_predictions
from shd_helpers.study.tables import RESTORE, TableError, locked, read_rows, table_path

_KINDS = {"hash": str, "part": str, "row": int, "speaker": int, "seen": bool}
_KINDS |= {"label": str, "predicted": str}
_KEPT = (*_KINDS, "integer_predicted")  # the last of circuits only


def predictions_path(table: Path) -> Path:
    """Return where the predictions of a table's runs are kept."""
    return table.with_name(f"{table.stem}_predictions.csv.gz")


def keep_predictions(path: Path, folders: Mapping[str, Path]) -> None:
    """Put runs' predictions beside their sweep's table, in place of those of the same hashes.

    Parameters
    ----------
    path : Path
        From `predictions_path`: a compressed CSV file with a row an utterance and run.
    folders : mapping
        Run folders by the runs' hashes.

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
    kinds = _KINDS | {"integer_predicted": str}
    with reading(path, TableError, RESTORE):
        return pd.read_csv(path, dtype=kinds, keep_default_na=False, compression="gzip")


def _of_folder(folder: Path) -> pd.DataFrame:
    """Return a run folder's predictions, and of each speaker whether it was seen in training."""
    path = folder / "predictions.csv"
    with reading(path, TableError, f"Remove {folder}, and the same command runs it again."):
        info = read_info(folder)
        table = read_predictions(folder, info)
        seen = table.speaker.isin(info["seen_speakers"])
        return table.assign(part=table["part"], row=table["row"], seen=seen)


def collect_predictions(name: str | Path) -> pd.DataFrame:
    """Return what every run of a table predicted: as kept beside it, else from the run folders.

    Parameters
    ----------
    name : str or Path
        As for `tables.read_table`.

    Returns
    -------
    DataFrame
        A row an utterance and run: `hash`, `configuration` and `seed` of the run; the utterance's
        file (`part`), `row` in it and `speaker`, and whether the speaker was `seen` in training;
        `label` and `predicted` (classes), and, if a run has a circuit, `integer_predicted`.

    Raises
    ------
    TableError
        If only the scores of a run are at hand; the message says how to repeat it.
    """
    from shd_helpers.source.shd_file import LANGUAGES  # takes a second, and sweeps don't need it

    path = table_path(name)
    rows, kept = read_rows(path), _read(predictions_path(path))
    rows = rows[rows.status == "done"]
    found = [kept]
    for row in rows[~rows["hash"].isin(kept["hash"])].itertuples():
        try:
            found.append(_of_folder(runs_dir() / row.run_name).assign(hash=row.hash))
        except TableError as error:
            sweep, run = path.stem.removesuffix(f"_{row.dataset}"), row.run_name.split("/")[-1]
            raise TableError(
                f"{path}: {row.run_name} has scores, but no predictions ({error}). Repeat the run: "
                f"make sweep SWEEP={sweep} DATASET=({row.dataset} or its folder) "
                f"ARGS=\"--again '{run}'\""
            ) from error
    whole = rows[["hash", "configuration", "seed", "language"]].merge(pd.concat(found), on="hash")
    classes = {f"{k} {word}": i for k, words in LANGUAGES.items() for i, word in enumerate(words)}
    heard = [name for name in ("label", "predicted", "integer_predicted") if name in whole]
    whole[heard] = whole[heard].apply(lambda words: (whole.language + " " + words).map(classes))
    if whole[["label", "predicted"]].isna().any(axis=None):
        raise TableError(f"{predictions_path(path)}: a word of another language. {RESTORE}")
    if "integer_predicted" in whole:  # -1: a network of floats only
        whole["integer_predicted"] = whole.integer_predicted.fillna(-1).astype(int)
    return whole[["hash", "configuration", "seed", *(name for name in _KEPT[1:] if name in whole)]]


def count_correct(predictions: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Count the predictions, and the correct ones.

    Parameters
    ----------
    predictions : DataFrame
        From `collect_predictions`.
    columns : sequence of str
        Columns of it; predictions that agree in them are counted together.

    Returns
    -------
    DataFrame
        The columns, `utterances` and `correct` (how many).
    """
    correct = predictions.assign(correct=predictions.label == predictions.predicted)
    counted = correct.groupby([*columns], sort=False).correct
    return counted.agg(utterances="size", correct="sum").reset_index()


def speaker_accuracies(name: str | Path, axis: str = "input") -> pd.DataFrame:
    """Return what each speaker got where all were left out in turn: as an unseen and a seen one.

    Parameters
    ----------
    name : str or Path
        As for `tables.read_table`: a sweep over `held_out` and one axis more.
    axis : str
        Its name.

    Returns
    -------
    DataFrame
        A row for each place on the axis (its column is called `input` here), seed and speaker:
        `test_unseen_accuracy`, a fraction of all the speaker's utterances, in the run that left
        the speaker out; `test_seen_accuracy`, a fraction of those that the other runs held back.

    Raises
    ------
    TableError
        As `collect_predictions`.
    """
    inputs = read_rows(table_path(name))[["hash", axis]].rename(columns={axis: "input"})
    predictions = collect_predictions(name).merge(inputs, on="hash")
    predictions["correct"] = predictions.label == predictions.predicted
    wide = predictions.pivot_table("correct", ["input", "seed", "speaker"], "seen", sort=False)
    names = {False: "test_unseen_accuracy", True: "test_seen_accuracy"}
    return wide.rename(columns=names).rename_axis(columns=None).reset_index()
