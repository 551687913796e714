"""What runs predicted for each utterance: kept beside a sweep's table, collected, counted."""

import gzip
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from shd_helpers.files import atomic, reading
from shd_helpers.paths import runs_dir
from shd_helpers.study.handover import info_of
from shd_helpers.study.run_files import read_predictions
from shd_helpers.study.tables import RESTORE, TableError, locked, read_rows, table_path

PIECE = 50_000  # rows
_KEPT = ("part", "row", "speaker", "seen", "label", "predicted", "integer_predicted")


def predictions_path(table: Path) -> Path:
    """Return where the predictions of a table's runs are kept."""
    return table.with_name(f"{table.stem}_predictions.csv.gz")


def keep_predictions(path: Path, folders: Mapping[str, Path]) -> None:
    """Put runs' predictions beside their sweep's table, in place of those of the same hashes.

    The file is written once for all of them, and piece by piece: it may not fit into memory.

    Parameters
    ----------
    path : Path
        From `predictions_path`: a compressed CSV file with a row an utterance and run.
    folders : mapping
        Run folders by the runs' hashes.

    Raises
    ------
    TableError
        If the file is damaged.
    """
    if not folders:
        return
    with locked(path), atomic(path) as part:
        # no time stamp: the same runs make the same file
        with part.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
            there = _columns(path, folders)
            columns = [name for name in ("hash", *_KEPT) if name in there]
            for piece in _pieces(path, folders):
                text = piece.reindex(columns=columns).to_csv(index=False, header=packed.tell() == 0)
                packed.write(text.encode())


def _columns(path: Path, folders: Mapping[str, Path]) -> set[str]:
    """Return the columns of what is kept already and of the runs' own files."""
    remedies = {folder / "predictions.csv": _again(folder) for folder in folders.values()}
    found = {"hash", "seen"}
    if path.exists():
        remedies[path] = RESTORE
    for file, remedy in remedies.items():
        with reading(file, TableError, remedy):
            found |= set(pd.read_csv(file, nrows=0))
    return found


def _pieces(path: Path, folders: Mapping[str, Path]) -> Iterator[pd.DataFrame]:
    """Return what is kept already, without the runs that are to be replaced, and then these."""
    for old in _read(path) if path.exists() else ():
        yield old[~old.hash.isin(folders)]
    for run_hash, folder in folders.items():
        yield _of_folder(folder).assign(hash=run_hash)


def kept_hashes(path: Path) -> set[str]:
    """Return the hashes of the runs whose predictions are in a file from `predictions_path`."""
    return {h for piece in _read(path) for h in piece.hash.unique()} if path.exists() else set()


def _read(path: Path) -> Iterator[pd.DataFrame]:
    """Return a file of predictions in pieces."""
    with reading(path, TableError, RESTORE):
        text = dict.fromkeys(("hash", "label", "predicted", "integer_predicted"), str)
        yield from pd.read_csv(
            path, dtype=text, keep_default_na=False, compression="gzip", chunksize=PIECE
        )


def _again(folder: Path) -> str:
    return f"Remove {folder}, and the same command runs it again."


def _of_folder(folder: Path) -> pd.DataFrame:
    """Return a run folder's predictions, and of each speaker whether it was seen in training."""
    path = folder / "predictions.csv"
    with reading(path, TableError, _again(folder)):
        info = info_of(folder)
        table = read_predictions(path, info["scores"].get("test"))
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
    table, kept = read_rows(path), predictions_path(path)
    of = dict(iter(pd.concat(_read(kept)).groupby("hash"))) if kept.exists() else {}
    parts = []
    for row in table[table.status == "done"].itertuples():
        try:
            found = of[row.hash] if row.hash in of else _of_folder(runs_dir() / row.run_name)
        except (OSError, ValueError, LookupError):  # a TableError, too
            raise TableError(f"{path}: {_how_to_repeat(path.stem, row)}") from None
        classes = {word: i for i, word in enumerate(LANGUAGES.get(row.language, ()))}
        heard = [name for name in ("label", "predicted", "integer_predicted") if name in found]
        found = found.assign(**{name: found[name].map(classes) for name in heard})
        if found[["label", "predicted"]].isna().any(axis=None):
            raise TableError(f"{kept}: {row.run_name}: a word of another language. {RESTORE}")
        parts.append(found.assign(hash=row.hash, configuration=row.configuration, seed=row.seed))
    whole = pd.concat(parts, ignore_index=True)
    if "integer_predicted" in whole:  # -1: a network of floats only
        whole = whole.assign(integer_predicted=whole.integer_predicted.fillna(-1).astype(int))
    return whole[["hash", "configuration", "seed", *(name for name in _KEPT if name in whole)]]


def _how_to_repeat(table: str, row: Any) -> str:
    run = row.run_name.rpartition("/")[2]
    sweep = table.removesuffix(f"_{row.dataset}")
    return (
        f"of {row.run_name} there are scores, but no predictions and no run folder. Repeat the "
        f"run: make sweep SWEEP={sweep} DATASET=({row.dataset} or its folder) "
        f"ARGS=\"--again '{run}'\""
    )


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
    columns = ("input", "seed", "speaker", "seen")
    counted = count_correct(collect_predictions(name).merge(inputs, on="hash"), columns)
    counted["accuracy"] = counted.correct / counted.utterances
    wide = counted.pivot_table("accuracy", columns[:3], "seen", sort=False)
    names = {False: "test_unseen_accuracy", True: "test_seen_accuracy"}
    return wide.rename(columns=names).rename_axis(columns=None).reset_index()
