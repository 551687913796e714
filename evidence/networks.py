"""Save the networks of some runs as pretrained ones in ``results/networks/``."""

import argparse
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from shd_corpus.checks import quoted
from shd_corpus.files import atomic
from shd_helpers.command import run as run_command
from shd_helpers.paths import networks_dir, runs_dir
from shd_helpers.study import read_run
from shd_helpers.study.run_folder import Run, RunError
from shd_helpers.study.trained_network import SHA256, check_own, content_hash

_ABOUT = (
    "parameters",
    "seed",
    "data",
    "hash",
    "class_names",
    "n_channels",
    "seen_speakers",
    "versions",
    "scores",
)


def run_folders(patterns: Iterable[str]) -> list[Path]:
    """Find run folders by their names."""
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


def save_pretrained(run: Run, path: Path) -> None:
    """Save a run's trained network in one compressed file, which `load_pretrained` reads."""
    write_pretrained(
        path, _about_run(run), {name: values.numpy() for name, values in run.state.items()}
    )


def _about_run(run: Run) -> dict[str, Any]:
    """Return what a pretrained network keeps of a run; RunError if others can't build it."""
    check_own(run.info, run.folder / "run.json")
    about = {name: run.info[name] for name in _ABOUT}
    # The run may name the data set by its folder on this machine, which others don't have.
    about["parameters"] = about["parameters"] | {"dataset": run.info["data"]["name"]}
    return about


def write_pretrained(
    path: Path, about: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> None:
    """Write a pretrained network, with the hash of its content."""
    whole = {**about, SHA256: content_hash(about, arrays)}
    with atomic(path) as unfinished, unfinished.open("wb") as file:
        np.savez_compressed(file, **arrays, about=np.array(json.dumps(whole)))  # type: ignore[arg-type]


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
    arguments = parser.parse_args()
    try:
        runs = [read_run(folder) for folder in run_folders(arguments.runs)]
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
            f"'everybody'), and only one network can be {name}.npz. Name one run."
        )
    return paths


if __name__ == "__main__":
    run_command(main)
