"""Run all benchmarks and write ``results/bench.csv`` (``make bench``).

Leave the machine alone meanwhile. Name benchmarks to run only these; the others' rows stay.
"""

import argparse

import bench_cochlea
import bench_data
import bench_engine
import bench_explorers
import bench_sweeps
import pandas as pd

from shd_helpers.files import atomic
from shd_helpers.paths import results_dir

BENCHMARKS = {
    "data": bench_data.rows,
    "engine": bench_engine.rows,
    "cochlea": bench_cochlea.rows,
    "explorers": bench_explorers.rows,
    "sweeps": bench_sweeps.rows,
}


def main() -> None:
    """Print and write the tables, each as soon as it is there."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    names = parser.parse_args().names or list(BENCHMARKS)
    if not set(names) <= set(BENCHMARKS):
        parser.error(f"there are {', '.join(BENCHMARKS)}")
    path = results_dir() / "bench.csv"
    for name in names:
        new = pd.DataFrame(BENCHMARKS[name]()).assign(suite=name)
        old = pd.read_csv(path) if path.exists() else new.head(0)
        with atomic(path) as part:
            pd.concat([old[old.suite != name], new]).to_csv(part, index=False, float_format="%.4g")
        print(f"\n{name}\n{new.drop(columns='suite').to_string(index=False)}", flush=True)


if __name__ == "__main__":
    main()
