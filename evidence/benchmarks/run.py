"""Run all benchmarks and write ``build/bench.csv`` (``make bench``).

Leave the machine alone meanwhile. Name benchmarks to run only these; the others' rows stay.
"""

import argparse
from importlib import import_module

import pandas as pd

from shd_corpus.files import atomic
from shd_helpers.paths import ROOT, results_dir

# imported when their turn comes, because a sweep's workers import this file, too
BENCHMARKS = ("engine", "circuit", "training", "study")


def main() -> None:
    """Print and write the tables, each as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    text = "update the committed table, results/bench.csv, with which README and docs are compared"
    parser.add_argument("--table", action="store_true", help=text)
    arguments = parser.parse_args()
    names = arguments.names or BENCHMARKS
    if not set(names) <= set(BENCHMARKS):
        parser.error(f"there are {', '.join(BENCHMARKS)}")
    folder = results_dir() if arguments.table else ROOT / "build"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "bench.csv"
    for name in names:
        new = pd.DataFrame(import_module(f"evidence.benchmarks.bench_{name}").rows()).assign(
            suite=name
        )
        old = pd.read_csv(path) if path.exists() else new.head(0)
        with atomic(path) as part:
            pd.concat([old[old.suite != name], new]).to_csv(part, index=False, float_format="%.4g")
        print(f"\n{name}\n{new.drop(columns='suite').to_string(index=False)}", flush=True)
    print(f"\nThe table: {path}")


if __name__ == "__main__":
    main()
