"""Keep the class scores of runs beside their sweep's table, and read them for ensembles.

The predictions of a run say which class won. An ensemble needs to know by how much: it averages the
class scores of its members. A sweep with ``keep_scores: true`` therefore keeps all class scores in
one HDF5 file beside its table. The file has a group for each run, under the run's hash::

    scores   (utterances, classes) float16: by how much each class is behind the winner
    label    (utterances,) the right class
    file     (utterances,) 0 for the training file, 1 for the test file
    row      (utterances,) in that file
    speaker  (utterances,)

and the attribute ``class_names``, (classes,).

**What is stored.** Each utterance's highest score is subtracted from its scores, so the winner has
0 and all others have negative numbers. This changes no answer and no confidence, of a network or
of an ensemble, because only differences between classes count there.

**What float16 loses.** A number keeps three digits. The smaller it is, the smaller its error, so
classes that nearly won are the most exact. A class that is more than 65,504 behind, beyond the
range of float16, is stored as 65,504 behind. A class that is behind by less than the smallest
positive float16 is stored as behind by that number. So the class with the highest stored score is
always the one that the run predicted.
"""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np

from shd_corpus.files import reading
from shd_helpers.network import answers
from shd_helpers.study.run_folder import (
    CLASS_SCORES,
    class_names_of,
    read_class_scores,
    read_info,
    read_predictions,
)
from shd_helpers.study.stores import Store
from shd_helpers.study.tables import RESTORE, TableError

LOWEST = float(np.finfo(np.float16).min)
SMALLEST = float(np.finfo(np.float16).smallest_subnormal)
_FILES = ("train", "test")
_COLUMNS = ("scores", "label", "file", "row", "speaker")


@dataclass(frozen=True)
class ClassScores:
    """The class scores of a run or of an ensemble, and what is known about the utterances."""

    scores: np.ndarray  # (utterances, classes): the winner has 0, all others negative numbers
    label: np.ndarray  # (utterances,) the right class
    file: np.ndarray  # (utterances,) 0 for the training file, 1 for the test file
    row: np.ndarray  # (utterances,) in that file
    speaker: np.ndarray  # (utterances,)
    class_names: tuple[str, ...]

    @property
    def is_correct(self) -> np.ndarray:
        """Whether each utterance's answer is right, (utterances,)."""
        return answers(self.scores) == self.label

    def take(self, chosen: np.ndarray) -> "ClassScores":
        """Return the class scores of some of the utterances."""
        return replace(
            self,
            scores=self.scores[chosen],
            label=self.label[chosen],
            file=self.file[chosen],
            row=self.row[chosen],
            speaker=self.speaker[chosen],
        )


def behind_the_winner(scores: np.ndarray) -> np.ndarray:
    """Return class scores as they are stored: by how much each class is behind the winner."""
    exact = scores.astype(np.float64)
    behind = exact - exact.max(axis=1, keepdims=True)
    stored = np.maximum(behind, LOWEST).astype(np.float16)
    stored[(behind < 0) & (stored == 0)] = -SMALLEST
    return stored


def mean_of_scores(members: Sequence[ClassScores]) -> ClassScores:
    """Return the class scores of an ensemble: the means of its members' scores.

    `network.ensemble.Ensemble` computes the same from networks. Only their rounding differs.
    """
    if not members:
        raise ValueError("members: an ensemble needs at least one network")
    first = members[0]
    order = _order_in_files(first)
    sorted_first = first.take(order)
    total = np.zeros(first.scores.shape)
    for member in members:
        sorted_member = member.take(_order_in_files(member))
        if member.class_names != first.class_names:
            raise ValueError("members: their classes differ")
        if not _have_same_utterances(sorted_member, sorted_first):
            raise ValueError("members: they have scored different utterances")
        total[order] += sorted_member.scores.astype(np.float64)
    mean = total / len(members)
    mean -= mean.max(axis=1, keepdims=True)
    return replace(first, scores=mean)


def _order_in_files(scores: ClassScores) -> np.ndarray:
    """Return the indices that sort utterances by file, and by row in it."""
    return np.lexsort((scores.row, scores.file))


def _have_same_utterances(a: ClassScores, b: ClassScores) -> bool:
    """Tell whether two have scored the same utterances in the same order."""
    return (
        np.array_equal(a.file, b.file)
        and np.array_equal(a.row, b.row)
        and np.array_equal(a.label, b.label)
        and np.array_equal(a.speaker, b.speaker)
    )


def _as_bytes(runs: Mapping[str, ClassScores]) -> memoryview:
    """Return the content of an HDF5 file with a group for each run."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        for name in sorted(runs):
            _write_group(file.create_group(name), runs[name])
    return memory.getbuffer()


def _write_group(group: h5py.Group, run: ClassScores) -> None:
    """Write a run's class scores into its group of the file."""
    for column in _COLUMNS:
        group.create_dataset(
            column, data=getattr(run, column), compression="gzip", compression_opts=9, shuffle=True
        )
    group.attrs["class_names"] = list(run.class_names)


def read_scores(path: Path) -> dict[str, ClassScores]:
    """Return all class scores of a file by the hashes of their runs."""
    runs: dict[str, ClassScores] = {}
    if not path.exists():
        return runs
    with reading(path, TableError, RESTORE), h5py.File(path) as file:
        for name, group in file.items():
            columns = {column: group[column][:] for column in _COLUMNS}
            n_utterances = {len(values) for values in columns.values()}
            class_names = tuple(map(str, group.attrs["class_names"]))
            if len(n_utterances) > 1 or columns["scores"].shape[1] != len(class_names):
                raise ValueError(f"the sizes of {name} don't match")
            if not np.isfinite(columns["scores"]).all():
                raise ValueError(f"{name} has class scores that aren't finite")
            runs[name] = ClassScores(**columns, class_names=class_names)
    return runs


def _of_folder(folder: Path) -> ClassScores:
    """Return the class scores of a run folder, rounded as they are stored."""
    info = read_info(folder)
    table = read_predictions(folder, info)
    scores = read_class_scores(folder, info)
    class_names = class_names_of(info)
    if scores.shape != (len(table), len(class_names)):
        raise ValueError("its class scores are of other utterances than its predictions")
    if not np.isfinite(scores).all():
        raise ValueError("its class scores aren't finite, because its training diverged")
    numbers = {name: number for number, name in enumerate(class_names)}
    return ClassScores(
        scores=behind_the_winner(scores),
        label=table.label.map(numbers).to_numpy(np.uint16),
        file=table["file"].map(_FILES.index).to_numpy(np.uint8),
        row=table["row"].to_numpy(np.uint32),
        speaker=table.speaker.to_numpy(np.int64),
        class_names=class_names,
    )


SCORES = Store("_scores.h5", ("predictions.csv", CLASS_SCORES), _of_folder, read_scores, _as_bytes)
collect_scores = SCORES.collect
