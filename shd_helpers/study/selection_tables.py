"""Read the tables of the sweeps that a selection uses, with the class scores beside them.

There are three kinds of sweeps, and a reader for each, which refuses runs of another kind:

* `read_folds`: folds of training speakers, on which candidates are compared
* `read_judged`: speakers who are held out of both official files, on whom the nested selection is
  judged
* `read_official`: the official test file, on which what was selected is judged once

`study.selection` has the rule.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from shd_helpers.study.class_scores import ClassScores, collect_scores
from shd_helpers.study.selection import ROUNDING, Folds, SelectionError
from shd_helpers.study.tables import read_table

_Key = TypeVar("_Key", bound=Hashable)


class _Run(NamedTuple):
    """A row of a table, and the class scores of its run."""

    name: str  # what messages call it: table and configuration
    row: Mapping[str, Any]
    scores: ClassScores
    candidate: str
    seed: int


def read_folds(tables: Sequence[str | Path], axis: str = "candidate") -> Folds:
    """Read the folds of candidates from the tables of one or several sweeps.

    A run of these sweeps trains on the official training file without one speaker
    (``validation: speaker``), tests on this speaker, and keeps its class scores.

    Parameters
    ----------
    tables : sequence of str or Path
        The tables, as for `tables.read_table`.
    axis : str
        The column with the name of the candidate.

    Returns
    -------
    Folds
        The class scores of all runs.

    Raises
    ------
    SelectionError
        If a run isn't a fold, or appears twice, or runs of a candidate have different numbers of
        parameters.
    TableError
        If a table or its class scores can't be read.
    """
    folds = Folds({}, {})
    for table in tables:
        for run in _read_runs(table, axis):
            speaker = _speaker_of_fold(run)
            _put(folds.runs, (run.candidate, speaker, run.seed), run)
            _put_parameters(folds.parameters, run)
    return folds


def read_judged(tables: Sequence[str | Path], axis: str = "candidate") -> Folds:
    """Read how candidates classify speakers held out of both files (`leave_one_speaker_out`).

    Parameters
    ----------
    tables : sequence of str or Path
        Tables of sweeps that keep class scores.
    axis : str
        The column with the name of the candidate.

    Returns
    -------
    Folds
        The class scores of the held-out speaker's utterances alone: the runs also test a tenth of
        every seen speaker's utterances, whose scores aren't returned.

    Raises
    ------
    SelectionError
        If a run has another protocol, or appears twice, or runs of a candidate have different
        numbers of parameters.
    TableError
        If a table or its class scores can't be read.
    """
    folds = Folds({}, {})
    for table in tables:
        for run in _read_runs(table, axis):
            speaker = _speaker_of_both_files(run)
            of_speaker = run._replace(scores=run.scores.take(run.scores.speaker == speaker))
            _put(folds.runs, (run.candidate, speaker, run.seed), of_speaker)
            _put_parameters(folds.parameters, run)
    return folds


def read_official(table: str | Path, axis: str = "candidate") -> dict[tuple[str, int], ClassScores]:
    """Read how candidates classify the official test utterances.

    Parameters
    ----------
    table : str or Path
        The table of a sweep that keeps class scores.
    axis : str
        The column with the name of the candidate.

    Returns
    -------
    dict
        The class scores of the test utterances by candidate and seed.

    Raises
    ------
    SelectionError
        If a run has another protocol, or kept the scores of other utterances, or appears twice.
    TableError
        If the table or its class scores can't be read.
    """
    runs: dict[tuple[str, int], ClassScores] = {}
    for run in _read_runs(table, axis):
        if run.row["protocol"] != "official" or not run.scores.file.all():
            raise SelectionError(
                f"{run.name}: its class scores aren't those of the official test utterances."
            )
        _put(runs, (run.candidate, run.seed), run)
    return runs


def _read_runs(table: str | Path, axis: str) -> Iterator[_Run]:
    """Yield the runs of a table with their class scores."""
    rows = read_table(table).to_dict("records")
    scores = collect_scores(table)
    for row in rows:
        yield _Run(
            name=f"{table}: {row['configuration']}",
            row=row,
            scores=scores[row["hash"]],
            candidate=str(row[axis]),
            seed=int(row["seed"]),
        )


def _put(runs: dict[_Key, ClassScores], key: _Key, run: _Run) -> None:
    """Add the class scores of a run; SelectionError, if there are some of the same run."""
    if key in runs:
        raise SelectionError(f"{run.name} appears twice. Leave one out")
    runs[key] = run.scores


def _put_parameters(parameters: dict[str, int], run: _Run) -> None:
    """Add how many parameters a candidate has; SelectionError, if another run has others."""
    number = int(run.row["parameters"])
    earlier = parameters.setdefault(run.candidate, number)
    if number != earlier:
        raise SelectionError(
            f"{run.name}: {run.candidate!r} has {number:,} parameters, and {earlier:,} in another "
            "run. Give different networks different names."
        )


def _speaker_of_fold(run: _Run) -> int:
    """Return the training speaker whom a run held out; SelectionError, if it isn't a fold."""
    row = run.row
    named = str(row["validation_speakers"])
    if row["validation"] != "speaker" or not named.isdigit():
        raise SelectionError(
            f"{run.name}: no single speaker was held out. A fold needs `validation: speaker` and "
            "one number in `validation_speakers`, and a data set whose files say who speaks."
        )
    speaker = int(named)
    if set(run.scores.speaker.tolist()) != {speaker} or run.scores.file.any():
        raise SelectionError(
            f"{run.name}: its class scores aren't those of speaker {named} in the training file."
        )
    if abs(run.scores.is_correct.mean() - row["validation_accuracy"]) > ROUNDING:
        raise SelectionError(
            f"{run.name}: its class scores give another accuracy than its row has."
        )
    return speaker


def _speaker_of_both_files(run: _Run) -> int:
    """Return the speaker whom a run held out of both files; SelectionError, if there is none."""
    protocol = run.row["protocol"]
    if protocol != "leave_one_speaker_out":
        raise SelectionError(
            f"{run.name}: its protocol is {protocol}, not leave_one_speaker_out, so nobody was "
            "held out of both files."
        )
    return int(run.row["held_out"])
