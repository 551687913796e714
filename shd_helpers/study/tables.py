"""Read tables of runs, ``results/*.csv``, what the runs predicted, and what their sweeps planned.

A sweep writes its table: see `sweeps.runner`. Some frozen tables have predictions beside them.
"""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock

from shd_corpus.files import reading
from shd_helpers.paths import ROOT, results_dir

PLANS = ROOT / "results" / "plans.json"

# The columns of a table, besides a run's parameters.
SCORES = (
    "train_accuracy",
    "validation_accuracy",
    "test_accuracy",
    "test_seen_accuracy",
    "test_unseen_accuracy",
)
INTEGER = (  # of a circuit, which computes in integers
    "integer_validation_accuracy",
    "integer_test_accuracy",
    "integer_test_seen_accuracy",
    "integer_test_unseen_accuracy",
    "integer_agreement",  # how often a circuit and its network answer the same
)
COSTS = (
    "parameters",
    "footprint_bytes",
    "unrolled_synapses",
    "neuron_updates",
    "effective_acs",
    "macs",
    "input_events",
    "hidden_spikes",
    "late_spikes",
)
TIMES = ("training_s", "total_s")
MEASURED = (*SCORES, *INTEGER, *COSTS, *TIMES)
DATA = ("train_sha256", "test_sha256")
USER_CODE_SHA256 = "user_code_sha256"  # of a user's own Python files; absent from most tables
# Of runs with augmented recordings, in frozen tables: see evidence/README.md.
AUGMENTED = ("augmented_train_sha256", "augmented_test_sha256", "augmented_evidence")
# Where and with which code a run was made; rows that are older than these columns have none.
PROVENANCE = ("processor", "versions", "commit")
# All columns that a row adds to a run's parameters. An axis or a parameter of such a name would be
# lost.
COLUMNS = frozenset(
    {
        "configuration",
        *MEASURED,
        *DATA,
        USER_CODE_SHA256,
        *PROVENANCE,
        "hash",
        "status",
        "error",
    }
)
# Columns that are texts, even where they look like numbers, such as a hash of digits.
_TEXTS = (
    "configuration",
    "circuit",
    "validation_speakers",
    "hidden",
    "hidden_delays",
    "run_name",
    *DATA,
    USER_CODE_SHA256,
    *AUGMENTED,
    *PROVENANCE,
    "hash",
    "status",
    "error",
)
# The columns of a file of predictions, and their types.
_TYPES = {
    "hash": str,  # of the run
    "file": str,  # of the utterance: train or test
    "row": int,  # in that file
    "speaker": int,
    "seen": bool,  # whether the speaker was in the run's training set
    "label": str,
    "predicted": str,
}
# Some frozen tables have no confidence, and runs without a circuit no integer_predicted.
_OPTIONAL = {"confidence": float, "integer_predicted": str}
# Numbers as Python writes them; a longer whole number than that can't be read.
_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,999})")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?(e[+-]?[0-9]+)?")
# `git restore` refuses a file that a merge has left with conflict marks
RESTORE = "Restore it (git checkout HEAD -- results), or move it away and run the sweep again."


class TableError(ValueError):
    """A table is missing, damaged or incomplete; the message names the file and the remedy."""


def read_rows(path: Path) -> pd.DataFrame:
    """Read all rows of a table, those of runs that failed, too."""
    table = read_texts(path)
    for name in table.columns.difference(_TEXTS):
        table[name] = _as_values(table[name])
    return table


def read_texts(path: Path) -> pd.DataFrame:
    """Return a table's file as text, one row for each run; empty if there is no file."""
    if not path.exists():
        return pd.DataFrame({name: [] for name in _TEXTS}, dtype=str)
    with reading(path, TableError, RESTORE):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
        is_right = table["status"].isin(["done", "failed"]) & ~table["run_name"].duplicated()
        if not {"configuration", "hash", "seed"} <= {*table} or not is_right.all():
            raise ValueError(
                f"row {1 + is_right.argmin()} is not of a run, or has the run_name of another row"
            )
    return table


def _as_values(texts: pd.Series) -> pd.Series:
    """Convert a column of texts to truth values or numbers, if all of them are such.

    An empty text is a missing number. Other texts must be written as Python writes numbers: names
    of values such as "128_64", "01" and "nan" stay texts.
    """
    if set(texts) <= {"True", "False"}:
        return texts == "True"
    if texts.map(_WHOLE.fullmatch).notna().all():
        return texts.map(int)
    if texts[texts != ""].map(_NUMBER.fullmatch).notna().all():
        return texts.map(lambda text: float(text or "nan"))
    return texts


def locked(path: Path) -> FileLock:
    """Return a lock on a folder of tables, because two sweeps may write the same one at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path.parent / ".lock")


def table_path(name: str | Path) -> Path:
    """Return the file of a table."""
    is_path = isinstance(name, Path) or "/" in name or name.endswith(".csv")
    return Path(name) if is_path else results_dir() / f"{name}.csv"


def read_table(name: str | Path) -> pd.DataFrame:
    """Read the runs of a sweep that have ended well.

    Parameters
    ----------
    name : str or Path
        A file in ``results/``, without its ending (the sweep's name and its data set's), or the
        path of a table.

    Returns
    -------
    DataFrame
        A row for each run, numbers with all their digits: `configuration`, parameters, what was
        measured (accuracies as fractions), hashes and provenance.

    Raises
    ------
    TableError
        If there is no such table, or no run in it has ended well.
    """
    path = table_path(name)
    if not path.exists():
        there = ", ".join(sorted(file.stem for file in path.parent.glob("*.csv")))
        raise TableError(f"{path}: no such table. Run its sweep, or choose one of these: {there}.")
    table = read_rows(path)
    table = table[table.status == "done"]
    if not len(table):
        raise TableError(f"{path}: no run in it has ended well. {RESTORE}")
    return table


def read_plans() -> dict[str, dict[str, Any]]:
    """Return what the sweeps of frozen tables planned to compare."""
    return json.loads(PLANS.read_text(encoding="utf-8"))


def plan_of(sweep: str) -> dict[str, Any]:
    """Return what a sweep planned to compare, before its first run.

    Parameters
    ----------
    sweep : str
        A sweep whose table is frozen, such as ``final``.

    Returns
    -------
    dict
        The `plan` in the sweep's file, empty if it has none.

    Raises
    ------
    TableError
        If there is no such sweep.
    """
    plans = read_plans()
    if sweep not in plans:
        there = ", ".join(name for name, plan in plans.items() if plan)
        raise TableError(f"{sweep}: {PLANS} has no such sweep. These have a plan: {there}.")
    return plans[sweep]


def collect_predictions(name: str | Path) -> pd.DataFrame:
    """Return what every run of a frozen table predicted.

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
    table = table_path(name)
    path = table.with_name(f"{table.stem}_predictions.csv.gz")
    with reading(path, TableError, RESTORE):
        predictions = pd.read_csv(
            path,
            dtype=_TYPES | _OPTIONAL,
            keep_default_na=False,  # the German digit "null" is a word
            na_values={"confidence": ""},
            compression="gzip",
        ).astype(_TYPES)  # KeyError, if a column is missing
    is_missing = ~runs["hash"].isin(predictions["hash"])
    if is_missing.any():
        raise TableError(f"{path}: {is_missing.sum()} runs are missing. {RESTORE}")
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
