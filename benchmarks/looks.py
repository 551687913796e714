"""Count how often the test was looked at, and how much that flatters the best network.

``python benchmarks/looks.py [COMMIT]`` prints the tables of results/README.md from the tables and
the history of a commit, so that a table that leaves later doesn't lower the count.
"""

import argparse
import io
import subprocess

import numpy as np
import pandas as pd

from shd_helpers.paths import ROOT
from shd_helpers.sweeps import plan_of

JUDGED = {"leave_one_out": "speakers left out", "official": "the official test file"}


def git(*arguments: str) -> bytes:
    """Return what git prints of this repository."""
    return subprocess.run(
        ["git", "-C", ROOT, *arguments], check=True, stdout=subprocess.PIPE
    ).stdout


def read(commit: str, name: str) -> pd.DataFrame:
    """Return a table of `results/` as it was at a commit."""
    table = io.BytesIO(git("show", f"{commit}:results/{name}"))
    packing = "gzip" if name.endswith(".gz") else None
    texts = {"keep_default_na": False} if packing else {"low_memory": False}  # null is a word
    return pd.read_csv(table, compression=packing, **texts)


def tested(commit: str) -> dict[str, pd.DataFrame]:
    """Return the sweeps of people's speech whose runs have test scores, by name."""
    paths = git("ls-tree", "--name-only", commit, "results/").decode().split()
    names = [path.split("/")[1] for path in paths if path.endswith("_hd.csv")]
    tables = {name.removesuffix("_hd.csv"): read(commit, name) for name in names}
    tables = {name: t for name, t in tables.items() if "test_unseen_accuracy" in t}
    tables = {name: t[t.test_unseen_accuracy.notna()] for name, t in tables.items()}
    return {
        name: t.assign(kind=name + ": " + t.configuration.str.extract(r"=([^,]*)", expand=False))
        for name, t in tables.items()
        if len(t)
    }


def first(commit: str, path: str) -> str:
    """Return the day, hour and minute at which a file entered the history."""
    dates = git("log", "--format=%ad", "--date=format:%Y-%m-%d %H:%M", commit, "--", path)
    return dates.decode().splitlines()[-1]


def flattered(right: pd.DataFrame, words: pd.Series) -> tuple[str, float, float]:
    """Choose the best configuration, by all speakers and by all but the one that it is scored on.

    Parameters
    ----------
    right : DataFrame
        Accuracies, percent: a row a speaker, a column a configuration.
    words : Series
        How much each speaker counts.

    Returns
    -------
    tuple
        The best's name and mean, and the mean of those that the others choose for each speaker.
    """
    means = {s: np.average(right.drop(s), weights=words.drop(s), axis=0) for s in right.index}
    nested = [right.loc[s].iloc[mean.argmax()] for s, mean in means.items()]
    every = pd.Series(np.average(right, weights=words, axis=0), right.columns)
    return every.idxmax(), every.max(), float(np.average(nested, weights=words))


def looks(commit: str) -> str:
    """Return both tables in Markdown."""
    tables = tested(commit)
    lines = ["| sweep | judged by | configurations | runs | planned | first results |"]
    lines.append(f"|{'---|' * 6}")
    total: dict[str, np.ndarray] = {}
    for name, table in sorted(tables.items(), key=lambda of: first(commit, f"sweeps/{of[0]}.yaml")):
        judge = JUDGED[table.protocol.iloc[0]]
        count = np.array([table.kind.nunique(), table.hash.nunique()])
        total[judge] = total.get(judge, np.zeros(2, int)) + count
        when = [first(commit, path) for path in (f"sweeps/{name}.yaml", f"results/{name}_hd.csv")]
        lines.append(f"| {name} | {judge} | {count[0]} | {count[1]} | {' | '.join(when)} |")
    runs = pd.concat(t for t in tables.values() if t.protocol.iloc[0] == "leave_one_out")
    runs = runs[runs.held_out.isin(plan_of("final")["strangers"]) & (runs.language == "english")]
    accuracy = 100 * runs.integer_test_unseen_accuracy.fillna(runs.test_unseen_accuracy)
    left_out = accuracy.groupby([runs.held_out, runs.kind]).mean().unstack()
    heard = read(commit, "benchmark_hd_predictions.csv.gz")
    heard = heard.merge(tables["benchmark"][["hash", "kind"]], on="hash")
    right = 100 * (heard.label == heard.predicted)
    official = right.groupby([heard.speaker, heard.kind]).mean().unstack()
    found = {
        "speakers left out": flattered(left_out, pd.Series(1, left_out.index)),
        "the official test file": flattered(official, heard.groupby("speaker").size()),
    }
    heads = "candidates | the best of them | chosen by the other speakers | flattered by"
    lines += ["", f"| judged by | configurations | runs | {heads} |", f"|{'---|' * 7}"]
    for (judge, (name, best, nested)), of in zip(found.items(), (left_out, official), strict=True):
        shown = " | ".join(str(n) for n in total[judge])
        chosen = f"{name}, {best:.1f} % | {nested:.1f} % | {best - nested:.1f} points"
        lines.append(f"| {judge} | {shown} | {of.shape[1]} | {chosen} |")
    return "\n".join(lines)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commit", nargs="?", default="HEAD")
    print(looks(parser.parse_args().commit))
