"""Save the networks of some runs as pretrained ones in ``results/networks/``."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from shd_helpers.command import run as run_command
from shd_helpers.paths import networks_dir, runs_dir
from shd_helpers.study import read_run, save_ensemble, save_pretrained
from shd_helpers.study.run_folder import Run
from shd_helpers.study.run_replacement import RunError


def run_folders(patterns: Iterable[str]) -> list[Path]:
    """Find run folders by their names.

    Parameters
    ----------
    patterns : iterable of str
        Paths below `runs_dir`, such as ``"sweeps/final_hd/*"``.

    Returns
    -------
    list of Path
        The folders that match, without hidden ones.
    """
    folders: list[Path] = []
    for pattern in patterns:
        folders += sorted(runs_dir().glob(pattern))
    return [folder for folder in folders if not folder.name.startswith(".")]


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(prog="python -m scripts.networks", description=__doc__)
    parser.add_argument(
        "name",
        help="name of the files, with the seed added if the networks have speakers to test with",
    )
    parser.add_argument(
        "runs",
        nargs="+",
        help="patterns of run folders below runs/, such as 'sweeps/networks_hd/model=study,*'",
    )
    parser.add_argument(
        "--ensemble",
        action="store_true",
        help="save all runs in one file, as an ensemble, which averages their class scores; the "
        "runs may be of different networks",
    )
    arguments = parser.parse_args()
    try:
        runs = [read_run(folder) for folder in run_folders(arguments.runs)]
    except RunError as error:
        sys.exit(str(error))
    if arguments.ensemble:
        _save_ensemble(runs, networks_dir() / f"{arguments.name}.npz")
        return
    seeds = [run.info["seed"] for run in runs]
    if not runs or len(set(seeds)) < len(seeds):
        parser.error(
            f"runs: the patterns find runs with the seeds {seeds} below {runs_dir()}. Name at "
            "least one run, each with another seed."
        )
    for run, seed in zip(runs, seeds, strict=True):
        # A network that all speakers train is to be used, and only one is needed.
        trains_everybody = run.info["parameters"].get("protocol") == "everybody"
        name = arguments.name if trains_everybody else f"{arguments.name}_{seed}"
        path = networks_dir() / f"{name}.npz"
        try:
            save_pretrained(run, path)
        except RunError as error:
            sys.exit(str(error))
        print(path)


def _save_ensemble(runs: Sequence[Run], path: Path) -> None:
    """Save all runs in one file; end with a sentence if they can't be an ensemble."""
    try:
        save_ensemble(runs, path)
    except RunError as error:
        sys.exit(str(error))
    print(path)


if __name__ == "__main__":
    run_command(main)
