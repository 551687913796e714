"""Count how often utterances that judge a network were looked at.

``python -m scripts.looks`` reads all versions of the tables of the Heidelberg Digits (``hd``) in
the git history. So a table that was removed still counts. It adds the looks without a table, which
`NO_TABLE` lists by hand with their sources. It writes ``results/looks.csv`` and
``results/looks_best.csv``, and puts tables made from them into ``results/README.md``.

One *look* is one set of test utterances scored with one network. The network is that of a run of a
sweep, or it was changed after training (rounded, disturbed) and scored again. The same look in a
later version of a table, or in another table, counts once. It is recognized by its scores, because
hashes and names of configurations were migrated.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Hashable, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from scripts.looks_by_hand import AGAIN, LEFT_OUT, NO_TABLE, OFFICIAL, RUN, VALIDATED, Look
from scripts.looks_page import read_counts, render, with_tables
from scripts.table_history import History, HistoryError, sweep_of
from shd_helpers.command import run
from shd_helpers.files import atomic
from shd_helpers.paths import ROOT, results_dir
from shd_helpers.sweeps import plan_of

JUDGES = {"leave_one_speaker_out": LEFT_OUT, "official": OFFICIAL}

COUNTS_FILE = "looks.csv"
BEST_FILE = "looks_best.csv"
OFFICIAL_SWEEPS = ("benchmark", "judged_official")  # 20 classes, tested on the official file

# A run's scores, its seed and whom it leaves out identify it in every version of every table.
SCORES = (
    "train_accuracy",
    "validation_accuracy",
    "test_accuracy",
    "test_seen_accuracy",
    "test_unseen_accuracy",
)
ABOUT = ("seed", "held_out", "protocol", "language")


class ScoredAgain(NamedTuple):
    """The columns of a table of networks that were changed after training and scored again."""

    change: tuple[str, ...]  # what was done to the network
    scores: tuple[str, ...]  # and which draw of it, where there are several


# By the tables' names. Columns that came or went are not used.
SCORED_AGAIN = {
    "circuit_bits_small": ScoredAgain(("circuit",), ("float_accuracy", "accuracy", "agreement")),
    "circuit_disturbances": ScoredAgain(
        ("kind", "strength"),
        ("draw", "test_accuracy", "test_seen_accuracy", "test_unseen_accuracy"),
    ),
    "circuit_faults": ScoredAgain(("kind", "strength"), ("draw", "accuracy")),
    "circuit_stopping": ScoredAgain(
        ("silence", "margin"), ("test_seen_accuracy", "test_unseen_accuracy")
    ),
    "conditions": ScoredAgain(("network", "condition"), ("condition",)),
    "nir_importers": ScoredAgain(("reader",), ("accuracy", "own_accuracy")),
    # its sweep scores one of both files, too; these looks are counted here alone
    "ten_ms": ScoredAgain(("model", "test"), ("test", "accuracy")),
}
NOISE = "noise alone"  # the condition without an utterance


def _kinds(runs: pd.DataFrame) -> pd.Series:
    """Return what each run's configuration names first, such as the network of ``model=small``."""
    return runs.configuration.str.extract(r"=([^,]*)", expand=False)


def scored_runs(history: History) -> pd.DataFrame:
    """Find the runs of sweeps that scored test utterances.

    Parameters
    ----------
    history : History
        The committed tables.

    Returns
    -------
    DataFrame
        A row for each run, in its first version: `sweep`, `time`, `judge` (which utterances were
        scored), `kind` (the first value of its configuration) and the columns of the table. Later
        versions add only the scores of circuits, which the first versions lack.
    """
    runs_by_scores: dict[Hashable, dict] = {}
    for commit, time, path in history.changes("results/*_hd.csv"):
        table = history.read(commit, path)
        if "test_accuracy" not in table:
            continue
        for row in table[table.test_accuracy.notna()].to_dict("records"):
            key = tuple(_rounded(row.get(name)) for name in (*SCORES, *ABOUT))
            new = {"sweep": sweep_of(path), "time": time} | row
            first_version = runs_by_scores.setdefault(key, new)
            if pd.notna(row.get("integer_test_unseen_accuracy")):
                integer_accuracy = row["integer_test_unseen_accuracy"]
                first_version["integer_test_unseen_accuracy"] = integer_accuracy
    runs = pd.DataFrame(runs_by_scores.values())
    return runs.assign(kind=_kinds(runs), judge=runs.protocol.map(JUDGES))


def _rounded(value: object) -> Hashable:
    """Return a value of a table so that equal ones are equal in all versions of the table."""
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 6)
    return str(value)


def count_runs(history: History, runs: pd.DataFrame) -> list[Look]:
    """Count the runs of each sweep, and the circuits that were scored with them.

    Parameters
    ----------
    history : History
        The committed tables.
    runs : DataFrame
        From `scored_runs`.

    Returns
    -------
    list of Look
        One or two lines for each sweep.
    """
    lines = []
    for name, of_sweep in runs.groupby("sweep", sort=False):
        table = f"results/{name}_hd.csv"
        planned = history.first(f"sweeps/{name}.yaml")
        first_results = history.first(table)
        judge = of_sweep.judge.iloc[0]
        circuits = of_sweep[of_sweep.integer_test_unseen_accuracy.notna()]
        counted = [(str(name), RUN, of_sweep)]
        if len(circuits):
            counted.append((f"{name}: in integers", AGAIN, circuits))
        for label, kind, rows in counted:
            lines.append(
                Look(
                    name=label,
                    kind=kind,
                    judged_by=judge,
                    configurations=rows.kind.nunique(),
                    looks=len(rows),
                    planned=planned,
                    first_results=first_results,
                    source=table,
                )
            )
    return lines


def count_validated(history: History, speakers: set[int]) -> list[Look]:
    """Count the runs of sweeps that validated on speakers whom some selection didn't use.

    Parameters
    ----------
    history : History
        The committed tables.
    speakers : set of int
        These speakers.

    Returns
    -------
    list of Look
        A line for each such sweep, counted in the last version of its table that has such runs.
    """
    lines: dict[str, Look] = {}
    for commit, time, path in history.changes("results/*_hd.csv"):
        table = history.read(commit, path)
        if "validation_speakers" not in table:
            continue
        validates = table.validation.astype(str) == "speaker"
        uses = table.validation_speakers.map(lambda text: bool(speakers & _speakers(text)))
        if not (uses & validates).any():
            continue
        used = table[validates]
        name = sweep_of(path)
        first_results = lines[name].first_results if name in lines else time
        lines[name] = Look(
            name=name,
            kind=VALIDATED,
            judged_by=LEFT_OUT,
            configurations=_kinds(used).nunique(),
            looks=len(used),
            planned=history.first(f"sweeps/{name}.yaml"),
            first_results=first_results,
            source=path,
        )
    return list(lines.values())


def _speakers(written: object) -> set[int]:
    """Return the speakers in a cell such as ``"8,9"`` (pandas may have read ``8.0``, or NaN)."""
    numbers = set()
    for text in str(written).split(","):
        if text.strip() not in ("", "nan"):
            numbers.add(int(float(text)))
    return numbers


def count_scored_again(history: History) -> list[Look]:
    """Count the scores of networks that were changed after their training.

    Parameters
    ----------
    history : History
        The committed tables.

    Returns
    -------
    list of Look
        One line for each table and judge. Of several versions of a table those scores are counted
        that any of them has: the largest number of rows of each combination of scores.
    """
    lines = []
    for name, columns in SCORED_AGAIN.items():
        rows: dict[str, Counter] = {LEFT_OUT: Counter(), OFFICIAL: Counter()}
        changes: dict[str, set] = {LEFT_OUT: set(), OFFICIAL: set()}
        path = f"results/{name}.csv"
        for commit, _, _ in history.changes(path):
            table = _on_test(name, history.read(commit, path))
            for judge, of_judge in table.groupby("judge"):
                keys = ["speaker", "seed", columns.change[0], *columns.scores]
                keys = [key for key in keys if key in of_judge]
                rows[str(judge)] |= Counter(_rows_as_text(of_judge, keys))
                if set(columns.change) <= set(of_judge):
                    changes[str(judge)] |= set(_rows_as_text(of_judge, columns.change))
        for judge in (LEFT_OUT, OFFICIAL):
            if rows[judge]:
                lines.append(
                    Look(
                        name=name,
                        kind=AGAIN,
                        judged_by=judge,
                        configurations=len(changes[judge]),
                        looks=rows[judge].total(),
                        first_results=history.first(path),
                        source=path,
                    )
                )
    return lines


def _rows_as_text(table: pd.DataFrame, columns: Sequence[str]) -> list[tuple[str, ...]]:
    """Return each row of some columns as a tuple of texts."""
    return [tuple(row) for row in table[list(columns)].astype(str).to_numpy()]


def _on_test(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a table of `SCORED_AGAIN` that read test utterances, with their judge."""
    if name == "conditions":  # a row is one utterance there, not a score
        if "network" not in table:
            table = table.assign(network="reference")  # that of the first versions
        table = table[table.condition != NOISE]
        table = table.drop_duplicates(["network", "condition", "speaker"])
    if name == "ten_ms":  # both files have the official test utterances
        return table.assign(judge=OFFICIAL)
    if name == "nir_importers":
        table = table[table.accuracy.notna()]
    if name == "circuit_faults":  # the other network was scored on utterances that validated
        return table[table.circuit.str.startswith("circuit_0")].assign(judge=OFFICIAL)
    if name == "circuit_bits_small":
        n_utterances = table["n_utterances" if "n_utterances" in table else "n_words"]
        is_official = (table.speaker < 0) & (n_utterances > 2000)
        judge = np.where(table.speaker >= 0, LEFT_OUT, np.where(is_official, OFFICIAL, ""))
        return table.assign(judge=judge)[judge != ""]
    return table.assign(judge=LEFT_OUT)


def flattered(right: pd.DataFrame, weights: pd.Series) -> tuple[str, float, float]:
    """Choose the best configuration, by all speakers and by all but the one that it is scored on.

    Parameters
    ----------
    right : DataFrame
        Accuracies in percent: a row for each speaker, a column for each configuration.
    weights : Series
        How much each speaker counts.

    Returns
    -------
    name : str
        The best configuration.
    best : float
        Its mean accuracy, percent.
    nested : float
        The mean accuracy of those that the other speakers choose for each speaker, percent.
    """
    nested = []
    for speaker in right.index:
        others = right.drop(speaker)
        mean = np.average(others, weights=weights.drop(speaker), axis=0)
        nested.append(right.loc[speaker].iloc[mean.argmax()])
    means = pd.Series(np.average(right, weights=weights, axis=0), right.columns)
    return str(means.idxmax()), float(means.max()), float(np.average(nested, weights=weights))


def left_out_accuracies(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracies of the English candidates for the speakers that tuned no recipe.

    Parameters
    ----------
    runs : DataFrame
        From `scored_runs`.

    Returns
    -------
    DataFrame
        Percent: a row for each speaker, a column for each configuration of each sweep. Those that
        were tested on some of the speakers only aren't included.
    """
    speakers = plan_of("final")["unseen_speakers"]
    runs = runs[(runs.judge == LEFT_OUT) & runs.held_out.isin(speakers)]
    runs = runs[runs.language == "english"]
    accuracy = 100 * runs.integer_test_unseen_accuracy.fillna(runs.test_unseen_accuracy)
    by_speaker = accuracy.groupby([runs.held_out, runs.sweep + ": " + runs.kind]).mean().unstack()
    return by_speaker.dropna(axis=1)


def official_accuracies(history: History) -> tuple[pd.DataFrame, pd.Series]:
    """Return accuracies on the official test file, of the benchmark and of what was selected.

    Parameters
    ----------
    history : History
        The committed tables.

    Returns
    -------
    accuracies : DataFrame
        Percent: a row for each speaker, a column for each network.
    sizes : Series
        Number of utterances of each speaker.
    """
    columns: dict[str, pd.Series] = {}
    sizes = pd.Series(dtype=float)
    for sweep in OFFICIAL_SWEEPS:
        for commit, _, path in history.changes(f"results/{sweep}_hd_predictions.csv.gz"):
            predictions = history.read(commit, path)
            table = history.read(commit, f"results/{sweep}_hd.csv")
            kind_of = dict(zip(table["hash"], _kinds(table), strict=True))
            kind = predictions["hash"].map(kind_of)
            right = 100.0 * (predictions.label == predictions.predicted)
            by_speaker = right.groupby([predictions.speaker, kind]).mean().unstack()
            columns |= {f"{sweep}: {name}": by_speaker[name] for name in by_speaker}
            one_run = predictions[predictions["hash"] == predictions["hash"].iloc[0]]
            sizes = one_run.groupby("speaker").size()
    return pd.DataFrame(columns), sizes


def count(history: History) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Count all looks, and how much the best of many candidates is flattered.

    Parameters
    ----------
    history : History
        The committed tables.

    Returns
    -------
    looks : DataFrame
        ``looks.csv``: the fields of `Look`, and the commit.
    best : DataFrame
        ``looks_best.csv``: a row for each judge.
    """
    runs = scored_runs(history)
    unused = set(plan_of("reference")["unseen_speakers"])
    lines = count_runs(history, runs)
    lines += count_validated(history, unused)
    lines += count_scored_again(history)
    lines += NO_TABLE
    looks = pd.DataFrame(lines).assign(commit=history.name())
    left_out = left_out_accuracies(runs)
    official, sizes = official_accuracies(history)
    of_judge = {
        LEFT_OUT: (left_out, pd.Series(1, left_out.index)),
        OFFICIAL: (official, sizes.loc[official.index]),
    }
    rows = []
    for judge, (right, weights) in of_judge.items():
        name, best, nested = flattered(right, weights)
        rows.append(
            {
                "judged_by": judge,
                "candidates": right.shape[1],
                "best": name,
                "best_accuracy": round(best, 4),
                "nested_accuracy": round(nested, 4),
            }
        )
    return looks, pd.DataFrame(rows)


def main() -> None:
    """Count, and write both tables and the page that quotes them."""
    parser = argparse.ArgumentParser(prog="python -m scripts.looks", description=__doc__)
    parser.add_argument("commit", nargs="?", default="HEAD", help="the last commit to count")
    try:
        history = History(ROOT, parser.parse_args().commit)
    except HistoryError as error:
        sys.exit(str(error))
    if not history.is_complete():
        sys.exit("This clone lacks old commits, which are counted. Run: git fetch --unshallow")
    looks, best = count(history)
    folder = results_dir()
    for name, table in ((COUNTS_FILE, looks), (BEST_FILE, best)):
        with atomic(folder / name) as unfinished:
            table.to_csv(unfinished, index=False)
        print(folder / name)
    page = folder / "README.md"
    tables = render(read_counts(folder / COUNTS_FILE), pd.read_csv(folder / BEST_FILE))
    text = with_tables(page.read_text(encoding="utf-8"), tables)
    with atomic(page) as unfinished:
        unfinished.write_text(text, encoding="utf-8")
    print(page)


if __name__ == "__main__":
    run(main)
