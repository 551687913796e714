"""Run all benchmarks and write ``results/bench.csv`` (``make bench``).

Leave the machine alone meanwhile. Name benchmarks to run only these; the others' rows stay.
"""

import argparse
from importlib import import_module

import pandas as pd

from shd_helpers.files import atomic
from shd_helpers.paths import results_dir

# imported when their turn comes, for a sweep's workers import this file again, with all it imports
BENCHMARKS = tuple("data engine cochlea say explorers sweeps circuit training".split())


def main() -> None:
    """Print and write the tables, each as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    names = parser.parse_args().names or BENCHMARKS
    if not set(names) <= set(BENCHMARKS):
        parser.error(f"there are {', '.join(BENCHMARKS)}")
    path = results_dir() / "bench.csv"
    for name in names:
        new = pd.DataFrame(import_module(f"bench_{name}").rows()).assign(suite=name)
        old = pd.read_csv(path) if path.exists() else new.head(0)
        with atomic(path) as part:
            pd.concat([old[old.suite != name], new]).to_csv(part, index=False, float_format="%.4g")
        print(f"\n{name}\n{new.drop(columns='suite').to_string(index=False)}", flush=True)


if __name__ == "__main__":
    main()
