"""Save what a sweep's runs predicted beside its table, in files that hold all runs by their hashes.

A sweep with ``keep_predictions: true`` saves one row for each utterance of each run, which
`study.tables` reads. One with ``keep_scores: true`` saves the scores of all classes, of
which averages over networks can be made. These are in one HDF5 file, which has a group for each run, under the
run's hash::

    scores   (utterances, classes) float16: by how much each class is behind the winner
    label    (utterances,) the right class
    file     (utterances,) 0 for the training file, 1 for the test file
    row      (utterances,) in that file
    speaker  (utterances,)

and the attribute ``class_names``, (classes,).

**What is stored.** Each utterance's highest score is subtracted from its scores, so the winner has
0 and all others have negative numbers. This changes no answer and no confidence, of a network or
of such an average, because only differences between classes count there.

**What float16 loses.** A number keeps three digits. The smaller it is, the smaller its error, so
classes that nearly won are the most exact. A class that is more than 65,504 behind, beyond the
range of float16, is stored as 65,504 behind. A class that is behind by less than the smallest
positive float16 is stored as behind by that number. So the class with the highest stored score is
always the one that the run predicted.
"""

import gzip
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import h5py
import numpy as np
import pandas as pd

from shd_corpus.files import atomic, reading
from shd_helpers.study.run_folder import (
    CLASS_SCORES,
    REMEDY,
    RunError,
    read_class_scores,
    read_info,
    read_predictions,
)
from shd_helpers.study.tables import (
    PREDICTED,
    RESTORE,
    TableError,
    locked,
    predictions_path,
    read_runs,
)

LOWEST = float(np.finfo(np.float16).min)
SMALLEST = float(np.finfo(np.float16).smallest_subnormal)
_FILES = ("train", "test")
Saved = TypeVar("Saved")
ClassScores = dict[str, np.ndarray]  # the columns of a run, and `class_names`


@dataclass(frozen=True)
class Store(Generic[Saved]):
    """What is saved of each run, and how its file is read and written."""

    path: Callable[[Path], Path]  # of the file, by the table's
    files: tuple[str, ...]  # of a run folder, from which it is made
    of_folder: Callable[[Path], Saved]
    read: Callable[[Path], dict[str, Saved]]  # by the runs' hashes; empty if there is no file
    as_bytes: Callable[[Mapping[str, Saved]], bytes]

    def save(self, path: Path, folders: Mapping[str, Path]) -> None:
        """Add what is in run folders, given by the runs' hashes, to a file.

        Runs of other hashes stay in it. The same runs make the same bytes.
        """
        runs = {}
        for name, folder in folders.items():
            with _reading_run(folder):
                runs[name] = self.of_folder(folder)
        if not runs:
            return
        with locked(path):
            content = self.as_bytes(self.read(path) | runs)
            with atomic(path) as unfinished:
                unfinished.write_bytes(content)


@contextmanager
def _reading_run(folder: Path) -> Iterator[None]:
    """Turn whatever a damaged run folder raises into a TableError that names a file of it."""
    remedy = f"Remove {folder} and repeat the command, which then executes this run again."
    with reading(folder / "predictions.csv", TableError, remedy):
        try:
            yield
        except RunError as error:  # it names the file, but another remedy
            message = str(error).partition(f" {REMEDY}")[0]
            raise TableError(f"{message} {remedy}") from error


def _predictions_of(folder: Path) -> pd.DataFrame:
    """Return a run folder's predictions, and of each speaker whether it was seen in training."""
    info = read_info(folder)
    table = read_predictions(folder, info)
    return table.assign(seen=table.speaker.isin(info["seen_speakers"]))


def _predictions_file(runs: Mapping[str, pd.DataFrame]) -> bytes:
    """Return the content of a compressed CSV file, with a row for each utterance and run."""
    table = pd.concat([rows.assign(hash=name) for name, rows in runs.items()])
    text = table[[name for name in PREDICTED if name in table]].to_csv(index=False)
    return gzip.compress(text.encode(), mtime=0)  # no time stamp: the same runs, the same file


def behind_the_winner(scores: np.ndarray) -> np.ndarray:
    """Return class scores as they are stored: by how much each class is behind the winner."""
    exact = scores.astype(np.float64)
    behind = exact - exact.max(axis=1, keepdims=True)
    stored = np.maximum(behind, LOWEST).astype(np.float16)
    stored[(behind < 0) & (stored == 0)] = -SMALLEST
    return stored


def _class_scores_of(folder: Path) -> ClassScores:
    """Return the class scores of a run folder, rounded as they are stored."""
    info = read_info(folder)
    table = read_predictions(folder, info)
    scores = read_class_scores(folder, info)
    class_names = info["class_names"]
    if scores.shape != (len(table), len(class_names)):
        raise ValueError("its class scores are of other utterances than its predictions")
    return {
        "scores": behind_the_winner(scores),
        "label": table.label.map(class_names.index).to_numpy(np.uint16),
        "file": table["file"].map(_FILES.index).to_numpy(np.uint8),
        "row": table["row"].to_numpy(np.uint32),
        "speaker": table.speaker.to_numpy(np.int64),
        "class_names": np.array(class_names, dtype=object),
    }


def _class_scores_file(runs: Mapping[str, ClassScores]) -> bytes:
    """Return the content of an HDF5 file with a group for each run."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        for name in sorted(runs):
            group = file.create_group(name)
            for column, values in runs[name].items():
                if column == "class_names":
                    group.attrs[column] = values
                else:
                    group.create_dataset(
                        column, data=values, compression="gzip", compression_opts=9, shuffle=True
                    )
    return memory.getvalue()


def _read_class_scores_file(path: Path) -> dict[str, ClassScores]:
    """Return the class scores of a file by the hashes of their runs."""
    runs: dict[str, ClassScores] = {}
    if not path.exists():
        return runs
    with reading(path, TableError, RESTORE), h5py.File(path) as file:
        for name, group in file.items():
            columns = {column: values[:] for column, values in group.items()}
            runs[name] = columns | {"class_names": group.attrs["class_names"]}
    return runs


def _class_scores_path(table: Path) -> Path:
    """Return the file of class scores beside a table."""
    return table.with_name(f"{table.stem}_scores.h5")


PREDICTIONS = Store(
    predictions_path, ("predictions.csv",), _predictions_of, read_runs, _predictions_file
)
SCORES = Store(
    _class_scores_path,
    ("predictions.csv", CLASS_SCORES),
    _class_scores_of,
    _read_class_scores_file,
    _class_scores_file,
)
