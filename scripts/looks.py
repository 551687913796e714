"""Count how often utterances that judge a network were looked at.

``python -m scripts.looks`` reads every version of every table of the Heidelberg Digits (``hd``) in
the git history, so that a table that left the tree still counts. It adds the looks that left no
table, which `NO_TABLE` lists by hand with their sources. It writes ``results/looks.csv`` and
``results/looks_best.csv``, and puts the tables made of them into ``results/README.md``.

One *look* is one set of test utterances scored with one network: a run of a sweep, or a network
that was changed after training (rounded, disturbed) and scored again. The same look in a later
version of a table, or in another table, counts once. It is recognized by its scores, because
hashes and names of configurations were migrated.
"""

import argparse
import io
import subprocess
import sys
from collections import Counter
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from shd_helpers.command import run
from shd_helpers.files import atomic
from shd_helpers.paths import ROOT, results_dir
from shd_helpers.study.tables import with_current_names
from shd_helpers.sweeps import plan_of

LEFT_OUT = "held-out speakers"
OFFICIAL = "official test file"
JUDGES = {"leave_one_speaker_out": LEFT_OUT, "official": OFFICIAL}
# Sweeps that were renamed: today's names by the first ones.
RENAMED_SWEEPS = {"original_left_out": "original_leave_one_speaker_out"}
RUN = "run of a sweep"
VALIDATED = "run that validated"
AGAIN = "network scored again"
READ = "reading without a table"

COUNTS_FILE = "looks.csv"
BEST_FILE = "looks_best.csv"
BEGIN = "<!-- scripts/looks.py writes the lines from here -->"
END = "<!-- to here -->"

# A run's scores, its seed and whom it leaves out identify it in every version of every table.
SCORES = (
    "train_accuracy",
    "validation_accuracy",
    "test_accuracy",
    "test_seen_accuracy",
    "test_unseen_accuracy",
)
ABOUT = ("seed", "held_out", "protocol", "language")

# Tables of networks that were changed after training and scored again, and their columns that name
# what was done to a network and that have its scores. Columns that came or went are not used.
SCORED_AGAIN = {
    "circuit_bits_small": (("circuit",), ("float_accuracy", "accuracy", "agreement")),
    "circuit_disturbances": (("kind", "strength"), ("draw", *SCORES[2:])),
    "circuit_faults": (("kind", "strength"), ("draw", "accuracy")),
    "circuit_stopping": (("silence", "margin"), SCORES[3:]),
    "conditions": (("condition",), ()),
    "nir_importers": (("reader",), ("accuracy", "own_accuracy")),
}
NOISE = "noise alone"  # the condition without an utterance


class Look(NamedTuple):
    """One line of the count."""

    name: str
    kind: str
    judged_by: str
    configurations: int
    looks: int
    planned: str  # when the sweep's file entered the history, empty if unknown
    first_results: str  # when its table did
    source: str  # where the looks can be found


_REVIEW = "a review of commit d64e901, 2026-11-29"
NO_TABLE = (
    Look(
        "networks scored on speakers 4 and 5 before the candidates were listed, one seed each",
        READ,
        LEFT_OUT,
        5,
        5,
        "",
        "2026-11-28",
        "none; reported with commit 343e159",
    ),
    Look(
        "networks scored on speakers 2 and 11 before the candidates were listed, one seed each",
        READ,
        LEFT_OUT,
        4,
        4,
        "",
        "2026-11-28",
        "none; reported with commit 343e159",
    ),
    Look(
        "eight properties of a voice against its accuracy",
        READ,
        LEFT_OUT,
        8,
        8,
        "",
        "2026-11-28",
        "docs/tried.md, networks (bd184f3)",
    ),
    Look(
        "a limit for the confidence: small, then reference",
        READ,
        LEFT_OUT,
        2,
        72,
        "",
        "2026-11-28",
        "scripts/confidence_thresholds.py; 36 runs each",
    ),
    Look(
        "official spikes and ours, one network",
        READ,
        OFFICIAL,
        2,
        2,
        "",
        "2026-11-25",
        "docs/data.md",
    ),
    Look(
        "the study's network with seed 0 on another processor",
        READ,
        OFFICIAL,
        1,
        1,
        "",
        "2026-11-29",
        "sweeps/README.md",
    ),
    Look(
        "ensembles of existing predictions: reference; adapting 256; both; no spikes; all three",
        READ,
        LEFT_OUT,
        5,
        5,
        "",
        "2026-11-29",
        _REVIEW,
    ),
    Look(
        "majorities of five seeds: reference 89.7 %, adapting network 94.3 % (its mean: 92.6 %)",
        READ,
        OFFICIAL,
        2,
        2,
        "",
        "2026-11-29",
        _REVIEW,
    ),
    Look(
        "errors by class, language and speaker: reference, adapting network",
        READ,
        OFFICIAL,
        2,
        2,
        "",
        "2026-11-29",
        _REVIEW,
    ),
    Look(
        "the small circuit's loss over all twelve speakers",
        READ,
        LEFT_OUT,
        1,
        1,
        "",
        "2026-11-29",
        _REVIEW,
    ),
)


class History:
    """The committed tables of a repository, in every version.

    Parameters
    ----------
    root : Path
        The repository.
    commit : str
        Its history up to here is read.
    """

    def __init__(self, root: Path = ROOT, commit: str = "HEAD") -> None:
        self._root, self._commit = root, commit

    def git(self, *arguments: str) -> bytes:
        """Return what git prints."""
        command = ["git", "-C", str(self._root), *arguments]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout

    def is_complete(self) -> bool:
        """Tell whether the clone has all commits."""
        return self.git("rev-parse", "--is-shallow-repository").strip() == b"false"

    def name(self) -> str:
        """Return the commit's short name."""
        return self.git("rev-parse", "--short=7", self._commit).decode().strip()

    def changes(self, pattern: str) -> Iterator[tuple[str, str, str]]:
        """Yield commit, time and path of each version of the files of a pattern, oldest first."""
        log = self.git(
            "log", "--reverse", "--no-renames", "--name-status", "--format=commit %h %ad",
            "--date=format:%Y-%m-%d %H:%M", self._commit, "--", pattern,
        )  # fmt: skip
        commit = time = ""
        for line in log.decode().splitlines():
            if line.startswith("commit "):
                _, commit, time = line.split(" ", 2)
            elif line and not line.startswith("D"):
                yield commit, time, line.split("\t")[1]

    def read(self, commit: str, path: str) -> pd.DataFrame:
        """Return a table as it was at a commit."""
        packed = path.endswith(".gz")
        # Of predictions the German word "null" is a label, no missing value.
        how = {"keep_default_na": False} if packed else {"low_memory": False}
        file = io.BytesIO(self.git("show", f"{commit}:{path}"))
        table = pd.read_csv(file, compression="gzip" if packed else None, **how)
        return with_current_names(table)

    def first(self, path: str) -> str:
        """Return when a file entered the history; empty if it never did.

        The file may have entered it under the first name of its sweep.
        """
        paths = [path]
        for first, today in RENAMED_SWEEPS.items():
            paths.append(path.replace(today, first))
        times = [time for name in paths for _, time, _ in self.changes(name)]
        return min(times, default="")


def sweep_of(path: str) -> str:
    """Return today's name of the sweep whose table has a path."""
    name = Path(path).stem.removesuffix("_hd")
    return RENAMED_SWEEPS.get(name, name)


def scored_runs(history: History) -> pd.DataFrame:
    """Return a row for each run of a sweep that scored test utterances, in its first version.

    Columns are `sweep`, `time`, `configuration`, `integers` (a circuit was scored, too) and those
    of the table.
    """
    found: dict[Hashable, dict] = {}
    for commit, time, path in history.changes("results/*_hd.csv"):
        table = history.read(commit, path)
        if "test_accuracy" not in table:
            continue
        for row in table[table.test_accuracy.notna()].to_dict("records"):
            key = tuple(_rounded(row.get(name)) for name in (*SCORES, *ABOUT))
            new = {"sweep": sweep_of(path), "time": time}
            kept = found.setdefault(key, new | row)
            if pd.notna(row.get("integer_test_unseen_accuracy")):  # older versions lack it
                kept["integer_test_unseen_accuracy"] = row["integer_test_unseen_accuracy"]
    runs = pd.DataFrame(found.values())
    kind = runs.configuration.str.extract(r"=([^,]*)", expand=False)
    return runs.assign(kind=kind, judge=runs.protocol.map(JUDGES))


def _rounded(value: object) -> Hashable:
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 6)
    return str(value)


def count_runs(history: History, runs: pd.DataFrame) -> list[Look]:
    """Count the runs of each sweep, and the circuits that were scored with them."""
    lines = []
    for name, of in runs.groupby("sweep", sort=False):
        table = f"results/{name}_hd.csv"
        times = history.first(f"sweeps/{name}.yaml"), history.first(table)
        about = of.judge.iloc[0], of.kind.nunique()
        lines.append(Look(str(name), RUN, *about, len(of), *times, table))
        circuits = of[of.integer_test_unseen_accuracy.notna()]
        if len(circuits):
            about = of.judge.iloc[0], circuits.kind.nunique()
            again = Look(f"{name}: in integers", AGAIN, *about, len(circuits), *times, table)
            lines.append(again)
    return lines


def count_validated(history: History, speakers: set[int]) -> list[Look]:
    """Count the runs of sweeps that validated on speakers whom the last selection didn't use."""
    lines: dict[str, Look] = {}
    for commit, time, path in history.changes("results/*_hd.csv"):
        table = history.read(commit, path)
        if "validation_speakers" not in table:
            continue
        texts = table.validation_speakers.astype(object).fillna("").astype(str)
        validates = table.validation.astype(str) == "speaker"
        uses = texts.map(lambda text: bool(speakers & {int(float(s)) for s in _parts(text)}))
        used = table[validates] if (uses & validates).any() else table[:0]
        name = sweep_of(path)
        if len(used):
            kinds = used.configuration.str.extract(r"=([^,]*)", expand=False).nunique()
            first = lines[name].first_results if name in lines else time
            planned = history.first(f"sweeps/{name}.yaml")
            lines[name] = Look(name, VALIDATED, LEFT_OUT, kinds, len(used), planned, first, path)
    return list(lines.values())


def _parts(text: str) -> list[str]:
    return [part for part in text.split(",") if part.strip() not in ("", "nan")]


def count_scored_again(history: History) -> list[Look]:
    """Count the scores of networks that were changed after their training.

    Of several versions of a table those are counted that any of them has: the largest number of
    rows of each combination of scores.
    """
    lines = []
    for name, (what, scores) in SCORED_AGAIN.items():
        rows: dict[str, Counter] = {LEFT_OUT: Counter(), OFFICIAL: Counter()}
        kinds: dict[str, set] = {LEFT_OUT: set(), OFFICIAL: set()}
        path = f"results/{name}.csv"
        for commit, _, _ in history.changes(path):
            table = _on_test(name, history.read(commit, path))
            for judge, of in table.groupby("judge"):
                keys = ["speaker", "seed", what[0], *scores]
                keys = [key for key in keys if key in of]
                rows[str(judge)] |= Counter(map(tuple, of[keys].astype(str).to_numpy()))
                if {*what} <= {*of}:
                    kinds[str(judge)] |= {*map(tuple, of[[*what]].astype(str).to_numpy())}
        for judge in (LEFT_OUT, OFFICIAL):
            if rows[judge]:
                counts = len(kinds[judge]), rows[judge].total()
                lines.append(Look(name, AGAIN, judge, *counts, "", history.first(path), path))
    return lines


def _on_test(name: str, table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a table of `SCORED_AGAIN` that read test utterances, with their judge."""
    if name == "conditions":  # a row is one utterance there, not a score
        table = table[table.condition != NOISE].drop_duplicates(["condition", "speaker"])
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
    tuple
        The best's name and mean, and the mean of those that the other speakers choose for each.
    """
    means = {s: np.average(right.drop(s), weights=weights.drop(s), axis=0) for s in right.index}
    nested = [right.loc[s].iloc[mean.argmax()] for s, mean in means.items()]
    every = pd.Series(np.average(right, weights=weights, axis=0), right.columns)
    return str(every.idxmax()), float(every.max()), float(np.average(nested, weights=weights))


def left_out_accuracies(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the percentages of the English candidates for the speakers that tuned no recipe."""
    speakers = plan_of("final")["unseen_speakers"]
    runs = runs[(runs.judge == LEFT_OUT) & runs.held_out.isin(speakers)]
    runs = runs[runs.language == "english"]
    accuracy = 100 * runs.integer_test_unseen_accuracy.fillna(runs.test_unseen_accuracy)
    return accuracy.groupby([runs.held_out, runs.sweep + ": " + runs.kind]).mean().unstack()


def official_accuracies(history: History) -> tuple[pd.DataFrame, pd.Series]:
    """Return the benchmark's percentages by speaker and network, and each speaker's utterances."""
    columns: dict[str, pd.Series] = {}
    sizes = pd.Series(dtype=float)
    for commit, _, path in history.changes("results/benchmark_hd_predictions.csv.gz"):
        predictions = history.read(commit, path)
        table = history.read(commit, "results/benchmark_hd.csv")
        kinds = table.configuration.str.extract(r"=([^,]*)", expand=False)
        kind = predictions["hash"].map(dict(zip(table["hash"], kinds, strict=True)))
        right = 100.0 * (predictions.label == predictions.predicted)
        by = right.groupby([predictions.speaker, kind]).mean().unstack()
        columns |= {str(name): by[name] for name in by}
        one_run = predictions[predictions["hash"] == predictions["hash"].iloc[0]]
        sizes = one_run.groupby("speaker").size()
    return pd.DataFrame(columns).rename(columns="benchmark: {}".format), sizes


def count(history: History) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return both tables: `looks.csv` and `looks_best.csv`."""
    runs = scored_runs(history)
    unused = {*plan_of("reference")["unseen_speakers"]}
    lines = count_runs(history, runs) + count_validated(history, unused)
    lines += count_scored_again(history) + list(NO_TABLE)
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
        numbers = {"best_accuracy": round(best, 4), "nested_accuracy": round(nested, 4)}
        about = {"judged_by": judge, "candidates": right.shape[1], "best": name}
        rows.append(about | numbers)
    return looks, pd.DataFrame(rows)


def render(looks: pd.DataFrame, best: pd.DataFrame) -> str:
    """Return the tables for results/README.md, in Markdown."""
    looks = looks.fillna("")
    runs = looks[looks.kind.isin([RUN, VALIDATED])]
    others = looks[looks.kind.isin([AGAIN, READ])]
    text = [f"Counted at commit `{looks.commit.iloc[0]}`.", "", "Runs of sweeps:", ""]
    text += _header("sweep", "judged by", "configurations", "runs", "planned", "first results")
    for row in runs.itertuples():
        judge = row.judged_by + (", as validation" if row.kind == VALIDATED else "")
        numbers = f"{row.configurations} | {row.looks:,}"
        text.append(f"| {row.name} | {judge} | {numbers} | {row.planned} | {row.first_results} |")
    text += ["", "Networks scored again after training, and looks that left no table:", ""]
    text += _header("what", "judged by", "variants", "looks", "first results", "source")
    for row in others.itertuples():
        numbers = f"{row.configurations} | {row.looks:,}"
        text.append(
            f"| {row.name} | {row.judged_by} | {numbers} | {row.first_results} | {row.source} |"
        )
    text += ["", "In all, and how much the best of many candidates is flattered:", ""]
    text += _header(
        "judged by", "runs", "scored again or read", "candidates", "the best of them",
        "chosen by the other speakers", "flattered by (percentage points)",
    )  # fmt: skip
    for row in best.itertuples():
        of_judge = looks[looks.judged_by == row.judged_by]
        n_runs = of_judge.looks[of_judge.kind == RUN].sum()
        n_others = of_judge.looks[of_judge.kind.isin([AGAIN, READ])].sum()
        points = row.best_accuracy - row.nested_accuracy
        counts = f"{n_runs:,} | {n_others:,} | {row.candidates}"
        accuracies = f"{row.best}, {row.best_accuracy:.1f} % | {row.nested_accuracy:.1f} %"
        text.append(f"| {row.judged_by} | {counts} | {accuracies} | {points:.1f} |")
    return "\n".join(text)


def _header(*names: str) -> list[str]:
    return [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]


def with_tables(page: str, tables: str) -> str:
    """Return a page with the text between its two marks replaced."""
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{tables}\n\n{END}{after}"


def main() -> None:
    """Count, and write both tables and the page that quotes them."""
    parser = argparse.ArgumentParser(prog="python -m scripts.looks", description=__doc__)
    parser.add_argument("commit", nargs="?", default="HEAD", help="count up to it")
    history = History(ROOT, parser.parse_args().commit)
    if not history.is_complete():
        sys.exit("This clone lacks old commits, which are counted. Run: git fetch --unshallow")
    looks, best = count(history)
    folder = results_dir()
    for name, table in ((COUNTS_FILE, looks), (BEST_FILE, best)):
        with atomic(folder / name) as part:
            table.to_csv(part, index=False)
        print(folder / name)
    page = folder / "README.md"
    tables = render(pd.read_csv(folder / COUNTS_FILE), pd.read_csv(folder / BEST_FILE))
    with atomic(page) as part:
        part.write_text(with_tables(page.read_text(encoding="utf-8"), tables), encoding="utf-8")
    print(page)


if __name__ == "__main__":
    run(main)
