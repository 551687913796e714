"""Keep the networks of some runs in ``results/networks/``."""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

from shd_helpers.command import run as run_command
from shd_helpers.paths import runs_dir
from shd_helpers.study import read_run, save_pretrained
from shd_helpers.study.pretrained import networks_dir
from shd_helpers.study.run_folder import RunError


def run_folders(patterns: Iterable[str]) -> list[Path]:
    """Return the folders below `runs_dir` whose paths match, such as ``"sweeps/final_hd/*"``."""
    found = [folder for pattern in patterns for folder in sorted(runs_dir().glob(pattern))]
    return [folder for folder in found if not folder.name.startswith(".")]


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(prog="python -m scripts.networks", description=__doc__)
    parser.add_argument(
        "name", help="of the files; where speakers are left to test, the seed follows"
    )
    parser.add_argument(
        "runs", nargs="+", help="patterns below runs/: 'sweeps/networks_hd/model=study,*'"
    )
    arguments = parser.parse_args()
    try:
        runs = [read_run(folder) for folder in run_folders(arguments.runs)]
    except RunError as error:
        sys.exit(str(error))
    seeds = [run.info["seed"] for run in runs]
    if not runs or len(set(seeds)) < len(seeds):
        parser.error(f"needs runs below {runs_dir()}, each with a seed of its own; found {seeds}")
    for run, seed in zip(runs, seeds, strict=True):
        for_use = run.info["parameters"].get("protocol") == "everybody"  # one, not one of several
        name = arguments.name if for_use else f"{arguments.name}_{seed}"
        save_pretrained(run, path := networks_dir() / f"{name}.npz")
        print(path)


if __name__ == "__main__":
    run_command(main)
