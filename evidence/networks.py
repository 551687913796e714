"""Save the networks of some runs as pretrained ones in ``results/networks/``."""

import argparse
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from shd_corpus.checks import quoted
from shd_helpers.command import run as run_command
from shd_helpers.paths import networks_dir, runs_dir
from shd_helpers.study import read_run, save_ensemble, save_pretrained
from shd_helpers.study.run_folder import Run, RunError


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

    Raises
    ------
    RunError
        If a pattern can't be one below `runs_dir`, such as an absolute path.
    """
    folders: list[Path] = []
    for pattern in patterns:
        try:
            folders += sorted(runs_dir().glob(pattern))
        except (NotImplementedError, ValueError) as error:
            raise RunError(
                f"{quoted(pattern)}: can't be a pattern of run folders ({error}). Write a path "
                f"below {runs_dir()}, such as 'sweeps/final_hd/*'."
            ) from error
    return [folder for folder in folders if not folder.name.startswith(".")]


def main() -> None:
    """Write the files."""
    parser = argparse.ArgumentParser(prog="python -m evidence.networks", description=__doc__)
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
        if arguments.ensemble:
            path = networks_dir() / f"{arguments.name}.npz"
            save_ensemble(runs, path)
            print(path)
            return
        seeds = [run.info["seed"] for run in runs]
        if not runs or len(set(seeds)) < len(seeds):
            parser.error(
                f"runs: the patterns find runs with the seeds {seeds} below {runs_dir()}. Name at "
                "least one run, each with another seed."
            )
        for run, path in zip(runs, _paths(arguments.name, runs), strict=True):
            save_pretrained(run, path)
            print(path)
    except RunError as error:
        sys.exit(str(error))


def _paths(name: str, runs: Sequence[Run]) -> list[Path]:
    """Return the file of each run's network; RunError if two networks would have the same file."""
    paths = []
    for run in runs:
        # A network that all speakers train is to be used, and only one is needed.
        trains_everybody = run.info["parameters"].get("protocol") == "everybody"
        file_name = name if trains_everybody else f"{name}_{run.info['seed']}"
        paths.append(networks_dir() / f"{file_name}.npz")
    if len(set(paths)) < len(paths):
        folders = ", ".join(str(run.folder) for run in runs)
        raise RunError(
            f"{folders}: more than one of these runs trains on all speakers (protocol "
            f"'everybody'), and only one network can be {name}.npz. Name one run, or save them as "
            "one network with --ensemble."
        )
    return paths


if __name__ == "__main__":
    run_command(main)
